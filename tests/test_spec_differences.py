"""The code and the implementation written from docs/SPEC.md take and refuse the same bytes.

Vectors are changed at random; whatever comes of it, both read alike or both refuse.
"""

import json
from collections.abc import Callable
from math import isnan
from pathlib import Path
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st

import spec_cbor
import spec_large
import spec_wire
from handshake.errors import Refused
from handshake.identity import Identity
from handshake.payload import read_payload
from mesh.counters import Counters
from mesh.delivery import incoming
from mesh.delivery.assembly import Announced, Assembly
from mesh.engine import terms
from mesh.errors import MalformedFrame
from mesh.wire import cbor, frames, messages

VECTORS = Path(__file__).resolve().parent / "vectors"


def _load(name: str) -> Any:
    return json.loads((VECTORS / name).read_text(encoding="ascii"))


_CASES = [case for talk in _load("frames.json")["conversations"] for case in talk["frames"]]
_REFUSED = _load("refused.json")
_WRONG = [*_REFUSED["body"], *_REFUSED["content"], *_REFUSED["room"]]
_EXCHANGES = _load("exchanges.json")["exchanges"]

BODIES = sorted({bytes.fromhex(case["plaintext"]) for case in [*_CASES, *_WRONG]})
SMALL_BODIES = [body for body in BODIES if len(body) < 1000]
FRAMES = [
    *(bytes.fromhex(case["frame"]) for case in _CASES),
    *(bytes.fromhex(message["frame"]) for each in _EXCHANGES for message in each["messages"]),
    *(bytes.fromhex(case["frame"]) for case in _REFUSED["header"]),
]
SOMEBODY = Identity(bytes(32)).id
PAYLOADS = [
    *(bytes.fromhex(m["payload"]) for each in _EXCHANGES for m in each["messages"][1:]),
    *(bytes.fromhex(case["payload"]) for case in _REFUSED["payload"]),
]
# Heads of CBOR that are near each other in meaning, or far.
TELLING = bytes.fromhex("00171818191a1b1c1f203b4041585f60617f80818298999fa0a1bfc0e0f4f6f7f8f9fbff")


@st.composite
def changed(draw: st.DrawFn, originals: list[bytes]) -> bytes:
    """One of them, with up to three places cut, replaced or filled."""
    data = draw(st.sampled_from(originals))
    for _ in range(draw(st.integers(0, 3))):
        place = draw(st.integers(0, len(data)))
        cut = draw(st.integers(0, 3))
        fill = draw(
            st.one_of(
                st.binary(max_size=3),
                st.lists(st.sampled_from(TELLING), max_size=3).map(bytes),
            )
        )
        data = data[:place] + fill + data[place + cut :]
    return data


def _verdict(read: Callable[[], Any], *errors: type[Exception]) -> tuple[str, Any]:
    try:
        return "taken", read()
    except errors:
        return "refused", None


def _alike(one: Any, other: Any) -> bool:
    """Equal, types included, and not-a-number like itself."""
    if isinstance(one, float) and isinstance(other, float):
        return one == other or (isnan(one) and isnan(other))
    if type(one) is not type(other):
        return False
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(_alike, one, other))
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(_alike(one[key], other[key]) for key in one)
    return bool(one == other)


@given(changed([*SMALL_BODIES, bytes(range(256)), b"\x81" * 64 + b"\xf6", b"\xa1\x61a" * 40]))
@example(b"\x81" * 64 + b"\x80")
@example(b"\x81" * 65 + b"\x80")
@example(b"\xa1\x61a" * 64 + b"\xa0")
@example(b"\xa1\x61a" * 65 + b"\xa0")
def test_values(data: bytes) -> None:
    """Both decode the same CBOR."""
    ours = _verdict(lambda: cbor.loads(data), MalformedFrame)
    theirs = _verdict(lambda: spec_cbor.decode(data), spec_cbor.NotTaken)
    assert _alike(ours, theirs)


def _our_body(plaintext: bytes, bulk: bytes | None) -> Any:
    body = messages.decode_body(plaintext, bulk)
    runs = []
    for kind, subject, bodies in body.runs:
        told = _verdict(lambda bodies=bodies: messages.unpacked(bodies), MalformedFrame)
        runs.append([kind, subject, len(bodies), told])
    charge = incoming._charge(body)
    return [body.batch, body.acknowledged, body.handled, body.credit, charge, runs]


def _their_body(plaintext: bytes, bulk: bytes | None) -> Any:
    body = spec_wire.read_body(plaintext, bulk)
    runs = [
        [run.kind, run.subject, run.count, _verdict(run.messages, spec_wire.Refused)]
        for run in body.runs
    ]
    charge = body.depth or 0, body.cost
    return [body.batch, body.acknowledged, body.handled, body.credit, charge, runs]


@given(changed(SMALL_BODIES), st.sampled_from([None, b"", b"bulk"]))
@example(bytes.fromhex("990004") + (b"\x1b" + bytes(8)) * 2 + b"\xf6" + b"\x1b" + bytes(8), None)
def test_bodies(plaintext: bytes, bulk: bytes | None) -> None:
    """Both read the same numbers, runs and costs, or drop the body."""
    ours = _verdict(lambda: _our_body(plaintext, bulk), MalformedFrame)
    theirs = _verdict(lambda: _their_body(plaintext, bulk), spec_wire.Refused)
    assert _alike(ours, theirs)


