"""What leaves: acknowledgements in time, resends that double, probes, and nothing for nobody."""

import pytest

from mesh import constants
from mesh.delivery.outgoing import Outgoing
from mesh.engine import events
from mesh.session.states import State, Trigger
from mesh.wire import frames, messages
from mesh.wire.cbor import dumps


def frames_of(both, name, since=0):
    """How many frames a node has put on the wire."""
    return [frame for sender, _, frame in both.world.frames[since:] if sender == name]


def test_an_acknowledgement_is_sent_after_20_ms(met):
    """Alone, where nothing else travels."""
    since = len(met.world.frames)
    began = met.world.elapsed
    met.world.send(met.alice, met.bob, "s", b"x")
    assert met.world.run(1, until=lambda: met.alice.saw(events.Delivered))
    assert met.world.elapsed - began == pytest.approx(0.022, abs=0.002)
    assert len(frames_of(met, "bob", since)) == 1


def test_an_acknowledgement_travels_on_what_goes_anyway(met):
    """Then there is no frame of its own."""
    since = len(met.world.frames)
    met.world.send(met.alice, met.bob, "s", b"x")
    met.world.run(0.01)
    met.world.send(met.bob, met.alice, "s", b"y")
    met.world.run(0.005)
    assert met.alice.saw(events.Delivered)
    assert len(frames_of(met, "bob", since)) == 1


def test_an_eighth_of_the_window_is_told_at_once(pair):
    """A timer alone would starve bulk."""
    both = pair(window_bytes=256 * 1024).meet()
    began = both.world.elapsed
    for _ in range(3):
        both.world.send(both.alice, both.bob, "s", b"x" * 15_000)
    assert both.world.run(1, until=lambda: both.alice.saw(events.Handled))
    assert both.world.elapsed - began < 0.01


def test_a_lost_batch_is_sent_again_after_pauses_that_double(met, bodies):
    """A second, two, four; not more than sixteen batches at once; then all arrives."""
    met.world.tamper = lambda sender, _r, frame: [] if len(frame) > 1000 else [frame]
    sealed = []
    take = Outgoing.sent

    def sent(self, batch, now):
        sealed.append((now, batch.number))
        take(self, batch, now)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Outgoing, "sent", sent)
        began = met.world.elapsed
        for number in range(20):
            met.world.send(met.alice, met.bob, "s", b"%04d" % number * 300)
        met.world.run(8)
    times = sorted({round(now - began) for now, _ in sealed})
    assert times == [0, 1, 3, 7]
    assert [number for now, number in sealed if round(now - began) == 1] == [*range(1, 17)]
    met.world.tamper = lambda _s, _r, frame: [frame]
    met.world.run(20)
    assert bodies(met.bob) == [b"%04d" % number * 300 for number in range(20)]


def test_without_resends_a_lost_batch_stays_lost(met, bodies, monkeypatch):
    """The rule is what delivers: no other repairs this."""
    monkeypatch.setattr(Outgoing, "send_again", lambda *_, **__: 0)
    met.world.tamper = lambda _s, _r, frame: [] if len(frame) > 1000 else [frame]
    met.world.send(met.alice, met.bob, "s", b"x" * 1000)
    met.world.run(0.1)
    met.world.tamper = lambda _s, _r, frame: [frame]
    met.world.run(30)
    assert bodies(met.bob) == []


def fill(both):
    """Alice sends until there is no room; how many messages found some."""
    count = 0
    while both.world.send(both.alice, both.bob, "s", b"x" * 10_000):
        count += 1
    return count


def test_room_is_news_for_those_who_wait_alone(met):
    """It is made with every acknowledgement, and as a rule nobody wants to know."""
    outgoing = met.to_bob.delivery.outgoing
    met.talk(20)
    met.world.run(1)
    assert outgoing.idle
    assert met.alice.saw(events.RoomAvailable) == []
    outgoing.close_hot_path()
    met.talk(1)
    met.world.run(1)
    assert len(met.alice.saw(events.RoomAvailable)) == 1
    assert not outgoing.awaited


