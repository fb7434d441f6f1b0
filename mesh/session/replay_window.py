"""The replay window: each counter is accepted once, however frames were reordered.

The algorithm of RFC 4303, section 3.4.3, on a ring of bytes: ZeroMQ reorders around reconnects,
so the window is as wide as `constants.REPLAY_WINDOW`. Check before opening, accept after it: a
forged counter moves nothing.
"""

from mesh.constants import REPLAY_WINDOW

_MASK = REPLAY_WINDOW - 1
_CLEAR = bytes(REPLAY_WINDOW)


class ReplayWindow:
    """Which of the last counters were seen."""

    __slots__ = ("_next", "_seen")

    def __init__(self) -> None:
        self._next = 0
        self._seen = bytearray(REPLAY_WINDOW)

    @property
    def next(self) -> int:
        """One above the highest counter accepted."""
        return self._next

    def check(self, counter: int) -> bool:
        """Whether a frame with this counter may be opened: it is new and not too old."""
        if counter >= self._next:
            return True
        return counter >= self._next - REPLAY_WINDOW and not self._seen[counter & _MASK]

    def accept(self, counter: int) -> None:
        """Mark a counter whose frame was opened; `check` must have said yes."""
        skipped = counter - self._next
        if skipped >= 0:
            if skipped:
                self._forget(self._next, skipped)
            self._next = counter + 1
        self._seen[counter & _MASK] = 1

    def _forget(self, first: int, count: int) -> None:
        """Clear the slots of skipped counters, which older ones had used."""
        if count >= REPLAY_WINDOW:
            self._seen[:] = _CLEAR
            return
        start = first & _MASK
        end = start + count
        self._seen[start : min(end, REPLAY_WINDOW)] = _CLEAR[: min(end, REPLAY_WINDOW) - start]
        if end > REPLAY_WINDOW:
            self._seen[: end - REPLAY_WINDOW] = _CLEAR[: end - REPLAY_WINDOW]
