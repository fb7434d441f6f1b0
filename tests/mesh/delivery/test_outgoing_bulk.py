"""Byte strings that travel beside the array: which share a batch, and how many are under way."""

import pytest

from deliveries import Direction, frame_of
from mesh.limits import BESIDE_CALLS_BYTES, BULK_FRAME_BYTES
from mesh.wire.messages import REPLY, REQUEST, TELL


@pytest.fixture
def direction():
    """A sender with much room."""
    return Direction(window=1 << 24)


def test_bulk_bodies_are_batches_of_their_own(direction):
    """They leave between what was queued before and after them, with their own receipts."""
    outgoing = direction.outgoing
    assert direction.tell("log", b"before")
    receipt = outgoing.offer(TELL, "file", b"\x04", b"bulk")
    assert direction.tell("log", b"after")
    outgoing.close_batch()
    found = list(outgoing.take_unsent())
    assert [batch.bulk for batch in found] == [None, b"bulk", None]
    assert [batch.receipt for batch in found] == direction.receipts
    assert found[1].receipt is receipt


def test_bulk_bodies_of_one_kind_and_subject_share_a_batch(direction):
    """Up to so many bytes, one after another; every other message is in the next one."""
    outgoing = direction.outgoing
    half = bytes(BULK_FRAME_BYTES // 2)
    for subject, body in (("a", b"one"), ("a", b"two"), ("b", b"else"), ("b", half), ("b", half)):
        assert direction.bulk(TELL, subject, body)
    assert direction.bulk(REPLY, "b", b"kind")
    assert direction.offer(REPLY, "b", 5)
    outgoing.close_batch()
    found = list(outgoing.take_unsent())
    assert [batch.bulk for batch in found] == [
        b"onetwo",
        b"else" + half,
        half,
        b"kind",
        None,
    ]
    for batch in found:
        direction.arrive(frame_of(batch))
        outgoing.sent(batch, 0.0)
    direction.finish()
    direction.tell_back()
    direction.check_settled()


def test_little_is_under_way_beside_a_call_that_waits():
    """Two batches, or so many bytes; more without one, and of what is no direct message."""
    direction = Direction(window=1 << 24)
    outgoing = direction.outgoing
    half = BESIDE_CALLS_BYTES // 2
    assert all(direction.bulk(TELL, "log", bytes(half)) for _ in range(4))
    outgoing.asked.add(1)
    assert not direction.bulk(TELL, "log", b"beside a call")
    assert direction.offer(REQUEST, "ask", "the next call")
    assert direction.bulk(REPLY, "", bytes(half))
    outgoing.asked.discard(1)
    assert direction.bulk(TELL, "log", b"without one")
    direction.carry()
    outgoing.asked.add(1)
    assert direction.bulk(TELL, "log", bytes(4 * half))
    assert direction.bulk(TELL, "log", bytes(4 * half)), "two may be under way, however large"
    assert not direction.bulk(TELL, "log", b"x")
    direction.carry()
    direction.check_settled()


def test_beside_a_call_only_direct_messages_keep_one_another_waiting(direction):
    """However many replies and requests are under way: their stream may never end."""
    outgoing = direction.outgoing
    outgoing.asked.add(1)
    for _ in range(4):
        assert direction.bulk(REPLY, "", bytes(BESIDE_CALLS_BYTES))
        assert direction.offer(REQUEST, "ask", "again")
    assert direction.bulk(TELL, "log", bytes(BESIDE_CALLS_BYTES))
    direction.carry()
    direction.check_settled()


@pytest.mark.parametrize("beside", [True, False])
def test_a_batch_of_replies_is_no_larger_than_the_peers_window(beside):
    """They cost no credit, but what comes early is held: two windows at most."""
    window = 64 * 1024
    direction = Direction(window=window)
    for number in range(40):
        if beside:
            assert direction.bulk(REPLY, "", bytes(16 * 1024))
        else:
            assert direction.offer(REPLY, "", "x" * 10_000, number)
    frames = direction.flush()
    assert max(frame.body().cost for frame in frames) <= window
    for frame in reversed(frames[:2]):
        direction.arrive(frame)
    assert direction.incoming.acknowledged == 2
    assert direction.counters["dropped.too_early"] == 0
