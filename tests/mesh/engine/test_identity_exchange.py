"""Identities nobody can borrow, between whole engines: relays, downgrades, loss, and many days.

The table of all sentences stands in `tests/handshake/test_identity_exchange`.
"""

from itertools import pairwise

import pytest

from handshake.constants import Reason
from mesh import constants
from mesh.engine import events, terms
from mesh.model import Route
from mesh.session.states import State
from mesh.wire import frames, messages
from said_terms import changed

HANDSHAKE = (frames.MESSAGE_1, frames.MESSAGE_2, frames.MESSAGE_3)
# Fifty of every kind take a quarter of a minute.
GENERATIONS = pytest.mark.parametrize("generations", [8, pytest.param(50, marks=pytest.mark.slow)])


# -- a relay between two honest nodes


def test_a_relay_that_only_carries_is_the_network(pair):
    """Both believe in each other's id and hold one handshake hash; the relay holds nothing."""
    both = pair().meet()
    ours, theirs = both.to_bob.sessions.current, both.to_alice.sessions.current
    assert (ours.peer_id, theirs.peer_id) == (both.bob.id, both.alice.id)
    assert ours.established.handshake_hash == theirs.established.handshake_hash


@pytest.mark.parametrize("kind", [*HANDSHAKE, frames.DATA])
def test_a_relay_that_changes_a_message_each_time_leaves_nobody_connected(pair, kind):
    """Whichever message it is, in both directions: no side confirms a session with the other."""
    both = pair()
    both.world.tamper = lambda _s, _r, frame: [
        frame[:-1] + bytes([frame[-1] ^ 1]) if frame[1] == kind else frame
    ]
    both.world.dial(both.alice, both.bob, pin=both.bob.id)
    both.world.run(30)
    for node in (both.alice, both.bob):
        assert not node.saw(events.PeerConnected)
        assert not node.saw(events.SessionConfirmed)
        for association in node.engine.associations():
            assert association.sessions.current is None
            states = {session.state for session in association.sessions.by_id.values()}
            assert states <= {State.UNCONFIRMED}


def test_a_relay_with_an_identity_of_its_own_is_that_identity(pair):
    """Dialled in bob's place it is refused by the pin; dialling bob it is itself, not alice."""
    both = pair()
    mallory = both.world.node("mallory")
    both.world.trust_each_other()
    route = both.world.dial(both.alice, mallory, pin=both.bob.id)
    both.world.dial(mallory, both.bob)
    both.world.run(10)
    assert both.alice.saw(events.ConnectFailed) == [
        events.ConnectFailed(route, mallory.id, Reason.WRONG_PEER, by_peer=False)
    ]
    assert [a.peer_id for a in both.bob.engine.associations()] == [mallory.id]
    assert both.alice.engine.associations() == []


@pytest.mark.parametrize("kind", HANDSHAKE)
def test_a_handshake_message_given_back_to_its_sender_makes_no_session(pair, kind):
    """Instead of being passed on, and beside it: reflected frames are counted or refused."""
    both = pair()
    away = Route(routing_id=b"mirror")

    def reflect(sender, _receiver, frame):
        if frame[1] != kind:
            return [frame]
        back = both.route if sender is both.alice else away
        both.world.later(0.001, lambda: both.world.inject(sender, back or away, frame))
        return []

    both.world.tamper = reflect
    both.route = both.world.dial(both.alice, both.bob)
    both.world.run(20)
    for node in (both.alice, both.bob):
        assert not node.saw(events.SessionConfirmed)
        assert node.id not in {a.peer_id for a in node.engine.associations()}
    both.world.tamper = lambda _s, _r, frame: [frame]
    assert both.world.run(20, until=both.connected), "and it has done no harm"


# -- downgrades


@pytest.mark.parametrize(
    ("place", "value"),
    [(0, 0), (0, 2), (0, 255), (2, 1), (3, 1), (12, 1), (19, 1), (20, 1), (27, 1)],
    ids=[
        "version 0",
        "version 2",
        "version 255",
        "flags, first byte",
        "flags, last byte",
        "our session, first byte",
        "our session, last byte",
        "psk id, first byte",
        "psk id, last byte",
    ],
)
def test_a_clear_field_of_message_1_that_is_changed_leaves_nobody_connected(pair, place, value):
    """All of them are in the prologue: a version or a key that was talked down opens nothing."""
    both = pair()

    def tamper(_sender, _receiver, frame):
        if frame[1] != frames.MESSAGE_1:
            return [frame]
        changed = bytearray(frame)
        changed[place] = changed[place] ^ value if place else value
        return [bytes(changed)]

    both.world.tamper = tamper
    both.world.dial(both.alice, both.bob)
    both.world.run(4)
    assert "bob" not in {sender for sender, _, _ in both.world.frames}
    assert not both.alice.saw(events.SessionConfirmed)
    both.world.tamper = lambda _s, _r, frame: [frame]
    assert both.world.run(20, until=both.connected)


