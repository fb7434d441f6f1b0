"""How workers count words: piece by piece, as a file arrives.

A word is a longest run of letters, digits and underscores, in lower case. `alone` counts the same
words by other means, so that a mistake made here shows.
"""

import codecs
import re
from collections import Counter
from collections.abc import Iterator, Mapping

_WORD = re.compile(r"\w+")
# One message of counts stays well below a frame's budget.
CHUNK_BYTES = 32 * 1024
_ENTRY_BYTES = 8


class WordCount:
    """The words of one file whose bytes arrive in pieces, cut anywhere. `counts`: so far."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._unfinished: list[str] = []

    def feed(self, data: bytes, *, final: bool) -> None:
        """Count one more piece; a word cut at its end waits for the next one."""
        text = self._decoder.decode(data, final)
        cut = len(text) if final else _start_of_last_word(text)
        if cut == 0 and not final:
            self._unfinished.append(text)
            return
        whole = "".join([*self._unfinished, text[:cut]])
        self._unfinished = [text[cut:]]
        self.counts.update(word.lower() for word in _WORD.findall(whole))


def _start_of_last_word(text: str) -> int:
    """Where a word that may go on in the next piece begins; the length when none does."""
    start = len(text)
    while start and (text[start - 1].isalnum() or text[start - 1] == "_"):
        start -= 1
    return start


def chunks(counts: Mapping[str, int], limit_bytes: int = CHUNK_BYTES) -> Iterator[dict[str, int]]:
    """The counts in parts that each fit a message; at least one part, perhaps empty."""
    part: dict[str, int] = {}
    size = 0
    for word, count in counts.items():
        cost = len(word.encode()) + _ENTRY_BYTES
        if part and size + cost > limit_bytes:
            yield part
            part, size = {}, 0
        part[word] = count
        size += cost
    yield part


def ranked(counts: Mapping[str, int], most: int) -> list[tuple[str, int]]:
    """The `most` frequent words with their counts; equals in the order of their letters."""
    return sorted(counts.items(), key=lambda entry: (-entry[1], entry[0]))[:most]
