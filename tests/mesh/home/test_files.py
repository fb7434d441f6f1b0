"""Private files: what is refused, and that a write happens whole or not at all."""

import errno
import os
import stat
from pathlib import Path

import pytest

from mesh.errors import InvalidConfiguration
from mesh.home.files import (
    check_folder,
    open_private,
    prepare_folder,
    read_private,
    remove_temporary_files,
    signature_of,
    write_private,
)

LIMIT = 1 << 20


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def refused(path: Path) -> str:
    """What reading `path` says; the refusal leaves the file as it is."""
    before = path.lstat()
    with pytest.raises(InvalidConfiguration) as caught:
        read_private(path, limit_bytes=LIMIT)
    after = path.lstat()
    for what in ("st_ino", "st_mode", "st_uid", "st_size", "st_mtime_ns", "st_ctime_ns"):
        assert getattr(after, what) == getattr(before, what)
    return str(caught.value)


def fail_with(number: int):
    def fail(*arguments: object, **named: object) -> None:
        raise OSError(number, os.strerror(number))

    return fail


class TestFolder:
    def test_missing_folder_is_made_private_whatever_the_umask(self, tmp_path: Path) -> None:
        """A missing home is made, with what is above it, for its owner alone."""
        before = os.umask(0)
        try:
            prepare_folder(tmp_path / "a" / "b")
        finally:
            os.umask(before)
        assert mode_of(tmp_path / "a" / "b") == 0o700

    @pytest.mark.parametrize("mode", [0o701, 0o710, 0o704, 0o755])
    def test_open_folder_is_refused_with_the_command_that_mends_it(
        self, tmp_path: Path, mode: int
    ) -> None:
        """Any bit for others is named, with a chmod that can be pasted, and not changed."""
        folder = tmp_path / "my home"
        folder.mkdir()
        folder.chmod(mode)
        with pytest.raises(InvalidConfiguration, match=f"mode {mode:04o}") as caught:
            prepare_folder(folder)
        assert str(caught.value).endswith(f"chmod 700 '{folder}'")
        assert mode_of(folder) == mode

    def test_folder_of_another_user_is_refused(self, tmp_path: Path, someone_else: None) -> None:
        """A home that belongs to somebody else is not used."""
        with pytest.raises(InvalidConfiguration, match=f"{tmp_path} belongs to user"):
            prepare_folder(tmp_path)

    def test_link_in_place_of_the_folder_is_refused(self, tmp_path: Path) -> None:
        """Whoever owns the link decides where it leads: not even one to a private folder is used.

        Nor is a dangling one followed to make the folder that it names.
        """
        (tmp_path / "folder").mkdir(mode=0o700)
        for name in ("folder", "nowhere"):
            link = tmp_path / f"to {name}"
            link.symlink_to(name)
            for function in (prepare_folder, check_folder):
                with pytest.raises(InvalidConfiguration, match=f"{link} is a link"):
                    function(link)
        assert not (tmp_path / "nowhere").exists()

    def test_checking_makes_nothing(self, tmp_path: Path) -> None:
        """A folder that is missing stays so."""
        with pytest.raises(InvalidConfiguration, match="cannot look at"):
            check_folder(tmp_path / "none")
        assert os.listdir(tmp_path) == []

    def test_file_in_place_of_the_folder_is_refused(self, tmp_path: Path) -> None:
        """A home that is a file, or lies below one, is an error that names it."""
        file = tmp_path / "file"
        file.write_bytes(b"")
        with pytest.raises(InvalidConfiguration, match=f"{file} is not a folder"):
            prepare_folder(file)
        with pytest.raises(InvalidConfiguration, match="cannot make the folder"):
            prepare_folder(file / "below")


