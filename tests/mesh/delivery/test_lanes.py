"""Large messages on their way out: whose chunk leaves next, and who has to wait for whom."""

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.constants import DEPTH_MAX, LARGE_CLASSES, LARGE_PER_CLASS
from mesh.delivery.lanes import Lanes, class_of
from mesh.wire.messages import DEPTHS, NESTED_REQUESTS, REPLY, REQUEST, TELL

CHUNK = 4


@pytest.fixture
def lanes():
    """None yet."""
    return Lanes(CHUNK)


def take_all(lanes):
    """Every chunk that may leave, in turn: lane and bytes."""
    taken = []
    while lanes.ready:
        lane, chunk = lanes.take_chunk()
        taken.append((lane.number, bytes(chunk)))
    return taken


def test_classes_are_those_of_depth_and_replies():
    """Tells and requests share one, as they share the window; each kind has one."""
    assert class_of(TELL) == class_of(REQUEST) == 0
    assert [class_of(kind) for kind in NESTED_REQUESTS] == [*range(1, DEPTH_MAX + 1)]
    assert class_of(REPLY) == DEPTH_MAX + 1
    assert {class_of(kind) for kind in (*DEPTHS, REPLY)} == set(range(LARGE_CLASSES))


def test_nothing_leaves_before_it_is_granted(lanes):
    """Not a byte; numbers of nobody grant nothing."""
    lanes.open(REQUEST, "ask", b"abcdef", "receipt")
    assert not lanes.ready
    lanes.grant(2)
    assert not lanes.ready
    lanes.grant(1)
    assert take_all(lanes) == [(1, b"abcd"), (1, b"ef")]
    lanes.grant(1)
    assert not lanes.ready
    assert len(lanes) == 0


@pytest.mark.parametrize("size", [1, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK])
def test_chunks_make_up_the_body_exactly(lanes, size):
    """No byte twice, none missing, no empty one; done with the last."""
    body = bytes(range(size))
    lanes.open(REPLY, "", body, "receipt")
    lanes.grant(1)
    chunks = []
    while lanes.ready:
        lane, chunk = lanes.take_chunk()
        chunks.append(chunk)
        assert lane.done == (sum(map(len, chunks)) == size)
    assert b"".join(chunks) == body
    assert all(chunks)


def test_a_body_is_never_copied(lanes):
    """Every chunk is a view of the very object that was given."""
    body = bytes(3 * CHUNK)
    lanes.open(REPLY, "", body, "receipt")
    lanes.grant(1)
    while lanes.ready:
        _, chunk = lanes.take_chunk()
        assert chunk.obj is body


def test_several_lanes_take_turns(lanes):
    """One chunk each, however much the others have left; a late one joins at the end."""
    lanes.open(REQUEST, "a", b"a" * 12, "a")
    lanes.open(REPLY, "", b"b" * 8, "b")
    for number in (1, 2):
        lanes.grant(number)
    order = []
    for step in range(6):
        if step == 2:
            lanes.open(REQUEST, "c", b"c" * 4, "c")
            lanes.grant(3)
        order.append(lanes.take_chunk()[0].number)
    assert order == [1, 2, 1, 2, 3, 1]
    assert not lanes.ready


def test_those_that_may_not_send_are_passed_over(lanes):
    """Lanes that wait for a grant keep nobody else waiting."""
    lanes.open(REQUEST, "a", b"a" * 8, "a")
    lanes.open(REQUEST, "b", b"b" * 8, "b")
    lanes.grant(2)
    assert take_all(lanes) == [(2, b"bbbb"), (2, b"bbbb")]
    lanes.grant(1)
    assert take_all(lanes) == [(1, b"aaaa"), (1, b"aaaa")]


def test_direct_messages_of_one_subject_leave_one_after_the_other(lanes):
    """In the order of their announcements, whatever is granted first; other subjects go by."""
    for body in (b"1" * 8, b"2" * 8):
        lanes.open(TELL, "log", body, "receipt")
    lanes.open(TELL, "other", b"3" * 8, "receipt")
    lanes.grant(2)
    assert not lanes.ready
    lanes.grant(3)
    assert lanes.take_chunk()[0].number == 3
    lanes.grant(1)
    assert [number for number, _ in take_all(lanes)] == [1, 3, 1, 2, 2]


def test_requests_of_one_subject_need_no_order(lanes):
    """They take turns, and hold nothing up."""
    for body in (b"1" * 8, b"2" * 8):
        lanes.open(REQUEST, "ask", body, "receipt")
    lanes.grant(1)
    lanes.grant(2)
    assert not lanes.holds("ask")
    assert [number for number, _ in take_all(lanes)] == [1, 2, 1, 2]


