"""The body of a data frame: encoded in one way, decoded strictly."""

import struct
import tracemalloc
from typing import Any

import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.errors import InvalidMessage, MalformedFrame
from mesh.wire import cbor, messages
from mesh.wire.messages import (
    CANCEL,
    CLOSE,
    PING,
    REPLY,
    REQUEST,
    TELL,
    Body,
    Packed,
    decode_body,
    unpacked,
)

NUMBER = st.integers(0, (1 << 64) - 1)
MOST = (1 << 64) - 1


@st.composite
def handled_lists(draw: st.DrawFn) -> list[Any]:
    """`[all up to, [first, last], ...]`, ascending."""
    steps = draw(st.lists(st.integers(1, 1 << 40), max_size=21))
    numbers = [sum(steps[: end + 1]) for end in range(len(steps))] or [0]
    pairs = zip(numbers[1::2], numbers[2::2], strict=False)
    return [numbers[0], *([first, last] for first, last in pairs)]


def head(runs: int = 1, batch: int = 1, handled: Any = (0,)) -> bytes:
    """An honest head."""
    return messages.encode_head(batch, 0, handled, 0, runs)


def body_of(*runs: object, batch: int = 1) -> bytes:
    """An honest head and any runs behind it."""
    return head(len(runs), batch) + b"".join(map(cbor2.dumps, runs))


def packed(kind: Any, subject: Any, bodies: object) -> list[Any]:
    """A run whose bodies are packed."""
    return [kind, subject, cbor2.dumps(bodies)]


def opened(body: Body) -> Body:
    """The same with every run decoded."""
    runs = [[kind, subject, unpacked(bodies)] for kind, subject, bodies in body.runs]
    return body._replace(runs=runs)


@given(NUMBER, NUMBER, handled_lists(), NUMBER, st.integers(0, 65_531))
def test_a_head_has_full_width(
    batch: int, acknowledged: int, handled: list[Any], credit: int, run_count: int
) -> None:
    """Its length depends on the number of ranges alone, and it is CBOR of just these numbers."""
    encoded = messages.encode_head(batch, acknowledged, handled, credit, run_count)
    assert len(encoded) == 3 + 9 + 9 + (3 + 9) + 9 + 19 * (len(handled) - 1)
    decoded = cbor2.loads(encoded + b"\xf6" * run_count)
    assert decoded == [batch, acknowledged, handled, credit, *[None] * run_count]


def test_layout_of_a_head() -> None:
    """Every number in nine bytes, every length in three."""
    encoded = messages.encode_head(1, 2, [3, [5, 6]], 7, 2)
    long = "1b00000000000000"
    expected = f"990006 {long}01 {long}02 990002 {long}03 82{long}05{long}06 {long}07"
    assert encoded == bytes.fromhex(expected)


@pytest.mark.parametrize(
    "numbers", [(-1, 0, [0], 0, 0), (0, 0, [0], 1 << 64, 0), (0, 0, [0], 0, 65_532)]
)
def test_numbers_that_do_not_fit_a_head_are_our_mistake(numbers: Any) -> None:
    """They are never cut to size."""
    with pytest.raises(struct.error):
        messages.encode_head(*numbers)


@given(NUMBER, handled_lists(), NUMBER, st.lists(st.binary(), min_size=1, max_size=40))
def test_a_body_is_decoded_as_encoded(
    acknowledged: int, handled: list[Any], credit: int, bodies: list[bytes]
) -> None:
    """Numbers, runs and cost come back, whichever way the runs were encoded."""
    raw = messages.encode_run(TELL, "log", bodies)
    joined = messages.encode_packed_run(REQUEST, "sum", [cbor.dumps([1, 2, {}])] * 30)
    start = messages.encode_head(7, acknowledged, handled, credit, 2)
    runs = [[TELL, "log", bodies], [REQUEST, "sum", [[1, 2, {}]] * 30]]
    expected = Body(
        7, acknowledged, handled, credit, runs, len(raw) + len(joined), len(bodies) + 30
    )
    assert opened(decode_body(start + raw + joined)) == expected
    assert opened(decode_body(memoryview(start + raw + joined))) == expected
    assert opened(decode_body(bytearray(start + raw + joined))) == expected


