"""What a sender believes of batches that its peer says it has handled."""

import pytest

from deliveries import Direction
from mesh.wire.messages import TELL


@pytest.fixture
def direction():
    """A direction with a window that is never full."""
    return Direction(window=1 << 30)


def fill_batches(outgoing, count):
    """Queue so many batches of one small message each, and send them."""
    for _ in range(count):
        assert outgoing.offer(TELL, "log", b"\xf6") is not None
        outgoing.close_batch()
    for batch in outgoing.take_unsent():
        outgoing.sent(batch, 0.0)


def test_handled_batches_are_told_once(direction):
    """All up to a number, ranges after it, in any later order, each receipt once."""
    outgoing = direction.outgoing
    fill_batches(outgoing, 9)
    outgoing.acknowledge(9)
    receipts = direction.receipts
    assert outgoing.on_handled([1, [3, 4], [7, 7]]) == [receipts[n - 1] for n in (1, 3, 4, 7)]
    assert outgoing.on_handled([1, [3, 4], [7, 7]]) == []
    assert outgoing.on_handled([0]) == []
    assert outgoing.on_handled([1, [3, 4], [6, 8]]) == [receipts[5], receipts[7]]
    assert outgoing.on_handled([9]) == [receipts[n - 1] for n in (2, 5, 9)]
    assert outgoing.on_handled([9]) == []


@pytest.mark.parametrize("lie", [[4], [2**64 - 1], [0, [4, 4]], [0, [1, 2**63]], [1, [3, 3]]])
def test_handling_before_acknowledging_is_not_believed(direction, lie):
    """Otherwise a message would be handled and never delivered."""
    outgoing = direction.outgoing
    fill_batches(outgoing, 4)
    outgoing.acknowledge(2)
    assert outgoing.on_handled(lie) == []
    assert outgoing.on_handled([2]) == direction.receipts[:2]


def test_a_long_range_is_no_work(direction):
    """Ranges over millions of batches of the past cost what our own unhandled ones cost."""
    outgoing = direction.outgoing
    fill_batches(outgoing, 1)
    outgoing.acknowledge(1)
    outgoing.next_number = 2 * 10**9
    fill_batches(outgoing, 1)
    outgoing.acknowledge(2 * 10**9)
    assert outgoing.on_handled([0, [2, 2 * 10**9 - 1]]) == []
    assert outgoing.on_handled([0, [2, 10**9], [10**9 + 2, 2 * 10**9]]) == [direction.receipts[1]]
