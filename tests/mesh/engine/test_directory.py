"""The directory: peers by id, sessions by the number that frames carry."""

from math import inf

import pytest

from handshake.constants import Reason
from handshake.identity import Identity
from mesh import constants
from mesh.delivery.delivery import Delivery
from mesh.engine import directory as directory_module
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
    (closed,) = met.alice.saw(events.PeerClosed)
    assert closed == events.PeerClosed(met.bob.id, Reason.REVOKED, by_us=True)
    met.world.run(1)
    assert met.bob.saw(events.PeerClosed) == [events.PeerClosed(met.alice.id, Reason.REVOKED)]


class TestPeersThatAreGone:
    """Whom nobody trusts any more is forgotten, a while after the end."""

    def test_are_forgotten_when_nothing_of_them_is_needed(self, met):
        """Ten minutes after the end, and not before."""
        change_trust(met, met.alice.policy.deny)
        met.world.run(constants.DELIVERY_KEPT_SECONDS - 1)
        assert met.to_bob is not None
        met.world.run(2)
        assert met.alice.engine.associations() == []
        assert met.alice.engine.next_deadline() == inf

    def test_are_forgotten_though_their_end_came_first(self, met):
        """One that had closed long before it was struck from the list is no exception."""
        met.bob.engine.close(met.world.now)
        met.world.collect(met.bob)
        met.world.run(1)
        assert met.to_bob.delivery is None
        change_trust(met, met.alice.policy.forget)
        met.world.run(constants.DELIVERY_KEPT_SECONDS + 1)
        assert met.alice.engine.associations() == []

    def test_are_forgotten_though_the_list_never_rests(self, met):
        """Other changes of trust do not put it off."""
        change_trust(met, met.alice.policy.deny)
        for _ in range(7):
            met.world.run(100)
            change_trust(met, lambda _bob: met.alice.policy.allow(PEER))
        assert met.alice.engine.associations() == []

    def test_stay_when_they_are_trusted_again_in_time(self, met):
        """And a second end counts from its own moment."""
        change_trust(met, met.alice.policy.deny)
        met.world.run(1)
        change_trust(met, met.alice.policy.allow)
        met.world.run(constants.DELIVERY_KEPT_SECONDS - 10)
        before = met.to_bob
        change_trust(met, met.alice.policy.deny)
        met.world.run(100)
        assert met.to_bob is before
        met.world.run(constants.DELIVERY_KEPT_SECONDS)
        assert met.to_bob is None

    def test_are_met_again_behind_what_they_had_before(self, met):
        """A peer that still holds the old delivery is told that it is over, and both go on."""
        met.talk()
        met.world.run(1)
        met.world.tamper = lambda _sender, _receiver, _frame: []
        change_trust(met, met.alice.policy.forget)
        met.to_bob.directory.forget(met.bob.id)
        assert met.to_bob is None
        met.world.tamper = lambda _sender, _receiver, frame: [frame]
        change_trust(met, met.alice.policy.allow)
        met.world.dial(met.alice, met.bob)
        assert met.world.run(10, until=lambda: len(met.alice.saw(events.PeerConnected)) == 2)
        met.world.run(1)
        assert met.to_bob.delivery.epoch == met.to_alice.delivery.epoch == 1
        before = len(met.alice.messages), len(met.bob.messages)
        met.talk(3)
        met.world.run(5)
        assert (len(met.alice.messages), len(met.bob.messages)) == (before[0] + 3, before[1] + 3)

    def test_are_not_remembered_without_end(self, directory, monkeypatch):
        """However many come and go, what is kept of them is bounded; the oldest goes first."""
        monkeypatch.setattr(directory_module, "FORGOTTEN_REMEMBERED", 10)
        peers = [Identity(number.to_bytes(32, "big")).id for number in range(1, 15)]
        for peer_id in peers:
            association = directory.association(peer_id, SMALL)
            association.memory.forget(Delivery(peer_id, b"i" * 16, 0, None, None))
            directory.forget(peer_id)
        assert directory.associations == {}
        met_again = [directory.association(peer_id, SMALL) for peer_id in peers]
        epochs = [association.memory.epoch_for(b"i" * 16) for association in met_again]
        assert epochs == [0] * 4 + [1] * 10

    def test_leave_nobody_behind_who_is_trusted_or_busy(self, met):
        """Forgetting a peer that is trusted, connected or unknown does nothing."""
        directory = met.to_bob.directory
        directory.forget(met.bob.id)
        directory.forget(PEER)
        met.alice.policy.forget(met.bob.id)
        directory.forget(met.bob.id)
        assert met.to_bob.delivery is not None
        met.alice.policy.allow(PEER)
        idle = directory.association(PEER, SMALL)
        directory.forget(PEER)
        assert directory.associations[PEER] is idle
        met.alice.policy.forget(PEER)
        directory.forget(PEER)
        assert PEER not in directory.associations


def change_trust(met, change):
    """Alice's owner changes what she thinks of bob."""
    change(met.bob.id)
    met.alice.engine.trust_changed(met.world.now)
    met.world.collect(met.alice)