@pytest.mark.parametrize("count", [1, 23, 24, 256, 70_000])
def test_a_run_is_encoded_as_cbor_would(count: int) -> None:
    """Joining encoded bodies behind heads is only another road to one encoding."""
    bodies = [b"x"] * count
    assert messages.encode_run(TELL, "größe", bodies) == cbor2.dumps([TELL, "größe", bodies])
    joined = messages.encode_packed_run(TELL, "größe", list(map(cbor.dumps, bodies)))
    assert joined == cbor2.dumps(packed(TELL, "größe", bodies))


def test_what_is_packed_is_not_built_before_it_is_wanted() -> None:
    """A megabyte of empty maps is a megabyte, and how many there are is known all the same."""
    plaintext = body_of([TELL, "a", b"\x82\x9a\x00\x10\x00\x00" + b"\xa0" * (1 << 20) + b"\x01"])
    tracemalloc.start()
    try:
        (run,) = decode_body(plaintext).runs
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(run[2]) == 2
    assert peak < 5 << 20
    assert unpacked(run[2]) == [[{}] * (1 << 20), 1]


@pytest.mark.parametrize(
    "bodies", [{}, [], [[]], [1], [None], ["a"], [b"a", 1], [b"a", bytearray(b"b"), {}]]
)
def test_only_byte_strings_travel_unpacked(bodies: object) -> None:
    """Whatever else stands in the frame's own array is refused, not built and kept."""
    with pytest.raises(MalformedFrame):
        decode_body(body_of([TELL, "a", bodies]))


@pytest.mark.parametrize(
    "content",
    ["", "80", "a0", "01", "f6", "9f00ff", "9b0000000000000001f6", "98", "9900", "4100", "c100"],
)
def test_packed_bodies_are_an_array_of_at_least_one(content: str) -> None:
    """Known from its head, before anything is decoded."""
    with pytest.raises(MalformedFrame):
        decode_body(body_of([TELL, "a", bytes.fromhex(content)]))


def test_messages_of_a_frame_are_bounded() -> None:
    """By what their runs say they hold, true or not: each costs whoever handles it a turn."""
    half = messages.MESSAGES_MAX // 2
    raw = [TELL, "a", [b""] * half]
    full = decode_body(body_of(raw, packed(TELL, "a", [0] * half)))
    assert sum(len(run[2]) for run in full.runs) == messages.MESSAGES_MAX
    for more in (packed(TELL, "a", [0] * (half + 1)), [TELL, "a", bytes.fromhex("9affffffff")]):
        with pytest.raises(MalformedFrame, match="more messages"):
            decode_body(body_of(raw, more))


@pytest.mark.parametrize("content", ["81", "82f6", "81f6f6", "81f7", "81c100", "9900fff6"])
def test_packed_bodies_that_are_none_are_found_when_they_are_decoded(content: str) -> None:
    """By whoever wants them: nothing else of the frame is concerned."""
    body = decode_body(body_of([TELL, "a", bytes.fromhex(content)], [TELL, "b", [b"good"]]))
    assert unpacked(body.runs[1][2]) == [b"good"]
    with pytest.raises(MalformedFrame):
        unpacked(body.runs[0][2])


def test_a_body_without_runs_carries_numbers_only() -> None:
    """An acknowledgement alone is a body of batch 0 that costs nothing."""
    body = decode_body(messages.encode_head(0, MOST, [4, [6, 6], [8, 9]], MOST, 0))
    assert body == Body(0, MOST, [4, [6, 6], [8, 9]], MOST, [], 0, 0)


def test_the_cost_does_not_depend_on_the_head() -> None:
    """A batch that is sent again with more ranges takes the same credit."""
    run = messages.encode_run(TELL, "log", [b"x" * 100])
    costs = {
        decode_body(messages.encode_head(5, ack, handled, ack, 1) + run).cost
        for ack, handled in ((0, [0]), (MOST, [1, [3, 4]]), (1, [0, [2, 3], [5, 6], [8, 8]]))
    }
    assert costs == {len(run)}


