"""The world of tests: virtual time, links that break as ZeroMQ's do, all from one seed."""

import pytest

from mesh.engine import events
from mesh.model import Route
from mesh.testing.network import World


def two(seed=1, **settings):
    world = World(seed, **settings)
    alice, bob = world.node("alice"), world.node("bob")
    world.trust_each_other()
    return world, alice, bob


def test_one_seed_is_one_world():
    """The same frames, byte for byte; another seed gives others."""

    def frames(seed):
        world, alice, bob = two(seed)
        world.dial(alice, bob)
        world.run(20)
        return world.frames

    assert frames(1) == frames(1) != frames(2)


def test_time_passes_only_in_run():
    """As far as asked for, or until something is true."""
    world, alice, bob = two(latency=0.5)
    assert world.now == (1000.0, 1_800_000_000.0)
    world.dial(alice, bob)
    assert world.elapsed == 1000.0
    assert world.run(10, until=lambda: bob.saw(events.PeerConnected))
    assert world.elapsed == pytest.approx(1002.5)
    assert not world.run(1, until=lambda: False)
    assert world.elapsed == pytest.approx(1003.5)
    world.run(0.25)
    assert world.now.wall == pytest.approx(1_800_000_003.75)


def test_a_nodes_clock_may_be_wrong():
    """The wall's, never the elapsed time."""
    world, alice, _bob = two()
    alice.clock_wrong_by = -60.0
    assert world.now_of(alice) == (world.elapsed, world.now.wall - 60)


def test_messages_and_receipts_are_kept():
    """Who sent it, under which subject; a message that finds no room has no receipt."""
    world, alice, bob = two(latency=0.01)
    world.dial(alice, bob)
    world.run(1)
    assert world.send(alice, bob, "s", b"x") is alice.receipts[0]
    world.run(1)
    assert bob.messages == [(alice.id, "s", b"x")]
    assert world.send(alice, bob, "s", b"x" * 10_000_000) is None


def test_slow_handlers_finish_nothing():
    """The message arrives, and is not handled."""
    world, alice, bob = two()
    world.dial(alice, bob)
    world.run(1)
    bob.handle = False
    world.send(alice, bob, "s", b"x")
    world.run(1)
    assert bob.messages
    assert not alice.saw(events.Handled)


def test_frames_may_be_lost_repeated_and_late():
    """`tamper` says what arrives of a frame, `delay` when."""
    world, alice, bob = two()
    world.dial(alice, bob)
    world.run(1)
    world.tamper = lambda _s, _r, frame: [frame, frame]
    world.delay = lambda sender, _r, _f: 0.7 if sender is alice else 0.001
    began = world.elapsed
    world.send(alice, bob, "s", b"x")
    assert world.run(2, until=lambda: bob.messages)
    assert world.elapsed - began == pytest.approx(0.7)
    world.run(2)
    assert len(bob.messages) == 1
    assert bob.engine.counters["dropped.replayed"] > 0


def test_a_cut_loses_what_is_in_flight():
    """But for the first frames, if the test says so; the dialler is told, the other side never."""
    for still_arriving in (0, 2):
        world, alice, bob = two(latency=0.1)
        route = world.dial(alice, bob)
        world.run(5)
        for number in range(5):
            world.send(alice, bob, "s", b"%d" % number)
        world.cut(alice, route, still_arriving=still_arriving)
        assert world.links() == []
        assert alice.saw(events.RouteWanted)
        world.run(0.5)
        assert len(bob.messages) == still_arriving
        world.cut(alice, route)


def test_a_notice_may_be_late_or_never_come():
    """Until then the dialler believes in its connection; the other learns it when it sends."""
    world, alice, bob = two()
    route = world.dial(alice, bob)
    world.run(1)
    world.cut(alice, route, notice_after=3.0)
    world.run(2.9)
    assert not alice.saw(events.RouteWanted)
    world.run(0.2)
    assert alice.saw(events.RouteWanted)
    world.run(5)
    assert bob.saw(events.RouteWanted)
    assert bob.engine.counters["sent.refused"] > 0

    world, alice, bob = two()
    route = world.dial(alice, bob)
    world.run(1)
    world.cut(bob, next(r for n, r in world._links if n is bob), notice=False)
    world.run(60)
    assert not alice.saw(events.RouteWanted)
    assert alice.engine.association(bob.id).routes.best == route


def test_a_kept_connection_is_dialled_again():
    """After every loss, and until whoever bears the name is there again."""
    world, alice, bob = two()
    world.keep(alice, "bob")
    world.run(1)
    ((_, route),) = world.links()
    world.cut(alice, route)
    world.run(1)
    ((_, other),) = world.links()
    assert other != route
    world.crash(bob)
    world.run(5)
    assert world.links() == []
    again = world.node("bob")
    world.run(2)
    assert again.saw(events.PeerConnected)
    world.crash(alice)
    world.keep(alice, "bob")
    world.run(1)
    assert world.links() == []


def test_a_crashed_node_is_silent_and_its_heir_has_its_identity_and_trust():
    """Another instance; what was in flight to the dead is gone."""
    world, alice, bob = two()
    world.dial(alice, bob)
    world.run(1)
    world.crash(bob, notice_after=1.0)
    assert not bob.alive
    sent = len(bob.happened)
    world.run(10)
    assert len(bob.happened) == sent
    assert alice.saw(events.RouteWanted)
    heir = world.node("bob")
    assert (heir.id, heir.policy) == (bob.id, bob.policy)
    assert heir.settings.instance != bob.settings.instance
    world.run(1)


def test_the_dead_are_not_told_of_their_connections():
    """A late notice finds nobody."""
    world, alice, bob = two()
    route = world.dial(alice, bob)
    world.run(1)
    world.cut(alice, route, notice_after=1.0)
    world.crash(alice)
    world.run(5)
    assert not alice.saw(events.RouteWanted)


def test_a_third_party_can_put_frames_on_a_socket():
    """From an address of its own."""
    world, _alice, bob = two()
    world.inject(bob, Route(routing_id=b"m"), b"junk")
    assert bob.engine.counters["dropped.malformed"] == 1


def test_actions_happen_later_or_at_once():
    """In the order of their time."""
    world, _alice, _bob = two()
    done = []
    world.later(0, lambda: done.append(world.elapsed))
    world.later(2.0, lambda: done.append(world.elapsed))
    world.run(5)
    assert done == [1000.0, 1002.0]


def test_a_world_that_moves_without_time_passing_is_a_failure():
    """A busy loop does not hide."""
    world, _alice, _bob = two()

    def again():
        world.later(1e-18, again)

    world.later(0.5, again)
    with pytest.raises(AssertionError, match="time does not pass"):
        world.run(1)


def test_an_engine_that_asks_for_now_again_and_again_is_a_failure(monkeypatch):
    """After `advance` the next deadline lies in the future."""
    world, alice, bob = two()
    world.dial(alice, bob)
    monkeypatch.setattr(type(alice.engine), "next_deadline", lambda _self: world.elapsed)
    with pytest.raises(AssertionError, match="loop"):
        world.run(1)


def test_sending_to_somebody_unknown_is_the_tests_mistake():
    """It says so."""
    world, alice, bob = two()
    with pytest.raises(AssertionError, match="never met"):
        world.send(alice, bob, "s", b"x")
    world.dial(alice, bob)
    world.run(1)
    alice.engine.association(bob.id).end_delivery("over")
    with pytest.raises(AssertionError, match="not connected"):
        world.send(alice, bob, "s", b"x")
