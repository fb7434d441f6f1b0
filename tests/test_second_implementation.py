"""An engine and a peer that was written from docs/SPEC.md alone understand each other."""

from random import Random

import pytest

import spec_peer
from handshake.identity import Identity, NodeId
from mesh.engine import events
from mesh.engine.engine import Engine
from mesh.engine.settings import Settings
from mesh.model import Now, Origin, Route
from mesh.trust.policy import Policy
from mesh.wire import messages
from spec_cbor import encode
from spec_peer import SecondNode
from spec_wire import packed_run, take_apart

NOON = 1_800_000_000
BACK = Route(routing_id=b"back")
DIALLED = Route(dialled=1)
SUITES = ("AESGCM", "ChaChaPoly")


class Meeting:
    """Both sides, and the connection between them; `route`: the engine's end of it."""

    def __init__(self, suites=SUITES, *, route=BACK, trusted=True):
        self.other = SecondNode("other", "team", NOON + 1000, suites)
        policy = Policy()
        if trusted:
            policy.allow(NodeId(self.other.id))
        self.engine = Engine(
            Identity(b"engine".ljust(32, b".")),
            Settings(instance=b"run of engine...", mesh="team", suites=SUITES),
            policy,
            random_bytes=Random("engine").randbytes,
        )
        self.route = route
        self.elapsed = 1000.0
        self.happened: list[events.Event] = []
        self.cut = False

    @property
    def now(self):
        """The engine's moment."""
        return Now(self.elapsed, NOON + self.elapsed)

    def meet(self):
        """Run an exchange, begun by whoever dialled."""
        if self.route is DIALLED:
            self.engine.connect(DIALLED, self.now, pin=NodeId(self.other.id))
        else:
            self.other.begin()
        self.talk()
        return self

    def talk(self):
        """Carry frames both ways until nobody has any."""
        while True:
            to_engine, self.other.frames_out = self.other.frames_out, []
            for frame in to_engine:
                self.engine.receive(frame, Origin(self.route, "10.0.0.1"), self.now)
            happened = self.engine.events()
            self.happened += happened
            for event in happened:
                if isinstance(event, events.RunReceived):
                    self.engine.finished(event.delivery, event.batch, self.now)
            to_other = self.engine.transmits()
            for transmit in to_other:
                assert transmit.route == self.route
                if not self.cut:
                    self.other.receive(bytes(transmit.frame))
            if not to_engine and not to_other and not happened:
                return

    def wait(self, seconds):
        """Let time pass for the engine, in small steps."""
        end = self.elapsed + seconds
        while self.elapsed < end:
            self.elapsed = max(self.elapsed, min(end, self.engine.next_deadline()))
            self.engine.advance(self.now)
            self.talk()

    @property
    def delivery(self):
        """What the engine has with the other."""
        return self.engine.association(NodeId(self.other.id)).delivery

    def saw(self, kind):
        """Events of one kind."""
        return [event for event in self.happened if isinstance(event, kind)]

    def got(self):
        """What the engine's handlers would get."""
        return [
            (run.kind, run.subject, item)
            for run in self.saw(events.RunReceived)
            for item in messages.unpacked(run.bodies)
        ]

    def dropped(self):
        """Counters of whatever the engine did not like."""
        words = ("dropped", "ignored", "forged", "refused")
        return {
            name: count
            for name, count in self.engine.counters.items()
            if count and any(word in name for word in words)
        }


@pytest.mark.parametrize("route", [BACK, DIALLED], ids=["it dials", "it is dialled"])
@pytest.mark.parametrize("suites", [SUITES, ("ChaChaPoly",)], ids=["AES", "ChaCha"])
def test_they_meet(route, suites):
    """Whoever begins, both confirm one session with the same suite and generation (6, 9.2)."""
    meeting = Meeting(suites, route=route).meet()
    (confirmed,) = meeting.saw(events.SessionConfirmed)
    assert confirmed.peer_id == meeting.other.id
    assert confirmed.initiator is (route is DIALLED)
    assert confirmed.suite == meeting.other.current.suite == suites[0]
    assert confirmed.generation == meeting.other.current.generation == 1
    first, _ = meeting.other.control[0]
    assert first == (spec_peer.PING if route is DIALLED else spec_peer.PONG)
    assert meeting.dropped() == {}


def test_a_stranger_is_told_why():
    """The engine refuses who is not trusted, under seal (6.9.2)."""
    meeting = Meeting(trusted=False).meet()
    assert meeting.other.refused_because == "not trusted"
    assert meeting.saw(events.StrangerRefused)


