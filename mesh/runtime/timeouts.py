"""Many deadlines, one timer of the loop: what a timer of its own for each call would cost twice."""

import asyncio
from collections.abc import Callable
from heapq import heapify, heappop, heappush
from math import inf

# So many entries of calls that are over may lie about before they are cleared away.
_SPARE_ENTRIES = 1024


class Timeouts:
    """`expire(key)` is called for every key that is still here when its time is up."""

    def __init__(self, expire: Callable[[int], None]) -> None:
        self._expire = expire
        self._loop = asyncio.get_running_loop()
        self._waiting: set[int] = set()
        self._heap: list[tuple[float, int]] = []
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = inf

    def add(self, key: int, seconds: float) -> None:
        """Wait `seconds` for this key, which is not here yet and never was."""
        when = self._loop.time() + seconds
        self._waiting.add(key)
        if len(self._heap) > 2 * len(self._waiting) + _SPARE_ENTRIES:
            self._heap = [entry for entry in self._heap if entry[1] in self._waiting]
            heapify(self._heap)
        heappush(self._heap, (when, key))
        if when < self._timer_at:
            self._arm(when)

    def discard(self, key: int) -> None:
        """It is over in time; the timer stays, and finds nothing to do."""
        self._waiting.discard(key)

    def stop(self) -> None:
        """Nothing expires any more."""
        self._waiting.clear()
        self._heap.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._timer_at = inf

    def _arm(self, when: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer_at = when
        self._timer = self._loop.call_at(when, self._on_timer)

    def _on_timer(self) -> None:
        # A loop may be early by as much as its clock's resolution.
        now = max(self._loop.time(), self._timer_at)
        self._timer = None
        self._timer_at = inf
        heap, waiting = self._heap, self._waiting
        while heap and (heap[0][1] not in waiting or heap[0][0] <= now):
            _, key = heappop(heap)
            if key in waiting:
                waiting.discard(key)
                self._expire(key)
        if heap:
            self._arm(heap[0][0])
