"""Vectors of sections 12.6 to 12.10: what a receiver grants, what is complete, what it ignores."""

from mesh import constants
from mesh.counters import Counters
from mesh.delivery.assembly import Announced, Assembly
from mesh.wire import messages
from mesh.wire.cbor import dumps
from spec_vectors.material import octets, shown

ROOM_BYTES = 1000


class Story:
    """Batches that reach one receiver in order, and what comes of each."""

    def __init__(self, name: str, room_bytes: int = ROOM_BYTES) -> None:
        self._assembly = Assembly(room_bytes, Counters())
        self._batch = 0
        self.steps: list[dict[str, object]] = []
        self.vector = {"name": name, "room": room_bytes, "steps": self.steps}

    def announce(
        self, lane: int, length: int, kind: int = messages.TELL, item: bytes | None = None
    ) -> None:
        """One LARGE; its item by default that of a byte string of this length."""
        if item is None:
            item = dumps(length)
        self._arrive(messages.LARGE, "file", [lane, kind, length, item])

    def chunk(self, lane: int, content: bytes, *, beside: bool = True) -> None:
        """One CHUNK, its bytes beside the array or in it."""
        item = [lane, len(content) if beside else content]
        self._arrive(messages.CHUNK, "", item, content if beside else None)

    def abandon(self, lane: int) -> None:
        """One ABANDON."""
        self._arrive(messages.ABANDON, "", lane)

    def handled(self, batch: int) -> None:
        """The handler of the message that this batch completed is done."""
        self._assembly.finished(batch)
        self.steps.append({"handled": batch, "granted": self._granted()})

    def _arrive(self, kind: int, subject: str, item: object, bulk: bytes | None = None) -> None:
        self._batch += 1
        run = messages.encode_packed_run(kind, subject, [dumps(item)])
        plaintext = messages.encode_head(self._batch, 0, [0], 65_536, 1) + run
        ((kind, subject, bodies),) = messages.decode_body(plaintext, bulk).runs
        (item,) = messages.unpacked(bodies)
        complete = self._act(kind, subject, item)
        self.steps.append(
            {
                "plaintext": plaintext.hex(),
                "bulk": None if bulk is None else bulk.hex(),
                "granted": self._granted(),
                "complete": complete,
            }
        )

    def _act(self, kind: int, subject: str, item: object) -> object:
        assembly = self._assembly
        match kind, item:
            case messages.LARGE, [int(lane), int(of_kind), int(length), bytes(beside)]:
                assembly.announce(Announced(lane, of_kind, subject, length, beside))
            case messages.ABANDON, int(lane):
                assembly.abandon(lane)
            case messages.CHUNK, [int(lane), bytes(content)]:
                whole = assembly.add(lane, content)
                if whole is not None:
                    (message,) = messages.unpacked(assembly.take(whole, self._batch))
                    return [whole.kind, whole.subject, shown(message)]
        return None

    def _granted(self) -> list[int]:
        due, self._assembly.grants_due = self._assembly.grants_due, []
        return due


def vectors() -> list[dict[str, object]]:
    """Every story."""
    stories = [_whole_ones(), _waiting(), _every_class(), _places()]
    stories += [_at_handlers(), _ignored_announcements(), _ignored_chunks(), _abandoned()]
    return [story.vector for story in stories]


def _whole_ones() -> Story:
    """Each form in which a message goes in chunks."""
    story = Story("whole messages")
    content = octets("file", 700)
    story.announce(1, 700)
    story.chunk(1, content[:400])
    story.chunk(1, content[400:699], beside=False)
    story.chunk(1, content[699:])
    story.handled(4)
    request = messages.encode_request(7, 500, 300)
    story.announce(2, 300, messages.REQUEST, request)
    story.chunk(2, octets("request", 300))
    encoded = messages.encode_request(8, 500, {"text": "what?", "more": [1, 2, 3]})
    story.announce(3, len(encoded), messages.request_kind(4), b"")
    story.chunk(3, encoded[:10])
    story.chunk(3, encoded[10:])
    told = dumps({"n": list(range(40))})
    story.announce(4, len(told), item=b"")
    story.chunk(4, told)
    story.announce(5, 200, messages.REPLY, messages.encode_reply(9, messages.REPLY_OK, 200))
    story.chunk(5, octets("reply", 200))
    return story


