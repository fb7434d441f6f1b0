"""The home of a node: one private folder, used by one process at a time, or nothing on disk."""

import hashlib
import os
import stat
import sys
import tempfile
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import NamedTuple

import platformdirs

from mesh.errors import InvalidConfiguration
from mesh.home.files import check_folder, prepare_folder, remove_temporary_files
from mesh.home.lock import HomeLock

APPLICATION = "noisemesh"
HOME_VARIABLE = "MESH_HOME"
IN_MEMORY = ":memory:"
# sockaddr_un holds 104 bytes on macOS, its final zero included; the shorter limit holds everywhere.
SOCKET_PATH_MAX_BYTES = 103


class ControlPlace(NamedTuple):
    """Where a control socket goes, if anywhere. `refused`: why folders before it will not do."""

    path: Path | None
    refused: list[str]


class Home:
    """A node's folder. `path`: an absolute path, or None for a home that leaves nothing on disk.

    Making the object touches nothing; `prepare` makes and checks the folder, `acquire` (or
    `with home:`) also takes its lock.
    """

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self._lock = HomeLock(path / "lock") if path is not None else None

    @classmethod
    def locate(
        cls, given: str | os.PathLike[str] | None = None, environ: Mapping[str, str] | None = None
    ) -> "Home":
        """The home that `given`, else MESH_HOME in `environ`, else the user's data folder names.

        ":memory:" means nothing on disk. Links in the path are resolved, so that one folder has
        one path. Raises `InvalidConfiguration` for an empty path or one no folder can have.
        """
        chosen = given
        if chosen is None:
            chosen = (environ or {}).get(HOME_VARIABLE) or None
        if chosen is None:
            chosen = platformdirs.user_data_path(APPLICATION, appauthor=False)
        text = os.fspath(chosen)
        if text == IN_MEMORY:
            return cls(None)
        if not isinstance(text, str) or not text or "\0" in text:
            raise InvalidConfiguration(f"home: {text!r} is not the path of a folder")
        return cls(Path(os.path.realpath(os.path.expanduser(text))))

    def __repr__(self) -> str:
        return f"Home({str(self.path or IN_MEMORY)!r})"

    @property
    def key_file(self) -> Path | None:
        """Where the identity lies; None in memory."""
        return self._file("identity.toml")

    @property
    def trust_file(self) -> Path | None:
        """Where the trust list lies; None in memory."""
        return self._file("trust.toml")

    def control_place(self) -> ControlPlace:
        """Where a node of this home opens its control socket, and what was passed over.

        In the runtime folder under a short hash of the home's path; where there is no such folder
        or it cannot be used, in the home; where that path is too long, in the folder for temporary
        files. The folder is made if need be, and always private.
        """
        refused = []
        for path in self._control_places():
            found = os.path.lexists(path.parent)
            try:
                self._check_surroundings(path.parent)
                prepare_folder(path.parent)
            except InvalidConfiguration as error:
                if found:
                    refused.append(str(error))
                continue
            if os.access(path.parent, os.W_OK | os.X_OK):
                return ControlPlace(path, refused)
        return ControlPlace(None, refused)

    def control_paths(self) -> list[Path]:
        """Where the control socket of a running node may lie, likeliest first; makes nothing.

        The node may have started with another environment, and so with another runtime folder.
        Places that somebody else could have prepared are left out (`control_refusals`).
        """
        return [path for path, refusal in self._found_places() if refusal is None]

    def control_refusals(self) -> list[str]:
        """Why folders that might hold the control socket are not looked into."""
        return [refusal for _, refusal in self._found_places() if refusal is not None]

    def _found_places(self) -> Iterator[tuple[Path, str | None]]:
        """Each place that is there, and what is wrong with it."""
        for path in self._control_places():
            if not os.path.lexists(path.parent):
                continue
            try:
                self._check_surroundings(path.parent)
                check_folder(path.parent)
            except InvalidConfiguration as error:
                yield path, str(error)
            else:
                yield path, None

    def _check_surroundings(self, folder: Path) -> None:
        """The home may lie where its owner put it; what we choose lies where nobody can swap it."""
        if folder != self.path:
            _check_ancestor(folder)

    def _control_places(self) -> list[Path]:
        if self.path is None or sys.platform == "win32":
            return []
        name = f"{hashlib.sha256(os.fsencode(self.path)).hexdigest()[:16]}.sock"
        runtime = _runtime_folder()
        places = [runtime / name] if runtime is not None else []
        places.append(self.path / "control.sock")
        places.append(Path(tempfile.gettempdir(), f"{APPLICATION}-{os.geteuid()}", name))
        return [path for path in places if len(os.fsencode(path)) <= SOCKET_PATH_MAX_BYTES]

    @property
    def held(self) -> bool:
        """Whether this object has the folder's lock; never in memory."""
        return self._lock is not None and self._lock.held

    def prepare(self) -> None:
        """Make the folder if it is missing and check that it is private.

        Raises `InvalidConfiguration` when it is not, with the command that mends it.
        """
        if self.path is not None:
            prepare_folder(self.path)

    def acquire(self) -> None:
        """Prepare the folder, take its lock and remove what a writer that died left behind.

        Raises `HomeInUse` when another process, or another object of this one, has the lock.
        Homes in memory are never in use by somebody else.
        """
        self.prepare()
        if self.path is None or self._lock is None:
            return
        self._lock.acquire()
        try:
            remove_temporary_files(self.path)
        except BaseException:
            self._lock.release()
            raise

    def release(self) -> None:
        """Give the lock back; harmless when it is not held."""
        if self._lock is not None:
            self._lock.release()

    def __enter__(self) -> "Home":
        self.acquire()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.release()

    def _file(self, name: str) -> Path | None:
        return self.path / name if self.path is not None else None


def _runtime_folder() -> Path | None:
    with warnings.catch_warnings():
        # What platformdirs warns of, a missing or unfit XDG_RUNTIME_DIR, is why there are others.
        warnings.simplefilter("ignore")
        try:
            return platformdirs.user_runtime_path(APPLICATION, appauthor=False)
        except OSError:
            return None


def _check_ancestor(folder: Path) -> None:
    """Refuse a folder that lies, or would be made, where others could swap it for their own."""
    parent = next(above for above in folder.parents if os.path.lexists(above))
    try:
        found = parent.lstat()
    except OSError as error:
        raise InvalidConfiguration(f"cannot look at {parent}") from error
    ours = found.st_uid in (0, os.geteuid())
    shared = found.st_mode & (stat.S_IWGRP | stat.S_IWOTH) and not found.st_mode & stat.S_ISVTX
    if not ours or shared:
        raise InvalidConfiguration(f"{parent} can be changed by other users")
