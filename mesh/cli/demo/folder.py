"""The demonstration's input: the text files of a folder, within limits, and what was left out."""

import os
import stat
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

# What two slow cores count several times over within seconds.
MAX_FILES = 2_000
MAX_FILE_BYTES = 1 << 20
MAX_TOTAL_BYTES = 8 << 20
# A look at every entry of a whole disk would take longer than the demonstration.
MAX_ENTRIES = 10_000
_HEAD_BYTES = 8192
# What is passed over because it is no text to be read, and not for want of room or permission.
_BINARY, _HIDDEN, _LINKED, _SPECIAL = "binary", "hidden", "linked", "special"
_NO_TEXT = frozenset({_BINARY, _HIDDEN, _LINKED, _SPECIAL})


class Limits(NamedTuple):
    """How much of a folder is taken."""

    files: int = MAX_FILES
    file_bytes: int = MAX_FILE_BYTES
    total_bytes: int = MAX_TOTAL_BYTES
    entries: int = MAX_ENTRIES


@dataclass(frozen=True, slots=True)
class TextFile:
    """One file. `number` names it on the wire, `name` to people; `size` in bytes."""

    number: int
    path: str
    name: str
    size: int


@dataclass(frozen=True, slots=True)
class Folder:
    """The files taken, and how many others were left out for which reason."""

    root: Path
    files: tuple[TextFile, ...]
    left_out: dict[str, int]

    @property
    def size(self) -> int:
        """Bytes of all files taken."""
        return sum(file.size for file in self.files)

    def describe(self) -> str:
        """One line for people."""
        text = f"{len(self.files)} text files, {self.size:,} bytes"
        found = sorted(self.left_out.items())
        others = [f"{number} {reason}" for reason, number in found if reason in _NO_TEXT]
        beyond = [f"{reason} {number}" for reason, number in found if reason not in _NO_TEXT]
        if others:
            text += f" (of no use here: {', '.join(others)})"
        if beyond:
            text += f"; left out: {', '.join(beyond)}"
        return text


def survey(root: Path, limits: Limits | None = None) -> Folder:
    """The text files below a folder, in the order of their names; hidden ones and links are not.

    Raises OSError when the folder itself cannot be listed.
    """
    limits = limits or Limits()
    left_out: Counter[str] = Counter()
    files: list[TextFile] = []
    total = 0
    os.scandir(root).close()
    for number, entry in enumerate(_entries(root, left_out)):
        if number >= limits.entries or len(files) >= limits.files:
            left_out["whatever follows the limit, at least"] += 1
            break
        reason, size = _look(entry, limits, total)
        if reason:
            left_out[reason] += 1
            continue
        total += size
        name = shown(os.path.relpath(entry.path, root))
        files.append(TextFile(len(files), entry.path, name, size))
    return Folder(root, tuple(files), dict(left_out))


def _entries(root: Path, left_out: Counter[str]) -> Iterator["os.DirEntry[str]"]:
    """Everything below that is no folder. A stack, not recursion: folders may be very deep."""
    stack = [os.fspath(root)]
    while stack:
        try:
            with os.scandir(stack.pop()) as listing:
                entries = sorted(listing, key=lambda entry: entry.name)
        except OSError:
            left_out["unreadable"] += 1
            continue
        below = []
        for entry in entries:
            if not entry.is_dir(follow_symlinks=False):
                yield entry
            elif entry.name.startswith("."):
                left_out[_HIDDEN] += 1
            else:
                below.append(entry.path)
        stack.extend(reversed(below))


def _look(entry: "os.DirEntry[str]", limits: Limits, total: int) -> tuple[str, int]:
    """Why a file is left out, empty when it is not, and its size. `total`: bytes taken so far."""
    if entry.name.startswith("."):
        return _HIDDEN, 0
    try:
        status = entry.stat(follow_symlinks=False)
        if stat.S_ISLNK(status.st_mode):
            return _LINKED, 0
        if not stat.S_ISREG(status.st_mode):
            return _SPECIAL, 0
        if status.st_size > limits.file_bytes:
            return f"larger than {limits.file_bytes:,} bytes", 0
        if status.st_size > limits.total_bytes - total:
            return f"beyond {limits.total_bytes:,} bytes in all", 0
        with open(entry.path, "rb") as file:
            if b"\0" in file.read(_HEAD_BYTES):
                return _BINARY, 0
    except OSError:
        return "unreadable", 0
    return "", status.st_size


def shown(text: str, most: int = 60) -> str:
    """Text from outside as a terminal may see it: nothing that does not print, not too long."""
    printable = "".join(
        c if c.isprintable() else c.encode("unicode_escape", "replace").decode() for c in text
    )
    return printable if len(printable) <= most else f"...{printable[3 - most :]}"
