"""One peer over time: cuts, new paths, restarts, forgetting, silence; which road each takes."""

import pytest

from handshake.constants import Reason
from mesh.engine import events
from mesh.engine.association import Association
from mesh.limits import UNCONFIRMED_PER_PEER
from mesh.model import Route
from mesh.session.states import State
from mesh.wire import frames

ELSEWHERE = Route(routing_id=b"elsewhere")


def handshake_frames(both, since=0):
    return [f for _, _, f in both.world.frames[since:] if f[1] in frames.HANDSHAKE_TYPES]


def redial(both, **kinds):
    both.route = both.world.dial(both.alice, both.bob, led_to=both.bob.id, **kinds)
    return both.route


# -- reconnects


def test_a_cut_is_healed_by_a_hello(met, bodies):
    """New connection, sealed greeting, answer: no handshake, nothing lost."""
    since = len(met.world.frames)
    met.world.cut(met.alice, met.route)
    assert met.alice.saw(events.RouteWanted) == [events.RouteWanted(met.bob.id)]
    sent = met.talk()
    route = redial(met)
    met.world.run(2)
    assert bodies(met.bob) == bodies(met.alice) == sent
    assert handshake_frames(met, since) == []
    assert met.counts("sessions.established") == (1, 1)
    assert met.alice.saw(events.RouteAuthenticated)[-1] == events.RouteAuthenticated(
        route, met.bob.id
    )
    assert met.to_bob.routes.best == route


@pytest.mark.parametrize("late", [2.0, 5.0, 8.0])
def test_a_cut_whose_notice_is_late_loses_nothing(met, bodies, late):
    """Messages sent into the void meanwhile arrive after the reconnect, once and in order."""
    met.world.cut(met.alice, met.route, notice_after=late, still_arriving=1)
    sent = []
    for number in range(round(late / 0.5)):
        sent.append(b"%d" % number)
        met.world.send(met.alice, met.bob, "s", sent[-1])
        met.world.send(met.bob, met.alice, "s", sent[-1])
        met.world.run(0.5)
    met.world.run(0.1)
    assert met.alice.saw(events.RouteWanted)
    redial(met)
    met.world.run(3)
    assert bodies(met.bob) == bodies(met.alice) == sent
    assert met.counts("sessions.established") == (1, 1)
    assert met.counts("handshakes.begun") == (1, 0)


def test_a_hello_nobody_answers_is_followed_by_a_handshake(met, bodies):
    """After 300 ms, in parallel; the peer had forgotten its keys."""
    met.world.cut(met.alice, met.route)
    met.to_alice.end_all_sessions()
    sent = met.talk()
    redial(met)
    met.world.run(0.29)
    assert met.counts("handshakes.begun") == (1, 0)
    met.world.run(0.02)
    assert met.counts("handshakes.begun") == (2, 0)
    met.world.run(1)
    assert bodies(met.bob) == bodies(met.alice) == sent
    assert met.counts("sessions.established") == (2, 2)
    assert not met.alice.saw(events.DeliveryEnded)


def test_a_handshake_while_sessions_live_continues_the_delivery(met, bodies):
    """What the peer has is acknowledged by the handshake; what it has not is sent again."""
    met.world.send(met.alice, met.bob, "s", b"1")
    met.world.run(0.005)
    met.world.tamper = lambda *_: []
    met.world.send(met.alice, met.bob, "s", b"2")
    met.world.run(0.1)
    assert not met.alice.saw(events.Delivered)
    met.world.tamper = lambda _s, _r, frame: [frame]
    generation = met.to_bob.sessions.current.generation
    met.to_bob.directory.begin_handshake(met.route, met.bob.id)
    met.world.collect(met.alice)
    met.world.run(0.02)
    assert bodies(met.bob) == [b"1", b"2"]
    assert met.alice.saw(events.Delivered)
    assert met.to_bob.sessions.current.generation == generation + 1
    met.world.run(1)
    assert met.same_session()
    assert not met.alice.saw(events.DeliveryEnded)


