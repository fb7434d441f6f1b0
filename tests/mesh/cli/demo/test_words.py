"""Words are counted alike however their bytes arrive."""

import itertools
from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from mesh.cli.demo.alone import count_text
from mesh.cli.demo.words import WordCount, chunks, ranked


def count(data: bytes, cuts: list[int]) -> Counter[str]:
    """The words of bytes that arrive in pieces cut at these places."""
    places = sorted({0, *(cut % (len(data) + 1) for cut in cuts), len(data)})
    words = WordCount()
    for start, end in itertools.pairwise(places):
        words.feed(data[start:end], final=False)
    words.feed(b"", final=True)
    return words.counts


@settings(max_examples=40)
@given(st.text(max_size=20) | st.text("aÄ_ .é٣ΣİǅB", max_size=40), st.lists(st.integers(0, 300)))
def test_pieces_make_no_difference(text, cuts):
    """Any text cut anywhere gives the words that a look at its characters finds."""
    data = text.encode("utf-8", "replace")
    assert count(data, cuts) == count_text(data.decode())


@given(st.binary(max_size=60), st.lists(st.integers(0, 60)))
def test_bytes_that_are_no_text_make_no_difference(data, cuts):
    """Bytes that are not UTF-8 are counted as the whole file would be."""
    assert count(data, cuts) == count_text(data.decode("utf-8", "replace"))


def test_a_word_over_many_pieces_is_one_word():
    """A word longer than several pieces is counted once."""
    words = WordCount()
    for _ in range(5):
        words.feed(b"x" * 10, final=False)
    words.feed(b"x y", final=True)
    assert words.counts == {"x" * 51: 1, "y": 1}


@given(st.dictionaries(st.text(max_size=9), st.integers(1, 9)), st.integers(1, 60))
def test_chunks_hold_everything_once(counts, limit):
    """Parts together are the whole, there is at least one, and only a single word exceeds one."""
    parts = list(chunks(counts, limit))
    assert parts
    assert sum(map(len, parts)) == len(counts)
    assert {word: count for part in parts for word, count in part.items()} == counts
    for part in parts:
        assert len(part) <= 1 or sum(len(word.encode()) + 8 for word in part) <= limit


def test_ranking_is_by_count_then_by_letters():
    """Frequent words come first, equals in the order of their letters, and no more than asked."""
    assert ranked({"b": 2, "a": 2, "c": 3, "d": 1}, 3) == [("c", 3), ("a", 2), ("b", 2)]
