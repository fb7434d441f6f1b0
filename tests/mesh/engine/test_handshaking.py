"""XX exchanges between two nodes: every message lost, repeated, changed; every refusal."""

import pytest

from handshake.constants import Reason
from mesh import constants
from mesh.engine import events, terms
from mesh.limits import HALF_OPEN_PER_ADDRESS
from mesh.model import Origin, Route
from mesh.wire import frames
from said_terms import changed

HANDSHAKE = (frames.MESSAGE_1, frames.MESSAGE_2, frames.MESSAGE_3)


def drop_first(world, count, chosen):
    """Lose the first `count` frames that `chosen(frame)` picks."""
    left = [count]

    def tamper(_sender, _receiver, frame):
        if chosen(frame) and left[0]:
            left[0] -= 1
            return []
        return [frame]

    world.tamper = tamper


def test_a_first_meeting_takes_three_messages_a_welcome_and_a_ping(pair):
    """No frame more, and both have the same session, of generation one."""
    both = pair().meet()
    assert [frame[1] for _, _, frame in both.world.frames] == [
        *HANDSHAKE,
        *[frames.DATA] * 3,
    ]
    assert both.same_session()
    assert both.counts("sessions.established") == (1, 1)
    (ours,) = both.alice.saw(events.SessionConfirmed)
    (theirs,) = both.bob.saw(events.SessionConfirmed)
    assert (ours.generation, ours.initiator, ours.suite) == (1, True, "ChaChaPoly")
    assert (theirs.generation, theirs.initiator, theirs.fresh) == (1, False, False)
    assert both.alice.saw(events.RouteAuthenticated) == [
        events.RouteAuthenticated(both.route, both.bob.id)
    ]
    assert len(both.alice.saw(events.PeerConnected)) == 1


def test_a_node_without_trust_or_peer_costs_nothing_while_it_waits(pair):
    """Nothing was dialled: no frame, no deadline."""
    both = pair()
    both.world.run(100)
    assert both.world.frames == []
    assert both.alice.engine.next_deadline() == float("inf")


@pytest.mark.parametrize("kind", [*HANDSHAKE, frames.DATA])
def test_every_message_may_be_lost_three_times(pair, kind):
    """It is repeated from cache (250 ms, doubling) until it is answered."""
    both = pair()
    drop_first(both.world, 3, lambda frame: frame[1] == kind)
    both.meet()
    assert both.world.elapsed < 1000 + 3.0
    assert both.same_session()
    assert both.counts("sessions.established") == (1, 1)
    assert both.counts("handshakes.begun") == (1, 0)


@pytest.mark.parametrize("kind", [*HANDSHAKE, frames.DATA])
def test_every_message_may_be_repeated(pair, kind, bodies):
    """Answered from cache or ignored: one session, and it works."""
    both = pair()
    both.world.tamper = lambda _s, _r, frame: [frame] * (3 if frame[1] == kind else 1)
    both.meet()
    sent = both.talk()
    both.world.run(1)
    assert bodies(both.bob) == bodies(both.alice) == sent
    assert both.counts("sessions.established") == (1, 1)
    assert len(both.to_alice.sessions.by_id) == len(both.to_bob.sessions.by_id) == 1


@pytest.mark.parametrize("kind", [*HANDSHAKE, frames.DATA])
def test_every_message_may_be_late(pair, kind):
    """Behind what was sent after it, repeats included; that is no sign of an attack."""
    both = pair()
    late = [2]

    def delay(_sender, _receiver, frame):
        if frame[1] == kind and late[0]:
            late[0] -= 1
            return 0.6 * late[0] + 0.3
        return 0.001

    both.world.delay = delay
    both.meet()
    both.world.run(2)
    assert both.same_session()
    assert both.counts("sessions.established") == (1, 1)
    assert both.counts("dropped.replayed") == both.counts("dropped.forged") == (0, 0)