def test_a_session_that_does_not_answer_is_doubted_after_ten_seconds(met, bodies):
    """The connection stands, but what we say is not understood: XX begins in parallel."""
    began = met.world.elapsed
    met.to_alice.end_all_sessions()
    met.world.send(met.alice, met.bob, "s", b"x")
    assert met.world.run(30, until=lambda: bodies(met.bob) == [b"x"])
    assert met.world.elapsed - began < 11
    assert met.alice.engine.counters["handshakes.begun"] <= 2
    assert met.bob.engine.counters["dropped.unknown_session"] > 0


# -- paths


def copied(both):
    """Alice's next frame, taken from the wire before bob sees it."""
    taken = []
    tamper = both.world.tamper
    both.world.tamper = lambda sender, _r, frame: (
        taken.append(frame) or [] if sender is both.alice else [frame]
    )
    both.alice.engine.ping(both.bob.id, both.world.now)
    both.world.collect(both.alice)
    both.world.tamper = tamper
    return taken[0]


def test_a_copied_frame_moves_nothing(met, bodies):
    """It opens, but its path is only challenged, and nobody answers there."""
    best = met.to_alice.routes.best
    since = met.bob.engine.counters["sent.refused"]
    for _ in range(3):
        met.world.inject(met.bob, ELSEWHERE, copied(met))
    assert met.to_alice.routes.best == best
    assert ELSEWHERE not in met.to_alice.routes
    assert met.bob.engine.counters["sent.refused"] > since, "the challenge went there"
    sent = met.talk()
    met.world.run(1)
    assert bodies(met.alice) == sent


def test_a_copied_frame_on_a_connection_we_dialled_moves_nothing(met, bodies):
    """Whoever lured us to an endpoint of his could copy frames to us there."""
    mallory = met.world.node("mallory")
    lure = met.world.dial(met.bob, mallory)
    best = met.to_alice.routes.best
    met.world.inject(met.bob, lure, copied(met))
    assert met.to_alice.routes.best == best
    assert met.bob.saw(events.RouteAuthenticated) == []
    sent = met.talk()
    met.world.run(1)
    assert bodies(met.alice) == sent


def test_without_the_challenge_a_copied_frame_takes_over(met, monkeypatch):
    """The rule is what protects: without it the path is the copier's."""
    monkeypatch.setattr(Association, "_ask", lambda self, _k, _s, route: self.verify(route))
    met.world.inject(met.bob, Route(dialled=4711), copied(met))
    assert met.to_alice.routes.best != next(iter(met.to_alice.routes))


def test_a_copied_hello_moves_nothing_and_the_genuine_one_still_helps(met, bodies):
    """Taken on its way and put on another path first; also played again later."""
    met.world.cut(met.alice, met.route)
    hellos = []
    met.world.tamper = lambda sender, _r, frame: (
        hellos.append(frame) or [] if sender is met.alice and not hellos else [frame]
    )
    redial(met)
    met.world.inject(met.bob, ELSEWHERE, hellos[0])
    met.world.run(5)
    assert ELSEWHERE not in met.to_alice.routes
    met.world.inject(met.bob, ELSEWHERE, hellos[0])
    assert met.bob.engine.counters["dropped.replayed"] == 1
    sent = met.talk()
    met.world.run(2)
    assert bodies(met.bob) == bodies(met.alice) == sent


def test_a_welcome_that_came_by_another_path_verifies_the_one_message_3_took(pair):
    """A copier on a second connection is not made the route."""
    both = pair()
    mallory = both.world.node("mallory")
    lure = both.world.dial(both.alice, mallory)
    both.world.tamper = lambda sender, _r, frame: (
        both.world.inject(both.alice, lure, frame) or []
        if sender is both.bob and frame[1] == frames.DATA and not both.connected()
        else [frame]
    )
    both.route = both.world.dial(both.alice, both.bob)
    both.world.run(5)
    assert both.connected()
    assert both.to_bob.routes.best == both.route
    assert lure not in both.to_bob.routes