@pytest.mark.parametrize("kind", [TELL, 5, 63, PING, 76, 255])
def test_unknown_kinds_are_decoded(kind: int) -> None:
    """A newer peer may say more: what nobody knows is left to the room that ignores it."""
    batch = 0 if kind >= messages.FIRST_CONTROL else 3
    body = decode_body(body_of(packed(kind, "", [None]), batch=batch))
    assert opened(body).runs == [[kind, "", [None]]]


def test_items_are_left_to_the_room_that_acts_on_them() -> None:
    """Validation is by the run: the items of requests and replies pass as they are."""
    runs = [[REQUEST, "a", [1]], [REPLY, "", ["x", []]], [CANCEL, "", [None]]]
    body = decode_body(body_of(*(packed(*run) for run in runs)))
    assert opened(body).runs == runs


def test_control_is_decoded_at_once() -> None:
    """It is small, and acted on as it arrives; damaged, the frame is refused."""
    (run,) = decode_body(body_of(packed(PING, "", [7]), batch=0)).runs
    assert run == [PING, "", [7]]
    with pytest.raises(MalformedFrame):
        decode_body(body_of([PING, "", b"\x81"], batch=0))


@pytest.mark.parametrize(
    "run",
    [
        [],
        {},
        None,
        1,
        "abc",
        b"abc",
        [TELL, "a"],
        [TELL, "a", [b"1"], 1],
        [0, "a", [b"1"]],
        [-1, "a", [b"1"]],
        [256, "a", [b"1"]],
        [1 << 64, "a", [b"1"]],
        [True, "a", [b"1"]],
        [1.0, "a", [b"1"]],
        ["1", "a", [b"1"]],
        [None, "a", [b"1"]],
        [TELL, b"a", [b"1"]],
        [TELL, None, [b"1"]],
        [TELL, 1, [b"1"]],
        [TELL, "x" * 256, [b"1"]],
        [TELL, "ü" * 128, [b"1"]],
        [TELL, "a", []],
        [TELL, "a", None],
        [TELL, "a", {"a": 1}],
        [TELL, "a", b"abc"],
        [TELL, "a", "abc"],
    ],
)
def test_a_run_of_another_shape_is_malformed(run: object) -> None:
    """Also behind a good one."""
    assert decode_body(body_of([TELL, "a", [b"1"]]))
    with pytest.raises(MalformedFrame):
        decode_body(body_of(run))
    with pytest.raises(MalformedFrame):
        decode_body(body_of([TELL, "a", [b"1"]], run))


@pytest.mark.parametrize(("kind", "batch"), [(PING, 1), (CLOSE, MOST), (TELL, 0), (63, 0)])
def test_control_and_messages_do_not_share_a_batch(kind: int, batch: int) -> None:
    """Control rides in batch 0, which is never acknowledged; messages never do."""
    with pytest.raises(MalformedFrame, match="batch 0"):
        decode_body(body_of(packed(kind, "", [None]), batch=batch))


@pytest.mark.parametrize(
    "value",
    [
        None,
        1,
        "text",
        {},
        [],
        [1, 2, [3]],
        [1, 2, 3, 4],
        [1, 2, [], 4],
        [1, 2, [[1, 2]], 4],
        [1, 2, [3], 4],
        [1, 2, ["3"], 4],
        [1, 2, {}, 4],
        [1, 2, {"a": 1}, 4],
        [1, 2, b"\x03", 4],
        [1, 2, "3", 4],
        [-1, 2, [3], 4],
        [1, -2, [3], 4],
        [True, 2, [3], 4],
        [1, 2, [3], None],
        [1.0, 2, [3], 4],
        [1, 2, [3, 4], 4],
        [1, 2, [3, [5]], 4],
        [1, 2, [3, [5, 6, 7]], 4],
        [1, 2, [3, ["5", "6"]], 4],
        [1, 2, [3, "56"], 4],
        [1, 2, [3, b"56"], 4],
        [1, 2, [3, {"a": 1, "b": 2}], 4],
    ],
)
def test_a_head_of_another_shape_or_width_is_malformed(value: object) -> None:
    """Not even the right numbers in their shortest form are taken."""
    with pytest.raises(MalformedFrame):
        decode_body(cbor2.dumps(value))


