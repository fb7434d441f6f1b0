"""What a data frame says: the body that is sealed, as runs of messages.

A body is one CBOR array, `[batch, acknowledged, handled, credit, run, ...]`. The numbers ahead of
the runs (the head) are always written in full width, so a batch that is sent again with newer
numbers has the same length, and what its runs cost is known from the length alone.

A run is `[kind, subject, content]`. Bodies that are byte strings are an array of them; all others
are packed: one byte string that holds the encoded array of bodies. So the frame is decoded without
building what a peer put into its messages: that is done by whoever handles them, when it does.
"""

import struct
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Final, NamedTuple

from mesh import constants
from mesh.errors import MalformedFrame
from mesh.wire import cbor

TELL: Final = 1
REQUEST: Final = 2
REPLY: Final = 3
CANCEL: Final = 4
NESTED_REQUESTS: Final = (5, 6, 7, 8)
"""Requests made while a request is handled, by depth from 1: each depth has room of its own."""
LARGE: Final = 9
GRANT: Final = 10
CHUNK: Final = 11
ABANDON: Final = 12

PING: Final = 64
PONG: Final = 65
WELCOME: Final = 66
CLOSE: Final = 67
GAP: Final = 68
HELLO: Final = 69
HELLO_ANSWER: Final = 70
CHALLENGE: Final = 71
CHALLENGE_ANSWER: Final = 72
FRESH_1: Final = 73
FRESH_2: Final = 74
PROBE: Final = 75

FIRST_CONTROL: Final = 64
"""Kinds from here on are control: they ride in batch 0 only, the others in numbered batches."""
KIND_MAX: Final = 255
RUNS_MAX: Final = 1024
"""Runs of one batch at most: each costs a look-up."""
MESSAGES_MAX: Final = 4096
"""Messages of one batch at most: however small, each costs a turn of a loop."""

HANDLED_MAX: Final = 1 + constants.UNFINISHED_BATCHES
"""Numbers and ranges of `handled` at most: unfinished batches keep the ranges apart."""

DEPTHS: Final = {TELL: 0, REQUEST: 0} | {
    kind: depth for depth, kind in enumerate(NESTED_REQUESTS, 1)
}
"""Kinds whose encoded runs use up room at the receiver: the window's credit at depth 0, and from 1
on the fixed room of that depth. A batch holds runs of one depth only."""
APART: Final = frozenset({*DEPTHS, REPLY})
"""Kinds whose messages may travel apart from their batch: beside its array, or in chunks."""

REPLY_OK: Final = 0
REPLY_FAILED: Final = 1
REPLY_NO_HANDLER: Final = 2
REPLY_DENIED: Final = 3
REPLY_CANCELLED: Final = 4
REPLY_NOT_CARRIED: Final = 5

# The frame's array, a run or list of ranges, and byte strings or the two ends of a range.
_FRAME_DEPTH: Final = 3
# The packed array and the item around a body.
_PACKED_DEPTH: Final = cbor.MAX_DEPTH + 2

_LONG_ARRAY: Final = 0x99
_LONG_INTEGER: Final = 0x1B
_PAIR: Final = 0x82
_TRIPLE: Final = b"\x83"
_NUMBERS_BEFORE_RUNS: Final = 4

_BARE_HEAD: Final = struct.Struct(">BHBQBQBHBQBQ")
_HEAD_WITHOUT_CREDIT: Final = struct.Struct(">BHBQBQBHBQ")
_RANGE: Final = struct.Struct(">BBQBQ")
_CREDIT: Final = struct.Struct(">BQ")
_ITEM_HEAD: Final = struct.Struct(">BBQBQ")


class Packed:
    """The bodies of a run, still encoded: so long they take as much memory as on the wire.

    `encoded` is the array of them, or (`alone`) the only one.
    """

    __slots__ = ("_alone", "_bulk", "_count", "_encoded", "_in_item")

    def __init__(self, encoded: bytes, *, alone: bool = False) -> None:
        self._count = 1 if alone else cbor.array_length(encoded)
        self._encoded = encoded
        self._alone = alone
        self._bulk: bytes | memoryview | None = None
        self._in_item = False

    def __len__(self) -> int:
        return self._count

    def set_beside(self, bulk: bytes | memoryview, *, in_item: bool) -> None:
        """The byte strings that `bulk` holds, one after another, travelled beside the array.

        The length of each keeps its place: a whole body, or (`in_item`) the last element of one.
        """
        self._bulk = bulk
        self._in_item = in_item

    def decode(self) -> list[Any]:
        """The bodies, as the peer made them. Raises `MalformedFrame`."""
        if self._alone:
            bodies = [cbor.loads(self._encoded, _PACKED_DEPTH - 1)]
        else:
            bodies = cbor.loads(self._encoded, _PACKED_DEPTH)
        if self._bulk is not None:
            self._put_in_place(bodies, self._bulk)
        return bodies

    def _put_in_place(self, bodies: list[Any], bulk: bytes | memoryview) -> None:
        begin = 0
        for index, body in enumerate(bodies):
            place, at = (body, -1) if self._in_item else (bodies, index)
            if type(place) is not list or not place or type(place[at]) is not int:
                raise MalformedFrame("no length in the place of what travelled beside the array")
            end = begin + place[at]
            if not begin <= end <= len(bulk):
                raise MalformedFrame("a length that goes beyond what travelled beside the array")
            place[at] = bulk[begin:end]
            begin = end
        if begin != len(bulk):
            raise MalformedFrame("more beside the array than the lengths in it speak of")


