"""Which of a pair's sessions is sent on, and how many there may be."""

import pytest

from handshake.established import Established
from handshake.identity import Identity
from mesh.engine.sessions_of_peer import SessionsOfPeer
from mesh.limits import UNCONFIRMED_PER_PEER
from mesh.session.deadlines import Lifetime, Repeat
from mesh.session.session import Session
from mesh.session.states import State, Trigger

US, THEM = (Identity(bytes([n]) * 32).id for n in (1, 2))
FIRST, LAST = sorted((US, THEM))


@pytest.fixture
def make():
    """Make a session; the ids are in the order of making."""
    made = []

    def session(generation=1, initiator=US, handshake_hash=None, ends_at=100.0):
        number = len(made) + 1
        established = Established(
            initiator=initiator == US,
            peer_id=THEM,
            handshake_hash=handshake_hash or bytes([number]) * 32,
            local_static_private=b"s" * 32,
            remote_static=b"r" * 32,
            local_session_id=number,
            remote_session_id=1000 + number,
            split_keys=(b"a" * 32, b"b" * 32),
        )
        made.append(
            Session(
                established,
                own_id=US,
                suite="ChaChaPoly",
                peer_instance=b"i" * 16,
                generation=generation,
                epoch=0,
                lifetime=Lifetime(50.0, 90.0, ends_at, 15.0),
                chain_began=0.0,
            )
        )
        return made[-1]

    return session


def confirm(sessions, session, now=0.0):
    session.on_opened()
    sessions.on_confirmed(now)


def test_the_highest_confirmed_generation_is_sent_on(make):
    """One that is not confirmed does not count, however new."""
    sessions = SessionsOfPeer()
    old, new = make(4), make(5)
    assert sessions.add(old) == []
    sessions.add(new)
    assert sessions.current is None
    confirm(sessions, old)
    assert sessions.current is old
    confirm(sessions, new, 10.0)
    assert sessions.current is new
    assert (old.state, old.lifetime.ends_at) == (State.RETIRED, 25.0)
    assert not old.may_send(10.0)


def test_a_session_that_is_confirmed_late_does_not_take_over(make):
    """It only receives."""
    sessions = SessionsOfPeer()
    old, new = make(4), make(5)
    sessions.add(old)
    sessions.add(new)
    confirm(sessions, new)
    confirm(sessions, old)
    assert sessions.current is new
    assert old.state is State.RETIRED


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_ties_are_broken_alike_on_both_sides(make, order):
    """The lower initiator id, then the lower handshake hash, in whatever order they come."""
    sessions = SessionsOfPeer()
    both = [make(1, initiator=FIRST), make(1, initiator=LAST)]
    for which in order:
        sessions.add(both[which])
        confirm(sessions, both[which])
    assert sessions.current is both[0]
    sessions = SessionsOfPeer()
    both = [make(1, handshake_hash=b"a" * 32), make(1, handshake_hash=b"b" * 32)]
    for which in order:
        sessions.add(both[which])
        confirm(sessions, both[which])
    assert sessions.current is both[0]


def test_at_most_four_are_unconfirmed(make):
    """The oldest unconfirmed one goes; confirmed ones are safe."""
    sessions = SessionsOfPeer()
    safe = make()
    sessions.add(safe)
    confirm(sessions, safe)
    unconfirmed = [make() for _ in range(UNCONFIRMED_PER_PEER)]
    assert [sessions.add(session) for session in unconfirmed] == [[]] * UNCONFIRMED_PER_PEER
    assert sessions.add(make()) == [unconfirmed[0]]
    assert unconfirmed[0].state is State.ENDED
    assert len(sessions.by_id) == 1 + UNCONFIRMED_PER_PEER
    assert sessions.current is safe


def test_the_highest_generation_is_known_even_when_it_was_forgotten(make):
    """A generation is never used twice, not even that of a session that was dropped."""
    sessions = SessionsOfPeer()
    assert sessions.known_generation == 0
    low, high = make(3), make(7)
    sessions.add(low)
    sessions.add(high)
    assert sessions.known_generation == 7
    sessions.end(high, Trigger.CLOSED)
    assert sessions.known_generation == 7
    sessions.end(low, Trigger.CLOSED)
    assert sessions.known_generation == 7


def test_a_session_ends_once(make):
    """Ending it again is nothing; the one that was sent on is not sent on any more."""
    sessions = SessionsOfPeer()
    session = make()
    sessions.add(session)
    confirm(sessions, session)
    sessions.end(session, Trigger.CLOSED)
    sessions.end(session, Trigger.CLOSED)
    assert (sessions.current, sessions.by_id) == (None, {})


def test_sessions_end_when_their_time_is_up(make):
    """And their keys with them."""
    sessions = SessionsOfPeer()
    short, long = make(ends_at=20.0), make(ends_at=30.0)
    sessions.add(short)
    sessions.add(long)
    assert sessions.expire(19.9) == []
    assert sessions.expire(20.0) == [short]
    assert list(sessions.by_id.values()) == [long]


def test_deadlines_are_ends_pings_and_the_last_moment_to_send(make):
    """Nothing else of a session needs a timer here."""
    sessions = SessionsOfPeer()
    assert sessions.deadlines() == []
    session = make(ends_at=30.0)
    sessions.add(session)
    assert sessions.deadlines() == [30.0]
    confirm(sessions, session)
    session.confirming_ping = Repeat(0.0)
    assert sorted(sessions.deadlines()) == [0.25, 30.0, 90.0]
