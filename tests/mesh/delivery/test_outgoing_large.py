"""Large messages at the sending half: announced, granted, and in chunks between everything else."""

import pytest

from deliveries import Direction, frame_of
from mesh import constants
from mesh.errors import InvalidMessage
from mesh.limits import CHUNK_BYTES, CHUNKS_UNDER_WAY
from mesh.wire.cbor import dumps
from mesh.wire.messages import ABANDON, CHUNK, LARGE, NESTED_REQUESTS, REPLY, REQUEST, TELL

WINDOW = 64 * 1024
PART = WINDOW // 4


@pytest.fixture
def direction():
    """To a peer with the smallest window, so that four chunks of 16 KiB are under way."""
    return Direction(window=WINDOW)


def kinds(frames):
    """What left, in order."""
    return [run[0] for frame in frames for run in frame.body().runs]


def deliver(direction, frames):
    """They arrive, and the peer says so; its handlers are not done."""
    for frame in frames:
        direction.arrive(frame)
    direction.tell_back()


def announce(direction, size=10 * PART, subject="log", kind=TELL, tag=None):
    """A large message whose announcement has arrived and was granted; its body."""
    body = bytes([65 + len(direction.sent)]) * size
    assert direction.large(kind, subject, body, tag=tag)
    deliver(direction, direction.flush())
    return body


# -- in chunks


def test_no_chunk_leaves_before_its_grant(direction):
    """The announcement does, and everything else."""
    assert direction.large(TELL, "log", bytes(10 * PART))
    assert not direction.outgoing.idle
    assert kinds(direction.flush()) == [LARGE]
    assert direction.outgoing.acknowledge(1)
    assert not direction.outgoing.idle
    assert direction.tell("other", b"x")
    assert kinds(direction.flush()) == [TELL]
    direction.outgoing.lanes.grant(1)
    assert kinds(direction.flush()) == [CHUNK] * CHUNKS_UNDER_WAY


@pytest.mark.parametrize(("window", "chunk"), [(WINDOW, PART), (1 << 22, CHUNK_BYTES)])
def test_chunks_are_a_quarter_of_the_window_or_less(window, chunk):
    """So that others have room beside them at the peer."""
    direction = Direction(window=window, max_message=1 << 24)
    announce(direction, 10 * chunk)
    sizes = [len(frame.bulk) for frame in direction.flush()]
    assert sizes == [chunk] * CHUNKS_UNDER_WAY


def test_so_many_chunks_are_under_way_and_no_more(direction):
    """Each that arrives makes room for one, whatever its lane."""
    announce(direction)
    announce(direction, subject="other")
    first = direction.flush()
    assert kinds(first) == [CHUNK] * CHUNKS_UNDER_WAY
    assert direction.flush() == []
    deliver(direction, first[:3])
    assert kinds(direction.flush()) == [CHUNK] * 3
    direction.outgoing.send_all_again()
    direction.settle()
    direction.check_settled()


def test_a_body_is_never_copied(direction):
    """Each batch holds a view of the very object, also when it is sent again, with equal bytes."""
    body = announce(direction)
    direction.outgoing.put_chunks()
    batches = list(direction.outgoing.take_unsent())
    assert all(batch.bulk.obj is body for batch in batches)
    before = [frame_of(batch) for batch in batches]
    for batch in batches:
        direction.outgoing.sent(batch, 0.0)
    assert direction.outgoing.send_all_again() == CHUNKS_UNDER_WAY
    again = [frame_of(batch) for batch in direction.outgoing.take_unsent()]
    assert again == before
    for frame in (*again, *before):
        direction.arrive(frame)
    direction.settle()
    direction.check_settled()


def test_other_messages_go_between_chunks(direction):
    """Replies, requests of every depth, and messages of other subjects wait for no chunk."""
    announce(direction)
    frames = direction.flush()
    for kind in (REPLY, REQUEST, *NESTED_REQUESTS, TELL):
        assert direction.offer(kind, "other", "x")
    assert REPLY in kinds(direction.flush())
    assert direction.bulk(REPLY, "", bytes(PART))
    direction.flush()
    assert direction.outgoing.lanes
    direction.outgoing.send_all_again()
    deliver(direction, frames)
    direction.settle()
    direction.check_settled()


def test_chunks_take_no_credit_and_wait_for_none(direction):
    """With no byte of the window left they leave, and what they cost returns nowhere."""
    announce(direction)
    while direction.bulk(TELL, "other", bytes(1000)):
        pass
    direction.outgoing.close_batch()
    left = direction.outgoing.credit.left(0)
    assert CHUNK in kinds(direction.flush())
    assert direction.outgoing.credit.left(0) == left
    direction.outgoing.send_all_again()
    direction.settle()
    direction.check_settled()


