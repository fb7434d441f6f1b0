"""The engine from outside: what goes in, what comes out, and what is only counted."""

from math import inf

import pytest

from handshake.constants import Reason
from mesh import constants
from mesh.engine import events
from mesh.engine.engine import Engine
from mesh.model import Route, Transmit
from mesh.testing.network import World
from mesh.wire import frames, messages


def test_messages_go_both_ways_in_order(met, bodies):
    """With a receipt each, acknowledged and handled."""
    sent = met.talk(20)
    met.world.run(1)
    assert bodies(met.bob) == bodies(met.alice) == sent
    for node in (met.alice, met.bob):
        delivered = [r for event in node.saw(events.Delivered) for r in event.receipts]
        handled = [r for event in node.saw(events.Handled) for r in event.receipts]
        assert delivered == handled == node.receipts


def test_a_node_knows_its_id_and_its_peers(met):
    """Questions change nothing."""
    engine = met.alice.engine
    assert engine.id == met.alice.id
    assert engine.associations() == [engine.association(met.bob.id)]
    assert engine.outgoing(met.bob.id) is met.to_bob.delivery.outgoing
    assert engine.outgoing(met.alice.id) is None
    assert engine.association(met.alice.id) is None


def test_counters_may_be_the_owners(pair):
    """One set of counters for engine and owner."""
    both = pair()
    alice = both.alice
    mine = type(alice.engine.counters)()
    engine = Engine(alice.identity, alice.settings, alice.policy, random_bytes=bytes, counters=mine)
    assert engine.counters is mine


def test_frames_for_nobody_and_of_no_kind_are_counted(met):
    """Unknown session, unknown type, nothing at all."""
    back = Route(routing_id=b"m")
    stray = frames.DATA_HEADER.pack(1, frames.DATA, 0, 12345, 0) + bytes(16)
    met.world.inject(met.bob, back, stray)
    met.world.inject(met.bob, back, b"")
    met.world.inject(met.bob, back, bytes([1, 99]) + bytes(40))
    counters = met.bob.engine.counters
    assert counters["dropped.unknown_session"] == 1
    assert counters["dropped.malformed"] == 2


def test_forged_and_replayed_frames_change_nothing(met, bodies):
    """Every byte of a data frame changed, then the genuine one, then it again."""
    met.world.send(met.alice, met.bob, "s", b"first")
    met.world.run(0.1)
    kept = []
    met.world.tamper = lambda sender, _r, frame: (
        kept.append(frame) or [] if sender is met.alice else [frame]
    )
    met.world.send(met.alice, met.bob, "s", b"second")
    met.world.tamper = lambda _s, _r, frame: [frame]
    frame, back = kept[0], next(iter(met.to_alice.routes))
    for place in range(len(frame)):
        wrong = bytearray(frame)
        wrong[place] ^= 0x80
        met.world.inject(met.bob, back, bytes(wrong))
    counters = met.bob.engine.counters
    assert counters["dropped.forged"] + counters["dropped.replayed"] == len(frame) - 12
    assert bodies(met.bob) == [b"first"]
    for _ in range(3):
        met.world.inject(met.bob, back, frame)
    assert bodies(met.bob) == [b"first", b"second"]
    assert counters["dropped.replayed"] >= 2
    met.world.run(5)
    assert bodies(met.bob) == [b"first", b"second"]
    assert met.counts("sessions.established") == (1, 1)


def test_a_frame_that_found_no_way_is_sent_again(met, bodies):
    """Our own connection is only full; the batch is sealed again a second later."""
    outgoing = met.to_bob.delivery
    outgoing.outgoing.offer(messages.TELL, "s", b"x", raw=True)
    met.alice.engine.flush(outgoing, met.world.now)
    (transmit,) = met.alice.engine.transmits()
    met.alice.engine.refused(transmit, met.world.now)
    assert met.to_bob.routes.best == met.route
    began = met.world.elapsed
    assert met.world.run(5, until=lambda: bodies(met.bob) == [b"x"])
    assert 0.9 < met.world.elapsed - began < 1.2
    assert met.alice.engine.counters["sent.refused"] == 1


def test_a_return_path_that_refuses_is_forgotten(met):
    """The routing id is unknown: that connection is gone, and the owner may dial."""
    back = met.to_alice.routes.best
    met.bob.engine.refused(Transmit(back, b"anything"), met.world.now)
    met.world.collect(met.bob)
    assert met.to_alice.routes.best is None
    assert met.bob.saw(events.RouteWanted) == [events.RouteWanted(met.alice.id)]


