"""What BODY means, and how values look."""

import io
from typing import Any

import pytest

from mesh.cli import bodies
from mesh.cli.bodies import as_json, read_body, reply_text, shown
from mesh.cli.failures import Exit, Failure


def read(text: str | None, stdin: bytes = b"", *, raw: bool = False) -> object:
    """The body for BODY, with this on standard input."""
    return read_body(text, io.BytesIO(stdin), raw=raw)


class TestRead:
    @pytest.mark.parametrize(
        ("text", "body"),
        [
            (None, None),
            ("null", None),
            ('{"a": [1, 2.5]}', {"a": [1, 2.5]}),
            ("3", 3),
            ('"3"', "3"),
            ("hello world", "hello world"),
            ("", ""),
            ("NaN", "NaN"),
            ("-Infinity", "-Infinity"),
            ("{broken", "{broken"),
            ("[" * 100_000, "[" * 100_000),
        ],
    )
    def test_json_or_text(self, text: str | None, body: object) -> None:
        """BODY is JSON if it is JSON, else text; none is null."""
        assert read(text) == body
        if text:
            assert read("-", text.encode()) == body

    def test_the_last_newline_of_input_is_not_the_body(self) -> None:
        """`echo hi | mesh send bob chat -` sends hi; other newlines stay."""
        assert read("-", b"hi\n") == "hi"
        assert read("-", b"hi\r\n") == "hi"
        assert read("-", b"a\n\n") == "a\n"

    def test_bytes(self) -> None:
        """With --bytes nothing is interpreted or cut."""
        assert read("3", raw=True) == b"3"
        assert read(None, raw=True) == b""
        assert read("-", b"\xff\n", raw=True) == b"\xff\n"
        assert read("\udcff", raw=True) == b"\xff"

    @pytest.mark.parametrize(("text", "stdin"), [("-", b"\xff"), ("\udcff", b"")])
    def test_what_is_not_text(self, text: str, stdin: bytes) -> None:
        """Bytes that are no UTF-8 are refused with the option that sends them."""
        with pytest.raises(Failure, match="say --bytes") as raised:
            read(text, stdin)
        assert raised.value.code == Exit.USAGE

    def test_input_is_bounded(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """At the limit it is read, one byte more is refused."""
        monkeypatch.setattr(bodies, "LINE_MAX_BYTES", 4)
        assert read("-", b"abcd", raw=True) == b"abcd"
        with pytest.raises(Failure, match="more than 4 bytes"):
            read("-", b"abcde", raw=True)


class TestShow:
    @pytest.mark.parametrize(
        ("value", "line"),
        [
            ("hello", "hello"),
            ("two\nlines", '"two\\nlines"'),
            ("\x1b[2J", '"\\u001b[2J"'),
            ({"a": 1}, '{"a": 1}'),
            (b"\x00", '{"$bytes": "AA=="}'),
            (None, "null"),
        ],
    )
    def test_on_one_line(self, value: Any, line: str) -> None:
        """A message takes one line whatever it holds, and cannot command the terminal."""
        assert shown(value) == line

    def test_a_reply(self) -> None:
        """Text keeps its lines; the rest is JSON in ASCII."""
        assert reply_text("a\nb\x1b") == "a\nb\\x1b"
        assert reply_text(["é"]) == '["\\u00e9"]'
        assert as_json("é") == '"\\u00e9"'
