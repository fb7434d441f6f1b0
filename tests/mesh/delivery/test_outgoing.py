"""The sending half: what is queued, what leaves, and what a peer may make us believe."""

import pytest

from deliveries import WINDOW, Direction, frame_of, open_cost
from mesh import constants
from mesh.delivery.outgoing import Outgoing
from mesh.errors import InvalidMessage
from mesh.limits import (
    CHUNK_BYTES,
    FRAME_BUDGET_BYTES,
    MESSAGE_BUDGET_BYTES,
)
from mesh.wire.cbor import dumps
from mesh.wire.messages import (
    ABANDON,
    CANCEL,
    NESTED_REQUESTS,
    REPLY,
    REQUEST,
    RUNS_MAX,
    TELL,
    unpacked,
)

RUN_HEAD_BYTES = 16
LARGE_WINDOW = 1 << 30


@pytest.fixture
def direction():
    """A direction with a window that is never full."""
    return Direction(window=LARGE_WINDOW)


def batches(outgoing):
    """What waits to be sent, as the runs a receiver decodes."""
    bodies = [frame_of(batch).body() for batch in outgoing.take_unsent()]
    return [
        [[kind, subject, unpacked(items)] for kind, subject, items in body.runs] for body in bodies
    ]


def fill_batches(outgoing, count, kind=TELL):
    """Queue so many batches of one small message each, and send them."""
    for _ in range(count):
        assert outgoing.offer(kind, "log", b"\xf6") is not None
        outgoing.close_batch()
    for batch in outgoing.take_unsent():
        outgoing.sent(batch, 0.0)


# -- queueing


def test_neighbours_of_one_kind_and_subject_are_one_run(direction):
    """A run ends where kind, subject or encoding changes; the order is that of the offers."""
    for subject, body in (("a", b"1"), ("a", b"2"), ("b", b"3"), ("a", b"4")):
        assert direction.tell(subject, body)
    assert direction.offer(TELL, "a", {"n": 5})
    assert direction.offer(TELL, "a", {"n": 6})
    assert direction.offer(CANCEL, "a", None, 7)
    direction.outgoing.close_batch()
    assert batches(direction.outgoing) == [
        [
            [TELL, "a", [b"1", b"2"]],
            [TELL, "b", [b"3"]],
            [TELL, "a", [b"4"]],
            [TELL, "a", [{"n": 5}, {"n": 6}]],
            [CANCEL, "a", [7]],
        ]
    ]


def test_messages_of_one_batch_share_its_receipt(direction):
    """One receipt a batch, made when it opens, and another one for the next."""
    outgoing = direction.outgoing
    first = outgoing.offer(TELL, "log", b"1", raw=True)
    assert outgoing.offer(REPLY, "", b"\xf6") is first is outgoing.receipt
    outgoing.close_batch()
    second = outgoing.offer(TELL, "log", b"2", raw=True)
    assert second is not first
    assert direction.receipts == [first, second]


@pytest.mark.parametrize("by_offer", [True, False])
def test_a_batch_takes_its_budget_to_the_byte(direction, by_offer):
    """Exactly full is one batch, by offers and by the hot path; one byte more are two."""
    outgoing = direction.outgoing
    for surplus in (0, 1):
        outgoing.offer(TELL, "log", b"first", raw=True)
        last = bytes(outgoing.budget - MESSAGE_BUDGET_BYTES + surplus)
        if by_offer:
            outgoing.offer(TELL, "log", last, raw=True)
        else:
            assert direction.tell("log", last)
        assert bool(outgoing.unsent) == bool(surplus)
        assert outgoing.budget == (
            0 if not surplus else FRAME_BUDGET_BYTES - RUN_HEAD_BYTES - 3 - len(last) - 64
        )
        outgoing.close_batch()
        direction.carry()


