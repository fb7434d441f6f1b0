"""Kinds of settings: what is allowed in one, and how it is read from Python, TOML or a variable.

`read` takes what a program or a TOML file hands over, `read_text` what an environment variable
holds. Both return the one valid form of the value or raise `ValueError`; its text never repeats
a value, so that secrets cannot leak through it.
"""

import base64
import re
from typing import ClassVar, NamedTuple, Protocol, TypeVar

from handshake.errors import InvalidKey
from handshake.identity import NodeId
from handshake.secret import Secret, SecretText

T_co = TypeVar("T_co", covariant=True)

SECRET_BYTES = 32
# sockaddr_un holds 104 bytes on macOS, its final zero included; the shorter limit holds everywhere.
IPC_PATH_MAX_BYTES = 103

_HOST = re.compile(r"\[[0-9A-Fa-f:.]+(%[0-9A-Za-z_.-]+)?\]|\*|[0-9A-Za-z_.-]+")


class Kind(Protocol[T_co]):
    """One kind of setting. `shape`: its type in words; `allowed`: the values it takes."""

    secret: ClassVar[bool]

    @property
    def shape(self) -> str: ...
    @property
    def allowed(self) -> str: ...
    def read(self, value: object) -> T_co: ...
    def read_text(self, text: str) -> T_co: ...


class Target(NamedTuple):
    """A peer to dial: where, and who must answer (None: anybody who is trusted)."""

    endpoint: str
    id: NodeId | None


def parse_target(text: str) -> Target:
    """Take "endpoint" or "id@endpoint" apart; `ValueError` when it is neither."""
    head, separator, address = text.partition("://")  # an ipc path may hold an @ of its own
    id_text, at, scheme = head.rpartition("@")
    endpoint = _check_endpoint(scheme + separator + address, dialled=True)
    if not at:
        return Target(endpoint, None)
    try:
        return Target(endpoint, NodeId.parse(id_text))
    except InvalidKey:
        raise ValueError("what stands before the @ is not a node id") from None


class Text:
    """Printable text of `low` to `high` characters, or bytes of UTF-8 where `in_bytes`."""

    secret: ClassVar[bool] = False
    shape = "text"

    def __init__(self, low: int, high: int, *, in_bytes: bool = False) -> None:
        self._low = low
        self._high = high
        self._in_bytes = in_bytes

    @property
    def allowed(self) -> str:
        unit = "bytes of UTF-8" if self._in_bytes else "characters"
        return f"{self._low} to {self._high} {unit}, printable, no space at the ends"

    def read(self, value: object) -> str:
        if not isinstance(value, str):
            raise ValueError("not text")
        return self.read_text(value)

    def read_text(self, text: str) -> str:
        if not text.isprintable() or text != text.strip():
            raise ValueError("it holds characters that do not print, or spaces at its ends")
        length = len(text.encode()) if self._in_bytes else len(text)
        if not self._low <= length <= self._high:
            raise ValueError(f"it is {length} long")
        return text