@pytest.mark.parametrize("route", [BACK, DIALLED], ids=["it dials", "it is dialled"])
def test_messages_of_every_form_arrive(route):
    """Raw, packed and bulk messages arrive once, in order, and are acknowledged (10 to 12)."""
    meeting = Meeting(route=route).meet()
    other = meeting.other
    raw = encode([spec_peer.TELL, "log", [b"one", b"two"]])
    packed = packed_run(spec_peer.TELL, "log", [{"n": 3}, None])
    request = packed_run(spec_peer.REQUEST, "sum", [[1, 500, [1, 2]]])
    other.send([raw, packed, request])
    other.send([packed_run(spec_peer.TELL, "file", [None])], b"beside")
    other.send([packed_run(spec_peer.REQUEST, "sum", [[2, 500, None]])], b"beside")
    other.send([packed_run(spec_peer.CANCEL, "sum", [2])])
    meeting.talk()
    meeting.wait(0.1)
    tell, ask = spec_peer.TELL, spec_peer.REQUEST
    assert meeting.got() == [
        *((tell, "log", item) for item in (b"one", b"two", {"n": 3}, None)),
        *((ask, "sum", [1, 500, [1, 2]]), (tell, "file", b"beside")),
        *((ask, "sum", [2, 500, b"beside"]), (spec_peer.CANCEL, "sum", 2)),
    ]
    assert other.unacknowledged == {}
    # All is handled, so all credit has come back: both sides counted the same cost (11.4).
    assert other.used > 0
    assert other.credit == meeting.engine.association(NodeId(other.id)).delivery.incoming.credit
    assert other.credit == 4 * 1024 * 1024 + other.used
    assert meeting.dropped() == {}


def test_messages_come_back():
    """What the engine sends is understood, acknowledged and counted alike (11.3, 11.4)."""
    meeting = Meeting().meet()
    outgoing = meeting.delivery.outgoing
    window = outgoing.credit_left
    receipts = [
        outgoing.offer(messages.TELL, "log", b"one", raw=True),
        outgoing.offer(messages.REPLY, "", messages.encode_reply(1, 0, 3)),
        outgoing.offer_bulk(messages.TELL, "file", b"\xf6", b"beside" * 1000),
    ]
    meeting.engine.flush(meeting.delivery, meeting.now)
    meeting.talk()
    assert meeting.other.got == [
        (spec_peer.TELL, "log", b"one"),
        (spec_peer.REPLY, "", [1, 0, 3]),
        (spec_peer.TELL, "file", b"beside" * 1000),
    ]
    for kind in (events.Delivered, events.Handled):
        assert {id(r) for event in meeting.saw(kind) for r in event.receipts} == set(
            map(id, receipts)
        )
    assert outgoing.credit_left == window
    assert outgoing.idle


def test_a_missing_batch_is_asked_for():
    """What comes early is held, and a GAP names what is missing (11.2.1, 13.4)."""
    meeting = Meeting().meet()
    other = meeting.other
    for number in range(4):
        other.send([encode([spec_peer.TELL, "log", [b"%d" % number]])])
    del other.frames_out[:2]
    meeting.talk()
    assert (spec_peer.GAP, [1, 2]) in other.control
    assert [item for _, _, item in meeting.got()] == [b"0", b"1", b"2", b"3"]
    meeting.wait(0.1)
    assert other.unacknowledged == {}


@pytest.mark.parametrize("route", [BACK, DIALLED], ids=["it dials", "it is dialled"])
def test_sessions_are_renewed_by_either_side(route):
    """A fresh exchange begun by one, then one begun by the other; messages flow on (8)."""
    meeting = Meeting(route=route).meet()
    meeting.other.renew()
    meeting.talk()
    assert meeting.other.current.generation == 2
    meeting.wait(140)
    assert meeting.other.current.generation >= 3
    fresh = [event for event in meeting.saw(events.SessionConfirmed) if event.fresh]
    assert {event.initiator for event in fresh} == {True, False}
    meeting.other.send([encode([spec_peer.TELL, "log", [b"on new keys"]])])
    meeting.talk()
    assert meeting.got() == [(spec_peer.TELL, "log", b"on new keys")]
    assert len(meeting.saw(events.PeerConnected)) == 1
    assert meeting.dropped() == {}