def test_what_does_not_fit_the_frame_budget_is_a_batch_of_its_own(direction):
    """A large encoded body closes the open batch, and lets nothing in behind it."""
    outgoing = direction.outgoing
    for subject in ("before", "large", "after"):
        body = {"n": "x" * (3 * FRAME_BUDGET_BYTES if subject == "large" else 3)}
        assert direction.offer(TELL, subject, body)
    outgoing.close_batch()
    assert [[run[1] for run in runs] for runs in batches(outgoing)] == [
        ["before"],
        ["large"],
        ["after"],
    ]


def test_closing_nothing_makes_no_batch(direction):
    """Without messages there is no batch, and no number is used up."""
    direction.outgoing.close_batch()
    assert direction.outgoing.next_number == 1
    assert direction.outgoing.idle
    assert not direction.outgoing.open_runs


def test_idle_means_nothing_open_and_nothing_unacknowledged(direction):
    """An open batch, then an unacknowledged one, and then it is idle again."""
    outgoing = direction.outgoing
    assert direction.tell("log", b"x")
    assert (outgoing.idle, bool(outgoing.open_runs)) == (False, True)
    frames = direction.flush()
    assert (outgoing.idle, bool(outgoing.open_runs)) == (False, False)
    direction.arrive(frames[0])
    direction.tell_back()
    assert outgoing.idle


@pytest.mark.parametrize("bad", ["x" * 256, "\xff" * 128, "half \ud800"])
def test_a_subject_that_cannot_be_carried_is_refused_at_once(direction, bad):
    """The error is its caller's, and the messages of others leave as if nothing had been."""
    outgoing = direction.outgoing
    assert direction.tell("log", b"others")
    for offer in (
        lambda: outgoing.offer(TELL, bad, b"x", raw=True),
        lambda: outgoing.offer(TELL, bad, b"\x01", b"x"),
    ):
        with pytest.raises(InvalidMessage):
            offer()
    assert direction.tell("\xff" * 127 + "x", b"a subject of 255 bytes")
    direction.carry()
    direction.check_settled()


def test_a_subject_costs_its_bytes_in_utf_8(direction):
    """Not its characters, and not four times as much."""
    outgoing = direction.outgoing
    outgoing.offer(TELL, "\U0001f41d" * 10, b"", raw=True)
    used = FRAME_BUDGET_BYTES - outgoing.budget
    assert used == RUN_HEAD_BYTES + 40 + MESSAGE_BUDGET_BYTES


# -- room


def test_credit_is_used_to_the_byte():
    """A message whose largest cost is what is left fits; one byte more has to wait."""
    for surplus in (0, 1):
        direction = Direction(window=WINDOW)
        outgoing = direction.outgoing
        assert direction.bulk(TELL, "log", bytes(20_000))
        assert direction.tell("log", b"open")
        free = outgoing.credit.left(0) - open_cost(outgoing)
        size = free - MESSAGE_BUDGET_BYTES - RUN_HEAD_BYTES - len(dumps(free)) - 3 + surplus
        assert direction.bulk(TELL, "log", bytes(size)) is not surplus
        assert outgoing.starved == bool(surplus)
        direction.carry()
        direction.check_settled()


def test_an_uncredited_batch_takes_credited_messages_only_when_credit_is_sure():
    """With less credit than a frame's budget a reply opens a batch that no tell may join."""
    direction = Direction(window=WINDOW)
    assert direction.offer(REPLY, "", 1)
    assert direction.tell("log", b"joins: the window is untouched")
    direction.flush()
    assert direction.offer(REPLY, "", 2)
    assert direction.tell("log", b"a batch of its own")
    assert direction.offer(REPLY, "", 3)
    direction.outgoing.close_batch()
    kinds = [[run[0] for run in runs] for runs in batches(direction.outgoing)]
    assert kinds == [[REPLY], [TELL, REPLY]]


def test_replies_and_cancels_need_no_credit():
    """With no byte of credit left they leave all the same, and cost nothing."""
    direction = Direction(window=WINDOW)
    while direction.tell("log", bytes(3_000)):
        pass
    direction.outgoing.close_batch()
    left = direction.outgoing.credit.left(0)
    assert not direction.offer(REQUEST, "log", bytes(3_000))
    assert direction.bulk(REPLY, "", bytes(200_000))
    assert direction.offer(REPLY, "", bytes(200_000))
    assert direction.offer(CANCEL, "", None)
    direction.outgoing.close_batch()
    assert direction.outgoing.credit.left(0) == left
    direction.carry()
    direction.check_settled()


