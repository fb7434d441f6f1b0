"""The strict CBOR: what may be sent arrives equal, and any bytes give a value or one error."""

import collections
import math
import struct
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cbor_corpus import (
    CARRIED,
    MALFORMED,
    REFUSED,
    Colour,
    Level,
    Mixed,
    Pair,
    nested,
)
from handshake.identity import NodeId
from mesh.errors import InvalidMessage, MalformedFrame
from mesh.wire import cbor


@given(CARRIED)
def test_what_can_be_carried_arrives_equal(value: Any) -> None:
    """Every value of the list of types comes out as it went in, and so do its types."""
    arrived = cbor.loads(cbor.dumps(value))
    assert arrived == value
    assert repr(arrived) == repr(value)


@pytest.mark.parametrize("value", [math.inf, -math.inf, -0.0, 5e-324, 1.7976931348623157e308])
def test_floats_keep_their_bits(value: float) -> None:
    """The ends of the range of float arrive bit by bit."""
    arrived = cbor.loads(cbor.dumps([value]))[0]
    assert struct.pack(">d", arrived) == struct.pack(">d", value)


def test_nan_is_carried() -> None:
    """NaN arrives as NaN although it is equal to nothing, also through the slow road."""
    arrived = cbor.loads(cbor.dumps([math.nan, memoryview(b"")]))
    assert math.isnan(arrived[0])


@pytest.mark.parametrize(
    ("value", "arrives"),
    [
        ((1, (2, ())), [1, [2, []]]),
        ({"a": (1,)}, {"a": [1]}),
        (bytearray(b"ab"), b"ab"),
        (memoryview(b"ab"), b"ab"),
        (memoryview(b"a-b-")[::2], b"ab"),
        ([memoryview(b"ab"), {"k": bytearray(b"c")}], [b"ab", {"k": b"c"}]),
        (Level.LOW, 1),
        ([Level.LOW, True], [1, True]),
        (Colour.RED, "red"),
        (Mixed.RED, "red"),
        ({Colour.RED: Colour.RED}, {"red": "red"}),
        (Pair(1, 2), [1, 2]),
        (collections.OrderedDict(b=1, a=2), {"b": 1, "a": 2}),
        (collections.defaultdict(list, a=[1]), {"a": [1]}),
        ({b"key": None, "key": 1}, {b"key": None, "key": 1}),
    ],
)
def test_equal_in_another_type(value: object, arrives: object) -> None:
    """Tuples, buffers and instances of subclasses arrive as their plain equals."""
    arrived = cbor.loads(cbor.dumps(value))
    assert arrived == arrives
    assert repr(arrived) == repr(arrives)


def test_a_node_id_is_carried_as_bytes() -> None:
    """A NodeId may be said in a message; it arrives as its 32 bytes."""
    key = bytes.fromhex("3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c")
    assert cbor.loads(cbor.dumps({"who": NodeId(key)})) == {"who": key}
    assert type(cbor.loads(cbor.dumps(NodeId(key)))) is bytes


@pytest.mark.parametrize("name", REFUSED)
def test_what_would_not_arrive_equal_is_refused(name: str) -> None:
    """The sender hears of it, as its own mistake, when it encodes."""
    with pytest.raises(InvalidMessage):
        cbor.dumps(REFUSED[name])


@pytest.mark.parametrize("kind", ["list", "tuple", "dict"])
def test_depth_at_the_limit_and_one_past_it(kind: str) -> None:
    """64 containers inside each other go both ways; one more goes neither way."""
    deepest = nested(kind, cbor.MAX_DEPTH)
    assert cbor.dumps(cbor.loads(cbor.dumps(deepest))) == cbor.dumps(deepest)
    too_deep = nested(kind, cbor.MAX_DEPTH + 1)
    with pytest.raises(InvalidMessage, match="more than 64 containers inside each other"):
        cbor.dumps(too_deep)
    with pytest.raises(MalformedFrame):
        cbor.loads(cbor2.dumps(too_deep))
    assert cbor.loads(cbor.dumps(too_deep, 65), 65) is not None


def test_a_depth_bomb_is_refused_before_the_stack_ends() -> None:
    """A hundred thousand lists inside each other are an InvalidMessage, not a crash."""
    with pytest.raises(InvalidMessage):
        cbor.dumps(nested("list", 100_000))


@pytest.mark.parametrize("kind", ["list", "dict"])
def test_a_container_inside_itself_is_refused(kind: str) -> None:
    """A cycle is an InvalidMessage, not an endless loop."""
    inside_itself: Any = []
    inside_itself.append(inside_itself)
    by_key: dict[str, Any] = {}
    by_key["me"] = by_key
    with pytest.raises(InvalidMessage):
        cbor.dumps(inside_itself if kind == "list" else by_key)


