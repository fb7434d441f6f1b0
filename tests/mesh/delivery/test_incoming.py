"""The receiving half: each batch once and in order, within what was promised, and told in time."""

from math import inf
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deliveries import Direction
from mesh import constants
from mesh.constants import UNFINISHED_BATCHES
from mesh.counters import Counters
from mesh.delivery.assembly import Announced
from mesh.delivery.incoming import Incoming
from mesh.wire.messages import (
    CANCEL,
    REPLY,
    REQUEST,
    TELL,
    Body,
    decode_body,
    encode_head,
    request_kind,
)

WINDOW = 64 * 1024
OVERHEAD = constants.MESSAGE_OVERHEAD_BYTES
LATER = constants.ACKNOWLEDGE_AFTER_SECONDS


@pytest.fixture
def counters():
    """What was counted."""
    return Counters()


@pytest.fixture
def incoming(counters):
    """The receiving half with the smallest window."""
    return make(counters)


def make(counters=None, kept=1 << 30):
    """The receiving half with the smallest window; its peer keeps much, unless said otherwise."""
    return Incoming(
        window_bytes=WINDOW,
        kept_bytes=kept,
        large_bytes=1 << 20,
        counters=Counters() if counters is None else counters,
    )


def batch(number, *, kind=TELL, messages=1, size=10, runs=1):
    """A batch as decoded: `size` is that of its encoded runs."""
    return Body(number, 0, [0], 0, [[kind, "log", [b""] * messages]] * runs, size, messages * runs)


def numbers(bodies):
    """Which batches these are."""
    return [body.batch for body in bodies]


# -- inbound


def test_batches_are_accepted_once_in_order(incoming, counters):
    """The next one is dispatched, a repeated one is counted and acknowledged again."""
    assert numbers(incoming.accept(batch(1), 0.0)) == [1]
    assert numbers(incoming.accept(batch(2), 0.0)) == [2]
    incoming.told()
    assert incoming.accept(batch(1), 7.0) == []
    assert counters["received.repeated_batches"] == 1
    assert incoming.due == 7.0 + LATER
    assert incoming.acknowledged == 2


def test_an_early_batch_waits_for_those_before_it(incoming, counters):
    """It is held, the gap is named, and all are dispatched in order when it closes."""
    assert incoming.gap is None
    for number in (4, 3, 6):
        assert incoming.accept(batch(number), 0.0) == []
    assert incoming.gap == (1, 2)
    assert incoming.acknowledged == 0
    assert incoming.accept(batch(3), 0.0) == []
    assert counters["received.repeated_batches"] == 1
    assert numbers(incoming.accept(batch(1), 0.0)) == [1]
    assert incoming.gap == (2, 2)
    assert numbers(incoming.accept(batch(2), 0.0)) == [2, 3, 4]
    assert incoming.gap == (5, 5)
    assert incoming.acknowledged == 4


def test_batches_are_held_to_the_limit_and_no_further(incoming, counters):
    """The last that may be under way is held; the one after it and one far ahead are dropped."""
    last = incoming.next + constants.HELD_BATCHES
    for number in (last, last + 1, 2**64 - 1):
        assert incoming.accept(batch(number), 0.0) == []
    assert counters["dropped.too_early"] == 2
    assert incoming.gap == (1, last - 1)


@pytest.mark.parametrize("kind", [TELL, REPLY])
def test_what_is_held_fits_two_windows(incoming, counters, kind):
    """What costs credit, and as much again in chunks: filled to the byte, whatever the kind."""
    half = WINDOW
    assert incoming.accept(batch(2, kind=kind, messages=100, size=half - 100 * OVERHEAD), 0.0) == []
    assert incoming.accept(batch(4, kind=kind, size=half - OVERHEAD + 1), 0.0) == []
    assert counters["dropped.too_early"] == 1
    assert incoming.accept(batch(3, kind=kind, size=half - OVERHEAD), 0.0) == []
    assert counters["dropped.too_early"] == 1
    taken = numbers(incoming.accept(batch(1, kind=CANCEL), 0.0))
    assert taken == ([1, 2, 3] if kind == REPLY else [1, 2])