def test_a_lost_challenge_is_repeated(met, bodies, kinds):
    """With the next frame by that path; ten seconds of doubt are not needed."""
    met.world.cut(met.alice, met.route)
    lost = []

    def tamper(sender, _receiver, frame):
        if sender is met.bob and kinds.get(frame) == 71 and len(lost) < 2:
            lost.append(frame)
            return []
        return [frame]

    met.world.tamper = tamper
    redial(met)
    for number in range(10):
        met.world.send(met.bob, met.alice, "s", b"%d" % number)
        met.world.send(met.alice, met.bob, "s", b"%d" % number)
        met.world.run(0.2)
    assert len(lost) == 2
    assert bodies(met.alice) == [b"%d" % number for number in range(10)]
    assert met.counts("handshakes.begun") == (1, 0)


def test_our_own_connection_is_used_while_it_lives(met):
    """A second path is verified, but kept in reserve; when the first is lost it takes over."""
    route = met.world.dial(met.bob, met.alice, led_to=met.alice.id)
    met.world.run(1)
    assert met.to_alice.routes.best == route
    assert met.to_bob.routes.best == met.route
    assert len(met.to_alice.routes) == len(met.to_bob.routes) == 2
    sent = met.talk()
    met.world.cut(met.alice, met.route)
    met.world.run(2)
    assert [m[2] for m in met.bob.messages] == [m[2] for m in met.alice.messages] == sent
    assert met.to_bob.routes.best.routing_id
    assert not met.alice.saw(events.RouteWanted)
    assert met.counts("handshakes.begun") == (1, 0)


def test_a_refused_route_is_not_tried_again(met):
    """The peer has withdrawn its trust while away: we ask once, are told, and stop."""
    met.bob.policy.forget(met.alice.id)
    met.to_alice.end_all_sessions()
    met.to_alice.end_delivery("gone")
    met.world.run(60)
    (failed,) = met.alice.saw(events.ConnectFailed)
    assert (failed.route, failed.reason, failed.by_peer) == (met.route, Reason.NOT_TRUSTED, True)
    assert met.to_bob.routes.best is None
    since = len(met.world.frames)
    met.world.run(100)
    assert len(met.world.frames) == since
    met.to_bob.give_up(ELSEWHERE)


# -- restarts


def test_a_restarted_peer_takes_over_and_the_old_receipts_fail(met, bodies):
    """What was sent may have been handled; what was not sent was not."""
    met.world.send(met.alice, met.bob, "s", b"sent")
    met.world.crash(met.bob)
    met.world.send(met.alice, met.bob, "s", b"waits for a route")
    bob = met.world.node("bob")
    met.bob = bob
    route = redial(met)
    met.world.run(1)
    (ended,) = met.alice.saw(events.DeliveryEnded)
    assert [outcome for _, outcome in ended.failed] == ["unknown", "not_delivered"]
    assert ended.restarted
    assert len(met.alice.saw(events.PeerConnected)) == 2
    assert met.to_bob.routes.best == route
    assert met.to_bob.delivery.peer_instance == bob.settings.instance
    sent = met.talk()
    met.world.run(1)
    assert bodies(bob) == sent
    assert bodies(met.alice) == sent


def test_a_new_instance_takes_over_only_with_a_sealed_frame(met, bodies):
    """Message 3 is not enough: until then everything goes on with the old one."""
    other = met.world.node("alice")
    met.world.tamper = lambda sender, _r, frame: (
        [] if sender is other and frame[1] == frames.DATA else [frame]
    )
    met.world.dial(other, met.bob)
    met.world.run(0.2)
    assert other.saw(events.PeerConnected), "it has our welcome"
    assert met.to_alice.delivery.peer_instance == met.alice.settings.instance
    sent = met.talk()
    met.world.run(0.2)
    assert bodies(met.bob) == bodies(met.alice) == sent
    met.world.tamper = lambda _s, _r, frame: [frame]
    met.world.run(2)
    assert met.to_alice.delivery.peer_instance == other.settings.instance
    assert met.alice.saw(events.Superseded) == [events.Superseded(met.bob.id)]


