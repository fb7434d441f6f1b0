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
from mesh.delivery.assembly import Assembly
from mesh.wire.messages import DEPTHS, Body

_TELL_AFTER_ACCEPTED: Final = constants.UNACKNOWLEDGED_BATCHES // constants.TELL_AFTER_WINDOW_PART
_TELL_AFTER_FINISHED: Final = constants.UNHANDLED_BATCHES // constants.TELL_AFTER_WINDOW_PART


class Incoming:
    """What one instance of a peer sends us.

    `window_bytes`: the room we promised it. `kept_bytes`: what it keeps unacknowledged at most.
    `large_bytes`: our room for its large messages together.
    """

    __slots__ = (
        "_accepted",
        "_counters",
        "_credit_told",
        "_finished_untold",
        "_handled",
        "_handled_apart",
        "_handled_up_to",
        "_held_room",
        "_kept",
        "_nested",
        "_next_told",
        "_returned",
        "_unfinished",
        "_untold_bytes",
        "_untold_free_bytes",
        "_window",
        "assembly",
        "due",
        "held",
        "next",
    )

    def __init__(
        self, *, window_bytes: int, kept_bytes: int, large_bytes: int, counters: Counters
    ) -> None:
        self.assembly = Assembly(large_bytes, counters)
        self._window = window_bytes
        self._kept = kept_bytes
        self._counters = counters
        self._accepted = 0
        self.next = 1
        self.due = inf
        self.held: dict[int, Body] = {}
        self._held_room = 0
        # By batch: runs that are not handled, the depth whose room it takes, and its cost.
        self._unfinished: dict[int, tuple[int, int, int]] = {}
        # By depth from 1: batches that are not handled, and their cost.
        self._nested = [(0, 0)] * (constants.DEPTH_MAX + 1)
        self._handled_up_to = 0
        # Ranges (first, last) above it, ascending and never adjacent, so at most as many as there
        # are unfinished batches, however long one handler takes.
        self._handled_apart: list[tuple[int, int]] = []
        self._handled: list[int | tuple[int, int]] | None = None
        self._returned = 0
        self._credit_told = 0
        self._next_told = 1
        self._untold_bytes = self._untold_free_bytes = 0
        self._finished_untold = 0

    # -- inbound

    def accept(self, body: Body, now: float) -> list[Body]:
        """The batches that may be dispatched now, in order: none for a repeated or an early one.

        An early batch is held (see `gap`). What an honest peer cannot send (beyond its credit,
        too far ahead, too many unhandled) is dropped, counted and not acknowledged.
        """
        if self.due == inf:
            self.due = now + constants.ACKNOWLEDGE_AFTER_SECONDS
        number = body.batch
        if number != self.next:
            self._hold(number, body)
            return []
        ready: list[Body] = []
        following: Body | None = body
        while following is not None and self._begin(following):
            ready.append(following)
            following = self._held_next() if self.held else None
        if (
            self.next - self._next_told >= _TELL_AFTER_ACCEPTED
            or self._untold_free_bytes >= self._window // constants.TELL_AFTER_WINDOW_PART
            or self._untold_bytes >= self._kept // constants.TELL_AFTER_KEPT_PART
        ):
            self.due = now
        return ready

    @property
    def gap(self) -> tuple[int, int] | None:
        """First and last batch missing before the first held one."""
        return (self.next, min(self.held) - 1) if self.held else None

    def _hold(self, number: int, body: Body) -> None:
        if number < self.next or number in self.held:
            self._counters["received.repeated_batches"] += 1
            return
        room = _room(body)
        too_far = number > self.next + constants.HELD_BATCHES
        # What costs credit is in the window, and chunks of large messages are as much again.
        if too_far or self._held_room + room > 2 * self._window:
            self._counters["dropped.too_early"] += 1
            return
        self.held[number] = body
        self._held_room += room

    def _held_next(self) -> Body | None:
        body = self.held.pop(self.next, None)
        if body is not None:
            self._held_room -= _room(body)
        return body

    def _begin(self, body: Body) -> bool:
        """Take the next batch, unless it breaks a promise that bounds our memory."""
        depth, cost = _charge(body)
        if not self._fits(depth, cost):
            self._counters["dropped.over_credit"] += 1
            return False
        self.next += 1
        self._untold_bytes += body.cost
        if not cost:
            # Room that a window gives back tells of itself when it is given back.
            self._untold_free_bytes += body.cost
        if depth > 0:
            batches, used = self._nested[depth]
            self._nested[depth] = batches + 1, used + cost
        else:
            self._accepted += cost
        self._unfinished[body.batch] = (len(body.runs), depth, cost)
        if not body.runs:
            self._finish(body.batch, depth, cost)
        return True

    def _fits(self, depth: int, cost: int) -> bool:
        if depth < 0 or len(self._unfinished) >= constants.UNFINISHED_BATCHES:
            return False
        if depth == 0:
            return self._accepted + cost <= self._returned + self._window
        batches, used = self._nested[depth]
        return batches < constants.NESTED_BATCHES and used + cost <= constants.NESTED_WINDOW_BYTES

    def finished_run(self, batch: int, now: float) -> None:
        """The handler of one run of this batch is done."""
        left, depth, cost = self._unfinished[batch]
        if left > 1:
            self._unfinished[batch] = (left - 1, depth, cost)
            return
        self._finish(batch, depth, cost)
        if (
            self.assembly.grants_due
            or self._finished_untold >= _TELL_AFTER_FINISHED
            or self._returned - self._credit_told
            >= self._window // constants.TELL_AFTER_WINDOW_PART
        ):
            self.due = now
        elif self.due == inf:
            self.due = now + constants.ACKNOWLEDGE_AFTER_SECONDS

    def _finish(self, batch: int, depth: int, cost: int) -> None:
        del self._unfinished[batch]
        if self.assembly.at_work:
            self.assembly.finished(batch)
        if depth:
            batches, used = self._nested[depth]
            self._nested[depth] = batches - 1, used - cost
        else:
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

    def numbers(self) -> tuple[int, list[int | tuple[int, int]], int]:
        """`acknowledged`, `handled` and `credit`: what the head of a frame tells of them."""
        handled = self._handled
        return self.next - 1, handled or self.handled, self._returned + self._window

    def told(self) -> None:
        """A frame with the numbers above was sealed."""
        self.due = inf
        self._credit_told = self._returned
        self._next_told = self.next
        self._untold_bytes = self._untold_free_bytes = 0
        self._finished_untold = 0


def _room(body: Body) -> int:
    """What a batch takes of our memory: its bytes, and Python's objects for its messages."""
    return body.cost + body.message_count * constants.MESSAGE_OVERHEAD_BYTES


def _charge(body: Body) -> tuple[int, int]:
    """The depth whose room a batch takes, and how much: none unless it carries a credited run.

    Depth -1 for one that holds runs of several, which no honest peer sends.
    """
    if len(body.runs) == 1:
        depth = DEPTHS.get(body.runs[0][0])
    else:
        depths = {DEPTHS[run[0]] for run in body.runs if run[0] in DEPTHS}
        depth = -1 if len(depths) > 1 else depths.pop() if depths else None
    return (0, 0) if depth is None else (depth, _room(body))