def test_credit_is_taken_to_the_byte_and_not_beyond(incoming, counters):
    """A batch that costs the whole window is accepted; one byte more is dropped, unacknowledged."""
    assert incoming.accept(batch(1, size=WINDOW - OVERHEAD + 1), 0.0) == []
    assert (counters["dropped.over_credit"], incoming.acknowledged) == (1, 0)
    assert incoming.due == LATER
    assert numbers(incoming.accept(batch(1, size=WINDOW - OVERHEAD), 0.0)) == [1]
    assert incoming.accept(batch(2, size=0), 0.0) == []
    assert counters["dropped.over_credit"] == 2
    incoming.finished_run(1, 0.0)
    assert incoming.credit == 2 * WINDOW
    assert numbers(incoming.accept(batch(2, size=0), 0.0)) == [2]


def test_a_held_batch_beyond_credit_is_not_acknowledged(incoming, counters):
    """It is dropped when its turn comes, and taken when it is sent again after credit returned."""
    large = batch(2, size=WINDOW - OVERHEAD)
    assert incoming.accept(large, 0.0) == []
    assert numbers(incoming.accept(batch(1), 0.0)) == [1]
    assert (counters["dropped.over_credit"], incoming.acknowledged) == (1, 1)
    assert incoming.gap is None
    incoming.finished_run(1, 0.0)
    assert numbers(incoming.accept(large, 0.0)) == [2]


@pytest.mark.parametrize("depth", range(1, constants.DEPTH_MAX + 1))
def test_each_depth_has_room_of_its_own(incoming, counters, depth):
    """Filled to the byte with the window full, and no byte more; it returns with the handler."""
    kind, room = request_kind(depth), constants.NESTED_WINDOW_BYTES
    assert incoming.accept(batch(1, size=WINDOW - OVERHEAD), 0.0)
    assert incoming.accept(batch(2, kind=kind, size=room - OVERHEAD + 1), 0.0) == []
    assert incoming.accept(batch(2, kind=kind, size=room - OVERHEAD), 0.0)
    assert incoming.accept(batch(3, kind=kind, size=0), 0.0) == []
    assert counters["dropped.over_credit"] == 2
    other = request_kind(depth % constants.DEPTH_MAX + 1)
    assert incoming.accept(batch(3, kind=other, size=room - OVERHEAD), 0.0)
    incoming.finished_run(2, 0.0)
    assert incoming.credit == WINDOW
    assert incoming.accept(batch(4, kind=kind, size=room - OVERHEAD), 0.0)


def test_batches_of_a_depth_are_bounded(incoming, counters):
    """However small they are, so that those of all depths find a place."""
    most = constants.NESTED_BATCHES
    for number in range(1, most + 1):
        assert incoming.accept(batch(number, kind=request_kind(2), size=0), 0.0)
    assert incoming.accept(batch(most + 1, kind=request_kind(2), size=0), 0.0) == []
    assert counters["dropped.over_credit"] == 1
    incoming.finished_run(7, 0.0)
    assert incoming.accept(batch(most + 1, kind=request_kind(2), size=0), 0.0)


def test_a_batch_of_two_depths_is_refused(incoming, counters):
    """No honest peer makes one, and whose room it should take nobody could say."""
    for pair in ((TELL, request_kind(1)), (request_kind(3), request_kind(4))):
        runs = [[kind, "log", [b""]] for kind in pair]
        assert incoming.accept(Body(1, 0, [0], 0, runs, 10, len(runs)), 0.0) == []
    assert counters["dropped.over_credit"] == 2
    assert incoming.acknowledged == 0
    runs = [[kind, "log", [b""]] for kind in (TELL, REPLY, REQUEST)]
    assert incoming.accept(Body(1, 0, [0], 0, runs, 10, len(runs)), 0.0)


def test_a_grant_is_told_at_once(incoming):
    """Room that returned with a handler is waited for."""
    assembly = incoming.assembly
    for lane in (1, 2):
        assembly.announce(Announced(lane, REPLY, "", 1 << 20, b""))
    assembly.grants_due.clear()
    incoming.accept(batch(1), 0.0)
    assembly.take(assembly.add(1, bytes(1 << 20)), 1)
    incoming.finished_run(1, 0.0)
    assert (incoming.due, assembly.grants_due) == (0.0, [2])


