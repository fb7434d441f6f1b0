"""Room at the peer: a window that moves, a fixed room for each depth, and who believes what."""

import pytest

from mesh import constants
from mesh.constants import DEPTH_MAX, NESTED_BATCHES, NESTED_WINDOW_BYTES, UNHANDLED_BATCHES
from mesh.delivery.credit import Credit

WINDOW = 1000
NESTED = range(1, DEPTH_MAX + 1)


@pytest.fixture
def credit():
    """Of an instance that has just been met."""
    return Credit(WINDOW)


def test_each_depth_begins_with_its_room(credit):
    """The window outside of requests, and inside them the same at every depth."""
    assert (credit.left(0), credit.batches_left(0)) == (WINDOW, UNHANDLED_BATCHES)
    for depth in NESTED:
        assert (credit.left(depth), credit.batches_left(depth)) == (
            NESTED_WINDOW_BYTES,
            NESTED_BATCHES,
        )


def test_no_depth_takes_the_room_of_another(credit):
    """What is full at one leaves the others as they were."""
    for depth in range(DEPTH_MAX + 1):
        credit.spend(depth + 1, depth, 100 + depth, object())
    assert credit.left(0) == WINDOW - 100
    for depth in NESTED:
        assert credit.left(depth) == NESTED_WINDOW_BYTES - 100 - depth
        assert credit.batches_left(depth) == NESTED_BATCHES - 1


def test_the_window_moves_only_by_its_limit(credit):
    """Handling alone returns no bytes of it, and a smaller limit takes none back."""
    credit.spend(1, 0, 400, "one")
    assert credit.on_handled([1], 1) == ["one"]
    assert credit.left(0) == WINDOW - 400
    assert credit.raise_limit(WINDOW + 400)
    assert credit.left(0) == WINDOW
    assert not credit.raise_limit(WINDOW + 400)
    assert not credit.raise_limit(0)
    assert credit.left(0) == WINDOW


@pytest.mark.parametrize("depth", NESTED)
def test_the_room_of_a_depth_returns_with_its_handlers(credit, depth):
    """To the byte, in any order, and no limit that a peer states makes it more."""
    for number in range(1, 5):
        credit.spend(number, depth, number, number)
    assert credit.on_handled([0, [2, 3]], 4) == [2, 3]
    assert credit.left(depth) == NESTED_WINDOW_BYTES - 1 - 4
    assert credit.batches_left(depth) == NESTED_BATCHES - 2
    assert credit.on_handled([4], 4) == [1, 4]
    assert credit.left(depth) == NESTED_WINDOW_BYTES
    assert credit.raise_limit(2**63)
    assert credit.left(depth) == NESTED_WINDOW_BYTES


def test_a_large_message_takes_room_that_was_granted(credit):
    """Neither bytes nor a batch of any depth; its receipt is told with the others."""
    credit.spend(1, None, 10**9, "large")
    assert (credit.left(0), credit.batches_left(0)) == (WINDOW, UNHANDLED_BATCHES)
    assert credit.on_handled([1], 1) == ["large"]
    assert (credit.left(0), credit.batches_left(0)) == (WINDOW, UNHANDLED_BATCHES)


def test_batches_at_handlers_are_counted(credit):
    """To the limit; each that is handled makes room for one."""
    for number in range(1, UNHANDLED_BATCHES + 1):
        credit.spend(number, 0, 0, number)
    assert credit.batches_left(0) == 0
    assert credit.on_handled([0, [5, 6]], UNHANDLED_BATCHES) == [5, 6]
    assert credit.batches_left(0) == 2


@pytest.mark.parametrize("handled", [[3], [0, [3, 3]], [1, [3, 2**64 - 1]]])
def test_who_handled_what_it_does_not_have_is_not_believed(credit, handled):
    """Nothing has changed then; the same numbers hold once they are possible."""
    for number in range(1, 4):
        credit.spend(number, 1, 1, number)
    assert credit.on_handled(handled, 2) == []
    assert credit.left(1) == NESTED_WINDOW_BYTES - 3
    assert credit.on_handled([3], 3) == [1, 2, 3]


def test_what_was_said_before_is_no_work(credit):
    """The same numbers again, and numbers while nothing is at the peer's handlers."""
    assert credit.on_handled([7], 7) == []
    credit.spend(8, 0, 1, "eight")
    credit.spend(11, 0, 1, "eleven")
    assert credit.on_handled([8], 11) == ["eight"]
    assert credit.on_handled([8], 11) == []
    assert credit.on_handled([8, [10, 10]], 11) == []
    assert credit.on_handled([9, [11, 11]], 11) == ["eleven"]


def test_ranges_between_our_batches_name_nobody(credit):
    """Numbers of batches that no handler is waited for lie in them as well."""
    for number in (2, 5, 9):
        credit.spend(number, 0, 1, number)
    assert credit.on_handled([1, [3, 4], [6, 8]], 9) == []
    assert credit.on_handled([1, [3, 5], [7, 8]], 9) == [5]
    assert credit.on_handled([1, [3, 5], [7, 9]], 9) == [9]


def test_at_the_end_every_receipt_is_told_once(credit):
    """By the number of its batch; nothing is left."""
    credit.spend(1, 0, 1, "one")
    credit.spend(2, 3, 1, "two")
    credit.spend(3, None, 1, "three")
    credit.on_handled([1], 3)
    assert credit.clear() == {2: "two", 3: "three"}
    assert credit.clear() == {}
    assert credit.on_handled([3], 3) == []


def test_a_nested_request_that_leaves_whole_fits_many_times():
    """The largest one takes no more than an eighth of its depth's room."""
    assert 8 * constants.NESTED_WHOLE_BYTES <= NESTED_WINDOW_BYTES
