"""What the strict CBOR carries, what it refuses to send, and bytes that it refuses to take."""

import array
import collections
import datetime
import decimal
import enum
import fractions
import ipaddress
import math
import re
import types
import uuid
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import cbor2
from hypothesis import strategies as st

ATOMS = (
    st.none()
    | st.booleans()
    | st.integers(-(1 << 64), (1 << 64) - 1)
    | st.floats(allow_nan=False)
    | st.text(st.characters(exclude_categories=["Cs"]))
    | st.binary()
)
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)


def values(keys: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Values that can be carried, with such keys."""
    return st.recursive(
        ATOMS,
        lambda inner: st.lists(inner, max_size=20) | st.dictionaries(keys, inner, max_size=20),
    )


CARRIED = values(TEXT | st.binary(max_size=8))


class Level(enum.IntEnum):
    LOW = 1


class Colour(enum.StrEnum):
    RED = "red"


class Mixed(str, enum.Enum):  # noqa: UP042  its str() is not its value, unlike StrEnum's
    RED = "red"


class Plain(enum.Enum):
    ONE = 1


class Pair(NamedTuple):
    left: int
    right: int


class Money(float):
    """A float that is equal to nothing but itself."""

    __hash__ = float.__hash__

    def __eq__(self, other: object) -> bool:
        return self is other

    def __ne__(self, other: object) -> bool:
        return self is not other


class Folded(str):
    """Text with an equality of its own."""

    __slots__ = ()
    __hash__ = str.__hash__

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Folded) and str.__eq__(self, other)

    def __ne__(self, other: object) -> bool:
        return not self == other


class Doubling(dict[str, int]):
    """A dict that shows other keys than it holds."""

    def items(self) -> Any:
        return {key * 2: item for key, item in super().items()}.items()


class Numbers(Sequence[int]):
    """Looks like a list of numbers, as arrays of other libraries do."""

    def __getitem__(self, place: Any) -> Any:
        return range(3)[place]

    def __len__(self) -> int:
        return 3


class Settings(Mapping[str, int]):
    """Looks like a dict."""

    def __getitem__(self, key: str) -> int:
        return {"a": 1}[key]

    def __iter__(self) -> Iterator[str]:
        return iter(["a"])

    def __len__(self) -> int:
        return 1


def nested(kind: str, depth: int) -> Any:
    """So many containers inside each other."""
    value: Any = 0
    for _ in range(depth):
        value = {"a": value} if kind == "dict" else (value,) if kind == "tuple" else [value]
    return value


REFUSED = {
    "integer keys": {1: 2},
    "bool keys": {True: 2},
    "a nested integer key": {"a": [{"b": {7: 1}}]},
    "None as a key": {None: 1},
    "float keys": {1.5: 1},
    "NaN as a key": {math.nan: 1},
    "tuple keys": {(1, 2): 1},
    "a key that equals only its own kind": {Folded("a"): 1},
    "2^64": 1 << 64,
    "-2^64 - 1": -(1 << 64) - 1,
    "a big integer inside": {"a": [1 << 64]},
    "one of many integers": [*range(100), 1 << 64],
    "one of many negative integers": [*range(100), -(1 << 64) - 1],
    "one of many mixed": [*range(100), "a", -(1 << 64) - 1],
    "a set": {1, 2},
    "a frozenset": frozenset("a"),
    "a set inside": [[{1}]],
    "one set among many": [*[b"x"] * 100, {1}],
    "a naive datetime": datetime.datetime(2026, 1, 1),
    "a datetime": datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC),
    "a date": datetime.date(2026, 1, 1),
    "a timedelta": datetime.timedelta(1),
    "a Decimal": decimal.Decimal("1.5"),
    "a Fraction": fractions.Fraction(1, 2),
    "a UUID": uuid.UUID(int=1),
    "an address": ipaddress.ip_address("127.0.0.1"),
    "a network": ipaddress.ip_network("::/8"),
    "a pattern": re.compile("a"),
    "a complex number": 1j,
    "a tag": cbor2.CBORTag(0, "x"),
    "a simple value": cbor2.CBORSimpleValue(3),
    "undefined": cbor2.undefined,
    "undefined among many": [*[b"x"] * 100, cbor2.undefined],
    "an Enum": Plain.ONE,
    "a class": int,
    "an object": object(),
    "a function": len,
    "an ellipsis": ...,
    "an iterator": iter([1]),
    "a generator": (i for i in range(3)),
    "a range": range(3),
    "keys of a dict": {"a": 1}.keys(),
    "a deque": collections.deque([1]),
    "an array": array.array("B", b"ab"),
    "a frozen view": types.MappingProxyType({"a": 1}),
    "a ChainMap": collections.ChainMap({"a": 1}),
    "a UserDict": collections.UserDict(a=1),
    "a UserList": collections.UserList([1]),
    "a sequence of another library": Numbers(),
    "a mapping of another library": Settings(),
    "a float that is equal to itself only": Money(1.5),
    "a dict that shows other keys": Doubling(a=1),
    "half a surrogate pair": "\ud800",
    "half a surrogate pair inside": [["a", "\udfff"]],
    "half a surrogate pair in a key": {"\ud800": 1},
    "an error": ValueError("x"),
}


MALFORMED = {
    "nothing": "",
    "bytes after the item": "0000",
    "a second item": "a0a0",
    "cut off in an array": "8201",
    "cut off in a text": "6461",
    "cut off in a head": "19ff",
    "cut off in a float": "fb00",
    "an indefinite array": "9f01ff",
    "an indefinite map": "bfff",
    "an indefinite text": "7f6161ff",
    "indefinite bytes": "5f4161ff",
    "an indefinite array inside": "819fff",
    "a break": "ff",
    "a break inside": "82ff00",
    "reserved additional information 28": "1c",
    "reserved additional information 30": "1e",
    "an indefinite integer": "1f",
    "an indefinite tag": "df00",
    "invalid UTF-8": "62c328",
    "a surrogate in UTF-8": "63eda080",
    "UTF-8 in too many bytes": "62c080",
    "invalid UTF-8 in a key": "a161ff00",
    "a key that comes twice": "a2616101616102",
    "a key that comes twice, inside": "8181a2616101616102",
    "a key in two widths": "a261610178016102",
    "bytes that come twice": "a2416101416102",
    "an integer key": "a10000",
    "a negative key": "a12000",
    "a bool key": "a1f500",
    "a bool and a 1": "a2f500" + "0100",
    "a NaN key": "a1f97e0000",
    "a null key": "a1f600",
    "an array as a key": "a18000",
    "a map as a key": "a1a000",
    "a tag as a key": "a1c2410100",
    "undefined": "f7",
    "undefined inside": "8181f7",
    "undefined as an item of a map": "a16161f7",
    "undefined as a key": "a1f700",
    "a simple value in the space of bool": "f814",
    "a simple value 24": "f818",
    "a simple value 31": "f81f",
    "a simple value 32": "f820",
    "a simple value 255": "f8ff",
    "a reserved float": "fc",
    "an unknown tag": "d8c801",
    "a tag of 64 bits": "dbffffffffffffffff00",
    "a date as text": "c074323031332d30332d32315432303a30343a30305a",
    "a time": "c11a514b67b0",
    "a big integer": "c249010000000000000000",
    "a negative big integer": "c349010000000000000000",
    "a small big integer": "c24101",
    "a decimal": "c48221196ab3",
    "a bigfloat": "c5822003",
    "a string reference": "d81900",
    "string references": "d9010082" + "6161d81900",
    "a shared value": "d81c80",
    "a reference to a shared value": "d81d00",
    "a list inside itself": "d81c81d81d00",
    "a rational": "d81e820102",
    "a regular expression": "d823626128",
    "an e-mail": "d8246178",
    "a UUID": "d82550" + "00" * 16,
    "an IPv4 address": "d83444c0a80001",
    "an IPv6 address": "d83650" + "00" * 16,
    "days": "d86401",
    "a set": "d9010280",
    "an address of old": "d9010444c0a80001",
    "a network of old": "d90105a144c0a8000018",
    "a date of days": "d903ec6a323031332d30332d3231",
    "a complex number": "d9a7f8820102",
    "the tag of CBOR itself": "d9d9f700",
    "tags on tags": "c6" * 2000 + "00",
    **{f"a simple value {number}": f"{0xE0 + number:02x}" for number in range(20)},
    **{f"a tag {number} inside": f"81{0xC0 + number:02x}00" for number in range(24)},
}