def test_the_error_says_where_and_not_what() -> None:
    """The text holds the path and the type of the culprit, never a value."""
    with pytest.raises(InvalidMessage) as raised:
        cbor.dumps({"jobs": [1, {"password": {b"hunter2"}}]})
    assert (
        str(raised.value)
        == "a value of type set cannot be carried (at body['jobs'][1]['password'])"
    )
    with pytest.raises(InvalidMessage, match="a key is of type int"):
        cbor.dumps({"a": {5: "secret"}})
    with pytest.raises(InvalidMessage, match="beyond 64 bits"):
        cbor.dumps([1 << 70])


def test_numbers_are_encoded_as_plain_cbor() -> None:
    """The fast road gives exactly the bytes of RFC 8949."""
    assert cbor.dumps({"a": 1, "b": [2, 3]}).hex() == "a26161016162820203"
    assert cbor.dumps_unchecked([1, "a", [b"x"]]).hex() == "830161618141" + "78"
    with pytest.raises(InvalidMessage):
        cbor.dumps_unchecked([1, "\ud800", []])


@pytest.mark.parametrize("length", [0, 1, 23, 24, 255, 256, 65_535, 65_536])
def test_array_head(length: int) -> None:
    """The head before joined items is the one that the encoder itself would write."""
    head = cbor.array_head(length)
    assert head + b"\xf6" * length == cbor.dumps([None] * length)


@pytest.mark.parametrize("name", MALFORMED)
def test_malformed_bytes_are_refused(name: str) -> None:
    """What this wire does not know is a MalformedFrame, the peer's fault."""
    with pytest.raises(MalformedFrame):
        cbor.loads(bytes.fromhex(MALFORMED[name]))


@pytest.mark.parametrize("head", ["f7", "e3", "f8ff"])
@pytest.mark.parametrize(
    "around",
    [
        pytest.param(("", ""), id="alone"),
        pytest.param(("8243e0f7f8", ""), id="beside bytes that look like one"),
        pytest.param(("825903e8" + "00" * 1000 + "81", ""), id="in a long frame"),
        pytest.param(("99020a" + "a16161fb40e8f7e000000000" * 521, ""), id="after many maps"),
        pytest.param(("98c8" + "8143f7f8e0" * 199 + "81", ""), id="in the last of many lists"),
        pytest.param(("82" + "81" * 30, "00"), id="deep"),
    ],
)
def test_no_simple_value_hides(around: tuple[str, str], head: str) -> None:
    """Simple values are found by every road: short or long frames, few or many containers."""
    before, after = around
    with pytest.raises(MalformedFrame, match="simple value"):
        cbor.loads(bytes.fromhex(before + head + after))


@pytest.mark.parametrize(
    "value",
    [
        [b"\xf7\xe0\xf8"],
        [b"\xf7" * 1000, {"a": [b"\xe1" * 2000, {}]}],
        [{"a": b"\xf7\xf8", "b": [1.5e300]} for _ in range(300)],
        [[b"\xf7"] for _ in range(300)],
        ["é" * 3000, [], {}],
    ],
)
def test_bytes_that_only_look_like_simple_values_pass(value: Any) -> None:
    """The search for simple values refuses no honest frame."""
    assert cbor.loads(cbor.dumps(value)) == value


