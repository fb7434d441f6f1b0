"""Counters: what happened, by name, since the node started.

A plain mapping from name to number. Names are dotted and never built from what a peer sent,
so the number of different ones is bounded.
"""

from collections import Counter


class Counters(Counter[str]):
    """Counts by name; a name that never happened reads as 0."""

    def snapshot(self) -> dict[str, int]:
        """A copy, sorted by name."""
        return dict(sorted(self.items()))
