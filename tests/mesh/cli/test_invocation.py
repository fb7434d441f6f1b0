"""What the shared options say, whom the command asks, and what its logs look like."""

import logging
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mesh.cli.invocation import Invocation
from mesh.errors import NodeClosed, NotTrusted
from mesh.home.home import Home


class TestOptions:
    def test_stand_before_or_after_the_verb(
        self, run: Callable[..., Any], answering: Callable[..., Any], home: Path, tmp_path: Path
    ) -> None:
        """`mesh --json peers` and `mesh peers --json` are one; the last --home counts."""
        found = {"peers": [], "strangers": [], "dialling": []}
        answering({"peers": found})
        assert run("--json", "peers").stdout == run("peers", "--json").stdout
        assert run("peers", "--home", str(home), at=tmp_path).exit_code == 0
        assert run("peers", "--home", str(tmp_path)).exit_code == 3
        run("init", at=tmp_path / "nobody")
        nobody = run("trust", "--json", "list", at=tmp_path / "nobody")
        assert nobody.stdout == "[]\n"

    def test_home_may_come_from_the_environment(
        self, home: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """MESH_HOME counts where --home is not given, and needs no repeating in commands."""
        monkeypatch.setenv("MESH_HOME", str(home))
        assert Invocation().home.path == home
        assert Invocation().command("up") == "mesh up"
        given = Invocation("/a b")
        assert given.home.path == Path("/a b")
        assert given.command("up") == "mesh --home '/a b' up"


class TestAsk:
    def test_no_node_runs(self, runtime: Path, home: Path) -> None:
        """The error says how to start one, also where a dead node left its socket."""
        wanted = f"no node is running on {home}; start one with: mesh --home {home} up"
        with pytest.raises(NodeClosed) as raised:
            Invocation(str(home)).ask("status")
        assert str(raised.value) == wanted
        path = Home(home).control_place().path
        assert path is not None
        with socket.socket(socket.AF_UNIX) as dead:
            dead.bind(str(path))
        with pytest.raises(NodeClosed) as raised:
            Invocation(str(home)).ask("status")
        assert str(raised.value) == wanted
        with pytest.raises(NodeClosed, match="on a home in memory"):
            Invocation(":memory:").ask("status")

    def test_finds_a_node_with_another_runtime_folder(
        self,
        runtime: Path,
        home: Path,
        answering: Callable[..., Any],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """A node that had no runtime folder listens in its home, and is asked there."""
        blocked = runtime / "noisemesh"
        blocked.write_text("not a folder")
        answering({"status": "here", "ping": NotTrusted("no")})
        assert (home / "control.sock").exists()
        blocked.unlink()
        assert Invocation(str(home)).ask("status") == "here"
        with pytest.raises(NotTrusted):
            Invocation(str(home)).ask("ping")

    def test_says_where_it_did_not_look(self, runtime: Path, home: Path) -> None:
        """A node may run whose socket lies in a folder that is not ours alone (any more)."""
        (runtime / "noisemesh").mkdir(mode=0o755)
        with pytest.raises(
            NodeClosed, match=r"no node is running .* up \(not looked into: .*open to"
        ):
            Invocation(str(home)).ask("status")

    def test_a_node_that_ends(self, home: Path, answering: Callable[..., Any]) -> None:
        """A node that is closing is as good as none."""
        answering({"status": NodeClosed("the node is closing")})
        with pytest.raises(NodeClosed, match="start one with"):
            Invocation(str(home)).ask("status")


class TestOutput:
    def test_results_as_text_or_json(self, capsys: pytest.CaptureFixture[str]) -> None:
        """The value is printed as JSON when asked for, else the text for people."""
        Invocation().show({"a": b"\x00"}, "words")
        Invocation(json=True).show({"a": b"\x00"}, "words")
        assert capsys.readouterr().out == 'words\n{"a": {"$bytes": "AA=="}}\n'

    @pytest.mark.parametrize("verbose", [False, True])
    def test_logs(self, verbose: bool, capsys: pytest.CaptureFixture[str]) -> None:
        """One line a record on standard error; tracebacks and details only with --verbose."""
        logger = logging.getLogger("noisemesh")
        before = logger.handlers, logger.level
        try:
            Invocation(verbose=verbose).log(logging.INFO)
            logger.debug("detail")
            logger.info("plain")
            try:
                raise KeyError("x")
            except KeyError:
                logger.exception("a handler raised")
        finally:
            logger.handlers, level = before
            logger.setLevel(level)
        out, err = capsys.readouterr()
        assert out == ""
        assert ("detail" in err) == verbose
        assert ("Traceback" in err) == verbose
        assert "INFO    plain\n" in err
        assert "a handler raised" in err
        assert "KeyError: 'x'" in err
        assert verbose or len(err.splitlines()) == 2
        assert err.splitlines()[-1].endswith("KeyError: 'x'")
