"""Who waits for room, in which line: nobody overtakes, and no line keeps another waiting."""

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deliveries import Direction, encoded_item
from mesh.constants import LARGE_PER_CLASS, NESTED_WHOLE_BYTES
from mesh.exchange.lines import REPLIES, Lines, Message, offer
from mesh.wire.cbor import dumps
from mesh.wire.messages import DEPTHS, NESTED_REQUESTS, REPLY, REQUEST, TELL

WINDOW = 64 * 1024
WHOLE = WINDOW // 4
LARGE = 20_000


class Who:
    """Somebody who waits with a message. `receipt`: what it got."""

    def __init__(self, message):
        self.message = message
        self.over = False
        self.receipt = None

    def done(self):
        """Not interested any more."""
        return self.over


class Queue:
    """A direction to a peer, and lines before it, used as a mailbox does."""

    def __init__(self):
        self.direction = Direction(window=WINDOW, max_message=1 << 20)
        self.outgoing = self.direction.outgoing
        self.lines = Lines(self.outgoing)
        self.offered = []

    def send(self, message):
        """Queue a message, or stand in a line with it."""
        who = Who(message)
        key = self.lines.key_of(message)
        if self.lines.hold_up(message) or not self.queue(who):
            self.lines.enter(key, who, message)
        return who

    def queue(self, who):
        """Whether it found room."""
        message = who.message
        who.receipt = offer(self.outgoing, message)
        if who.receipt is None:
            return False
        self.offered.append(who)
        return True

    def tell(self, subject, size, fill=b"x"):
        """A direct message of so many bytes."""
        return self.send(told(subject, fill * size))

    def move_up(self):
        """There may be room."""
        for key in self.lines.in_order():
            for who, message in self.lines.take(key):
                if not self.queue(who):
                    self.lines.put_back(key, who, message)
                    break

    def carry(self):
        """Everything that was queued arrives and is handled; those who wait for it are told."""
        self.direction.carry()
        if self.outgoing.awaited:
            self.outgoing.awaited = False
            self.move_up()

    def settle(self):
        """Until nobody waits."""
        for _ in range(1000):
            if self.outgoing.idle and not self.lines:
                return
            self.carry()
        raise AssertionError("somebody waits for ever")

    def fill(self):
        """Leave no room at depth 0 but for crumbs; and nobody in a line."""
        while (left := self.outgoing.credit.left(0)) > 1000:
            assert self.outgoing.offer(TELL, "fill", bytes(min(15_000, left - 600)), raw=True)
            self.outgoing.close_batch()


def told(subject, body):
    """A direct message as the postbox makes it."""
    if len(body) >= WHOLE:
        return Message(TELL, subject, dumps(len(body)), bulk=body)
    return Message(TELL, subject, body, raw=True)


def asked(kind, size, call_id=1):
    """A request or reply of so many bytes."""
    body = b"x" * size
    if size >= WHOLE:
        return Message(kind, "", encoded_item(kind, size, call_id)[1], bulk=body, call_id=call_id)
    return Message(kind, "", encoded_item(kind, body, call_id)[1], call_id=call_id)


@pytest.fixture
def queue():
    """Much room, and nobody who waits."""
    return Queue()


def hold(queue, subject="log"):
    """A large message of this subject is under way; its chunks wait for a grant."""
    assert queue.tell(subject, LARGE).receipt
    assert queue.outgoing.lanes.holds(subject)


# -- offering


@pytest.mark.parametrize("kind", [TELL, REQUEST, REPLY, *NESTED_REQUESTS])
def test_what_is_too_large_for_a_batch_is_announced(queue, kind):
    """To the byte: encoded items, and byte strings beside theirs."""
    outgoing = queue.outgoing
    whole = outgoing.whole_bytes(kind)
    for large in (False, True):
        size = whole + large
        item = encoded_item(kind, size, 1)[1]
        for encoded, bulk in ((dumps(bytes(size - 3)), None), (item, bytes(size))):
            message = Message(kind, "s" if large else "t", encoded, bulk=bulk)
            assert message.size == size
            before = len(outgoing.lanes)
            assert offer(outgoing, message) is not None
            assert len(outgoing.lanes) == before + large
            queue.direction.carry()


# -- lines