def test_a_ping_is_answered_with_its_round_trip(met):
    """For `mesh ping`: the token comes back."""
    token = met.alice.engine.ping(met.bob.id, met.world.now)
    met.world.collect(met.alice)
    met.world.run(1)
    pong = met.alice.saw(events.PongReceived)[-1]
    assert (pong.peer_id, pong.token) == (met.bob.id, token)
    assert pong.round_trip == pytest.approx(0.002, abs=1e-6)


def test_a_ping_needs_a_peer_a_session_and_a_route(met):
    """Without them there is no token."""
    engine, now = met.alice.engine, met.world.now
    assert engine.ping(met.alice.id, now) is None
    met.world.cut(met.alice, met.route)
    assert engine.ping(met.bob.id, now) is None
    met.to_bob.end_all_sessions()
    assert engine.ping(met.bob.id, now) is None


def test_closed_batches_can_leave_while_the_open_one_fills(met, bodies):
    """A full batch need not wait for the flush; of a delivery that is over nothing is sent."""
    delivery = met.to_bob.delivery
    delivery.outgoing.offer(messages.TELL, "s", b"full", raw=True)
    delivery.outgoing.close_batch()
    delivery.outgoing.offer(messages.TELL, "s", b"open", raw=True)
    met.alice.engine.send_closed(delivery, met.world.now)
    met.world.collect(met.alice)
    met.world.run(0.1)
    assert bodies(met.bob) == [b"full"]
    met.alice.engine.flush(delivery, met.world.now)
    met.world.collect(met.alice)
    met.world.run(0.1)
    assert bodies(met.bob) == [b"full", b"open"]
    met.to_bob.end_delivery("over")
    met.alice.engine.flush(delivery, met.world.now)
    met.alice.engine.send_closed(delivery, met.world.now)
    assert met.alice.engine.transmits() == []


def test_a_handler_that_ends_late_is_told_late(met):
    """`finished` is what moves `handled`; for a delivery that is over it is no crash."""
    met.bob.handle = False
    met.world.send(met.alice, met.bob, "s", b"x")
    met.world.run(1)
    assert met.alice.saw(events.Delivered)
    assert not met.alice.saw(events.Handled)
    (run,) = met.bob.saw(events.RunReceived)
    met.bob.engine.finished(run.delivery, run.batch, met.world.now)
    met.world.run(1)
    assert [e.receipts for e in met.alice.saw(events.Handled)] == [met.alice.receipts]
    met.world.send(met.alice, met.bob, "s", b"y")
    met.world.run(1)
    met.to_alice.end_delivery("over")
    run = met.bob.saw(events.RunReceived)[-1]
    met.bob.engine.finished(run.delivery, run.batch, met.world.now)


@pytest.mark.parametrize(("deny", "reason"), [(False, "not trusted"), (True, "revoked")])
def test_trust_withdrawn_while_running_ends_it(met, deny, reason):
    """Told under seal; nothing is sent or begun from either side afterwards."""
    policy = met.alice.policy
    policy.deny(met.bob.id) if deny else policy.forget(met.bob.id)
    met.alice.engine.trust_changed(met.world.now)
    met.world.collect(met.alice)
    met.world.run(1)
    assert met.bob.saw(events.PeerClosed) == [events.PeerClosed(met.alice.id, Reason(reason))]
    assert met.to_alice.delivery is met.to_bob.delivery is None
    sent = len(met.world.frames)
    met.world.run(1000)
    assert len(met.world.frames) == sent
    met.alice.engine.trust_changed(met.world.now)
    assert len(met.alice.saw(events.PeerClosed)) == 1
    assert met.alice.engine.next_deadline() == inf


def test_trust_in_others_changes_nothing(met):
    """Who is still allowed stays connected."""
    met.alice.engine.trust_changed(met.world.now)
    met.world.run(1)
    assert met.to_bob.sessions.current is not None
    assert met.to_bob.routes.best is not None
    assert not met.alice.saw(events.PeerClosed)


def test_trust_withdrawn_while_the_peer_is_away_ends_the_delivery(met):
    """No session is left, but messages wait: they will not be sent to somebody untrusted."""
    met.world.crash(met.bob)
    met.world.send(met.alice, met.bob, "s", b"x")
    met.world.run(300)
    assert met.to_bob.sessions.by_id == {}
    met.alice.policy.deny(met.bob.id)
    met.alice.engine.trust_changed(met.world.now)
    met.world.collect(met.alice)
    (ended,) = met.alice.saw(events.DeliveryEnded)
    assert len(ended.failed) == 1