@pytest.mark.parametrize("kind", [*HANDSHAKE, frames.DATA])
def test_a_message_changed_anywhere_changes_nothing(pair, kind):
    """Every byte of it, the clear fields too; then the genuine one succeeds, at once."""
    both = pair()
    changed = []

    def tamper(_sender, _receiver, frame):
        if frame[1] != kind or changed:
            return [frame]
        for place in range(len(frame)):
            wrong = bytearray(frame)
            wrong[place] ^= 0x01
            changed.append(bytes(wrong))
        return [*changed, frame[:-1], frame[:1], b"", frame + b"\0", frame]

    both.world.tamper = tamper
    began = both.world.elapsed
    both.route = both.world.dial(both.alice, both.bob)
    both.world.run(1, until=both.connected)
    assert both.world.elapsed < began + 0.2
    assert both.counts("handshakes.begun") == (1, 0)
    assert both.counts("sessions.established") == (1, 1)


@pytest.mark.parametrize("seed", range(50))
def test_both_sides_may_dial_at_once(pair, seed, bodies):
    """Two exchanges cross, both end on one session, and nothing is lost on the way there."""
    both = pair(seed, latency=0.01)
    jitter = both.alice.random
    both.world.delay = lambda *_: jitter.uniform(0.001, 0.03)
    both.world.dial(both.alice, both.bob, pin=both.bob.id)
    both.world.run(jitter.choice([0.0, 0.005, 0.02]))
    both.world.dial(both.bob, both.alice, pin=both.alice.id)
    sent = []
    for number in range(40):
        both.world.run(0.005)
        if both.connected():
            sent.append(b"%d" % number)
            both.world.send(both.alice, both.bob, "talk", sent[-1])
            both.world.send(both.bob, both.alice, "talk", sent[-1])
    both.world.run(2)
    assert both.same_session()
    assert bodies(both.alice) == bodies(both.bob) == sent
    assert len(sent) > 15
    assert both.counts("handshakes.unanswered") == (0, 0)
    assert len(both.alice.saw(events.PeerConnected)) == 1


def test_aes_is_used_where_both_offer_it(pair, bodies):
    """Both sides compute the suite and come to the same one."""
    both = pair(suites=("AESGCM", "ChaChaPoly")).meet()
    sent = both.talk()
    both.world.run(1)
    assert both.to_bob.sessions.current.suite == "AESGCM"
    assert bodies(both.bob) == sent


def test_nobody_answers(pair):
    """Attempts of five seconds, pauses that double; when somebody does answer, it goes on."""
    both = pair()
    both.world.tamper = lambda *_: []
    both.world.dial(both.alice, both.bob)
    both.world.run(60)
    begun = both.alice.engine.counters["handshakes.begun"]
    assert 6 <= begun <= 9
    assert both.alice.engine.counters["handshakes.unanswered"] >= begun - 1
    assert both.alice.saw(events.ConnectFailed) == []
    both.world.tamper = lambda _s, _r, frame: [frame]
    assert both.world.run(15, until=both.connected)


# -- refusals


def test_somebody_else_answers_than_was_asked_for(pair):
    """The pin is checked before message 3: the other learns nothing about us."""
    both = pair()
    carol = both.world.node("carol")
    both.world.trust_each_other()
    route = both.world.dial(both.alice, both.bob, pin=carol.id)
    both.world.run(60)
    assert both.alice.saw(events.ConnectFailed) == [
        events.ConnectFailed(route, both.bob.id, Reason.WRONG_PEER, by_peer=False)
    ]
    assert {frame[1] for _, _, frame in both.world.frames} == {
        frames.MESSAGE_1,
        frames.MESSAGE_2,
    }
    assert both.counts("handshakes.refused.wrong_peer") == (1, 0)
    assert both.bob.happened == []


def test_we_do_not_trust_who_answers(pair):
    """Checked before message 3 too; the stranger is listed for our owner, and only there."""
    both = pair(trust=False)
    both.bob.policy.allow(both.alice.id)
    route = both.world.dial(both.alice, both.bob)
    both.world.run(60)
    assert both.alice.saw(events.StrangerRefused) == [
        events.StrangerRefused(both.bob.id, str(route), Reason.NOT_TRUSTED)
    ]
    assert both.alice.saw(events.ConnectFailed) == [
        events.ConnectFailed(route, both.bob.id, Reason.NOT_TRUSTED, by_peer=False)
    ]
    assert both.alice.engine.associations() == both.bob.engine.associations() == []
    assert both.bob.happened == []