def test_chunks_neither_wait_for_what_is_kept_nor_take_of_it():
    """Small messages that fill it do not hold them up; nor do they hold up a reply."""
    direction = Direction(window=1 << 20, kept=20_000)
    announce(direction, 1 << 20)
    assert direction.bulk(REPLY, "", bytes(20_000))
    assert CHUNK in kinds(direction.flush())
    direction.outgoing.acknowledge(2)
    assert len(direction.outgoing.unacknowledged) == CHUNKS_UNDER_WAY
    assert direction.bulk(REPLY, "", bytes(19_000))


def test_a_chunk_needs_a_number_like_every_batch(direction):
    """With all of them under way it waits; the first that is acknowledged makes room."""
    announce(direction)
    while direction.offer(REPLY, "", 1):
        direction.outgoing.close_batch()
    assert not direction.outgoing.put_chunks()
    assert len(direction.outgoing.unacknowledged) == constants.UNACKNOWLEDGED_BATCHES
    frames = direction.flush()
    direction.arrive(frames[0])
    direction.tell_back()
    assert direction.outgoing.put_chunks()
    assert not direction.outgoing.put_chunks()


# -- order


def test_a_small_message_waits_at_every_state_of_a_large_one(direction):
    """From its announcement to the batch of its last chunk; other subjects never do."""
    body = bytes(6 * PART)
    assert direction.tell("log", b"before")
    assert direction.large(TELL, "log", body)
    outgoing = direction.outgoing

    def waits():
        assert direction.tell("other", b"goes by")
        return not (
            direction.tell("log", b"late")
            or direction.offer(TELL, "log", "late")
            or direction.bulk(TELL, "log", bytes(PART))
        )

    assert waits()
    deliver(direction, direction.flush())
    assert waits()
    deliver(direction, direction.flush())
    assert waits()
    assert outgoing.lanes
    outgoing.put_chunks()
    assert not outgoing.lanes
    assert direction.tell("log", b"after")
    direction.settle()
    direction.check_settled()
    log = [item for _, subject, item in direction.got if subject == "log"]
    assert log == [b"before", body, b"after"]


def test_several_large_ones_of_a_subject_arrive_in_their_order(direction):
    """All announced ahead, though the last is the shortest; another subject's goes beside."""
    sizes = [9 * PART, 5 * PART, PART + 1]
    for size in sizes:
        assert direction.large(TELL, "log", bytes(size))
    assert direction.large(TELL, "other", bytes(6 * PART))
    direction.settle()
    direction.check_settled()
    log = [len(item) for _, subject, item in direction.got if subject == "log"]
    assert log == sizes


def test_no_more_of_a_class_are_announced_than_have_a_place(direction):
    """Of each: one more waits; there is a place when the last chunk of one has its batch."""
    for kind in (TELL, *NESTED_REQUESTS, REPLY):
        for number in range(constants.LARGE_PER_CLASS):
            assert direction.large(kind, f"s{number}", bytes(PART + 1))
        assert not direction.large(kind, "one more", bytes(PART + 1))
    assert not direction.large(REQUEST, "s", bytes(PART + 1))
    direction.settle()
    direction.check_settled()


def test_the_hot_path_is_closed_for_what_a_large_message_holds(direction):
    """When it was announced, and when it has no place: nothing is appended behind its back."""
    outgoing = direction.outgoing
    for number in range(constants.LARGE_PER_CLASS + 1):
        assert direction.tell(f"s{number}", b"opens")
        assert outgoing.raw_subject == f"s{number}"
        announced = direction.large(TELL, f"s{number}", bytes(2 * PART))
        assert announced == (number < constants.LARGE_PER_CLASS)
        assert (outgoing.raw_subject, outgoing.packed_subject) == (None, None)


def test_without_room_for_its_announcement_nothing_is_begun(direction):
    """Neither a lane nor a place is taken, and the peer is asked for room."""
    while direction.offer(REPLY, "", 1):
        direction.outgoing.close_batch()
    assert not direction.large(TELL, "log", bytes(2 * PART))
    assert direction.outgoing.starved
    assert not direction.outgoing.lanes
    direction.settle()
    assert direction.large(TELL, "log", bytes(2 * PART))


def test_a_subject_that_cannot_be_is_refused_at_once(direction):
    """Nothing is announced."""
    with pytest.raises(InvalidMessage):
        direction.outgoing.offer_large(TELL, "half \ud800", dumps(PART), bytes(PART))
    assert direction.outgoing.idle


# -- receipts and ends


