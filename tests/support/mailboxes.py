"""A mailbox without an engine: what would leave is kept, what the peer answers is up to a test.

Announcements, chunks and what is abandoned reach an `Assembly`, as at a peer; the room that it
grants is told when the test lets things arrive.
"""

import asyncio
from typing import Any, NamedTuple

from deliveries import frame_of
from handshake.identity import Identity, NodeId
from mesh.counters import Counters
from mesh.delivery.assembly import Announced, Assembly
from mesh.delivery.delivery import Delivery
from mesh.delivery.incoming import Incoming
from mesh.delivery.outgoing import Outgoing
from mesh.model import Peer
from mesh.runtime.mailbox import Mailbox
from mesh.runtime.receipts import Receipt, Standing
from mesh.wire import messages
from mesh.wire.messages import Body, unpacked

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
        Incoming(
            window_bytes=window, kept_bytes=1 << 30, large_bytes=max_message, counters=Counters()
        ),
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
        self.counters = Counters()
        self.assembly = Assembly(max_message, self.counters)
        self.cost = 0
        self.filled = 0
        self.abandoned = 0
        self._room = False
        self._telling = False
        self.frames: list[list[Sent]] = []
        self.expected = 0
        self.mailbox = Mailbox(Peer(PEER_ID, "bob"), self.delivery, self)  # type: ignore[arg-type]

    @property
    def busy_poll(self) -> "Wire":
        """Stands there as well: how often an answer was expected."""
        return self

    def expect(self) -> None:
        """As the busy poll's."""
        self.expected += 1

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
        """As the pump's: news that come while others are told wait for those."""
        self._room = delivery.outgoing.put_chunks() or self._room
        for batch in delivery.outgoing.take_unsent():
            body = frame_of(batch).body()
            self.frames.append([message for run in body.runs for message in self._read(run, body)])
            delivery.outgoing.sent(batch, 0.0)
            self.cost += batch.cost
        if self._telling:
            return
        self._telling = True
        while self._room:
            self._room = False
            self.mailbox.on_room()
        self._telling = False

    def _read(self, run: list[Any], body: Body) -> list[Sent]:
        kind, subject, items = run[0], run[1], unpacked(run[2])
        if kind == messages.LARGE:
            for lane, of, length, beside in items:
                self.assembly.announce(Announced(lane, of, subject, length, beside))
        elif kind == messages.ABANDON:
            self.abandoned += len(items)
            for lane in items:
                self.assembly.abandon(lane)
        elif kind == messages.CHUNK:
            whole = self.assembly.add(*items[0])
            if whole is None:
                return []
            kind, subject = whole.kind, whole.subject
            items = unpacked(self.assembly.take(whole, body.batch))
        else:
            return [Sent(kind, subject, item) for item in items]
        return [Sent(kind, subject, item) for item in items if kind in messages.APART]

    def arrive(self) -> None:
        """The peer has all that was sent."""
        for receipt in self.outgoing.acknowledge(self.outgoing.next_number - 1):
            if receipt is not None:
                assert isinstance(receipt, Receipt)
                receipt.advance(Standing.DELIVERED)
        while self.assembly.grants_due:
            self.outgoing.lanes.grant(self.assembly.grants_due.pop(0))
        self.send_closed(self.delivery)
        self._tell_of_room()

    def handle(self) -> None:
        """The peer has handled all that was sent, and gives the room for it back."""
        for batch in range(1, self.outgoing.next_number):
            self.assembly.finished(batch)
        self.arrive()
        for receipt in self.outgoing.on_handled([self.outgoing.acknowledged]):
            assert isinstance(receipt, Receipt)
            receipt.advance(Standing.HANDLED)
        self.outgoing.on_credit(self.window + self.cost)
        self._tell_of_room()

    def _tell_of_room(self) -> None:
        """As the engine does: those who wait, and nobody else."""
        if self.outgoing.awaited:
            self.outgoing.awaited = False
            self.mailbox.on_room()


async def fill(wire: Wire) -> None:
    """A peer that has no room for anything but crumbs; so many messages it took are `filled`."""
    while (left := wire.outgoing.credit.left(0)) > 1000:
        await wire.mailbox.tell("fill", b"f" * min(15_000, left - 600))
        await turns()
    wire.filled = len(wire.sent)


async def settle(wire: Wire) -> None:
    """Everything arrives and is handled, in as many turns as it takes."""
    for _ in range(1000):
        await turns()
        if wire.outgoing.idle:
            return
        wire.handle()
    raise AssertionError("it never comes to rest")


async def turns(count: int = 3) -> None:
    """Let a few turns of the loop go by: what waits for nothing is done then."""
    for _ in range(count):
        await asyncio.sleep(0)
