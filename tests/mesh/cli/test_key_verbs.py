"""`mesh keys`: the key file is described, sealed and copied, and no secret is ever shown."""

import json
import os
import re
import shutil
import stat
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from mesh import Node
from mesh.cli import home_verbs
from mesh.home import keys
from mesh.home.files import write_private
from mesh.home.home import Home
from mesh.home.keys import PassphraseCost
from mesh.home.lock import HomeLock
from nodes import join

Run = Callable[..., Any]

CHEAP = PassphraseCost(1, 8192)
HORSE, MULE = "correct horse", "stubborn mule"


@pytest.fixture(autouse=True)
def cheap_passphrases(monkeypatch: pytest.MonkeyPatch) -> None:
    """A guess costs nothing here."""
    for name in ("create", "seal_again", "write_copy"):
        monkeypatch.setattr(keys, name, partial(getattr(keys, name), cost=CHEAP))


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody sits there who can be asked."""
    monkeypatch.setattr(home_verbs, "has_terminal", lambda: True)


@pytest.fixture
def file(home: Path) -> Path:
    """A key file without a passphrase, in a home of its own."""
    home.mkdir(mode=0o700)
    keys.create(home / "identity.toml")
    return home / "identity.toml"


@pytest.fixture
def sealed(home: Path) -> Path:
    """A key file under HORSE."""
    home.mkdir(mode=0o700)
    keys.create(home / "identity.toml", passphrase=HORSE)
    return home / "identity.toml"


def seed_of(file: Path, passphrase: str | None = None) -> bytes:
    return keys.load(file, passphrase=passphrase).export_seed()


def typed(*answers: str) -> str:
    """What somebody types, a line each."""
    return "".join(f"{answer}\n" for answer in answers)


class TestShow:
    def test_says_what_may_be_said(self, run: Run, file: Path) -> None:
        """Id, file, mode, whether it is sealed and how to seal it, when it was made; no secret."""
        result = run("keys", "show")
        assert result.exit_code == 0
        lines = dict(line.split(None, 1) for line in result.stdout.splitlines())
        assert lines["id"] == str(keys.load_id(file))
        assert lines["file"] == str(file)
        assert lines["mode"] == "0600"
        assert lines["sealed"].startswith("no; seal it with: mesh --home")
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", lines["created"])
        assert seed_of(file).hex() not in result.output

    def test_as_json(self, run: Run, sealed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """One object; a sealed file needs no passphrase for it, and a stricter mode is fine."""
        sealed.chmod(0o400)
        monkeypatch.setenv("MESH_PASSPHRASE", "wrong")
        result = run("keys", "show", "--json")
        assert json.loads(result.stdout) == {
            "id": str(keys.load_id(sealed)),
            "file": str(sealed),
            "mode": "0400",
            "sealed": True,
            "created": keys.describe(sealed).created,
        }
        assert "sealed   with a passphrase\n" in run("keys", "show").stdout
        for secret in (seed_of(sealed, HORSE).hex(), HORSE):
            assert secret not in result.output

    def test_a_file_that_does_not_say_when_it_was_made(self, run: Run, file: Path) -> None:
        """It is unknown then, null in JSON."""
        key = keys.open_key(file)
        fields = {"version": 1, "id": str(key.identity.id), "seed": seed_of(file).hex()}
        write_private(file, keys._render(fields))
        assert "created  unknown\n" in run("keys", "show").stdout
        assert json.loads(run("keys", "--json", "show").stdout)["created"] is None

    def test_an_open_file_is_refused_with_the_command_that_mends_it(
        self, run: Run, file: Path
    ) -> None:
        """By every verb, and nothing is changed."""
        file.chmod(0o644)
        before = file.read_bytes()
        for words in (["show"], ["passphrase"], ["backup", str(file.with_name("copy"))]):
            result = run("keys", *words)
            assert result.exit_code == 1
            assert "mode 0644" in result.stderr
            assert f"chmod 600 {file}" in result.stderr
        assert file.read_bytes() == before
        assert os.listdir(file.parent) == ["identity.toml"]

    @pytest.mark.parametrize("words", [["show"], ["passphrase"], ["backup", "copy"]])
    def test_without_a_key(self, run: Run, home: Path, words: list[str]) -> None:
        """A home without a key says how to make one; a home in memory is a usage error."""
        result = run("keys", *words)
        assert result.exit_code == 1
        assert f"make one with: mesh --home {home} init" in result.stderr
        assert run("keys", *words, at=Path(":memory:")).exit_code == 2
        assert not home.exists()

    @pytest.mark.parametrize("words", [("show",), ("passphrase",), ("backup", "copy.key")])
    def test_an_open_folder_is_refused_with_the_command_that_mends_it(
        self, run: Run, sealed: Path, words: tuple[str, ...], tmp_path: Path
    ) -> None:
        """So is a home whose folder others may look into; nothing is asked, shown or written."""
        sealed.parent.chmod(0o755)
        before = sealed.read_bytes()
        words = tuple(str(tmp_path / word) if "." in word else word for word in words)
        result = run("keys", *words)
        assert (result.exit_code, result.stdout) == (1, "")
        assert f"chmod 700 {sealed.parent}" in result.stderr
        assert sealed.read_bytes() == before
        assert not (tmp_path / "copy.key").exists()

    def test_without_a_verb(self, run: Run) -> None:
        """`mesh keys` alone shows what there is."""
        result = run("keys")
        assert result.exit_code == 0
        for verb in ("backup", "passphrase", "show"):
            assert f"\n  {verb} " in result.stdout


@pytest.mark.usefixtures("terminal")
class TestPassphrase:
    def test_is_set(self, run: Run, file: Path) -> None:
        """Asked for twice, unseen; the id, the seed and the time it was made stay."""
        before = keys.describe(file), seed_of(file)
        result = run("keys", "passphrase", input=typed(HORSE, HORSE))
        assert result.exit_code == 0
        assert "is sealed with the new passphrase" in result.stdout
        assert HORSE not in result.output
        assert "New passphrase" in result.stderr
        assert "New passphrase" not in result.stdout
        after = keys.describe(file), seed_of(file, HORSE)
        assert after == (before[0]._replace(sealed=True), before[1])
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        assert before[1].hex() not in file.read_text()

    def test_is_changed(self, run: Run, sealed: Path) -> None:
        """The old one is asked for first; afterwards only the new one opens the file."""
        before = keys._read_fields(sealed), seed_of(sealed, HORSE)
        result = run("keys", "passphrase", "--json", input=typed(HORSE, MULE, MULE))
        assert json.loads(result.stdout) == {
            "id": str(keys.load_id(sealed)),
            "file": str(sealed),
            "sealed": True,
            "changed": True,
        }
        assert seed_of(sealed, MULE) == before[1]
        assert keys._read_fields(sealed)["salt"] != before[0]["salt"]
        assert run("keys", "passphrase", input=typed(HORSE, MULE, MULE)).exit_code == 1

    def test_is_removed(self, run: Run, sealed: Path) -> None:
        """Only when asked to, with the old one; what that means is said."""
        seed = seed_of(sealed, HORSE)
        result = run("keys", "passphrase", "--remove", input=typed(HORSE))
        assert result.exit_code == 0
        assert "whoever reads it can speak as this node" in result.stdout
        assert seed_of(sealed) == seed
        again = run("keys", "passphrase", "--remove", "--json")
        assert again.exit_code == 0
        assert json.loads(again.stdout)["changed"] is False
        assert "nothing was changed" in run("keys", "passphrase", "--remove").stdout

    def test_a_wrong_one_changes_nothing(self, run: Run, sealed: Path) -> None:
        """Nor is a new one asked for then."""
        before = sealed.read_bytes(), sealed.stat().st_mtime_ns
        for words in ([], ["--remove"]):
            result = run("keys", "passphrase", *words, input=typed(MULE))
            assert result.exit_code == 1
            assert "wrong passphrase for" in result.stderr
            assert "New passphrase" not in result.stderr
        assert (sealed.read_bytes(), sealed.stat().st_mtime_ns) == before

    def test_two_different_answers_are_asked_for_again(self, run: Run, file: Path) -> None:
        """A slip of the hand cannot lock the owner out."""
        run("keys", "passphrase", input=typed(HORSE, MULE, HORSE, HORSE))
        assert seed_of(file, HORSE)

    def test_the_configured_one_is_the_old_one(
        self, run: Run, sealed: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """From MESH_PASSPHRASE or config.toml; that it is old now is said there and then."""
        monkeypatch.setenv("MESH_PASSPHRASE", HORSE)
        result = run("keys", "passphrase", input=typed(MULE, MULE))
        assert result.exit_code == 0
        assert "MESH_PASSPHRASE or config.toml still holds another passphrase" in result.stderr
        assert seed_of(sealed, MULE)
        monkeypatch.delenv("MESH_PASSPHRASE")
        write_private(sealed.with_name("config.toml"), f'passphrase = "{MULE}"\n'.encode())
        assert run("keys", "passphrase", "--remove").exit_code == 0
        assert seed_of(sealed)

    def test_the_configured_one_seals_a_file_that_has_none(
        self, run: Run, file: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Nothing is asked: file and configuration fit together afterwards."""
        monkeypatch.setenv("MESH_PASSPHRASE", HORSE)
        result = run("keys", "passphrase")
        assert result.exit_code == 0
        assert result.stderr == ""
        assert seed_of(file, HORSE)

    def test_nobody_to_ask(self, run: Run, sealed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Without a terminal nothing is read from a pipe: a usage error, and nothing changes."""
        monkeypatch.setattr(home_verbs, "has_terminal", lambda: False)
        before = sealed.read_bytes()
        assert run("keys", "passphrase", input=typed(HORSE, MULE, MULE)).exit_code == 2
        monkeypatch.setenv("MESH_PASSPHRASE", HORSE)
        result = run("keys", "passphrase", input=typed(MULE, MULE))
        assert result.exit_code == 2
        assert "do it in a terminal" in result.stderr
        assert sealed.read_bytes() == before
        assert run("keys", "passphrase", "--remove").exit_code == 0
        monkeypatch.delenv("MESH_PASSPHRASE")
        assert "set MESH_PASSPHRASE" in run("keys", "passphrase").stderr

    def test_a_node_that_runs_goes_on(self, run: Run, sealed: Path, home: Path) -> None:
        """The home's lock is its own; the file changes under it, which it has read already."""
        with Home(home):
            assert run("keys", "passphrase", input=typed(HORSE, MULE, MULE)).exit_code == 0
        assert seed_of(sealed, MULE)

    def test_one_writer_at_a_time(self, run: Run, sealed: Path) -> None:
        """Whoever comes second is refused, and the file is what it was."""
        lock = HomeLock(sealed.with_name("identity.lock"))
        lock.acquire()
        before = sealed.read_bytes()
        result = run("keys", "passphrase", input=typed(HORSE, MULE, MULE))
        lock.release()
        assert result.exit_code == 1
        assert "is in use by" in result.stderr
        assert sealed.read_bytes() == before


@pytest.mark.usefixtures("terminal")
class TestBackup:
    def test_of_a_sealed_file(self, run: Run, sealed: Path, tmp_path: Path) -> None:
        """Under the same passphrase and another salt, for its owner alone, wherever it lies."""
        copy = tmp_path / "copy"
        result = run("keys", "backup", str(copy), "--json", input=typed(HORSE))
        assert json.loads(result.stdout) == {"id": str(keys.load_id(sealed)), "file": str(copy)}
        assert stat.S_IMODE(copy.stat().st_mode) == 0o600
        assert seed_of(copy, HORSE) == seed_of(sealed, HORSE)
        assert keys.describe(copy) == keys.describe(sealed)
        assert keys._read_fields(copy)["salt"] != keys._read_fields(sealed)["salt"]

    def test_of_a_file_without_a_passphrase(self, run: Run, file: Path, tmp_path: Path) -> None:
        """One is asked for, twice: the copy is sealed, the key file stays as it is."""
        copy, before = tmp_path / "copy", file.read_bytes()
        result = run("keys", "backup", str(copy), input=typed(HORSE, HORSE))
        assert result.exit_code == 0
        assert "keep its passphrase too" in result.stdout
        assert HORSE not in result.output
        assert seed_of(copy, HORSE) == seed_of(file)
        assert seed_of(file).hex() not in copy.read_text()
        assert file.read_bytes() == before

    def test_never_overwrites(self, run: Run, sealed: Path, tmp_path: Path) -> None:
        """Neither a file, nor a link to nothing, nor the key itself; nothing is asked first."""
        link = tmp_path / "link"
        link.symlink_to(tmp_path / "nothing")
        other = tmp_path / "other"
        other.write_text("mine")
        for taken in (link, other, sealed, tmp_path):
            before = taken.lstat()
            result = run("keys", "backup", str(taken), input=typed(HORSE))
            assert result.exit_code == 1
            assert "exists already and is left as it is" in result.stderr
            assert "Passphrase of" not in result.stderr
            assert taken.lstat().st_mtime_ns == before.st_mtime_ns
        assert seed_of(sealed, HORSE)

    def test_a_folder_that_is_not_there(self, run: Run, sealed: Path, tmp_path: Path) -> None:
        """The error names the file and asks for its folder."""
        result = run("keys", "backup", str(tmp_path / "no" / "copy"), input=typed(HORSE))
        assert result.exit_code == 1
        assert "is its folder there?" in result.stderr

    def test_a_wrong_passphrase_makes_no_copy(self, run: Run, sealed: Path, tmp_path: Path) -> None:
        """A copy that its owner could not open would be none."""
        copy = tmp_path / "copy"
        assert run("keys", "backup", str(copy), input=typed(MULE)).exit_code == 1
        assert not copy.exists()

    def test_nobody_to_ask(
        self, run: Run, sealed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Without a terminal the variable is taken; without either it is a usage error."""
        monkeypatch.setattr(home_verbs, "has_terminal", lambda: False)
        copy = tmp_path / "copy"
        result = run("keys", "backup", str(copy), input=typed(HORSE))
        assert result.exit_code == 2
        assert "set MESH_PASSPHRASE" in result.stderr
        monkeypatch.setenv("MESH_PASSPHRASE", HORSE)
        assert run("keys", "backup", str(copy)).exit_code == 0
        assert seed_of(copy, HORSE) == seed_of(sealed, HORSE)
        assert run("keys", "backup").exit_code == 2


def documented_commands(root: Path) -> list[str]:
    """The commands that docs/reference/keys.md shows for a backup and for putting it back."""
    page = (root / "docs" / "reference" / "keys.md").read_text()
    blocks = re.findall(r"```sh\n(.*?)```", page, re.DOTALL)
    assert len(blocks) == 2
    return [line for block in blocks for line in block.splitlines()]


def run_documented(root: Path, user: Path) -> "subprocess.CompletedProcess[str]":
    """Those commands in a shell of a user whose folder this is."""
    script = ['mesh() { "$PYTHON" -m mesh "$@"; }', 'cd "$HOME"', "set -e"]
    return subprocess.run(
        ["sh", "-c", "\n".join(script + documented_commands(root))],
        env={
            **os.environ,
            "HOME": str(user),
            "PYTHON": sys.executable,
            "PYTHONPATH": str(root),
            "MESH_PASSPHRASE": HORSE,
        },
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.skipif(shutil.which("install") is None, reason="the page uses install(1)")
@pytest.mark.slow
async def test_a_backup_put_back_is_the_same_node(
    runtime: Path, tmp_path: Path, root: Path
) -> None:
    """The documented commands, to the letter: in a new home a node starts under the same id.

    A peer that trusts that id, and nothing else, meets it there.
    """
    old, new = tmp_path / "alice", tmp_path / "alice-again"
    old.mkdir(mode=0o700)
    made = keys.create(old / "identity.toml", passphrase=HORSE)
    finished = run_documented(root, tmp_path)
    assert finished.stderr == ""
    assert finished.stdout.splitlines()[-1] == str(made.id)
    shutil.rmtree(old)
    alice, bob = Node("alice", home=new, passphrase=HORSE), Node("bob", home=":memory:")

    @alice.serve("who")
    async def who(_body: object) -> str:
        return str(alice.id)

    async with alice, bob:
        assert alice.id == made.id
        await join(bob, alice)
        assert await bob.call(made.id, "who") == str(made.id)