def _waiting() -> Story:
    """In order within a class, and only when there is room; chunks come in any order of lanes."""
    story = Story("in the order of their announcements")
    for lane, length in enumerate((500, 400, 300, 100), 1):
        story.announce(lane, length)
    story.chunk(2, octets("second", 400))
    story.handled(5)
    story.chunk(1, octets("first", 200))
    story.chunk(3, octets("third", 300))
    story.chunk(1, octets("first, the rest", 300))
    story.handled(7)
    story.handled(8)
    return story


def _every_class() -> Story:
    """One of each class is granted in any case, and no more of one."""
    story = Story("one of each class in any case")
    request = messages.encode_request(1, 500, ROOM_BYTES)
    kinds = [*messages.DEPTHS, messages.REPLY]
    for lane, kind in enumerate(kinds, 1):
        item = None if kind == messages.TELL else request
        story.announce(lane, ROOM_BYTES, kind, item)
    story.announce(20, 1, messages.request_kind(1), request)
    story.chunk(3, octets("nested", ROOM_BYTES))
    story.handled(9)
    return story


def _places() -> Story:
    """So many of a class, and one more when one is complete."""
    story = Story("places of a class")
    for lane in range(1, constants.LARGE_PER_CLASS + 1):
        story.announce(lane, 10)
    story.announce(5, 10)
    story.chunk(1, octets("one", 10))
    story.chunk(5, octets("five", 10))
    story.announce(6, 10)
    story.chunk(6, octets("six", 10))
    return story


def _at_handlers() -> Story:
    """However much room there is, no more of a class than this; one of another class is granted."""
    story = Story("so many of a class at handlers")
    most = constants.LARGE_UNHANDLED
    for lane in range(1, most + 2):
        story.announce(lane, 1)
        if lane <= most:
            story.chunk(lane, b"x")
    story.announce(most + 2, 1, messages.REPLY, messages.encode_reply(1, messages.REPLY_OK, 1))
    story.handled(2)
    return story


def _ignored_announcements() -> Story:
    """What an honest sender does not announce."""
    story = Story("announcements that are ignored")
    story.announce(1, 10, messages.CANCEL)
    story.announce(2, 10, messages.CHUNK)
    story.announce(3, 10, messages.PING)
    story.announce(4, 0)
    story.announce(5, -1)
    story.announce(6, ROOM_BYTES + 1)
    story.announce(8, 10, item=bytes(33))
    story.announce(9, 10, item=bytes(32))
    story.abandon(9)
    story.chunk(6, octets("six", 10))
    story.announce(7, 10)
    story.announce(7, 20)
    story.chunk(7, octets("seven", 10))
    return story


def _ignored_chunks() -> Story:
    """Nothing of them is kept."""
    story = Story("chunks that are ignored")
    story.announce(1, 600)
    story.announce(2, 600)
    story.chunk(2, octets("not granted", 100))
    story.chunk(3, octets("not announced", 100))
    story.chunk(1, b"")
    story.chunk(1, octets("too long", 601))
    story.chunk(1, octets("half", 300))
    story.chunk(1, octets("too long with the first half", 301))
    story.chunk(1, octets("the other half", 300))
    story.chunk(1, octets("behind the end", 1))
    story.handled(9)
    story.chunk(2, octets("granted", 600))
    return story


def _abandoned() -> Story:
    """Its room goes to those that wait; what is not known is ignored."""
    story = Story("abandoned messages")
    story.announce(1, 600)
    story.announce(2, 600)
    story.announce(3, 600)
    story.chunk(1, octets("in vain", 300))
    story.abandon(2)
    story.abandon(1)
    story.abandon(9)
    story.chunk(1, octets("too late", 300))
    story.chunk(3, octets("whole", 600))
    story.abandon(3)
    story.handled(9)
    return story
