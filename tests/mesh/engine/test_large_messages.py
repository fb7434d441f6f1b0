"""Large messages between two engines: carried whole, abandoned without a trace, and lied about."""

from random import Random

import pytest

from mesh.constants import LARGE_PER_CLASS, UNACKNOWLEDGED_BATCHES
from mesh.engine import events, large_messages
from mesh.wire import frames, messages
from mesh.wire.cbor import dumps
from mesh.wire.messages import ABANDON, CHUNK, GRANT, LARGE, REPLY, REQUEST, TELL

WINDOW = 64 * 1024


@pytest.fixture
def both(pair):
    """Two nodes with small windows that have met."""
    return pair(window_bytes=WINDOW, max_message_bytes=8 * WINDOW).meet()


def send(both, body, subject="log", *, kind=TELL, item=None, tag=None):
    """Alice announces a large message to bob; its receipt."""
    outgoing = both.to_bob.delivery.outgoing
    item = dumps(len(body)) if item is None else item
    receipt = outgoing.offer_large(kind, subject, item, body, tag=tag)
    flush(both)
    return receipt


def flush(both):
    """What alice has queued leaves."""
    both.alice.engine.flush(both.to_bob.delivery, both.world.now)
    both.world.collect(both.alice)


def say(both, kind, *items):
    """Alice says something in a batch of its own, whatever an honest node would."""
    outgoing = both.to_bob.delivery.outgoing
    for item in items:
        assert outgoing.offer(kind, "log", dumps(item)) is not None
    flush(both)
    both.world.run(0.5)


def room(both):
    """What bob has promised to alice's large messages."""
    return both.to_alice.delivery.incoming.assembly.promised_bytes


def finish(both, run):
    """Bob's handler is done with it."""
    both.bob.engine.finished(run.delivery, run.batch, both.world.now)
    both.world.collect(both.bob)


def receipts(node, kind):
    """Those of all events of a kind."""
    return [receipt for event in node.saw(kind) for receipt in event.receipts]


def test_a_message_many_times_the_window_arrives(both, bodies):
    """In one run, once; it is delivered and handled, and all room has returned."""
    body = bytes(range(256)) * 256 * 8
    receipt = send(both, body)
    both.world.run(5)
    assert bodies(both.bob) == [body]
    assert receipts(both.alice, events.Delivered).count(receipt) == 1
    assert receipts(both.alice, events.Handled).count(receipt) == 1
    assert room(both) == 0
    assert both.to_bob.delivery.outgoing.idle
    assert both.to_bob.delivery.outgoing.credit.left(0) == WINDOW
    assert None not in receipts(both.alice, events.Delivered)


@pytest.mark.parametrize(
    ("kind", "item", "content", "arrives"),
    [
        (REQUEST, dumps([7, 500, 20_000]), b"x" * 20_000, [7, 500, b"x" * 20_000]),
        (REPLY, dumps([7, 0, 20_000]), b"x" * 20_000, [7, 0, b"x" * 20_000]),
        (messages.request_kind(3), b"", dumps([7, 500, "x" * 9000]), [7, 500, "x" * 9000]),
        (TELL, b"", dumps({"x": "y" * 20_000}), {"x": "y" * 20_000}),
    ],
)
def test_all_that_may_be_large_arrives_as_its_kind(both, kind, item, content, arrives):
    """With its subject, and of one batch whose handler is waited for."""
    send(both, content, "ask", kind=kind, item=item)
    both.world.run(1)
    (run,) = both.bob.saw(events.RunReceived)
    assert (run.kind, run.subject, messages.unpacked(run.bodies)) == (kind, "ask", [arrives])
    assert room(both) == 0