def test_what_is_kept_for_a_peer_is_bounded_in_bytes():
    """However large a window it claims: replies count as well, and one always finds room."""
    direction = Direction(window=1 << 40, kept=50_000)
    outgoing = direction.outgoing
    assert direction.bulk(REPLY, "", b"r" * 60_000)
    assert not direction.bulk(TELL, "log", b"t" * 20_000)
    assert outgoing.starved
    direction.carry()
    assert outgoing.unacknowledged == {}
    assert direction.bulk(TELL, "log", b"t" * 20_000)
    assert direction.bulk(REPLY, "", b"r" * 20_000)
    assert not direction.offer(REPLY, "", "x" * 20_000)
    direction.carry()
    assert direction.offer(REPLY, "", "x" * 20_000)
    direction.carry()
    assert outgoing._unacknowledged_bytes == 0


def test_a_batch_holds_no_more_runs_than_a_peer_takes(direction):
    """The next one is in a batch of its own."""
    for number in range(RUNS_MAX + 1):
        assert direction.tell("ab"[number % 2], b"")
    full, rest = (frame.body() for frame in direction.flush())
    assert (len(full.runs), len(rest.runs)) == (RUNS_MAX, 1)


@pytest.mark.parametrize("kind", [TELL, REPLY])
def test_unacknowledged_batches_are_bounded(kind):
    """One more than may be unacknowledged has to wait, whatever its kind, until one is."""
    direction = Direction(window=LARGE_WINDOW)
    outgoing = direction.outgoing
    fill_batches(outgoing, constants.UNACKNOWLEDGED_BATCHES - 1, kind)
    assert outgoing.offer(kind, "open", b"\xf6") is not None
    assert outgoing.offer(kind, "joins", b"\xf6") is not None
    assert outgoing.offer(kind, "log", b"\x01", b"x") is None
    assert outgoing.starved
    outgoing.close_batch()
    assert outgoing.offer(kind, "log", b"\xf6") is None
    assert outgoing.acknowledge(1)
    assert not outgoing.starved
    assert outgoing.offer(kind, "log", b"\xf6") is not None


def test_unhandled_batches_are_bounded_for_credited_messages():
    """A peer that accepts but never handles gets no more batches, though replies still leave."""
    direction = Direction(window=LARGE_WINDOW)
    outgoing = direction.outgoing
    for _ in range(constants.UNHANDLED_BATCHES - 1):
        fill_batches(outgoing, 1)
        outgoing.acknowledge(outgoing.next_number - 1)
    assert outgoing.offer(TELL, "log", b"\xf6") is not None
    assert outgoing.offer(TELL, "log", b"\x01", b"x") is None
    fill_batches(outgoing, 1, REPLY)
    outgoing.acknowledge(outgoing.next_number - 1)
    assert outgoing.offer(REPLY, "", b"\xf6") is not None
    assert outgoing.offer(TELL, "log", b"\xf6") is None, "by joining a batch of replies"
    assert outgoing.starved
    assert len(outgoing.on_handled([1])) == 1
    assert not outgoing.starved
    assert outgoing.offer(TELL, "log", b"\xf6") is not None


def test_a_sender_without_room_asks_until_the_peer_made_some():
    """Neither closing what was open nor sending what needs no credit ends the wait."""
    direction = Direction(window=WINDOW)
    outgoing = direction.outgoing
    while direction.tell("log", bytes(3_000)):
        pass
    assert outgoing.starved
    frames = direction.flush()
    assert outgoing.starved
    assert direction.offer(REPLY, "", 1)
    frames += direction.flush()
    assert outgoing.starved
    assert not outgoing.on_credit(WINDOW)
    assert outgoing.starved
    assert outgoing.on_credit(WINDOW + 1)
    assert not outgoing.starved
    for frame in frames:
        direction.arrive(frame)


