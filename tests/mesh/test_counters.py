"""Counters count by name."""

from mesh.counters import Counters


def test_a_name_that_never_happened_is_zero() -> None:
    """Reading creates nothing."""
    counters = Counters()
    assert counters["frames.malformed"] == 0
    assert counters.snapshot() == {}


def test_counting() -> None:
    """Each name counts alone."""
    counters = Counters()
    counters["frames.received"] += 1
    counters["frames.received"] += 2
    counters["frames.dropped"] += 1
    assert counters.snapshot() == {"frames.dropped": 1, "frames.received": 3}


def test_a_snapshot_is_sorted_and_stands_still() -> None:
    """It is a plain dict in the order of the names, and no later event changes it."""
    counters = Counters({"b": 1, "a": 2})
    before = counters.snapshot()
    counters["b"] += 1
    assert list(before.items()) == [("a", 2), ("b", 1)]
    assert type(before) is dict
