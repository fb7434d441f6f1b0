"""The key file when things go wrong: what is said, and that the file stays whole.

    wrong mode, owner, kind     test_keys: test_open_or_linked_..., test_file_of_another_user_...
    wrong passphrase            test_keys: test_wrong_passphrase_..., test_missing_...
    truncated, changed          test_keys: test_every_truncation_..., test_every_changed_byte_...
    newer version               test_keys: test_newer_version_...
    what to do, in each error   test_each_error_says_what_to_do
    full disk                   test_a_full_disk_...
    a system call that fails    test_each_system_call_in_turn_may_fail
    a crash                     test_a_crash_at_each_system_call_...

The three ways a key file is written are all tried: making it, sealing it again, copying it.
"""

import errno
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import mesh
from mesh.errors import InvalidConfiguration
from mesh.home import keys
from mesh.home.files import remove_temporary_files
from mesh.home.keys import PassphraseCost

CHEAP = PassphraseCost(1, 8192)
OLD, NEW = "old passphrase", "new passphrase"
# Every call of the system by which a private file is looked at, read and written.
LOOKS = ("stat", "lstat", "fstat")
CALLS = (*LOOKS, "open", "fdopen", "write", "fsync", "close", "replace", "link", "unlink")

PREPARE = f"""
import os, sys
from itertools import count
from pathlib import Path
from mesh.errors import InvalidConfiguration
from mesh.home import keys
from mesh.home.keys import PassphraseCost
CHEAP = PassphraseCost(1, 8192)
OLD, NEW = {OLD!r}, {NEW!r}
def make(folder):
    keys.create(folder / "identity.toml", passphrase=OLD, cost=CHEAP)
def seal(folder):
    path = folder / "identity.toml"
    keys.seal_again(path, keys.open_key(path, passphrase=OLD), NEW, cost=CHEAP)
def back_up(folder):
    key = keys.open_key(folder / "identity.toml", passphrase=OLD)
    keys.write_copy(folder / "copy.key", key, NEW, cost=CHEAP)
"""

# In a process that is gone before a call of each number; of a write it has done half by then.
CRASH = """
def crash_at(number):
    left = number
    def dying(name, call):
        def counted(*arguments, **named):
            nonlocal left
            left -= 1
            if left == 0:
                if name == "write":
                    call(arguments[0], arguments[1][: len(arguments[1]) // 2])
                os._exit(9)
            return call(*arguments, **named)
        return counted
    for name in sys.argv[3].split(","):
        setattr(os, name, dying(name, getattr(os, name)))
act = globals()[sys.argv[2]]
for number in count(1):
    folder = Path(sys.argv[1], str(number))
    folder.mkdir(mode=0o700)
    if act is not make:
        make(folder)
    child = os.fork()
    if child == 0:
        crash_at(number)
        act(folder)
        os._exit(0)
    if os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0:
        break
print(number)
"""

FULL_DISK = """
folder = Path(sys.argv[1])
make(folder)
def fill():
    with open(folder / "filler", "wb", buffering=0) as filler:
        try:
            while True:
                filler.write(bytes(4096))
        except OSError:
            pass
before = (folder / "identity.toml").read_bytes()
for act in (seal, back_up):
    fill()
    try:
        act(folder)
    except InvalidConfiguration as error:
        print(error)
    assert (folder / "identity.toml").read_bytes() == before
    assert sorted(os.listdir(folder)) == ["filler", "identity.toml"]
    (folder / "filler").unlink()
back_up(folder)
seal(folder)
keys.load(folder / "copy.key", passphrase=NEW)
print(keys.load(folder / "identity.toml", passphrase=NEW).id == keys.load_id(folder / "copy.key"))
"""


class Folder:
    """A home's folder with a key under OLD, and what is in its files afterwards."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "identity.toml"
        self.copy = folder / "copy.key"
        self.id = keys.create(self.path, passphrase=OLD, cost=CHEAP).id
        self.before = self.path.read_bytes()

    def make(self) -> None:
        keys.create(self.path, passphrase=OLD, cost=CHEAP)

    def seal(self) -> None:
        keys.seal_again(self.path, keys.open_key(self.path, passphrase=OLD), NEW, cost=CHEAP)

    def back_up(self) -> None:
        keys.write_copy(self.copy, keys.open_key(self.path, passphrase=OLD), NEW, cost=CHEAP)


class Steps:
    """Counts system calls while a key file is written, and makes the one of a number fail."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
        self._left = number
        self.failed = ""
        for name in CALLS:
            monkeypatch.setattr(os, name, self._counting(name, getattr(os, name)))

    def _counting(self, name: str, call: Callable[..., object]) -> Callable[..., object]:
        def counted(*arguments: object, **named: object) -> object:
            self._left -= 1
            if self._left == 0:
                self.failed = name
                if name == "close":  # Linux has closed the descriptor even when it says EIO
                    call(*arguments, **named)
                raise OSError(errno.EIO, "Input/output error")
            return call(*arguments, **named)

        return counted


def is_whole(path: Path, passphrases: tuple[str, ...]) -> bool:
    """Whether one of these opens the file."""
    for passphrase in passphrases:
        try:
            keys.load(path, passphrase=passphrase)
        except InvalidConfiguration:
            continue
        return True
    return False


def write_failing_at(number: int, act: Callable[[], None]) -> tuple[str, str]:
    """The call that failed (or none: there are not so many), and the error."""
    with pytest.MonkeyPatch.context() as patch:
        steps = Steps(patch, number)
        said = ""
        try:
            act()
        except InvalidConfiguration as error:
            said = str(error)
    return steps.failed, said


