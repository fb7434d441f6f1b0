"""After the chaos: who does not find, finish or hear is found."""

import pytest

from mesh.delivery.credit import Credit
from mesh.testing.clock import Violation
from mesh.testing.simulation import Simulation
from mesh.testing.verdict import Verdict


def test_a_world_in_which_nothing_happened_passes(met):
    """It says how long everything took."""
    Verdict(met.world).judge()
    assert "ms until they met" in met.world.facts


def test_who_cannot_meet_is_found(met):
    """With what both sides believe; also one whose connection was never proved."""
    met.world.wire.close("ann", "bob")
    met.run(30.0)
    with pytest.raises(Violation, match="who can talk does: ann"):
        Verdict(met.world)._meet()


def test_a_connection_that_was_never_proved_is_found(met, monkeypatch):
    """Though the two talk by the other one."""
    dialler = met.process("ann").dialler
    monkeypatch.setattr(type(dialler), "content", property(lambda _self: False))
    with pytest.raises(Violation, match="not proved"):
        Verdict(met.world)._meet()


def test_what_never_ends_is_found(met):
    """A handler that does not come back, and whoever waits for it."""
    met.world.program(met.process("bob"))._handle_next = lambda _key: None
    met.office("ann", "bob").tell("log", 1)
    met.process("ann").pump()
    with pytest.raises(Violation, match=r"everything ends.*handled.*busy: .*bob"):
        Verdict(met.world)._finish()


def test_a_program_that_waits_is_found(met):
    """For a reply that does not come."""
    met.world.program(met.process("bob"))._begin = lambda _delivery: None
    met.office("ann", "bob").call("ask", 1e6, 1, lambda _call: None)
    met.process("ann").pump()
    with pytest.raises(Violation, match="1 replies"):
        Verdict(met.world)._finish()


def test_who_is_not_heard_is_found(met):
    """A word after all that is not answered, or has nowhere to go."""
    program = met.world.program(met.process("bob"))
    program._begin = lambda _delivery: None
    with pytest.raises(Violation, match="is heard"):
        Verdict(met.world)._speak()
    program.offices.clear()
    with pytest.raises(Violation, match="no delivery"):
        Verdict(met.world)._speak()


def test_a_closed_office_makes_no_call(met):
    """So nothing is answered, and that is found."""
    met.office("ann", "bob").open = False
    with pytest.raises(Violation, match="is heard"):
        Verdict(met.world)._speak()


def test_the_pairs_are_those_that_dial(plan):
    """From one side or both, each pair once."""
    world = Simulation(1, plan=plan(chaos=1.0))
    world.run()
    assert len(Verdict(world)._pairs) == 1


def test_calls_that_call_back_are_answered_in_full_windows(met):
    """Those of both sides, four deep; nothing is left of them."""
    Verdict(met.world)._call_back()
    for one, other in (("ann", "bob"), ("bob", "ann")):
        credit = met.association(one, other).delivery.outgoing.credit
        assert credit.left(0) == met.world.plan.window


def test_calls_inside_calls_that_wait_for_each_other_are_found(met, monkeypatch):
    """Where they share the room of those they are inside of."""
    left = Credit.left
    monkeypatch.setattr(Credit, "left", lambda self, _depth: left(self, 0))
    with pytest.raises(Violation, match="calls inside calls are answered"):
        Verdict(met.world)._call_back()


@pytest.mark.parametrize("seed", [3, 4])
def test_every_third_world_calls_back(stage, seed, monkeypatch):
    """It takes too long for all of them."""
    called = []

    def note(verdict):
        called.append(verdict)

    monkeypatch.setattr(Verdict, "_call_back", note)
    Verdict(stage(seed=seed).meet().world).judge()
    assert len(called) == (seed % 3 == 0)