@pytest.mark.parametrize("major", range(7))
def test_a_huge_declared_length_allocates_nothing(major: int) -> None:
    """A head that promises up to 2^64 - 1 items or bytes is refused by what is there."""
    code = f"""
import sys
if sys.platform == "linux":
    import resource
    resource.setrlimit(resource.RLIMIT_AS, (1 << 29, 1 << 29))
from mesh.errors import MalformedFrame
from mesh.wire import cbor
heads = [bytes([({major} << 5) | 26]) + n.to_bytes(4) for n in (1 << 24, 1 << 28, (1 << 32) - 1)]
heads += [bytes([({major} << 5) | 27]) + (1 << n).to_bytes(8) for n in range(24, 64)]
heads += [bytes([({major} << 5) | 27]) + bytes([255]) * 8]
for head in heads:
    for data in (head + b"ab", b"\\x82" + head, b"\\xa1aa" + head + b"\\x00aa"):
        try:
            cbor.loads(data)
        except MalformedFrame:
            continue
        raise SystemExit(f"{{data.hex()}} was taken")
print("refused")
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.stdout.strip(), done.returncode) == ("refused", 0), done.stderr


def test_the_error_says_little_of_what_a_peer_sent() -> None:
    """However long the key that came twice, the text that reaches a log is short."""
    key = cbor.dumps("k" * 60_000)
    with pytest.raises(MalformedFrame) as raised:
        cbor.loads(b"\xa2" + (key + b"\x00") * 2)
    assert len(str(raised.value)) < 200


def test_colliding_keys_are_refused_at_the_first() -> None:
    """Integers whose hashes collide never reach a dict."""
    step = sys.hash_info.modulus
    flood = {n * step: None for n in range(4)} | {-n * step: None for n in range(1, 4)}
    with pytest.raises(MalformedFrame, match="map key must be"):
        cbor.loads(cbor2.dumps(flood))


@pytest.mark.parametrize("depth", [cbor.MAX_DEPTH + 1, 100_000, 1_000_000])
@pytest.mark.parametrize("head", [b"\x81", b"\xa1\x61a"])
def test_deep_nesting_is_refused(head: bytes, depth: int) -> None:
    """However deep, with an end or without one."""
    with pytest.raises(MalformedFrame):
        cbor.loads(head * depth)
    with pytest.raises(MalformedFrame):
        cbor.loads(head * depth + b"\x00")


@given(st.binary(max_size=200))
def test_any_bytes_give_a_value_or_malformed_frame(data: bytes) -> None:
    """The fuzz contract; and a value that was taken could have been sent."""
    try:
        value = cbor.loads(data)
    except MalformedFrame:
        return
    again = cbor.dumps(value)
    assert cbor.dumps(cbor.loads(again)) == again


@given(CARRIED, st.data())
def test_a_damaged_encoding_gives_a_value_or_malformed_frame(
    value: Any, data: st.DataObject
) -> None:
    """The same for bytes that are almost right: one changed, inserted, removed or cut."""
    encoded = bytearray(cbor.dumps(value))
    place = data.draw(st.integers(0, len(encoded) - 1))
    byte = data.draw(st.integers(0, 255))
    match data.draw(st.sampled_from(["change", "insert", "remove", "cut"])):
        case "change":
            encoded[place] = byte
        case "insert":
            encoded.insert(place, byte)
        case "remove":
            del encoded[place]
        case _:
            del encoded[place:]
    try:
        taken = cbor.loads(encoded)
    except MalformedFrame:
        return
    cbor.dumps(taken)


@given(CARRIED, st.binary(min_size=1, max_size=4))
def test_bytes_after_the_item_are_refused(value: Any, more: bytes) -> None:
    """Exactly one item, whatever follows it."""
    with pytest.raises(MalformedFrame):
        cbor.loads(cbor.dumps(value) + more)


@pytest.mark.parametrize("size", [0, 100, 65_535, 65_536, 65_537, 200_000])
def test_the_end_is_found_at_every_length(size: int) -> None:
    """One item is taken and a byte more refused also where the reader needs several reads."""
    encoded = cbor.dumps([bytes(size), "é" * size])
    assert cbor.loads(encoded) == [bytes(size), "é" * size]
    with pytest.raises(MalformedFrame, match="after the end"):
        cbor.loads(encoded + b"\x00")
    with pytest.raises(MalformedFrame):
        cbor.loads(encoded[:-1])


@pytest.mark.parametrize("buffer", [bytearray, memoryview])
def test_other_buffers_are_decoded_like_bytes(buffer: Callable[[bytes], Any]) -> None:
    """The result is the same, and does not change when the buffer is used again."""
    encoded = bytearray(cbor.dumps({"a": [b"x" * 100]}))
    value = cbor.loads(buffer(encoded))
    encoded[:] = bytes(len(encoded))
    assert value == {"a": [b"x" * 100]}
    assert cbor.loads(memoryview(b"\x81-\xf6-")[::2]) == [None]
    with pytest.raises(MalformedFrame):
        cbor.loads(buffer(b"\x81"))


@pytest.mark.parametrize("wrong", [5, "text", None, [1]])
def test_what_is_not_bytes_is_our_own_mistake(wrong: Any) -> None:
    """A TypeError, not a frame of five zero bytes."""
    with pytest.raises(TypeError):
        cbor.loads(wrong)


LONG_FORMS = ["1800", "190001", "1b0000000000000001", "7800", "9800", "b800", "5900" + "00"]


@pytest.mark.parametrize("text", LONG_FORMS)
def test_long_forms_are_well_formed(text: str) -> None:
    """A number or length in more bytes than needed is taken."""
    cbor.loads(bytes.fromhex(text))


def test_a_flood_of_small_containers_is_decoded() -> None:
    """A frame full of empty lists and maps is legal, and comes back."""
    value = [[], {}] * 8000
    assert cbor.loads(cbor.dumps(value)) == value
