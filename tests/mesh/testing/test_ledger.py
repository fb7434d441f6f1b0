"""What was promised, and whether it is kept: each lie is found."""

from types import SimpleNamespace

import pytest

from mesh.testing.clock import Violation
from mesh.testing.ledger import Ledger, Receipt
from mesh.wire import messages


class Sides:
    """Ann, who sends to bob, as far as a ledger looks."""

    def __init__(self):
        self.ledger = Ledger()
        self.ann = self._process("ann")
        self.bob = self._process("bob")
        self.outgoing = _Hashable(peer_id="bob", peer_instance=b"bob's run", epoch=0)
        self.incoming = _Hashable(peer_id="ann", peer_instance=b"ann's run", epoch=0)

    def _process(self, name):
        settings = SimpleNamespace(instance=f"{name}'s run".encode())
        return _Hashable(id=name, settings=settings, alive=True)

    def send(self, subject="log", receipt=None, *, credited=True, kind=messages.TELL):
        message = self.ledger.write(self.ann, self.outgoing, kind, subject)
        self.ledger.queued(message, receipt or Receipt(), credited=credited)
        return message

    def get(self, message):
        return self.ledger.received(self.bob, self.incoming, message.number)


class _Hashable(SimpleNamespace):
    def __hash__(self):
        return id(self)


@pytest.fixture
def sides():
    return Sides()


def test_what_is_kept_is_no_violation(sides):
    """In order for each subject, then delivered, then handled, and nothing waits."""
    receipt = Receipt()
    first, other, second = (sides.send(s, receipt) for s in ("log", "tick", "log"))
    assert len(sides.ledger.unfinished()) == 1
    for message in (other, first, second):
        assert sides.get(message) is message
        message.handled = True
    sides.ledger.delivered(receipt)
    assert "handled()" in sides.ledger.unfinished()[0]
    sides.ledger.handled(receipt)
    assert sides.ledger.unfinished() == []
    assert sides.ledger.receipts
    sides.ledger.forget_finished()
    assert sides.ledger.receipts == {}


@pytest.mark.parametrize("kind", [messages.REQUEST, messages.REPLY])
def test_order_is_promised_for_direct_messages_alone(sides, kind):
    """A large request is passed by small ones; but nothing comes that was not queued."""
    first, second = sides.send(kind=kind), sides.send(kind=kind)
    assert sides.get(second) is second
    assert sides.get(first) is first
    never_queued = sides.ledger.write(sides.ann, sides.outgoing, kind, "x")
    with pytest.raises(Violation, match="only what was queued"):
        sides.get(never_queued)


def test_what_its_sender_has_given_up_does_not_come(sides):
    """Nor does anybody wait for its receipt; what was given up in a line had none."""
    message = sides.send(kind=messages.REQUEST)
    in_line = sides.ledger.write(sides.ann, sides.outgoing, messages.REQUEST, "x")
    for given_up in (message, in_line):
        sides.ledger.abandoned(given_up)
    assert sides.ledger.unfinished() == []
    assert sides.ledger.receipts == {}
    with pytest.raises(Violation, match="only what was queued"):
        sides.get(message)


def test_twice_and_out_of_order_are_found(sides):
    """As what they are."""
    first, second = sides.send(), sides.send()
    with pytest.raises(Violation, match="in order"):
        sides.get(second)
    sides = Sides()
    first = sides.send()
    sides.get(first)
    with pytest.raises(Violation, match="exactly once"):
        sides.get(first)
    never_queued = sides.ledger.write(sides.ann, sides.outgoing, messages.TELL, "x")
    with pytest.raises(Violation, match="in order"):
        sides.get(never_queued)


@pytest.mark.parametrize(
    ("side", "field", "rule"),
    [
        ("outgoing", "peer_instance", "meant for"),
        ("outgoing", "peer_id", "meant for"),
        ("outgoing", "epoch", "meant for"),
        ("incoming", "peer_id", "from whom"),
        ("incoming", "peer_instance", "from whom"),
    ],
)
def test_another_run_than_it_was_meant_for_is_found(sides, side, field, rule):
    """On either end, and another epoch."""
    message = sides.send()
    setattr(getattr(sides, side), field, 7)
    with pytest.raises(Violation, match=rule):
        sides.get(message)


def test_receipts_that_lie_are_found(sides):
    """Delivered or handled before it was, not delivered although it was."""
    early = Receipt()
    sides.send(receipt=early)
    with pytest.raises(Violation, match="said to be delivered"):
        sides.ledger.delivered(early)
    with pytest.raises(Violation, match="said to be handled"):
        sides.ledger.handled(early)
    sides, late = Sides(), Receipt()
    message = sides.send(receipt=late)
    sides.ledger.failed(late, "not_delivered")
    with pytest.raises(Violation, match="not delivered as it was"):
        sides.get(message)
    sides, wrong = Sides(), Receipt()
    sides.get(sides.send(receipt=wrong))
    with pytest.raises(Violation, match="after all"):
        sides.ledger.failed(wrong, "not_delivered")


def test_a_receipt_ends_once(sides):
    """Neither twice in one way nor in two ways."""
    receipt = Receipt()
    message = sides.send(receipt=receipt)
    sides.get(message)
    message.handled = True
    sides.ledger.delivered(receipt)
    with pytest.raises(Violation, match="delivered again"):
        sides.ledger.delivered(receipt)
    sides.ledger.handled(receipt)
    with pytest.raises(Violation, match="handled again"):
        sides.ledger.handled(receipt)
    with pytest.raises(Violation, match="after their end"):
        sides.ledger.failed(receipt, "unknown")


def test_nobody_waits_for_the_dead_the_failed_and_the_handling_of_replies(sides):
    """Only what somebody alive still waits for is unfinished."""
    reply, failed = Receipt(), Receipt()
    sides.get(sides.send(receipt=reply, credited=False))
    sides.ledger.delivered(reply)
    sides.send("x", failed)
    sides.ledger.failed(failed, "unknown")
    assert sides.ledger.unfinished() == []
    sides.send("y")
    assert len(sides.ledger.unfinished()) == 1
    sides.ann.alive = False
    assert sides.ledger.unfinished() == []