def test_only_credited_kinds_cost_credit(incoming):
    """Replies and cancels are free; beside a credited run every byte and message counts."""
    for number, kind in ((1, REPLY), (2, CANCEL), (3, 17)):
        assert incoming.accept(batch(number, kind=kind, size=1 << 30), 0.0)
        incoming.finished_run(number, 0.0)
    assert incoming.credit == WINDOW
    runs = [[REPLY, "", [1, 2]], [REQUEST, "log", [3]]]
    assert incoming.accept(Body(4, 0, [0], 0, runs, 100, 3), 0.0)
    incoming.finished_run(4, 0.0)
    assert incoming.credit == WINDOW
    incoming.finished_run(4, 0.0)
    assert incoming.credit == WINDOW + 100 + 3 * OVERHEAD


def test_unfinished_batches_are_bounded(incoming, counters):
    """A peer that floods with what costs no credit is stopped by their number."""
    for number in range(1, UNFINISHED_BATCHES + 1):
        assert incoming.accept(batch(number, kind=REPLY), 0.0)
    assert incoming.accept(batch(UNFINISHED_BATCHES + 1, kind=REPLY), 0.0) == []
    assert counters["dropped.over_credit"] == 1
    incoming.finished_run(5, 0.0)
    assert incoming.accept(batch(UNFINISHED_BATCHES + 1, kind=REPLY), 0.0)


def test_a_batch_without_runs_is_finished_at_once(incoming):
    """There is nobody who could finish it later."""
    assert numbers(incoming.accept(Body(1, 0, [0], 0, [], 0, 0), 0.0)) == [1]
    assert incoming.handled == [1]
    with pytest.raises(KeyError):
        incoming.finished_run(1, 0.0)


# -- what we owe the peer


def test_a_batch_is_handled_when_its_last_run_is(incoming):
    """Credit returns and the number is told only then; to finish once more is our own mistake."""
    incoming.accept(batch(1, runs=3, size=100), 0.0)
    for _ in range(2):
        incoming.finished_run(1, 0.0)
        assert (incoming.handled, incoming.credit) == ([0], WINDOW)
    incoming.finished_run(1, 0.0)
    assert (incoming.handled, incoming.credit) == ([1], WINDOW + 100 + 3 * OVERHEAD)
    with pytest.raises(KeyError):
        incoming.finished_run(1, 0.0)


@given(st.permutations(range(1, 25)))
def test_handled_ranges_tell_exactly_what_is_handled(order):
    """Finished in any order, the ranges ascend, never touch, and arrive as they were."""
    incoming = make()
    for number in range(1, 25):
        incoming.accept(batch(number), 0.0)
    done = set()
    for number in order:
        incoming.finished_run(number, 0.0)
        done.add(number)
        handled = decode_body(encode_head(0, 0, incoming.handled, 0, 0)).handled
        up_to, ranges = handled[0], handled[1:]
        told = set(range(1, up_to + 1))
        previous = up_to
        for first, last in ranges:
            assert previous + 1 < first <= last
            told |= set(range(first, last + 1))
            previous = last
        assert told == done
    assert incoming.handled == [24]


def test_one_slow_handler_keeps_nothing_growing(incoming):
    """While one batch stays unfinished, thousands of others are one range, not thousands of marks.

    They are told in time all along.
    """
    incoming.accept(batch(1), 0.0)
    for number in range(2, 5_000):
        incoming.accept(batch(number), 0.0)
        incoming.finished_run(number, 0.0)
    assert incoming.handled == [0, (2, 4_999)]
    incoming.finished_run(1, 0.0)
    assert incoming.handled == [4_999]


@given(st.integers(0, 2**32))
def test_ranges_are_no_more_than_unfinished_batches(seed):
    """However handlers finish, the head's length is bounded by what is unfinished."""
    random = Random(seed)
    incoming = make()
    open_batches = []
    for number in range(1, 200):
        incoming.accept(batch(number), 0.0)
        open_batches.append(number)
        while open_batches and random.random() < 0.5:
            incoming.finished_run(open_batches.pop(random.randrange(len(open_batches))), 0.0)
        assert len(incoming.handled) - 1 <= len(open_batches)


