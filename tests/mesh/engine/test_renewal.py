"""Rekey: fresh exchanges with traffic, whatever is lost; the road taken is part of the promise."""

import pytest

from mesh import constants
from mesh.engine import events
from mesh.session.deadlines import Lifetime
from mesh.session.states import State
from mesh.wire import messages

FRESH = (messages.FRESH_1, messages.FRESH_2)


def traffic(both, seconds, pause=0.1):
    """Both sides talk for a while; what was sent."""
    sent = []
    for number in range(round(seconds / pause)):
        sent.append(b"%d" % number)
        both.world.send(both.alice, both.bob, "talk", sent[-1])
        both.world.send(both.bob, both.alice, "talk", sent[-1])
        both.world.run(pause)
    both.world.run(3)
    return sent


def road(both):
    """XX exchanges, fresh ones begun, sessions renewed."""
    return (
        both.counts("sessions.established"),
        sum(both.counts("rekeys.begun")),
        both.counts("sessions.renewed"),
    )


def drop_each_first(both, kinds, chosen):
    """Lose the first frame of every burst of a control kind: its repeat gets through."""
    seen = set()

    def tamper(sender, _receiver, frame):
        kind = kinds.get(frame)
        key = chosen(sender, kind, frame)
        if key is not None and key not in seen:
            seen.add(key)
            return []
        return [frame]

    both.world.tamper = tamper
    return seen


def test_an_idle_pair_renews_with_its_pings(met):
    """Two minutes between them; XX never begins again."""
    met.world.run(3600)
    established, begun, renewed = road(met)
    assert established == (1, 1)
    assert 26 <= renewed[0] == renewed[1] <= 31
    assert begun == renewed[0]
    assert met.same_session()


def test_a_minute_of_traffic_under_a_one_second_interval(pair, bodies):
    """Nothing is lost, all is in order, and each renewal is one fresh exchange."""
    both = pair(rekey_after_seconds=1.0).meet()
    sent = traffic(both, 60)
    assert bodies(both.bob) == bodies(both.alice) == sent
    established, begun, renewed = road(both)
    assert established == (1, 1)
    assert 50 <= renewed[0] <= 65
    assert renewed[0] == renewed[1]
    assert begun == renewed[0]
    assert both.counts("handshakes.begun") == (1, 0)
    assert both.counts("sent.batches_again") == (0, 0)


@pytest.mark.parametrize("kind", ["FRESH_1", "FRESH_2", "ping"])
def test_each_step_of_a_renewal_may_be_lost(pair, kinds, bodies, kind):
    """It is repeated, and the renewal is the one that was begun: XX does not come to help."""
    both = pair(rekey_after_seconds=1.0).meet()

    def chosen(_sender, sealed, frame):
        if kind == "ping":
            return frame[4:12] if sealed == messages.PING else None
        if sealed != getattr(messages, kind):
            return None
        return frame[4:12]

    seen = drop_each_first(both, kinds, chosen)
    sent = traffic(both, 60)
    assert bodies(both.bob) == bodies(both.alice) == sent
    established, begun, renewed = road(both)
    assert established == (1, 1)
    assert both.counts("handshakes.begun") == (1, 0)
    assert min(renewed) > 35
    assert begun <= 2 * max(renewed) + 1, "late ones may cross"
    assert len(seen) > 35


@pytest.mark.parametrize("kind", ["FRESH_1", "FRESH_2", "ping"])
def test_a_new_connection_carries_what_a_renewal_lost_with_the_old_one(pair, kinds, kind):
    """At once, though the pauses of its repeats have grown; the renewal is the one of before."""
    both = pair(rekey_after_seconds=5.0)
    both.world.keep(both.alice, "bob")
    assert both.world.run(10, until=both.connected)
    lost, exchanged = messages.PING if kind == "ping" else getattr(messages, kind), set()

    def lose(_sender, _receiver, frame):
        exchanged.add(kinds.get(frame))
        return [] if kinds.get(frame) == lost and exchanged & set(FRESH) else [frame]

    intact, both.world.tamper = both.world.tamper, lose
    assert both.world.run(10, until=lambda: lost in exchanged and exchanged & set(FRESH))
    both.world.run(2.5)
    both.world.tamper = intact
    assert both.counts("sessions.renewed") == (0, 0)
    both.world.cut(*both.world.links()[0])
    assert both.world.run(0.5, until=lambda: min(both.counts("sessions.renewed")) >= 1)
    assert both.counts("sessions.established") == (1, 1)


