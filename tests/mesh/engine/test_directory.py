"""The directory: peers by id, sessions by the number that frames carry."""

import pytest

from handshake.constants import Reason
from handshake.identity import Identity
from mesh.engine import events
from mesh.engine.directory import Directory
from mesh.engine.terms import Limits
from mesh.model import Route

PEER = Identity(b"p" * 32).id
SMALL, LARGE = Limits(1 << 17, 1000), Limits(1 << 20, 5000)


@pytest.fixture
def directory(context):
    return Directory(context)


def test_a_peer_has_one_association_with_its_latest_limits(directory):
    """Made at the first proof, found at every other."""
    first = directory.association(PEER, SMALL)
    assert first.limits == SMALL
    assert directory.association(PEER, LARGE) is first
    assert first.limits == LARGE
    assert directory.associations == {PEER: first}


def test_sessions_are_found_by_number_until_they_are_forgotten(met):
    """And the exchange that was to make one is given up with it."""
    directory = met.to_bob.directory
    session = met.to_bob.sessions.current
    assert directory.sessions[session.local_id] == (met.to_bob, session)
    directory.forget_session(session)
    directory.forget_session(session)
    assert directory.sessions == {}
    assert directory.route_of(session) is None


def test_a_route_is_known_while_its_exchange_is_under_way(pair):
    """Message 3 went by it, so the welcome proves it."""
    both = pair()
    route = both.world.dial(both.alice, both.bob)
    both.world.tamper = lambda sender, _r, frame: [frame] if frame[1] != 4 else []
    both.world.run(0.1)
    (session,) = both.to_bob.sessions.by_id.values()
    assert both.to_bob.directory.route_of(session) == route


def test_an_authenticated_connection_needs_no_more_handshakes(met):
    """The owner is told whom it leads to."""
    directory = met.to_bob.directory
    assert directory.handshaking.dials == {}
    directory.authenticated(Route(dialled=99), met.bob.id)
    assert directory.context.events == [events.RouteAuthenticated(Route(dialled=99), met.bob.id)]


def test_an_exchange_with_a_known_peer_can_begin(met):
    """On a route to it, and once."""
    directory = met.to_bob.directory
    directory.begin_handshake(met.route, met.bob.id)
    directory.begin_handshake(met.route, met.bob.id)
    assert met.counts("handshakes.begun") == (2, 0)


def test_a_route_that_failed_is_given_up_where_it_was_used(met):
    """A peer nobody knows of has nothing to give up."""
    directory = met.to_bob.directory
    directory.route_failed(met.route, PEER)
    assert met.to_bob.routes.best == met.route
    directory.route_failed(met.route, met.bob.id)
    assert met.to_bob.routes.best is None


def test_dropping_a_peer_says_why_and_ends_everything(met):
    """Sessions, delivery, and what waited: all at once."""
    met.world.send(met.alice, met.bob, "s", b"unanswered")
    directory = met.to_bob.directory
    directory.drop(met.to_bob, Reason.REVOKED)
    met.world.collect(met.alice)
    assert met.to_bob.delivery is None
    assert met.to_bob.sessions.by_id == directory.sessions == {}
    (ended,) = met.alice.saw(events.DeliveryEnded)
    assert [outcome for _, outcome in ended.failed] == ["unknown"]
    assert met.alice.saw(events.PeerClosed) == [events.PeerClosed(met.bob.id, Reason.REVOKED)]
    met.world.run(1)
    assert met.bob.saw(events.PeerClosed) == [events.PeerClosed(met.alice.id, Reason.REVOKED)]