@pytest.mark.parametrize("bob_dialled", [False, True])
def test_the_old_instance_is_told_and_the_new_one_is_spoken_to(pair, bodies, bob_dialled):
    """Whichever side had dialled: our connection to the old one is no way to the new one."""
    both = pair()
    if bob_dialled:
        both.world.dial(both.bob, both.alice)
        both.world.run(1)
    else:
        both.meet()
    old = both.alice
    both.world.send(both.bob, old, "s", b"for the old one")
    new = both.world.node("alice")
    both.world.dial(new, both.bob)
    both.world.run(1)
    assert old.saw(events.Superseded) == [events.Superseded(both.bob.id)]
    assert len(old.saw(events.DeliveryEnded)) == 1
    both.alice = new
    began = both.world.elapsed
    sent = both.talk()
    assert both.world.run(5, until=lambda: bodies(new) == sent)
    assert both.world.elapsed - began < 0.5
    assert bodies(both.bob)[-3:] == sent
    both.world.run(60)
    assert len(both.to_alice.sessions.by_id) == 1
    assert len(new.saw(events.Superseded)) == 0


def test_a_new_instance_that_was_dialled_ends_the_handshakes_for_its_connection(pair):
    """The owner is told where the connection leads, and nothing is begun on it again."""
    both = pair()
    both.meet()
    both.world.crash(both.bob)
    both.bob = both.world.node("bob")
    route = redial(both)
    both.world.run(5)
    assert events.RouteAuthenticated(route, both.bob.id) in both.alice.saw(
        events.RouteAuthenticated
    )
    assert both.counts("handshakes.begun") == (2, 0)


# -- silence and forgetting


def silence(both, seconds):
    both.world.tamper = lambda *_: []
    both.world.run(seconds)
    both.world.tamper = lambda _s, _r, frame: [frame]


def test_presence_is_told_when_it_changes(met):
    """Unresponsive after ten seconds, lost after thirty, connected again."""
    silence(met, 14)
    silence(met, 22)
    met.world.run(12)
    for node, peer in ((met.alice, met.bob), (met.bob, met.alice)):
        assert [(e.peer_id, e.presence) for e in node.saw(events.PresenceChanged)] == [
            (peer.id, "unresponsive"),
            (peer.id, "lost"),
            (peer.id, "connected"),
        ]


def test_nobody_is_reported_lost_who_said_goodbye(met):
    """There is nothing left to be lost."""
    met.alice.engine.close(met.world.now)
    met.world.collect(met.alice)
    met.world.run(100)
    assert met.bob.saw(events.PresenceChanged) == met.alice.saw(events.PresenceChanged) == []


def test_after_nine_minutes_the_delivery_goes_on(met, bodies):
    """No session is left, but what waited arrives."""
    met.world.send(met.alice, met.bob, "s", b"1")
    met.world.run(1)
    silence(met, 300)
    met.world.send(met.alice, met.bob, "s", b"2")
    silence(met, 240)
    met.world.run(20)
    assert bodies(met.bob) == [b"1", b"2"]
    assert not met.alice.saw(events.DeliveryEnded)
    assert met.to_bob.delivery.epoch == 0


def test_after_ten_minutes_the_peer_is_forgotten(met, bodies):
    """Everything unfinished fails; the next meeting is another epoch on both sides."""
    met.world.tamper = lambda *_: []
    met.world.send(met.alice, met.bob, "s", b"lost")
    silence(met, 606)
    (ended,) = met.alice.saw(events.DeliveryEnded)
    assert ended.failed == [(met.alice.receipts[0], "unknown")]
    assert not ended.restarted
    assert met.bob.saw(events.DeliveryEnded)
    met.world.run(30)
    assert met.to_bob.delivery.epoch == met.to_alice.delivery.epoch == 1
    sent = met.talk()
    met.world.run(1)
    assert bodies(met.bob) == bodies(met.alice) == sent


