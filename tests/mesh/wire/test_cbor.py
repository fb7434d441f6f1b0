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
    TEXT,
    Colour,
    Level,
    Mixed,
    Pair,
    nested,
    values,
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
@pytest.mark.parametrize("encode", [cbor.dumps, cbor.canonical_dumps])
def test_what_would_not_arrive_equal_is_refused(
    encode: Callable[[object], bytes], name: str
) -> None:
    """The sender hears of it, as its own mistake, when it encodes."""
    with pytest.raises(InvalidMessage):
        encode(REFUSED[name])


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
@pytest.mark.parametrize("decode", [cbor.loads, cbor.canonical_loads])
def test_malformed_bytes_are_refused(decode: Callable[[bytes], Any], name: str) -> None:
    """What this wire does not know is a MalformedFrame, the peer's fault."""
    with pytest.raises(MalformedFrame):
        decode(bytes.fromhex(MALFORMED[name]))


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
def test_long_forms_are_well_formed_but_not_canonical(text: str) -> None:
    """A number or length in more bytes than needed is taken, but never under a signature."""
    cbor.loads(bytes.fromhex(text))
    with pytest.raises(MalformedFrame, match="deterministic"):
        cbor.canonical_loads(bytes.fromhex(text))


@pytest.mark.parametrize(
    "text",
    ["fb3ff8000000000000", "fa3fc00000", "fb7ff8000000000000", "f97e01", "a2616200616100"],
    ids=["1.5 in 8 bytes", "1.5 in 4 bytes", "NaN in 8 bytes", "another NaN", "keys out of order"],
)
def test_other_encodings_of_one_value_are_not_canonical(text: str) -> None:
    """Floats in their shortest form, one NaN, keys in order: everything else is refused."""
    cbor.loads(bytes.fromhex(text))
    with pytest.raises(MalformedFrame, match="deterministic"):
        cbor.canonical_loads(bytes.fromhex(text))


@given(values(TEXT))
def test_canonical_encoding_is_one_for_equal_values(value: Any) -> None:
    """It comes back equal, is accepted, and does not depend on the order of a dict."""
    encoded = cbor.canonical_dumps(value)
    assert cbor.canonical_loads(encoded) == value
    assert cbor.canonical_dumps(cbor.canonical_loads(encoded)) == encoded
    assert cbor.canonical_loads(bytearray(encoded)) == value
    assert cbor.canonical_dumps(backwards(value)) == encoded


@given(values(TEXT))
def test_the_canonical_encoding_is_that_of_cbor2(value: Any) -> None:
    """Keys put in order give what cbor2 gives in its canonical mode."""
    assert cbor.canonical_dumps(value) == cbor2.dumps(value, canonical=True)


def is_canonical(data: bytes) -> bool:
    """Whether data are the deterministic encoding of one item, by decoding and encoding it."""
    try:
        return cbor2.dumps(without_bytes_keys(cbor.loads(data)), canonical=True) == data
    except MalformedFrame:
        return False


def without_bytes_keys(value: Any) -> Any:
    """The value itself; MalformedFrame for one that has a key of bytes somewhere."""
    if isinstance(value, dict):
        if not all(isinstance(key, str) for key in value):
            raise MalformedFrame("a key of bytes")
        value = {key: without_bytes_keys(item) for key, item in value.items()}
    return [without_bytes_keys(item) for item in value] if isinstance(value, list) else value


def taken_as_canonical(data: bytes) -> bool:
    """Whether `canonical_loads` takes data; nothing else may come out of it than a refusal."""
    try:
        value = cbor.canonical_loads(data)
    except MalformedFrame:
        return False
    assert cbor2.dumps(value, canonical=True) == data
    return True


@given(st.binary(max_size=40))
def test_any_bytes_are_taken_as_canonical_exactly_where_they_are(data: bytes) -> None:
    """What decoding and encoding again gives unchanged is taken, and no more."""
    assert taken_as_canonical(data) is is_canonical(data)


@given(values(TEXT), st.data())
def test_one_damage_is_taken_as_canonical_exactly_where_it_is(
    value: Any, data: st.DataObject
) -> None:
    """The same for encodings in which bytes were changed, put in, left out, or which end early."""
    encoded = cbor.canonical_dumps(value)
    place = data.draw(st.integers(0, len(encoded) - 1))
    new = data.draw(st.binary(max_size=2))
    rest = encoded[place + data.draw(st.integers(0, 2)) :]
    for damaged in (encoded[:place] + new + rest, encoded[:place], encoded + new):
        assert taken_as_canonical(damaged) is is_canonical(damaged)


