"""`mesh init` and `mesh id`: a home is made once and never overwritten."""

import json
import platform
import stat
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mesh.cli import home_verbs
from mesh.cli.failures import Exit, Failure
from mesh.home import keys
from mesh.home.configuration import Configuration, template
from mesh.home.files import write_private
from mesh.home.home import Home
from mesh.home.keys import PassphraseCost

Run = Callable[..., Any]


@pytest.fixture
def cheap_passphrases(monkeypatch: pytest.MonkeyPatch) -> None:
    """A guess costs nothing here."""
    create = keys.create

    def cheap(path: Path, *, passphrase: str | None = None) -> Any:
        return create(path, passphrase=passphrase, cost=PassphraseCost(1, 8192))

    monkeypatch.setattr(keys, "create", cheap)


class TestInit:
    def test_makes_key_and_configuration(self, run: Run, home: Path) -> None:
        """The folder is private, the configuration is valid, and the id is printed."""
        result = run("init", "--name", 'zoë "z"')
        assert result.exit_code == 0
        node_id = keys.load_id(home / "identity.toml")
        assert f"id  {node_id}\n" in result.stdout
        assert f"mesh --home {home} up" in result.stdout
        assert stat.S_IMODE(home.stat().st_mode) == 0o700
        assert tomllib.loads((home / "config.toml").read_text()) == {"name": 'zoë "z"'}
        assert Configuration.load(home, {}).name == 'zoë "z"'
        assert (home / "config.toml").read_text() == template('zoë "z"')

    def test_names_the_node_after_its_folder(self, run: Run, home: Path) -> None:
        """Without a name a folder that somebody chose gives one, and --json tells all."""
        told = json.loads(run("init", "--json").stdout)
        assert told == {
            "id": str(keys.load_id(home / "identity.toml")),
            "name": "alice",
            "home": str(home),
            "sealed": False,
        }

    def test_never_overwrites(self, run: Run, home: Path) -> None:
        """A second time nothing changes, whatever is asked for."""
        run("init")
        before = {path.name: path.read_bytes() for path in home.iterdir()}
        result = run("init", "--name", "other")
        assert result.exit_code == 1
        assert "is the home of a node already; it is left as it is" in result.stderr
        assert {path.name: path.read_bytes() for path in home.iterdir()} == before

    def test_never_overwrites_a_home_in_use(self, run: Run, home: Path) -> None:
        """It says the same while a node runs there."""
        run("init")
        with Home(home):
            result = run("init")
        assert result.exit_code == 1
        assert "is the home of a node already; it is left as it is" in result.stderr

    def test_keeps_a_configuration(self, run: Run, home: Path) -> None:
        """Written before the key, it stays; a name for it has to go in there."""
        home.mkdir(mode=0o700)
        file = home / "config.toml"
        file.write_text('name = "mine"\n')
        file.chmod(0o600)
        assert "set the name in there" in run("init", "--name", "other").stderr
        assert not (home / "identity.toml").exists()
        assert run("init").stdout.startswith("mine lives in")
        assert file.read_text() == 'name = "mine"\n'

    def test_a_name_that_cannot_be_one(self, run: Run, home: Path) -> None:
        """A wrong name is refused before anything is written."""
        assert run("init", "--name", "a\nb").exit_code == 1
        assert not (home / "identity.toml").exists()
        assert not (home / "config.toml").exists()

    def test_in_memory(self, run: Run) -> None:
        """There is no folder to make."""
        assert run("init", at=Path(":memory:")).exit_code == 2
        assert run("id", at=Path(":memory:")).exit_code == 2


@pytest.mark.usefixtures("cheap_passphrases")
class TestPassphrase:
    def test_comes_from_the_environment(
        self, run: Run, home: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """MESH_PASSPHRASE seals the key, asked for or not, and is never shown."""
        monkeypatch.setenv("MESH_PASSPHRASE", "correct horse")
        result = run("init", "--json")
        assert json.loads(result.stdout)["sealed"] is True
        assert keys.load(home / "identity.toml", passphrase="correct horse")
        assert "horse" not in result.output
        assert run("id").stdout.strip() == str(keys.load_id(home / "identity.toml"))

    def test_comes_from_the_configuration(self, run: Run, home: Path) -> None:
        """A home that is configured with one gets a sealed key, which its node can open."""
        home.mkdir(mode=0o700)
        write_private(home / "config.toml", b'passphrase = "correct horse"\n')
        assert json.loads(run("init", "--json").stdout)["sealed"] is True
        assert keys.load(home / "identity.toml", passphrase="correct horse")

    def test_is_asked_for_twice(
        self, run: Run, home: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """On a terminal, unseen; the questions do not stand on standard output."""
        monkeypatch.setattr(home_verbs, "has_terminal", lambda: True)
        result = run("init", "--passphrase", input="correct horse\ncorrect horse\n")
        assert result.exit_code == 0
        assert "Passphrase for the new key" in result.stderr
        assert "Passphrase" not in result.stdout
        assert keys.load(home / "identity.toml", passphrase="correct horse")

    def test_is_not_read_from_a_pipe(self, run: Run, home: Path) -> None:
        """Without a terminal the error names the variable, and nothing is made."""
        result = run("init", "--passphrase", input="correct horse\n")
        assert result.exit_code == 2
        assert "set MESH_PASSPHRASE" in result.stderr
        assert not home.exists()

    def test_a_terminal_is_a_terminal(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Standard input decides whether there is somebody to ask."""
        monkeypatch.setattr(sys.stdin, "isatty", lambda: False, raising=False)
        with pytest.raises(Failure) as raised:
            home_verbs.ask_passphrase("?")
        assert raised.value.code == Exit.USAGE


class TestId:
    def test_is_printed(self, run: Run, home: Path) -> None:
        """Alone on its line, or as JSON."""
        run("init")
        node_id = str(keys.load_id(home / "identity.toml"))
        assert run("id").stdout == f"{node_id}\n"
        assert json.loads(run("id", "--json").stdout) == {"id": node_id}

    def test_without_a_home(self, run: Run, home: Path) -> None:
        """The error says how to make one; nothing is made."""
        result = run("id")
        assert result.exit_code == 1
        assert f"make one with: mesh --home {home} init" in result.stderr
        assert not home.exists()

    def test_an_open_folder(self, run: Run, home: Path) -> None:
        """A home that others can look into is refused with the command that mends it."""
        run("init")
        home.chmod(0o755)
        result = run("id")
        assert (result.exit_code, result.stdout) == (1, "")
        assert f"chmod 700 {home}" in result.stderr

    def test_in_memory(self, run: Run) -> None:
        """Such a home has no id that lasts: a usage error."""
        result = run("--home", ":memory:", "id")
        assert (result.exit_code, result.stdout) == (2, "")
        assert "give --home a folder" in result.stderr


def test_usual_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """The folder's name where somebody chose it, else the machine's, else a plain word."""
    monkeypatch.setattr(platform, "node", lambda: "box.example.org")
    assert home_verbs.usual_name(Path("/x/alice")) == "alice"
    assert home_verbs.usual_name(Path("/x/.alice")) == "alice"
    assert home_verbs.usual_name(Path("/x/noisemesh")) == "box"
    assert home_verbs.usual_name(Path("/x/" + "a" * 65)) == "box"
    monkeypatch.setattr(platform, "node", lambda: "")
    assert home_verbs.usual_name(Path("/")) == "node"
