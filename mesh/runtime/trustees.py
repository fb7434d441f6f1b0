"""`node.trust`: whom a node believes, in memory and on disk at once.

A running node holds its home; the list of one that does not run is changed under the home's lock
all the same, so that no other process loses what it decided.
"""

from collections.abc import Callable, Iterable

from handshake.errors import InvalidKey
from handshake.identity import NodeId
from mesh.errors import InvalidConfiguration
from mesh.home.home import Home
from mesh.home.trust_store import TrustStore
from mesh.trust.policy import Policy, TrustEntry


class Trust:
    """Whom this node believes. Nobody, at first."""

    def __init__(self, policy: Policy, home: Home) -> None:
        self._policy = policy
        self._home = home
        self._store = TrustStore(home.trust_file)
        self._on_change: Callable[[], None] | None = None

    @property
    def in_memory(self) -> bool:
        """Whether the list lives in this program alone: no command can change it."""
        return self._home.path is None

    def watch(self, on_change: Callable[[], None] | None) -> None:
        """Called after every change, from now on; None: nobody is."""
        self._on_change = on_change

    def allow(self, peer: NodeId | str, name: str = "", roles: Iterable[str] = ()) -> None:
        """Believe this identity, and call it `name` from now on.

        Raises InvalidConfiguration for an id or name that cannot be one, or a list that cannot be
        written; AmbiguousName for a name that another peer has; HomeInUse when another process
        runs this node. Nothing changes then.
        """
        self._change(lambda policy: policy.allow(node_id(peer), name, roles))

    def deny(self, peer: NodeId | str) -> None:
        """Refuse this identity or petname; a running session with it ends at once.

        Raises as `allow`, and UnknownPeer for a text that is neither.
        """
        self._change(lambda policy: policy.deny(policy.resolve(peer)))

    def forget(self, peer: NodeId | str) -> None:
        """Neither allow nor deny it any more; its session ends at once. Raises as `deny`."""
        self._change(lambda policy: policy.forget(policy.resolve(peer)))

    def list(self) -> list[TrustEntry]:
        """Every entry, allowed and denied: `id`, `name`, `roles`, `allowed`.

        Raises InvalidConfiguration as `load`.
        """
        if not self._home.held:
            self._policy.replace(self._store.load())
        return self._policy.entries()

    def load(self) -> None:
        """Read the list from disk, again if somebody has edited it.

        Raises InvalidConfiguration when it cannot be read; nothing changes then.
        """
        self._policy.replace(self._store.load())
        if self._on_change is not None:
            self._on_change()

    def _change(self, change: Callable[[Policy], None]) -> None:
        """On a copy first, then on disk, then for everybody."""
        if self._home.held:
            self._apply(change)
            return
        with self._home:
            self._policy.replace(self._store.load())
            self._apply(change)

    def _apply(self, change: Callable[[Policy], None]) -> None:
        changed = Policy(self._policy.entries())
        change(changed)
        self._store.save(changed.entries())
        self._policy.replace(changed.entries())
        if self._on_change is not None:
            self._on_change()


def node_id(peer: NodeId | str) -> NodeId:
    """An id given as such or as text. Raises InvalidConfiguration."""
    if isinstance(peer, NodeId):
        return peer
    try:
        return NodeId.parse(peer)
    except InvalidKey as error:
        raise InvalidConfiguration(f"{peer!r:.80} is no node id: {error}") from None
