"""noisemesh: agents that find each other, prove who they are and talk, with nothing in between.

    from mesh import Node

    node = Node("alice")

    @node.on("log")
    async def log(body, *, peer):
        print(peer, body)

    async def main():
        async with node:
            node.trust.allow(BOBS_ID, name="bob")  # and bob allows alice's, node.id
            await node.connect("tcp://127.0.0.1:40124", id="bob")
            await node.send("bob", "log", {"line": 1})

The names below are the whole public interface (docs/reference/node.md); rooms inside import each
other's own.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from handshake.identity import NodeId
    from mesh.errors import (
        AmbiguousName,
        BufferFull,
        CallFailed,
        CallTimeout,
        DeliveryFailed,
        Denied,
        HomeInUse,
        InvalidConfiguration,
        InvalidMessage,
        MeshError,
        MessageTooLarge,
        NodeClosed,
        NoHandler,
        NotTrusted,
        PeerRestarted,
        PeerUnreachable,
        UnknownPeer,
        WaitTimeout,
        WrongPeer,
        WrongThread,
    )
    from mesh.model import Peer
    from mesh.node import Node
    from mesh.runtime.presence import Presence, PresenceChange
    from mesh.runtime.receipts import Receipt
    from mesh.trust.policy import TrustEntry

_HOMES = {
    "Node": "mesh.node",
    "NodeId": "handshake.identity",
    "Peer": "mesh.model",
    "Presence": "mesh.runtime.presence",
    "PresenceChange": "mesh.runtime.presence",
    "Receipt": "mesh.runtime.receipts",
    "TrustEntry": "mesh.trust.policy",
}

__all__ = [
    "AmbiguousName",
    "BufferFull",
    "CallFailed",
    "CallTimeout",
    "DeliveryFailed",
    "Denied",
    "HomeInUse",
    "InvalidConfiguration",
    "InvalidMessage",
    "MeshError",
    "MessageTooLarge",
    "NoHandler",
    "Node",
    "NodeClosed",
    "NodeId",
    "NotTrusted",
    "Peer",
    "PeerRestarted",
    "PeerUnreachable",
    "Presence",
    "PresenceChange",
    "Receipt",
    "TrustEntry",
    "UnknownPeer",
    "WaitTimeout",
    "WrongPeer",
    "WrongThread",
]


def __getattr__(name: str) -> Any:
    """Public names are imported when they are first used: the pure rooms need no sockets."""
    if name not in __all__:
        raise AttributeError(f"module 'mesh' has no attribute {name!r}")
    return getattr(import_module(_HOMES.get(name, "mesh.errors")), name)
