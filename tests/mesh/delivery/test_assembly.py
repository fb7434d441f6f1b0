"""Large messages on their way in: room before chunks, put together once, and given back."""

import tracemalloc
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.constants import LARGE_CLASSES, LARGE_PER_CLASS, LARGE_UNHANDLED
from mesh.counters import Counters
from mesh.delivery.assembly import Announced, Assembly
from mesh.delivery.lanes import class_of
from mesh.wire.cbor import dumps
from mesh.wire.messages import (
    CANCEL,
    DEPTHS,
    LARGE,
    NESTED_REQUESTS,
    PING,
    REPLY,
    REPLY_OK,
    REQUEST,
    TELL,
    encode_request,
)

ROOM = 1000
ONE_OF_EACH = (TELL, *NESTED_REQUESTS, REPLY)


@pytest.fixture
def counters():
    """What was counted."""
    return Counters()


@pytest.fixture
def assembly(counters):
    """Of a peer that has announced nothing."""
    return Assembly(ROOM, counters)


def announce(assembly, lane, length=100, kind=TELL, item=b""):
    """Whether it was granted at once."""
    assembly.announce(Announced(lane, kind, "log", length, item))
    return lane in assembly.grants_due


def complete(assembly, lane, content, batch=1):
    """All of a message in one chunk: its bodies."""
    whole = assembly.add(lane, content)
    assert whole is not None
    return assembly.take(whole, batch)


# -- what arrives


@pytest.mark.parametrize(
    ("kind", "item", "content", "bodies"),
    [
        (TELL, dumps(100), b"x" * 100, [b"x" * 100]),
        (TELL, b"", dumps({"a": "x" * 90}), [{"a": "x" * 90}]),
        (REQUEST, dumps([7, 500, 100]), b"x" * 100, [[7, 500, b"x" * 100]]),
        (REPLY, dumps([7, REPLY_OK, 100]), b"x" * 100, [[7, REPLY_OK, b"x" * 100]]),
        (NESTED_REQUESTS[3], b"", encode_request(7, 500, ["x"] * 30), [[7, 500, ["x"] * 30]]),
    ],
)
def test_a_message_is_put_together_as_it_was_sent(assembly, kind, item, content, bodies):
    """Bytes that travelled apart in their place, and items that were encoded as a whole."""
    assert announce(assembly, 1, len(content), kind, item)
    assert assembly.add(1, content[:40]) is None
    whole = assembly.add(1, content[40:])
    assert whole == Announced(1, kind, "log", len(content), item)
    run = assembly.take(whole, 9)
    assert len(run) == 1
    assert run.decode() == bodies


def test_a_content_is_handed_out_without_a_copy(assembly):
    """A message is in memory once, besides the chunk that has just arrived."""
    size, chunk = 8 << 20, bytes(64 * 1024)
    assembly = Assembly(size, Counters())
    announce(assembly, 1, size, TELL, dumps(size))
    tracemalloc.start()
    try:
        whole = None
        while whole is None:
            whole = assembly.add(1, chunk)
        (body,) = assembly.take(whole, 1).decode()
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert type(body) is bytes
    assert len(body) == size
    assert most < 1.5 * size


# -- what nobody may send


@pytest.mark.parametrize("length", [0, -1, ROOM + 1, 2**63])
def test_a_length_that_cannot_be_is_counted(assembly, counters, length):
    """Nothing, less, and more than one message may have."""
    assert not announce(assembly, 1, length)
    assert announce(assembly, 2, ROOM)
    assert counters["dropped.announced"] == 1


@pytest.mark.parametrize("kind", [CANCEL, LARGE, PING, 200, 0, -1])
def test_a_kind_that_is_never_large_is_counted(assembly, counters, kind):
    """Only what may travel apart from its batch comes in chunks."""
    assert not announce(assembly, 1, kind=kind)
    assert counters["dropped.announced"] == 1