@pytest.mark.parametrize("route", [BACK, DIALLED], ids=["it dials", "it is dialled"])
def test_an_exchange_anew_goes_on_with_the_delivery(route):
    """What was not acknowledged is sent again on the new session, and arrives once (11.6)."""
    meeting = Meeting(route=route).meet()
    other = meeting.other
    other.send([encode([spec_peer.TELL, "log", [b"arrives"]])])
    meeting.talk()
    other.send([encode([spec_peer.TELL, "log", [b"is lost"]])])
    other.frames_out.clear()
    meeting.delivery.outgoing.offer(messages.TELL, "log", b"is lost as well", raw=True)
    meeting.cut = True
    meeting.engine.flush(meeting.delivery, meeting.now)
    meeting.talk()
    if route is DIALLED:
        # HELLO is lost, and message 1 follows it (14.1.1).
        meeting.meet().wait(0.35)
    meeting.cut = False
    if route is BACK:
        meeting.meet()
    meeting.wait(1)
    assert other.current.generation == 2
    assert [item for _, _, item in meeting.got()] == [b"arrives", b"is lost"]
    assert [item for _, _, item in other.got] == [b"is lost as well"]
    assert len(meeting.saw(events.PeerConnected)) == 1


def test_a_new_instance_takes_over():
    """The engine ends the delivery with the older run, and tells that one (15.1)."""
    meeting = Meeting().meet()
    older = meeting.other
    meeting.other = SecondNode("other", "team", NOON + 1000, SUITES, run="second")
    meeting.other.begin()
    receive = meeting.other.receive

    def sort_out(frame):
        for_older = take_apart(frame).receiver_session in older.sessions
        (older.receive if for_older else receive)(frame)

    meeting.other.receive = sort_out
    meeting.talk()
    assert (spec_peer.CLOSE, "superseded") in older.control
    (ended,) = meeting.saw(events.DeliveryEnded)
    assert ended.restarted
    meeting.other.send([encode([spec_peer.TELL, "log", [b"new"]])])
    meeting.talk()
    meeting.wait(0.1)
    assert [item for _, _, item in meeting.got()] == [b"new"]
    assert meeting.other.unacknowledged == {}


def test_who_was_forgotten_begins_another_epoch():
    """After ten minutes of silence WELCOME says a larger epoch, and both count from 1 (11.6)."""
    meeting = Meeting().meet()
    other = meeting.other
    other.send([encode([spec_peer.TELL, "log", [b"before"]])])
    meeting.talk()
    meeting.cut = True
    meeting.wait(700)
    (ended,) = meeting.saw(events.DeliveryEnded)
    assert not ended.restarted
    meeting.cut = False
    meeting.meet()
    assert other.epoch == 1
    other.send([encode([spec_peer.TELL, "log", [b"after"]])])
    meeting.talk()
    meeting.wait(0.1)
    assert (other.number, other.unacknowledged) == (1, {})
    assert [item for _, _, item in meeting.got()] == [b"before", b"after"]


def test_a_new_path_is_challenged():
    """A frame by another path is answered with CHALLENGE there; the answer verifies it (14.2)."""
    meeting = Meeting().meet()
    association = meeting.engine.association(NodeId(meeting.other.id))
    meeting.route = Route(routing_id=b"another")
    assert meeting.route not in association.routes
    meeting.other.say(spec_peer.HELLO, 77)
    meeting.talk()
    assert (spec_peer.HELLO_ANSWER, 77) in meeting.other.control
    assert [kind for kind, _ in meeting.other.control].count(spec_peer.CHALLENGE) == 1
    assert meeting.route in association.routes


def test_probes_are_answered():
    """PROBE brings the newest numbers (13.6)."""
    meeting = Meeting().meet()
    before = len(meeting.other.bodies)
    meeting.other.say(spec_peer.PROBE)
    meeting.talk()
    (answer,) = meeting.other.bodies[before:]
    assert (answer.batch, answer.runs, answer.credit) == (0, [], 4 * 1024 * 1024)
    assert meeting.dropped() == {}


@pytest.mark.parametrize("engine_closes", [True, False])
def test_either_side_closes(engine_closes):
    """CLOSE is answered with CLOSE, and nothing is left (15.2)."""
    meeting = Meeting().meet()
    if engine_closes:
        meeting.engine.close(meeting.now)
        meeting.talk()
        assert (spec_peer.CLOSE, "closed") in meeting.other.control
        meeting.other.say(spec_peer.CLOSE, "closed")
    else:
        meeting.other.say(spec_peer.CLOSE, "closed")
    meeting.talk()
    assert (spec_peer.CLOSE, "closed") in meeting.other.control
    assert meeting.saw(events.PeerClosed)
    assert meeting.engine.association(NodeId(meeting.other.id)).sessions.by_id == {}