def test_a_new_connection_is_greeted_on_an_heir_that_waits_to_be_confirmed(pair):
    """The peer took the heir, ended its parent and could not say so: no handshake begins."""
    both = pair(rekey_after_seconds=4.0)
    both.world.keep(both.alice, "bob")
    assert both.world.run(10, until=both.connected)
    ours, theirs, intact = both.to_bob, both.to_alice, both.world.tamper
    old = ours.sessions.current
    ours.renewal._begin(old, both.world.elapsed)
    both.world.collect(both.alice)
    assert both.world.run(1, until=lambda: len(ours.sessions.by_id) == 2)
    both.world.tamper = lambda sender, _r, frame: [frame] if sender is both.alice else []
    assert both.world.run(1, until=lambda: theirs.sessions.current.generation == 2)
    assert both.world.run(10, until=lambda: len(theirs.sessions.by_id) == 1)
    assert ours.sessions.current is old
    both.world.tamper = intact
    both.world.cut(*both.world.links()[0])
    assert both.world.run(0.35, until=both.same_session)
    assert both.counts("handshakes.begun") == (1, 0)


def test_every_frame_of_a_rekey_may_come_twice_and_late(pair, kinds, bodies):
    """Repeats are answered from cache and make no second session."""
    both = pair(rekey_after_seconds=1.0).meet()
    both.world.tamper = lambda _s, _r, frame: [frame] * (2 if kinds.get(frame) in FRESH else 1)
    both.world.delay = lambda _s, _r, frame: 0.4 if kinds.get(frame) in FRESH else 0.001
    sent = traffic(both, 30)
    assert bodies(both.bob) == bodies(both.alice) == sent
    established, begun, renewed = road(both)
    assert established == (1, 1)
    assert renewed[0] == renewed[1] > 12
    assert begun <= renewed[0] + 1


def test_a_repeated_first_message_makes_no_second_session(met):
    """However often it comes, the peer has one heir to the session, and gives one answer."""
    ours, theirs = met.to_bob, met.to_alice
    ours.renewal._begin(ours.sessions.current, met.world.elapsed)
    ours.sending.control(ours.sessions.current, messages.FRESH_1, ours.renewal._message_1)
    ours.sending.control(ours.sessions.current, messages.FRESH_1, ours.renewal._message_1)
    met.world.collect(met.alice)
    met.world.run(0.1)
    assert len(ours.sessions.by_id) == len(theirs.sessions.by_id) == 2
    assert met.counts("sessions.renewed") == (1, 1)
    assert met.same_session()


def test_fresh_exchanges_may_cross(pair, bodies):
    """Both begin at once; both sessions are made, both sides choose the same, nothing is lost."""
    both = pair(latency=0.05).meet()
    for association in (both.to_bob, both.to_alice):
        session, now = association.sessions.current, both.world.elapsed
        session.lifetime = Lifetime(now + 1.0, now + 10.0, now + 11.0, 2.0)
        association.context.agenda.at(now + 1.0, association)
    sent = traffic(both, 1.4, pause=0.02)
    assert both.counts("rekeys.begun") == (1, 1)
    assert min(both.counts("sessions.renewed")) >= 1
    assert both.same_session()
    assert both.to_bob.sessions.current.generation >= 2
    assert bodies(both.bob) == bodies(both.alice) == sent
    assert both.counts("sessions.established") == (1, 1)


def test_the_old_session_only_receives_and_then_ends(pair):
    """Twice the interval, or fifteen seconds."""
    both = pair(rekey_after_seconds=4.0).meet()
    old = both.to_bob.sessions.current
    assert both.world.run(10, until=lambda: both.to_bob.sessions.current is not old)
    retired_at = both.world.elapsed
    assert old.state is State.RETIRED
    assert both.world.run(20, until=lambda: old.state is State.ENDED)
    assert both.world.elapsed - retired_at == pytest.approx(8.0, abs=0.5)


@pytest.mark.parametrize("kind", ["FRESH_1", "FRESH_2"])
def test_when_renewal_is_impossible_the_session_stops_and_xx_begins(pair, kinds, bodies, kind):
    """At the hard stop, keys forgotten; nothing is lost on the way."""
    both = pair(rekey_after_seconds=2.0).meet()
    first = both.to_bob.sessions.current
    lost = getattr(messages, kind)
    both.world.tamper = lambda _s, _r, frame: [] if kinds.get(frame) == lost else [frame]
    sent = traffic(both, 30)
    assert first.state is State.ENDED
    assert bodies(both.bob) == bodies(both.alice) == sent
    assert both.counts("sessions.renewed") == (0, 0)
    established = both.counts("sessions.established")
    assert established[0] == established[1] >= 2
    assert [e.fresh for e in both.alice.saw(events.SessionConfirmed)] == [False] * established[0]
    hard_stop = 2.0 + constants.HARD_STOP_GRACE_SECONDS
    assert established[0] <= 2 * (33 / hard_stop + 1)
    assert both.same_session()


