"""Vectors of what has to be refused, and how far it comes: each with one fault."""

from collections.abc import Sequence

from handshake.errors import DecryptionFailed, Refused
from handshake.payload import read_payload
from handshake.primitives import Aead
from mesh.constants import HARD_STOP_FRAMES, NESTED_WINDOW_BYTES, WINDOW_MIN_BYTES
from mesh.counters import Counters
from mesh.delivery.incoming import Incoming
from mesh.errors import MalformedFrame
from mesh.session.session import Session
from mesh.wire import frames, messages
from mesh.wire.cbor import dumps
from spec_vectors.data_frames import session_of
from spec_vectors.exchanges import Exchange, Lie, Plan, patched
from spec_vectors.material import DAY, NOON, octets

_HEAD = messages.encode_head(1, 0, [0], 65_536, 1)
_CONTROL_HEAD = messages.encode_head(0, 0, [0], 65_536, 1)
_RUN = messages.encode_run(messages.TELL, "log", [b"one"])
_PING = messages.encode_packed_run(messages.PING, "", [dumps(7)])
_LARGE = dumps([1, messages.TELL, 500, dumps(500)])


def vectors(exchanges: Sequence[Exchange]) -> dict[str, object]:
    """Every fault, by the stage at which it ends."""
    exchange = exchanges[0]
    return {
        "header": _headers(),
        "counter": _counters(exchange),
        "tag": _tags(exchange),
        "body": _bodies(),
        "content": _contents(),
        "room": _rooms(),
        "payload": _payloads(exchange),
        "reason": [Exchange(plan).vector for plan in _REFUSED_PLANS],
    }


# -- header


def _headers() -> list[dict[str, object]]:
    data = frames.DATA_HEADER.pack(1, frames.DATA, 0, 5, 0)
    tag = bytes(16)
    noise = bytes(48)
    faults = {
        "nothing": b"",
        "another version": b"\x02" + data[1:] + tag,
        "a type that nobody knows": frames.DATA_HEADER.pack(1, 7, 0, 5, 0) + tag,
        "shorter than its header": data[:19],
        "DATA without a whole tag": data + tag[:15],
        "DATA with flags": frames.DATA_HEADER.pack(1, frames.DATA, 1, 5, 0) + tag,
        "REFUSAL with flags": frames.DATA_HEADER.pack(1, frames.REFUSAL, 1, 5, 0) + tag,
        "BULK with an array of 15 bytes": _bulk_header(15) + bytes(64),
        "BULK without room for its bulk": _bulk_header(17) + bytes(32),
        "a handshake frame without a message": frames.pack_handshake(1, 0, 5, b""),
        "a handshake frame of 4097 bytes": frames.pack_handshake(1, 0, 5, bytes(4069)),
        "MESSAGE_1 with a receiver": frames.pack_handshake(1, 6, 5, noise),
        "MESSAGE_1 without a sender": frames.pack_handshake(1, 0, 0, noise),
        "MESSAGE_2 without a receiver": frames.pack_handshake(2, 0, 5, noise),
        "MESSAGE_3 without a receiver": frames.pack_handshake(3, 0, 5, noise),
        "MESSAGE_3 without a sender": frames.pack_handshake(3, 5, 0, noise),
    }
    for name, frame in faults.items():
        handshake = frame[1:2] in {b"\1", b"\2", b"\3"}
        _expect(
            MalformedFrame,
            name,
            frames.parse_handshake if handshake else frames.parse_data_header,
            frame,
        )
    return [{"name": name, "frame": frame.hex()} for name, frame in faults.items()]


def _bulk_header(array_bytes: int) -> bytes:
    return frames.DATA_HEADER.pack(1, frames.BULK, array_bytes, 5, 0)


# -- counter


