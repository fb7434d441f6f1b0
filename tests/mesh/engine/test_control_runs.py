"""Control runs: each kind answered as it should be, and odd items from a peer ignored."""

import pytest

from mesh.engine import control_runs, events
from mesh.engine.routes import RoutesOfPeer
from mesh.engine.sending import Sending
from mesh.model import Origin, Route
from mesh.wire import messages
from mesh.wire.messages import KIND_MAX

ELSEWHERE = Route(routing_id=b"elsewhere")
ODD = [None, True, -1, 1 << 63, 1.5, "text", b"bytes", [], [1], [1, "2"], ["a", 1], {"a": 1}]


def say(both, kind, item, route=None):
    """Alice seals one control item for bob; what bob sends back by that path at once."""
    both.to_bob.sending.control(both.to_bob.sessions.current, kind, item)
    (transmit,) = both.alice.engine.transmits()
    back = route or both.to_alice.routes.best
    bob = both.bob.engine
    bob.receive(transmit.frame, Origin(back, "127.0.0.1"), both.world.now)
    return [answer for answer in bob.transmits() if answer.route == back]


@pytest.mark.parametrize(
    ("asked", "answered"),
    [
        (messages.PING, messages.PONG),
        (messages.HELLO, messages.HELLO_ANSWER),
        (messages.CHALLENGE, messages.CHALLENGE_ANSWER),
        (messages.PROBE, None),
    ],
)
def test_questions_are_answered_by_the_connection_they_came_on(met, kinds, asked, answered):
    """With the token they brought."""
    (answer,) = say(met, asked, 77)
    assert kinds[bytes(answer.frame)] == answered
    assert met.to_alice.routes.best == answer.route


@pytest.mark.parametrize("kind", [*range(messages.FIRST_CONTROL, messages.PROBE + 3), KIND_MAX])
@pytest.mark.parametrize("item", ODD, ids=repr)
def test_odd_items_are_never_a_crash(met, kind, item):
    """Whatever a peer's program puts where a token or a number belongs."""
    say(met, kind, item)
    if kind != messages.CLOSE:
        assert met.to_alice.sessions.current is not None
        assert met.to_alice.routes.best is not None
        assert met.to_alice.delivery.outgoing.next_number == 1
    assert met.to_alice.routes.best is not None or kind == messages.CLOSE


def test_what_is_no_token_is_not_repeated(met):
    """Nobody's kilobytes are sent back."""
    for kind in (messages.PING, messages.HELLO, messages.CHALLENGE):
        assert say(met, kind, ["x" * 1000]) == []


def test_deep_items_are_no_crash(met):
    """As deep as a frame may be."""
    item = []
    for _ in range(60):
        item = [item]
    for kind in (messages.PING, messages.FRESH_1, messages.GAP):
        assert say(met, kind, item) == []


def test_kinds_of_a_later_version_are_ignored_and_counted(met):
    """So that a later version can ask."""
    assert say(met, 200, 1) == []
    assert met.bob.engine.counters["ignored.unknown_kind"] == 1


def test_a_pong_nobody_asked_for_is_nothing(met):
    """No event, no sample of the round trip."""
    before = len(met.bob.saw(events.PongReceived)), met.to_alice.liveness.round_trip
    say(met, messages.PONG, 4711)
    assert (len(met.bob.saw(events.PongReceived)), met.to_alice.liveness.round_trip) == before


@pytest.mark.parametrize("kind", [messages.CHALLENGE_ANSWER, messages.HELLO_ANSWER])
def test_a_path_is_verified_by_the_token_that_was_sent_on_it(met, kind):
    """Not by another token, by none, nor by the right one on another path."""
    routes = met.to_alice.routes
    for item in (None, 5):
        say(met, kind, item, ELSEWHERE)
        assert ELSEWHERE not in routes
    other = Route(routing_id=b"other")
    token = routes.challenge(other, 99, met.world.elapsed)
    say(met, kind, token, ELSEWHERE)
    assert ELSEWHERE not in routes
    say(met, kind, token, other)
    assert routes.best == other


def test_a_welcome_that_comes_again_is_nothing(met):
    """The session it welcomed to is confirmed."""
    session = met.to_alice.sessions.current
    assert say(met, messages.WELCOME, [9, 9, 9]) == []
    assert (session.generation, session.epoch) == (1, 0)


@pytest.mark.parametrize("reason", ["closed", "revoked", "something new"])
def test_a_close_is_answered_and_ends_all(met, kinds, reason):
    """The acknowledgements in the answer are the final ones."""
    (answer,) = say(met, messages.CLOSE, reason)
    assert kinds[bytes(answer.frame)] == messages.CLOSE
    met.world.collect(met.bob)
    assert met.to_alice.sessions.by_id == {}
    assert len(met.bob.saw(events.PeerClosed)) == len(met.bob.saw(events.DeliveryEnded)) == 1


def test_a_superseded_node_is_told_and_stops(met):
    """It fails its sends, forgets its keys and begins nothing."""
    met.world.send(met.bob, met.alice, "s", b"x")
    say(met, messages.CLOSE, "superseded")
    met.world.collect(met.bob)
    assert met.bob.saw(events.Superseded) == [events.Superseded(met.alice.id)]
    (ended,) = met.bob.saw(events.DeliveryEnded)
    assert len(ended.failed) == 1
    assert not ended.restarted
    sent = len(met.world.frames)
    met.world.run(1)
    assert {name for name, _, _ in met.world.frames[sent:]} <= {"alice"}
    assert met.bob.engine.counters["handshakes.begun"] == 0


