"""Connections that are wanted, and dialled again whenever they are lost."""

import pytest

from handshake.constants import Reason
from mesh.engine import events
from mesh.model import Route


def wish_of(met, name="ann"):
    return met.process(name).dialler._wishes[0]


def test_a_wish_leads_to_somebody_who_proved_himself(stage):
    """Only then it is content."""
    stage = stage()
    stage.world.give_birth("ann")
    stage.run(1.0)
    assert not stage.process("ann").dialler.content
    stage.world.give_birth("bob")
    assert stage.run(10.0, until=lambda: stage.process("ann").dialler.content)


def test_a_lost_connection_is_dialled_again_ever_more_slowly(met):
    """Unless it stood for a while; of other routes nothing is known."""
    dialler = met.process("ann").dialler
    wish, pauses = wish_of(met), []
    for _ in range(9):
        met.process("ann").lost(wish.route)
        assert wish.route is None
        pauses.append(wish.pause)
        wish.connected_at = met.world.timeline.now
        wish.route = Route(dialled=99)
    assert pauses == sorted(pauses)
    assert pauses[-1] == 5.0
    dialler.on_lost(Route(dialled=1234))
    dialler.on_connected(Route(dialled=1234))
    wish.connected_at = met.world.timeline.now - 10.0
    met.process("ann").lost(wish.route)
    assert wish.pause < 0.2


@pytest.mark.parametrize(("reason", "soonest"), [(Reason.NOT_TRUSTED, 15.0), (Reason.CLOSED, 0.9)])
def test_after_a_goodbye_it_is_dialled_again(met, reason, soonest):
    """Soon after a close, much later after a refusal."""
    wish, began = wish_of(met), met.world.timeline.now
    before = wish.route
    peer = met.world.identities["bob"].id
    met.process("ann").dialler.on_event(events.PeerClosed(peer, reason))
    assert not wish.proved
    assert met.run(30.0, until=lambda: wish.route not in (None, before))
    assert met.world.timeline.now - began >= soonest


def test_refused_and_superseded_connections_rest(met):
    """Fifteen seconds, and a minute."""
    wish, dialler = wish_of(met), met.process("ann").dialler
    peer = met.world.identities["bob"].id
    dialler.on_event(events.Superseded(peer))
    assert not met.run(59.0, until=lambda: wish.route is not None)
    assert met.run(5.0, until=lambda: wish.proved)
    dialler.on_event(events.ConnectFailed(wish.route, peer, Reason.BUSY, by_peer=True))
    assert not met.run(14.0, until=lambda: wish.route is not None)
    assert met.run(5.0, until=lambda: wish.proved)
    unknown = Route(dialled=1234)
    dialler.on_event(events.ConnectFailed(unknown, peer, Reason.BUSY, by_peer=True))
    dialler.on_event(events.RouteAuthenticated(unknown, peer))
    assert wish.proved


def test_a_retry_comes_at_once_for_whoever_has_no_connection(met):
    """The others are left alone; a process that closes dials no more."""
    wish, dialler = wish_of(met), met.process("ann").dialler
    route = wish.route
    dialler.retry_now()
    assert wish.route is route
    dialler._leave(wish, 15.0)
    dialler.retry_now()
    assert met.run(0.5, until=lambda: wish.route is not None)
    dialler._leave(wish, 0.0)
    met.process("ann").closing = True
    met.run(5.0)
    assert wish.route is None
