"""Whom this node believes: the list of peers its owner allowed or denied, with petnames and roles.

Decisions only. Ids come from the handshake, which proved them; how the list lies on disk is the
business of `mesh.home`.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import Enum
from typing import Final

from handshake.constants import ID_TEXT_CHARS
from handshake.errors import InvalidKey
from handshake.identity import NodeId
from mesh.errors import AmbiguousName, InvalidConfiguration, UnknownPeer

NAME_MAX_CHARS: Final = 64
"""Petnames and roles: as many as fit a line of a list."""
_ID_CHARACTERS: Final = frozenset("abcdefghijklmnopqrstuvwxyz234567")


class Decision(Enum):
    """What the list says of an id."""

    ALLOWED = "allowed"
    DENIED = "denied"
    UNKNOWN = "unknown"
    """Nobody decided yet: not trusted, but worth asking the owner about."""


@dataclass(frozen=True, slots=True)
class TrustEntry:
    """A line of the list. `name` is our owner's petname for the peer, or empty."""

    id: NodeId
    name: str = ""
    roles: tuple[str, ...] = ()
    allowed: bool = True


class Policy:
    """The list of allowed and denied peers. Who is not on it is not trusted."""

    def __init__(self, entries: Iterable[TrustEntry] = ()) -> None:
        """Start from a stored list. Raises as `allow` does for names and roles it would refuse."""
        self._entries: dict[NodeId, TrustEntry] = {}
        self._ids: dict[str, NodeId] = {}
        for entry in entries:
            self._put(replace(entry, roles=_checked_roles(entry.roles) if entry.allowed else ()))

    def allow(self, id: NodeId, name: str = "", roles: Iterable[str] = ()) -> None:
        """Trust a peer from now on, under this petname (empty: none) and with just these roles.

        Raises `InvalidConfiguration` for a name or role that cannot be used, `AmbiguousName` for
        a name that another peer bears, denied or not; nothing changes then.
        """
        self._put(TrustEntry(id, name, _checked_roles(roles)))

    def deny(self, id: NodeId) -> None:
        """Refuse a peer from now on. Its petname stays, its roles do not."""
        self._put(TrustEntry(id, self.name_of(id), allowed=False))

    def forget(self, id: NodeId) -> None:
        """Strike a peer from the list: it is unknown again. Nothing happens if it was not on it."""
        entry = self._entries.pop(id, None)
        if entry is not None:
            self._ids.pop(entry.name, None)

    def replace(self, entries: Iterable[TrustEntry]) -> None:
        """Take another list as a whole. Raises as the constructor; nothing changes then."""
        fresh = Policy(entries)
        self._entries, self._ids = fresh._entries, fresh._ids

    def decide(self, id: NodeId) -> Decision:
        """What the list says of a peer that proved this id."""
        entry = self._entries.get(id)
        if entry is None:
            return Decision.UNKNOWN
        return Decision.ALLOWED if entry.allowed else Decision.DENIED

    def entries(self) -> list[TrustEntry]:
        """The list, in the order in which its peers first came on it."""
        return list(self._entries.values())

    def name_of(self, id: NodeId) -> str:
        """The petname of a peer, or nothing."""
        entry = self._entries.get(id)
        return entry.name if entry else ""

    def roles_of(self, id: NodeId) -> tuple[str, ...]:
        """The roles of an allowed peer, sorted; none for any other."""
        entry = self._entries.get(id)
        return entry.roles if entry else ()

    def find(self, name: str) -> NodeId:
        """The peer of a petname. Raises `UnknownPeer` if nobody bears it."""
        try:
            return self._ids[name]
        except KeyError:
            fault = _fault_of_id(name) or "`mesh trust list` names them"
            raise UnknownPeer(f"no peer is called {name!r:.80}; {fault}") from None

    def resolve(self, peer: NodeId | str) -> NodeId:
        """The peer of an id, of the text of one, or of a petname. Raises `UnknownPeer`."""
        if isinstance(peer, NodeId):
            return peer
        try:
            return NodeId.parse(peer)
        except InvalidKey:
            return self.find(peer)

    def _put(self, entry: TrustEntry) -> None:
        if entry.name:
            _check_name(entry.name)
            bearer = self._ids.get(entry.name, entry.id)
            if bearer != entry.id:
                raise AmbiguousName(f"{entry.name!r} is already the name of {bearer}")
        self._ids.pop(self.name_of(entry.id), None)
        self._entries[entry.id] = entry
        if entry.name:
            self._ids[entry.name] = entry.id


def _checked_roles(roles: Iterable[str]) -> tuple[str, ...]:
    if isinstance(roles, str):
        raise InvalidConfiguration("roles are a list of words, not one text")
    checked = tuple(sorted(set(roles)))
    for role in checked:
        _check_word(role, "a role")
    return checked


def _check_name(name: str) -> None:
    _check_word(name, "a name")
    if _has_form_of_id(name):
        raise InvalidConfiguration("a name with the form of an id would hide whom it stands for")


def _has_form_of_id(text: str) -> bool:
    return len(text) == ID_TEXT_CHARS and set(text.lower()) <= _ID_CHARACTERS


def _fault_of_id(text: str) -> str:
    """Why a text with the form of an id is none; nothing for any other text."""
    if not _has_form_of_id(text):
        return ""
    try:
        NodeId.parse(text)
    except InvalidKey as error:
        return f"nor is it a node id: {error}"
    return ""


def _check_word(word: str, what: str) -> None:
    if not 0 < len(word) <= NAME_MAX_CHARS:
        raise InvalidConfiguration(f"{what} has 1 to {NAME_MAX_CHARS} characters")
    if not word.isprintable() or word != word.strip():
        raise InvalidConfiguration(f"{what} is printable text without spaces at its ends")
