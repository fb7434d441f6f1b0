"""Vectors of sections 4, 10, 12 and 13: frames on the sessions of the exchanges, opened."""

from collections.abc import Sequence

from handshake.authentication import Established
from mesh.constants import MESSAGE_OVERHEAD_BYTES
from mesh.session.deadlines import Lifetime
from mesh.session.session import Session
from mesh.wire import frames, messages
from mesh.wire.cbor import dumps
from spec_vectors.exchanges import Exchange
from spec_vectors.material import number, octets, shown

EVERYTHING = {
    "null": None,
    "truth": [True, False],
    "numbers": [0, 23, 24, 255, 256, 65_536, 2**32, 2**64 - 1, -1, -24, -25, -(2**64)],
    "floats": [0.0, -1.5, 1e300, float("inf")],
    "text": "naïve 🐝",
    "bytes": b"\x00\xff",
    b"key": {"nested": [[], {}, [[b""]]]},
}
_LONG_SUBJECT = "é" * 127 + "x"


class Conversation:
    """Frames between alice and bob on one session, in the order in which they are sealed."""

    def __init__(
        self, name: str, exchange: Exchange, alice: Established, bob: Established, fresh: int | None
    ) -> None:
        self._sessions = {"alice": session_of(exchange, alice), "bob": session_of(exchange, bob)}
        self._established = {"alice": alice, "bob": bob}
        self._suite = exchange.suite
        self.frames: list[dict[str, object]] = []
        self.vector: dict[str, object] = {
            "name": name,
            "exchange": exchange.plan.name,
            "fresh": fresh,
            "suite": exchange.suite,
            "frames": self.frames,
        }

    def say(
        self,
        name: str,
        speaker: str,
        batch: int,
        runs: Sequence[bytes] = (),
        *,
        acknowledged: int = 0,
        handled: Sequence[object] = (0,),
        credit: int = 65_536,
        bulk: bytes | None = None,
    ) -> None:
        """Seal one frame and note everything about it."""
        head = messages.encode_head(batch, acknowledged, list(handled), credit, len(runs))
        plaintext = head + b"".join(runs)
        frame = bytes(self._sessions[speaker].seal(plaintext, bulk))
        header = frames.parse_data_header(frame)
        send_key, _ = self._established[speaker].traffic_keys(self._suite)
        initiator = self._established[speaker].initiator
        self.frames.append(
            {
                "name": name,
                "from": "initiator" if initiator else "responder",
                "key": send_key.hex(),
                "counter": header.counter,
                "plaintext": plaintext.hex(),
                "bulk": None if bulk is None else bulk.hex(),
                "frame": frame.hex(),
                "says": _said(plaintext, bulk),
            }
        )

    def control(self, speaker: str, kind: int, item: object, **numbers: object) -> None:
        """One control item."""
        run = messages.encode_packed_run(kind, "", [dumps(item)])
        self.say(KIND_NAMES[kind], speaker, 0, [run], **numbers)  # type: ignore[arg-type]


KIND_NAMES = {
    getattr(messages, name): name
    for name in (
        *("TELL", "REQUEST", "REPLY", "CANCEL", "LARGE", "GRANT", "CHUNK", "ABANDON"),
        *("PING", "PONG", "WELCOME", "CLOSE", "GAP", "HELLO", "HELLO_ANSWER", "CHALLENGE"),
        *("CHALLENGE_ANSWER", "FRESH_1", "FRESH_2", "PROBE"),
    )
} | dict.fromkeys(messages.NESTED_REQUESTS, "NESTED_REQUESTS")


def session_of(exchange: Exchange, established: Established) -> Session:
    """A session of one side; what is no matter to its frames is made up."""
    return Session(
        established,
        own_id=exchange.alice.identity.id,
        suite=exchange.suite,
        peer_instance=exchange.bob.instance,
        generation=1,
        epoch=0,
        lifetime=Lifetime.begin(0.0, rekey_after=120.0, initiator=True, round_trip=0.0),
        chain_began=0.0,
    )


def _said(plaintext: bytes, bulk: bytes | None) -> dict[str, object]:
    body = messages.decode_body(plaintext, bulk)
    runs = []
    for kind, subject, bodies in body.runs:
        unpacked = messages.unpacked(bodies)
        name = KIND_NAMES.get(kind)
        runs.append([kind, name, subject, [shown(message) for message in unpacked]])
    depths = {messages.DEPTHS[kind] for kind, *_ in runs if kind in messages.DEPTHS}
    credited = bool(depths)
    count = sum(len(run[-1]) for run in runs)
    return {
        "batch": body.batch,
        "acknowledged": shown(body.acknowledged),
        "handled": shown(body.handled),
        "credit": shown(body.credit),
        "depth": depths.pop() if depths else None,
        "cost": body.cost + MESSAGE_OVERHEAD_BYTES * count if credited else 0,
        "runs": runs,
    }