def test_closing_exchanges_the_last_acknowledgements(met):
    """Both sides say it; what was delivered is delivered, and the rest surely was not."""
    met.bob.handle = False
    met.world.send(met.alice, met.bob, "s", b"arrives")
    met.world.run(0.1)
    met.world.tamper = lambda sender, _r, frame: [] if len(frame) > 100 else [frame]
    met.world.send(met.alice, met.bob, "s", b"never" * 50)
    met.world.run(0.1)
    assert met.alice.engine.close(met.world.now) == [met.bob.id]
    met.world.collect(met.alice)
    met.world.run(1)
    assert met.alice.saw(events.PeerClosed) == [events.PeerClosed(met.bob.id, Reason.CLOSED)]
    assert met.bob.saw(events.PeerClosed) == [events.PeerClosed(met.alice.id, Reason.CLOSED)]
    (ended,), (theirs,) = met.alice.saw(events.DeliveryEnded), met.bob.saw(events.DeliveryEnded)
    assert (ended.reason, theirs.reason) == ("this node has closed", "the peer has closed")
    assert dict(ended.failed) == {
        met.alice.receipts[0]: "unknown",
        met.alice.receipts[1]: "not_delivered",
    }
    sent = len(met.world.frames)
    met.world.run(100)
    assert len(met.world.frames) == sent
    assert met.alice.engine.close(met.world.now) == []


def test_both_may_close_at_once(met):
    """Each has said it already, so nobody answers the answer."""
    for node in (met.alice, met.bob):
        node.engine.close(met.world.now)
        met.world.collect(node)
    sent = len(met.world.frames)
    met.world.run(10)
    assert len(met.world.frames) == sent
    assert [len(n.saw(events.PeerClosed)) for n in (met.alice, met.bob)] == [1, 1]


def test_what_arrives_after_we_said_goodbye_is_not_accepted(met, bodies):
    """Our acknowledgement was final, so the peer's outcome is the truth."""
    met.world.delay = lambda sender, _r, _f: 0.5 if sender is met.alice else 0.001
    met.alice.engine.close(met.world.now)
    met.world.collect(met.alice)
    met.world.send(met.bob, met.alice, "s", b"too late")
    met.world.run(2)
    assert bodies(met.alice) == []
    (ended,) = met.bob.saw(events.DeliveryEnded)
    assert [outcome for _, outcome in ended.failed] == ["not_delivered"]
    assert not ended.restarted


def test_after_a_goodbye_the_pair_can_meet_again(met, bodies):
    """A new connection is a new beginning: another epoch, nothing of the old one."""
    met.to_bob.directory.drop(met.to_bob, Reason.CLOSED)
    met.world.collect(met.alice)
    met.world.run(1)
    met.world.dial(met.alice, met.bob)
    met.world.run(1)
    sent = met.talk()
    met.world.run(1)
    assert bodies(met.bob) == bodies(met.alice) == sent
    assert met.to_bob.delivery.epoch == met.to_alice.delivery.epoch == 1


def test_a_stranger_floods_with_garbage(pair):
    """Anything of any length: counted, never answered, never a crash."""
    both = pair().meet()
    mallory = Route(routing_id=b"m")
    before = len(both.world.frames)
    noise = World(9).node("noise").random
    for length in [*range(40), 100, 4096, 5000, 70_000]:
        for kind in range(8):
            junk = noise.randbytes(length)
            both.world.inject(both.bob, mallory, junk)
            if length > 2:
                both.world.inject(both.bob, mallory, bytes([constants.VERSION, kind]) + junk[2:])
    assert len(both.world.frames) == before
    assert both.bob.engine.counters["dropped.malformed"] > 100
    both.talk()
    both.world.run(1)
    assert len(both.bob.messages) == 3


def test_who_says_goodbye_before_the_first_frame_comes_accepts_none():
    """The goodbye said that nothing had arrived, and its hearer was told so: it stays true."""
    world = World(seed=4, latency=0.1)
    alice, bob = world.node("alice"), world.node("bob")
    world.trust_each_other()
    world.dial(alice, bob)
    assert world.run(2, until=lambda: bob.engine.association(alice.id) is not None)
    world.run(0.05)
    assert bob.engine.close(world.now_of(bob)) == [alice.id]
    world.collect(bob)
    assert world.run(2, until=lambda: alice.saw(events.PeerConnected))
    world.send(alice, bob, "s", b"too late")
    world.run(2)
    (ended,) = alice.saw(events.DeliveryEnded)
    assert [outcome for _, outcome in ended.failed] == ["not_delivered"]
    assert bob.messages == []
