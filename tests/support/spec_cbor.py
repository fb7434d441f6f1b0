"""CBOR as docs/SPEC.md, section 5, has it. Written from that page: imports nothing of the project.

Values are those of Python: None, bool, int, float, str, bytes, list, dict.
"""

import struct
from math import isnan
from typing import Any

FLOATS = {25: (">e", 2), 26: (">f", 4), 27: (">d", 8)}
ENCODED_NAN = bytes.fromhex("f97e00")


class NotTaken(ValueError):
    """The bytes are not the CBOR of section 5."""


def decode(data: bytes, depth: int = 64) -> Any:
    """Exactly one value, with at most `depth` containers inside each other (5.1)."""
    value, end = _item(data, 0, depth)
    if end != len(data):
        raise NotTaken("bytes after the value")
    return value


def _take(data: bytes, at: int, length: int) -> bytes:
    if at + length > len(data):
        raise NotTaken("ends early")
    return data[at : at + length]


def _argument(data: bytes, at: int) -> tuple[int, int, int]:
    """Major type, argument, and where the head ends."""
    (first,) = _take(data, at, 1)
    major, short = first >> 5, first & 0x1F
    if short < 24:
        return major, short, at + 1
    if short > 27:
        raise NotTaken("indefinite or reserved")
    width = 1 << (short - 24)
    return major, int.from_bytes(_take(data, at + 1, width), "big"), at + 1 + width


def _item(data: bytes, at: int, room: int) -> tuple[Any, int]:
    first = _take(data, at, 1)[0]
    if first >> 5 == 7:
        return _special(data, at, first & 0x1F)
    major, number, at = _argument(data, at)
    if major == 0:
        return number, at
    if major == 1:
        return -1 - number, at
    if major in {2, 3}:
        octets = _take(data, at, number)
        return (octets if major == 2 else _text(octets)), at + number
    if major == 6:
        raise NotTaken("a tag")
    # An innermost container that is empty may go uncounted (5.1.4), and does.
    if room <= 0 and number:
        raise NotTaken("too deep")
    return _list(data, at, number, room) if major == 4 else _map(data, at, number, room)


def _special(data: bytes, at: int, short: int) -> tuple[Any, int]:
    if short in {20, 21, 22}:
        return {20: False, 21: True, 22: None}[short], at + 1
    if short not in FLOATS:
        raise NotTaken("a simple value")
    form, width = FLOATS[short]
    return struct.unpack(form, _take(data, at + 1, width))[0], at + 1 + width


def _text(octets: bytes) -> str:
    try:
        return octets.decode()
    except UnicodeDecodeError:
        raise NotTaken("not UTF-8") from None


def _list(data: bytes, at: int, length: int, room: int) -> tuple[list[Any], int]:
    items = []
    for _ in range(length):
        item, at = _item(data, at, room - 1)
        items.append(item)
    return items, at


def _map(data: bytes, at: int, length: int, room: int) -> tuple[dict[Any, Any], int]:
    entries: dict[Any, Any] = {}
    for _ in range(length):
        key, at = _item(data, at, room - 1)
        if not isinstance(key, str | bytes) or key in entries:
            raise NotTaken("a key that may not be, or twice")
        entries[key], at = _item(data, at, room - 1)
    return entries, at


def encode(value: Any) -> bytes:
    """An encoding of the value, in the shortest forms."""
    match value:
        case None | bool():
            return {None: b"\xf6", False: b"\xf4", True: b"\xf5"}[value]
        case int():
            return _head(0, value) if value >= 0 else _head(1, -1 - value)
        case float():
            return _encoded_float(value)
        case bytes():
            return _head(2, len(value)) + value
        case str():
            octets = value.encode()
            return _head(3, len(octets)) + octets
        case list():
            return _head(4, len(value)) + b"".join(map(encode, value))
        case dict():
            if not all(isinstance(key, str) for key in value):
                raise NotTaken("a key that is no text")
            entries = sorted((encode(key), encode(item)) for key, item in value.items())
            return _head(5, len(value)) + b"".join(key + item for key, item in entries)
    raise NotTaken(f"{type(value)} is no value")


def _head(major: int, number: int) -> bytes:
    if number < 24:
        return bytes([major << 5 | number])
    for short, width in ((24, 1), (25, 2), (26, 4), (27, 8)):
        if number < 1 << (8 * width):
            return bytes([major << 5 | short]) + number.to_bytes(width, "big")
    raise NotTaken("beyond 64 bits")


def _encoded_float(value: float) -> bytes:
    if isnan(value):
        return ENCODED_NAN
    for short, (form, _) in FLOATS.items():
        try:
            packed = struct.pack(form, value)
        except OverflowError:
            continue
        if struct.unpack(form, packed)[0] == value:
            return bytes([7 << 5 | short]) + packed
    raise AssertionError("a double is a double")