def _counters(exchange: Exchange) -> list[dict[str, object]]:
    """Frames in the order they arrive in, and whether each is to be opened."""
    last = HARD_STOP_FRAMES - 1
    orders = {
        "each counter once": [(0, True), (1, True), (0, False), (1, False), (2, True)],
        "out of order": [(5, True), (3, True), (4, True), (3, False), (9, True), (5, False)],
        "the window's edge": [(8192, True), (1, True), (1, False), (8193, True), (2, True)],
        "the last counter": [(last, True), (last + 1, False), (2**64 - 1, False)],
    }
    made = [_in_order(exchange, name, order) for name, order in orders.items()]
    beside = [("DATA", 3, True), ("BULK", 2, False), ("BULK", 4, True), ("DATA", 5, False)]
    return [*made, _mixed(exchange, "a bulk frame takes two", [*beside, ("BULK", last, False)])]


def _in_order(exchange: Exchange, name: str, order: list[tuple[int, bool]]) -> dict[str, object]:
    return _mixed(exchange, name, [("DATA", counter, taken) for counter, taken in order])


def _mixed(
    exchange: Exchange, name: str, order: Sequence[tuple[str, int, bool]]
) -> dict[str, object]:
    receiver = session_of(exchange, exchange.responder.established)
    steps = []
    for kind, counter, taken in order:
        frame = _sealed(exchange, counter, bulk=kind == "BULK")
        opened = receiver.open(frames.parse_data_header(frame), frame)
        assert (opened is not None) is taken, f"{name}: {counter}"
        steps.append({"frame": frame.hex(), "opened": taken})
    return {"name": name, "suite": exchange.suite, "key": _key(exchange), "frames": steps}


def _key(exchange: Exchange) -> str:
    send_key, _ = exchange.initiator.established.traffic_keys(exchange.suite)
    return send_key.hex()


def _sealed(exchange: Exchange, counter: int, *, bulk: bool = False) -> bytes:
    """A frame of alice's under any counter: a ping, or a tell with a bulk body."""
    established = exchange.initiator.established
    aead = Aead(exchange.suite, bytes.fromhex(_key(exchange)))
    receiver = established.remote_session_id
    if not bulk:
        header = frames.DATA_HEADER.pack(1, frames.DATA, 0, receiver, counter)
        return header + aead.seal(counter, header, _CONTROL_HEAD + _PING)
    array = _HEAD + messages.encode_packed_run(messages.TELL, "file", [dumps(None)])
    header = frames.DATA_HEADER.pack(1, frames.BULK, len(array) + 16, receiver, counter)
    following = (counter + 1) % (1 << 64)
    return header + aead.seal(counter, header, array) + aead.seal(following, header, b"bulk")


# -- tag


def _tags(exchange: Exchange) -> list[dict[str, object]]:
    good, bulk = _sealed(exchange, 0), _sealed(exchange, 0, bulk=True)
    array_ends = 20 + int.from_bytes(bulk[2:4], "big")
    faults = {
        "another receiver": _changed(good, 11),
        "another counter": _changed(good, 19),
        "the first sealed byte": _changed(good, 20),
        "the last byte of the tag": _changed(good, len(good) - 1),
        "cut short by a byte": good[:-1],
        "DATA that says it is BULK": _changed(good, 1, 1)[:2] + b"\0\x20" + good[4:],
        "BULK whose array is changed": _changed(bulk, 30),
        "BULK whose bulk is changed": _changed(bulk, array_ends),
        "BULK with its array one byte shorter": _changed(bulk, 3),
        "sealed for the other direction": _other_direction(exchange),
    }
    key = _key(exchange)
    for name, frame in faults.items():
        session = session_of(exchange, exchange.responder.established)
        _expect(DecryptionFailed, name, _open(session), frame)
    return [
        {"name": name, "suite": exchange.suite, "key": key, "frame": frame.hex()}
        for name, frame in faults.items()
    ]


def _open(session: Session) -> object:
    return lambda frame: session.open(frames.parse_data_header(frame), frame)


def _changed(frame: bytes, place: int, by: int = 1) -> bytes:
    return frame[:place] + bytes([frame[place] ^ by]) + frame[place + 1 :]


