"""The receiving half of a delivery: each batch once, in order; what we owe the peer in return.

Three absolute, monotone numbers travel back in the head of every frame: batches that arrived,
batches whose handlers are done, and the credit offset. They are due 20 ms after something
changed, or at once when the peer was not told for so long (an eighth of the window, or of the
batches it may have under way) that it might have to wait for us.
"""

from bisect import bisect
from math import inf
from typing import Final

from mesh import constants
from mesh.counters import Counters
from mesh.wire.messages import CREDITED, Body

# The sender stops at UNHANDLED_BATCHES; uncredited ones, which are soon handled, come on top.
UNFINISHED_BATCHES: Final = constants.UNHANDLED_BATCHES + constants.UNACKNOWLEDGED_BATCHES
_TELL_AFTER_ACCEPTED: Final = constants.UNACKNOWLEDGED_BATCHES // constants.TELL_AFTER_WINDOW_PART
_TELL_AFTER_FINISHED: Final = constants.UNHANDLED_BATCHES // constants.TELL_AFTER_WINDOW_PART


class Incoming:
    """What one instance of a peer sends us. `window_bytes`: the room we promised it."""

    __slots__ = (
        "_accepted",
        "_counters",
        "_credit_told",
        "_finished_untold",
        "_handled",
        "_handled_apart",
        "_handled_up_to",
        "_held",
        "_held_room",
        "_next_told",
        "_returned",
        "_unfinished",
        "_window",
        "due",
        "next",
    )

    def __init__(self, *, window_bytes: int, counters: Counters) -> None:
        self._window = window_bytes
        self._counters = counters
        self._accepted = 0
        self.next = 1
        self.due = inf
        self._held: dict[int, Body] = {}
        self._held_room = 0
        self._unfinished: dict[int, tuple[int, int]] = {}
        self._handled_up_to = 0
        # Ranges (first, last) above it, ascending and never adjacent, so at most as many as there
        # are unfinished batches, however long one handler takes.
        self._handled_apart: list[tuple[int, int]] = []
        self._handled: list[int | tuple[int, int]] | None = None
        self._returned = 0
        self._credit_told = 0
        self._next_told = 1
        self._finished_untold = 0

    # -- inbound

    def accept(self, body: Body, now: float) -> list[Body]:
        """The batches that may be dispatched now, in order: none for a repeated or an early one.

        An early batch is held (see `gap`). What an honest peer cannot send (beyond its credit,
        too far ahead, too many unhandled) is dropped, counted and not acknowledged.
        """
        self._owe(now)
        number = body.batch
        if number != self.next:
            self._hold(number, body)
            return []
        ready: list[Body] = []
        following: Body | None = body
        while following is not None and self._begin(following):
            ready.append(following)
            following = self._held_next() if self._held else None
        if self.next - self._next_told >= _TELL_AFTER_ACCEPTED:
            self.due = now
        return ready

    @property
    def gap(self) -> tuple[int, int] | None:
        """First and last batch missing before the first held one."""
        return (self.next, min(self._held) - 1) if self._held else None

    def _hold(self, number: int, body: Body) -> None:
        if number < self.next or number in self._held:
            self._counters["received.repeated_batches"] += 1
            return
        room = _room(body)
        too_far = number > self.next + constants.HELD_BATCHES
        if too_far or self._held_room + room > self._window:
            self._counters["dropped.too_early"] += 1
            return
        self._held[number] = body
        self._held_room += room

    def _held_next(self) -> Body | None:
        body = self._held.pop(self.next, None)
        if body is not None:
            self._held_room -= _room(body)
        return body

    def _begin(self, body: Body) -> bool:
        """Take the next batch, unless it breaks a promise that bounds our memory."""
        cost = _cost(body)
        if self._accepted + cost > self.credit or len(self._unfinished) >= UNFINISHED_BATCHES:
            self._counters["dropped.over_credit"] += 1
            return False
        self.next += 1
        self._accepted += cost
        self._unfinished[body.batch] = (len(body.runs), cost)
        if not body.runs:
            self._finish(body.batch, cost)
        return True

    def finished_run(self, batch: int, now: float) -> None:
        """The handler of one run of this batch is done."""
        left, cost = self._unfinished[batch]
        if left > 1:
            self._unfinished[batch] = (left - 1, cost)
            return
        self._finish(batch, cost)
        if (
            self._finished_untold >= _TELL_AFTER_FINISHED
            or self._returned - self._credit_told
            >= self._window // constants.TELL_AFTER_WINDOW_PART
        ):
            self.due = now
        else:
            self._owe(now)

    def _finish(self, batch: int, cost: int) -> None:
        del self._unfinished[batch]
        self._returned += cost
        self._finished_untold += 1
        self._handled = None
        apart = self._handled_apart
        if batch == self._handled_up_to + 1:
            adjacent = apart and apart[0][0] == batch + 1
            self._handled_up_to = apart.pop(0)[1] if adjacent else batch
            return
        at = bisect(apart, (batch,))
        first = last = batch
        if at < len(apart) and apart[at][0] == batch + 1:
            last = apart.pop(at)[1]
        if at and apart[at - 1][1] == batch - 1:
            at -= 1
            first = apart.pop(at)[0]
        apart.insert(at, (first, last))

    # -- what we owe the peer

    @property
    def acknowledged(self) -> int:
        """All batches up to this one have arrived."""
        return self.next - 1

    @property
    def credit(self) -> int:
        """The absolute byte offset up to which the peer may send."""
        return self._returned + self._window

    @property
    def handled(self) -> list[int | tuple[int, int]]:
        """`[all up to, (first, last), ...]`: batches whose handlers are done."""
        if self._handled is None:
            self._handled = [self._handled_up_to, *self._handled_apart]
        return self._handled

    def told(self) -> None:
        """A frame with the numbers above was sealed."""
        self.due = inf
        self._credit_told = self._returned
        self._next_told = self.next
        self._finished_untold = 0

    def _owe(self, now: float) -> None:
        if self.due == inf:
            self.due = now + constants.ACKNOWLEDGE_AFTER_SECONDS


def _room(body: Body) -> int:
    """What a batch takes of our memory: its bytes, and Python's objects for its messages."""
    messages = sum([len(run[2]) for run in body.runs])
    return body.cost + messages * constants.MESSAGE_OVERHEAD_BYTES


def _cost(body: Body) -> int:
    """What a batch takes of the window: nothing unless it carries a credited run."""
    return _room(body) if any(run[0] in CREDITED for run in body.runs) else 0
