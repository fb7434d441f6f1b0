"""Private files: read only if nobody else could write or read them, replaced whole or not at all.

Every problem is an `InvalidConfiguration` that names the file, says what is wrong and, where one
command mends it, that command. No function here changes a file that it complains about.
"""

import errno
import os
import re
import shlex
import stat
import sys
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, NamedTuple

from mesh.errors import InvalidConfiguration

FOLDER_MODE = 0o700
FILE_MODE = 0o600
OTHERS = 0o077  # the mode bits of group and others: all must be off

_TEMPORARY = re.compile(r"\..+\.[0-9a-f]{16}\.tmp")
# Non-blocking, so that a named pipe put in place of a file is refused instead of waited for.
_OPEN_FLAGS: int = (
    getattr(os, "O_NOFOLLOW", 0)
    | getattr(os, "O_CLOEXEC", 0)
    | getattr(os, "O_NONBLOCK", 0)
    | getattr(os, "O_BINARY", 0)
)
_MAKE_ROOM = "; make room on that disk and try again"
_MAKE_WRITABLE = "; make its folder writable for this user, or choose another"
_REMEDIES = {
    errno.ENOSPC: _MAKE_ROOM,
    errno.EDQUOT: _MAKE_ROOM,
    errno.EACCES: _MAKE_WRITABLE,
    errno.EPERM: _MAKE_WRITABLE,
    errno.EROFS: _MAKE_WRITABLE,
    errno.ENOENT: "; is its folder there?",
}


class Signature(NamedTuple):
    """What tells one content of a file from the next without reading it."""

    inode: int
    modified_ns: int
    size: int


class PrivateFile(NamedTuple):
    """A file's content, and the signature it had when it was read."""

    data: bytes
    signature: Signature


def prepare_folder(folder: Path) -> None:
    """Make `folder` (and what is missing above it) if need be, and check that it is private.

    Raises `InvalidConfiguration` when it cannot be made, and as `check_folder`.
    """
    if folder.is_symlink():
        raise _is_link(folder)
    try:
        folder.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
    except FileExistsError:
        raise InvalidConfiguration(f"{folder} is not a folder") from None
    except OSError as error:
        raise unusable("make the folder", folder, error) from error
    check_folder(folder)


def check_folder(folder: Path) -> None:
    """Check that `folder` is private; makes nothing.

    Raises `InvalidConfiguration` when it is missing, is no folder or a link to one, belongs to
    somebody else or is open to others.
    """
    try:
        found = folder.lstat()
    except OSError as error:
        raise unusable("look at", folder, error) from error
    if stat.S_ISLNK(found.st_mode):
        raise _is_link(folder)
    if not stat.S_ISDIR(found.st_mode):
        raise InvalidConfiguration(f"{folder} is not a folder")
    _check_owner_and_mode(folder, found, FOLDER_MODE)


def open_private(path: Path, flags: int) -> int:
    """Open `path` with `flags` and check that it is a private, regular file; returns a descriptor.

    The descriptor is not inherited by child processes. Raises `FileNotFoundError` when there is
    no such file, `InvalidConfiguration` for anything else that stands in the way.
    """
    _refuse_unless_file(path)
    try:
        descriptor = os.open(path, flags | _OPEN_FLAGS, FILE_MODE)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise unusable("open", path, error) from error
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            raise _not_a_file(path)
        _check_owner_and_mode(path, found, FILE_MODE)
    except BaseException as error:
        os.close(descriptor)
        if isinstance(error, OSError):
            raise unusable("look at", path, error) from error
        raise
    return descriptor


def read_private(path: Path, *, limit_bytes: int) -> PrivateFile | None:
    """The content of `path`, or None when there is no such file.

    Raises `InvalidConfiguration` when it is not a regular file, not private, cannot be read or is
    longer than `limit_bytes`.
    """
    try:
        descriptor = open_private(path, os.O_RDONLY)
    except FileNotFoundError:
        return None
    try:
        with _file_of(descriptor) as file:
            found = os.fstat(descriptor)  # before reading: a later edit must differ from it
            data = file.read(limit_bytes + 1)
    except OSError as error:
        raise unusable("read", path, error) from error
    if len(data) > limit_bytes:
        raise InvalidConfiguration(f"{path} is longer than {limit_bytes} bytes")
    return PrivateFile(data, _signature(found))


