"""Large messages on their way out: each is a lane of its own, and leaves in chunks.

A message that is too large for one batch is announced with its length (`LARGE`). Once the peer has
granted it room, its chunks go into batches of their own, those of several lanes in turn, and
everything else goes by between them. Later direct messages of its subject alone wait, until its
last chunk has its place in a batch: so order is kept where it was promised.
"""

from collections import deque
from collections.abc import Iterator

from mesh import constants
from mesh.wire.messages import DEPTHS, TELL


def class_of(kind: int) -> int:
    """Which messages share places and room: those of one depth, and replies."""
    return DEPTHS.get(kind, constants.DEPTH_MAX + 1)


class Lane:
    """One large message. `tag`: what its owner knows it by. `receipt`: stands for its delivery."""

    __slots__ = ("body", "granted", "kind", "number", "position", "receipt", "subject", "tag")

    def __init__(
        self, number: int, kind: int, subject: str, body: bytes, receipt: object, tag: object
    ) -> None:
        self.number = number
        self.kind = kind
        self.subject = subject
        self.body = memoryview(body)
        self.receipt = receipt
        self.tag = tag
        self.position = 0
        self.granted = False

    @property
    def done(self) -> bool:
        """Whether its last chunk was taken."""
        return self.position == len(self.body)


class Lanes:
    """All lanes to one instance of a peer. `chunk_bytes`: how much of one leaves at a time.

    `under_way`: the lanes by number; empty as a rule, which is seen without a call.
    """

    def __init__(self, chunk_bytes: int) -> None:
        self.chunk_bytes = chunk_bytes
        self.under_way: dict[int, Lane] = {}
        self._next_number = 1
        self._open = [0] * constants.LARGE_CLASSES
        # Direct messages by subject, the oldest first: only that one sends chunks.
        self._in_order: dict[str, deque[Lane]] = {}

    def __len__(self) -> int:
        return len(self.under_way)

    def __iter__(self) -> Iterator[Lane]:
        return iter(self.under_way.values())

    @property
    def next_number(self) -> int:
        """What the next lane will be called."""
        return self._next_number

    def has_place(self, kind: int) -> bool:
        """Whether one more message of this kind may be under way."""
        return self._open[class_of(kind)] < constants.LARGE_PER_CLASS

    def holds(self, subject: str) -> bool:
        """Whether small direct messages of this subject have to wait for a large one."""
        return subject in self._in_order

    def open(
        self, kind: int, subject: str, body: bytes, receipt: object, tag: object = None
    ) -> None:
        """A lane for a message that was announced under `next_number`."""
        lane = Lane(self._next_number, kind, subject, body, receipt, tag)
        self._next_number += 1
        self.under_way[lane.number] = lane
        self._open[class_of(kind)] += 1
        if kind == TELL:
            self._in_order.setdefault(subject, deque()).append(lane)

    def grant(self, number: int) -> None:
        """The peer has room for the whole message; a lane that is over needs none."""
        lane = self.under_way.get(number)
        if lane is not None:
            lane.granted = True

    @property
    def ready(self) -> bool:
        """Whether a lane has a chunk that may leave."""
        return any(map(self._is_ready, self.under_way.values()))

    def take_chunk(self) -> tuple[Lane, memoryview]:
        """The next chunk of the lane whose turn it is; `ready` has said that there is one."""
        lane = next(filter(self._is_ready, self.under_way.values()))
        del self.under_way[lane.number]
        chunk = lane.body[lane.position : lane.position + self.chunk_bytes]
        lane.position += len(chunk)
        if lane.done:
            self._forget(lane)
        else:
            self.under_way[lane.number] = lane
        return lane, chunk

    def abandon(self, tag: object) -> int | None:
        """Send no more of the message of this tag. Its number; None when it is not under way."""
        for lane in self.under_way.values():
            if lane.tag == tag:
                del self.under_way[lane.number]
                self._forget(lane)
                return lane.number
        return None

    def clear(self) -> list[object]:
        """The peer's instance is gone. The receipts of what did not leave whole."""
        receipts = [lane.receipt for lane in self.under_way.values()]
        for lane in self.under_way.values():
            self._forget(lane)
        self.under_way.clear()
        return receipts

    def _is_ready(self, lane: Lane) -> bool:
        return lane.granted and (lane.kind != TELL or self._in_order[lane.subject][0] is lane)

    def _forget(self, lane: Lane) -> None:
        self._open[class_of(lane.kind)] -= 1
        if lane.kind == TELL:
            line = self._in_order[lane.subject]
            line.remove(lane)
            if not line:
                del self._in_order[lane.subject]