@pytest.mark.parametrize("lost", [0, 2])
@pytest.mark.parametrize(("deny", "reason"), [(False, Reason.NOT_TRUSTED), (True, Reason.REVOKED)])
def test_we_are_not_trusted_and_are_told(pair, deny, reason, lost):
    """Under seal, once we proved ourselves, repeated from cache; nothing is kept of us there."""
    both = pair(trust=False)
    both.alice.policy.allow(both.bob.id)
    if deny:
        both.bob.policy.deny(both.alice.id)
    drop_first(both.world, lost, lambda frame: frame[1] == frames.REFUSAL)
    route = both.world.dial(both.alice, both.bob)
    both.world.run(60)
    assert both.alice.saw(events.ConnectFailed) == [
        events.ConnectFailed(route, both.bob.id, reason, by_peer=True)
    ]
    assert both.bob.saw(events.StrangerRefused) == [
        events.StrangerRefused(both.alice.id, "127.0.0.1", reason)
    ]
    assert both.bob.engine.associations() == []
    assert both.to_bob.sessions.by_id == {}
    assert both.counts("handshakes.begun") == (1, 0)
    assert not both.alice.saw(events.PeerConnected)
    both.world.run(200)
    assert both.alice.engine.next_deadline() == float("inf"), "nothing is tried, or kept"


def test_a_refusal_cannot_be_forged_or_replayed(pair):
    """Only the responder that proved itself can seal it, and only for this exchange."""
    both = pair(trust=False)
    both.alice.policy.allow(both.bob.id)
    both.world.dial(both.alice, both.bob)
    both.world.run(5)
    (old,) = [frame for _, _, frame in both.world.frames if frame[1] == frames.REFUSAL]
    both.bob.policy.allow(both.alice.id)
    receivers = []

    def tamper(sender, _receiver, frame):
        if sender is both.alice and frame[1] == frames.MESSAGE_1:
            receivers.append(frame[12:20])
        if frame[1] == frames.DATA and sender is both.bob:
            return [old[:4] + receivers[-1] + old[12:], old, old[:30], frame]
        return [frame]

    both.world.tamper = tamper
    both.meet()
    assert both.alice.engine.counters["dropped.forged"] == 1
    assert both.counts("sessions.established") == (1, 1)
    both.world.inject(both.alice, both.route, old)
    assert both.alice.engine.counters["dropped.unknown_handshake"] >= 1


def test_a_refusal_after_trust_was_withdrawn_here_is_no_crash(pair):
    """The session that it would end has ended already."""
    both = pair(trust=False)
    both.alice.policy.allow(both.bob.id)
    both.world.delay = lambda _s, _r, frame: 0.5 if frame[1] == frames.REFUSAL else 0.001
    both.world.dial(both.alice, both.bob)
    both.world.run(0.1)
    assert both.to_bob.sessions.by_id
    both.alice.policy.deny(both.bob.id)
    both.alice.engine.trust_changed(both.world.now)
    both.world.collect(both.alice)
    assert both.to_bob.sessions.by_id == {}
    both.world.run(20)
    assert [e.reason for e in both.alice.saw(events.ConnectFailed)] == [Reason.REVOKED]


def test_we_reach_ourselves(pair):
    """Our own endpoint under another address: refused, and not tried again."""
    both = pair()
    route = both.world.dial(both.alice, both.alice)
    both.world.run(60)
    assert both.alice.saw(events.ConnectFailed) == [
        events.ConnectFailed(route, both.alice.id, Reason.OURSELVES, by_peer=False)
    ]
    assert both.alice.engine.associations() == []