class Whole:
    """A whole number from `low` to `high`, in `unit`."""

    secret: ClassVar[bool] = False
    shape = "whole number"

    def __init__(self, low: int, high: int, unit: str) -> None:
        self._low = low
        self._high = high
        self._unit = unit

    @property
    def allowed(self) -> str:
        return f"{self._low} to {self._high} {self._unit}"

    def read(self, value: object) -> int:
        if isinstance(value, bool) or not isinstance(value, int):
            raise ValueError("not a whole number")
        if not self._low <= value <= self._high:
            raise ValueError("out of range")
        return value

    def read_text(self, text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            raise ValueError("not a whole number") from None
        return self.read(value)


class Seconds:
    """A duration from `low` to `high` seconds."""

    secret: ClassVar[bool] = False
    shape = "number of seconds"

    def __init__(self, low: float, high: float) -> None:
        self._low = low
        self._high = high

    @property
    def allowed(self) -> str:
        return f"{self._low:g} to {self._high:g} seconds"

    def read(self, value: object) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise ValueError("not a number")
        if not self._low <= value <= self._high:  # holds for no NaN and no infinity
            raise ValueError("out of range")
        return float(value)

    def read_text(self, text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            raise ValueError("not a number") from None
        return self.read(value)


class Endpoints:
    """Endpoints to listen on: one text or a list; separated by commas in a variable."""

    secret: ClassVar[bool] = False
    shape = "list of endpoints"
    allowed = "`tcp://host:port` (port 0: any free one) or `ipc://path`; one, or a list"

    def read(self, value: object) -> tuple[str, ...]:
        return tuple(_check_endpoint(item, dialled=False) for item in _texts(value))

    def read_text(self, text: str) -> tuple[str, ...]:
        return self.read(_split(text))


class Targets:
    """Peers to dial: one text or a list; separated by commas in a variable."""

    secret: ClassVar[bool] = False
    shape = "list of peers"
    allowed = "`endpoint` or `id@endpoint`, `tcp://host:port` or `ipc://path`; one, or a list"

    def read(self, value: object) -> tuple[str, ...]:
        texts = _texts(value)
        for text in texts:
            parse_target(text)
        return texts

    def read_text(self, text: str) -> tuple[str, ...]:
        return self.read(_split(text))


class Key:
    """A secret of 32 random bytes, or none."""

    secret: ClassVar[bool] = True
    shape = "secret"
    allowed = "32 bytes, written as 64 hexadecimal digits or 52 characters of base32"

    def read(self, value: object) -> Secret | None:
        if value is None:
            return None
        if isinstance(value, str):
            return self.read_text(value)
        if not isinstance(value, bytes) or len(value) != SECRET_BYTES:
            raise ValueError("not 32 bytes")
        return Secret(value)

    def read_text(self, text: str) -> Secret:
        for decode in (_from_hex, _from_base32):
            key = decode(text)
            if key is not None:
                return Secret(key)
        raise ValueError("neither 64 hexadecimal digits nor 52 characters of base32")


class Passphrase:
    """A passphrase, or none."""

    secret: ClassVar[bool] = True
    shape = "secret"
    allowed = "any text but the empty one"

    def read(self, value: object) -> SecretText | None:
        if value is None:
            return None
        if isinstance(value, SecretText):
            return value
        if not isinstance(value, str):
            raise ValueError("not text")
        return self.read_text(value)

    def read_text(self, text: str) -> SecretText:
        if not text:
            raise ValueError("it is empty")
        if any("\ud800" <= character <= "\udfff" for character in text):
            raise ValueError("it holds half characters (lone surrogates)")
        return SecretText(text)


def _texts(value: object) -> tuple[str, ...]:
    items = [value] if isinstance(value, str) else value
    if not isinstance(items, list | tuple):
        raise ValueError("neither text nor a list of texts")
    texts = tuple(item for item in items if isinstance(item, str))
    if len(texts) != len(items):
        raise ValueError("the list holds something that is not text")
    if len(set(texts)) != len(texts):
        raise ValueError("the list names one endpoint twice")
    return texts


def _split(text: str) -> list[str]:
    return [part.strip() for part in text.split(",")] if text.strip() else []


def _check_endpoint(text: str, *, dialled: bool) -> str:
    if not text.isprintable() or "," in text:
        raise ValueError("an endpoint holds a comma or a character that does not print")
    scheme, _, rest = text.partition("://")
    if scheme == "tcp":
        _check_address(rest, dialled=dialled)
    elif scheme == "ipc":
        if not 1 <= len(rest.encode()) <= IPC_PATH_MAX_BYTES or (dialled and rest == "*"):
            raise ValueError(f"the path of an ipc endpoint has 1 to {IPC_PATH_MAX_BYTES} bytes")
    else:
        raise ValueError("an endpoint begins with tcp:// or ipc://")
    return text


def _check_address(address: str, *, dialled: bool) -> None:
    host, _, port = address.rpartition(":")
    if not _HOST.fullmatch(host) or (dialled and host == "*"):
        raise ValueError("a tcp endpoint is tcp://host:port, an IPv6 host in brackets")
    lowest = 1 if dialled else 0
    if not re.fullmatch(r"[0-9]{1,5}", port) or not lowest <= int(port) <= 65535:
        raise ValueError(f"the port of an endpoint is a number from {lowest} to 65535")


def _from_hex(text: str) -> bytes | None:
    if not re.fullmatch(rf"[0-9A-Fa-f]{{{2 * SECRET_BYTES}}}", text):
        return None
    return bytes.fromhex(text)


def _from_base32(text: str) -> bytes | None:
    letters = text.upper()
    if not re.fullmatch(r"[A-Z2-7]{52}", letters):
        return None
    key = base64.b32decode(letters + "====")
    # Four bits of the last character stand for nothing: one key, one spelling.
    return key if base64.b32encode(key).decode().rstrip("=") == letters else None
