"""What the tests of the home room share."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import mesh

Spawn = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def spawn() -> Iterator[Spawn]:
    """Start a Python program in a process of its own; all are ended after the test."""
    started: list[subprocess.Popen[str]] = []

    def start(program: str, *arguments: str | Path) -> "subprocess.Popen[str]":
        root = Path(mesh.__file__).parent.parent
        process = subprocess.Popen(
            [sys.executable, "-c", program, *map(str, arguments)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(root)},
        )
        started.append(process)
        return process

    yield start
    for process in started:
        with process:  # closes the pipes and waits
            process.kill()


@pytest.fixture
def someone_else(monkeypatch: pytest.MonkeyPatch) -> None:
    """From here on this process runs as another user than the one who made the files."""
    user = os.geteuid() + 1
    monkeypatch.setattr(os, "geteuid", lambda: user)
