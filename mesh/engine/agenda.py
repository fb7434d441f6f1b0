"""Deadlines of everything in the engine, as one heap of lazy entries.

An owner moves its deadline earlier as often as it likes (an acknowledgement becomes due with
every frame); a later one is found out when the earlier entry fires and the owner is asked again.
"""

from heapq import heappop, heappush
from math import inf
from typing import Protocol

# Whoever asks for "now" while time is being dealt with is asked again soon, but never in a loop.
_SHORTEST_PAUSE_SECONDS = 0.001


class Timed(Protocol):
    """Something with deadlines. `scheduled` belongs to the agenda."""

    scheduled: float

    def advance(self, now: float) -> float:
        """Do what is due at `now` (elapsed seconds). The next deadline, `inf` if there is none."""


class Agenda:
    """Who has to be asked when. `next_at`: when to call `advance` next; `inf` for never."""

    def __init__(self) -> None:
        self.next_at = inf
        self._heap: list[tuple[float, int, Timed]] = []
        self._order = 0
        self._earliest = -inf

    def at(self, when: float, owner: Timed) -> None:
        """Ask `owner` at `when`, or earlier if it is to be asked earlier already."""
        if when < self._earliest:
            when = self._earliest
        if when >= owner.scheduled:
            return
        owner.scheduled = when
        self._order += 1
        heappush(self._heap, (when, self._order, owner))
        if when < self.next_at:
            self.next_at = when

    def advance(self, now: float) -> None:
        """Ask everybody who is due, each once: afterwards the next deadline is after `now`."""
        heap = self._heap
        self._earliest = now + _SHORTEST_PAUSE_SECONDS
        while heap and heap[0][0] <= now:
            when, _, owner = heappop(heap)
            if owner.scheduled != when:
                continue
            owner.scheduled = inf
            self.at(owner.advance(now), owner)
        self._earliest = -inf
        self.next_at = heap[0][0] if heap else inf