@pytest.mark.parametrize("field", [3, 12, 24, 33])
@pytest.mark.parametrize(
    "other", ["3b0000000000000001", "fb3ff0000000000000", "480000000000000001"]
)
def test_full_width_alone_is_not_enough(field: int, other: str) -> None:
    """Nine bytes of another type in the place of a number are refused."""
    plaintext = bytearray(head(0, 0))
    plaintext[field : field + 9] = bytes.fromhex(other)
    with pytest.raises(MalformedFrame):
        decode_body(plaintext)


@pytest.mark.parametrize(
    "handled",
    [
        [5, [5, 6]],
        [5, [3, 9]],
        [5, [8, 7]],
        [5, [7, 9], [9, 10]],
        [5, [20, 21], [10, 11]],
        [MOST, [0, 1]],
    ],
)
def test_ranges_that_do_not_ascend_are_malformed(handled: list[Any]) -> None:
    """Ranges lie apart, above the first number and in order."""
    with pytest.raises(MalformedFrame, match="ascend"):
        decode_body(messages.encode_head(0, 0, handled, 0, 0))


def test_bytes_after_the_body_are_malformed() -> None:
    """A body is exactly one item."""
    with pytest.raises(MalformedFrame):
        decode_body(body_of([TELL, "a", [b"1"]]) + b"\x00")
    with pytest.raises(MalformedFrame):
        decode_body(head(2) + cbor2.dumps([TELL, "a", [b"1"]]))


@pytest.mark.parametrize("bulk", [b"x" * 20_000, memoryview(b"x" * 20_000), b""])
def test_a_bulk_body_takes_its_place(bulk: bytes | memoryview) -> None:
    """The body of a tell, or the last element of a request or reply; its bytes are in the cost."""
    size = len(bulk)
    for run, expected in (
        ([TELL, "a", [size]], [TELL, "a", [bulk]]),
        ([REQUEST, "a", [[1, 2, size]]], [REQUEST, "a", [[1, 2, bulk]]]),
        ([REPLY, "", [[1, 0, size]]], [REPLY, "", [[1, 0, bulk]]]),
    ):
        body = decode_body(body_of(packed(*run)), bulk)
        assert opened(body).runs == [expected]
        assert body.cost == len(cbor2.dumps(packed(*run))) + size


def test_several_bulk_bodies_lie_one_after_another() -> None:
    """Each is as long as the number in its place says."""
    for kind, places, expected in (
        (TELL, [4, 0, 3], [b"file", b"", b"two"]),
        (REQUEST, [[1, 9, 4], [2, 9, 3]], [[1, 9, b"file"], [2, 9, b"two"]]),
    ):
        body = decode_body(body_of(packed(kind, "a", places)), b"filetwo")
        assert opened(body).runs == [[kind, "a", expected]]
        assert body.message_count == len(places)


@pytest.mark.parametrize(
    "runs",
    [
        [],
        [[TELL, "a", [None]]],
        [[TELL, "a", [True]]],
        [[TELL, "a", [4.0]]],
        [[TELL, "a", [3]]],
        [[TELL, "a", [5]]],
        [[TELL, "a", [-4]]],
        [[TELL, "a", [5, -1]]],
        [[TELL, "a", [2, 1]]],
        [[TELL, "a", [2, 3]]],
        [[TELL, "a", [[4]]]],
        [[TELL, "a", [2]], [TELL, "b", [2]]],
        [[REQUEST, "a", [4]]],
        [[REQUEST, "a", [[]]]],
        [[REQUEST, "a", [[1, 4, None]]]],
        [[REPLY, "a", [{"a": 4}]]],
        [[REPLY, "a", ["4"]]],
        [[CANCEL, "a", [4]]],
        [[9, "a", [4]]],
    ],
)
def test_bulk_bodies_without_their_places_are_malformed(runs: list[Any]) -> None:
    """One run of a kind that has such places, and lengths in them that make up the bulk."""
    with pytest.raises(MalformedFrame):
        opened(decode_body(body_of(*(packed(*run) for run in runs)), b"bulk"))