@pytest.mark.slow
def test_after_a_day_identities_are_proved_again(met):
    """A chain of sessions lives for 24 hours; then XX, without a gap."""
    met.world.run(24 * 3600 - 60)
    assert met.counts("sessions.established") == (1, 1)
    met.world.run(120)
    established = met.counts("sessions.established")
    assert established[0] == established[1] in {2, 3}
    met.world.run(1)
    assert met.same_session()
    assert met.to_bob.sessions.current.chain_began > 1000.0 + 24 * 3600 - 60


def test_frames_ask_for_renewal_too(pair, monkeypatch):
    """Long before the counter's end."""
    monkeypatch.setattr(constants, "REKEY_AFTER_FRAMES", 50)
    both = pair().meet()
    traffic(both, 10)
    established, begun, renewed = road(both)
    assert established == (1, 1)
    assert begun >= renewed[0] >= 2


def test_a_session_whose_frames_are_used_up_is_replaced_by_xx(pair, kinds, monkeypatch, bodies):
    """Renewal is impossible: nothing more is sealed, what waits goes on the next session."""
    monkeypatch.setattr(constants, "HARD_STOP_FRAMES", 40)
    both = pair().meet()
    both.world.tamper = lambda _s, _r, frame: [] if kinds.get(frame) in FRESH else [frame]
    sent = traffic(both, 12)
    both.world.run(30)
    assert bodies(both.bob) == bodies(both.alice) == sent
    assert both.counts("sessions.renewed") == (0, 0)
    assert min(both.counts("sessions.established")) >= 2


# -- odd messages from a peer that proved itself


def test_only_the_session_that_is_sent_on_is_renewed(pair):
    """A first message on a retired parent, or one that is too old, makes nothing."""
    both = pair(rekey_after_seconds=4.0).meet()
    old = both.to_alice.sessions.current
    assert both.world.run(10, until=lambda: old.state is State.RETIRED)
    sessions = dict(both.to_alice.sessions.by_id)
    renewal, route = both.to_alice.renewal, both.to_alice.routes.best
    renewal.on_message_1(old, b"x" * 64, route)
    both.to_alice.sessions.current.chain_began -= constants.SESSION_CHAIN_SECONDS
    renewal.on_message_1(both.to_alice.sessions.current, b"x" * 64, route)
    assert both.to_alice.sessions.by_id == sessions
    assert both.counts("rekeys.refused") == (0, 0)


def test_what_is_no_exchange_is_refused_and_harms_nothing(met):
    """Wrong type, wrong bytes, an answer nobody waits for."""
    ours = met.to_bob
    session = ours.sessions.current
    for message in (None, 5, "text", b"", b"x" * 64):
        ours.renewal.on_message_1(session, message, ours.routes.best)
        ours.renewal.on_message_2(session, message)
    assert met.alice.engine.counters["rekeys.refused"] == 2
    ours.renewal._begin(session, met.world.elapsed)
    ours.renewal.on_message_2(session, b"x" * 64)
    assert met.alice.engine.counters["rekeys.refused"] == 3
    met.world.collect(met.alice)
    met.world.run(1)
    assert met.counts("sessions.renewed") == (1, 1), "the genuine answer still counts"
    assert met.same_session()


def test_at_most_four_renewals_wait_for_confirmation(met):
    """A peer that begins again and again costs four sessions and no more."""
    ours = met.to_bob
    met.world.tamper = lambda sender, _r, frame: [frame] if sender is met.alice else []
    for _ in range(10):
        ours.renewal.stop()
        ours.renewal._begin(ours.sessions.current, met.world.elapsed)
        met.world.collect(met.alice)
        met.world.run(0.01)
    states = [s.state for s in met.to_alice.sessions.by_id.values()]
    assert states.count(State.UNCONFIRMED) == 4
    assert states.count(State.CONFIRMED) == 1


def test_deadlines_name_the_next_step(met):
    """Begin, then repeat; a day's end in any case; nothing without a session."""
    renewal = met.to_bob.renewal
    session = met.to_bob.sessions.current
    assert renewal.deadlines()[0] == session.lifetime.renew_at
    renewal._begin(session, met.world.elapsed)
    assert renewal.deadlines()[0] == met.world.elapsed + constants.REPEAT_AFTER_SECONDS
    assert renewal.deadlines()[1] == session.chain_began + constants.SESSION_CHAIN_SECONDS
    met.to_bob.end_all_sessions()
    assert renewal.deadlines() == []
