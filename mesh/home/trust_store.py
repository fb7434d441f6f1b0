"""The trust list on disk: one TOML file that people can read and edit.

The file is checked as a whole before anything of it counts, and written as a whole; a list that
somebody edited since it was read is never overwritten unseen.
"""

import difflib
import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final

from handshake.errors import InvalidKey
from handshake.identity import NodeId
from mesh.errors import InvalidConfiguration, MeshError
from mesh.home.files import Signature, read_private, signature_of, write_private
from mesh.trust.policy import Decision, Policy, TrustEntry

VERSION: Final = 1
FILE_MAX_BYTES: Final = 16 << 20

_HEADING: Final = """\
# Who may talk to this node. A running node sees an edit after: mesh trust reload
# noisemesh rewrites this file when a command or program changes the list; comments are not kept.
"""
_KEYS: Final = ("id", "name", "roles", "allowed")
_ENTRY_HEAD: Final = re.compile(r"\s*\[\[\s*peer\s*\]\]\s*(#.*)?")
_ESCAPES: Final = {'"': '\\"', "\\": "\\\\"}


class TrustStore:
    """The file at `path`, or with None a list that lives in memory alone.

    Not made for several threads; the caller holds the home's lock when it saves.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._seen: Signature | None = None
        self._entries: tuple[TrustEntry, ...] = ()

    def load(self) -> list[TrustEntry]:
        """All entries in the order of the file, none when there is no file; `Policy` takes them.

        Raises `InvalidConfiguration` naming the file and the line or entry; what was loaded
        before then still counts.
        """
        if self._path is None:
            return list(self._entries)
        found = read_private(self._path, limit_bytes=FILE_MAX_BYTES)
        if found is None:
            self._seen = None
            return []
        entries = _parse(self._path, found.data)
        self._seen = found.signature
        return entries

    def save(self, entries: Iterable[TrustEntry]) -> None:
        """Make `entries` the whole list.

        Raises `InvalidConfiguration`, the file untouched, when it cannot be written, was edited
        since this object read or wrote it, or the entries contradict each other.
        """
        kept = tuple(entries)
        if self._path is None:
            self._entries = kept
            return
        if self.changed():
            raise InvalidConfiguration(
                f"{self._path} was edited since it was read and is left as it is; "
                "take the edit over first with: mesh trust reload"
            )
        data = _render(kept)
        _parse(self._path, data)  # never write what could not be read again
        write_private(self._path, data)
        self._seen = signature_of(self._path)

    def changed(self) -> bool:
        """Whether the file is another than the one last read or written; costs one `lstat`."""
        return self._path is not None and signature_of(self._path) != self._seen


def _render(entries: Sequence[TrustEntry]) -> bytes:
    parts = [_HEADING, f"version = {VERSION}\n"]
    for entry in entries:
        parts.append(f"\n[[peer]]\nid = {_quoted(str(entry.id))}\n")
        if entry.name:
            parts.append(f"name = {_quoted(entry.name)}\n")
        if entry.roles:
            parts.append(f"roles = [{', '.join(map(_quoted, entry.roles))}]\n")
        parts.append(f"allowed = {'true' if entry.allowed else 'false'}\n")
    return "".join(parts).encode()


def _quoted(text: str) -> str:
    """A TOML basic string. Text that does not print is escaped: what people see is all there is."""
    return f'"{"".join(map(_escaped, text))}"'


def _escaped(character: str) -> str:
    if character.isprintable():
        return _ESCAPES.get(character, character)
    number = ord(character)
    if 0xD800 <= number <= 0xDFFF:
        raise InvalidConfiguration("a name or role holds half a character (a lone surrogate)")
    return f"\\u{number:04x}" if number <= 0xFFFF else f"\\U{number:08x}"


def _parse(path: Path, data: bytes) -> list[TrustEntry]:
    try:
        text = data.decode()
        table = tomllib.loads(text)
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise InvalidConfiguration(f"{path}, line {line}: it is not UTF-8") from None
    except tomllib.TOMLDecodeError as error:
        raise InvalidConfiguration(f"{path} is not TOML: {error}") from None
    _check_version(path, table.get("version", VERSION))
    for key in table:
        if key not in ("version", "peer"):
            raise InvalidConfiguration(f"{path}: {_unknown(key, ('version', 'peer'))}")
    rows = table.get("peer", [])
    if not isinstance(rows, list):
        raise InvalidConfiguration(f"{path}: a peer is written under [[peer]], two brackets")
    lines = [
        number
        for number, line in enumerate(text.splitlines(), start=1)
        if _ENTRY_HEAD.fullmatch(line)
    ]
    return _entries(path, rows, lines if len(lines) == len(rows) else [])


def _check_version(path: Path, version: object) -> None:
    if type(version) is not int or version < 1:
        raise InvalidConfiguration(f"{path}: version is the number {VERSION}")
    if version > VERSION:
        raise InvalidConfiguration(
            f"{path} was written by a newer noisemesh (version {version}, this one reads "
            f"{VERSION}); it is left as it is"
        )


def _entries(path: Path, rows: Sequence[object], lines: Sequence[int]) -> list[TrustEntry]:
    """The entries of `rows` as a policy would list them; each must fit to those before it."""
    policy = Policy()
    for index, row in enumerate(rows):
        try:
            entry = _entry(row)
            if policy.decide(entry.id) is not Decision.UNKNOWN:
                raise InvalidConfiguration("its id has an entry already")
            policy.allow(entry.id, entry.name, entry.roles)
            if not entry.allowed:
                policy.deny(entry.id)
        except MeshError as error:
            line = f", line {lines[index]}" if lines else ""
            raise InvalidConfiguration(f"{path}{line}, peer {index + 1}: {error}") from None
    return policy.entries()


def _entry(row: object) -> TrustEntry:
    if not isinstance(row, Mapping):
        raise InvalidConfiguration("it is not a table")
    for key in row:
        if key not in _KEYS:
            raise InvalidConfiguration(_unknown(key, _KEYS))
    id_text, allowed = row.get("id"), row.get("allowed")
    name, roles = row.get("name", ""), row.get("roles", [])
    if not isinstance(id_text, str):
        raise InvalidConfiguration("its id is missing or not text")
    if not isinstance(allowed, bool):
        raise InvalidConfiguration("allowed is missing or neither true nor false")
    if not isinstance(name, str):
        raise InvalidConfiguration("its name is not text")
    if not isinstance(roles, list) or not all(isinstance(role, str) for role in roles):
        raise InvalidConfiguration("its roles are not a list of texts")
    try:
        peer_id = NodeId.parse(id_text)
    except InvalidKey as error:
        raise InvalidConfiguration(f"its id cannot be used: {error}") from None
    return TrustEntry(peer_id, name, tuple(roles), allowed)


def _unknown(key: str, known: Sequence[str]) -> str:
    alike = difflib.get_close_matches(key, known, n=1)
    hint = f"; did you mean {alike[0]}?" if alike else ""
    return f"there is no key {key!r}{hint}"