def test_those_without_room_stand_in_one_line(queue):
    """Direct messages and requests together; replies and each depth have lines of their own."""
    queue.fill()
    queue.tell("a", 2000)
    assert queue.lines.key_of(asked(REQUEST, 1)) == queue.lines.key_of(told("b", b"")) == 0
    for depth, kind in enumerate(NESTED_REQUESTS, 1):
        assert queue.lines.key_of(asked(kind, 1)) == depth
        assert not queue.lines.hold_up(asked(kind, 1))
        assert queue.send(asked(kind, 1)).receipt
    assert queue.lines.key_of(asked(REPLY, 1)) == REPLIES
    assert queue.send(asked(REPLY, 1)).receipt
    small = queue.tell("b", 1)
    assert small.receipt is None
    queue.settle()
    assert [who.message.kind for who in queue.offered][-2:] == [TELL, TELL]
    assert queue.offered[-1] is small


def test_a_full_depth_keeps_nobody_else_waiting(queue):
    """What handlers at another depth wait for goes by, the deepest first."""
    kind = NESTED_REQUESTS[1]
    while queue.send(asked(kind, NESTED_WHOLE_BYTES - 100)).receipt:
        pass
    for other in (TELL, REPLY, *NESTED_REQUESTS):
        if other != kind:
            assert queue.send(asked(other, 1) if other != TELL else told("x", b"")).receipt
    queue.fill()
    queue.tell("a", 2000)
    assert queue.lines.in_order() == [2, 0]
    queue.settle()


def test_behind_a_large_message_its_subject_waits_and_nobody_else(queue):
    """Small ones of that subject, in their order; the rest goes by meanwhile."""
    hold(queue)
    small = [queue.tell("log", size) for size in (1, 2, 3)]
    assert [who.receipt for who in small] == [None] * 3
    assert queue.tell("other", 5).receipt
    assert queue.send(asked(REQUEST, 5)).receipt
    assert queue.send(asked(REPLY, 5)).receipt
    queue.move_up()
    assert [who.receipt for who in small] == [None] * 3
    queue.settle()
    assert queue.offered[-3:] == small
    bodies = [body for _, subject, body in queue.direction.got if subject == "log"]
    assert list(map(len, bodies)) == [LARGE, 1, 2, 3]


def test_large_ones_without_a_place_block_no_small_ones(queue):
    """Of other subjects, and requests; behind one of its own subject a small one waits."""
    for number in range(LARGE_PER_CLASS):
        hold(queue, f"s{number}")
    waits = queue.tell("log", LARGE)
    waiting_request = queue.send(asked(REQUEST, LARGE))
    assert waits.receipt is waiting_request.receipt is None
    assert queue.tell("log", 1).receipt is None
    assert queue.tell("other", 1).receipt
    assert queue.send(asked(REQUEST, 1)).receipt
    assert queue.send(asked(REPLY, LARGE)).receipt
    queue.settle()
    bodies = [body for _, subject, body in queue.direction.got if subject == "log"]
    assert list(map(len, bodies)) == [LARGE, 1]


def test_a_large_request_waits_behind_those_that_wait_for_a_place(queue):
    """Also in the moment when a place is free and they have not gone on yet."""
    for number in range(LARGE_PER_CLASS):
        queue.send(asked(REQUEST, LARGE, number))
    first = queue.send(asked(REQUEST, LARGE, 50))
    assert queue.outgoing.abandon(1)
    second = queue.send(asked(REQUEST, LARGE, 51))
    assert second.receipt is None
    queue.move_up()
    assert first.receipt
    assert second.receipt is None


# -- nobody overtakes


def test_who_waits_before_a_line_of_its_subject_is_not_overtaken_by_way_of_it(queue):
    """One stands in the first line, another has moved to its subject's: a third waits."""
    hold(queue)
    queue.fill()
    first = queue.tell("other", 3000)
    behind = [queue.tell("log", 1)]
    queue.tell("other", 3000)
    behind.append(queue.tell("log", 2))
    queue.lines.leave(first)
    queue.move_up()
    assert queue.lines.in_order() == ["log", 0]
    behind.append(queue.tell("log", 3))
    queue.settle()
    assert [who for who in queue.offered if who in behind] == behind