@pytest.mark.parametrize("kind", [frames.MESSAGE_2, frames.MESSAGE_3])
@pytest.mark.parametrize("version", [0, 2])
def test_another_version_on_a_later_message_is_no_answer(pair, kind, version):
    """Both sides look at the version of each frame, not of the first alone."""
    both = pair()
    both.world.tamper = lambda _s, _r, frame: [
        bytes([version]) + frame[1:] if frame[1] == kind else frame
    ]
    both.world.dial(both.alice, both.bob)
    both.world.run(10)
    assert not both.alice.saw(events.SessionConfirmed)
    assert not both.bob.saw(events.SessionConfirmed)
    assert sum(both.counts("dropped.malformed")) >= 1


@pytest.mark.parametrize("who", ["alice", "bob"])
@pytest.mark.parametrize(
    "said",
    [
        {"oldest": 0, "newest": 0},
        {"oldest": 2, "newest": 2},
        {"oldest": 2, "newest": 1},
        {"oldest": 2, "newest": 255},
        {"suites": 0},
        {"suites": terms.SUITE_BITS["AESGCM"]},
        {"suites": 0xFC},
    ],
    ids=str,
)
def test_a_downgrade_that_is_asked_for_is_refused(pair, monkeypatch, who, said):
    """By whichever side hears it: without a version or suite of ours there is no session."""
    both = pair()
    honest = terms.ours

    def ours(settings, *at_the_end):
        strange = settings is getattr(both, who).settings
        return changed(honest(settings, *at_the_end), **(said if strange else {}))

    monkeypatch.setattr(terms, "ours", ours)
    both.world.dial(both.alice, both.bob)
    both.world.run(20)
    (failed,) = both.alice.saw(events.ConnectFailed)
    assert (failed.reason, failed.by_peer) == (Reason.VERSION, who == "alice")
    assert not both.bob.saw(events.SessionConfirmed)


@pytest.mark.parametrize("kind", HANDSHAKE)
def test_nobody_on_the_way_can_talk_the_suite_down(pair, kind):
    """Both offer AES-256-GCM: each byte of each message changed once, and they use it."""
    both = pair(suites=("AESGCM", "ChaChaPoly"))

    def tamper(_sender, _receiver, frame):
        if frame[1] != kind:
            return [frame]
        places = range(frames.HANDSHAKE_HEADER_BYTES, len(frame))
        changed = [frame[:at] + bytes([frame[at] ^ 0xFF]) + frame[at + 1 :] for at in places]
        return [*changed, frame]

    both.world.tamper = tamper
    both.meet()
    used = {a.sessions.current.suite for a in (both.to_bob, both.to_alice)}
    assert used == {"AESGCM"}


# -- every message lost, repeated and reordered, both dialling, up to fifty generations


class Trouble:
    """What happens to the frames of one kind: the first of each exchange, or all of them."""

    def __init__(self, both, kinds, kind, fault):
        self.both = both
        self._kinds = kinds
        self._kind = kind
        self._fault = fault
        self._seen = set()
        self.hits = 0
        both.world.tamper = self._tamper
        both.world.delay = self._delay

    def _hit(self, frame):
        kind = frame[1] if frame[1] != frames.DATA else self._kinds.get(frame)
        return kind == self._kind

    def _tamper(self, sender, _receiver, frame):
        if not self._hit(frame) or self._fault == "reordered":
            return [frame]
        if self._fault == "repeated":
            self.hits += 1
            return [frame, frame, frame]
        # A message that is repeated is the same frame, or a frame of the same session.
        session = frame if frame[1] in HANDSHAKE else frame[4:12]
        if (sender.name, session) in self._seen:
            return [frame]
        self._seen.add((sender.name, session))
        self.hits += 1
        return []

    def _delay(self, _sender, _receiver, frame):
        if self._fault == "reordered" and self._hit(frame):
            self.hits += 1
            # Behind the repeat that is sent after 250 ms, and behind all that is said meanwhile.
            return 0.4 if self.hits % 2 else 0.002
        return 0.001


XX_MESSAGES = {
    "message 1": frames.MESSAGE_1,
    "message 2": frames.MESSAGE_2,
    "message 3": frames.MESSAGE_3,
    "welcome": messages.WELCOME,
    "ping": messages.PING,
}


