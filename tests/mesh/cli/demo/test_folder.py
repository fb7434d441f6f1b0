"""Which files the demonstration takes."""

import os

import pytest

from mesh.cli.demo.folder import Limits, shown, survey


def names(folder):
    """The names of the files taken."""
    return [file.name for file in folder.files]


def test_text_files_are_taken_in_order(texts):
    """Files of a folder, then of its folders, numbered; empty ones too."""
    folder = survey(texts)
    assert names(folder) == ["empty.txt", "one.txt", "two.txt", "below/three.txt"]
    assert [file.number for file in folder.files] == [0, 1, 2, 3]
    assert folder.size == sum(file.size for file in folder.files) > 9000
    assert folder.left_out == {}
    assert folder.describe() == f"4 text files, {folder.size:,} bytes"


def test_what_is_no_text_is_left_out_and_counted(texts):
    """Binary, hidden and large files, links and pipes are left out, each with its reason."""
    (texts / "binary").write_bytes(b"text\0")
    (texts / ".hidden").write_text("x")
    (texts / ".git").mkdir()
    (texts / ".git" / "config").write_text("x")
    (texts / "large.txt").write_text("x" * 20_000)
    (texts / "link.txt").symlink_to(texts / "one.txt")
    os.mkfifo(texts / "pipe")
    folder = survey(texts, Limits(file_bytes=10_000))
    assert folder.left_out == {
        "binary": 1,
        "hidden": 2,
        "larger than 10,000 bytes": 1,
        "linked": 1,
        "special": 1,
    }
    assert len(folder.files) == 4
    assert folder.describe() == (
        f"4 text files, {folder.size:,} bytes (of no use here: 1 binary, 2 hidden, 1 linked, "
        "1 special); left out: larger than 10,000 bytes 1"
    )


def test_binary_files_are_not_told_as_a_failure(texts):
    """Compiled Python beside sources is what most folders hold: nothing is "left out" there."""
    (texts / "one.pyc").write_bytes(b"\0")
    told = survey(texts).describe()
    assert told.endswith(" bytes (of no use here: 1 binary)")


@pytest.mark.parametrize("limits", [Limits(files=2), Limits(entries=2)])
def test_the_number_of_files_is_bounded(texts, limits):
    """At the limit the search ends, and the folder says that there may be more."""
    folder = survey(texts, limits)
    assert names(folder) == ["empty.txt", "one.txt"]
    assert folder.left_out == {"whatever follows the limit, at least": 1}


def test_the_limit_itself_is_allowed(texts):
    """As many files as the limit says are all taken."""
    assert survey(texts, Limits(files=4, entries=4)).left_out == {}


def test_the_bytes_are_bounded(texts):
    """A file that would exceed the total is left out; smaller ones after it are taken."""
    folder = survey(texts, Limits(total_bytes=3000))
    assert names(folder) == ["empty.txt", "two.txt", "below/three.txt"]
    assert folder.left_out == {"beyond 3,000 bytes in all": 1}


@pytest.fixture
def deep(tmp_path, monkeypatch):
    """A file below as many folders of some name as asked for."""
    monkeypatch.chdir(tmp_path)
    made = []

    def dig(name, depth):
        for _ in range(depth):
            os.mkdir(name)
            os.chdir(name)
            made.append(name)
        with open("f.txt", "w") as file:
            file.write("deep")
        return tmp_path

    yield dig
    os.remove("f.txt")
    while made:
        os.chdir("..")
        os.rmdir(made.pop())


def test_depth_is_no_recursion(deep):
    """A file below more folders than Python has frames is found."""
    assert len(survey(deep("d", 1200)).files) == 1


def test_what_lies_too_deep_for_a_path_is_unreadable(deep):
    """A path longer than the system allows is left out and counted."""
    folder = survey(deep("d" * 200, 25))
    assert (folder.files, folder.left_out) == ((), {"unreadable": 1})


def test_an_unreadable_file_is_left_out(texts, monkeypatch):
    """A file that cannot be opened is left out with that reason."""
    gone = os.fspath(texts / "two.txt")
    real = open

    def refuse(path, *arguments):
        if path == gone:
            raise PermissionError(13, "not yours")
        return real(path, *arguments)

    monkeypatch.setattr("builtins.open", refuse)
    folder = survey(texts)
    monkeypatch.undo()
    assert folder.left_out == {"unreadable": 1}
    assert "two.txt" not in names(folder)


@pytest.mark.parametrize("missing", ["nowhere", "one.txt"])
def test_a_folder_that_is_none_is_an_error(texts, missing):
    """A missing folder and a file in its place cannot be surveyed."""
    with pytest.raises(OSError):
        survey(texts / missing)


def test_names_do_not_command_the_terminal(tmp_path):
    """What does not print in a name is escaped, whatever bytes the name is made of."""
    (tmp_path / "red\x1b[31m.txt").write_text("x")
    (tmp_path / os.fsdecode(b"bad\xff.txt")).write_text("y")
    assert all(name.isprintable() and name.isascii() for name in names(survey(tmp_path)))


def test_a_long_name_is_shortened():
    """A name keeps its end, within the limit."""
    assert shown("a" * 60) == "a" * 60
    assert shown("a" * 60 + "end") == "..." + "a" * 54 + "end"
