"""Virtual time, and clocks that are wrong."""

from math import inf

import pytest

from mesh.testing.clock import WALL_AT_START, NodeClock, Timeline, Violation


def test_actions_happen_in_the_order_of_their_time():
    """And those of one moment in the order they were asked for; the past is now."""
    timeline = Timeline()
    assert timeline.next() == inf
    done = []
    timeline.after(2.0, lambda: done.append("late"))
    timeline.after(1.0, lambda: done.append("first"))
    timeline.after(1.0, lambda: done.append("second"))
    timeline.after(-5.0, lambda: done.append("at once"))
    assert timeline.next() == 0.0
    for _ in range(4):
        timeline.pop()()
    assert done == ["at once", "first", "second", "late"]


def test_a_clock_drifts_and_its_wall_is_off():
    """Elapsed time runs at its own rate from its own beginning; the wall may be set at any time."""
    timeline = Timeline()
    timeline.now = 10.0
    clock = NodeClock(timeline, elapsed_at_start=500.0, rate=1.01, wall_error=3.0)
    assert clock.now() == (500.0, WALL_AT_START + 13.0)
    timeline.now = 110.0
    clock.wall_error = -60.0
    assert clock.now().elapsed == pytest.approx(601.0)
    assert clock.now().wall == WALL_AT_START + 50.0


def test_a_timer_is_never_early():
    """At the true time of a deadline the node's clock has reached it."""
    timeline = Timeline()
    clock = NodeClock(timeline, elapsed_at_start=0.1, rate=0.993)
    for deadline in (0.1, 1.7, 333.333, 1e6 / 3):
        timeline.now = clock.true_time(deadline)
        assert deadline <= clock.now().elapsed < deadline + 1e-5
    assert clock.true_time(inf) == inf


def test_a_violation_names_its_rule():
    """And is a failure like any other assertion."""
    violation = Violation("in order", "two before one")
    assert violation.rule == "in order"
    assert str(violation) == "in order: two before one"
    assert isinstance(violation, AssertionError)
