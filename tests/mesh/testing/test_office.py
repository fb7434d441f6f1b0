"""What a program sends: lines for room, calls, and their ends."""

import pytest

from mesh.testing.clock import Violation
from mesh.testing.office import content, number_of
from mesh.wire import messages


def kinds(met, subject=None):
    return [m.kind for m in met.world.ledger.messages.values() if subject in (None, m.subject)]


def test_messages_of_all_shapes_are_handled(met):
    """Small, packed and bulk ones, in order."""
    office = met.office("ann", "bob")
    assert office.tell("log", 3)
    assert office.tell("log", 3, packed=True)
    assert office.tell("log", 20_000)
    met.process("ann").pump()
    met.run(2.0)
    assert [m.handled for m in met.world.ledger.messages.values()] == [True] * 3
    assert met.world.ledger.unfinished() == []


def test_who_finds_no_room_waits_in_line_or_gives_up(met):
    """And goes on when the peer has caught up."""
    office = met.office("ann", "bob")
    met.process("bob").freeze()
    while office.tell("slow", 6000, wait=False):
        pass
    assert office.tell("slow", 6000)
    assert office.starving
    assert not office.tell("log", 1, wait=False)
    met.process("ann").pump()
    met.run(2.0)
    assert office.starving
    met.process("bob").thaw()
    met.world.wire.moves_again()
    assert met.run(60.0, until=lambda: not office.starving)


def test_a_call_ends_once_however_it_ends(met):
    """Answered, timed out, cancelled, or failed with its delivery."""
    office, ended = met.office("ann", "bob"), []

    def done(call):
        ended.append(call.ended)

    office.call("ask", 5.0, 10, done)
    met.process("ann").pump()
    met.run(1.0)
    assert ended == ["answered"]
    office.call("ask", 5.0, 20_000, done)
    met.process("ann").pump()
    met.run(6.0)
    assert ended == ["answered"] * 2
    met.process("bob").freeze()
    late, given_up = (office.call("ask", seconds, 10, done) for seconds in (0.5, 5.0))
    met.process("ann").pump()
    office.cancel(given_up)
    office.cancel(given_up)
    met.run(1.0)
    assert ended[2:] == ["cancelled", "timed out"]
    assert late.ended == "timed out"
    assert messages.CANCEL in kinds(met, "ask")
    office.on_reply(late.call_id, messages.REPLY_OK)
    lost = office.call("ask", 5.0, 10, done)
    office.end()
    office.end()
    assert lost.ended == "failed"
    assert office.call("ask", 5.0, 10, done) is None
    assert not office.tell("log", 1)
    office.reply(1, messages.REPLY_OK)
    assert len(ended) == 5


def test_a_call_that_failed_says_so(met):
    """By the status of its reply."""
    office = met.office("ann", "bob")
    call = office.call("ask", 5.0, 10, lambda _call: None)
    office.on_reply(call.call_id, messages.REPLY_FAILED)
    assert call.ended == "failed"


def test_who_is_cancelled_in_the_line_has_sent_nothing(met):
    """Nothing has to be taken back at the peer; one after the end either."""
    office = met.office("ann", "bob")
    met.process("bob").freeze()
    while office.tell("slow", 6000, wait=False):
        pass
    call, other = (office.call("ask", 5.0, 6000, lambda _call: None) for _ in range(2))
    office.cancel(call)
    assert call.ended == "cancelled"
    assert messages.CANCEL not in kinds(met)
    waiting = len(office.lines)
    office.open = False
    office.lines.clear()
    office.cancel(other)
    assert waiting == 1
    assert messages.CANCEL not in kinds(met)


def test_a_large_call_that_is_given_up_is_abandoned(met):
    """Nobody is told to cancel it, nothing of it arrives, and all room returns."""
    office, window = met.office("ann", "bob"), met.world.plan.window
    met.process("bob").freeze()
    call = office.call("ask", 5.0, 2 * window, lambda _call: None)
    met.process("ann").pump()
    assert office.delivery.outgoing.lanes
    office.cancel(call)
    met.process("ann").pump()
    assert not office.delivery.outgoing.lanes
    assert messages.CANCEL not in kinds(met)
    met.process("bob").thaw()
    met.world.wire.moves_again()
    assert met.run(60.0, until=lambda: office.delivery.outgoing.idle)
    assert met.association("bob", "ann").delivery.incoming.assembly.promised_bytes == 0
    assert not call.message.received


def test_large_messages_and_replies_arrive(met):
    """Several windows of them, there and back."""
    office, window, ended = met.office("ann", "bob"), met.world.plan.window, []
    assert office.tell("log", 2 * window)
    assert office.tell("log", 2 * window, packed=True)
    assert office.tell("log", 3)
    for service in ("ask", "ask for much", "ask back"):
        office.call(service, 30.0, 2 * window, lambda call: ended.append(call.ended))
    met.process("ann").pump()
    assert met.run(60.0, until=lambda: len(ended) == 3 and not met.world.ledger.unfinished())
    assert ended == ["answered"] * 3


@pytest.mark.parametrize(
    ("body", "number"), [(content(12, 99), 12), (memoryview(b"3:"), 3), ([4, b""], 4), (5, 5)]
)
def test_every_body_knows_its_number(body, number):
    """Bytes, arrays, replies."""
    assert number_of(body) == number


@pytest.mark.parametrize(
    "changed", [b"12:xx", content(12, 99)[:-1] + b"\0", b"13" + content(12, 99)[2:]]
)
def test_a_body_that_was_changed_is_found_out(changed):
    """At any place, or given another's number."""
    with pytest.raises(Violation, match="as it was sent"):
        number_of(changed)


@pytest.mark.parametrize("body", [b"12", b":1", b"x:", ["a"], None, "1"])
def test_other_bodies_are_none_of_ours(body):
    """They cannot have been sent in this world."""
    with pytest.raises(Violation, match="no message of this world"):
        number_of(body)
