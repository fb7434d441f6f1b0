"""A mailbox without an engine: what would leave is kept, what the peer answers is up to a test."""

import asyncio
from typing import Any, NamedTuple

from deliveries import frame_of
from handshake.identity import Identity, NodeId
from mesh.counters import Counters
from mesh.delivery.delivery import Delivery
from mesh.delivery.incoming import Incoming
from mesh.delivery.outgoing import Outgoing
from mesh.model import Peer
from mesh.runtime.mailbox import Mailbox
from mesh.runtime.receipts import Receipt, Standing
from mesh.wire import messages
from mesh.wire.messages import unpacked

WINDOW = 1 << 20
PEER_ID = Identity(bytes(range(32))).id


def make_delivery(
    window: int = WINDOW, max_message: int = WINDOW, peer_id: NodeId = PEER_ID
) -> Delivery:
    """A delivery with one peer, the same unless another is named."""
    return Delivery(
        peer_id,
        b"i" * 16,
        0,
        Outgoing(Receipt, window_bytes=window, max_message_bytes=max_message, kept_bytes=1 << 30),
        Incoming(window_bytes=window, large_bytes=max_message, counters=Counters()),
    )


class Sent(NamedTuple):
    """A message as it left."""

    kind: int
    subject: str
    body: Any


class Wire:
    """Stands where a mailbox has its pump. `frames`: the messages of each frame that left."""

    def __init__(self, window: int = WINDOW, max_message: int = WINDOW) -> None:
        self.delivery = make_delivery(window, max_message)
        self.outgoing = self.delivery.outgoing
        self.window = window
        self.cost = 0
        self.frames: list[list[Sent]] = []
        self.mailbox = Mailbox(Peer(PEER_ID, "bob"), self.delivery, self)  # type: ignore[arg-type]

    @property
    def sent(self) -> list[Sent]:
        """Every message that left, in order."""
        return [message for frame in self.frames for message in frame]

    def bodies(self, kind: int = messages.TELL) -> list[Any]:
        """The bodies of one kind, in order."""
        return [message.body for message in self.sent if message.kind == kind]

    def flush(self, delivery: Delivery) -> None:
        """As the pump's."""
        delivery.outgoing.close_batch()
        self.send_closed(delivery)

    def send_closed(self, delivery: Delivery) -> None:
        """As the pump's."""
        for batch in delivery.outgoing.take_unsent():
            body = frame_of(batch).body()
            runs = [[Sent(run[0], run[1], item) for item in unpacked(run[2])] for run in body.runs]
            self.frames.append([message for run in runs for message in run])
            delivery.outgoing.sent(batch, 0.0)
            self.cost += batch.cost

    def arrive(self) -> None:
        """The peer has all that was sent."""
        for receipt in self.outgoing.acknowledge(self.outgoing.next_number - 1):
            assert isinstance(receipt, Receipt)
            receipt.advance(Standing.DELIVERED)
        self.mailbox.on_room()

    def handle(self) -> None:
        """The peer has handled all that was sent, and gives the room for it back."""
        self.arrive()
        for receipt in self.outgoing.on_handled([self.outgoing.acknowledged]):
            assert isinstance(receipt, Receipt)
            receipt.advance(Standing.HANDLED)
        self.outgoing.on_credit(self.window + self.cost)
        self.mailbox.on_room()


async def turns(count: int = 3) -> None:
    """Let a few turns of the loop go by: what waits for nothing is done then."""
    for _ in range(count):
        await asyncio.sleep(0)