# -- sending


def test_batches_leave_in_order_and_stay_until_acknowledged(direction):
    """What is not marked as sent still waits; what was sent keeps its bytes for another time."""
    outgoing = direction.outgoing
    for n in range(3):
        assert direction.tell("log", b"%d" % n)
        outgoing.close_batch()
    one, two, three = outgoing.take_unsent()
    outgoing.sent(one, 5.0)
    assert list(outgoing.take_unsent()) == [two, three]
    assert (one.sent_at, one.attempts, two.sent_at, two.attempts) == (5.0, 1, None, 0)
    assert outgoing.send_all_again() == 1
    assert [batch.number for batch in outgoing.take_unsent()] == [1, 2, 3]
    assert next(outgoing.take_unsent()) is one
    outgoing.sent(one, 6.0)
    assert (one.sent_at, one.attempts) == (6.0, 2)


def test_only_what_is_missing_and_was_sent_before_is_sent_again(direction):
    """A range of any size names batches of ours; those just sent are left alone."""
    outgoing = direction.outgoing
    for n in range(6):
        direction.now = float(n)
        assert direction.tell("log", b"%d" % n)
        direction.flush()
    outgoing.acknowledge(1)
    assert outgoing.send_again(0, 2**63, now=4.0) == 3
    assert [batch.number for batch in outgoing.take_unsent()] == [2, 3, 4]
    assert outgoing.send_again(5, 5) == 1
    assert outgoing.send_again(7, 6) == 0
    assert [batch.number for batch in outgoing.take_unsent()] == [2, 3, 4, 5]
    outgoing.acknowledge(4)
    assert [batch.number for batch in outgoing.take_unsent()] == [5]


def test_who_asks_again_and_again_gets_ever_fewer_copies(direction):
    """The pause between two copies of a batch doubles, to ten seconds."""
    outgoing = direction.outgoing
    assert direction.tell("log", b"x")
    direction.flush()
    copies, now = 0, 0.0
    for _ in range(1000):
        now += 0.02
        copies += outgoing.send_again(1, 1, now=now, pause=0.02)
        for batch in outgoing.take_unsent():
            outgoing.sent(batch, now)
    assert copies == 9


# -- what a peer may make us believe


def test_acknowledgements_are_cumulative_and_monotone(direction):
    """Each receipt is delivered once; older numbers change nothing."""
    outgoing = direction.outgoing
    fill_batches(outgoing, 3)
    assert outgoing.acknowledged == 0
    assert outgoing.acknowledge(2) == direction.receipts[:2]
    assert outgoing.acknowledge(1) == outgoing.acknowledge(2) == []
    assert outgoing.acknowledged == 2
    assert outgoing.acknowledge(3) == direction.receipts[2:]
    assert outgoing.acknowledged == 3


@pytest.mark.parametrize("lie", [4, 5, 2**64 - 1])
def test_an_acknowledgement_of_what_never_left_is_not_believed(direction, lie):
    """Neither of a number never given, nor of a batch that is queued but was not sent."""
    outgoing = direction.outgoing
    fill_batches(outgoing, 3)
    assert outgoing.offer(TELL, "log", b"\xf6")
    outgoing.close_batch()
    assert outgoing.acknowledge(lie) == []
    assert list(outgoing.unacknowledged) == [1, 2, 3, 4]
    assert outgoing.acknowledge(3) == direction.receipts[:3]


def test_credit_never_goes_back(direction):
    """The larger offset holds, however late the smaller one arrives."""
    outgoing = Outgoing(object, window_bytes=WINDOW, max_message_bytes=1, kept_bytes=WINDOW)
    assert outgoing.credit.left(0) == WINDOW
    assert outgoing.on_credit(WINDOW + 10)
    assert not outgoing.on_credit(WINDOW + 10)
    assert not outgoing.on_credit(0)
    assert outgoing.credit.left(0) == WINDOW + 10