@given(changed([frame[:100] for frame in FRAMES]))
def test_headers(frame: bytes) -> None:
    """Both take the same headers apart, or drop the frame."""

    def ours() -> Any:
        if frame[1:2] in {b"\1", b"\2", b"\3"}:
            kind, flags, receiver, sender, psk_id, noise = frames.parse_handshake(frame)
            return [kind, flags, receiver, sender, psk_id, noise]
        kind, receiver, counter, array_bytes = frames.parse_data_header(frame)
        return [kind, array_bytes, receiver, counter, b"", frame[20:]]

    def theirs() -> Any:
        kind, flags, receiver, number, psk_id, _, rest = spec_wire.take_apart(frame)
        return [kind, flags, receiver, number, psk_id, rest]

    assert _alike(_verdict(ours, MalformedFrame), _verdict(theirs, spec_wire.Refused))


@given(changed(PAYLOADS))
def test_payloads(payload: bytes) -> None:
    """Both take the same payloads of messages 2 and 3."""

    def ours() -> Any:
        said = read_payload(payload, bytes(32))
        delegation = list(said.delegation[1:])
        return [bytes(said.peer_id), said.session_id, *delegation, said.proof, said.terms]

    def theirs() -> Any:
        return list(spec_wire.read_payload(payload))

    assert _alike(_verdict(ours, Refused), _verdict(theirs, spec_wire.Refused))


@given(changed([payload[184:] for payload in PAYLOADS]), st.booleans())
def test_terms(said: bytes, last: bool) -> None:
    """Both take the same terms, or refuse them for the same reason."""
    reasons = []

    def ours() -> Any:
        try:
            read = terms.read(SOMEBODY, said, at_the_end=last)
        except Refused as refusal:
            reasons.append(refusal.reason.value)
            raise
        bits = sum(terms.SUITE_BITS[suite] for suite in read.suites)
        return [read.instance, *read.limits, *([read.generation, *read.resume] * last), bits]

    def theirs() -> Any:
        try:
            read = spec_wire.read_terms(said, last=last)
        except spec_wire.Refused as refusal:
            reasons.append(refusal.detail)
            raise
        numbers = [read.generation, read.epoch, read.next] * last
        return [read.instance, read.window, read.message, *numbers, read.suites & 3]

    assert _alike(_verdict(ours, Refused), _verdict(theirs, spec_wire.Refused))
    assert len(reasons) in {0, 2}
    assert len(set(reasons)) <= 1


ROOM = 20
LANES = st.integers(1, 12)
STEPS = st.one_of(
    st.tuples(
        st.just(messages.LARGE),
        LANES,
        st.sampled_from([*messages.DEPTHS, messages.REPLY, messages.CANCEL]),
        st.integers(0, ROOM + 1),
    ),
    st.tuples(st.just(messages.CHUNK), LANES, st.binary(max_size=ROOM)),
    st.tuples(st.just(messages.ABANDON), LANES),
    st.tuples(st.just(0), st.integers(1, 40)),
)


class _Ours:
    """`Assembly`, told step by step; `whole`: what it has put together."""

    def __init__(self) -> None:
        self.assembly = Assembly(ROOM, Counters())
        self.whole: list[Any] = []

    def take(self, batch: int, step: tuple[Any, ...]) -> None:
        """One step; kind 0 says that an earlier batch is handled."""
        kind, number, *rest = step
        if kind == messages.LARGE:
            self.assembly.announce(Announced(number, rest[0], "file", rest[1], b""))
        elif kind == messages.ABANDON:
            self.assembly.abandon(number)
        elif kind == 0:
            self.assembly.finished(number)
        elif (whole := self.assembly.add(number, rest[0])) is not None:
            self.assembly.take(whole, batch)
            self.whole.append((whole.kind, whole.subject))


def _theirs(arrivals: spec_large.Arrivals, batch: int, step: tuple[Any, ...]) -> Any:
    kind, number, *rest = step
    if kind == 0:
        return arrivals.handled(number)
    length = rest[-1] if kind == messages.LARGE else 0
    place = cbor.dumps(length if rest and rest[0] == messages.TELL else [length])
    items = {
        messages.LARGE: [number, *rest, place],
        messages.CHUNK: [number, *rest],
        messages.ABANDON: number,
    }
    return arrivals.on_item(batch, kind, "file", items[kind])


def _lane(step: tuple[Any, ...]) -> Any:
    """A lane is announced once; everything else may come again."""
    return step[1] if step[0] == messages.LARGE else object()


@given(st.lists(STEPS, max_size=40, unique_by=_lane))
def test_large_messages(steps: list[tuple[Any, ...]]) -> None:
    """Both grant the same lanes in the same order, and find the same messages whole."""
    ours, arrivals, whole = _Ours(), spec_large.Arrivals(ROOM), []
    for batch, step in enumerate(steps, 1):
        ours.take(batch, step)
        made = _theirs(arrivals, batch, step)
        if made is not None:
            whole.append(made[:2])
        assert ours.assembly.grants_due == arrivals.grants
        ours.assembly.grants_due.clear()
        arrivals.grants.clear()
        assert ours.whole == whole
    assert (ours.assembly.promised_bytes == 0) or not arrivals.empty