def test_small_ones_are_not_overtaken_by_a_large_one_of_their_subject(queue):
    """Though it has a place: while they stand in their subject's line it stands behind them."""
    queue.fill()
    hold(queue)
    blocked = queue.tell("other", 3000)
    small, large, last = queue.tell("log", 1), queue.tell("log", LARGE), queue.tell("log", 2)
    queue.lines.leave(blocked)
    queue.move_up()
    assert queue.lines.in_order() == ["log"]
    assert large.receipt is None
    queue.settle()
    assert queue.offered[-3:] == [small, large, last]
    bodies = [body for _, subject, body in queue.direction.got if subject == "log"]
    assert list(map(len, bodies)) == [LARGE, 1, LARGE, 2]


def test_nobody_overtakes_on_the_hot_path(queue):
    """A large message that moves aside without being offered closes it for its subject."""
    for number in range(LARGE_PER_CLASS):
        hold(queue, f"s{number}")
    queue.fill()
    small, large = queue.tell("log", 2000), queue.tell("log", LARGE)
    queue.outgoing.close_batch()
    for frame in queue.direction.flush():
        queue.direction.arrive(frame)
    queue.direction.finish()
    queue.outgoing.on_credit(queue.direction.incoming.credit)
    queue.move_up()
    assert small.receipt
    assert large.receipt is None
    assert queue.outgoing.raw_subject is None
    assert queue.outgoing.packed_subject is None


def test_who_is_held_up_no_more_is_not_passed_by_those_who_need_less_room(queue):
    """It is the next to wait for room; its whole line goes before those who came later."""
    hold(queue)
    first = [queue.tell("log", 15_000), queue.tell("log", 5)]
    queue.fill()
    for frame in queue.direction.flush():
        queue.direction.arrive(frame)
    queue.direction.grant()
    for frame in queue.direction.flush():
        queue.direction.arrive(frame)
    assert not queue.outgoing.lanes.holds("log")
    queue.move_up()
    assert [who.receipt for who in first] == [None, None]
    assert queue.tell("other", 1).receipt is None
    assert queue.lines.in_order() == [0]
    assert queue.lines.key_of(told("log", b"x")) == 0
    queue.direction.finish()
    queue.direction.tell_back()
    queue.settle()
    assert queue.offered[1:3] == first


# -- leaving


def test_who_leaves_a_line_is_not_there(queue):
    """In the middle, at its head, as the last: the line goes with the last."""
    hold(queue)
    whos = [queue.tell("log", size) for size in (1, 2, 3)]
    assert len(queue.lines) == 3
    for who in (whos[1], whos[0], whos[2]):
        assert who in queue.lines
        assert queue.lines.leave(who)
        assert who not in queue.lines
        assert not queue.lines.leave(who)
    assert not queue.lines
    assert not queue.lines.hold_up(told("log", b"x"))


def test_who_is_done_is_passed_over(queue):
    """It has not left its line yet, and is not offered any more; the others go on."""
    hold(queue)
    whos = [queue.tell("log", size) for size in (1, 2, 3)]
    whos[0].over = whos[2].over = True
    queue.settle()
    assert [who.receipt is not None for who in whos] == [False, True, False]


@pytest.mark.parametrize("kind", [TELL, REQUEST, REPLY, NESTED_REQUESTS[0]])
@pytest.mark.parametrize("size", [5000, LARGE])
def test_cancelled_in_any_line_nothing_of_it_is_sent(kind, size):
    """Those behind it move up."""
    queue = Queue()
    make = (lambda: told("log", bytes(size))) if kind == TELL else (lambda: asked(kind, size))
    if kind == REPLY and size < WHOLE:
        while queue.outgoing.offer(REPLY, "", b"\xf6"):
            queue.outgoing.close_batch()
    waiting = []
    for _ in range(100):
        waiting.append(queue.send(make()))
        if waiting[-1].receipt is None:
            break
    cancelled = waiting[-1]
    behind = queue.send(make())
    assert queue.lines.leave(cancelled)
    queue.settle()
    assert cancelled.receipt is None
    assert behind.receipt


def test_at_the_end_everybody_is_told(queue):
    """Each once, from every line; nobody is left, not even for whoever was about to take one."""
    hold(queue)
    first, second = queue.tell("log", 1), queue.tell("log", 2)
    queue.fill()
    third = queue.tell("other", 2000)
    taking = queue.lines.take("log")
    assert next(taking)[0] is first
    assert set(queue.lines.clear()) == {second, third}
    assert list(taking) == []
    assert len(queue.lines) == 0
    assert not queue.lines


