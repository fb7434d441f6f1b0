"""One run of a node: driven as a pump drives it, killed, frozen."""

from math import inf

import pytest

from mesh.model import Now, Origin, Route
from mesh.testing.clock import Violation


def test_it_has_a_name_and_a_life_of_its_own(stage):
    """Two runs of one node are told apart."""
    stage = stage()
    stage.world.give_birth("ann")
    first = stage.process("ann")
    stage.world.kill(first, "crashes", keeps=0)
    stage.world.give_birth("ann")
    assert str(first) != str(stage.process("ann"))
    assert first.id == stage.process("ann").id
    assert first.wakes_at() == inf


def test_nothing_happens_in_the_dead(met):
    """Neither actions nor frames nor timers."""
    ann, done = met.process("ann"), []
    ann.later(1.0, lambda: done.append("later"))
    met.world.kill(ann, "crashes", keeps=0)
    ann.do(lambda: done.append("now"))
    ann.pump()
    met.run(5.0)
    assert done == []


def test_what_happens_to_the_frozen_happens_when_they_go_on(met):
    """In order; their timers do not fire meanwhile."""
    ann, done = met.process("ann"), []
    ann.freeze()
    assert ann.wakes_at() == inf
    ann.do(lambda: done.append(1))
    ann.later(1.0, lambda: done.append(2))
    met.run(2.0)
    assert done == []
    ann.thaw()
    assert done == [1, 2]
    assert ann.wakes_at() < inf


def test_an_engine_that_asks_for_the_same_moment_again_is_a_violation(met, monkeypatch):
    """After `advance` the next deadline lies in the future."""
    ann = met.process("ann")
    monkeypatch.setattr(ann.engine, "next_deadline", lambda: ann.now().elapsed)
    with pytest.raises(Violation, match="same moment again"):
        ann.wake()


def test_what_is_refused_goes_back_to_the_engine(met):
    """A return path nobody knows is lost."""
    ann = met.process("ann")
    association = met.association("ann", "bob")
    association.routes.verify(Route(routing_id=b"gone"))
    association.routes.best = Route(routing_id=b"gone")
    ann.engine.ping(met.world.identities["bob"].id, ann.now())
    ann.pump()
    assert ann.engine.counters["sent.refused"] == 1
    assert association.routes.best != Route(routing_id=b"gone")


def test_it_needs_no_program(met):
    """An engine alone greets and answers; whoever observes sees what it counted as repeated."""
    ann = met.process("ann")
    ann.program = None
    seen = []
    ann._observer.received = lambda *what: seen.append(what[1:])
    ann._observer.settled = seen.append
    ann.arrive(b"junk", Origin(Route(routing_id=b"x"), "somewhere"), intact=False)
    assert seen == [(b"junk", False, 0), ann]
    assert isinstance(ann.now(), Now)
    met.association("ann", "bob").end_delivery("over")
    ann.pump()
