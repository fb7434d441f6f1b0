"""What the engine tells its owner: one event a frame, run or change, never one a message."""

from dataclasses import dataclass
from typing import NamedTuple

from handshake.constants import Reason
from handshake.identity import NodeId
from mesh.delivery.delivery import Delivery
from mesh.errors import Outcome
from mesh.model import Route
from mesh.wire.messages import Bodies


class RunReceived(NamedTuple):
    """Neighbouring messages of one kind and subject, to be handled in order.

    `bodies` may be packed: `wire.messages.unpacked` decodes them.
    The owner calls `engine.finished(delivery, batch, now)` when all of them are.
    """

    delivery: Delivery
    batch: int
    kind: int
    subject: str
    bodies: Bodies


class Delivered(NamedTuple):
    """The peer has these batches."""

    receipts: list[object]


class Handled(NamedTuple):
    """The peer's handlers are done with these batches."""

    receipts: list[object]


class DeliveryEnded(NamedTuple):
    """This delivery is over: what had not ended has failed, calls and handlers included.

    `restarted`: another instance of the peer has taken over; the one it was sent to is gone.
    """

    delivery: Delivery
    failed: list[tuple[object, Outcome]]
    reason: str
    restarted: bool = False


class RoomAvailable(NamedTuple):
    """Those who wait to send to this peer may try again.

    Told once where somebody waits (`Outgoing.awaited`), and when chunks of large messages leave.
    Whoever finds too little room then, or begins to wait, is told of the next.
    """

    delivery: Delivery


@dataclass(frozen=True, slots=True)
class PeerConnected:
    """A session with this peer can be sent on; `delivery` is where messages go.

    Of one that has restarted: which ways led to it before is nothing to go by.
    """

    peer_id: NodeId
    delivery: Delivery


@dataclass(frozen=True, slots=True)
class RouteAuthenticated:
    """A connection we dialled leads to this peer."""

    route: Route
    peer_id: NodeId


@dataclass(frozen=True, slots=True)
class SessionConfirmed:
    """Both sides have the keys of a session. `fresh`: it renewed its parent."""

    peer_id: NodeId
    generation: int
    fresh: bool
    initiator: bool
    suite: str


@dataclass(frozen=True, slots=True)
class ConnectFailed:
    """A connection we dialled was refused: by us, or by the peer, who told us why.

    `by_peer`: who refused. The engine does not try again on this route.
    """

    route: Route
    peer_id: NodeId | None
    reason: Reason
    by_peer: bool


@dataclass(frozen=True, slots=True)
class StrangerRefused:
    """Somebody proved an identity that we do not trust.

    `address`: where it called from, as the transport says (an IP address, "ipc"); for one that
    answered a connection of ours, the text of that route ("dialled #1").
    """

    peer_id: NodeId
    address: str
    reason: Reason


@dataclass(frozen=True, slots=True)
class PresenceChanged:
    """`presence`: "connected", "unresponsive" or "lost"."""

    peer_id: NodeId
    presence: str


class PongReceived(NamedTuple):
    """The answer to one of our pings, and its round trip in seconds."""

    peer_id: NodeId
    token: int
    round_trip: float


@dataclass(frozen=True, slots=True)
class PeerClosed:
    """The peer said goodbye or refuses us, with this reason; `by_us`: we dropped it, for it."""

    peer_id: NodeId
    reason: Reason
    by_us: bool = False

    @property
    def text(self) -> str:
        """For people: who has ended it, and why, unless it was simply closed."""
        who = "closed here" if self.by_us else "the peer has closed"
        return who if self.reason is Reason.CLOSED else f"{who}: {self.reason.value}"


@dataclass(frozen=True, slots=True)
class Superseded:
    """Another instance with our own identity has taken our place at this peer."""

    peer_id: NodeId


@dataclass(frozen=True, slots=True)
class RouteFound:
    """There is a way to the peer, where there was none."""

    peer_id: NodeId


@dataclass(frozen=True, slots=True)
class RouteWanted:
    """The peer cannot be reached by any route that lives: dial it again if possible."""

    peer_id: NodeId


Event = (
    RunReceived
    | Delivered
    | Handled
    | DeliveryEnded
    | RoomAvailable
    | PeerConnected
    | RouteAuthenticated
    | SessionConfirmed
    | ConnectFailed
    | StrangerRefused
    | PresenceChanged
    | PongReceived
    | PeerClosed
    | Superseded
    | RouteFound
    | RouteWanted
)