def _other_direction(exchange: Exchange) -> bytes:
    send_key, _ = exchange.responder.established.traffic_keys(exchange.suite)
    receiver = exchange.initiator.established.remote_session_id
    header = frames.DATA_HEADER.pack(1, frames.DATA, 0, receiver, 0)
    sealed = Aead(exchange.suite, send_key).seal(0, header, _CONTROL_HEAD + _PING)
    return header + sealed


# -- body and content


def _bodies() -> list[dict[str, object]]:
    short = dumps([1, 0, [0], 65_536])
    packed = messages.encode_packed_run(messages.TELL, "log", [dumps(None)])
    twice = messages.encode_head(1, 0, [0], 65_536, 2)
    faults: dict[str, tuple[bytes, bytes | None]] = {
        "no CBOR": (b"\xff", None),
        "no array": (dumps({}), None),
        "a head in the shortest form": (short, None),
        "three numbers": (bytes.fromhex("990003") + _HEAD[3:33], None),
        "a run too few": (twice + _RUN, None),
        "a byte behind the runs": (_HEAD + _RUN + b"\0", None),
        "ranges that touch what is below": (_ranges([5, (5, 6)]), None),
        "a range that goes down": (_ranges([5, (9, 8)]), None),
        "ranges that overlap": (_ranges([5, (7, 9), (9, 10)]), None),
        "kind 0": (_HEAD + messages.encode_run(0, "log", [b"one"]), None),
        "kind 256": (_CONTROL_HEAD + messages.encode_run(256, "", [b"one"]), None),
        "control in a numbered batch": (_HEAD + _PING, None),
        "messages in batch 0": (_CONTROL_HEAD + _RUN, None),
        "two control items in a run": (_CONTROL_HEAD + _pings(2), None),
        "two control runs": (messages.encode_head(0, 0, [0], 0, 2) + _PING * 2, None),
        "1025 runs": (messages.encode_head(1, 0, [0], 0, 1025) + _RUN * 1025, None),
        "a run of two": (_HEAD + dumps([1, "log"]), None),
        "a subject of bytes": (_HEAD + dumps([1, b"log", [b"one"]]), None),
        "a raw run with a number in it": (_HEAD + dumps([1, "log", [b"one", 1]]), None),
        "a raw run without messages": (_HEAD + dumps([1, "log", []]), None),
        "a packed run without messages": (_HEAD + dumps([1, "log", b"\x80"]), None),
        "packed content that is no array": (_HEAD + dumps([1, "log", b"\x01"]), None),
        "packed content of indefinite length": (_HEAD + dumps([1, "log", b"\x9f\xff"]), None),
        "packed content with an eight-byte length": (
            _HEAD + dumps([1, "log", b"\x9b" + bytes(7) + b"\x01\xf6"]),
            None,
        ),
        "a control item that is no CBOR": (_CONTROL_HEAD + dumps([64, "", b"\x81\xff"]), None),
        "bulk beside a raw run": (_HEAD + _RUN, b"bulk"),
        "bulk beside two runs": (twice + packed * 2, b"bulk"),
        "bulk beside a cancel": (
            _HEAD + messages.encode_packed_run(messages.CANCEL, "", [dumps(None)]),
            b"bulk",
        ),
        "a chunk in batch 0": (_CONTROL_HEAD + _packed(messages.CHUNK, dumps([1, b"one"])), None),
        "an announcement in batch 0": (_CONTROL_HEAD + _packed(messages.LARGE, _LARGE), None),
        "bulk beside an announcement": (_HEAD + _packed(messages.LARGE, _LARGE), b"bulk"),
        "bulk beside a grant": (_HEAD + _packed(messages.GRANT, dumps(None)), b"bulk"),
        "bulk beside an abandonment": (_HEAD + _packed(messages.ABANDON, dumps(None)), b"bulk"),
        "bulk beside a raw chunk": (
            _HEAD + messages.encode_run(messages.CHUNK, "", [dumps([1, 4])]),
            b"bulk",
        ),
        "bulk beside control": (_CONTROL_HEAD + _PING, b"bulk"),
        "bulk beside nothing": (messages.encode_head(1, 0, [0], 0, 0), b"bulk"),
    }
    for name, (plaintext, bulk) in faults.items():
        _expect(MalformedFrame, name, lambda data, bulk=bulk: _decode(data, bulk), plaintext)
    return [_plain(name, *fault) for name, fault in faults.items()]