@pytest.mark.parametrize(
    "other",
    [{"mesh": "another"}, {"mesh_secret": b"s" * 32}, {"mesh": "a", "mesh_secret": b"t" * 32}],
)
def test_another_mesh_is_met_with_silence(pair, other):
    """Who does not know the mesh gets no byte back, and is counted."""
    both = pair(bob=other)
    both.world.dial(both.alice, both.bob)
    both.world.run(4)
    assert {name for name, _, _ in both.world.frames} == {"alice"}
    assert both.bob.engine.counters["handshakes.other_mesh"] == len(both.world.frames)
    assert both.bob.engine.counters["handshakes.forged"] == 0
    assert both.bob.happened == []


@pytest.mark.parametrize(
    ("wrong", "told"),
    [(-4 * 86_400.0, "alice"), (4 * 86_400.0, "alice"), (300.0, None), (-300.0, None)],
)
def test_a_clock_that_is_wrong_by_days_is_the_stated_reason(pair, wrong, told):
    """A few minutes do not matter; days do, and the log says why."""
    both = pair()
    both.alice.clock_wrong_by = wrong
    both.world.dial(both.alice, both.bob)
    both.world.run(20)
    if told is None:
        assert both.connected()
    else:
        (failed,) = both.alice.saw(events.ConnectFailed)
        assert (failed.reason, failed.by_peer) == (Reason.CLOCK, False)


def test_a_clock_that_only_the_responder_finds_wrong_is_told_to_the_initiator(pair):
    """The delegation of message 3 has ended: proved, so it may know."""
    both = pair()
    both.alice.clock_wrong_by = 1.0
    both.world.dial(both.alice, both.bob)

    def tamper(sender, _receiver, frame):
        if frame[1] == frames.MESSAGE_2:
            both.bob.clock_wrong_by = 10 * 86_400.0
        return [frame]

    both.world.tamper = tamper
    both.world.run(20)
    assert [(e.reason, e.by_peer) for e in both.alice.saw(events.ConnectFailed)] == [
        (Reason.CLOCK, True)
    ]


@pytest.mark.parametrize("who", ["alice", "bob"])
def test_terms_that_are_not_understood_are_refused(pair, monkeypatch, who):
    """By whichever side reads them; the other is told the reason where it proved itself."""
    both = pair()
    honest = terms.ours

    def ours(settings, *at_the_end):
        said = honest(settings, *at_the_end)
        strange = settings is getattr(both, who).settings
        return changed(said, oldest=9, newest=9) if strange else said

    monkeypatch.setattr(terms, "ours", ours)
    both.world.dial(both.alice, both.bob)
    both.world.run(30)
    (failed,) = both.alice.saw(events.ConnectFailed)
    assert (failed.reason, failed.by_peer) == (Reason.VERSION, who == "alice")
    assert both.to_alice is None
    assert not both.bob.saw(events.StrangerRefused)


def test_a_proof_that_does_not_hold_is_not_explained(pair, monkeypatch):
    """Nobody has proved to be anybody, so nobody is told anything."""
    both = pair()
    seed = type(both.alice.identity)(b"x" * 32)
    monkeypatch.setattr(type(both.alice.identity), "sign", lambda _self, _text: bytes(64))
    assert seed.sign(b"") == bytes(64)
    both.world.dial(both.alice, both.bob)
    both.world.run(3)
    assert {frame[1] for _, _, frame in both.world.frames} <= {
        frames.MESSAGE_1,
        frames.MESSAGE_2,
    }
    assert not both.alice.saw(events.PeerConnected)
    assert not both.bob.happened


# -- strangers and limits


def strangers(world, count):
    """First messages of many nodes that know the mesh."""
    mallory = world.node("mallory")
    taken = []
    for number in range(count):
        mallory.engine.connect(Route(dialled=10_000 + number), world.now)
        taken += [transmit.frame for transmit in mallory.engine.transmits()]
    return taken