def test_each_system_call_in_turn_may_fail(tmp_path: Path) -> None:
    """Sealing again: our error, the old file or the new one whole, and nothing else left."""
    failed_ones, descriptors = [], len(os.listdir("/dev/fd"))
    for number in range(1, 100):
        place = tmp_path / str(number)
        place.mkdir(mode=0o700)
        folder = Folder(place)
        failed, said = write_failing_at(number, folder.seal)
        assert len(os.listdir("/dev/fd")) == descriptors, "no descriptor is left open"
        if not failed:
            break
        failed_ones.append(failed)
        assert is_whole(folder.path, (OLD, NEW)), failed
        assert failed == "unlink" or os.listdir(place) == ["identity.toml"]
        if said:
            replaced = "was written, but may not survive" in said
            assert (folder.path.read_bytes() != folder.before) == replaced, (failed, said)
            assert str(folder.path) in said
        else:
            assert failed == "unlink", "only tidying up may fail in silence"
            assert is_whole(folder.path, (NEW,))
    assert set(failed_ones) - set(LOOKS) == set(CALLS) - set(LOOKS) - {"link"}
    assert set(failed_ones) & set(LOOKS)
    assert failed_ones.count("fsync") == 2


@pytest.mark.parametrize("what", ["make", "back_up"])
def test_each_system_call_of_a_new_file_may_fail(tmp_path: Path, what: str) -> None:
    """Making a key and copying one: the file is whole or not there, and the key is untouched."""
    failed_ones = []
    for number in range(1, 100):
        place = tmp_path / str(number)
        place.mkdir(mode=0o700)
        folder = Folder(place)
        if what == "make":
            folder.path.unlink()
        target = folder.path if what == "make" else folder.copy
        failed, said = write_failing_at(number, getattr(folder, what))
        if not failed:
            break
        failed_ones.append(failed)
        if target.exists():
            assert is_whole(target, (OLD, NEW)), failed
        assert target.exists() == (not said or "may not survive" in said or failed == "link")
        if what == "back_up":
            assert folder.path.read_bytes() == folder.before
    assert set(failed_ones) >= {"open", "write", "fsync", "close", "link", "unlink"}


@pytest.mark.parametrize("what", ["make", "seal", "back_up"])
def test_a_crash_at_each_system_call_leaves_a_whole_file(
    tmp_path: Path, spawn: Callable[..., "subprocess.Popen[str]"], what: str
) -> None:
    """The old file or the new one, and what else is left goes with the next start of a node."""
    child = spawn(PREPARE + CRASH, tmp_path, what, ",".join(CALLS))
    said, _ = child.communicate(timeout=60)
    last = int(said)
    assert last > 8
    outcomes = set()
    for number in range(1, last + 1):
        place = tmp_path / str(number)
        remove_temporary_files(place)
        present = sorted(os.listdir(place))
        if what == "make":
            assert set(present) <= {"identity.toml"}
        else:
            assert set(present) <= {"identity.toml", "copy.key"}
            assert is_whole(place / "identity.toml", (OLD, NEW))
        for name in present:
            assert is_whole(place / name, (OLD, NEW))
            assert (place / name).stat().st_mode & 0o777 == 0o600
        opened_by_new = what == "seal" and is_whole(place / "identity.toml", (NEW,))
        outcomes.add((*present, opened_by_new))
    assert len(outcomes) == 2, "before the name is given, and after"


def in_a_small_disk(folder: Path, program: str) -> "subprocess.CompletedProcess[str]":
    """Run a program with `folder` on a disk of 64 KiB that only it sees; skip where that fails."""
    if shutil.which("unshare") is None:
        pytest.skip("a disk of our own needs unshare(1), which only Linux has")
    unshare = ["unshare", "--mount"]
    if os.geteuid() != 0:
        unshare[1:1] = ["--user", "--map-root-user"]
    mounted = 'mount -t tmpfs -o size=64k,mode=700 none "$1"'
    root = Path(mesh.__file__).parent.parent

    def run(then: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [*unshare, "sh", "-c", f"{mounted} && {then}", "sh", folder, sys.executable, program],
            env={**os.environ, "PYTHONPATH": str(root)},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    probe = run("true")
    if probe.returncode != 0:
        pytest.skip(f"this system mounts no disk of our own: {probe.stderr.strip()[:100]}")
    return run('exec "$2" -c "$3" "$1"')


def test_a_full_disk_leaves_the_file_and_says_what_to_do(tmp_path: Path) -> None:
    """A real one: sealing and copying fail, the file stays; with room again both succeed."""
    finished = in_a_small_disk(tmp_path, PREPARE + FULL_DISK)
    assert finished.stderr == ""
    *errors, same = finished.stdout.splitlines()
    assert same == "True"
    assert len(errors) == 2
    for name, error in zip(("identity.toml", "copy.key"), errors, strict=True):
        assert error == (
            f"cannot write {tmp_path / name}: No space left on device; what was there before is "
            "untouched; make room on that disk and try again"
        )


@pytest.mark.parametrize(
    ("number", "remedy"),
    [
        (errno.ENOSPC, "make room on that disk and try again"),
        (errno.EDQUOT, "make room on that disk and try again"),
        (errno.EROFS, "make its folder writable for this user, or choose another"),
        (errno.EACCES, "make its folder writable for this user, or choose another"),
        (errno.ENOENT, "is its folder there?"),
    ],
)
def test_each_error_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, remedy: str
) -> None:
    """A write that failed names the remedy; what else is refused does too (see the table)."""
    folder = Folder(tmp_path)
    opened = keys.open_key(folder.path, passphrase=OLD)

    def fail(*_arguments: object, **_named: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(InvalidConfiguration) as caught:
        keys.seal_again(folder.path, opened, NEW, cost=CHEAP)
    assert str(caught.value).endswith(f"what was there before is untouched; {remedy}")
    assert folder.path.read_bytes() == folder.before
