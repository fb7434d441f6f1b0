"""One process a home: a lock that the operating system takes back when its holder dies.

The lock belongs to an open file description, so two objects in one process exclude each other
too. The file is never removed: a name that vanishes would let two holders lock two files.
"""

import os
import sys
from contextlib import suppress
from io import FileIO
from pathlib import Path
from weakref import WeakSet

from mesh.errors import HomeInUse
from mesh.home.files import open_private, unusable

if sys.platform == "win32":
    import msvcrt

    # Windows locks keep others from reading too; far behind the text, the text stays readable.
    _LOCKED_BYTE = 1 << 20

    def _try_lock(descriptor: int) -> None:
        os.lseek(descriptor, _LOCKED_BYTE, os.SEEK_SET)
        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except OSError as error:  # EACCES: somebody else has it
            raise BlockingIOError(error.errno, error.strerror) from None

    def _unlock(descriptor: int) -> None:
        os.lseek(descriptor, _LOCKED_BYTE, os.SEEK_SET)
        msvcrt.locking(descriptor, msvcrt.LK_UNLCK, 1)

else:
    import fcntl

    def _try_lock(descriptor: int) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def _unlock(descriptor: int) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_UN)


class HomeLock:
    """The lock of one home. `path`: the lock file, made when missing."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file: FileIO | None = None

    def acquire(self) -> None:
        """Take the lock, or raise at once.

        Raises `HomeInUse` (naming the process) when anybody, this object included, has it, and
        `InvalidConfiguration` when the file cannot be used or its file system has no locks.
        """
        file = FileIO(open_private(self.path, os.O_RDWR | os.O_CREAT), "r+")
        try:
            _try_lock(file.fileno())
        except BlockingIOError:
            holder = _holder(file)
            file.close()
            raise HomeInUse(f"{self.path.parent} is in use by {holder}") from None
        except OSError as error:
            file.close()
            raise unusable("lock", self.path, error) from error
        self._file = file
        _held.add(self)
        # The pid is for people only: on a full disk the lock holds without it.
        with suppress(OSError):
            file.truncate(0)
            file.seek(0)
            file.write(b"%d\n" % os.getpid())

    def release(self) -> None:
        """Give the lock back; nothing happens if it is not held."""
        file, self._file = self._file, None
        if file is None:
            return
        _held.discard(self)
        with suppress(OSError):
            file.truncate(0)
        # Said aloud, because a forked child may still hold a copy of the descriptor.
        with suppress(OSError):
            _unlock(file.fileno())
        file.close()

    @property
    def held(self) -> bool:
        """Whether this object has the lock."""
        return self._file is not None

    def _forget(self) -> None:
        file, self._file = self._file, None
        if file is not None:
            file.close()  # closing a copy does not unlock


def _holder(file: FileIO) -> str:
    text = b""
    with suppress(OSError):
        file.seek(0)
        text = file.read(20).strip()
    if not text.isdigit():
        return "another process"
    return "this process" if int(text) == os.getpid() else f"process {int(text)}"


_held: WeakSet[HomeLock] = WeakSet()


def _forget_in_child() -> None:
    """A forked child must not keep the home locked after its parent died."""
    for lock in list(_held):
        lock._forget()
    _held.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_in_child)