def test_an_address_gets_a_few_half_open_exchanges(pair):
    """Sixteen are answered, the next is dropped and counted; after five seconds there is room."""
    both = pair()
    firsts = strangers(both.world, HALF_OPEN_PER_ADDRESS + 2)
    answers = []

    def knock(number):
        both.bob.engine.receive(
            firsts[number], Origin(Route(routing_id=b"m%d" % number), "10.0.0.9"), both.world.now
        )
        answers.extend(both.bob.engine.transmits())

    for number in range(HALF_OPEN_PER_ADDRESS + 1):
        knock(number)
    assert len(answers) == HALF_OPEN_PER_ADDRESS
    assert both.bob.engine.counters["dropped.half_open_limit"] == 1
    knock(0)
    assert answers[-1] == answers[0], "a repeated message is answered from cache"
    both.meet()
    both.world.run(constants.HANDSHAKE_TIMEOUT_SECONDS)
    knock(HALF_OPEN_PER_ADDRESS + 1)
    assert len(answers) == HALF_OPEN_PER_ADDRESS + 2


def test_another_psk_is_not_guessed(pair):
    """A first message under a key we do not know is dropped, and counted."""
    both = pair()
    (first,) = strangers(both.world, 1)
    marked = first[:20] + b"invite-9" + first[28:]
    both.world.inject(both.bob, Route(routing_id=b"m"), marked)
    assert both.bob.engine.counters["handshakes.unknown_psk"] == 1
    assert both.world.frames == []


def test_a_closing_node_answers_no_strangers(pair):
    """Nor does it begin or finish anything."""
    both = pair()
    both.world.dial(both.alice, both.bob)
    both.world.run(until=lambda: len(both.world.frames) == 3)
    both.bob.engine.close(both.world.now)
    both.world.run(30)
    both.world.dial(both.bob, both.alice)
    both.world.run(10)
    assert "bob" not in {name for name, _, _ in both.world.frames[3:]}
    assert both.bob.happened == []


def test_closing_ends_our_own_attempts(pair):
    """Message 1 is not repeated any more, and no deadline is left."""
    both = pair()
    both.world.tamper = lambda *_: []
    both.world.dial(both.alice, both.bob)
    both.world.run(0.1)
    both.alice.engine.close(both.world.now)
    both.world.run(60)
    assert len(both.world.frames) == 0
    assert both.alice.engine.counters["handshakes.begun"] == 1
    assert both.alice.engine.next_deadline() == float("inf")


def test_stray_handshake_frames_are_counted(pair):
    """Messages 2 and 3 for nobody, and a late message 2 for an exchange that went on."""
    both = pair()
    both.meet()
    by_kind = {frame[1]: frame for _, _, frame in both.world.frames}
    both.world.inject(both.alice, both.route, by_kind[frames.MESSAGE_2])
    both.world.run(6)
    both.world.inject(both.bob, Route(routing_id=b"m"), by_kind[frames.MESSAGE_3])
    assert both.counts("dropped.unknown_handshake") == (1, 1)
    assert both.counts("sessions.established") == (1, 1)


def test_another_message_3_in_the_same_exchange_is_ignored(pair):
    """The first one that opened counts."""
    both = pair()
    extra = []

    def tamper(_sender, _receiver, frame):
        if frame[1] == frames.MESSAGE_3 and not extra:
            extra.append(frame[:-1] + bytes([frame[-1] ^ 1]))
            return [frame, extra[0]]
        return [frame]

    both.world.tamper = tamper
    both.meet()
    assert both.counts("sessions.established") == (1, 1)


def test_a_connection_lost_in_the_middle_ends_the_exchange(pair):
    """Nothing is sent on it any more."""
    both = pair()
    both.world.tamper = lambda sender, _r, frame: [frame] if sender is both.alice else []
    route = both.world.dial(both.alice, both.bob)
    both.world.run(0.1)
    sent = len(both.world.frames)
    both.world.cut(both.alice, route)
    both.world.run(30)
    assert len(both.world.frames) == sent
    assert both.alice.engine.counters["handshakes.begun"] == 1


def test_one_exchange_with_a_peer_at_a_time(pair):
    """A second connection to the same pin waits, then finds its peer by a second exchange."""
    both = pair()
    first = both.world.dial(both.alice, both.bob, pin=both.bob.id)
    second = both.world.dial(both.alice, both.bob, pin=both.bob.id)
    assert both.alice.engine.counters["handshakes.begun"] == 1
    both.world.run(5)
    assert {e.route for e in both.alice.saw(events.RouteAuthenticated)} == {first, second}
    assert both.same_session()
