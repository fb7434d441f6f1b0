"""The lines of the control socket: exact, bounded, and no burden for the threads beside."""

import asyncio
import json
import math
import time
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest

from mesh import errors
from mesh.errors import (
    CallFailed,
    DeliveryFailed,
    InvalidMessage,
    MeshError,
    MessageTooLarge,
)
from mesh.io import control_lines as lines

# Many small values: what takes longest to read and to write.
MANY = [0] * 300_000
VALUES: list[Any] = [
    None,
    "é\x00\ud800",
    b"\x00\xff",
    [1, -2.5, True, {"a": {"b": []}}],
    {b"key": 1},
    {"$bytes": 1},
    ["x" * lines.LONG_BYTES, b"y" * lines.LONG_BYTES, math.inf],
]


async def longest_stretch(function: Callable[[Any], object], argument: object) -> float:
    """Call it in a thread: the largest part of its work between two turns of the event loop.

    Work is processor time, of which an idle loop takes none from other threads.
    """
    loop = asyncio.get_running_loop()
    over = False
    seen: list[float] = []

    def turn() -> None:
        seen.append(time.process_time() - time.thread_time())
        if not over:
            loop.call_soon(turn)

    turn()
    await asyncio.to_thread(function, argument)
    over = True
    turn()
    stretches = [after - before for before, after in pairwise(seen)]
    return max(stretches) / sum(stretches)


@pytest.mark.parametrize("value", VALUES)
def test_values_come_back_as_they_were(value: Any) -> None:
    """In questions and answers, short and long, and a line is one line."""
    for line in (lines.result(value), lines.long_result(value)):
        assert line.count(b"\n") == 1
        assert line.endswith(b"\n")
        assert lines.read_answer(line) == value
    assert lines.read_question(lines.question("v", {"body": value})) == ("v", {"body": value})


def test_long_lines_say_what_short_ones_say() -> None:
    """The two ways of writing give the same bytes, and the two of reading the same values."""
    value = {"text": "é", "many": MANY[:40_000], "none": None, "deep": [[[{"a": 1.5}]]]}
    line = lines.result(value)
    assert lines.is_long(line)
    assert lines.long_result(value) == line
    question = lines.question("v", value)
    assert lines.is_long(question)
    assert lines.read_question(question)[1] == json.loads(question)["arguments"]


async def test_others_have_their_turn_while_a_long_line_is_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """An event loop goes round all the while; json's scanner in C would stop it."""
    monkeypatch.setattr(lines, "from_json", lambda value: value)
    line = lines.question("v", {"body": MANY})
    assert lines.is_long(line)
    assert await longest_stretch(lines.read_question, line) < 0.5


async def test_others_have_their_turn_while_a_long_line_is_written(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """An event loop goes round all the while; json's encoder in C would stop it."""
    monkeypatch.setattr(lines, "to_json", lambda value: value)
    assert lines.becomes_long(MANY)
    assert await longest_stretch(lines.long_result, MANY) < 0.5


def test_the_bound_of_a_long_line() -> None:
    """It is long one byte past the bound."""
    assert not lines.is_long(b"x" * lines.LONG_BYTES)
    assert lines.is_long(b"x" * (lines.LONG_BYTES + 1))


@pytest.mark.parametrize(
    "value",
    [
        1,
        "x" * 10_000,
        b"x" * 10_000,
        {"a": [1, 2, {"b": None}]},
        [0.1] * 1500,
        dict.fromkeys(map(str, range(500)), 1),
    ],
)
def test_what_is_taken_for_short_is_short(value: Any) -> None:
    """Nothing that is written at once becomes a long line."""
    assert not lines.becomes_long(value)
    assert not lines.is_long(lines.result(value))


@pytest.mark.parametrize(
    "value",
    [
        "\x00" * 11_000,
        b"x" * 70_000,
        bytearray(70_000),
        [[]] * 3000,
        {"a": {"b": ["x" * 70_000]}},
        {"x" * 70_000: 1},
        [-1.7976931348623157e308] * 3000,
    ],
)
def test_what_becomes_long_is_known_before(value: Any) -> None:
    """Text that is escaped, bytes, numbers, and many of anything, however deep."""
    assert lines.becomes_long(value)


def test_a_line_has_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """At the limit a value is written, one byte past it is refused."""
    monkeypatch.setattr(lines, "LINE_MAX_BYTES", len(lines.result("12345")))
    assert lines.read_answer(lines.result("12345")) == "12345"
    for write in (lines.result, lines.long_result):
        with pytest.raises(MessageTooLarge, match="bytes of JSON are too much"):
            write("123456")


@pytest.mark.parametrize(
    "line",
    [
        b"\n",
        b"hello\n",
        b"[1]\n",
        b"\xff\xfe\n",
        b'{"verb": 1}\n',
        b'{"verb": "x", "arguments": []}\n',
        b'{"verb": "x", "arguments": {"a": {"$tag": 1}}}\n',
        b"[" * 200_000 + b"\n",
        b'{"verb": "x", "arguments": {"a": ' + b"[" * 100_000 + b"]" * 100_000 + b"}}\n",
        b'{"verb": "x", "arguments": {"a": ' + b"9" * 70_000 + b"}}\n",
        b'"' + b"x" * 70_000 + b"\n",
        b'{"verb": "\xff' + b"x" * 70_000 + b'"}\n',
    ],
)
def test_any_line_is_a_question_or_refused(line: bytes) -> None:
    """Whatever is in it, short or long: InvalidMessage and nothing else."""
    with pytest.raises(InvalidMessage):
        lines.read_question(line)


def test_what_is_no_value_cannot_be_written() -> None:
    """Nor what is nested without end."""
    deep: list[Any] = []
    for _ in range(20_000):
        deep = [deep]
    for write in (lines.result, lines.long_result):
        with pytest.raises(InvalidMessage, match="object cannot be written"):
            write(object())
        with pytest.raises(InvalidMessage, match="nested too deeply"):
            write(deep)


@pytest.mark.parametrize(
    "error",
    [
        errors.Denied("no"),
        errors.NotTrusted("mesh trust allow"),
        errors.CallTimeout("late"),
        CallFailed("ValueError", "no"),
        errors.PeerRestarted("gone", "not_delivered"),
        DeliveryFailed("who knows", "unknown"),
    ],
)
def test_errors_arrive_as_they_were_raised(error: MeshError) -> None:
    """Kind, text, and what else they carry."""
    with pytest.raises(type(error)) as raised:
        lines.read_answer(lines.error(error))
    assert type(raised.value) is type(error)
    assert str(raised.value) == str(error)
    assert vars(raised.value) == vars(error)


@pytest.mark.parametrize("kind", ["Unheard", "Fault", "__name__", 3])
def test_an_error_of_a_newer_version_is_a_plain_one(kind: object) -> None:
    """Its text is kept."""
    line = json.dumps({"error": {"kind": kind, "text": "new"}}).encode() + b"\n"
    with pytest.raises(MeshError, match=r"^new$") as raised:
        lines.read_answer(line)
    assert type(raised.value) is MeshError


def test_the_text_of_an_error_is_bounded() -> None:
    """A line that tells of one is always short."""
    for error in (MeshError("\x00" * 100_000), CallFailed("K", "\x00" * 100_000)):
        assert not lines.is_long(lines.error(error))
