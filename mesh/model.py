"""The values every room speaks of: time, peers, routes."""

from dataclasses import dataclass
from typing import NamedTuple

from handshake.identity import NodeId


class Now(NamedTuple):
    """A moment, handed in by whoever owns the clocks.

    `elapsed`: seconds of a clock that never jumps and counts suspend: deadlines use it.
    `wall`: seconds since 1970: the times of delegations are held against it.
    """

    elapsed: float
    wall: float


@dataclass(frozen=True, slots=True, eq=False)
class Peer:
    """Another node as this one knows it: proved by the handshake, named by our own trust list.

    Compared and hashed by object, which makes it the cheapest key of a dictionary; a running node
    makes one for each session's peer and makes another when its name or roles change.
    """

    id: NodeId
    name: str = ""
    roles: tuple[str, ...] = ()

    def __str__(self) -> str:
        return self.name or self.id.short


@dataclass(frozen=True, slots=True)
class Route:
    """A way to a peer: a connection we dialled, or a return path that a connection to us left.

    `dialled`: number of the connection we opened, or 0. `routing_id`: the return path that
    ZeroMQ gave a connection to us, or empty. Never proof of who speaks.
    """

    dialled: int = 0
    routing_id: bytes = b""

    def __str__(self) -> str:
        return f"dialled #{self.dialled}" if self.dialled else f"from {self.routing_id.hex()}"


class Origin(NamedTuple):
    """Where a part came from: its return path, and the network address for limits and logs."""

    route: Route
    address: str


class Transmit(NamedTuple):
    """A frame to be sent, and the route it must take."""

    route: Route
    frame: bytes | bytearray