def _ranges(handled: list[object]) -> bytes:
    return messages.encode_head(0, 0, handled, 0, 0)


def _pings(count: int) -> bytes:
    return messages.encode_packed_run(messages.PING, "", [dumps(7)] * count)


def _tells(count: int) -> bytes:
    return messages.encode_packed_run(messages.TELL, "log", [dumps(None)] * count)


def _decode(plaintext: bytes, bulk: bytes | None) -> object:
    return messages.decode_body(plaintext, bulk)


def _plain(name: str, plaintext: bytes, bulk: bytes | None) -> dict[str, object]:
    return {
        "name": name,
        "plaintext": plaintext.hex(),
        "bulk": None if bulk is None else bulk.hex(),
    }


def _contents() -> list[dict[str, object]]:
    """The frame is good, and its one run cannot be read."""
    deep = b"\x81" * 65 + b"\x81\xf6"
    request = messages.encode_request(1, 500, "no length here")
    three = messages.encode_packed_run(messages.TELL, "log", [dumps(n) for n in (1, 2, 3)])
    faults: dict[str, tuple[bytes, bytes | None]] = {
        "ends early": (dumps([1, "log", b"\x82\xf6"]), None),
        "more than it says": (dumps([1, "log", b"\x81\xf6\xf6"]), None),
        "a tag": (dumps([1, "log", b"\x81\xc0\x60"]), None),
        "undefined": (dumps([1, "log", b"\x81\xf7"]), None),
        "a key twice": (dumps([1, "log", bytes.fromhex("81a2616101616102")]), None),
        "too deep": (dumps([1, "log", b"\x81" + deep]), None),
        "no length in the bulk's place": (_packed(messages.TELL, dumps(None)), b"bulk"),
        "true in the bulk's place": (_packed(messages.TELL, dumps(True)), b"b"),
        "a length below zero": (_packed(messages.TELL, dumps(-4)), b"bulk"),
        "a length that goes beyond the bulk": (_packed(messages.TELL, dumps(5)), b"bulk"),
        "a length that is less than the bulk's": (_packed(messages.TELL, dumps(3)), b"bulk"),
        "lengths that go beyond the bulk": (three, bytes(5)),
        "lengths that are less than the bulk's": (three, bytes(7)),
        "no length in the request's place": (_packed(messages.REQUEST, request), b"bulk"),
        "bulk beside a request that is no array": (_packed(messages.REQUEST, dumps(1)), b"bulk"),
        "bulk beside an empty request": (_packed(messages.REQUEST, dumps([])), b"bulk"),
        "no length in a nested request's place": (
            _packed(messages.request_kind(4), request),
            b"bulk",
        ),
        "no length in the chunk's place": (_packed(messages.CHUNK, dumps([1, b""])), b"bulk"),
        "bulk beside a chunk that is no array": (_packed(messages.CHUNK, dumps(None)), b"bulk"),
    }
    for name, (run, bulk) in faults.items():
        body = messages.decode_body(_HEAD + run, bulk)
        _expect(MalformedFrame, name, messages.unpacked, body.runs[0][2])
    return [_plain(name, _HEAD + run, bulk) for name, (run, bulk) in faults.items()]


