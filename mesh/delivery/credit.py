"""What of our batches the peer has room for: a window that moves, and a fixed room for each depth.

Requests made inside a request have room of their own by depth, so two nodes that are full of
requests whose handlers call back still get through. That room returns with `handled`; the window's
limit is an absolute offset that the peer states.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from mesh import constants

_DEPTHS = constants.DEPTH_MAX + 1


class Credit:
    """Of one instance of a peer. `window_bytes`: its initial limit for depth 0.

    `unhandled`: batches at the peer's handlers by number: receipt, the depth whose room each takes
    (None for a large message), and how much of it. `limit`: the offset up to which there is room.
    """

    __slots__ = ("_batches", "_handled", "_used", "limit", "unhandled")

    def __init__(self, window_bytes: int) -> None:
        self.limit = window_bytes
        # At depth 0 the sum of all costs ever; deeper, of what is not handled.
        self._used = [0] * _DEPTHS
        self._batches = [0] * _DEPTHS
        # A bare tuple each: there is one for every frame.
        self.unhandled: dict[int, tuple[object, int | None, int]] = {}
        self._handled: Sequence[Any] = ()

    def left(self, depth: int) -> int:
        """Bytes of batches of this depth that the peer still has room for."""
        room = constants.NESTED_WINDOW_BYTES if depth else self.limit
        return room - self._used[depth]

    def batches_left(self, depth: int) -> int:
        """Batches of this depth that may still be given to the peer's handlers."""
        most = constants.NESTED_BATCHES if depth else constants.UNHANDLED_BATCHES
        return most - self._batches[depth]

    def spend(self, number: int, depth: int | None, cost: int, receipt: object) -> None:
        """A batch that the peer's handlers have to deal with has its number."""
        self.unhandled[number] = receipt, depth, cost
        if depth is not None:
            self._used[depth] += cost
            self._batches[depth] += 1

    def raise_limit(self, limit: int) -> bool:
        """The peer has room up to the absolute offset `limit`. Whether that is more."""
        if limit <= self.limit:
            return False
        self.limit = limit
        return True

    def on_handled(self, handled: Sequence[Any], acknowledged: int) -> list[object]:
        """Batches whose handlers are done: `[all up to, [first, last], ...]`. Their receipts.

        Ascending, as `wire.messages` has checked. A peer that has handled what it has not
        `acknowledged` is not believed.
        """
        unhandled = self.unhandled
        if not unhandled or handled == self._handled:
            return []
        up_to, *ranges = handled
        if (ranges[-1][1] if ranges else up_to) > acknowledged:
            return []
        self._handled = handled
        done: list[object] = []
        while unhandled:
            oldest = next(iter(unhandled))
            if oldest > up_to:
                break
            done.append(self._take(oldest))
        if ranges:
            done += [self._take(number) for number in _within(list(unhandled), ranges)]
        return done

    def clear(self) -> dict[int, object]:
        """The peer's instance is gone. Receipts of what was not handled, by batch."""
        receipts = {number: batch[0] for number, batch in self.unhandled.items()}
        self.unhandled.clear()
        return receipts

    def _take(self, number: int) -> object:
        receipt, depth, cost = self.unhandled.pop(number)
        if depth is not None:
            self._batches[depth] -= 1
            if depth:
                self._used[depth] -= cost
        return receipt


def _within(numbers: Iterable[int], ranges: Sequence[Sequence[int]]) -> Iterator[int]:
    """The numbers that lie in one of the ranges, both ascending.

    In steps of ours: what a peer puts into a range says nothing about how much there is to do.
    """
    remaining = iter(ranges)
    first, last = next(remaining)
    for number in numbers:
        while number > last:
            following = next(remaining, None)
            if following is None:
                return
            first, last = following
        if number >= first:
            yield number
