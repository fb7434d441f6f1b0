"""Large messages on their way in: announced, granted room, put together chunk by chunk.

Room is granted for the whole message before its first chunk comes, and returns when its handler is
done with it. All together may take `room_bytes`; one of each class is granted in any case, so that
a request inside a request never waits for the one it is inside of. A `group` below is such a class,
the `kind` that of a message.
"""

from io import BytesIO
from typing import Final, NamedTuple

from mesh import constants
from mesh.counters import Counters
from mesh.delivery.lanes import class_of
from mesh.wire.messages import APART, TELL, Packed

# Head, call id, number and length: nothing else goes ahead of room that was granted.
_ITEM_MAX_BYTES: Final = 32


class Announced(NamedTuple):
    """What the peer says of a large message before its chunks.

    `item`: encoded, with its length in the place of the byte string that the chunks make up; empty
    when they make up the encoded item itself.
    """

    lane: int
    kind: int
    subject: str
    length: int
    item: bytes


class _Arriving:
    __slots__ = ("announced", "content", "granted")

    def __init__(self, announced: Announced) -> None:
        self.announced = announced
        self.granted = False
        # Hands out what was written to it without a copy, so no message is here twice.
        self.content = BytesIO()


class Assembly:
    """The large messages of one instance of a peer.

    `room_bytes`: for all of them together, and the most that one may have.
    """

    def __init__(self, room_bytes: int, counters: Counters) -> None:
        self.grants_due: list[int] = []
        self._room = room_bytes
        self._counters = counters
        self._arriving: dict[int, _Arriving] = {}
        # Whole messages that are being handled: class and length, by the batch that completed them.
        self.at_work: dict[int, list[tuple[int, int]]] = {}
        self._granted = [0] * constants.LARGE_CLASSES
        self._granted_bytes = 0

    @property
    def promised_bytes(self) -> int:
        """Room that was granted and has not returned."""
        return self._granted_bytes

    def announce(self, announced: Announced) -> None:
        """A large message is about to come. One that no honest peer announces is counted."""
        group = class_of(announced.kind)
        same = [a for a in self._arriving.values() if class_of(a.announced.kind) == group]
        if (
            announced.kind not in APART
            or not 0 < announced.length <= self._room
            or len(announced.item) > _ITEM_MAX_BYTES
            or announced.lane in self._arriving
            or len(same) >= constants.LARGE_PER_CLASS
        ):
            self._counters["dropped.announced"] += 1
            return
        self._arriving[announced.lane] = _Arriving(announced)
        self._grant()

    def add(self, lane: int, chunk: bytes) -> Announced | None:
        """The next chunk of a message; what was announced of it, when it is whole now.

        Take its content with `take`, then. Chunks that nobody asked for are counted.
        """
        arriving = self._arriving.get(lane)
        length = len(chunk) + (arriving.content.tell() if arriving is not None else 0)
        if (
            arriving is None
            or not (arriving.granted and chunk)
            or length > arriving.announced.length
        ):
            self._counters["dropped.chunks"] += 1
            return None
        arriving.content.write(chunk)
        return arriving.announced if length == arriving.announced.length else None

    def take(self, announced: Announced, batch: int) -> list[bytes] | Packed:
        """The bodies of the run that a whole message is; `batch` brought its last chunk."""
        content = self._arriving.pop(announced.lane).content.getvalue()
        self._need_not_tell(announced.lane)
        room = class_of(announced.kind), announced.length
        self.at_work.setdefault(batch, []).append(room)
        if not announced.item:
            return Packed(content, alone=True)
        bodies = Packed(announced.item, alone=True)
        bodies.set_beside(content, in_item=announced.kind != TELL)
        return bodies

    def abandon(self, lane: int) -> None:
        """The peer sends no more of it."""
        arriving = self._arriving.pop(lane, None)
        if arriving is not None:
            if arriving.granted:
                self._need_not_tell(lane)
                self._return(class_of(arriving.announced.kind), arriving.announced.length)
            self._grant()

    def finished(self, batch: int) -> None:
        """The handler of a whole message is done; of any other batch nothing is known here."""
        at_work = self.at_work.pop(batch, None)
        if at_work is not None:
            for group, length in at_work:
                self._return(group, length)
            self._grant()

    def _need_not_tell(self, lane: int) -> None:
        """It is over. A peer that takes nothing of what we say makes us note no more for that."""
        if lane in self.grants_due:
            self.grants_due.remove(lane)

    def _return(self, group: int, length: int) -> None:
        self._granted[group] -= 1
        self._granted_bytes -= length

    def _grant(self) -> None:
        """Room for those that wait, first come first served in each class."""
        passed_over = set()
        for lane, arriving in self._arriving.items():
            group, length = class_of(arriving.announced.kind), arriving.announced.length
            if arriving.granted or group in passed_over:
                continue
            granted = self._granted[group]
            if granted >= constants.LARGE_UNHANDLED or (
                granted and self._granted_bytes + length > self._room
            ):
                passed_over.add(group)
                continue
            arriving.granted = True
            self._granted[group] += 1
            self._granted_bytes += length
            self.grants_due.append(lane)
