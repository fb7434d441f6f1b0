"""What was promised to whom in a simulated world, and whether it is kept.

Every message has a number of its own. It must arrive at the very run of the node it was queued for,
once, in the order of its subject; and what its sender is told of it must be true.
"""

from collections import deque
from typing import TYPE_CHECKING

from mesh.delivery.delivery import Delivery
from mesh.testing.clock import Violation
from mesh.wire.messages import TELL

if TYPE_CHECKING:
    from mesh.testing.process import Process


class Receipt:
    """Stands for the messages of one batch; what the sender was told of them."""

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self.delivered = False
        self.handled = False
        self.failed: str | None = None


class Message:
    """One message. `kind` and `subject` as on the wire; `credited`: its handling is waited for."""

    __slots__ = (
        "credited",
        "delivery",
        "handled",
        "kind",
        "number",
        "receipt",
        "received",
        "sender",
        "subject",
    )

    def __init__(
        self, number: int, sender: "Process", delivery: Delivery, kind: int, subject: str
    ) -> None:
        self.number = number
        self.sender = sender
        self.delivery = delivery
        self.kind = kind
        self.subject = subject
        self.credited = False
        self.received = False
        self.handled = False
        self.receipt: Receipt | None = None

    def __str__(self) -> str:
        return f"message {self.number} of {self.sender} under {self.subject!r}"


class Ledger:
    """All messages of a world."""

    def __init__(self) -> None:
        self.messages: dict[int, Message] = {}
        self.receipts: dict[Receipt, Process] = {}
        self._expected: dict[tuple[Delivery, str], deque[Message]] = {}
        self._numbers = 0

    def write(self, sender: "Process", delivery: Delivery, kind: int, subject: str) -> Message:
        """A message that will be queued, unless its sender gives up first."""
        self._numbers += 1
        message = Message(self._numbers, sender, delivery, kind, subject)
        self.messages[message.number] = message
        return message

    def queued(self, message: Message, receipt: Receipt, *, credited: bool) -> None:
        """From now on it has a place in the order of its subject."""
        message.credited = credited
        message.receipt = receipt
        receipt.messages.append(message)
        self.receipts[receipt] = message.sender
        if message.kind == TELL:
            key = message.delivery, message.subject
            self._expected.setdefault(key, deque()).append(message)

    def abandoned(self, message: Message) -> None:
        """Its sender has given up a large message that was under way: nobody gets it any more."""
        if message.receipt is not None:
            self.receipts.pop(message.receipt, None)
            message.receipt = None

    def received(self, process: "Process", delivery: Delivery, number: int) -> Message:
        """A handler gets this message. Raises Violation if it should not, or not now."""
        message = self.messages[number]
        sender, theirs = message.sender, message.delivery
        meant_for = theirs.peer_id, theirs.peer_instance, theirs.epoch
        if meant_for != (process.id, process.settings.instance, delivery.epoch):
            raise Violation("to the run it was meant for", f"{message} came to {process}")
        if (delivery.peer_id, delivery.peer_instance) != (sender.id, sender.settings.instance):
            raise Violation("from whom it says", f"{message} came to {process} as another one's")
        if message.received:
            raise Violation("exactly once", f"{message} came to {process} again")
        if message.kind == TELL:
            expected = self._expected.get((theirs, message.subject))
            first = expected.popleft() if expected else None
            if first is not message:
                late = f"{message} came to {process} when {first} was expected"
                raise Violation("in order", late)
        message.received = True
        receipt = message.receipt
        if receipt is None:
            raise Violation("only what was queued arrives", f"{message} came to {process}")
        if receipt.failed == "not_delivered":
            raise Violation("receipts tell the truth", f"{message} came, not delivered as it was")
        return message

    def delivered(self, receipt: Receipt) -> None:
        """The sender is told that the peer has these."""
        if receipt.delivered or receipt.failed:
            raise Violation("a receipt ends once", f"{_named(receipt)} are delivered again")
        receipt.delivered = True
        missing = [message for message in receipt.messages if not message.received]
        if missing:
            raise Violation("receipts tell the truth", f"{missing[0]} is said to be delivered")

    def handled(self, receipt: Receipt) -> None:
        """The sender is told that the peer's handlers are done with these."""
        if receipt.handled or receipt.failed:
            raise Violation("a receipt ends once", f"{_named(receipt)} are handled again")
        receipt.handled = True
        missing = [message for message in receipt.messages if not message.handled]
        if missing:
            raise Violation("receipts tell the truth", f"{missing[0]} is said to be handled")

    def failed(self, receipt: Receipt, outcome: str) -> None:
        """The sender is told that these will not be."""
        if receipt.failed or receipt.handled:
            raise Violation("a receipt ends once", f"{_named(receipt)} fail after their end")
        receipt.failed = outcome
        if outcome == "not_delivered":
            arrived = [message for message in receipt.messages if message.received]
            if arrived:
                raise Violation("receipts tell the truth", f"{arrived[0]} was delivered after all")

    def unfinished(self) -> list[str]:
        """What senders that live still wait for."""
        waiting = []
        for receipt, sender in self.receipts.items():
            if not sender.alive or receipt.failed:
                continue
            credited = any(message.credited for message in receipt.messages)
            if not receipt.delivered:
                waiting.append(f"{_named(receipt)}: delivered()")
            elif credited and not receipt.handled:
                waiting.append(f"{_named(receipt)}: handled()")
        return waiting

    def forget_finished(self) -> None:
        """Receipts that have ended need not be looked at again."""
        self.receipts = {
            receipt: sender
            for receipt, sender in self.receipts.items()
            if sender.alive and not receipt.failed and not receipt.handled
        }


def _named(receipt: Receipt) -> str:
    numbers = [str(message.number) for message in receipt.messages]
    return f"messages {', '.join(numbers)} of {receipt.messages[0].sender}"