# -- large messages (all their states: test_outgoing_large)


def test_a_large_message_goes_in_chunks_between_others(direction):
    """Announced, granted, then a chunk a batch; small ones of its subject wait, replies do not."""
    outgoing = direction.outgoing
    assert direction.large(TELL, "log", bytes(3 * CHUNK_BYTES))
    assert not direction.tell("log", b"late")
    assert not direction.bulk(TELL, "log", b"late")
    direction.carry()
    assert outgoing.put_chunks()
    assert direction.offer(REPLY, "", 1)
    direction.settle()
    assert not outgoing.put_chunks()
    assert direction.tell("log", b"after")
    direction.carry()
    direction.check_settled()


def test_what_is_abandoned_is_told_before_its_place_is_taken_again():
    """As soon as there is room to say so; what has left whole is not abandoned."""
    direction = Direction(window=WINDOW)
    outgoing = direction.outgoing
    for tag in range(constants.LARGE_PER_CLASS):
        assert direction.large(REQUEST, "ask", bytes(WINDOW), tag=tag)
    assert not direction.large(REQUEST, "ask", bytes(WINDOW))
    fill_batches(outgoing, constants.UNACKNOWLEDGED_BATCHES, REPLY)
    assert outgoing.abandon(0)
    assert not outgoing.abandon(0)
    assert not direction.large(REQUEST, "ask", bytes(WINDOW))
    outgoing.acknowledge(1)
    assert not outgoing.put_chunks()
    assert frame_of(next(outgoing.take_unsent())).body().runs[0][0] == ABANDON
    outgoing.acknowledge(2)
    assert outgoing.offer_large(REQUEST, "ask", b"", bytes(WINDOW)) is not None


# -- the end


@pytest.mark.parametrize("surely", [True, False])
def test_every_receipt_that_waits_fails_once_with_its_outcome(direction, surely):
    """What never left was surely not delivered; what left is unknown unless the peer said all."""
    outgoing = direction.outgoing
    fill_batches(outgoing, 4)
    outgoing.acknowledge(2)
    outgoing.on_handled([1])
    assert outgoing.offer(REPLY, "", dumps([1, 0, 4]), b"bulk") is not None
    assert outgoing.offer(TELL, "log", b"open", raw=True) is not None
    _, handled_not, sent, sent_too, numbered, opened = direction.receipts
    left = "not_delivered" if surely else "unknown"
    assert outgoing.fail_all(surely=surely) == [
        (handled_not, "unknown"),
        (sent, left),
        (sent_too, left),
        (numbered, "not_delivered"),
        (opened, "not_delivered"),
    ]
    assert outgoing.fail_all(surely=surely) == []


def test_after_the_end_nothing_finds_room(direction):
    """A message offered too late has to wait; it does not vanish in a queue nobody sends."""
    outgoing = direction.outgoing
    assert direction.tell("log", b"x")
    outgoing.fail_all(surely=False)
    assert outgoing.raw_subject is None
    assert outgoing.offer(TELL, "log", b"x", raw=True) is None
    assert outgoing.offer(REPLY, "", b"\xf6") is None
    assert outgoing.offer(TELL, "log", b"\x01", b"x") is None
    assert not outgoing.unsent
    assert outgoing.idle


@pytest.mark.parametrize(
    ("window", "whole"),
    [(64 * 1024, 16 * 1024), (1 << 20, 1 << 18), (1 << 22, 1 << 20), (1 << 40, 1 << 20)],
)
def test_how_large_a_message_leaves_whole(window, whole):
    """A quarter of the window, never more than a frame carries; little of it inside a request."""
    outgoing = Direction(window=window).outgoing
    assert [outgoing.whole_bytes(kind) for kind in (TELL, REQUEST, REPLY)] == [whole] * 3
    nested = [outgoing.whole_bytes(kind) for kind in NESTED_REQUESTS]
    assert nested == [constants.NESTED_WHOLE_BYTES] * constants.DEPTH_MAX
