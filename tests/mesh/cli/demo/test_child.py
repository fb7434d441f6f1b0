"""The process of one node, as it is started."""

import asyncio
import json
import os
import signal
import sys

import pytest

from mesh.cli.demo import child


@pytest.fixture
def ordered(monkeypatch):
    """Runs a child in this process with these lines on its standard input: its exit status."""
    before = signal.getsignal(signal.SIGINT)

    def run(arguments, *orders):
        reading, writing = os.pipe()
        with os.fdopen(reading) as stdin, os.fdopen(writing, "w") as stdout:
            stdout.write("".join(f"{json.dumps(order)}\n" for order in orders))
            stdout.flush()
            monkeypatch.setattr(sys, "stdin", stdin)
            return child.main(arguments)

    yield run
    signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize("role", sorted(child.ROLES))
def test_it_lives_as_its_role_until_told_to_stop(role, ordered, tmp_path, capsys):
    """Orders come on standard input, one line each; what it says goes to standard output."""
    home = tmp_path / "home"
    assert ordered([role, "ada", str(home), "1.5"], {"do": "stop"}) == 0
    assert signal.getsignal(signal.SIGINT) == signal.SIG_IGN
    said = [json.loads(line)["news"] for line in capsys.readouterr().out.splitlines()]
    assert said == ["ready", "stopped"]
    assert (home / "identity.toml").exists()


def test_nobody_listening_is_the_end(ordered, tmp_path, monkeypatch):
    """When nobody reads what it says any more, it ends with an error status."""

    def break_pipe(_line):
        raise BrokenPipeError

    monkeypatch.setattr(child, "tell", break_pipe)
    assert ordered(["asker", "ada", str(tmp_path / "home"), "1.5"]) == 1


async def test_as_a_process_it_ends_with_its_orders(tmp_path):
    """Started as the conductor does it, it answers, and ends when its standard input does."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "mesh.cli.demo", "index", "index", str(tmp_path / "home"), "1.0"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    out, _ = await asyncio.wait_for(process.communicate(b'{"do": "stop"}\n'), 30)
    assert process.returncode == 0
    assert [json.loads(line)["news"] for line in out.splitlines()] == ["ready", "stopped"]
