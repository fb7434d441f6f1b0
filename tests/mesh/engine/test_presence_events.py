"""What an engine tells of its peers, in order: met, silent, heard again, cut off, found again."""

import pytest

from mesh.engine import events


def told(node, *kinds):
    """The events of these kinds, by their names."""
    return [type(event).__name__ for event in node.happened if isinstance(event, kinds)]


def redial(met):
    """A new connection of Alice's."""
    met.route = met.world.dial(met.alice, met.bob, led_to=met.bob.id)
    met.world.run(2)


def test_on_both_sides_ways_are_lost_and_found_in_turn(met):
    """The dialler's connection, and the return path of the one that cannot dial."""
    met.world.run(1)
    for _ in range(3):
        met.world.cut(met.alice, met.route)
        met.bob.engine.lost(met.to_alice.routes.best, met.world.now)
        met.world.collect(met.bob)
        redial(met)
    for node in (met.alice, met.bob):
        assert told(node, events.RouteFound, events.RouteWanted) == [
            "RouteFound",
            *["RouteWanted", "RouteFound"] * 3,
        ]


def test_a_peer_that_was_silent_is_connected_with_its_first_frame(met):
    """Whoever waits for it is told at once, not when the next ping is due; and before its way."""
    met.world.cut(met.alice, met.route)
    met.world.run(14)
    (silent,) = met.alice.saw(events.PresenceChanged)
    assert silent.presence == "unresponsive"
    redial(met)
    kinds = (events.PresenceChanged, events.RouteFound)
    assert told(met.alice, *kinds)[-2:] == ["PresenceChanged", "RouteFound"]
    assert met.alice.saw(events.PresenceChanged)[-1].presence == "connected"


def test_a_refusal_on_the_last_way_leaves_none(met):
    """It is not tried again there, so the peer cannot be reached."""
    met.bob.policy.forget(met.alice.id)
    met.to_alice.end_all_sessions()
    met.to_alice.end_delivery("gone")
    met.world.run(60)
    assert met.to_bob.routes.best is None
    assert told(met.alice, events.RouteFound, events.RouteWanted) == ["RouteFound", "RouteWanted"]


@pytest.mark.parametrize("frozen", [5.0, 20.0])
def test_another_run_of_the_peer_is_met_before_its_ways_are_told(met, frozen):
    """However long the one before was silent."""
    met.world.crash(met.bob)
    met.world.run(frozen)
    met.bob = met.world.node("bob")
    redial(met)
    kinds = (events.PeerConnected, events.RouteFound)
    assert told(met.alice, *kinds)[-2:] == ["PeerConnected", "RouteFound"]
    assert met.to_bob.routes.best is not None


def test_the_side_that_was_dialled_looks_after_its_peer_from_the_first_moment(pair, monkeypatch):
    """Its silence is noticed in its time, whatever other deadline there is."""
    monkeypatch.setattr("mesh.constants.PING_AFTER_SECONDS", 0.5)
    monkeypatch.setattr("mesh.constants.UNRESPONSIVE_AFTER_SECONDS", 1.0)
    met = pair().meet()
    met.world.tamper = lambda *_: []
    met.world.run(1.1)
    for node in (met.alice, met.bob):
        assert [event.presence for event in node.saw(events.PresenceChanged)] == ["unresponsive"]
