"""The count that everything is checked against."""

import pytest

from mesh.cli.demo.alone import count, count_text
from mesh.cli.demo.folder import survey


def test_words_are_found_by_looking_at_every_character():
    """Letters, digits and underscores make a word; its case does not matter."""
    assert count_text("Ab_1 ab_1; (x)\nX--x") == {"ab_1": 2, "x": 3}


def test_files_are_counted_one_by_one_and_together(texts):
    """Counts of each file add up to the total, and each file has its digest."""
    files = survey(texts).files
    alone = count(files)
    names = {file.name: file.number for file in files}
    assert alone.by_file[names["two.txt"]]["dog"] == 100
    assert alone.total["dog"] == 300
    assert alone.by_file[names["empty.txt"]] == {}
    assert len(set(alone.digests.values())) == len(files)
    assert alone.files_with("fox") == sorted([names["one.txt"], names["two.txt"]])
    assert alone.files_with("wolf") == []


def test_the_most_frequent_words_come_first(texts):
    """Equals are in the order of their letters."""
    assert count(survey(texts).files).top(4) == [
        ("the", 400),
        ("dog", 300),
        ("fox", 250),
        ("brown", 200),
    ]


def test_a_file_that_is_gone_is_an_error(texts):
    """What cannot be read any more is not passed over in silence."""
    files = survey(texts).files
    (texts / "two.txt").unlink()
    with pytest.raises(FileNotFoundError):
        count(files)
