"""Many deadlines, one timer of the loop: what a timer of its own for each call would cost twice."""

import asyncio
from collections.abc import Callable, Collection
from heapq import heapify, heappop, heappush
from math import inf

# So many entries of calls that are over may lie about before they are cleared away.
_SPARE_ENTRIES = 1024


class Timeouts:
    """`expire(key)` is called for every key that still waits when its time is up.

    `waiting`: those that do; whoever owns them takes out what has ended, or was told to `expire`.
    """

    def __init__(self, waiting: Collection[int], expire: Callable[[int], None]) -> None:
        self._waiting = waiting
        self._expire = expire
        self._loop = asyncio.get_running_loop()
        self._heap: list[tuple[float, int]] = []
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = inf

    def add(self, key: int, seconds: float) -> None:
        """A key that was never here before has `seconds` from now."""
        when = self._loop.time() + seconds
        if len(self._heap) > 2 * len(self._waiting) + _SPARE_ENTRIES:
            self._heap = [entry for entry in self._heap if entry[1] in self._waiting]
            heapify(self._heap)
        heappush(self._heap, (when, key))
        if when < self._timer_at:
            self._arm(when)

    def stop(self) -> None:
        """Nothing expires any more."""
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
                self._expire(key)
        if heap:
            self._arm(heap[0][0])
