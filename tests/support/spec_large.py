"""Large messages as docs/SPEC.md, sections 12.6 to 12.10, has them, on both sides.

Written from that page: imports nothing of the project. Comments name its paragraphs.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

from spec_cbor import NotTaken, decode, encode
from spec_wire import DEPTH_OF, packed_run

TELL, REPLY = 1, 3
LARGE, GRANT, CHUNK, ABANDON = 9, 10, 11, 12
KINDS = (LARGE, GRANT, CHUNK, ABANDON)
PER_CLASS, UNHANDLED, ITEM_BYTES = 4, 64, 32

Whole = tuple[int, str, Any]


def class_of(kind: int) -> int:
    """12.6.3"""
    return 5 if kind == REPLY else DEPTH_OF[kind]


class Announced(NamedTuple):
    """12.7.1"""

    lane: int
    kind: int
    subject: str
    length: int
    item: bytes


class Arrivals:
    """The receiver. `grants`: lanes that are granted, and whose sender has not been told."""

    def __init__(self, room: int) -> None:
        self.room = room
        self.grants: list[int] = []
        self._coming: dict[int, Announced] = {}
        self._content: dict[int, bytes] = {}
        self._with_room: dict[int, Announced] = {}
        self._completed_by: dict[int, int] = {}

    @property
    def empty(self) -> bool:
        """Nothing is announced and all room has returned."""
        return not self._coming and not self._with_room

    def on_item(self, batch: int, kind: int, subject: str, item: Any) -> Whole | None:
        """What a batch says of large messages; kind, subject and message of one that is whole."""
        whole = None
        if kind == LARGE:
            lane, of_kind, length, beside = item
            self._announce(Announced(lane, of_kind, subject, length, beside))
        elif kind == CHUNK:
            whole = self._add(batch, *item)
        elif item in self._coming:
            del self._coming[item]
            self._with_room.pop(item, None)
            self.grants = [lane for lane in self.grants if lane != item]
        self._grant()
        return whole

    def handled(self, batch: int) -> None:
        """12.8.3"""
        lane = self._completed_by.pop(batch, None)
        if lane is not None:
            del self._with_room[lane]
            self._grant()

    def _announce(self, announced: Announced) -> None:
        """12.7.3"""
        if announced.kind not in {*DEPTH_OF, REPLY} or announced.lane in self._coming:
            return
        if len(announced.item) > ITEM_BYTES:
            return
        mine = class_of(announced.kind)
        same = [each for each in self._coming.values() if class_of(each.kind) == mine]
        if 0 < announced.length <= self.room and len(same) < PER_CLASS:
            self._coming[announced.lane] = announced
            self._content[announced.lane] = b""

    def _grant(self) -> None:
        """12.8.2, 12.8.3"""
        behind = set()
        for lane, announced in self._coming.items():
            mine = class_of(announced.kind)
            if lane in self._with_room or mine in behind:
                continue
            taken = sum(each.length for each in self._with_room.values())
            same = [each for each in self._with_room.values() if class_of(each.kind) == mine]
            fits = taken + announced.length <= self.room
            if not same or (fits and len(same) < UNHANDLED):
                self._with_room[lane] = announced
                self.grants.append(lane)
            else:
                behind.add(mine)

    def _add(self, batch: int, lane: int, content: bytes) -> Whole | None:
        """12.9.2, 12.9.4"""
        announced = self._coming.get(lane)
        if announced is None or lane not in self._with_room or not content:
            return None
        so_far = self._content[lane] + content
        if len(so_far) > announced.length:
            return None
        self._content[lane] = so_far
        if len(so_far) < announced.length:
            return None
        del self._coming[lane]
        self._completed_by[batch] = lane
        return announced.kind, announced.subject, _put_together(announced, so_far)


def _put_together(announced: Announced, content: bytes) -> Any:
    """12.7.2"""
    if not announced.item:
        return decode(content, 65)
    item = decode(announced.item, 65)
    if announced.kind == TELL:
        if item != len(content):
            raise NotTaken("no length in the message's place")
        return content
    if not isinstance(item, list) or not item or item[-1] != len(content):
        raise NotTaken("no length in the bytes' place")
    return [*item[:-1], content]


class Departing:
    """One message on its way out; `inside`: its chunks are in the array, not beside it."""

    def __init__(
        self, kind: int, subject: str, content: bytes, chunk_bytes: int, inside: bool
    ) -> None:
        self.kind, self.subject, self.content = kind, subject, content
        self.chunk_bytes, self.inside = chunk_bytes, inside
        self.granted = False


class Departures:
    """The sender. `put` makes a batch of runs, and what travels beside them."""

    def __init__(self, put: Callable[..., None]) -> None:
        self._put = put
        self._lane = 0
        self.lanes: dict[int, Departing] = {}
        # 12.6.4: by subject, the lanes of its large TELLs and the runs that stand behind them.
        self._in_order: dict[str, list[int | bytes]] = {}

    def announce(
        self, kind: int, subject: str, message: Any, chunk_bytes: int, inside: bool = False
    ) -> int:
        """12.7; a byte string at the end of the message goes apart from it. The lane."""
        end = message if kind == TELL else message[-1]
        if isinstance(end, bytes):
            size = len(end)
            item, content = encode(size if kind == TELL else [*message[:-1], size]), end
        else:
            item, content = b"", encode(message)
        mine = [each for each in self.lanes.values() if class_of(each.kind) == class_of(kind)]
        assert len(mine) < PER_CLASS
        self._lane += 1
        self.lanes[self._lane] = Departing(kind, subject, content, chunk_bytes, inside)
        if kind == TELL:
            self._in_order.setdefault(subject, []).append(self._lane)
        self._put([packed_run(LARGE, subject, [[self._lane, kind, len(content), item]])])
        return self._lane

    def tell(self, subject: str, run: bytes) -> None:
        """A small TELL of this subject, in its place."""
        if self._in_order.get(subject):
            self._in_order[subject].append(run)
        else:
            self._put([run])

    def on_grant(self, lane: int) -> None:
        """12.8.1"""
        if lane in self.lanes:
            self.lanes[lane].granted = True

    def take_turns(self) -> None:
        """One chunk of each message that may send one."""
        ready = [
            lane
            for lane, each in self.lanes.items()
            if each.granted and (each.kind != TELL or self._in_order[each.subject][0] == lane)
        ]
        for lane in ready:
            self._put_chunk(lane, self.lanes[lane])

    def abandon(self, lane: int) -> None:
        """12.10"""
        self._put([packed_run(ABANDON, "", [lane])])
        self._forget(lane)

    def _put_chunk(self, lane: int, each: Departing) -> None:
        chunk, each.content = each.content[: each.chunk_bytes], each.content[each.chunk_bytes :]
        if each.inside:
            self._put([packed_run(CHUNK, "", [[lane, chunk]])])
        else:
            self._put([packed_run(CHUNK, "", [[lane, len(chunk)]])], chunk)
        if not each.content:
            self._forget(lane)

    def _forget(self, lane: int) -> None:
        """What stood behind it goes on, up to the next large one."""
        each = self.lanes.pop(lane)
        if each.kind == TELL:
            line = self._in_order[each.subject]
            line.remove(lane)
            while line and isinstance(line[0], bytes):
                self._put([line.pop(0)])
