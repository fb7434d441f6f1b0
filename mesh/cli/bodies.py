"""Bodies of messages: from the command line or standard input, and back to people's eyes."""

import json
from typing import BinaryIO

from mesh.cli.failures import Exit, Failure, on_one_line
from mesh.io.control_lines import LINE_MAX_BYTES
from mesh.io.json_values import to_json

STDIN = "-"


def read_body(text: str | None, stdin: BinaryIO, *, raw: bool) -> object:
    """The body that BODY stands for: JSON if it is JSON, else text; nothing is null.

    "-" reads standard input, without the newline at its end. `raw`: bytes, just as they come.
    Raises Failure (usage).
    """
    if text is None:
        return b"" if raw else None
    if raw:
        return _read(stdin) if text == STDIN else text.encode(errors="surrogateescape")
    if text == STDIN:
        try:
            text = _read(stdin).decode()
        except UnicodeDecodeError:
            raise _usage("standard input is not UTF-8; to send bytes, say --bytes") from None
        text = text.removesuffix("\n").removesuffix("\r")
    return _parse(text)


def _read(stdin: BinaryIO) -> bytes:
    data = stdin.read(LINE_MAX_BYTES + 1)
    if len(data) > LINE_MAX_BYTES:
        raise _usage(f"standard input holds more than {LINE_MAX_BYTES} bytes")
    return data


def _parse(text: str) -> object:
    try:
        return json.loads(text, parse_constant=_refuse)
    except (ValueError, RecursionError):
        pass
    if any("\ud800" <= character <= "\udfff" for character in text):
        raise _usage("the body is not UTF-8; to send bytes, say --bytes")
    return text


def _refuse(constant: str) -> None:
    raise ValueError(constant)  # NaN and Infinity are not JSON, so they are text


def shown(value: object) -> str:
    """A value on one line: text as it is where it prints, all else as JSON."""
    if isinstance(value, str) and value.isprintable():
        return value
    return as_json(value)


def as_json(value: object) -> str:
    """One line of JSON in ASCII; bytes and what else JSON has no word for as `to_json` says."""
    return json.dumps(to_json(value))


def reply_text(value: object) -> str:
    """A reply for the screen: text over several lines stays so, nothing commands a terminal."""
    if isinstance(value, str):
        return "\n".join(map(on_one_line, value.split("\n")))
    return as_json(value)


def _usage(text: str) -> Failure:
    return Failure(Exit.USAGE, "Usage", text)
