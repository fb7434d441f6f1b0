"""Which delivery a session belongs to: both sides come to one answer without talking."""

import pytest

from mesh.delivery.delivery import Delivery
from mesh.engine.resume import Memory, Resume, agree


def ended(instance, epoch):
    return Delivery(None, instance, epoch, None, None)


def test_an_instance_never_met_begins_with_epoch_zero():
    """Handshakes that cross at the first meeting agree."""
    assert Memory().epoch_for(b"new") == 0


def test_a_forgotten_delivery_is_remembered_by_the_next_epoch():
    """The next delivery with that instance has a larger epoch, and never a smaller one."""
    memory = Memory()
    memory.forget(ended(b"one", 4))
    assert (memory.epoch_for(b"one"), memory.epoch_for(b"other")) == (5, 0)
    memory.forget(ended(b"one", 2))
    assert memory.epoch_for(b"one") == 5


def test_the_memory_is_bounded(monkeypatch):
    """The oldest goes first; what was forgotten again is young."""
    monkeypatch.setattr(Memory, "_LIMIT", 2)
    memory = Memory()
    for instance in (b"1", b"2", b"1", b"3"):
        memory.forget(ended(instance, 0))
    assert [memory.epoch_for(i) for i in (b"1", b"2", b"3")] == [1, 0, 1]
    assert (len(memory), len(Memory())) == (2, 0)


@pytest.mark.parametrize(
    ("ours", "theirs", "agreed"),
    [
        ((0, 5), (0, 9), (0, 9)),
        ((1, 1), (0, 9), (1, 1)),
        ((0, 5), (2, 1), (2, 1)),
    ],
)
def test_both_take_the_larger_epoch(ours, theirs, agreed):
    """`next` counts only in the epoch it was said of."""
    assert agree(Resume(*ours), Resume(*theirs)) == Resume(*agreed)