class TestRead:
    def test_missing_file_is_none(self, tmp_path: Path) -> None:
        """No file is no error: the caller knows what that means."""
        assert read_private(tmp_path / "no", limit_bytes=LIMIT) is None
        assert signature_of(tmp_path / "no") is None

    def test_content_and_signature_come_back(self, tmp_path: Path) -> None:
        """What was written is read, with the signature the file has now."""
        path = tmp_path / "file"
        write_private(path, b"content")
        found = read_private(path, limit_bytes=LIMIT)
        assert found is not None
        assert found.data == b"content"
        assert found.signature == signature_of(path)

    def test_limit_is_exact(self, tmp_path: Path) -> None:
        """A file of the limit is read, one byte more is refused."""
        path = tmp_path / "file"
        write_private(path, b"12345")
        assert read_private(path, limit_bytes=5) is not None
        with pytest.raises(InvalidConfiguration, match="longer than 4 bytes"):
            read_private(path, limit_bytes=4)

    @pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o601, 0o666])
    def test_open_file_is_refused_with_the_command_that_mends_it(
        self, tmp_path: Path, mode: int
    ) -> None:
        """A file that others may read or write is named, with the chmod."""
        path = tmp_path / "file"
        write_private(path, b"content")
        path.chmod(mode)
        assert refused(path).endswith(f"chmod 600 {path}")

    def test_file_of_another_user_is_refused(self, tmp_path: Path, someone_else: None) -> None:
        """The owner is named and the command that would change it."""
        path = tmp_path / "file"
        path.write_bytes(b"")
        path.chmod(0o600)
        assert f"sudo chown {os.geteuid()} {path}" in refused(path)

    def test_links_folders_and_pipes_are_refused(self, tmp_path: Path) -> None:
        """Only a regular file is read: no link (even to a good file or to nothing), no pipe."""
        good = tmp_path / "good"
        write_private(good, b"content")
        (tmp_path / "link").symlink_to(good)
        (tmp_path / "dangling").symlink_to(tmp_path / "nothing")
        (tmp_path / "folder").mkdir()
        os.mkfifo(tmp_path / "pipe", 0o600)
        for name in ("link", "dangling", "folder", "pipe"):
            assert "is not a regular file" in refused(tmp_path / name)

    def test_pipe_put_there_after_the_look_is_refused(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """What counts is the file that was opened, not the one that lay there before."""
        os.mkfifo(tmp_path / "pipe", 0o600)
        (tmp_path / "link").symlink_to(tmp_path / "pipe")
        monkeypatch.setattr("mesh.home.files._refuse_unless_file", lambda path: None)
        assert "is not a regular file" in refused(tmp_path / "pipe")
        assert "cannot open" in refused(tmp_path / "link")

    def test_errors_of_the_system_name_the_file(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A disk that fails while it is read gives our error with the system's words."""
        path = tmp_path / "file"
        write_private(path, b"content")
        monkeypatch.setattr(os, "fdopen", fail_with(errno.EIO))
        with pytest.raises(InvalidConfiguration, match=f"cannot read {path}: Input/output error"):
            read_private(path, limit_bytes=LIMIT)
        below = path / "below"
        with pytest.raises(InvalidConfiguration, match="cannot look at"):
            read_private(below, limit_bytes=LIMIT)
        with pytest.raises(InvalidConfiguration, match="cannot look at"):
            signature_of(below)

    def test_descriptor_is_not_inherited(self, tmp_path: Path) -> None:
        """A child process gets none of our open files."""
        descriptor = open_private(tmp_path / "new", os.O_RDWR | os.O_CREAT)
        try:
            assert not os.get_inheritable(descriptor)
        finally:
            os.close(descriptor)
        assert mode_of(tmp_path / "new") == 0o600


class TestWrite:
    def test_new_and_replaced_files_are_private(self, tmp_path: Path) -> None:
        """Whatever the umask, a written file is 0600, and nothing else stays in the folder."""
        path = tmp_path / "file"
        before = os.umask(0)
        try:
            write_private(path, b"old")
            write_private(path, b"new")
        finally:
            os.umask(before)
        assert path.read_bytes() == b"new"
        assert mode_of(path) == 0o600
        assert os.listdir(tmp_path) == ["file"]

    @pytest.mark.parametrize(
        "broken", ["open", "write", "fsync", "replace"], ids=lambda name: f"os.{name}"
    )
    @pytest.mark.parametrize("old", [b"old", None], ids=["replacing", "new"])
    def test_failed_step_leaves_what_was_there(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broken: str, old: bytes | None
    ) -> None:
        """Whichever step fails, the old file (or none) is there, no temporary one, and an error."""
        path = tmp_path / "file"
        if old is not None:
            write_private(path, old)
        with monkeypatch.context() as patch:
            patch.setattr(os, broken, fail_with(errno.ENOSPC))
            with pytest.raises(InvalidConfiguration, match=r"No space left on device.*untouched"):
                write_private(path, b"new")
        assert (path.read_bytes() if path.exists() else None) == old
        assert len(os.listdir(tmp_path)) == (old is not None)

    def test_file_size_limit_leaves_what_was_there(self, tmp_path: Path, spawn) -> None:
        """A real write that the system cuts short after its first bytes changes nothing."""
        path = tmp_path / "file"
        write_private(path, b"old")
        child = spawn(
            "import resource, sys\n"
            "from pathlib import Path\n"
            "from mesh.home.files import write_private\n"
            "from mesh.errors import InvalidConfiguration\n"
            "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
            "try:\n"
            "    write_private(Path(sys.argv[1]), bytes(5000))\n"
            "except InvalidConfiguration as error:\n"
            "    print(error)\n",
            path,
        )
        said, _ = child.communicate(timeout=60)
        assert f"cannot write {path}: File too large; what was there" in said
        assert path.read_bytes() == b"old"
        assert os.listdir(tmp_path) == ["file"]

    def test_short_writes_are_continued(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A system that takes three bytes at a time still gets all of them."""
        write = os.write
        monkeypatch.setattr(os, "write", lambda file, data: write(file, data[:3]))
        write_private(tmp_path / "file", b"0123456789")
        assert (tmp_path / "file").read_bytes() == b"0123456789"

    def test_bytes_and_then_the_name_reach_the_disk(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The file is synced before it takes the name, the folder after."""
        steps: list[str] = []
        fsync, replace = os.fsync, os.replace

        def sync(descriptor: int) -> None:
            is_folder = stat.S_ISDIR(os.fstat(descriptor).st_mode)
            steps.append("folder" if is_folder else "file")
            fsync(descriptor)

        def rename(source: Path, target: Path) -> None:
            steps.append("rename")
            replace(source, target)

        monkeypatch.setattr(os, "fsync", sync)
        monkeypatch.setattr(os, "replace", rename)
        write_private(tmp_path / "file", b"new")
        assert steps == ["file", "rename", "folder"]

    def test_folder_that_cannot_be_synced_is_told(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """When only the last step fails the text says that the file is there, and what may be."""
        fsync = os.fsync

        def sync(descriptor: int) -> None:
            if stat.S_ISDIR(os.fstat(descriptor).st_mode):
                raise OSError(errno.EIO, "Input/output error")
            fsync(descriptor)

        monkeypatch.setattr(os, "fsync", sync)
        with pytest.raises(InvalidConfiguration, match="was written, but may not survive"):
            write_private(tmp_path / "file", b"new")
        assert (tmp_path / "file").read_bytes() == b"new"

    def test_link_is_not_replaced(self, tmp_path: Path) -> None:
        """A link put in place of the file is refused: it is neither followed nor removed."""
        target = tmp_path / "target"
        target.write_bytes(b"target")
        link = tmp_path / "file"
        link.symlink_to(target)
        with pytest.raises(InvalidConfiguration, match="is not a regular file"):
            write_private(link, b"new")
        assert link.is_symlink()
        assert target.read_bytes() == b"target"

    @pytest.mark.parametrize("links", [True, False], ids=["links", "no hard links"])
    def test_without_replace_an_existing_file_wins(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, links: bool
    ) -> None:
        """`replace=False` makes a new file and never touches one that is there."""
        if not links:
            monkeypatch.setattr(os, "link", fail_with(errno.EPERM))
        path = tmp_path / "file"
        write_private(path, b"first", replace=False)
        with pytest.raises(InvalidConfiguration, match="exists already"):
            write_private(path, b"second", replace=False)
        assert path.read_bytes() == b"first"
        assert mode_of(path) == 0o600
        assert os.listdir(tmp_path) == ["file"]


class TestTemporaryFiles:
    def test_only_what_writers_left_is_removed(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """What a write that died left behind goes; files that merely look alike stay."""
        with monkeypatch.context() as patch:
            patch.setattr(Path, "unlink", fail_with(errno.EIO))
            patch.setattr(os, "fsync", fail_with(errno.EIO))
            with pytest.raises(InvalidConfiguration):
                write_private(tmp_path / "trust.toml", b"half")
        assert len(os.listdir(tmp_path)) == 1
        for name in ("trust.toml", ".trust.toml.tmp", "notes.tmp", ".x.0123456789abcdef.tmpx"):
            (tmp_path / name).write_bytes(b"")
        remove_temporary_files(tmp_path)
        assert sorted(os.listdir(tmp_path)) == [
            ".trust.toml.tmp",
            ".x.0123456789abcdef.tmpx",
            "notes.tmp",
            "trust.toml",
        ]

    def test_missing_folder_is_an_error(self, tmp_path: Path) -> None:
        """A folder that cannot be listed is named."""
        with pytest.raises(InvalidConfiguration, match="cannot list"):
            remove_temporary_files(tmp_path / "no")