def test_small_ones_of_its_subject_come_behind_it_and_others_go_by(both, bodies):
    """Whoever waits is told when the last chunk has its place."""
    send(both, b"large" * 20_000)
    assert both.world.send(both.alice, both.bob, "log", b"waits") is None
    assert both.world.send(both.alice, both.bob, "other", b"goes by")
    told = len(both.alice.saw(events.RoomAvailable))
    both.world.run(
        5, until=lambda: both.world.send(both.alice, both.bob, "log", b"after") is not None
    )
    assert len(both.alice.saw(events.RoomAvailable)) > told
    both.world.run(2)
    assert bodies(both.bob) == [b"goes by", b"large" * 20_000, b"after"]


def test_a_flood_of_small_ones_keeps_no_large_one_back(both, bodies):
    """Nor the other way: whatever room there is for the flood is taken at once, all the time."""
    receipt = send(both, bytes(8 * WINDOW))
    small = 0
    for _ in range(200):
        while both.world.send(both.alice, both.bob, "flood", b"x" * 4000):
            small += 1
        both.world.run(0.001)
        if receipt in receipts(both.alice, events.Handled):
            break
    assert bytes(8 * WINDOW) in bodies(both.bob)
    assert small > 100


def test_lost_frames_cost_time_and_nothing_else(both, bodies):
    """Announcements, grants and chunks are batches: those lost are sent again."""
    random = Random(3)
    both.world.tamper = lambda _s, _r, frame: [] if random.random() < 0.2 else [frame]
    sent = [bytes([n]) * (5 * WINDOW) for n in range(3)]
    for body in sent:
        send(both, body)
    assert both.world.run(120, until=lambda: len(bodies(both.bob)) == 3)
    assert bodies(both.bob) == sent
    both.world.tamper = lambda _s, _r, frame: [frame]
    both.world.run(30)
    assert room(both) == 0
    assert both.to_bob.delivery.outgoing.idle


