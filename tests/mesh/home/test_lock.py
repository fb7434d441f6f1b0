"""The lock: one holder, whoever it is, until it lets go or dies."""

import errno
import importlib.util
import os
import sys
import types
from pathlib import Path

import pytest

from mesh.errors import HomeInUse, InvalidConfiguration
from mesh.home import lock as lock_module
from mesh.home.lock import HomeLock

HOLDER = """
import sys
from pathlib import Path
from mesh.home.lock import HomeLock
lock = HomeLock(Path(sys.argv[1]))
lock.acquire()
print("held", flush=True)
sys.stdin.read()
"""

HOLDER_WITH_CHILD = """
import os, subprocess, sys
from pathlib import Path
from mesh.home.lock import HomeLock
lock = HomeLock(Path(sys.argv[1]))
lock.acquire()
CHILD = "import sys; print('child runs', flush=True); sys.stdin.read(); print('child ends')"
if sys.argv[2] == "spawn":
    subprocess.Popen([sys.executable, "-c", CHILD], close_fds=False)
elif os.fork() == 0:
    assert not lock.held
    exec(CHILD)
    sys.stdout.flush()
    os._exit(0)
import threading
threading.Event().wait()
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "lock"


def test_second_object_of_one_process_is_refused(path: Path) -> None:
    """Two nodes in one program cannot share a home, and the text says who has it."""
    first, second = HomeLock(path), HomeLock(path)
    first.acquire()
    for other in (second, first):
        with pytest.raises(HomeInUse, match=f"{path.parent} is in use by this process"):
            other.acquire()
    assert first.held
    assert not second.held
    first.release()
    second.acquire()
    second.release()


def test_release_twice_is_harmless(path: Path) -> None:
    """Closing is idempotent, and leaves the file in place without a pid."""
    lock = HomeLock(path)
    lock.release()
    lock.acquire()
    lock.release()
    lock.release()
    assert not lock.held
    assert path.read_bytes() == b""


def test_kill_frees_the_lock(path: Path, spawn) -> None:
    """Another process is named by its pid; when it is killed the home is free at once."""
    holder = spawn(HOLDER, path)
    assert holder.stdout.readline() == "held\n"
    lock = HomeLock(path)
    with pytest.raises(HomeInUse, match=f"in use by process {holder.pid}$"):
        lock.acquire()
    holder.kill()
    holder.wait(timeout=30)
    lock.acquire()
    assert path.read_bytes() == b"%d\n" % os.getpid()
    lock.release()


@pytest.mark.parametrize("way", ["spawn", "fork"])
def test_children_do_not_inherit_the_lock(path: Path, spawn, way: str) -> None:
    """A child that outlives the killed holder does not keep the home locked."""
    holder = spawn(HOLDER_WITH_CHILD, path, way)
    assert holder.stdout.readline() == "child runs\n"
    lock = HomeLock(path)
    with pytest.raises(HomeInUse):
        lock.acquire()
    holder.kill()
    holder.wait(timeout=30)
    lock.acquire()
    lock.release()
    holder.stdin.close()
    assert holder.stdout.readline() == "child ends\n"


def test_forked_child_forgets_without_unlocking(path: Path) -> None:
    """What a fork runs in the child closes its copy; the parent's lock holds."""
    lock = HomeLock(path)
    lock.acquire()
    copy = HomeLock(path)
    copy._file = open(os.dup(lock._file.fileno()), "r+b", buffering=0)  # noqa: SIM115
    copy._forget()
    copy._forget()
    assert not copy.held
    with pytest.raises(HomeInUse):
        copy.acquire()
    lock_module._forget_in_child()
    assert not lock.held
    copy.acquire()
    copy.release()


def test_unreadable_pid_is_another_process(path: Path) -> None:
    """A holder whose pid did not reach the file is still refused, without a wrong number."""
    lock = HomeLock(path)
    lock.acquire()
    path.write_bytes(b"nonsense")
    with pytest.raises(HomeInUse, match="in use by another process"):
        HomeLock(path).acquire()
    lock.release()


def test_open_lock_file_is_refused(path: Path) -> None:
    """Others must not be able to hold our lock: the file is private too."""
    path.write_bytes(b"")
    path.chmod(0o644)
    with pytest.raises(InvalidConfiguration, match=f"chmod 600 {path}"):
        HomeLock(path).acquire()


def test_file_system_without_locks_is_told(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the system cannot lock, we say so instead of running unlocked."""

    def refuse(descriptor: int) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(lock_module, "_try_lock", refuse)
    lock = HomeLock(path)
    with pytest.raises(InvalidConfiguration, match=f"cannot lock {path}: No locks available"):
        lock.acquire()
    assert not lock.held


def test_windows_locks_one_byte_behind_the_text(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With msvcrt in place of fcntl the same class excludes a second holder and lets go."""
    taken: set[int] = set()

    def locking(descriptor: int, mode: int, length: int) -> None:
        assert length == 1
        place = os.lseek(descriptor, 0, os.SEEK_CUR)
        if mode == 0:
            taken.remove(place)
        elif place in taken:
            raise PermissionError(errno.EACCES, "Permission denied")
        else:
            taken.add(place)

    fake = types.ModuleType("msvcrt")
    fake.locking, fake.LK_NBLCK, fake.LK_UNLCK = locking, 2, 0
    monkeypatch.setitem(sys.modules, "msvcrt", fake)
    monkeypatch.setattr(sys, "platform", "win32")
    spec = importlib.util.spec_from_file_location("lock_on_windows", lock_module.__file__)
    windows = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(windows)

    first, second = windows.HomeLock(path), windows.HomeLock(path)
    first.acquire()
    assert taken
    assert min(taken) > 1000
    with pytest.raises(HomeInUse, match="this process"):
        second.acquire()
    first.release()
    assert not taken
    second.acquire()
    second.release()
