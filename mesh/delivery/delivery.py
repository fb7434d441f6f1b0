"""The delivery state of a pair of instances: one per peer instance and epoch."""

from handshake.identity import NodeId
from mesh.delivery.incoming import Incoming
from mesh.delivery.outgoing import Outgoing


class Delivery:
    """Both halves, and whose they are.

    Messages are promised exactly once between two instances; `epoch` grows when one side has
    forgotten the other after a long silence. Sessions come and go below it.
    """

    __slots__ = ("epoch", "incoming", "outgoing", "peer_id", "peer_instance")

    def __init__(
        self,
        peer_id: NodeId,
        peer_instance: bytes,
        epoch: int,
        outgoing: Outgoing,
        incoming: Incoming,
    ) -> None:
        self.peer_id = peer_id
        self.peer_instance = peer_instance
        self.epoch = epoch
        self.outgoing = outgoing
        self.incoming = incoming
