"""What a program does with what arrives."""

import pytest

from mesh.testing.application import Application
from mesh.testing.clock import Violation


def drain(met):
    met.process("ann").pump()
    met.run(1.0)


def calls(met, subject, count=1, timeout=8.0):
    ended = []
    office = met.office("ann", "bob")
    for _ in range(count):
        office.call(subject, timeout, 10, lambda call: ended.append(call.ended))
    met.process("ann").pump()
    return ended


def test_quick_handlers_answer_at_once_and_slow_ones_later(met):
    """Many requests at once are handled a few at a time."""
    assert calls(met, "ask", 20) == []
    quick = calls(met, "ask")
    slow = calls(met, "ask slowly", 3)
    met.run(1.0)
    assert quick == ["answered"]
    met.run(7.0)
    assert slow == ["answered"] * 3
    assert not met.world.program(met.process("bob")).busy
    assert met.world.program(met.process("bob")).answered == 24


def test_a_handler_may_call_back_whoever_called(met):
    """And answers when it was answered; or fails, when nobody answers there."""
    ended = calls(met, "ask back")
    met.run(2.0)
    assert ended == ["answered"]
    program: Application = met.world.program(met.process("ann"))
    program._begin = lambda _delivery: None
    ended = calls(met, "ask back")
    assert met.run(7.0, until=lambda: ended == ["failed"])


def test_messages_of_a_subject_are_handled_one_run_after_the_other(met):
    """A slow one keeps back those behind it, and nobody else."""
    office = met.office("ann", "bob")
    for _ in range(5):
        office.tell("slow", 1)
        met.process("ann").pump()
        met.run(0.05)
    office.tell("log", 1)
    met.process("ann").pump()
    met.run(0.1)
    handled = [m.handled for m in met.world.ledger.messages.values()]
    assert handled[-1]
    assert handled[:5] == sorted(handled[:5], reverse=True)
    met.run(20.0)
    assert met.world.ledger.unfinished() == []


def test_cancelled_requests_end(met):
    """The handler stops; one that has ended is not missed."""
    office = met.office("ann", "bob")
    call = office.call("ask slowly", 8.0, 10, lambda _call: None)
    met.process("ann").pump()
    met.run(0.02)
    program = met.world.program(met.process("bob"))
    assert program.busy
    office.cancel(call)
    met.process("ann").pump()
    met.run(0.5)
    assert not program.busy
    program._on_cancel(met.association("bob", "ann").delivery, 999)
    met.run(9.0)
    assert met.world.ledger.unfinished() == []


def test_what_waits_is_named(met):
    """Places and replies, until they are there or the delivery ends."""
    ended = calls(met, "ask slowly", 2)
    program = met.world.program(met.process("ann"))
    assert "2 replies" in program.waiting[0]
    met.association("ann", "bob").end_delivery("over")
    met.association("bob", "ann").end_delivery("over")
    met.process("bob").pump()
    met.process("ann").pump()
    met.run(3.0)
    assert ended == ["failed", "failed"]
    assert program.waiting == []
    assert not met.world.program(met.process("bob")).busy


def test_what_cannot_be_of_this_world_is_an_error(met):
    """Nobody but its programs sends anything."""
    office = met.office("ann", "bob")
    office.delivery.outgoing.offer(1, "log", b"stranger", raw=True)
    office._restless = True
    with pytest.raises(Violation, match="no message of this world"):
        drain(met)