def signature_of(path: Path) -> Signature | None:
    """The signature of what lies at `path` now, or None when nothing does."""
    try:
        return _signature(path.lstat())
    except FileNotFoundError:
        return None
    except OSError as error:
        raise unusable("look at", path, error) from error


def write_private(path: Path, data: bytes, *, replace: bool = True) -> None:
    """Make `data` the whole content of `path`, or leave what was there untouched.

    The bytes go to a temporary file in the same folder, reach the disk, and only then take the
    name. With `replace=False` an existing file is left alone and `InvalidConfiguration` raised,
    as it is for a full disk or any other failure.
    """
    _refuse_unless_file(path)
    temporary = path.with_name(f".{path.name}.{os.urandom(8).hex()}.tmp")
    try:
        _write_new_file(temporary, data)
        _give_name(temporary, path, replace)
    except FileExistsError:
        raise InvalidConfiguration(f"{path} exists already and is left as it is") from None
    except OSError as error:
        raise InvalidConfiguration(
            f"cannot write {path}: {_reason(error)}; what was there before is untouched"
            f"{_REMEDIES.get(error.errno or 0, '')}"
        ) from error
    finally:
        with suppress(OSError):
            temporary.unlink()
    _sync_folder(path)


def remove_temporary_files(folder: Path) -> None:
    """Remove what a writer that died left behind; only for whoever holds the folder's lock."""
    try:
        with os.scandir(folder) as found:
            left = [entry.path for entry in found if _TEMPORARY.fullmatch(entry.name)]
    except OSError as error:
        raise unusable("list", folder, error) from error
    for path in left:
        with suppress(OSError):
            os.unlink(path)


def unusable(what: str, path: Path, error: OSError) -> InvalidConfiguration:
    """The error for an operation that the operating system refused."""
    return InvalidConfiguration(f"cannot {what} {path}: {_reason(error)}")


def _file_of(descriptor: int) -> BinaryIO:
    try:
        return os.fdopen(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise


def _write_new_file(path: Path, data: bytes) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | _OPEN_FLAGS
    descriptor = os.open(path, flags, FILE_MODE)
    try:
        left = memoryview(data)
        while left:
            left = left[os.write(descriptor, left) :]
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _give_name(temporary: Path, path: Path, replace: bool) -> None:
    if replace:
        os.replace(temporary, path)
        return
    try:
        os.link(temporary, path)  # unlike a rename, this never takes a name that is in use
    except FileExistsError:
        raise
    except OSError:  # a file system without hard links: the home's lock keeps other writers out
        if os.path.lexists(path):
            raise FileExistsError(path) from None
        os.replace(temporary, path)


def _sync_folder(path: Path) -> None:
    if sys.platform == "win32":  # folders cannot be opened there
        return
    try:
        descriptor = os.open(path.parent, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise InvalidConfiguration(
            f"{path} was written, but may not survive a power cut: {_reason(error)}"
        ) from error


def _refuse_unless_file(path: Path) -> None:
    """Refuse a link, folder, pipe or device before it is opened or replaced."""
    try:
        found = path.lstat()
    except FileNotFoundError:
        return
    except OSError as error:
        raise unusable("look at", path, error) from error
    if not stat.S_ISREG(found.st_mode):
        raise _not_a_file(path)


def _is_link(folder: Path) -> InvalidConfiguration:
    return InvalidConfiguration(
        f"{folder} is a link, which its owner could turn elsewhere at any time; "
        "a folder has to stand in its place"
    )


def _not_a_file(path: Path) -> InvalidConfiguration:
    return InvalidConfiguration(
        f"{path} is not a regular file (a link, folder or device); it is left as it is"
    )


def _check_owner_and_mode(path: Path, found: os.stat_result, mode: int) -> None:
    if sys.platform == "win32":  # the profile folder's access list protects it there
        return
    quoted = shlex.quote(str(path))
    if found.st_uid != os.geteuid():
        raise InvalidConfiguration(
            f"{path} belongs to user {found.st_uid}, but this process runs as user "
            f"{os.geteuid()}; use another home, or: sudo chown {os.geteuid()} {quoted}"
        )
    if found.st_mode & OTHERS:
        raise InvalidConfiguration(
            f"{path} is open to other users (mode {stat.S_IMODE(found.st_mode):04o}); "
            f"mend it with: chmod {mode:o} {quoted}"
        )


def _signature(found: os.stat_result) -> Signature:
    return Signature(found.st_ino, found.st_mtime_ns, found.st_size)


def _reason(error: OSError) -> str:
    return error.strerror or type(error).__name__