def conversations(exchanges: Sequence[Exchange]) -> list[dict[str, object]]:
    """A long one on each first session, a short one on each renewed session."""
    made = []
    for exchange in exchanges:
        alice, bob = exchange.initiator.established, exchange.responder.established
        first = Conversation(f"{exchange.plan.name}: first", exchange, alice, bob, None)
        _beginning(first, exchange)
        _messages(first)
        _calls(first)
        _nested_calls(first)
        _large_messages(first)
        _the_rest(first, exchange)
        made.append(first)
        for index, fresh in enumerate(exchange.fresh):
            name = f"{exchange.plan.name}: fresh {index + 1}"
            renewed = Conversation(name, exchange, fresh.alice, fresh.bob, index)
            token = number(name)
            renewed.control(fresh.initiated_by, messages.PING, token)
            other = "bob" if fresh.initiated_by == "alice" else "alice"
            renewed.control(other, messages.PONG, token)
            made.append(renewed)
    return [conversation.vector for conversation in made]


def _beginning(talk: Conversation, exchange: Exchange) -> None:
    generation = exchange.plan.generation + 1
    epoch, _ = exchange.plan.resume
    talk.control("bob", messages.WELCOME, [generation, epoch, 1])
    token = number("ping")
    talk.control("alice", messages.PING, token)
    talk.control("bob", messages.PONG, token)


def _messages(talk: Conversation) -> None:
    raw = messages.encode_run(messages.TELL, "log", [b"one", b"", octets("three", 60)])
    packed = messages.encode_packed_run(messages.TELL, "état", [dumps(EVERYTHING), dumps(None)])
    long = messages.encode_run(messages.TELL, _LONG_SUBJECT, [b"the longest subject"])
    bytes_packed = messages.encode_packed_run(messages.TELL, "log", [dumps(b"packed all the same")])
    unknown = messages.encode_packed_run(63, "nobody knows this kind", [dumps(1)])
    talk.say("a raw run", "alice", 1, [raw])
    talk.say("a packed run", "alice", 2, [packed])
    talk.say("several runs", "alice", 3, [raw, long, packed, bytes_packed, unknown])
    talk.say("a batch sent again", "alice", 1, [raw], acknowledged=2**40, handled=[7], credit=2**62)
    beside = messages.encode_packed_run(messages.TELL, "file", [dumps(300)])
    talk.say("a bulk tell", "alice", 4, [beside], bulk=octets("bulk tell", 300))
    beside = messages.encode_packed_run(messages.TELL, "file", [dumps(0)])
    talk.say("an empty bulk", "alice", 5, [beside], bulk=b"")
    beside = messages.encode_packed_run(messages.TELL, "file", [dumps(n) for n in (100, 0, 200)])
    talk.say("a bulk of three tells", "alice", 19, [beside], bulk=octets("three tells", 300))
    ranges = [1, (3, 3), (5, 2**33), (2**63, 2**64 - 1)]
    talk.say("numbers alone", "bob", 0, acknowledged=2**64 - 1, handled=ranges, credit=2**64 - 1)
    talk.say("a head with ranges", "bob", 1, [raw], acknowledged=5, handled=[2, (4, 5)])
    talk.say("no runs", "bob", 2)
    talk.say("a run in long forms", "bob", 3, [_clumsy()])


def _clumsy() -> bytes:
    """`[1, "log", [h'6f6e65']]` with every head longer than it has to be."""
    return (
        bytes.fromhex("9a00000003" + "1b0000000000000001" + "7803")
        + b"log"
        + (bytes.fromhex("990001" + "5a00000003") + b"one")
    )


def _calls(talk: Conversation) -> None:
    requests = [
        messages.encode_request(1, 30_001, {"text": "what?"}),
        messages.encode_request(2**40, 0, b"a short body of bytes"),
    ]
    cancel = messages.encode_packed_run(messages.CANCEL, "summarise", [dumps(1)])
    request = messages.encode_packed_run(messages.REQUEST, "summarise", requests)
    talk.say("requests, one cancelled", "alice", 6, [request, cancel])
    placeholder = messages.encode_request(3, 500, 100)
    beside = messages.encode_packed_run(messages.REQUEST, "summarise", [placeholder])
    talk.say("a bulk request", "alice", 7, [beside], bulk=octets("bulk request", 100))
    replies = [
        messages.encode_reply(1, messages.REPLY_OK, {"text": "that"}),
        messages.encode_reply(2, messages.REPLY_FAILED, ["ValueError", "no such text"]),
        messages.encode_reply(3, messages.REPLY_NO_HANDLER, None),
        messages.encode_reply(4, messages.REPLY_DENIED, None),
        messages.encode_reply(5, messages.REPLY_CANCELLED, None),
        messages.encode_reply(6, messages.REPLY_NOT_CARRIED, "it is a socket"),
        messages.encode_reply(7, 99, "a status that nobody knows"),
    ]
    talk.say("replies", "bob", 4, [messages.encode_packed_run(messages.REPLY, "", replies)])
    beside = messages.encode_packed_run(messages.REPLY, "", [messages.encode_reply(3, 0, 100)])
    talk.say("a bulk reply", "bob", 5, [beside], bulk=octets("bulk reply", 100))
    tell = messages.encode_run(messages.TELL, "log", [b"credited"])
    reply = messages.encode_packed_run(messages.REPLY, "", replies[:1])
    talk.say("a reply that shares a credited batch", "bob", 6, [tell, reply])


