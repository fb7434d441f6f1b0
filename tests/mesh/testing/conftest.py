"""What the tests of the simulation share: worlds in which nothing goes wrong by itself."""

from random import Random

import pytest

from mesh.testing.plan import FAULTS, Plan
from mesh.testing.simulation import Simulation

NAMES = ("ann", "bob", "cid")


def quiet_plan(**changes):
    """Two nodes that dial each other over a good network, and no faults; `changes` to that."""
    fields = {
        "names": ("ann", "bob"),
        "wishes": [("ann", "bob", False), ("bob", "ann", True)],
        "rekey_after": 120.0,
        "window": 64 * 1024,
        "suites": ("ChaChaPoly",),
        "chaos": 3.0,
        "pause": 0.5,
        "fault_every": 0.5,
        "faults": dict.fromkeys(FAULTS, 0.0),
        "drift": 0.0,
        "latency": 0.01,
        "jitter": 0.0,
    }
    return Plan(**(fields | changes))


class Stage:
    """A world whose nodes are born and have met, and do nothing of their own accord."""

    def __init__(self, seed=1, **changes):
        self.world = Simulation(seed, draws=True, plan=quiet_plan(**changes))
        self.world.traffic.on = False
        for name in self.world.plan.names:
            for other in self.world.plan.names:
                if name != other:
                    self.world.policies[name].allow(self.world.identities[other].id, name=other)
        self.world.faults.begin()

    def meet(self):
        """Everybody begins, and those who dial each other are connected."""
        for name in self.world.plan.names:
            self.world.give_birth(name)
        self.world.pass_time(2.0)
        return self

    def process(self, name):
        return self.world.processes[name]

    def office(self, name, peer):
        """Where `name` sends to `peer`."""
        world = self.world
        return world.program(world.processes[name]).offices[world.identities[peer].id]

    def association(self, name, peer):
        return self.process(name).engine.association(self.world.identities[peer].id)

    def run(self, seconds=1.0, until=None):
        return self.world.pass_time(seconds, until)

    def picture(self):
        return "\n".join(self.world.story.picture(self.world.plan.names))


@pytest.fixture
def plan():
    """Make the plan of a quiet world."""
    return quiet_plan


@pytest.fixture
def stage():
    """Make a quiet world, whose nodes have not begun."""
    return Stage


@pytest.fixture
def met():
    """Two nodes that have met."""
    return Stage().meet()


@pytest.fixture
def random():
    """Randomness that is the same every time."""
    return Random(1)