Bodies = list[Any] | Packed


def unpacked(bodies: Bodies) -> list[Any]:
    """The bodies of a run, decoded now if they are packed. Raises `MalformedFrame`."""
    return bodies.decode() if type(bodies) is Packed else bodies  # type: ignore[return-value]


class Body(NamedTuple):
    """A data frame's body.

    batch: its number; 0 carries control runs, or nothing, and is never acknowledged.
    acknowledged: every batch up to this one was accepted by the sender of the frame.
    handled: `[all up to, [first, last], ...]`, ascending: batches whose messages were handled.
    credit: how many bytes of credited runs its sender will take in all, an absolute offset.
    runs: `[kind, subject, bodies]` each.
    cost: bytes of the encoded runs, a body that travelled beside them included.
    message_count: messages in all runs.
    """

    batch: int
    acknowledged: int
    handled: list[Any]
    credit: int
    runs: list[Any]
    cost: int
    message_count: int


def encode_head(
    batch: int, acknowledged: int, handled: Sequence[Any], credit: int, run_count: int
) -> bytes:
    """The numbers before the runs, in full width. Encoded runs are appended to it.

    Raises `struct.error` for numbers outside 64 bits and more than 65,531 runs.
    """
    if len(handled) == 1:
        return _BARE_HEAD.pack(
            *(_LONG_ARRAY, _NUMBERS_BEFORE_RUNS + run_count, _LONG_INTEGER, batch),
            *(_LONG_INTEGER, acknowledged, _LONG_ARRAY, 1, _LONG_INTEGER, handled[0]),
            *(_LONG_INTEGER, credit),
        )
    parts = [
        _HEAD_WITHOUT_CREDIT.pack(
            *(_LONG_ARRAY, _NUMBERS_BEFORE_RUNS + run_count, _LONG_INTEGER, batch),
            *(_LONG_INTEGER, acknowledged, _LONG_ARRAY, len(handled), _LONG_INTEGER, handled[0]),
        )
    ]
    for first, last in handled[1:]:
        parts.append(_RANGE.pack(_PAIR, _LONG_INTEGER, first, _LONG_INTEGER, last))
    parts.append(_CREDIT.pack(_LONG_INTEGER, credit))
    return b"".join(parts)


def encode_run(kind: int, subject: str, bodies: list[bytes]) -> bytes:
    """A run of byte strings, in one pass. The caller knows that they are bytes."""
    return cbor.dumps_unchecked([kind, subject, bodies])


def encode_packed_run(kind: int, subject: str, encoded_bodies: list[bytes]) -> bytes:
    """A run of bodies that are CBOR already: each from `cbor.dumps`, or an item from here."""
    array_head = cbor.array_head(len(encoded_bodies))
    packed_bytes = len(array_head) + sum(map(len, encoded_bodies))
    head = _run_head(kind, subject)
    return b"".join((head, cbor.bytes_head(packed_bytes), array_head, *encoded_bodies))


@lru_cache(maxsize=1024)
def _run_head(kind: int, subject: str) -> bytes:
    return _TRIPLE + cbor.dumps_unchecked(kind) + cbor.dumps_unchecked(subject)


def request_kind(depth: int) -> int:
    """The kind of a request made at this depth, 0 to `constants.DEPTH_MAX`."""
    return NESTED_REQUESTS[depth - 1] if depth else REQUEST


def encode_request(call_id: int, timeout_ms: int, body: object) -> bytes:
    """The item of a `REQUEST`. Raises `InvalidMessage` as `cbor.dumps` does."""
    return _item(call_id, timeout_ms, body)


def encode_reply(call_id: int, status: int, body: object) -> bytes:
    """The item of a `REPLY`. Raises `InvalidMessage` as `cbor.dumps` does."""
    return _item(call_id, status, body)