def test_its_receipt_stands_for_the_whole_message(direction):
    """Delivered with the last chunk, and handled when its handler is done; once each."""
    outgoing = direction.outgoing
    receipt = outgoing.offer_large(TELL, "log", dumps(2 * PART), bytes(2 * PART))
    direction.sent.append((TELL, "log", bytes(2 * PART)))
    deliver(direction, direction.flush())
    frames = direction.flush()
    deliver(direction, frames[:1])
    assert receipt not in direction.delivered
    deliver(direction, frames[1:])
    assert direction.delivered.count(receipt) == 1
    assert receipt not in direction.handled
    direction.finish()
    direction.tell_back()
    assert direction.handled.count(receipt) == 1
    direction.check_settled()


@pytest.mark.parametrize(
    ("chunks_sent", "arrived", "outcome"),
    [
        (None, 0, "not_delivered"),
        (0, 0, "not_delivered"),
        (1, 1, "not_delivered"),
        (2, 0, "not_delivered"),
        (3, 0, "unknown"),
        (3, 3, "unknown"),
    ],
)
def test_how_a_large_message_fails(direction, chunks_sent, arrived, outcome):
    """Surely not delivered until its last chunk has left; then nobody knows."""
    outgoing = direction.outgoing
    receipt = outgoing.offer_large(TELL, "log", dumps(3 * PART), bytes(3 * PART))
    if chunks_sent is not None:
        deliver(direction, direction.flush())
        outgoing.put_chunks()
        batches = list(outgoing.take_unsent())[:chunks_sent]
        for batch in batches:
            outgoing.sent(batch, 0.0)
        for batch in batches[:arrived]:
            direction.arrive(frame_of(batch))
        direction.tell_back()
    failed = [how for of, how in outgoing.fail_all(surely=False) if of is receipt]
    assert failed == [outcome]
    assert outgoing.fail_all(surely=False) == []
    assert outgoing.idle
    assert not outgoing.put_chunks()
    assert outgoing.offer_large(TELL, "log", dumps(3 * PART), bytes(3 * PART)) is None


def test_who_has_told_all_it_got_has_not_got_what_is_unacknowledged(direction):
    """Though the last chunk has left."""
    receipt = direction.outgoing.offer_large(TELL, "log", dumps(2 * PART), bytes(2 * PART))
    deliver(direction, direction.flush())
    direction.flush()
    assert (receipt, "not_delivered") in direction.outgoing.fail_all(surely=True)


@pytest.mark.parametrize("chunks", [0, 2])
@pytest.mark.parametrize("granted", [False, True])
def test_what_is_abandoned_is_told_and_its_room_returns(direction, chunks, granted):
    """Before the announcement has left, before the grant, or in the middle."""
    outgoing = direction.outgoing
    if granted:
        announce(direction, kind=REQUEST, tag=7)
        outgoing.put_chunks()
        for batch in list(outgoing.take_unsent())[:chunks]:
            direction.arrive(frame_of(batch))
            outgoing.sent(batch, 0.0)
    else:
        assert direction.large(REQUEST, "log", bytes(2 * PART), tag=7)
    assert outgoing.abandon(7)
    assert not outgoing.abandon(7)
    direction.sent.clear()
    assert kinds(direction.flush())[-1] == ABANDON
    outgoing.send_all_again()
    direction.settle()
    direction.check_settled()


def test_what_has_left_whole_is_not_abandoned(direction):
    """The peer has to be asked to cancel it; nor is one that nobody knows."""
    announce(direction, 2 * PART, kind=REQUEST, tag=7)
    direction.outgoing.put_chunks()
    assert not direction.outgoing.abandon(7)
    assert not direction.outgoing.abandon(8)
    direction.settle()
    direction.check_settled()


def test_a_place_is_taken_again_only_when_the_peer_knows_that_it_is_free(direction):
    """An announcement before ABANDON would be one too many there, and never be granted."""
    outgoing = direction.outgoing
    for tag in range(constants.LARGE_PER_CLASS):
        assert direction.large(REQUEST, "ask", bytes(2 * PART), tag=tag)
    frames = direction.flush()
    while direction.offer(REPLY, "", 1):
        outgoing.close_batch()
    for tag in range(constants.LARGE_PER_CLASS):
        assert outgoing.abandon(tag)
    assert outgoing.has_large
    assert not direction.large(REQUEST, "ask", bytes(3 * PART))
    direction.sent = direction.sent[constants.LARGE_PER_CLASS :]
    deliver(direction, [*frames, *direction.flush()])
    assert direction.large(REQUEST, "ask", bytes(3 * PART))
    assert not outgoing.put_chunks()
    assert kinds(direction.flush()) == [ABANDON, LARGE]
    outgoing.send_all_again()
    direction.settle()
    direction.check_settled()