def test_a_starved_sender_asks_for_room(pair, kinds):
    """After 200 ms, doubling to two seconds, while the peer's handlers are slow."""
    both = pair(window_bytes=64 * 1024).meet()
    both.bob.handle = False
    assert fill(both) > 3
    both.world.run(3)
    assert fill(both) == 0
    run = both.bob.saw(events.RunReceived)[0]
    both.bob.engine.finished(run.delivery, run.batch, both.world.now)
    told = len(both.alice.saw(events.RoomAvailable))
    both.world.run(0.1)
    assert len(both.alice.saw(events.RoomAvailable)) == told + 1
    assert both.to_bob.delivery.outgoing.offer(messages.TELL, "s", b"x" * 30_000) is None
    since = len(both.world.frames)
    both.world.run(0.5)
    assert messages.PROBE in {kinds.get(f) for f in frames_of(both, "alice", since)}
    both.world.run(9.5)
    probes = [f for f in frames_of(both, "alice", since) if kinds.get(f) == messages.PROBE]
    assert 6 <= len(probes) <= 8
    for run in both.bob.saw(events.RunReceived)[1:]:
        both.bob.engine.finished(run.delivery, run.batch, both.world.now)
    assert both.world.run(1, until=lambda: both.to_bob.delivery.outgoing.credit.left(0) > 30_000)
    assert both.world.send(both.alice, both.bob, "s", b"x")
    since = len(both.world.frames)
    both.world.run(4)
    assert messages.PROBE not in {kinds.get(f) for f in frames_of(both, "alice", since)}


def test_room_that_was_told_in_a_lost_frame_is_found_out(pair, bodies):
    """The probe's answer tells it again."""
    both = pair(window_bytes=64 * 1024).meet()
    both.bob.handle = False
    fill(both)
    both.world.run(0.1)
    assert fill(both) == 0
    both.world.tamper = lambda sender, _r, frame: [] if sender is both.bob else [frame]
    for run in both.bob.saw(events.RunReceived):
        both.bob.engine.finished(run.delivery, run.batch, both.world.now)
    both.bob.engine.advance(both.world.now)
    both.world.collect(both.bob)
    both.world.run(0.05)
    both.world.tamper = lambda _s, _r, frame: [frame]
    assert both.to_bob.delivery.outgoing.credit.left(0) < 20_000
    assert both.world.run(3, until=lambda: both.to_bob.delivery.outgoing.credit.left(0) > 30_000)


def test_room_that_a_handshake_tells_of_is_news(met):
    """Replies cost no credit: once the handshake has acknowledged them no frame says more of them.

    Whoever waits for their room, or for all of it to be acknowledged, would wait for ever.
    """
    met.world.tamper = lambda sender, _r, frame: [] if sender is met.bob else [frame]
    outgoing = met.to_bob.delivery.outgoing
    assert outgoing.offer(messages.REPLY, "", messages.encode_reply(1, 0, None)) is not None
    met.alice.engine.flush(met.to_bob.delivery, met.world.now)
    met.world.collect(met.alice)
    met.world.run(0.1)
    outgoing.awaited = True
    told = len(met.alice.saw(events.RoomAvailable))
    met.world.tamper = lambda _s, _r, frame: [frame]
    met.to_alice.end_all_sessions()
    met.to_bob.directory.begin_handshake(met.route, met.bob.id)
    met.world.collect(met.alice)
    met.world.run(0.1)
    assert met.counts("sessions.established") == (2, 2)
    assert outgoing.idle
    assert len(met.alice.saw(events.RoomAvailable)) == told + 1


def test_without_a_route_or_session_batches_wait(met, bodies):
    """Nothing is sealed, no time is burnt; a route brings them on their way."""
    met.world.cut(met.alice, met.route)
    since = len(met.world.frames)
    met.world.send(met.alice, met.bob, "s", b"waits")
    sealed = met.to_bob.sessions.current._next_counter
    met.world.run(3)
    assert met.to_bob.sessions.current._next_counter == sealed
    assert len(met.world.frames) == since
    assert not met.to_bob.sending.control(met.to_bob.sessions.current, messages.PING, 1)
    met.world.dial(met.alice, met.bob, led_to=met.bob.id)
    assert met.world.run(1, until=lambda: bodies(met.bob) == [b"waits"])
    assert met.counts("sessions.established") == (1, 1)


def test_a_retired_session_has_an_heir_that_answers(pair):
    """A question on an old session is answered on the one that is sent on."""
    both = pair(rekey_after_seconds=4.0).meet()
    old = both.to_bob.sessions.current
    assert both.world.run(10, until=lambda: old.state is State.RETIRED)
    assert not both.to_bob.sending.control(old, messages.PING, 1)
    assert both.to_bob.sending.answer(old, messages.PONG, 1)
    (transmit,) = both.alice.engine.transmits()
    heir = both.to_bob.sessions.current
    assert frames.parse_data_header(transmit.frame).receiver_session == heir._remote_id