def test_what_is_told_ahead_of_its_room_is_small(assembly, counters):
    """An item holds the numbers around a body, and nothing that would need room itself."""
    longest = dumps([2**64 - 1, 2**64 - 1, 2**64 - 1])
    assert announce(assembly, 1, kind=REQUEST, item=longest)
    assert not announce(assembly, 2, kind=REQUEST, item=bytes(1000))
    assert counters["dropped.announced"] == 1


def test_a_number_that_is_in_use_is_not_given_again(assembly, counters):
    """What arrives under it belongs to the first."""
    announce(assembly, 1, 10)
    announce(assembly, 1, 3)
    assert assembly.add(1, b"abc") is None
    assert complete(assembly, 1, b"defghij").decode
    assert counters["dropped.announced"] == 1


def test_more_of_a_class_than_may_be_under_way_are_counted(assembly, counters):
    """Others have their places, and one that is whole leaves its place to the next."""
    for lane in range(LARGE_PER_CLASS):
        announce(assembly, lane, 10)
    assert not announce(assembly, 10, 10, REQUEST)
    assert announce(assembly, 11, 10, NESTED_REQUESTS[0])
    assert counters["dropped.announced"] == 1
    complete(assembly, 0, bytes(10))
    assert announce(assembly, 12, 10, REQUEST)


def test_a_chunk_that_nobody_waits_for_is_counted(assembly, counters):
    """Of a message never announced, not granted, over, abandoned; and an empty one."""
    announce(assembly, 1, ROOM)
    announce(assembly, 2, 10)
    complete(assembly, 1, bytes(ROOM))
    announce(assembly, 3, 10, REPLY)
    assembly.abandon(3)
    announce(assembly, 4, 10, REPLY)
    for lane, chunk in ((7, b"x"), (2, b"x"), (1, b"x"), (3, b"x"), (4, b"")):
        assert assembly.add(lane, chunk) is None
    assert counters["dropped.chunks"] == 5
    assert complete(assembly, 4, bytes(10))


def test_a_chunk_beyond_its_length_changes_nothing(assembly, counters):
    """It is counted, and what belongs there still makes the message whole."""
    announce(assembly, 1, 10, TELL, dumps(10))
    assert assembly.add(1, b"abcd") is None
    assert assembly.add(1, b"efghijk") is None
    assert counters["dropped.chunks"] == 1
    assert complete(assembly, 1, b"efghij").decode() == [b"abcdefghij"]


# -- room


def test_room_is_granted_to_the_byte(assembly):
    """What fits beside the others is granted at once; one byte more waits for a handler."""
    assert announce(assembly, 1, ROOM - 100)
    assert announce(assembly, 2, 100)
    assert not announce(assembly, 3, 1)
    assert assembly.promised_bytes == ROOM
    complete(assembly, 2, bytes(100), batch=5)
    assert assembly.grants_due == [1]
    assembly.finished(5)
    assert assembly.grants_due == [1, 3]
    assert assembly.promised_bytes == ROOM - 100 + 1


def test_room_returns_once_and_only_with_its_own_batch(assembly):
    """Whatever else is handled returns nothing; all room is there in the end."""
    announce(assembly, 1, 300)
    announce(assembly, 2, 400, REPLY)
    complete(assembly, 1, bytes(300), batch=8)
    complete(assembly, 2, bytes(400), batch=8)
    assembly.finished(7)
    assert assembly.promised_bytes == 700
    assembly.finished(8)
    assert assembly.promised_bytes == 0
    assembly.finished(8)
    assert assembly.promised_bytes == 0


def test_one_of_each_class_is_granted_in_any_case(assembly):
    """So that what handlers wait for never waits for those handlers."""
    for lane, kind in enumerate(ONE_OF_EACH):
        assert announce(assembly, lane, ROOM, kind)
    assert assembly.promised_bytes == LARGE_CLASSES * ROOM
    assert not announce(assembly, 10, 1, NESTED_REQUESTS[1])