@pytest.mark.parametrize("who", ["alice", "bob"])
def test_when_only_one_has_forgotten_both_take_the_next_epoch(met, bodies, who):
    """The other learns it by the handshake, and its receipts fail too."""
    met.talk(2)
    met.world.run(1)
    met.world.tamper = lambda *_: []
    for node, other in ((met.alice, met.bob), (met.bob, met.alice)):
        met.world.send(node, other, "s", b"lost")
    met.world.tamper = lambda _s, _r, frame: [frame]
    forgetful = met.to_bob if who == "alice" else met.to_alice
    forgetful.forget()
    met.world.run(30)
    assert met.to_bob.delivery.epoch == met.to_alice.delivery.epoch == 1
    for node in (met.alice, met.bob):
        (ended,) = node.saw(events.DeliveryEnded)
        assert [outcome for _, outcome in ended.failed] == ["unknown"]
        assert not ended.restarted, "the same instance is still there"
    sent = met.talk()
    met.world.run(1)
    assert bodies(met.bob)[2:] == bodies(met.alice)[2:] == sent
    assert met.same_session()


def test_frames_of_another_delivery_are_opened_and_ignored(met, bodies):
    """Batches, acknowledgements and credit on a session of another epoch mean nothing."""
    met.to_bob.sessions.current.epoch = 5
    met.world.send(met.bob, met.alice, "s", b"of epoch 0")
    met.world.run(0.1)
    assert bodies(met.alice) == []
    assert met.alice.engine.counters["dropped.other_delivery"] >= 1


def test_a_session_of_an_ended_epoch_is_dropped_when_it_is_confirmed(pair):
    """It was agreed on before the other side forgot."""
    both = pair(latency=0.05).meet()
    both.to_bob.directory.begin_handshake(both.route, both.bob.id)
    both.world.collect(both.alice)
    both.world.run(0.22)
    (waiting,) = [s for s in both.to_alice.sessions.by_id.values() if s.state is State.UNCONFIRMED]
    both.to_alice.delivery.epoch = 3
    both.to_alice.sessions.current.epoch = 3
    both.world.run(0.2)
    assert waiting.state is State.ENDED
    assert both.to_alice.delivery.epoch == 3


def test_a_larger_epoch_ends_the_sessions_of_the_smaller(met):
    """They would carry what nobody accepts."""
    old = met.to_bob.sessions.current
    met.to_bob.memory.forget(met.to_bob.delivery)
    met.to_bob.end_delivery("forgotten")
    met.to_bob.directory.begin_handshake(met.route, met.bob.id)
    met.world.collect(met.alice)
    met.world.run(1)
    assert met.to_bob.delivery.epoch == met.to_alice.delivery.epoch == 1
    assert [s.epoch for s in met.to_alice.sessions.by_id.values()] == [1]
    assert old.state in {State.RETIRED, State.ENDED}
    assert met.same_session()


def test_unfinished_handshakes_leave_little_behind(met):
    """Sessions up to a few, no delivery that never came to life."""
    for number in range(10):
        ghost = met.world.node("alice")
        met.world.tamper = lambda sender, _r, frame, ghost=ghost: (
            [] if sender is ghost and frame[1] == frames.DATA else [frame]
        )
        met.world.dial(ghost, met.bob)
        met.world.run(0.05)
        met.world.crash(ghost)
        assert met.to_alice.delivery.peer_instance == met.alice.settings.instance, number
    assert len(met.to_alice._candidates) <= UNCONFIRMED_PER_PEER
    assert len(met.to_alice._agreed) <= UNCONFIRMED_PER_PEER
    met.world.run(200)
    assert met.to_alice._candidates == met.to_alice._agreed == {}
    assert met.to_alice.sessions.current is not None
    assert met.to_alice.routes.best is not None


def test_a_hello_needs_a_session(met):
    """Without one a handshake comes at once."""
    met.world.cut(met.alice, met.route)
    met.to_bob.end_all_sessions()
    assert not met.to_bob.hello(met.route)
    redial(met)
    assert met.counts("handshakes.begun") == (2, 0)
    met.world.run(1)
    assert met.same_session()


def test_an_hour_of_silence_costs_a_bounded_number_of_frames(met):
    """Pings, their answers, renewals: nothing spins."""
    since = len(met.world.frames)
    met.world.run(600)
    assert len(met.world.frames) - since < 600
    since = len(met.world.frames)
    met.world.tamper = lambda *_: []
    met.world.run(600)
    assert len(met.world.frames) == since