def test_a_message_goes_on_over_other_sessions_and_connections(pair, bodies):
    """Keys are renewed and connections break while it is under way."""
    both = pair(
        latency=0.05, window_bytes=WINDOW, max_message_bytes=256 * WINDOW, rekey_after_seconds=2.0
    ).meet()
    body = b"0123456789abcdef" * (WINDOW // 16) * 100
    send(both, body)
    both.world.run(3)
    assert bodies(both.bob) == []
    both.world.cut(both.alice, both.route)
    both.world.run(1)
    both.world.dial(both.alice, both.bob, led_to=both.bob.id)
    assert both.world.run(60, until=lambda: bodies(both.bob))
    assert bodies(both.bob) == [body]
    assert both.counts("sessions.renewed")[0] > 0


def test_room_comes_back_with_the_handler_and_is_told_at_once(both):
    """A second message of the whole room is granted when the first was handled."""
    both.bob.handle = False
    size = 8 * WINDOW
    send(both, bytes(size))
    send(both, bytes(size), "other")
    both.world.run(5)
    (run,) = both.bob.saw(events.RunReceived)
    assert room(both) == size
    began = both.world.elapsed
    finish(both, run)
    assert both.world.run(5, until=lambda: len(both.bob.saw(events.RunReceived)) == 2)
    assert both.world.elapsed - began < 0.3
    finish(both, both.bob.saw(events.RunReceived)[1])
    assert room(both) == 0


def test_grants_that_find_no_room_are_told_later(both, bodies):
    """All of bob's batches are under way when alice announces: his grant waits for a number."""
    outgoing = both.to_alice.delivery.outgoing
    both.world.tamper = lambda sender, _r, frame: [] if sender is both.bob else [frame]
    for _ in range(UNACKNOWLEDGED_BATCHES):
        assert outgoing.offer(REPLY, "", dumps([1, 0, None])) is not None
        outgoing.close_batch()
    both.bob.engine.flush(both.to_alice.delivery, both.world.now)
    both.world.collect(both.bob)
    send(both, b"x" * WINDOW)
    both.world.run(0.5)
    assert both.to_alice.delivery.incoming.assembly.grants_due == [1]
    both.world.tamper = lambda _s, _r, frame: [frame]
    assert both.world.run(30, until=lambda: bodies(both.bob))
    assert both.to_alice.delivery.incoming.assembly.grants_due == []


@pytest.mark.parametrize("seconds", [0.0, 0.0005, 0.003, 0.004, 0.006])
def test_what_is_abandoned_leaves_nothing_behind(both, seconds):
    """Before its grant, or in the middle: its room returns, and the next one goes its way."""
    both.world.tamper = lambda _s, _r, frame: [frame]
    send(both, b"x" * (8 * WINDOW), "ask", kind=REQUEST, item=dumps([7, 1, 8 * WINDOW]), tag=7)
    both.world.run(seconds)
    assert both.to_bob.delivery.outgoing.abandon(7)
    flush(both)
    both.world.run(1)
    assert both.bob.saw(events.RunReceived) == []
    assert room(both) == 0
    assert both.to_bob.delivery.outgoing.idle
    send(both, b"y" * WINDOW)
    both.world.run(1)
    assert len(both.bob.saw(events.RunReceived)) == 1


def test_a_peer_that_restarts_takes_its_half_messages_with_it(both):
    """What it had sent of one is forgotten with its delivery; at the sender it surely failed."""
    both.world.tamper = lambda _s, receiver, f: [f] if receiver is both.bob or len(f) < 9999 else []
    receipt = send(both, bytes(8 * WINDOW))
    both.world.run(0.0035)
    assert room(both) == 8 * WINDOW
    both.to_bob.end_delivery("bob is gone", restarted=True)
    both.world.collect(both.alice)
    (ended,) = both.alice.saw(events.DeliveryEnded)
    assert [how for of, how in ended.failed if of is receipt] == ["not_delivered"]
    both.world.crash(both.alice)
    alice = both.world.node("alice", window_bytes=WINDOW, max_message_bytes=8 * WINDOW)
    both.world.dial(alice, both.bob)
    assert both.world.run(10, until=lambda: both.bob.saw(events.DeliveryEnded))
    assert room(both) == 0


# -- what a trusted peer may say


@pytest.mark.parametrize(
    ("kind", "item"),
    [
        (LARGE, None),
        (LARGE, []),
        (LARGE, [1, TELL, 10]),
        (LARGE, [1, TELL, 10, b"", 0]),
        (LARGE, ["1", TELL, 10, b""]),
        (LARGE, [1, TELL, 10.0, b""]),
        (LARGE, [1, TELL, 10, "text"]),
        (LARGE, [True, TELL, 10, b""]),
        (LARGE, [1, True, 10, b""]),
        (LARGE, {"lane": 1}),
        (GRANT, "1"),
        (GRANT, True),
        (GRANT, [1]),
        (CHUNK, None),
        (CHUNK, [1, None]),
        (CHUNK, [1, "text"]),
        (CHUNK, [True, b"x"]),
        (CHUNK, [1, b"x", 2]),
        (ABANDON, None),
        (ABANDON, False),
        (ABANDON, [1]),
    ],
)
def test_nonsense_breaks_nothing_but_itself(both, bodies, kind, item):
    """It is counted, its batch is handled, and good messages go on coming."""
    say(both, kind, item)
    assert both.counts("dropped.malformed") == (0, 1)
    assert both.to_bob.delivery.outgoing.idle
    send(both, b"x" * WINDOW)
    both.world.run(1)
    assert bodies(both.bob) == [b"x" * WINDOW]
    assert room(both) == 0
    assert both.counts("sessions.established") == (1, 1)


@pytest.mark.parametrize(
    ("kind", "item", "counter"),
    [
        (LARGE, [1, TELL, 0, b""], "dropped.announced"),
        (LARGE, [1, TELL, 8 * WINDOW + 1, b""], "dropped.announced"),
        (LARGE, [1, TELL, 2**63, b""], "dropped.announced"),
        (LARGE, [1, messages.CANCEL, 10, b""], "dropped.announced"),
        (LARGE, [1, TELL, 10, bytes(100_000)], "dropped.announced"),
        (CHUNK, [1, b"of nothing"], "dropped.chunks"),
        (CHUNK, [2**63, b""], "dropped.chunks"),
    ],
)
def test_what_no_honest_peer_says_is_counted(both, kind, item, counter):
    """Nothing is promised for it, and its batch is handled."""
    say(both, kind, item)
    assert both.counts(counter) == (0, 1)
    assert room(both) == 0
    assert both.to_bob.delivery.outgoing.idle


@pytest.mark.parametrize("number", [0, 1, 77, 2**64 - 1, -1])
def test_grants_and_ends_of_nothing_mean_nothing(both, number):
    """Numbers that nobody gave."""
    say(both, GRANT, number)
    say(both, ABANDON, number)
    assert not [name for name in both.bob.engine.counters if name.startswith("dropped")]
    assert both.to_bob.delivery.outgoing.idle


def test_a_grant_before_its_announcement_has_left_changes_no_order(both, bodies):
    """The peer guesses the number: its chunks follow the announcement all the same."""
    outgoing = both.to_bob.delivery.outgoing
    assert outgoing.offer_large(TELL, "log", dumps(WINDOW), b"x" * WINDOW) is not None
    outgoing.lanes.grant(1)
    flush(both)
    both.world.run(1)
    assert bodies(both.bob) == [b"x" * WINDOW]
    assert both.bob.engine.counters["dropped.chunks"] == 0


def test_several_chunks_in_one_run_are_malformed(both):
    """One of them could complete a message, and the run would be two things."""
    say(both, LARGE, [1, TELL, 4, dumps(4)])
    say(both, CHUNK, [1, b"ab"], [1, b"cd"])
    assert both.counts("dropped.malformed") == (0, 1)
    assert both.bob.saw(events.RunReceived) == []
    assert room(both) == 4


def test_several_messages_may_end_in_one_batch(both, bodies):
    """Their room returns when all runs of it are handled, and not before."""
    both.bob.handle = False
    say(both, LARGE, [1, TELL, 2, dumps(2)], [2, TELL, 3, dumps(3)])
    outgoing = both.to_bob.delivery.outgoing
    for subject, item in (("a", [1, b"ab"]), ("b", [2, b"cde"])):
        outgoing.offer(CHUNK, subject, dumps(item))
    flush(both)
    both.world.run(0.5)
    first, second = both.bob.saw(events.RunReceived)
    assert bodies(both.bob) == [b"ab", b"cde"]
    assert first.batch == second.batch
    finish(both, first)
    assert room(both) == 5
    finish(both, second)
    assert room(both) == 0


def test_a_whole_message_that_is_no_item_concerns_its_handler_alone(both):
    """What the chunks make up is decoded by whoever handles it."""
    both.bob.handle = False
    say(both, LARGE, [1, TELL, 2, b""])
    both.world._handle = lambda *_: None
    say(both, CHUNK, [1, b"\xff\xff"])
    (run,) = both.bob.saw(events.RunReceived)
    with pytest.raises(messages.MalformedFrame):
        messages.unpacked(run.bodies)
    finish(both, run)
    assert room(both) == 0


def test_who_announces_without_end_is_promised_little(both):
    """A few of each class; the rest is counted, and nothing of it is kept."""
    for lane in range(100):
        say(both, LARGE, [lane, TELL, 8 * WINDOW, b""])
    assert room(both) == 8 * WINDOW
    assert both.bob.engine.counters["dropped.announced"] == 100 - LARGE_PER_CLASS
    assert len(both.to_alice.delivery.incoming.assembly._arriving) == LARGE_PER_CLASS


def test_the_kinds_are_those_of_large_messages():
    """All others are the program's."""
    assert {LARGE, GRANT, CHUNK, ABANDON} == large_messages.KINDS


def test_chunks_travel_beside_the_array(both):
    """Sealed apart, without a copy into CBOR."""
    since = len(both.world.frames)
    send(both, b"x" * (4 * WINDOW))
    both.world.run(1)
    sent = [frame for name, _, frame in both.world.frames[since:] if name == "alice"]
    assert len([frame for frame in sent if frame[1] == frames.BULK]) == 16