@pytest.mark.parametrize("first", range(256))
def test_every_head_is_taken_as_canonical_exactly_where_it_is(first: int) -> None:
    """Each first byte, before lengths at the edges of the forms, alone and in containers."""
    lengths = (b"", b"\x00", b"\x17", b"\x18", b"\xff", b"\x00\xff", b"\x01\x00", b"\x00" * 8)
    lengths += (b"\x00\x00\xff\xff", b"\x00\x01\x00\x00", b"\x00" * 3 + b"\xff" * 5, b"\xff" * 8)
    for length in lengths:
        for body in (b"", b"\x00", b"a" * 24, b"\x61a\x00\x61b\x00", b"a" * 256, b"\x00" * 256):
            item = bytes((first,)) + length + body
            for data in (item, b"\x81" + item, b"\xa1\x61a" + item):
                assert taken_as_canonical(data) is is_canonical(data)


def test_a_key_of_bytes_is_found_wherever_floats_stand() -> None:
    """Whichever way a value is encoded, before or after a float, a key of bytes is refused."""
    for value in ({"a": 1.5, "b": {b"k": 1}}, {"a": {b"k": 1}, "b": 1.5}, [1.5, [{b"k": 0}]]):
        with pytest.raises(InvalidMessage, match="key of bytes"):
            cbor.canonical_dumps(value)
        with pytest.raises(MalformedFrame):
            cbor.canonical_loads(cbor2.dumps(value, canonical=True))


@pytest.mark.parametrize("head", [b"\x81", b"\xa1\x61a"])
def test_canonical_depth_at_the_limit_and_one_past_it(head: bytes) -> None:
    """As many containers in each other as elsewhere, and a depth bomb is refused."""
    deepest = head * cbor.MAX_DEPTH + b"\x00"
    assert cbor.canonical_dumps(cbor.canonical_loads(deepest)) == deepest
    for depth in (cbor.MAX_DEPTH + 1, 100_000):
        with pytest.raises(MalformedFrame):
            cbor.canonical_loads(head * depth + b"\x00")


def backwards(value: Any) -> Any:
    """The same value with every dict in the opposite order."""
    if isinstance(value, dict):
        return {key: backwards(item) for key, item in reversed(value.items())}
    return [backwards(item) for item in value] if isinstance(value, list) else value


@given(st.dictionaries(TEXT, st.none(), max_size=40))
def test_canonical_keys_stand_in_bytewise_order(value: dict[str, None]) -> None:
    """RFC 8949, section 4.2.1: the encoded keys ascend, byte by byte."""
    arrived = [cbor.dumps(key) for key in cbor.loads(cbor.canonical_dumps(value))]
    assert arrived == sorted(arrived)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "f90000"),
        (-0.0, "f98000"),
        (1.0, "f93c00"),
        (1.1, "fb3ff199999999999a"),
        (65504.0, "f97bff"),
        (100000.0, "fa47c35000"),
        (3.4028234663852886e38, "fa7f7fffff"),
        (5.960464477539063e-8, "f90001"),
        (0.00006103515625, "f90400"),
        (1e300, "fb7e37e43c8800759c"),
        (math.inf, "f97c00"),
        (math.nan, "f97e00"),
        (1000000, "1a000f4240"),
        (-(1 << 64), "3bffffffffffffffff"),
        ({"z": 1, "aa": 2, "": 3}, "a3" + "6003" + "617a01" + "62616102"),
    ],
)
def test_canonical_examples(value: object, text: str) -> None:
    """Shortest floats and ordered keys, as in appendix A of RFC 8949."""
    assert cbor.canonical_dumps(value).hex() == text
    cbor.canonical_loads(bytes.fromhex(text))


@pytest.mark.parametrize("value", [{b"a": 1}, [{"x": {b"a": 1}}], {"a": [{b"": 0}]}])
def test_keys_of_bytes_are_not_canonical(value: object) -> None:
    """Both sides refuse them, though a plain message may hold them."""
    with pytest.raises(InvalidMessage):
        cbor.canonical_dumps(value)
    with pytest.raises(MalformedFrame):
        cbor.canonical_loads(cbor.dumps(value))


def test_canonical_codec() -> None:
    """What the handshake is handed encodes, decodes and refuses as the functions do."""
    assert cbor.CANONICAL.loads(cbor.CANONICAL.dumps({"id": b"x"})) == {"id": b"x"}
    with pytest.raises(ValueError):
        cbor.CANONICAL.loads(b"\x18\x00")


def test_a_flood_of_small_containers_is_decoded() -> None:
    """A frame full of empty lists and maps is legal, and comes back."""
    value = [[], {}] * 8000
    assert cbor.loads(cbor.dumps(value)) == value
