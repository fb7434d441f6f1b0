"""The replay window against the simplest one there is: a set of everything ever accepted."""

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from mesh.constants import REPLAY_WINDOW
from mesh.session.replay_window import ReplayWindow

WIDTH = REPLAY_WINDOW
EDGES = (0, 1, 2, WIDTH - 2, WIDTH - 1, WIDTH, WIDTH + 1, 2 * WIDTH - 1, 2 * WIDTH, 2 * WIDTH + 1)


class NaiveWindow:
    """Remembers every counter; only what is within the width is allowed."""

    def __init__(self) -> None:
        self.accepted: set[int] = set()
        self.next = 0

    def check(self, counter: int) -> bool:
        """As the promise says: new, and not too old."""
        return counter >= self.next - WIDTH and counter not in self.accepted

    def accept(self, counter: int) -> None:
        """Remember it."""
        self.accepted.add(counter)
        self.next = max(self.next, counter + 1)


class Pair:
    """Both windows under the same frames."""

    def __init__(self) -> None:
        self.window = ReplayWindow()
        self.naive = NaiveWindow()

    def offer(self, counter: int) -> None:
        """A genuine frame with this counter arrives."""
        expected = self.naive.check(counter)
        assert self.window.check(counter) is expected, counter
        if expected:
            self.window.accept(counter)
            self.naive.accept(counter)
        assert self.window.next == self.naive.next

    def compare_around(self, counters: "tuple[int, ...]") -> None:
        """Both say the same of these counters."""
        for counter in counters:
            if counter >= 0:
                assert self.window.check(counter) is self.naive.check(counter), counter


class Windows(RuleBasedStateMachine):
    """Frames in order, early, late, repeated, and far beyond the window."""

    def __init__(self) -> None:
        super().__init__()
        self.pair = Pair()

    @rule(ahead=st.one_of(st.sampled_from(EDGES), st.integers(0, 3 * WIDTH)))
    def ahead(self, ahead):
        """A frame beyond all others, skipping as many."""
        self.pair.offer(self.pair.naive.next + ahead)

    @rule(behind=st.one_of(st.sampled_from(EDGES), st.integers(0, 2 * WIDTH)))
    def behind(self, behind):
        """A frame that others overtook."""
        self.pair.offer(max(0, self.pair.naive.next - behind))

    @rule(count=st.integers(1, 40))
    def in_order(self, count):
        """A few as they were sent."""
        for _ in range(count):
            self.pair.offer(self.pair.naive.next)

    @rule(data=st.data())
    def again(self, data):
        """One that was accepted before."""
        if self.pair.naive.accepted:
            self.pair.offer(data.draw(st.sampled_from(sorted(self.pair.naive.accepted))))

    @invariant()
    def edges_agree(self):
        """At the edges of the window and of the ring both say the same."""
        following = self.pair.naive.next
        self.pair.compare_around(tuple(following - edge for edge in EDGES))


TestWindows = Windows.TestCase


@pytest.mark.parametrize("seed", range(4))
def test_every_counter_of_the_window_agrees_after_a_storm(seed):
    """After hundreds of reordered frames and jumps, all counters in reach are judged alike."""
    random = Random(seed)
    pair = Pair()
    for _ in range(600):
        jump = random.choice([0, 0, 1, 3, 50, 700, WIDTH - 1, WIDTH, WIDTH + 1])
        pair.offer(max(0, pair.naive.next + jump - random.choice([0, 0, 5, 60, 900, WIDTH])))
    following = pair.naive.next
    pair.compare_around(tuple(range(following - 2 * WIDTH, following + 3)))


@given(st.integers(0, 4 * WIDTH), st.integers(0, 4 * WIDTH))
def test_a_jump_forgets_exactly_what_fell_out(first, jump):
    """After a jump of any length over the ring's end, old marks neither stay nor vanish."""
    pair = Pair()
    for counter in (first, first + 1, first + 3):
        pair.offer(counter)
    pair.offer(pair.naive.next + jump)
    following = pair.naive.next
    pair.compare_around((first, first + 1, first + 2, first + 3, first + 4))
    pair.compare_around(tuple(following - edge for edge in EDGES))


def test_a_check_changes_nothing():
    """Asking about any counter, however far ahead, leaves every other answer as it was."""
    pair = Pair()
    for counter in (0, 5, 9):
        pair.offer(counter)
    for counter in (10**18, 10 + WIDTH, 10, 7, 5):
        pair.window.check(counter)
    assert pair.window.next == 10
    pair.compare_around(tuple(range(12)))


def test_the_oldest_counter_of_the_window_counts_once_and_the_one_before_it_never():
    """At the width exactly a late frame is taken; one past it no frame is."""
    window = ReplayWindow()
    window.accept(WIDTH)
    assert window.check(1)
    assert not window.check(0)
    window.accept(1)
    assert not window.check(1)