def test_what_changed_is_told_after_twenty_milliseconds(incoming):
    """The clock starts with the first change since the peer was told, and stops when it is."""
    assert incoming.due == inf
    incoming.accept(batch(1), 1.0)
    incoming.accept(batch(2), 1.01)
    incoming.finished_run(1, 1.015)
    assert incoming.due == 1.0 + LATER
    incoming.told()
    assert incoming.due == inf
    incoming.finished_run(2, 2.0)
    assert incoming.due == 2.0 + LATER


def test_an_eighth_of_the_window_is_told_at_once(incoming):
    """Not a byte less makes it due, and the count begins anew when it was told."""
    eighth = WINDOW // constants.TELL_AFTER_WINDOW_PART
    number = 0
    for _ in range(2):
        for size in (eighth - OVERHEAD - 1 - OVERHEAD, 1):
            number += 1
            incoming.accept(batch(number, size=size), 0.0)
            assert incoming.due == LATER
            incoming.finished_run(number, 0.001)
        assert incoming.due == 0.001
        incoming.told()


def test_a_peer_that_keeps_little_is_told_before_it_has_to_wait():
    """Half of what it may keep is told at once when it is accepted, handled or not."""
    incoming = make(kept=2000)
    incoming.accept(batch(1, size=999), 1.0)
    assert incoming.due == 1.0 + LATER
    incoming.accept(batch(2, size=1), 1.001)
    assert incoming.due == 1.001
    incoming.told()
    incoming.accept(batch(3, size=999), 2.0)
    assert incoming.due == 2.0 + LATER


def test_an_eighth_of_the_window_that_cost_nothing_is_told_at_once(incoming):
    """Its sender has no other limit; what costs credit is told of when its room returns."""
    half = WINDOW // constants.TELL_AFTER_WINDOW_PART // 2
    for number, kind in enumerate([TELL] * 4 + [REPLY], 1):
        incoming.accept(batch(number, kind=kind, size=half), 1.0)
        assert incoming.due == 1.0 + LATER
    incoming.accept(batch(6, kind=REPLY, size=half), 1.0)
    assert incoming.due == 1.0
    incoming.told()
    incoming.accept(batch(7, kind=REPLY, size=half), 2.0)
    assert incoming.due == 2.0 + LATER


@pytest.mark.parametrize("kind", [TELL, REPLY])
def test_a_sender_of_many_small_batches_is_told_before_it_has_to_wait(incoming, kind):
    """An eighth of the batches that may be under way is told at once, however small they are."""
    eighth = constants.UNACKNOWLEDGED_BATCHES // constants.TELL_AFTER_WINDOW_PART
    for number in range(1, eighth):
        incoming.accept(batch(number, kind=kind), 5.0)
    assert incoming.due == 5.0 + LATER
    incoming.accept(batch(eighth, kind=kind), 5.001)
    assert incoming.due == 5.001
    incoming.told()
    incoming.accept(batch(eighth + 1, kind=kind), 6.0)
    assert incoming.due == 6.0 + LATER


def test_many_finished_batches_are_told_at_once(incoming):
    """So that a sender with as many unhandled ones as it may have goes on in time."""
    eighth = constants.UNHANDLED_BATCHES // constants.TELL_AFTER_WINDOW_PART
    for number in range(1, eighth + 1):
        incoming.accept(batch(number, size=1), 0.0)
    incoming.told()
    for number in range(1, eighth):
        incoming.finished_run(number, 1.0)
    assert incoming.due == 1.0 + LATER
    incoming.finished_run(eighth, 1.001)
    assert incoming.due == 1.001


def test_a_sender_at_full_speed_never_fills_its_window_of_batches():
    """One message a batch, told only when due: nobody ever waits for the timer."""
    direction = Direction(window=1 << 20)
    for n in range(2_000):
        assert direction.tell("log", b"%d" % n)
        for frame in direction.flush():
            direction.arrive(frame)
        direction.finish()
        if direction.incoming.due <= direction.now:
            direction.tell_back()
        assert len(direction.outgoing.unacknowledged) < constants.UNACKNOWLEDGED_BATCHES // 2
    direction.tell_back()
    direction.check_settled()