def say(both, sent):
    """One message each way, if both can speak."""
    if both.to_bob is None or both.to_alice is None:
        return
    if both.to_bob.delivery is None or both.to_alice.delivery is None:
        return
    sent.append(b"%d" % len(sent))
    both.world.send(both.alice, both.bob, "talk", sent[-1])
    both.world.send(both.bob, both.alice, "talk", sent[-1])


@GENERATIONS
@pytest.mark.parametrize("fault", ["lost", "repeated", "reordered"])
@pytest.mark.parametrize("name", XX_MESSAGES)
def test_both_dial_at_once_for_many_generations(pair, kinds, bodies, name, fault, generations):
    """Two whole handshakes cross each time: both send on one session, and nothing is lost."""
    both = pair()
    trouble = Trouble(both, kinds, XX_MESSAGES[name], fault)
    sent, old = [], []
    for _ in range(generations):
        fresh = [
            (both.alice, both.world.dial(both.alice, both.bob)),
            (both.bob, both.world.dial(both.bob, both.alice)),
        ]
        for _ in range(8):
            both.world.run(0.1)
            say(both, sent)
        assert both.world.run(8, until=both.same_session), "both send on one session"
        for node, route in old:
            both.world.cut(node, route)
        old = fresh
    assert both.world.run(20, until=lambda: len(bodies(both.bob)) == len(sent))
    both.world.run(2)
    assert bodies(both.bob) == bodies(both.alice) == sent
    assert len(sent) >= 7 * generations
    assert both.same_session()
    assert both.to_bob.sessions.current.generation >= generations
    assert trouble.hits >= generations
    assert not both.alice.saw(events.DeliveryEnded) + both.bob.saw(events.DeliveryEnded)


FRESH_MESSAGES = {"first": messages.FRESH_1, "second": messages.FRESH_2, "ping": messages.PING}


@GENERATIONS
@pytest.mark.parametrize("fault", ["lost", "repeated", "reordered"])
@pytest.mark.parametrize("name", FRESH_MESSAGES)
def test_both_renew_at_once_for_many_generations(
    pair, kinds, bodies, monkeypatch, name, fault, generations
):
    """The same for fresh exchanges that cross inside a session; no handshake comes to help."""
    monkeypatch.setattr(constants, "INITIATOR_PATIENCE", 1.0)
    both = pair(rekey_after_seconds=0.5).meet()
    trouble = Trouble(both, kinds, FRESH_MESSAGES[name], fault)
    sent = []
    for _ in range(2000):
        say(both, sent)
        both.world.run(0.1)
        if both.to_bob.sessions.current.generation > generations:
            break
    both.world.run(3)
    assert both.to_bob.sessions.current.generation > generations
    assert bodies(both.bob) == bodies(both.alice) == sent
    assert both.same_session()
    assert both.counts("sessions.established") == (1, 1)
    assert both.counts("handshakes.begun") == (1, 0)
    assert trouble.hits >= generations


# -- static keys


DAY = 24 * 3600.0


@pytest.mark.parametrize(
    ("day", "clock"),
    [(600.0, 0.0), (600.0, -1.0), (600.0, 1.0), pytest.param(DAY, -1.0, marks=pytest.mark.slow)],
)
def test_static_keys_rotate_each_day_without_a_gap(pair, bodies, monkeypatch, day, clock):
    """Three days: every message arrives at once, and each day's static keys are new at the peer.

    Whether the clocks on the walls go right, or are set by a second each day.
    """
    monkeypatch.setattr(constants, "SESSION_CHAIN_SECONDS", day)
    monkeypatch.setattr("mesh.engine.context.STATIC_KEY_SECONDS", day)
    both = pair().meet()
    began, seen, sent = both.world.elapsed, {}, []
    steps = 144
    for number in range(3 * steps + 2):
        for node in (both.alice, both.bob):
            node.clock_wrong_by = clock * (number // (steps // 2))
        say(both, sent)
        assert both.world.run(1.0, until=lambda: bodies(both.bob)[-1:] == sent[-1:])
        for who, association in (("bob", both.to_bob), ("alice", both.to_alice)):
            key = who, association.sessions.current.established.remote_static
            first, _ = seen.setdefault(key, (number, number))
            seen[key] = first, number
        both.world.run(day / steps - (both.world.elapsed - began) % (day / steps))
    assert bodies(both.bob) == bodies(both.alice) == sent
    for who in ("alice", "bob"):
        spans = sorted(span for (name, _), span in seen.items() if name == who)
        assert len(spans) == 4, "three days, and the beginning of the fourth"
        assert all(last - first <= steps for first, last in spans)
        assert all(one[1] <= other[0] for one, other in pairwise(spans))
    for node in (both.alice, both.bob):
        assert not node.saw(events.PresenceChanged)
        assert not node.saw(events.DeliveryEnded)
        assert node.engine.counters["handshakes.unanswered"] == 0