def _nested_calls(talk: Conversation) -> None:
    for depth, kind in enumerate(messages.NESTED_REQUESTS, 1):
        request = messages.encode_request(10 + depth, 5_000, {"depth": depth})
        run = messages.encode_packed_run(kind, "look up", [request])
        talk.say(f"a request of depth {depth}", "alice", 7 + depth, [run], acknowledged=6)
    placeholder = messages.encode_request(21, 500, 100)
    beside = messages.encode_packed_run(messages.request_kind(2), "look up", [placeholder])
    talk.say("a bulk request of depth 2", "bob", 7, [beside], bulk=octets("nested", 100))
    reply = messages.encode_packed_run(messages.REPLY, "", [messages.encode_reply(11, 0, 1)])
    nested = [messages.encode_request(22, 500, None), messages.encode_request(23, 500, b"\0")]
    run = messages.encode_packed_run(messages.request_kind(1), "look up", nested)
    talk.say("replies beside requests of depth 1", "bob", 8, [reply, run, reply])


def _large_messages(talk: Conversation) -> None:
    def run(kind: int, subject: str, *items: object) -> bytes:
        return messages.encode_packed_run(kind, subject, [dumps(item) for item in items])

    encoded = messages.encode_request(31, 500, {"text": "what?"})
    placeholder = messages.encode_request(30, 500, 100)
    announced = [
        run(messages.LARGE, "file", [1, messages.TELL, 500, dumps(500)]),
        run(
            messages.LARGE,
            "summarise",
            [2, messages.REQUEST, 100, placeholder],
            [3, messages.request_kind(1), len(encoded), b""],
        ),
        run(messages.LARGE, "file", [4, messages.TELL, 2**40, b""]),
    ]
    talk.say("large messages are announced", "alice", 12, announced)
    talk.say("they are granted", "bob", 9, [run(messages.GRANT, "", 1, 2, 3)], acknowledged=12)
    file = octets("large tell", 500)
    beside = run(messages.CHUNK, "", [1, 300])
    talk.say("a chunk beside the array", "alice", 13, [beside], bulk=file[:300])
    talk.say("a chunk in the array", "alice", 14, [run(messages.CHUNK, "", [3, encoded])])
    told = messages.encode_run(messages.TELL, "log", [b"between them"])
    talk.say("something between them", "alice", 15, [told])
    beside = run(messages.CHUNK, "", [1, 200])
    talk.say("the last chunk", "alice", 16, [beside], bulk=file[300:])
    beside = run(messages.CHUNK, "", [2, 100])
    talk.say("the only chunk", "alice", 17, [beside], bulk=octets("large request", 100))
    talk.say("a large message is abandoned", "alice", 18, [run(messages.ABANDON, "", 4)])
    reply = run(messages.LARGE, "", [1, messages.REPLY, 50, messages.encode_reply(30, 0, 50)])
    talk.say("a large reply is announced", "bob", 10, [reply], acknowledged=18, handled=[17])


def _the_rest(talk: Conversation, exchange: Exchange) -> None:
    token = number("path")
    talk.control("alice", messages.HELLO, token)
    talk.control("bob", messages.HELLO_ANSWER, token)
    talk.control("bob", messages.CHALLENGE, token)
    talk.control("alice", messages.CHALLENGE_ANSWER, token)
    talk.control("bob", messages.GAP, [19, 21], acknowledged=18, handled=[17])
    talk.control("alice", messages.PROBE, None)
    unknown = messages.encode_packed_run(200, "", [dumps({"what": "nobody knows"})])
    talk.say("a control item of an unknown kind", "bob", 0, [unknown])
    bare = messages.encode_run(messages.PING, "", [b"an item of another form, and raw"])
    talk.say("an item of another form", "bob", 0, [bare])
    first = exchange.fresh[0]
    other = "bob" if first.initiated_by == "alice" else "alice"
    talk.control(first.initiated_by, messages.FRESH_1, first.message_1)
    talk.control(other, messages.FRESH_2, first.message_2)
    talk.control("alice", messages.CLOSE, "closed", acknowledged=10, handled=[10])
    talk.control("bob", messages.CLOSE, "closed", acknowledged=18, handled=[18])
