"""The trust list as verbs: asked of a running node, or of a home where none runs."""

from collections.abc import Callable
from typing import Any

from handshake.identity import NodeId
from mesh.errors import InvalidConfiguration, InvalidMessage
from mesh.runtime.trustees import Trust, node_id
from mesh.trust.policy import Policy, TrustEntry

Arguments = dict[str, Any]


class TrustVerbs:
    """`policy` is the list that `trust` changes; `own_id`: who need not trust itself, if known."""

    def __init__(self, policy: Policy, trust: Trust, own_id: NodeId | None) -> None:
        self._policy = policy
        self._trust = trust
        self._own_id = own_id
        self.verbs: dict[str, Callable[[Arguments], object]] = {
            "trust-list": self._list,
            "trust-allow": self._allow,
            "trust-deny": self._deny,
            "trust-forget": self._forget,
            "trust-reload": self._reload,
        }

    def _list(self, _arguments: Arguments) -> object:
        return [_described(entry) for entry in self._trust.list()]

    def _allow(self, arguments: Arguments) -> object:
        """A name or roles that are not given stay what they were."""
        peer_id = node_id(text_of(arguments, "id"))
        if peer_id == self._own_id:
            raise InvalidConfiguration(
                "that is this node's own id; give the id that the other node prints"
            )
        name, roles = arguments.get("name"), arguments.get("roles")
        if name is not None and not isinstance(name, str):
            raise InvalidMessage("a name is a text")
        if roles is None:
            roles = self._policy.roles_of(peer_id)
        elif not isinstance(roles, list) or not all(isinstance(role, str) for role in roles):
            raise InvalidMessage("roles are a list of texts")
        self._trust.allow(peer_id, self._policy.name_of(peer_id) if name is None else name, roles)
        return self._entry(peer_id)

    def _deny(self, arguments: Arguments) -> object:
        peer_id = self._policy.resolve(text_of(arguments, "peer"))
        self._trust.deny(peer_id)
        return self._entry(peer_id)

    def _forget(self, arguments: Arguments) -> object:
        peer_id = self._policy.resolve(text_of(arguments, "peer"))
        known = [entry for entry in self._trust.list() if entry.id == peer_id]
        self._trust.forget(peer_id)
        return {"id": str(peer_id), "forgotten": bool(known)}

    def _reload(self, arguments: Arguments) -> object:
        self._trust.load()
        return self._list(arguments)

    def _entry(self, peer_id: NodeId) -> object:
        return next(_described(entry) for entry in self._trust.list() if entry.id == peer_id)


def text_of(arguments: Arguments, name: str) -> str:
    """An argument that must be a text. Raises InvalidMessage."""
    value = arguments.get(name)
    if not isinstance(value, str):
        raise InvalidMessage(f"{name!r} is missing or not a text")
    return value


def _described(entry: TrustEntry) -> Arguments:
    return {
        "id": str(entry.id),
        "name": entry.name,
        "roles": list(entry.roles),
        "allowed": entry.allowed,
    }