def test_what_could_not_be_sealed_was_not_told(met):
    """Numbers owed to the peer stay owed when the session has ended."""
    met.bob.handle = False
    met.world.send(met.alice, met.bob, "s", b"x")
    met.world.run(0.005)
    incoming = met.to_alice.delivery.incoming
    due = incoming.due
    assert due < met.world.elapsed + constants.ACKNOWLEDGE_AFTER_SECONDS
    session = met.to_alice.sessions.current
    session.end(Trigger.EXPIRED)
    assert not met.to_alice.sending.control(session, messages.PING, 1)
    assert incoming.due == due


def test_a_session_without_counters_stops_in_the_middle(met, monkeypatch):
    """What was not sealed goes on waiting, and is counted once."""
    monkeypatch.setattr(
        constants, "HARD_STOP_FRAMES", met.to_bob.sessions.current._next_counter + 2
    )
    outgoing = met.to_bob.delivery.outgoing
    for number in range(4):
        outgoing.offer(messages.TELL, "s", b"%d" % number, raw=True)
        outgoing.close_batch()
    met.alice.engine.flush(met.to_bob.delivery, met.world.now)
    assert len(met.alice.engine.transmits()) == 2
    assert outgoing.unsent
    assert met.alice.engine.counters["sessions.exhausted"] == 1


def test_a_flush_without_a_delivery_is_nothing(met):
    """Nor are resends or deadlines."""
    met.to_bob.end_delivery("over")
    sending = met.to_bob.sending
    sending.flush()
    sending.send_all_again()
    sending.on_delivered(met.world.elapsed)
    sending.advance(met.world.elapsed)
    assert sending.deadlines() == met.alice.engine.transmits() == []


def test_a_bulk_body_travels_beside_the_array(met, bodies):
    """In one frame, sealed apart."""
    delivery = met.to_bob.delivery
    delivery.outgoing.offer(messages.TELL, "s", dumps(100_000), b"b" * 100_000)
    met.alice.engine.flush(delivery, met.world.now)
    met.world.collect(met.alice)
    met.world.run(1)
    assert bodies(met.bob) == [b"b" * 100_000]
    assert frames.BULK in {frame[1] for frame in frames_of(met, "alice")}


def test_a_gap_is_named_when_a_way_to_the_peer_is_there(pair, kinds, bodies):
    """A batch that came early by an unproved way could not be asked about."""
    met = pair(latency=0.02).meet()
    lost = []
    met.world.tamper = lambda sender, _r, frame: (
        [frame] if lost or sender is met.bob else lost.append(frame) or []
    )
    for route in list(met.to_alice.routes):
        met.to_alice.lose(route)
    met.world.send(met.alice, met.bob, "s", b"lost")
    met.world.send(met.alice, met.bob, "s", b"early")
    began = met.world.elapsed
    assert met.world.run(5, until=lambda: bodies(met.bob) == [b"lost", b"early"])
    assert met.world.elapsed - began < constants.RESEND_AFTER_SECONDS / 2
    asked = [kinds.get(frame) for frame in frames_of(met, "bob")]
    assert messages.GAP in asked


def test_nobody_asks_without_a_gap_or_a_session(met, kinds):
    """Then there is nothing to say, or nothing to say it with."""
    since = len(met.world.frames)
    met.to_alice.sending.ask_for_gap()
    met.to_alice.end_all_sessions()
    met.to_alice.sending.ask_for_gap()
    met.world.collect(met.bob)
    assert frames_of(met, "bob", since) == []


def test_a_large_message_goes_in_chunks_once_it_is_granted_room(pair):
    """Who stands behind it is told of room; a grant that finds no room waits for some."""
    both = pair(window_bytes=64 * 1024, max_message_bytes=1 << 20).meet()
    outgoing, granting = both.to_bob.delivery.outgoing, both.to_alice.delivery
    body = bytes(300_000)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(granting.outgoing, "_has_room", lambda *_: False)
        outgoing.offer_large(messages.TELL, "s", dumps(300_000), body)
        both.alice.engine.flush(both.to_bob.delivery, both.world.now)
        both.world.collect(both.alice)
        both.world.run(0.1)
        assert granting.incoming.assembly.grants_due == [1]
        assert both.bob.saw(events.RunReceived) == []
    told = len(both.alice.saw(events.RoomAvailable))
    both.to_alice.sending.send_grants()
    both.world.collect(both.bob)
    both.world.run(5)
    assert [messages.unpacked(run.bodies) for run in both.bob.saw(events.RunReceived)] == [[body]]
    assert len(both.alice.saw(events.RoomAvailable)) > told