def _item(call_id: int, number: int, body: object) -> bytes:
    """The body is encoded apart, so that an error names a place in it and not around it."""
    return item_head(call_id, number) + cbor.dumps(body)


def item_head(call_id: int, number: int) -> bytes:
    """What stands before the body in the item of a request or reply, in full width.

    Raises `struct.error` for numbers outside 64 bits.
    """
    return _ITEM_HEAD.pack(*_TRIPLE, _LONG_INTEGER, call_id, _LONG_INTEGER, number)


def decode_body(
    plaintext: bytes | bytearray | memoryview, bulk: bytes | memoryview | None = None
) -> Body:
    """Take the body of a frame apart, its shape checked by the run, not by the message.

    `bulk` is what travelled beside the array: the byte strings of all messages of its one packed
    run. Their lengths stand in their places: the body of a `TELL`, the last element of the item of
    a `REQUEST`, `REPLY` or `CHUNK`.

    Packed bodies stay packed, but for control, which is acted on at once; the rooms that act on
    them decode and check them. Kinds that nobody knows pass.

    Raises `MalformedFrame` and nothing else.
    """
    value = cbor.loads_unchecked(plaintext, _FRAME_DEPTH)
    if type(value) is not list or len(value) < _NUMBERS_BEFORE_RUNS:
        raise MalformedFrame("a body is an array of four numbers and runs")
    batch, acknowledged, handled, credit = value[:_NUMBERS_BEFORE_RUNS]
    runs = value[_NUMBERS_BEFORE_RUNS:]
    if type(handled) is not list or len(handled) > HANDLED_MAX:
        raise MalformedFrame("more ranges than an honest peer can have")
    # Only numbers in the right places and ranges can give these very bytes again.
    try:
        head = encode_head(batch, acknowledged, handled, credit, len(runs))
    except (struct.error, TypeError, ValueError, IndexError, KeyError):
        raise MalformedFrame("a head of other things than numbers") from None
    if plaintext[: len(head)] != head:
        raise MalformedFrame("a head that is not in full width")
    if len(handled) > 1:
        _check_ranges(handled)
    if len(runs) > (1 if batch == 0 else RUNS_MAX):
        raise MalformedFrame("more runs than one frame may hold")
    count = 0
    for run in runs:
        count += _check_run(run, batch)
    if count > MESSAGES_MAX:
        raise MalformedFrame("more messages than one frame may hold")
    cost = len(plaintext) - len(head)
    if bulk is not None:
        _set_beside(bulk, runs)
        cost += len(bulk)
    return Body(batch, acknowledged, handled, credit, runs, cost, count)


def _check_ranges(handled: list[Any]) -> None:
    previous = handled[0]
    for first, last in handled[1:]:
        if not previous < first <= last:
            raise MalformedFrame("handled ranges that do not ascend")
        previous = last


def _check_run(run: object, batch: int) -> int:
    """How many messages the run holds."""
    if type(run) is not list or len(run) != 3:
        raise MalformedFrame("a run is a kind, a subject and bodies")
    kind, subject, bodies = run
    if type(kind) is not int or not 0 < kind <= KIND_MAX:
        raise MalformedFrame("a kind is a number from 1 to 255")
    if type(subject) is not str or len(subject.encode()) > constants.SUBJECT_MAX_BYTES:
        raise MalformedFrame("a run has a short text for a subject")
    if (kind >= FIRST_CONTROL) != (batch == 0):
        raise MalformedFrame("control rides in batch 0, and nothing else does")
    if type(bodies) is bytes:
        bodies = run[2] = Packed(bodies)
    elif type(bodies) is not list or not _are_bytes(bodies):
        raise MalformedFrame("a run's bodies are packed, or an array of byte strings")
    count = len(bodies)
    if not count:
        raise MalformedFrame("a run without bodies")
    if batch == 0:
        if count > 1:
            raise MalformedFrame("batch 0 holds one item of control at most")
        run[2] = unpacked(bodies)
    return count


def _are_bytes(bodies: list[Any]) -> bool:
    """Joining looks at all of them in C."""
    try:
        b"".join(bodies)
    except TypeError:
        return False
    return True


def _set_beside(bulk: bytes | memoryview, runs: list[Any]) -> None:
    """Give the one packed run the bodies that travelled beside the array."""
    if len(runs) != 1 or type(runs[0][2]) is not Packed:
        raise MalformedFrame("a bulk frame holds one packed run")
    kind, _, bodies = runs[0]
    if kind not in APART and kind != CHUNK:
        raise MalformedFrame("a kind whose bodies do not travel beside the array")
    bodies.set_beside(bulk, in_item=kind != TELL)
