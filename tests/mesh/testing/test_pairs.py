"""When two nodes are together, and what is said of them when they are not."""

import pytest

from mesh.model import Route
from mesh.testing.pairs import Pair


@pytest.fixture
def pair(met):
    return Pair(met.process("ann"), met.process("bob"))


def test_who_has_met_is_joined(pair, stage):
    """And who has not is not."""
    assert pair.is_joined()
    apart = stage()
    for name in ("ann", "bob"):
        apart.world.give_birth(name)
    strangers = Pair(apart.process("ann"), apart.process("bob"))
    assert strangers.associations == []
    assert not strangers.is_joined()
    assert str(apart.process("ann")) in strangers.describe()


@pytest.mark.parametrize(
    "what", ["session", "delivery", "route", "generation", "epoch", "instance"]
)
def test_each_part_of_being_joined_counts(pair, what):
    """Sessions, deliveries, routes on both sides, and that they fit together."""
    ours, _theirs = pair.associations
    if what == "session":
        ours.sessions.current = None
    elif what == "delivery":
        ours.delivery = None
    elif what == "route":
        ours.routes.best = None
    elif what == "generation":
        ours.sessions.current.generation += 1
    elif what == "epoch":
        ours.delivery.epoch += 1
    else:
        ours.delivery.peer_instance = b"another"
    assert not pair.is_joined()


def test_a_pair_says_what_each_side_believes(pair):
    """Session, epoch and way of both."""
    pair.associations[0].routes.best = Route(dialled=77)
    assert "dialled #77" in pair.describe()
    assert pair.describe().count("epoch 0") == 2
