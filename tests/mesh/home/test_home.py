"""The home folder: where it is, that it is private, and that it is held by one."""

import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

import platformdirs
import pytest

from mesh.errors import HomeInUse, InvalidConfiguration
from mesh.home import home as home_module
from mesh.home.home import Home


class TestLocate:
    def test_given_beats_variable_beats_user_folder(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """`home=` wins over MESH_HOME, which wins over the user's data folder; none is made."""
        monkeypatch.setattr(
            platformdirs, "user_data_path", lambda name, appauthor: tmp_path / "user" / name
        )
        environ = {"MESH_HOME": str(tmp_path / "variable")}
        assert Home.locate(tmp_path / "given", environ).path == tmp_path / "given"
        assert Home.locate(str(tmp_path / "given"), environ).path == tmp_path / "given"
        assert Home.locate(None, environ).path == tmp_path / "variable"
        assert Home.locate(None, {"MESH_HOME": ""}).path == tmp_path / "user" / "noisemesh"
        assert Home.locate().path == tmp_path / "user" / "noisemesh"
        assert os.listdir(tmp_path) == []

    def test_only_the_environment_handed_in_counts(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The process's own MESH_HOME is not looked at behind the caller's back."""
        monkeypatch.setenv("MESH_HOME", str(tmp_path / "own"))
        assert Home.locate(None, {}).path != tmp_path / "own"

    def test_one_folder_has_one_path(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Relative paths, ~ and links all name the real folder, wherever the program goes."""
        (tmp_path / "real").mkdir()
        (tmp_path / "link").symlink_to("real")
        monkeypatch.chdir(tmp_path)
        monkeypatch.setenv("HOME", str(tmp_path))
        for name in ("real", "link", "./link/../real", "~/link"):
            assert Home.locate(name).path == tmp_path / "real"

    @pytest.mark.parametrize("name", ["", "a\0b", b"bytes"])
    def test_no_path_is_refused(self, name: str) -> None:
        """An empty path would mean the current folder: refused, as what is no path at all."""
        with pytest.raises(InvalidConfiguration, match=r"home: .* is not the path of a folder"):
            Home.locate(name)


class TestFolder:
    def test_files_of_a_home_lie_in_it(self, tmp_path: Path) -> None:
        """The names of the files are fixed, and the text form names the folder."""
        home = Home(tmp_path)
        assert home.key_file == tmp_path / "identity.toml"
        assert home.trust_file == tmp_path / "trust.toml"
        assert repr(home) == f"Home({str(tmp_path)!r})"

    def test_acquire_makes_holds_and_releases(self, tmp_path: Path) -> None:
        """`with home:` makes the folder for its owner alone and holds it; then it is free."""
        home = Home(tmp_path / "home")
        other = Home(tmp_path / "home")
        with home:
            assert home.held
            assert stat.S_IMODE((tmp_path / "home").stat().st_mode) == 0o700
            assert stat.S_IMODE((tmp_path / "home" / "lock").stat().st_mode) == 0o600
            with pytest.raises(HomeInUse):
                other.acquire()
            other.prepare()
        assert not home.held
        with other:
            assert other.held

    def test_open_folder_is_not_locked(self, tmp_path: Path) -> None:
        """A home that others can enter is refused before anything is written to it."""
        tmp_path.chmod(0o755)
        with pytest.raises(InvalidConfiguration, match=f"chmod 700 {tmp_path}"):
            Home(tmp_path).acquire()
        assert os.listdir(tmp_path) == []

    def test_acquire_removes_what_dead_writers_left(self, tmp_path: Path) -> None:
        """Only who holds the lock cleans up, so no living writer loses its file."""
        left = tmp_path / ".trust.toml.0123456789abcdef.tmp"
        left.write_bytes(b"half")
        Home(tmp_path).prepare()
        assert left.exists()
        with Home(tmp_path):
            assert os.listdir(tmp_path) == ["lock"]

    def test_failed_start_frees_the_lock(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """When cleaning fails, the error is told and the home is not left locked."""

        def fail(folder: Path) -> None:
            raise InvalidConfiguration("no")

        home = Home(tmp_path)
        with monkeypatch.context() as patch:
            patch.setattr(home_module, "remove_temporary_files", fail)
            with pytest.raises(InvalidConfiguration):
                home.acquire()
        assert not home.held
        with home:
            assert home.held


class TestInMemory:
    def test_nothing_lies_on_disk_and_nobody_is_kept_out(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Homes named `:memory:` have no files, no lock and never conflict."""
        monkeypatch.chdir(tmp_path)
        first, second = Home.locate(":memory:"), Home.locate(None, {"MESH_HOME": ":memory:"})
        with first, second:
            assert first.path is None
            assert first.key_file is None
            assert first.trust_file is None
            assert not first.held
        assert repr(first) == "Home(':memory:')"
        assert os.listdir(tmp_path) == []


@pytest.fixture
def runtime(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A runtime folder with a short path, as a login gives one."""
    folder = Path(tempfile.mkdtemp(prefix="nm"))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(folder))
    yield folder
    shutil.rmtree(folder)


class TestControl:
    def test_lies_in_the_runtime_folder(self, tmp_path: Path, runtime: Path) -> None:
        """One home has one path there, made private; two homes have two."""
        path = Home(tmp_path / "alice").control_place().path
        assert path is not None
        assert path.parent == runtime / "noisemesh"
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
        assert path == Home(tmp_path / "alice").control_place().path
        assert path != Home(tmp_path / "bob").control_place().path
        assert Home(tmp_path / "alice").control_paths()[0] == path
        assert len(path.name) <= 24
        assert not (tmp_path / "alice").exists()

    def test_lies_in_the_home_otherwise(
        self, runtime: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Without a runtime folder that is ours alone, the home is the place; both sides agree."""
        home = Home(runtime / "home")
        open_to_others = runtime / "noisemesh"
        open_to_others.mkdir(mode=0o755)
        assert home.control_place().path == runtime / "home" / "control.sock"
        assert home.control_paths() == [runtime / "home" / "control.sock"]
        monkeypatch.setattr(platformdirs, "user_runtime_path", _no_runtime_folder)
        assert home.control_place().path == runtime / "home" / "control.sock"

    def test_a_linked_folder_is_refused_by_both_sides(self, runtime: Path) -> None:
        """The node keeps out of it and the command does not look in; each says why."""
        (runtime / "elsewhere").mkdir(mode=0o700)
        linked = runtime / "noisemesh"
        linked.symlink_to("elsewhere")
        home = Home(runtime / "home")
        place = home.control_place()
        assert place.path == home.control_place().path == runtime / "home" / "control.sock"
        assert [f"{linked} is a link" in text for text in place.refused] == [True]
        assert home.control_paths() == [place.path]
        assert home.control_refusals() == place.refused
        assert os.listdir(runtime / "elsewhere") == []

    def test_a_folder_of_somebody_else_is_refused_by_both_sides(
        self, runtime: Path, monkeypatch: pytest.MonkeyPatch, someone_else: None
    ) -> None:
        """Whoever owns the folder could answer in our place."""
        theirs = runtime / "noisemesh"
        theirs.mkdir(mode=0o700)
        monkeypatch.setattr(home_module, "_check_ancestor", lambda folder: None)
        home = Home(runtime / "home")
        monkeypatch.setattr(tempfile, "gettempdir", lambda: str(runtime / "none" / "x"))
        place = home.control_place()
        assert place.path is None
        assert place.refused[0].startswith(f"{theirs} belongs to user")
        assert home.control_paths() == []
        assert home.control_refusals()[0] == place.refused[0]

    def test_what_is_missing_is_no_refusal(self, runtime: Path) -> None:
        """Only folders that are there, and are not as they should be, are worth a word."""
        home = Home(runtime / "home")
        assert home.control_paths() == home.control_refusals() == []
        assert home.control_place().refused == []
        assert os.listdir(runtime) == ["noisemesh"]

    def test_never_where_others_could_swap_the_folder(
        self, runtime: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A parent that others may write to, unless it is sticky, and one of theirs are avoided."""
        shared = runtime / "shared"
        shared.mkdir()
        monkeypatch.setattr(platformdirs, "user_runtime_path", lambda name, appauthor: shared / "n")
        home = Home(runtime / "home")
        shared.chmod(0o777)
        assert home.control_place().path == runtime / "home" / "control.sock"
        shared.chmod(0o1777)
        path = home.control_place().path
        assert path is not None
        assert path.parent == shared / "n"
        user = os.geteuid()
        monkeypatch.setattr(os, "geteuid", lambda: user + 1)
        assert home.control_paths() == []

    def test_lies_with_temporary_files_when_the_home_is_too_deep(
        self, runtime: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A path over 103 bytes is never chosen: macOS holds 104 with the final zero."""
        monkeypatch.setattr(platformdirs, "user_runtime_path", _no_runtime_folder)
        monkeypatch.setattr(tempfile, "gettempdir", lambda: str(runtime))
        fits = Home(runtime / ("h" * (103 - len(str(runtime)) - len("//control.sock"))))
        assert fits.control_place().path is not None
        assert len(str(fits.control_place().path)) == 103
        deep = Home(Path(f"{fits.path}h"))
        path = deep.control_place().path
        assert path is not None
        assert path.parent == runtime / f"noisemesh-{os.geteuid()}"
        assert deep.control_paths() == [path]

    def test_may_have_no_place(self, runtime: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Where no folder can be used there is no path, and in memory never."""
        monkeypatch.setattr(platformdirs, "user_runtime_path", _no_runtime_folder)
        monkeypatch.setattr(tempfile, "gettempdir", lambda: str(runtime))
        monkeypatch.setattr(os, "access", lambda path, mode: False)
        assert Home(runtime / "home").control_place().path is None
        assert Home(None).control_place().path is None
        assert Home(None).control_paths() == []

    def test_a_folder_that_cannot_be_looked_at(
        self, runtime: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A parent that vanishes or is locked away is no place, and no crash."""
        monkeypatch.setattr(os.path, "lexists", lambda path: True)
        home = Home(runtime / "home")
        monkeypatch.setattr(
            platformdirs, "user_runtime_path", lambda name, appauthor: runtime / "gone" / "n"
        )
        assert home.control_place().path == runtime / "home" / "control.sock"


def _no_runtime_folder(name: str, appauthor: bool) -> Path:
    raise PermissionError("somebody else's")