def test_a_subject_is_held_from_the_announcement_to_the_last_chunk(lanes):
    """While any large direct message of it is under way, and no other subject is."""
    for _ in range(2):
        lanes.open(TELL, "log", b"x" * 8, "receipt")
    assert lanes.holds("log")
    assert not lanes.holds("other")
    lanes.grant(1)
    lanes.grant(2)
    for _ in range(3):
        lanes.take_chunk()
        assert lanes.holds("log")
    lanes.take_chunk()
    assert not lanes.holds("log")


def test_each_class_has_places_of_its_own(lanes):
    """Full in one class, others go on; the place is free with the last chunk."""
    for _ in range(LARGE_PER_CLASS):
        assert lanes.has_place(TELL)
        lanes.open(REQUEST, "ask", b"x" * 8, "receipt")
    assert not lanes.has_place(TELL)
    assert not lanes.has_place(REQUEST)
    assert all(map(lanes.has_place, (*NESTED_REQUESTS, REPLY)))
    lanes.grant(1)
    lanes.take_chunk()
    assert not lanes.has_place(REQUEST)
    lanes.take_chunk()
    assert lanes.has_place(REQUEST)


def test_what_is_abandoned_sends_no_more(lanes):
    """Before its grant, or in the middle; its place is free, and the others go on."""
    lanes.open(REQUEST, "a", b"a" * 12, "a", 71)
    lanes.open(REQUEST, "b", b"b" * 12, "b", 72)
    lanes.open(REQUEST, "c", b"c" * 4, "c", 73)
    assert lanes.abandon(71) == 1
    lanes.grant(2)
    lanes.take_chunk()
    assert lanes.abandon(72) == 2
    assert not lanes.ready
    for over in (71, 72, 74):
        assert lanes.abandon(over) is None
    for number in (1, 2, 3):
        lanes.grant(number)
    assert take_all(lanes) == [(3, b"cccc")]
    assert lanes.abandon(73) is None
    assert len(lanes) == 0


def test_no_number_is_given_twice(lanes):
    """A peer that is late with what it says of one never means another."""
    seen = []
    for _ in range(5):
        seen.append(lanes.next_number)
        lanes.open(REQUEST, "ask", b"x", "receipt", "tag")
        lanes.abandon("tag")
    assert seen == [1, 2, 3, 4, 5]


def test_at_the_end_those_that_are_not_whole_are_named(lanes):
    """Once each; all places are free and no subject is held."""
    lanes.open(TELL, "log", b"x", "left")
    for number in range(2, LARGE_PER_CLASS + 1):
        lanes.open(TELL, "log", b"x" * 8, number)
    lanes.grant(1)
    lanes.grant(2)
    lanes.take_chunk()
    lanes.take_chunk()
    assert sorted(lanes.clear()) == [*range(2, LARGE_PER_CLASS + 1)]
    assert lanes.clear() == list(lanes) == []
    assert lanes.has_place(TELL)
    assert not lanes.holds("log")


@given(st.integers(0, 2**32))
def test_whatever_happens_places_and_subjects_are_those_of_the_lanes(seed):
    """Opened, granted, abandoned and sent in any order: what is said of them is what is there."""
    random = Random(seed)
    lanes = Lanes(CHUNK)
    order = {}
    for _ in range(60):
        step = random.randrange(4)
        kind, subject = random.choice([TELL, *DEPTHS, REPLY]), random.choice("ab")
        if step == 0 and lanes.has_place(kind):
            number = lanes.next_number
            lanes.open(kind, subject, bytes(random.randint(1, 9)), number, number)
            if kind == TELL:
                order.setdefault(subject, []).append(number)
        elif step == 1:
            lanes.grant(random.randint(0, lanes.next_number))
        elif step == 2 and lanes.ready:
            lane, _ = lanes.take_chunk()
            if lane.kind == TELL:
                assert order[lane.subject][0] == lane.number
                if lane.done:
                    order[lane.subject].pop(0)
        elif step == 3:
            there = [lane for lane in lanes if lane.kind != TELL]
            if there:
                assert lanes.abandon(random.choice(there).tag) is not None
        for kind in (TELL, *DEPTHS, REPLY):
            count = sum(class_of(lane.kind) == class_of(kind) for lane in lanes)
            assert lanes.has_place(kind) == (count < LARGE_PER_CLASS)
        for subject in "ab":
            assert lanes.holds(subject) == bool(order.get(subject))
