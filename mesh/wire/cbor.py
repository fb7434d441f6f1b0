"""Values to bytes and back: a strict part of CBOR (RFC 8949). The only door to cbor2.

What can be carried is a closed list: None, bool, int (-2^64 to 2^64-1), float, str, bytes, and
lists and maps of them, with keys of text or bytes, nested to `MAX_DEPTH`. Nothing else is sent and
nothing else is taken, so that a value either arrives equal to the one sent or is refused where it
was said.
"""

import marshal
from collections.abc import Iterable
from functools import lru_cache
from io import BytesIO
from math import isnan
from struct import Struct
from typing import Any, Final, NoReturn

import cbor2

from mesh.errors import InvalidMessage, MalformedFrame

MAX_DEPTH: Final = 64
"""Lists and maps inside each other: more than people nest, less than a stack of Python or C."""

_INT_MIN: Final = -(1 << 64)
_INT_MAX: Final = (1 << 64) - 1
_NONE: Final = type(None)
_ATOMS: Final = frozenset({_NONE, bool, float, str, bytes, bytearray})
_WHOLE: Final = frozenset({int, bool})
_CONTAINERS: Final = frozenset({dict, list, tuple})
_HALF_A_PAIR: Final = "half a surrogate pair is not text"
# From here on one pass in C over the types is cheaper than a loop.
_MANY: Final = 12


def dumps(value: object, max_depth: int = MAX_DEPTH) -> bytes:
    """Encode an application's value.

    Tuples arrive as lists, bytearray and memoryview as bytes, and an instance of a subclass (an
    IntEnum, an OrderedDict) as its base, if it is equal to that.

    Raises `InvalidMessage` for everything that would not arrive equal: another type, a key that
    is neither text nor bytes, an integer beyond 64 bits, half a surrogate pair, a list inside
    itself, more than `max_depth` containers in each other.
    """
    # A look at the exact types, then plain dumps: 0.6 + 0.7 us for a small dict. `encoders=` makes
    # it 2.1 and sees no keys, no depth (cbor2 overflows the stack of C) and no big integers.
    kind = type(value)
    if kind in _CONTAINERS:
        if not _plain(value, max_depth):
            value = _rebuilt(value, max_depth, ())
    elif kind not in _ATOMS:
        value = _rebuilt(value, max_depth, ())
    try:
        return cbor2.dumps(value)
    except UnicodeEncodeError:
        raise InvalidMessage(_HALF_A_PAIR) from None


def dumps_unchecked(value: object) -> bytes:
    """Encode what is known to be carried unchanged: numbers of ours, checked text, bytes.

    Half a surrogate pair alone is noticed: `InvalidMessage`.
    """
    try:
        return cbor2.dumps(value)
    except UnicodeEncodeError:
        raise InvalidMessage(_HALF_A_PAIR) from None


@lru_cache(maxsize=4096)
def array_head(length: int) -> bytes:
    """The head of an array of so many items, to join encoded ones behind."""
    return _head(_ARRAY, length)


@lru_cache(maxsize=4096)
def bytes_head(length: int) -> bytes:
    """The head of a byte string of this length."""
    return _head(_BYTES, length)


def _head(major: int, length: int) -> bytes:
    if length < 24:
        return bytes((major + length,))
    if length < 1 << 8:
        return bytes((major + 24, length))
    if length < 1 << 16:
        return _HEAD_16.pack(major + 25, length)
    return _HEAD_32.pack(major + 26, length)


def array_length(encoded: bytes) -> int:
    """How many items the array says it has. Raises `MalformedFrame` if it is none."""
    try:
        length = encoded[0] - _ARRAY
        if length >= 24:
            octets = _LENGTH_BYTES[length]
            length = int.from_bytes(encoded[1 : 1 + octets]) if len(encoded) > octets else -1
    except (IndexError, KeyError):
        length = -1
    if length < 0:
        raise MalformedFrame("not an array")
    return length


_BYTES: Final = 0x40
_ARRAY: Final = 0x80
_HEAD_16: Final = Struct(">BH")
_HEAD_32: Final = Struct(">BL")
_LENGTH_BYTES: Final = {24: 1, 25: 2, 26: 4}


def _plain(value: Any, room: int) -> bool:
    """Whether cbor2 may have this dict, list or tuple as it is; if not, `_rebuilt` says why."""
    if room <= 0:
        return False
    if type(value) is dict:
        for key, item in value.items():
            kind = type(item)
            if type(key) is not str and type(key) is not bytes:
                return False
            if kind in _ATOMS:
                continue
            if kind is int:
                if not _INT_MIN <= item <= _INT_MAX:
                    return False
            elif kind not in _CONTAINERS or not _plain(item, room - 1):
                return False
        return True
    if len(value) >= _MANY:
        kinds = set(map(type, value))
        if kinds <= _ATOMS:
            return True
        if kinds <= _WHOLE:
            return bool(min(value) >= _INT_MIN and max(value) <= _INT_MAX)
    for item in value:
        kind = type(item)
        if kind in _ATOMS:
            continue
        if kind is int:
            if not _INT_MIN <= item <= _INT_MAX:
                return False
        elif kind not in _CONTAINERS or not _plain(item, room - 1):
            return False
    return True


