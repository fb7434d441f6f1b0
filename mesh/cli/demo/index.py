"""The index: adds up what the workers counted, compares the rounds and answers queries."""

import asyncio
import bisect
from collections import Counter
from pathlib import Path
from typing import Any

from mesh.cli.demo.member import Member, Tell
from mesh.cli.demo.words import ranked

PAGE_BYTES = 64 * 1024


class Round:
    """The sums of one round. `files`: how many were counted to their last word."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.files = 0


class Index(Member):
    """Messages `counts` in; calls `close_round`, `how_often`, `files_with`, `top`, `table`."""

    def __init__(self, name: str, home: Path, tell: Tell, *, rekey_after_seconds: float) -> None:
        super().__init__(name, home, tell, rekey_after_seconds=rekey_after_seconds)
        self._rounds: dict[int, Round] = {}
        self._closed = Round()
        self._words: list[str] = []
        node = self.node
        node.on("counts")(self.on_counts)
        for service in (
            self.close_round,
            self.how_often,
            self.files_with,
            self.top,
            self.table,
        ):
            node.serve(service.__name__)(service)

    async def on_counts(self, body: dict[str, Any]) -> None:
        """Counts of one file, or a part of them."""
        sums = self._rounds.setdefault(body["round"], Round())
        sums.counts.update(body["counts"])
        sums.files += body["last"]

    async def close_round(self, number: int) -> dict[str, Any]:
        """A round is over. `same`: whether it came out as the one before it."""
        sums = self._rounds.pop(number, Round())
        same = number == 1 or sums.counts == self._closed.counts
        self._closed = sums
        self._words = sorted(sums.counts)
        return {
            "files": sums.files,
            "words": sums.counts.total(),
            "distinct": len(sums.counts),
            "same": same,
        }

    async def how_often(self, word: str) -> int:
        """How often a word occurs in all files."""
        return self._closed.counts[word]

    async def files_with(self, word: str) -> list[int]:
        """Numbers of the files that hold a word; the workers know."""
        workers = [peer for peer in self.node.peers if peer.name.startswith("worker-")]
        found = await asyncio.gather(
            *(self.node.call(worker, "where", word, timeout=5) for worker in workers)
        )
        return sorted(number for numbers in found for number in numbers)

    async def top(self, most: int) -> list[tuple[str, int]]:
        """The most frequent words."""
        return ranked(self._closed.counts, most)

    async def table(self, after: str) -> list[tuple[str, int]]:
        """A page of the whole result: words that follow `after`, with their counts."""
        page: list[tuple[str, int]] = []
        size = 0
        for word in self._words[bisect.bisect_right(self._words, after) :]:
            if size >= PAGE_BYTES:
                break
            size += len(word.encode()) + 8
            page.append((word, self._closed.counts[word]))
        return page
