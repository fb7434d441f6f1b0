"""A node has sessions with `max_peers` peers at a time, and says so to the next one."""

import pytest

from handshake.constants import Reason
from mesh.engine import events
from mesh.testing.network import World


@pytest.fixture
def crowded():
    """A hub that has room for two peers, and both places are taken."""
    world = World(seed=7)
    hub = world.node("hub", max_peers=2)
    others = [world.node(name) for name in ("ann", "ben", "cas")]
    world.trust_each_other()
    for other in others[:2]:
        world.dial(other, hub)
    world.run(1)
    assert len(hub.saw(events.PeerConnected)) == 2
    return world, hub, others


def test_one_more_than_max_peers_is_refused_and_told_why(crowded):
    """The third peer hears `busy`; the two others notice nothing."""
    world, hub, (ann, _ben, cas) = crowded

    world.dial(cas, hub)
    world.run(1)

    (failed,) = cas.saw(events.ConnectFailed)
    assert (failed.reason, failed.by_peer) == (Reason.BUSY, True)
    assert len(hub.saw(events.PeerConnected)) == 2
    assert world.send(ann, hub, "s", b"still here") is not None
    world.run(1)
    assert hub.messages[-1][2] == b"still here"


def test_our_own_dial_is_no_way_around_the_limit(crowded):
    """Dialling a third peer fails here, before we have said who we are."""
    world, hub, (_ann, _ben, cas) = crowded

    world.dial(hub, cas)
    world.run(1)

    (failed,) = hub.saw(events.ConnectFailed)
    assert (failed.reason, failed.by_peer) == (Reason.BUSY, False)
    assert cas.saw(events.PeerConnected) == []


def test_a_known_peer_may_always_come_again(crowded):
    """A new handshake with a peer that has a place takes no second one."""
    world, hub, (ann, _ben, _cas) = crowded

    world.dial(ann, hub)
    world.run(1)

    assert ann.saw(events.ConnectFailed) == []


def test_a_place_is_free_again_when_a_peer_has_closed(crowded):
    """Who says goodbye makes room for the next."""
    world, hub, (ann, _ben, cas) = crowded

    ann.engine.close(world.now)
    world.collect(ann)
    world.run(1)
    world.dial(cas, hub)
    world.run(1)

    assert cas.saw(events.ConnectFailed) == []
    assert len(hub.saw(events.PeerConnected)) == 3