def test_two_goodbyes_in_one_frame_are_one(met):
    """The second finds nothing left to end."""
    session = met.to_alice.sessions.current
    for reason in ("superseded", "closed", "superseded"):
        control_runs.on_item(
            met.to_alice, session, messages.CLOSE, reason, met.to_alice.routes.best
        )
    assert met.to_alice.sessions.by_id == {}


def test_a_gap_is_filled_by_what_was_not_just_sent(met, bodies):
    """Batches that were sent a moment ago may still be under way."""
    lost = b"l" * 1000
    met.world.tamper = lambda _s, _r, frame: [] if len(frame) > 1000 else [frame]
    met.world.send(met.alice, met.bob, "s", lost)
    met.world.run(0.1)
    met.world.tamper = lambda _s, _r, frame: [frame]
    began = met.world.elapsed
    met.world.send(met.alice, met.bob, "s", b"next")
    assert met.world.run(1, until=lambda: bodies(met.bob) == [lost, b"next"])
    assert met.world.elapsed - began < 0.05
    assert met.alice.engine.counters["sent.batches_again"] == 1
    say(met, messages.GAP, [1, 9])
    assert met.bob.engine.counters["sent.batches_again"] == 0


def test_a_gap_of_another_delivery_is_ignored(met):
    """Its numbers count something else."""
    met.world.tamper = lambda *_: []
    met.world.send(met.bob, met.alice, "s", b"x")
    met.world.run(0.5)
    met.to_alice.sessions.current.epoch = 7
    say(met, messages.GAP, [1, 9])
    assert met.bob.engine.counters["sent.batches_again"] == 0


def test_without_its_rule_a_copied_frame_takes_the_path(met, monkeypatch):
    """The check on the token is what holds: without it the test above would fail."""
    monkeypatch.setattr(RoutesOfPeer, "answers", lambda *_: True)
    say(met, messages.CHALLENGE_ANSWER, 5, ELSEWHERE)
    assert met.to_alice.routes.best == ELSEWHERE


@pytest.mark.parametrize(
    ("kind", "item"),
    [
        (messages.PING, 1),
        (messages.WELCOME, [0, 0, 1]),
        (messages.WELCOME, [1, -1, 1]),
        (messages.WELCOME, [1, 0, 0]),
        (messages.WELCOME, "welcome"),
        (None, None),
    ],
)
def test_a_first_frame_that_is_no_welcome_makes_no_session(pair, monkeypatch, kind, item):
    """Nor does one whose numbers make no sense; another exchange begins when its time is up."""
    seal = Sending.seal_control

    def strange(self, session, kind_, item_=None):
        welcome = kind_ == messages.WELCOME
        return seal(self, session, *((kind, item) if welcome else (kind_, item_)))

    both = pair()
    monkeypatch.setattr(Sending, "seal_control", strange)
    both.world.dial(both.alice, both.bob)
    both.world.run(4)
    assert both.alice.happened == both.bob.saw(events.PeerConnected) == []
    assert both.alice.engine.counters["dropped.malformed"] == 1
    monkeypatch.undo()
    assert both.world.run(5, until=both.connected)
    assert sum(both.counts("handshakes.begun")) == 2


def test_a_welcome_that_goes_back_makes_no_session(met, monkeypatch):
    """Its generation is beyond all that the initiator said it knows; the old session goes on."""
    seal = Sending.seal_control

    def backwards(self, session, kind, item=None):
        return seal(self, session, kind, [1, *item[1:]] if kind == messages.WELCOME else item)

    monkeypatch.setattr(Sending, "seal_control", backwards)
    current = met.to_bob.sessions.current
    met.world.dial(met.alice, met.bob)
    met.world.run(2)
    assert met.alice.engine.counters["dropped.malformed"] >= 1
    assert met.to_bob.sessions.current is current
    assert met.alice.engine.counters["sessions.established"] == 1


def test_a_welcome_to_what_has_ended_meanwhile_makes_no_session(pair, kinds):
    """While it was under way, a newer epoch began."""
    both = pair(latency=0.05).meet()
    both.to_bob.directory.begin_handshake(both.route, both.bob.id)
    both.world.collect(both.alice)
    both.world.run(0.17)
    (waiting,) = [s for s in both.to_bob.sessions.by_id.values() if s.awaits_welcome]
    both.to_bob.delivery.epoch = 3
    both.world.run(0.1)
    assert waiting.local_id not in both.to_bob.sessions.by_id
    assert both.counts("sessions.established") == (1, 1)


def test_a_welcome_may_come_after_its_exchange_was_given_up(pair):
    """The session is as good; its path has to prove itself like any other."""
    both = pair()
    both.world.delay = lambda sender, _r, frame: (
        6.0 if sender is both.bob and frame[1] == 4 else 0.001
    )
    both.world.dial(both.alice, both.bob)
    both.world.run(5.5)
    assert both.alice.engine.counters["handshakes.unanswered"] == 1
    both.world.run(0.6)
    assert both.alice.saw(events.PeerConnected)
    both.world.delay = lambda *_: 0.001
    both.world.run(20)
    assert both.same_session()
    assert both.to_bob.sessions.current is not None
    assert both.to_bob.routes.best is not None
