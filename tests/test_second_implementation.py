"""An engine and a peer that was written from docs/SPEC.md alone understand each other."""

import pytest

import spec_large
import spec_peer
from handshake.identity import NodeId
from meetings import BACK, DIALLED, NOON, SUITES, Meeting
from mesh.engine import events
from mesh.exchange.lines import Message
from mesh.model import Route
from mesh.wire import messages
from mesh.wire.cbor import dumps
from spec_cbor import encode
from spec_peer import NESTED_REQUESTS, SecondNode
from spec_wire import packed_run, take_apart


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
    other.send([packed_run(spec_peer.TELL, "file", [2, 0, 4])], b"beside")
    other.send([packed_run(spec_peer.REQUEST, "sum", [[2, 500, 6]])], b"beside")
    other.send([packed_run(spec_peer.CANCEL, "sum", [2])])
    meeting.talk()
    meeting.wait(0.1)
    tell, ask = spec_peer.TELL, spec_peer.REQUEST
    assert meeting.got() == [
        *((tell, "log", item) for item in (b"one", b"two", {"n": 3}, None)),
        (ask, "sum", [1, 500, [1, 2]]),
        *((tell, "file", item) for item in (b"be", b"", b"side")),
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
    window = outgoing.credit.left(0)
    receipts = [
        outgoing.offer(messages.TELL, "log", b"one", raw=True),
        outgoing.offer(messages.REPLY, "", messages.encode_reply(1, 0, 3)),
        outgoing.offer(messages.TELL, "file", dumps(6000), b"beside" * 1000),
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
    assert outgoing.credit.left(0) == window
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


# -- large messages


def test_large_messages_arrive():
    """In chunks of any size, beside the array or in it; all room returns (12.6 to 12.9)."""
    meeting = Meeting().meet()
    departures = meeting.other.departures
    body = bytes(range(256)) * 40
    texts = {"lines": ["a text that is long enough"] * 200}
    sent = [
        (spec_peer.TELL, "file", body),
        (spec_peer.REQUEST, "sum", [1, 500, body]),
        (spec_peer.TELL, "texts", texts),
        (NESTED_REQUESTS[3], "sum", [2, 500, texts]),
        (spec_peer.REPLY, "", [9, 0, body]),
    ]
    for number, (kind, subject, message) in enumerate(sent):
        departures.announce(kind, subject, message, 1000 + 700 * number, inside=number % 2 == 1)
    meeting.talk()
    while departures.lanes:
        departures.take_turns()
        meeting.talk()
    assert sorted(meeting.got(), key=sent.index) == sent
    meeting.wait(0.1)
    assert meeting.other.unacknowledged == {}
    assert meeting.other.nested == {}
    assert meeting.other.credit == 4 * 1024 * 1024
    assert meeting.delivery.incoming.assembly.promised_bytes == 0
    assert meeting.dropped() == {}


def test_a_large_message_holds_up_its_subject_alone():
    """Later messages of its subject come after it, others between its chunks (12.6.4)."""
    meeting = Meeting().meet()
    departures = meeting.other.departures

    def small(subject, text):
        departures.tell(subject, encode([spec_peer.TELL, subject, [text]]))

    small("file", b"before")
    departures.announce(spec_peer.TELL, "file", b"one" * 2000, 1000)
    small("file", b"behind one")
    departures.announce(spec_peer.TELL, "file", b"two" * 1000, 1000)
    small("file", b"behind two")
    meeting.talk()
    while departures.lanes:
        small("log", b"between")
        departures.take_turns()
        meeting.talk()
    assert [item for _, subject, item in meeting.got() if subject == "file"] == [
        *(b"before", b"one" * 2000, b"behind one", b"two" * 1000, b"behind two"),
    ]
    assert [subject for _, subject, _ in meeting.got()][:7] == ["file", *["log"] * 6]
    assert meeting.dropped() == {}


def test_large_messages_come_back():
    """The engine's are granted, put together and handled, in the order it promises (12.6)."""
    meeting = Meeting().meet()
    tell, length = messages.TELL, dumps(50_000)
    files = [bytes([n]) * 50_000 for n in range(3)]
    numbers = list(range(20_000))
    meeting.say(
        Message(tell, "file", b"before", raw=True),
        Message(tell, "file", length, bulk=files[0]),
        Message(tell, "file", b"behind one", raw=True),
        Message(tell, "file", length, bulk=files[1]),
        Message(tell, "log", b"between", raw=True),
        Message(messages.REQUEST, "sum", messages.encode_request(1, 500, numbers[:9000])),
        Message(messages.request_kind(2), "sum", messages.encode_request(2, 500, numbers[:4000])),
        Message(messages.REPLY, "", messages.encode_reply(3, 0, 50_000), bulk=files[2]),
    )
    meeting.talk()
    assert meeting.waiting == []
    got = meeting.other.got
    assert [item for _, subject, item in got if subject == "file"] == [
        *(b"before", files[0], b"behind one", files[1]),
    ]
    assert [subject for _, subject, _ in got][:2] == ["file", "log"]
    assert (messages.REQUEST, "sum", [1, 500, numbers[:9000]]) in got
    assert (messages.request_kind(2), "sum", [2, 500, numbers[:4000]]) in got
    assert (messages.REPLY, "", [3, 0, files[2]]) in got
    assert len(got) == 8
    assert meeting.delivery.outgoing.idle
    assert meeting.other.arrivals.empty
    meeting.wait(0.1)
    assert meeting.dropped() == {}


def test_lost_chunks_come_again():
    """A GAP names them like any other batch, and the message arrives once, whole."""
    meeting = Meeting().meet()
    departures = meeting.other.departures
    departures.announce(spec_peer.TELL, "file", bytes(range(200)), 20)
    meeting.talk()
    while departures.lanes:
        departures.take_turns()
    del meeting.other.frames_out[2:5]
    meeting.talk()
    assert meeting.got() == [(spec_peer.TELL, "file", bytes(range(200)))]
    meeting.wait(0.1)
    assert meeting.other.unacknowledged == {}


def test_an_abandoned_message_leaves_its_room():
    """Before it is granted, among its chunks, and from either side (12.10)."""
    meeting = Meeting().meet()
    other, outgoing = meeting.other, meeting.delivery.outgoing
    lanes = [other.departures.announce(spec_peer.TELL, "file", b"." * 5000, 1000) for _ in range(3)]
    other.departures.tell("file", encode([spec_peer.TELL, "file", [b"behind them"]]))
    other.departures.abandon(lanes[1])
    meeting.talk()
    other.departures.take_turns()
    meeting.talk()
    assert meeting.delivery.incoming.assembly.promised_bytes == 10_000
    other.departures.abandon(lanes[0])
    other.departures.abandon(lanes[2])
    meeting.talk()
    assert meeting.got() == [(spec_peer.TELL, "file", b"behind them")]
    assert meeting.delivery.incoming.assembly.promised_bytes == 0

    request = messages.encode_request(1, 500, 50_000)
    meeting.say(Message(messages.REQUEST, "sum", request, bulk=b"." * 50_000, call_id=1))
    assert outgoing.abandon(1)
    meeting.say(Message(messages.REQUEST, "sum", request, bulk=b"!" * 50_000, call_id=2))
    meeting.talk()
    assert other.got == [(spec_peer.REQUEST, "sum", [1, 500, b"!" * 50_000])]
    assert other.arrivals.empty
    assert outgoing.idle
    assert meeting.dropped() == {}


@pytest.mark.parametrize(
    ("kind", "item"),
    [
        (spec_large.LARGE, [1, spec_peer.TELL, 5]),
        (spec_large.LARGE, [1, spec_peer.TELL, "5", b""]),
        (spec_large.LARGE, [1, spec_peer.TELL, 5, None]),
        (spec_large.GRANT, None),
        (spec_large.GRANT, [1]),
        (spec_large.CHUNK, 1),
        (spec_large.CHUNK, [1, "text"]),
        (spec_large.ABANDON, b"1"),
    ],
)
def test_items_of_another_form_are_ignored(kind, item):
    """They count as handled, with what follows them in their run (12.10.2)."""
    meeting = Meeting().meet()
    meeting.other.send([packed_run(kind, "file", [item, item])])
    meeting.other.send([encode([spec_peer.TELL, "log", [b"goes on"]])])
    meeting.talk()
    assert meeting.got() == [(spec_peer.TELL, "log", b"goes on")]
    assert meeting.dropped() == {"dropped.malformed": 1}
    meeting.wait(0.1)
    assert meeting.other.credit == 4 * 1024 * 1024 + meeting.other.used


# -- requests inside others


def test_nested_requests_go_both_ways():
    """Of each depth, in batches of their own (12.5)."""
    meeting = Meeting().meet()
    asked = []
    for depth, kind in enumerate(NESTED_REQUESTS, 1):
        meeting.other.send([packed_run(kind, "sum", [[depth, 500, depth]])])
        meeting.say(
            Message(messages.request_kind(depth), "sum", messages.encode_request(depth, 500, depth))
        )
        asked.append((kind, "sum", [depth, 500, depth]))
    meeting.talk()
    assert meeting.got() == asked
    assert meeting.other.got == asked
    meeting.wait(0.1)
    assert meeting.other.nested == {}
    assert [meeting.delivery.outgoing.credit.left(depth) for depth in range(1, 5)] == [65_536] * 4
    assert meeting.dropped() == {}


def test_a_full_window_leaves_room_for_nested_requests():
    """Each depth has its own, however busy the handlers of the others are (11.4.5)."""
    meeting = Meeting().meet()
    meeting.busy = True
    other = meeting.other
    for size in (1_000_000,) * 4 + (190_000,):
        other.send([packed_run(spec_peer.TELL, "file", [size])], bytes(size))
    for number in range(32):
        for kind in NESTED_REQUESTS:
            other.send([packed_run(kind, "sum", [[number, 500, "x" * 1900]])])
    meeting.talk()
    meeting.wait(0.1)
    assert len(meeting.got()) == 5 + 4 * 32
    assert other.unacknowledged == {}
    assert len(other.nested) == 4 * 32
    assert meeting.dropped() == {}
    meeting.finish()
    meeting.wait(0.1)
    assert other.nested == {}
    assert other.credit == 4 * 1024 * 1024 + other.used


def test_what_has_no_room_is_not_accepted():
    """One batch more than a depth has room for, and one of two depths (11.2.3)."""
    meeting = Meeting().meet()
    meeting.busy = True
    other = meeting.other
    request = packed_run(NESTED_REQUESTS[0], "sum", [[1, 500, None]])
    for _ in range(32):
        other.send([request])
    other.nested.clear()
    other.send([request])
    meeting.talk()
    meeting.wait(0.1)
    assert list(other.unacknowledged) == [33]
    assert meeting.dropped() == {"dropped.over_credit": 1}
    meeting.finish()
    other.send_again(33)
    other.send([request, packed_run(NESTED_REQUESTS[1], "sum", [[2, 500, None]])])
    meeting.talk()
    meeting.wait(0.1)
    assert list(other.unacknowledged) == [34]


# -- sessions and deliveries


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
