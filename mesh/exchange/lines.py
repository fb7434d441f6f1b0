"""Who waits for room to send to a peer, in lines in which nobody overtakes.

One line for direct messages and requests, one for the requests of each depth inside others, and
one for replies: what waits for the peer's handlers must not keep back what those handlers wait
for. Behind a large direct message its subject has a line of its own, and large messages that find
no place wait apart from small ones.
"""

from collections import OrderedDict
from collections.abc import Iterator
from typing import Any, Generic, Protocol, TypeVar

from mesh import constants
from mesh.delivery.lanes import class_of
from mesh.delivery.outgoing import Outgoing
from mesh.wire import messages

Key = int | str
"""A depth from 0, REPLIES, a subject, or for large messages that have none `_LARGE` and a class."""
REPLIES = -1
_FIRST = 0
_LARGE = 100
_LARGE_REPLIES = _LARGE + class_of(messages.REPLY)


class Message:
    """One message, encoded.

    `bulk`: a bytes body that travels apart; its length stands in its place in `encoded`. `raw`: a
    direct message whose `encoded` is a bytes body as the application gave it. `call_id`: of a
    request. `size`: bytes of what may go in chunks, the body that travels apart or else all of it.
    """

    __slots__ = ("bulk", "call_id", "encoded", "kind", "raw", "size", "subject")

    def __init__(
        self,
        kind: int,
        subject: str,
        encoded: bytes,
        bulk: bytes | None = None,
        *,
        raw: bool = False,
        call_id: int | None = None,
    ) -> None:
        self.kind = kind
        self.subject = subject
        self.encoded = encoded
        self.bulk = bulk
        self.raw = raw
        self.call_id = call_id
        self.size = len(encoded if bulk is None else bulk)


def offer(outgoing: Outgoing, message: Message) -> Any:
    """Queue a message whole or as a large one: its receipt, or None when it has to wait for room.

    Raises InvalidMessage as `Outgoing.offer` does.
    """
    kind, subject, encoded, bulk = message.kind, message.subject, message.encoded, message.bulk
    if message.size > constants.NESTED_WHOLE_BYTES and message.size > outgoing.whole_bytes(kind):
        item, body = (b"", encoded) if bulk is None else (encoded, bulk)
        return outgoing.offer_large(kind, subject, item, body, tag=message.call_id)
    return outgoing.offer(kind, subject, encoded, bulk, raw=message.raw)


class Waiter(Protocol):
    """Who waits with a message; `done`: not any more, and the message is not wanted."""

    def done(self) -> bool:
        """Whether it has ended, one way or another."""


Who = TypeVar("Who", bound=Waiter)


class Lines(Generic[Who]):
    """All who wait for room, and the messages they wait with.

    `by_key`: the lines in which somebody stands; as a rule there is none, which is seen without a
    call.
    """

    def __init__(self, outgoing: Outgoing) -> None:
        self._outgoing = outgoing
        self.by_key: dict[Key, OrderedDict[Who, Message]] = {}

    def __len__(self) -> int:
        return sum(map(len, self.by_key.values()))

    def __bool__(self) -> bool:
        return bool(self.by_key)

    def __contains__(self, who: Who) -> bool:
        return any(who in line for line in self.by_key.values())

    def key_of(self, message: Message) -> Key:
        """The line in which this message would stand."""
        key = messages.DEPTHS.get(message.kind, REPLIES)
        # Whoever stands there may be of its subject, and on the way to the line of that.
        return key if key in self.by_key else self._apart(message, key)

    def hold_up(self, message: Message) -> bool:
        """Whether somebody stands in the line of this message already."""
        return bool(self.by_key) and self.key_of(message) in self.by_key

    def enter(self, key: Key, who: Who, message: Message) -> bool:
        """Stand at the end of a line. Whether nobody stood there before."""
        # Nothing of its subject may overtake it there.
        self._outgoing.close_hot_path()
        line = self.by_key.setdefault(key, OrderedDict())
        line[who] = message
        return len(line) == 1

    def leave(self, who: Who) -> bool:
        """Not wait any more. Whether it stood in a line."""
        for key, line in self.by_key.items():
            if line.pop(who, None) is not None:
                if not line:
                    del self.by_key[key]
                return True
        return False

    def in_order(self) -> list[Key]:
        """The lines in which somebody stands, in the order in which they go on."""
        return sorted(self.by_key, key=_urgency)

    def take(self, key: Key) -> Iterator[tuple[Who, Message]]:
        """Those in one line, each taken out; what has turned out to stand elsewhere goes there.

        The line is there until the last was taken and dealt with, so that nobody overtakes it.
        """
        line = self.by_key.get(key, OrderedDict())
        try:
            while line:
                who, message = line.popitem(last=False)
                if who.done():
                    continue
                apart = self._apart(message, key)
                if apart != key and not isinstance(key, str) and key < _LARGE:
                    self.enter(apart, who, message)
                else:
                    yield who, message
        finally:
            # Also when whoever takes them fails with the last: an empty line holds nobody up.
            if not line and self.by_key.get(key) is line:
                del self.by_key[key]

    def put_back(self, key: Key, who: Who, message: Message) -> None:
        """It found no room: it is the next again."""
        self._outgoing.awaited = True
        line = self.by_key.setdefault(key, OrderedDict())
        line[who] = message
        line.move_to_end(who, last=False)
        if isinstance(key, str) and not self._is_held_up_by_lanes(message):
            self._back_to_first(key)

    def _back_to_first(self, subject: str) -> None:
        """No large message holds them up any more: they are the next to wait for room.

        Apart they would be passed by whoever needs less of it, again and again.
        """
        line = self.by_key.pop(subject)
        first = self.by_key.setdefault(_FIRST, OrderedDict())
        while line:
            who, message = line.popitem()
            first[who] = message
            first.move_to_end(who, last=False)

    @property
    def reply_bytes(self) -> int:
        """What the replies take that wait."""
        lines = [self.by_key.get(key) for key in (REPLIES, _LARGE_REPLIES)]
        return sum(message.size for line in lines if line for message in line.values())

    def clear(self) -> list[Who]:
        """Nobody waits any more: those who did."""
        waiters = [who for line in self.by_key.values() for who in line]
        # Also for whoever is about to take the next out of one.
        for line in self.by_key.values():
            line.clear()
        self.by_key.clear()
        return waiters

    def _apart(self, message: Message, key: Key) -> Key:
        """The line beside `key` for what a large message holds up, or a large one without place."""
        kind, tell = message.kind, message.kind == messages.TELL
        apart: Key = message.subject if tell else _LARGE + class_of(kind)
        behind = apart in self.by_key and (tell or self._is_large(message))
        return apart if behind or self._is_held_up_by_lanes(message) else key

    def _is_held_up_by_lanes(self, message: Message) -> bool:
        kind, lanes = message.kind, self._outgoing.lanes
        if self._is_large(message):
            return not lanes.has_place(kind)
        return kind == messages.TELL and lanes.holds(message.subject)

    def _is_large(self, message: Message) -> bool:
        return message.size > self._outgoing.whole_bytes(message.kind)


def _urgency(key: Key) -> int:
    """Replies, those whom large messages hold up, and requests from the deepest."""
    if isinstance(key, str):
        return 1
    if key >= _LARGE:
        return 2
    return 0 if key == REPLIES else 3 + constants.DEPTH_MAX - key
