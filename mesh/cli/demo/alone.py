"""The count that the mesh's answers are checked against: one process, one file after another.

It shares no code with the workers (see `words`): a word is found here by looking at every
character of the whole text.
"""

import hashlib
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from mesh.cli.demo.folder import TextFile


@dataclass(slots=True)
class Alone:
    """Counts by file number, all together, and the SHA-256 of each file as it was read."""

    by_file: dict[int, Counter[str]] = field(default_factory=dict)
    total: Counter[str] = field(default_factory=Counter)
    digests: dict[int, str] = field(default_factory=dict)

    def files_with(self, word: str) -> list[int]:
        """Numbers of the files that hold this word."""
        return sorted(number for number, counts in self.by_file.items() if word in counts)

    def top(self, most: int) -> list[tuple[str, int]]:
        """The most frequent words; equals in the order of their letters."""
        by_letters = sorted(self.total)
        return [
            (word, self.total[word])
            for word in sorted(by_letters, key=self.total.__getitem__, reverse=True)[:most]
        ]


def count(files: Iterable[TextFile]) -> Alone:
    """Read and count these files. Raises OSError when one cannot be read any more."""
    alone = Alone()
    for file in files:
        data = Path(file.path).read_bytes()
        counts = count_text(data.decode("utf-8", "replace"))
        alone.digests[file.number] = hashlib.sha256(data).hexdigest()
        alone.by_file[file.number] = counts
        alone.total.update(counts)
    return alone


def count_text(text: str) -> Counter[str]:
    """The words of one text."""
    apart = "".join(c if c == "_" or c.isalnum() else " " for c in text)
    counts: Counter[str] = Counter()
    for word in apart.split(" "):
        if word:
            counts[word.lower()] += 1
    return counts
