"""A peer that is denied hears of it, whenever that happens, and what waits for it ends."""

import pytest

from handshake.constants import Reason
from mesh.engine import events
from mesh.testing.network import World
from mesh.wire import frames


@pytest.fixture
def world():
    """Two nodes that trust each other and have never met."""
    world = World(7)
    world.node("alice")
    world.node("bob")
    world.trust_each_other()
    return world


def meet(world, until):
    """Alice dials Bob, until she has seen an event."""
    alice, bob = world.nodes["alice"], world.nodes["bob"]
    world.dial(alice, bob, pin=bob.id)
    assert world.run(5, until=lambda: bool(alice.saw(until)))
    return alice, bob


def deny(world, node, other):
    """One denies the other."""
    node.policy.deny(other.id)
    node.engine.trust_changed(world.now)
    world.collect(node)


def test_a_denial_right_after_the_welcome_is_told(world):
    """Before the initiator's first frame has come, its responder can tell it all the same."""
    alice, bob = meet(world, events.PeerConnected)
    assert not bob.saw(events.PeerConnected)
    deny(world, bob, alice)
    assert world.run(1, until=lambda: bool(alice.saw(events.DeliveryEnded)))
    assert alice.saw(events.PeerClosed) == [events.PeerClosed(bob.id, Reason.REVOKED)]


def test_a_denial_that_was_not_heard_ends_the_delivery_at_the_next_exchange(world):
    """Whoever lost the goodbye is refused when it asks again; its messages fail then."""
    alice, bob = meet(world, events.PeerConnected)
    world.run(1)
    world.tamper = lambda _sender, _receiver, _frame: []
    deny(world, bob, alice)
    world.run(0.1)
    world.tamper = lambda _sender, _receiver, frame: [frame]
    receipt = world.send(alice, bob, "log", b"in vain")
    assert not alice.saw(events.DeliveryEnded)
    assert world.run(60, until=lambda: bool(alice.saw(events.DeliveryEnded)))
    [ended] = alice.saw(events.DeliveryEnded)
    assert ended.failed == [(receipt, "unknown")]
    assert alice.saw(events.PeerClosed) == [events.PeerClosed(bob.id, Reason.REVOKED)]
    assert bob.messages == []


def test_a_refusal_for_another_reason_ends_nothing(world):
    """A clock that is wrong for a while fails exchanges; what was sent goes on waiting."""
    alice, bob = meet(world, events.PeerConnected)
    world.run(1)
    bob.clock_wrong_by = 40 * 24 * 3600.0
    # Nothing sealed comes through, so that the new connection begins an exchange.
    world.tamper = lambda _sender, _receiver, frame: [] if frame[1] == frames.DATA else [frame]
    world.dial(alice, bob, pin=bob.id)
    assert world.run(5, until=lambda: bool(alice.saw(events.ConnectFailed)))
    [failed] = alice.saw(events.ConnectFailed)
    assert failed.reason is Reason.CLOCK
    world.run(1)
    assert not alice.saw(events.DeliveryEnded)


def test_a_stranger_that_is_refused_has_lost_nobody(world):
    """Where nothing was under way, a refusal is no goodbye."""
    alice, bob = world.nodes["alice"], world.nodes["bob"]
    deny(world, bob, alice)
    world.dial(alice, bob, pin=bob.id)
    assert world.run(5, until=lambda: bool(alice.saw(events.ConnectFailed)))
    assert not alice.saw(events.PeerClosed)
    assert alice.engine.counters["handshakes.refused_by_peer.revoked"] == 1
    assert bob.engine.counters["handshakes.refused.revoked"] == 1