def _rebuilt(value: object, room: int, path: tuple[object, ...]) -> object:
    """The value in exact types, or `InvalidMessage` with the place that cannot be carried."""
    if value is None or isinstance(value, bool | float | bytes | bytearray | str | int):
        return _rebuilt_atom(value, path)
    if isinstance(value, memoryview):
        return value.tobytes()
    if not isinstance(value, dict | list | tuple):
        _refuse(f"a value of type {type(value).__qualname__} cannot be carried", path)
    if room <= 0:
        _refuse(f"more than {len(path)} containers inside each other", path)
    if not isinstance(value, dict):
        return [_rebuilt(item, room - 1, (*path, place)) for place, item in enumerate(value)]
    rebuilt = {}
    for key, item in value.items():
        if not isinstance(key, str | bytes):
            _refuse(f"a key is of type {type(key).__qualname__}, not text or bytes", path)
        rebuilt[_rebuilt_atom(key, path)] = _rebuilt(item, room - 1, (*path, key))
    if rebuilt.keys() != value.keys():
        _refuse(f"keys of a value of type {type(value).__qualname__} would not arrive equal", path)
    return rebuilt


def _rebuilt_atom(value: object, path: tuple[object, ...]) -> Any:
    rebuilt: object = value
    if isinstance(value, str):
        rebuilt = str.__str__(value)
    elif isinstance(value, bytes | bytearray):
        rebuilt = memoryview(value).tobytes()
    elif isinstance(value, float):
        rebuilt = float.__float__(value)
    elif isinstance(value, int) and not isinstance(value, bool):
        rebuilt = int.__int__(value)
        if not _INT_MIN <= rebuilt <= _INT_MAX:
            _refuse("an integer is beyond 64 bits", path)
    if rebuilt != value and not (isinstance(rebuilt, float) and isnan(rebuilt)):
        _refuse(f"a value of type {type(value).__qualname__} would not arrive equal", path)
    return rebuilt


def _refuse(text: str, path: Iterable[object]) -> NoReturn:
    place = "".join(f"[{repr(step)[:40]}]" for step in path)
    raise InvalidMessage(f"{text} (at body{place})")


class _TagFoundError(ValueError):
    pass


def _refuse_tag(*_: object) -> NoReturn:
    raise _TagFoundError


# Those that cbor2 would build objects for: regular expressions, e-mails, cycles, big numbers.
_KNOWN_TAGS: Final = (
    *(0, 1, 2, 3, 4, 5, 25, 28, 29, 30, 35, 36, 37, 52, 54),
    *(100, 256, 258, 260, 261, 1004, 43000, 55799),
)
_TAG_DECODERS: Final = dict.fromkeys(_KNOWN_TAGS, _refuse_tag)
_READ_BYTES: Final = 1 << 16


def loads(data: bytes | bytearray | memoryview, max_depth: int = MAX_DEPTH) -> Any:
    """Decode exactly one item; what comes out holds only the types that `dumps` takes.

    Raises `MalformedFrame`, and nothing else whatever the bytes, for: bytes that are not
    well-formed or go on after the item, indefinite lengths, tags, simple values and `undefined`,
    keys that come twice or are neither text nor bytes, invalid UTF-8, more than `max_depth`
    containers in each other. Integers and lengths need not be in their shortest form.
    """
    value = loads_unchecked(data, max_depth)
    # The one thing left are objects for `undefined` and simple values. marshal knows the types of
    # Python itself and no others, and looks at all of them in C (a loop of ours costs 3 of this).
    try:
        marshal.dumps(value)
    except ValueError:
        raise MalformedFrame("a simple value that means nothing here") from None
    return value


def loads_unchecked(data: bytes | bytearray | memoryview, max_depth: int) -> Any:
    """As `loads`, but `undefined` and simple values are let through, as objects of cbor2.

    For whoever looks at the type of everything that comes out. Raises as `loads`.
    """
    if type(data) is not bytes:
        data = memoryview(data).tobytes()
    stream = BytesIO(data)
    try:
        # `cbor2.loads` is 0.8 us cheaper, but silent about bytes after the item.
        value = cbor2.load(
            stream,
            tag_hook=_refuse_tag,
            semantic_decoders=_TAG_DECODERS,
            read_size=_READ_BYTES,
            max_depth=max_depth,
            allow_indefinite=False,
            allow_duplicate_keys=False,
            strict_hashable_types=True,
        )
    # Whatever a decoder stumbles over, it stumbled over a peer's bytes.
    except Exception as error:
        raise MalformedFrame(f"not the CBOR that is spoken here: {error!s:.100}") from None
    if stream.tell() != len(data):
        raise MalformedFrame("bytes after the end of the item")
    return value
