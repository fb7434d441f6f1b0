"""Lines of the control socket: a question or its answer as one line of JSON, there and back.

A line may be long, and the socket shares a node's event loop. Python's scanner and encoder in C
keep the interpreter to themselves until a document ends, in whatever thread they run: one of 8 MiB
holds everything up for a second. What is long is therefore read and written by the ones in Python,
which take several times as long but give way to other threads every few milliseconds;
`control_socket` has them run in a thread of their own (`is_long`, `becomes_long`).
"""

import json
from json import scanner
from typing import Any, Final

from mesh import errors
from mesh.errors import CallFailed, DeliveryFailed, InvalidMessage, MeshError, MessageTooLarge
from mesh.io.json_values import from_json, to_json

# Room for a body of 2 MiB in base64 and its escapes, and for everything a node knows.
LINE_MAX_BYTES: Final = 8 << 20
# Read or written within a few milliseconds, whatever it holds.
LONG_BYTES: Final = 64 << 10
# What a value takes at most beside its text: a number's digits, brackets, commas and marks.
_VALUE_BYTES: Final = 32
# "\u0000": what a character of text takes at most.
_ESCAPE_BYTES: Final = 6
_ERROR_CHARACTERS: Final = 4000


def is_long(line: bytes) -> bool:
    """Whether reading this line would hold an event loop up."""
    return len(line) > LONG_BYTES


def becomes_long(value: object) -> bool:
    """Whether writing this value may; looks at no more of it than it takes to know."""
    room = LONG_BYTES
    waiting = [value]
    while waiting:
        item = waiting.pop()
        room -= _VALUE_BYTES
        if isinstance(item, str | bytes | bytearray | memoryview):
            room -= _ESCAPE_BYTES * len(item)
        elif isinstance(item, list | tuple | dict):
            room -= len(item)
            if room >= 0:
                waiting.extend(item)
                waiting.extend(item.values() if isinstance(item, dict) else ())
        if room < 0:
            return True
    return False


# -- writing


def question(verb: str, arguments: dict[str, Any]) -> bytes:
    """The line that asks. Raises InvalidMessage, MessageTooLarge."""
    return _written({"verb": verb, "arguments": arguments}, short=True)


def result(value: object) -> bytes:
    """The line that answers, at once. Raises InvalidMessage, MessageTooLarge."""
    return _written({"result": value}, short=True)


def long_result(value: object) -> bytes:
    """The same line, written in a way that other threads live beside."""
    return _written({"result": value}, short=False)


def error(raised: MeshError) -> bytes:
    """The line that says what went wrong."""
    described = {"kind": type(raised).__name__, "text": str(raised)[:_ERROR_CHARACTERS]}
    if isinstance(raised, CallFailed):
        described |= {"text": raised.text[:_ERROR_CHARACTERS], "raised": raised.kind}
    elif isinstance(raised, DeliveryFailed):
        described["outcome"] = raised.outcome
    return _written({"error": described}, short=True)


def _written(value: object, *, short: bool) -> bytes:
    encoder = json.JSONEncoder(allow_nan=False, separators=(",", ":"))
    try:
        words = to_json(value)
        text = encoder.encode(words) if short else "".join(encoder.iterencode(words))
    except RecursionError:
        raise InvalidMessage("the value is nested too deeply") from None
    line = text.encode() + b"\n"
    if len(line) > LINE_MAX_BYTES:
        raise MessageTooLarge(
            f"{len(line)} bytes of JSON are too much for the control socket "
            f"(at most {LINE_MAX_BYTES})"
        )
    return line


# -- reading


def read_question(line: bytes) -> tuple[str, dict[str, Any]]:
    """The verb and its arguments; other threads live beside a long one. Raises InvalidMessage."""
    value = _read(line, short=not is_long(line))
    verb, arguments = value.get("verb"), value.get("arguments", {})
    if not isinstance(verb, str) or not isinstance(arguments, dict):
        raise InvalidMessage('a question is {"verb": text, "arguments": {...}}')
    return verb, arguments


def read_answer(line: bytes) -> Any:
    """The result, at once. Raises InvalidMessage, and the error that the line tells of."""
    value = _read(line, short=True)
    described = value.get("error")
    if isinstance(described, dict):
        raise _raised(described)
    return value.get("result")


def _read(line: bytes, *, short: bool) -> dict[str, Any]:
    decoder = json.JSONDecoder()
    if not short:
        decoder.scan_once = scanner.py_make_scanner(decoder)  # type: ignore[attr-defined]
    try:
        value = from_json(decoder.decode(line.decode()))
    except MeshError:
        raise
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise InvalidMessage("the line is not an object in JSON")
    return value


def _raised(described: dict[str, Any]) -> MeshError:
    """The error as the other side raised it; one this version does not know is a MeshError."""
    text = str(described.get("text", ""))
    kind = getattr(errors, str(described.get("kind")), None)
    if kind is CallFailed:
        return CallFailed(str(described.get("raised", "")), text)
    if not isinstance(kind, type) or not issubclass(kind, MeshError):
        return MeshError(text)
    if issubclass(kind, DeliveryFailed):
        surely = described.get("outcome") == "not_delivered"
        return kind(text, "not_delivered" if surely else "unknown")
    return kind(text)
