"""The command in this process, the command as a process, and nodes that only answer questions."""

import asyncio
import os
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from mesh.home.home import Home
from mesh.io.control_socket import ControlSocket

PATIENCE_SECONDS = 20.0

Run = Callable[..., Result]
Answers = dict[str, Any]


@pytest.fixture
def runtime(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A runtime folder with a short path, and an environment without settings of a node."""
    for variable in [name for name in os.environ if name.startswith("MESH_")]:
        monkeypatch.delenv(variable)
    folder = Path(tempfile.mkdtemp(prefix="nm"))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(folder))
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home that is not there yet."""
    return tmp_path / "alice"


@pytest.fixture
def run(runtime: Path, home: Path) -> Run:
    """Runs the command in this process, on `home` unless told otherwise."""
    from mesh.cli.command import mesh

    def run_it(*words: str, input: str | bytes | None = None, at: Path | None = None) -> Result:
        return CliRunner().invoke(mesh, ["--home", str(at or home), *words], input=input)

    return run_it


class AnsweringNode:
    """Answers the questions of the command, and notes them; a loop in a thread of its own."""

    def __init__(self, home: Path, answers: Answers) -> None:
        path = Home(home).control_place().path
        assert path is not None
        self.asked: list[tuple[str, dict[str, Any]]] = []
        self._answers = answers
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._socket = ControlSocket(path, self._answer)
        self._run(self._socket.open())

    async def _answer(self, verb: str, arguments: dict[str, Any]) -> object:
        self.asked.append((verb, arguments))
        answer = self._answers[verb]
        if isinstance(answer, Exception):
            raise answer
        return answer

    def _run(self, coroutine: Any) -> None:
        asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(PATIENCE_SECONDS)

    def close(self) -> None:
        """Answer nobody any more."""
        self._run(self._socket.close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(PATIENCE_SECONDS)
        self._loop.close()


@pytest.fixture
def answering(runtime: Path, home: Path) -> Iterator[Callable[[Answers], AnsweringNode]]:
    """Starts a node on `home` that gives these answers, errors included."""
    started: list[AnsweringNode] = []

    def start(answers: Answers) -> AnsweringNode:
        started.append(AnsweringNode(home, answers))
        return started[-1]

    yield start
    for node in started:
        node.close()


@pytest.fixture
def process(
    runtime: Path, tmp_path: Path, root: Path
) -> Iterator[Callable[..., "subprocess.Popen[str]"]]:
    """Starts the command as a process; its errors go to a file, and all are ended afterwards."""
    started: list[subprocess.Popen[str]] = []

    def start(*words: str, **variables: str) -> "subprocess.Popen[str]":
        with (tmp_path / f"errors.{len(started)}").open("w") as errors:
            made = subprocess.Popen(
                [sys.executable, "-m", "mesh", *words],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                cwd=root,
                env={**os.environ, **variables},
            )
        started.append(made)
        return made

    yield start
    for made in started:
        with made:
            made.kill()