def test_within_a_class_nobody_overtakes(assembly):
    """A small one waits for the large one before it; those of another class do not."""
    announce(assembly, 1, ROOM)
    assert not announce(assembly, 2, ROOM)
    assert not announce(assembly, 3, 1)
    assert announce(assembly, 4, 1, REPLY)
    complete(assembly, 1, bytes(ROOM), batch=1)
    assembly.finished(1)
    assert assembly.grants_due == [4, 2]
    complete(assembly, 2, bytes(ROOM), batch=2)
    complete(assembly, 4, bytes(1), batch=3)
    assembly.finished(3)
    assembly.finished(2)
    assert assembly.grants_due == [3]


def test_those_at_handlers_are_bounded_by_their_number(assembly):
    """However small they are: each is a batch that is not handled."""
    for lane in range(LARGE_UNHANDLED):
        assert announce(assembly, lane, 1)
        complete(assembly, lane, b"x", batch=lane)
    assert not announce(assembly, 500, 1)
    assert announce(assembly, 501, 1, REPLY)
    assembly.finished(3)
    assert 500 in assembly.grants_due


# -- abandoned


def test_what_is_abandoned_gives_its_room_to_the_next(assembly, counters):
    """Before its grant, before its chunks and in the middle; one that is over is nobody."""
    announce(assembly, 1, ROOM)
    announce(assembly, 2, ROOM)
    announce(assembly, 3, ROOM)
    assembly.add(1, b"the beginning")
    assembly.abandon(2)
    assert assembly.promised_bytes == ROOM
    assembly.abandon(1)
    assert 3 in assembly.grants_due
    assembly.abandon(1)
    assembly.abandon(77)
    assert assembly.promised_bytes == ROOM
    assembly.abandon(3)
    assert assembly.promised_bytes == 0
    assert not counters


def test_after_its_last_chunk_a_message_is_not_abandoned(assembly):
    """It is at its handler, and its room with it."""
    announce(assembly, 1, 100)
    complete(assembly, 1, bytes(100), batch=4)
    assembly.abandon(1)
    assert assembly.promised_bytes == 100
    assembly.finished(4)
    assert assembly.promised_bytes == 0


def test_grants_that_nobody_wants_do_not_heap_up(assembly):
    """Abandoned, or sent whole before its sender was told: whoever takes nothing of what we say."""
    for lane in range(10_000):
        announce(assembly, lane, 1, REPLY)
        if lane % 2:
            assembly.abandon(lane)
        else:
            complete(assembly, lane, b"x")
            assembly.finished(1)
    assert assembly.grants_due == []


@given(st.integers(0, 2**32))
def test_room_is_what_was_granted_and_has_not_returned(seed):
    """In any order of announcing, sending, abandoning and handling; never more than allowed."""
    random = Random(seed)
    assembly = Assembly(ROOM, Counters())
    announced, granted, at_work = {}, {}, {}
    for step in range(80):
        choice = random.randrange(4)
        if choice == 0:
            announced[step] = random.choice([*DEPTHS, REPLY]), random.randint(1, ROOM)
            same = [k for k, _ in announced.values() if class_of(k) == class_of(announced[step][0])]
            if len(same) > LARGE_PER_CLASS:
                del announced[step]
            else:
                announce(assembly, step, announced[step][1], announced[step][0])
        elif choice == 1 and granted:
            lane = random.choice(list(granted))
            chunk = bytes(random.randint(1, granted[lane]))
            granted[lane] -= len(chunk)
            whole = assembly.add(lane, chunk)
            assert (whole is not None) == (granted[lane] == 0)
            if whole is not None:
                assembly.take(whole, step)
                at_work[step] = announced.pop(lane)
                del granted[lane]
        elif choice == 2 and announced:
            lane = random.choice(list(announced))
            assembly.abandon(lane)
            del announced[lane]
            granted.pop(lane, None)
        elif choice == 3 and at_work:
            assembly.finished(at_work.popitem()[0])
        for lane in assembly.grants_due:
            assert lane not in granted
            granted[lane] = announced[lane][1]
        assembly.grants_due.clear()
        room = [announced[lane][1] for lane in granted] + [size for _, size in at_work.values()]
        assert assembly.promised_bytes == sum(room) <= LARGE_CLASSES * ROOM
