"""What a trusted peer or somebody on the path may try, and what becomes of it."""

from dataclasses import replace

import pytest

from mesh.engine import events
from mesh.engine.resume import Resume
from mesh.errors import MalformedFrame
from mesh.model import Origin, Route
from mesh.testing.network import World
from mesh.wire import frames, messages
from mesh.wire.cbor import dumps
from mesh.wire.messages import encode_head, encode_packed_run


def test_who_ferries_one_challenge_does_not_keep_the_way_back(pair):
    """A path that swallows all we send is given up for one that frames come by."""
    both = pair().meet()
    good = both.to_alice.routes.best
    stolen = Route(routing_id=b"thief")
    both.to_alice.verify(stolen)
    assert both.to_alice.routes.best == stolen
    swallowed = []
    original = both.world._put

    def put(node, transmit):
        if transmit.route == stolen:
            swallowed.append(transmit)
        else:
            original(node, transmit)

    both.world._put = put
    both.world.send(both.bob, both.alice, "s", b"one")
    assert both.world.run(
        40, until=lambda: any(body == b"one" for _, _, body in both.alice.messages)
    )
    assert swallowed
    assert both.to_alice.routes.best == good
    assert both.bob.engine.counters["routes.doubted"] == 1


@pytest.mark.parametrize("message_1_too", [False, True])
def test_who_overheard_message_3_is_not_believed_to_be_the_way(message_1_too):
    """Sent on by a thief before it arrives by its own way, it verifies neither way: both are asked.

    Nor does it help him to have repeated message 1, so that he got message 2 as well.
    """
    world = World(seed=5, latency=0.1)
    alice, bob = world.node("alice"), world.node("bob")
    world.trust_each_other()
    thief = Route(routing_id=b"thief")
    stolen = []
    world.tamper = lambda _sender, receiver, frame: (
        [frame] if receiver is alice else stolen.append(frame) or [frame]
    )
    world.dial(alice, bob)
    if message_1_too:
        assert world.run(0.15) is False
        world.inject(bob, thief, stolen[0])
    assert world.run(5, until=lambda: any(frame[1] == frames.MESSAGE_3 for frame in stolen))
    world.inject(bob, thief, stolen[-1])
    to_alice = bob.engine.association(alice.id)
    assert to_alice.routes.best is None
    assert world.run(5, until=lambda: to_alice.routes.best is not None)
    assert to_alice.routes.best != thief
    world.send(bob, alice, "s", b"one")
    assert world.run(1, until=lambda: alice.messages)


def test_a_known_path_that_proves_itself_again_is_sent_on():
    """The most recently verified return path is the one, new or not."""
    world = World(seed=3)
    alice, bob = world.node("alice"), world.node("bob")
    world.trust_each_other()
    world.dial(alice, bob)
    world.run(1)
    to_alice = bob.engine.association(alice.id)
    good = to_alice.routes.best
    to_alice.verify(Route(routing_id=b"other"))
    to_alice.verify(good)
    assert to_alice.routes.best == good


@pytest.mark.parametrize("kind", [messages.PING, messages.FRESH_1, messages.GAP, messages.PROBE])
def test_a_frame_holds_one_control_item(kind):
    """Thousands in one frame are no body: each would be answered."""
    runs = encode_packed_run(kind, "", [dumps(1), dumps(2)])
    with pytest.raises(MalformedFrame):
        messages.decode_body(encode_head(0, 0, [0], 0, 1) + runs)
    one = encode_packed_run(kind, "", [dumps(1)])
    with pytest.raises(MalformedFrame):
        messages.decode_body(encode_head(0, 0, [0], 0, 2) + one + one)
    assert len(messages.decode_body(encode_head(0, 0, [0], 0, 1) + one).runs) == 1


def test_a_batch_holds_so_many_runs_at_most():
    """At the limit it is a body, one past it none: every run costs a look-up."""
    run = encode_packed_run(messages.TELL, "s", [dumps(1)])
    most = messages.RUNS_MAX
    assert len(messages.decode_body(encode_head(1, 0, [0], 0, most) + run * most).runs) == most
    with pytest.raises(MalformedFrame):
        messages.decode_body(encode_head(1, 0, [0], 0, most + 1) + run * (most + 1))


def test_nobody_speaks_for_the_instances_of_others():
    """The epochs that one peer spoils are its own."""
    world = World(seed=4)
    alice, bob, mallory = (world.node(name) for name in ("alice", "bob", "mallory"))
    world.trust_each_other()
    mallory.engine._context.settings = replace(mallory.settings, instance=alice.settings.instance)
    world.dial(mallory, bob)
    world.run(1)
    to_liar = bob.engine.association(mallory.id)
    to_liar.delivery.epoch = 1 << 61
    mallory.engine.close(world.now)
    world.collect(mallory)
    world.run(1)
    assert to_liar.resume_for(alice.settings.instance) == Resume((1 << 61) + 1, 1)
    world.dial(alice, bob)
    world.run(1)
    assert bob.engine.association(alice.id).delivery.epoch == 0
    assert alice.saw(events.ConnectFailed) == []


def test_message_2_counts_only_by_the_way_message_1_went(pair):
    """Whoever overheard message 1 and answers it from elsewhere ends nothing."""
    both = pair()
    eve = both.world.node("eve")
    overheard = []

    def tamper(sender, _receiver, frame):
        if sender is both.alice and frame[1] == 1 and not overheard:
            overheard.append(frame)
        return [frame]

    both.world.tamper = tamper
    both.route = both.world.dial(both.alice, both.bob, pin=both.bob.id)
    eve_way = Route(routing_id=b"eve")
    eve.engine.receive(overheard[0], Origin(eve_way, "10.0.0.1"), both.world.now)
    (answer,) = eve.engine.transmits()
    both.world.inject(both.alice, eve_way, bytes(answer.frame))
    both.world.run(2, until=both.connected)
    assert both.alice.saw(events.ConnectFailed) == []
    assert both.connected()


def test_a_small_limit_closes_the_hot_path(pair):
    """A body over the limit is never appended behind a small one."""
    both = pair(max_message_bytes=1024, window_bytes=1 << 20).meet()
    outgoing = both.to_bob.delivery.outgoing
    assert outgoing.offer(messages.TELL, "s", b"small", raw=True) is not None
    assert outgoing.raw_subject is None


def test_the_last_words_of_the_dead_supersede_nobody():
    """Who died before his first sealed frame arrived is over once another run is connected."""
    world = World(seed=6)
    first, bob = world.node("alice"), world.node("bob")
    world.trust_each_other()
    held = []
    world.tamper = lambda sender, _receiver, frame: (
        held.append(frame) or [] if sender is first and frame[1] == frames.DATA else [frame]
    )
    world.dial(first, bob)
    assert world.run(2, until=lambda: held)
    world.crash(first)
    second = world.node("alice")
    world.dial(second, bob)
    assert world.run(2, until=lambda: bob.saw(events.PeerConnected))
    for frame in held:
        world.inject(bob, Route(routing_id=b"late"), frame)
    world.run(2)
    assert second.saw(events.Superseded) == []
    assert bob.engine.association(second.id).delivery.peer_instance == second.settings.instance
