"""Time that passes only when a simulation says so, and the clocks of its nodes, which are wrong.

A `Timeline` is the one true time of a world. A node sees it through a `NodeClock`: its elapsed time
drifts, its wall clock is off and jumps.
"""

from collections.abc import Callable
from heapq import heappop, heappush
from math import inf

from mesh.model import Now

# A day in the life of the worlds' wall clock; elapsed time begins elsewhere on purpose.
WALL_AT_START = 1_800_000_000.0

# A timer never fires before its time, whatever rounding between two clocks does.
_TIMER_GRAIN_SECONDS = 1e-6


class Violation(AssertionError):
    """A promise was broken in a simulated world. `rule`: which, in a few words."""

    def __init__(self, rule: str, text: str) -> None:
        super().__init__(f"{rule}: {text}")
        self.rule = rule


class Timeline:
    """What happens when. Actions of one moment happen in the order they were asked for."""

    def __init__(self) -> None:
        self.now = 0.0
        self._heap: list[tuple[float, int, Callable[[], None]]] = []
        self._order = 0

    def after(self, seconds: float, action: Callable[[], None]) -> None:
        """Do something when so many seconds have passed."""
        self._order += 1
        heappush(self._heap, (self.now + max(0.0, seconds), self._order, action))

    def next(self) -> float:
        """When something happens next; `inf` for never."""
        return self._heap[0][0] if self._heap else inf

    def pop(self) -> Callable[[], None]:
        """The next action; the time is not moved."""
        return heappop(self._heap)[2]


class NodeClock:
    """Both clocks of one node.

    `elapsed_at_start`: what its elapsed time shows now. `rate`: its seconds in a true one.
    `wall_error`: seconds its wall clock is ahead; it may be set at any time.
    """

    def __init__(
        self,
        timeline: Timeline,
        *,
        elapsed_at_start: float,
        rate: float = 1.0,
        wall_error: float = 0.0,
    ) -> None:
        self.wall_error = wall_error
        self._timeline = timeline
        self._began = timeline.now
        self._elapsed_at_start = elapsed_at_start
        self._rate = rate

    def now(self) -> Now:
        """The moment as this node sees it."""
        true = self._timeline.now
        elapsed = self._elapsed_at_start + (true - self._began) * self._rate
        return Now(elapsed, WALL_AT_START + true + self.wall_error)

    def true_time(self, elapsed: float) -> float:
        """When this node's elapsed time will show `elapsed`."""
        since = (elapsed - self._elapsed_at_start) / self._rate
        return self._began + since + _TIMER_GRAIN_SECONDS