# -- while others move


def test_a_line_is_there_until_its_last_was_dealt_with(queue):
    """Whoever comes meanwhile stands behind it, though it seems empty."""
    hold(queue)
    queue.tell("log", 1)
    for who, message in queue.lines.take("log"):
        assert queue.lines.key_of(told("log", b"late")) == "log"
        assert queue.lines.hold_up(told("log", b"late"))
        late = queue.tell("log", 2)
        queue.lines.put_back("log", who, message)
        break
    assert [w for w, _ in queue.lines.take("log")] == [who, late]
    assert not queue.lines


def test_news_of_room_that_come_while_a_line_moves_keep_the_order(queue):
    """The inner one takes the next, the outer one goes on behind it; nobody is lost or doubled."""
    hold(queue)
    whos = [queue.tell("log", size) for size in range(1, 6)]
    queue.direction.carry()
    queue.direction.carry()
    taken = []
    for who, _ in queue.lines.take("log"):
        taken.append(who)
        if len(taken) == 2:
            taken += [inner for inner, _ in queue.lines.take("log")]
    assert taken == whos
    assert not queue.lines


def test_a_line_holds_nobody_up_when_whoever_takes_its_last_fails(queue):
    """It is empty, and gone."""
    hold(queue)
    queue.tell("log", 1)
    with pytest.raises(ZeroDivisionError):
        for _ in queue.lines.take("log"):
            raise ZeroDivisionError
    assert not queue.lines


def test_bytes_of_replies_that_wait_are_known(queue):
    """Small and large ones."""
    assert queue.lines.reply_bytes == 0
    while queue.outgoing.offer(REPLY, "", b"\xf6"):
        queue.outgoing.close_batch()
    small = queue.send(asked(REPLY, 100)).message
    assert queue.lines.reply_bytes == small.size
    queue.settle()
    for _ in range(LARGE_PER_CLASS):
        queue.send(asked(REPLY, LARGE))
    large = queue.send(asked(REPLY, LARGE)).message
    assert queue.lines.reply_bytes == large.size


@given(st.integers(0, 2**32))
def test_whatever_happens_nobody_overtakes_and_nobody_waits_for_ever(seed):
    """Messages of all sizes and kinds, some cancelled, while room comes and goes.

    What is accepted arrives exactly once, direct messages of each subject in the order in which
    they were sent; and what is cancelled in a line does not.
    """
    random = Random(seed)
    queue = Queue()
    direction, sent = queue.direction, []
    under_way = []
    for number in range(60):
        step = random.randrange(8)
        if step < 4:
            size = random.choice([8, 500, 5000, 15_000, LARGE, 50_000])
            kind = random.choice([TELL, TELL, TELL, *DEPTHS, REPLY])
            body = b"%08d" % number + bytes(size - 8)
            if kind == TELL:
                sent.append(queue.send(told(random.choice("ab"), body)))
            else:
                sent.append(queue.send(asked(kind, size, number)))
        elif step == 4:
            waiting = [who for who in sent if who in queue.lines]
            if waiting:
                who = random.choice(waiting)
                who.over = True
                if random.random() < 0.5:
                    queue.lines.leave(who)
        elif step == 5:
            under_way += direction.flush()
            while under_way and random.random() < 0.8:
                direction.arrive(under_way.pop(0))
        elif step == 6:
            direction.finish(direction.unfinished[: random.randrange(4)])
            if random.random() < 0.5:
                direction.tell_back()
        else:
            queue.move_up()
        for who in sent:
            assert (who in queue.lines) <= (who.receipt is None)
    for frame in under_way:
        direction.arrive(frame)
    queue.settle()
    wanted = [who for who in sent if not who.over]
    assert all(who.receipt for who in wanted)
    assert len(queue.offered) == len(set(queue.offered)) == len(wanted)
    for subject in "ab":
        bodies = [who.message.bulk or who.message.encoded for who in wanted]
        expected = [b for w, b in zip(wanted, bodies, strict=True) if w.message.subject == subject]
        assert [body for _, of, body in direction.got if of == subject] == expected
    assert len(direction.got) == len(wanted)