def test_a_bulk_body_lies_beside_a_packed_run() -> None:
    """Byte strings of the array have no place for it."""
    with pytest.raises(MalformedFrame):
        decode_body(body_of([TELL, "a", [b""]]), b"bulk")


def test_control_takes_no_bulk_body() -> None:
    """Control is small."""
    with pytest.raises(MalformedFrame):
        decode_body(body_of(packed(PING, "", [None]), batch=0), b"bulk")


@pytest.mark.parametrize("encode", [messages.encode_request, messages.encode_reply])
def test_items_carry_what_a_message_carries(encode: Any) -> None:
    """Three elements; a body as deep as elsewhere arrives, and a worse one is refused at home."""
    deepest: Any = 0
    for _ in range(cbor.MAX_DEPTH):
        deepest = [deepest]
    item = encode(1, 2, deepest)
    assert cbor2.loads(item) == [1, 2, deepest]
    kind = REQUEST if encode is messages.encode_request else REPLY
    plaintext = head() + messages.encode_packed_run(kind, "a", [item])
    assert opened(decode_body(plaintext)).runs == [[kind, "a", [[1, 2, deepest]]]]
    for body in ([deepest], {1: 2}, {1}):
        with pytest.raises(InvalidMessage):
            encode(1, 2, body)


@pytest.mark.parametrize("encode", [messages.encode_request, messages.encode_reply])
def test_what_cannot_be_carried_is_named_by_its_place_in_the_body(encode: Any) -> None:
    """Not in the item around it, which whoever calls has never seen."""
    for body, place in ((object(), "(at body)"), ({"a": [1, object()]}, "(at body['a'][1])")):
        with pytest.raises(InvalidMessage) as caught:
            encode(1, 2, body)
        assert str(caught.value).endswith(place)


@given(st.binary(max_size=100), st.none() | st.binary(max_size=3))
def test_any_bytes_give_a_body_or_malformed_frame(data: bytes, bulk: bytes | None) -> None:
    """The fuzz contract, alone and behind an honest head."""
    for plaintext in (data, head() + data, head(2, 0, [1, [3, 4]]) + data):
        try:
            opened(decode_body(plaintext, bulk))
        except MalformedFrame:
            continue


@given(st.binary(max_size=100))
def test_any_packed_bytes_give_bodies_or_malformed_frame(data: bytes) -> None:
    """The same contract where they are decoded."""
    try:
        bodies = Packed(data)
        assert len(unpacked(bodies)) == len(bodies)
    except MalformedFrame:
        return


@given(st.data())
def test_a_damaged_body_gives_a_body_or_malformed_frame(data: st.DataObject) -> None:
    """One changed, inserted or removed byte leads to no other error."""
    plaintext = bytearray(
        messages.encode_head(3, 2, [1, [3, 4]], 9, 2)
        + messages.encode_run(TELL, "log", [b"body", b""])
        + messages.encode_packed_run(REQUEST, "sum", [cbor.dumps([1, 5, {"a": [1.5]}])])
    )
    place = data.draw(st.integers(0, len(plaintext) - 1))
    byte = data.draw(st.integers(0, 255))
    match data.draw(st.sampled_from(["change", "insert", "remove"])):
        case "change":
            plaintext[place] = byte
        case "insert":
            plaintext.insert(place, byte)
        case _:
            del plaintext[place]
    try:
        body = opened(decode_body(plaintext))
    except MalformedFrame:
        return
    assert len(body.runs) <= 2
