"""The command as a whole: help, the exit codes, and how it ends when something goes wrong."""

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import click
import pytest
from click.testing import CliRunner

from mesh import errors
from mesh.cli import command, peer_verbs
from mesh.cli.command import mesh

Run = Callable[..., Any]


class TestHelp:
    def test_without_a_verb(self, run: Run) -> None:
        """`mesh` alone shows what there is, with every exit code."""
        result = run()
        assert result.exit_code == 0
        for word in (
            "init",
            "id",
            "up",
            "status",
            "trust",
            "peers",
            "ping",
            "call",
            "send",
            "demo",
        ):
            assert f"\n  {word} " in result.stdout
        assert "7 queued but not" in result.stdout
        assert "  forget" in run("trust").stdout

    @pytest.mark.parametrize("verb", sorted(mesh.commands))
    def test_of_each_verb(self, run: Run, verb: str) -> None:
        """Each verb explains itself."""
        result = run(verb, "-h")
        assert result.exit_code == 0
        assert result.stdout.startswith(f"Usage: mesh {verb}")
        assert mesh.commands[verb].help

    def test_version(self, run: Run) -> None:
        """The version is that of the installed distribution."""
        assert run("--version").stdout.startswith("noisemesh ")


class TestExitCodes:
    @pytest.mark.parametrize(
        ("answer", "code"),
        [
            ({"peer": "bob", "standing": "delivered"}, 0),
            (errors.NoHandler("nobody there serves 'x'"), 1),
            (errors.PeerUnreachable("bob is not connected"), 3),
            (errors.NotTrusted("bob refuses this node"), 4),
            (errors.CallTimeout("no reply"), 5),
            (errors.Denied("not yours"), 6),
            ({"peer": "bob", "standing": "queued"}, 7),
        ],
    )
    def test_of_what_the_node_answers(
        self, run: Run, answering: Callable[..., Any], answer: object, code: int
    ) -> None:
        """Each outcome has its code; whatever failed is one line on standard error."""
        answering({"send": answer})
        result = run("send", "bob", "x", "1")
        assert result.exit_code == code
        assert bool(result.stdout) == (code == 0)
        assert len(result.stderr.splitlines()) == (code != 0)
        as_json = run("send", "bob", "x", "1", "--json")
        assert as_json.exit_code == code
        if code:
            assert json.loads(as_json.stderr)["error"]["exit_code"] == code
        else:
            assert json.loads(as_json.stdout) == answer

    def test_no_node_is_running(self, run: Run, home: Path) -> None:
        """3, and how to start one."""
        result = run("status")
        assert result.exit_code == 3
        assert result.stderr.endswith(f"start one with: mesh --home {home} up\n")

    @pytest.mark.parametrize(
        ("words", "said"),
        [
            (["dance"], "No such command 'dance'"),
            (["ping"], "Missing argument 'PEER'; see: mesh ping --help"),
            (["ping", "bob", "-c", "0"], "Invalid value for '-c'"),
            (["send", "bob", "x", "-5"], 'stands after "--"; see: mesh send --help'),
            (["trust", "allow", "bob"], "is no node id"),
        ],
    )
    def test_usage(self, run: Run, words: list[str], said: str) -> None:
        """2, in one line that names the help."""
        result = run(*words)
        assert result.exit_code == 2
        assert said in result.stderr
        assert len(result.stderr.splitlines()) == 1
        described = json.loads(run("--json", *words).stderr)
        assert described["error"]["kind"] == "Usage"


class TestTrouble:
    def test_nobody_expected(self, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
        """A defect is one line; with --verbose it says where it arose."""

        def fail(*_: object, **__: object) -> None:
            raise KeyError("x")

        monkeypatch.setattr(command.Invocation, "ask", fail)
        result = run("peers")
        assert (result.exit_code, result.stdout) == (1, "")
        assert result.stderr == "mesh: unexpected: KeyError: 'x'; with --verbose it says where\n"
        assert "Traceback" in run("peers", "--verbose").stderr

    @pytest.mark.parametrize(
        ("error", "code"),
        [(KeyboardInterrupt(), 130), (click.Abort(), 130), (click.exceptions.Exit(9), 9)],
    )
    def test_interrupted(
        self, run: Run, monkeypatch: pytest.MonkeyPatch, error: BaseException, code: int
    ) -> None:
        """Ctrl-C ends the command with 130 and without a word."""

        def interrupt(*_: object, **__: object) -> None:
            raise error

        monkeypatch.setattr(command.Invocation, "ask", interrupt)
        result = run("peers")
        assert (result.exit_code, result.stderr.strip()) == (code, "")

    def test_nobody_reads(self, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
        """When the reader of a pipe has gone, the command ends in silence."""

        def fail(*_: object, **__: object) -> None:
            raise BrokenPipeError

        moved: list[int] = []
        monkeypatch.setattr(command.Invocation, "ask", fail)
        monkeypatch.setattr(os, "dup2", lambda source, target: moved.append(target))
        monkeypatch.setattr(
            command, "sys", SimpleNamespace(stdout=SimpleNamespace(fileno=lambda: 1), exit=sys.exit)
        )
        result = run("peers")
        assert (result.exit_code, result.stderr, moved) == (1, "", [1])

    def test_inside_another_program(self, run: Run, capsys: pytest.CaptureFixture[str]) -> None:
        """Without standalone mode the exit code is returned; words come from the command line."""
        assert mesh.main(["ping"], standalone_mode=False) == 2
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sys, "argv", ["mesh", "dance"])
            assert mesh.main(standalone_mode=False) == 2
        assert "dance" in capsys.readouterr().err


class TestDemo:
    @pytest.mark.parametrize("code", [0, 1, 2])
    def test_ends_as_the_demonstration_does(
        self, run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, code: int
    ) -> None:
        """Folder and --json go to the demonstration, and its exit code comes back."""
        seen: list[object] = []

        def play(directory: Path | None, json: bool) -> int:
            seen.append((directory, json))
            return code

        monkeypatch.setattr(
            command, "import_module", lambda name: SimpleNamespace(main=play, name=name)
        )
        assert run("demo").exit_code == code
        assert run("demo", str(tmp_path), "--json").exit_code == code
        assert seen == [(None, False), (tmp_path, True)]

    def test_is_there(self) -> None:
        """The module that the verb imports exists and has what it calls."""
        assert callable(command.import_module("mesh.cli.demo.conductor").main)


def test_runs_as_a_module(process: Callable[..., Any], home: Path) -> None:
    """`python -m mesh` is the command, and its exit code that of the process."""
    made = process("--home", str(home), "status")
    assert made.wait(60) == 3


def test_verbs_do_not_share_state() -> None:
    """Two calls in one process know nothing of each other's options."""
    first = CliRunner().invoke(mesh, ["--json", "ping"])
    second = CliRunner().invoke(mesh, ["ping"])
    assert first.stderr.startswith("{")
    assert second.stderr.startswith("mesh: ")
    assert peer_verbs.ping.__doc__