def _rooms() -> list[dict[str, object]]:
    """The body is good, and no honest sender has room for it, whatever it has sent before."""
    runs = {
        depth: messages.encode_packed_run(
            messages.request_kind(depth), "look up", [messages.encode_request(depth, 500, None)]
        )
        for depth in range(5)
    }
    request = [messages.encode_request(1, 500, None)]
    many = request * (NESTED_WINDOW_BYTES // 50)
    faults = {
        "requests of depths 0 and 1": [runs[0], runs[1]],
        "requests of depths 3 and 4": [runs[3], runs[4]],
        "a tell and a nested request": [_RUN, runs[2]],
        "a reply between two depths": [runs[1], _packed(messages.REPLY, request[0]), runs[2]],
        "more than the room of depth 1": [messages.encode_packed_run(5, "look up", many)],
    }
    made = []
    for name, fault in faults.items():
        plaintext = messages.encode_head(1, 0, [0], 65_536, len(fault)) + b"".join(fault)
        body = messages.decode_body(plaintext)
        incoming = Incoming(
            window_bytes=2 * WINDOW_MIN_BYTES,
            kept_bytes=1 << 30,
            large_bytes=1024,
            counters=Counters(),
        )
        assert incoming.accept(body, 0.0) == [], f"{name}: it is taken"
        made.append(_plain(name, plaintext, None))
    return made


def _packed(kind: int, encoded: bytes) -> bytes:
    return messages.encode_packed_run(kind, "log", [encoded])


# -- payload and reason


def _payloads(exchange: Exchange) -> list[dict[str, object]]:
    payload = bytes.fromhex(str(exchange.messages[2]["payload"]))
    payloads = {
        "nothing": b"",
        "a head of 183 bytes": payload[:183],
        "an id of small order": patched(0, (1).to_bytes(32, "little"))(payload),
        "an id that is no point": patched(0, (2).to_bytes(32, "little"))(payload),
        "session id zero": patched(32, bytes(8))(payload),
        "a delegation from 2^63 on": patched(40, (2**63).to_bytes(8, "big"))(payload),
        "a delegation until 2^63": patched(48, (2**63).to_bytes(8, "big"))(payload),
    }
    for name, wrong in payloads.items():
        _expect(Refused, name, lambda data: read_payload(data, bytes(32)), wrong)
    return [{"name": name, "payload": wrong.hex()} for name, wrong in payloads.items()]


_TERMS = 184


def _number(place: int, number: int) -> Lie:
    """Another number of eight bytes at this place of the terms."""
    return patched(_TERMS + place, number.to_bytes(8, "big"))


_REFUSED_PLANS = [
    Plan("a delegation of another mesh", "team", delegation_mesh="another team"),
    Plan("a delegation that has ended", "team", wall=NOON + 3 * DAY),
    Plan("a delegation that begins later", "team", wall=NOON - DAY),
    Plan("a delegation that was changed", "team", lie=patched(40, bytes(8))),
    Plan("later versions alone", "team", lie=patched(_TERMS + 56, b"\2\3")),
    Plan("earlier versions alone", "team", lie=patched(_TERMS + 56, b"\0\0")),
    Plan("a suite that not everybody has", "team", suites=(["AESGCM"], ["ChaChaPoly"])),
    Plan("a proof of nothing", "team", lie=patched(120, octets("another proof", 64))),
    Plan("no terms", "team", lie=lambda payload: payload[:_TERMS]),
    Plan("terms of 58 bytes", "team", lie=lambda payload: payload[:-1]),
    Plan("a window of 65535 bytes", "team", lie=_number(16, 65_535)),
    Plan("a window of 2^62 bytes", "team", lie=_number(16, 2**62)),
    Plan("a generation of 2^62", "team", lie=_number(32, 2**62)),
    Plan("an epoch of 2^62", "team", lie=_number(40, 2**62)),
    Plan("next is zero", "team", lie=_number(48, 0)),
    Plan("next is 2^62", "team", lie=_number(48, 2**62)),
]


def _expect(error: type[Exception], name: str, act: object, argument: object) -> None:
    """The code refuses it too, and in this way: a vector that it takes would be wrong."""
    assert callable(act)
    try:
        act(argument)
    except error:
        return
    raise AssertionError(f"{name}: it is taken")
