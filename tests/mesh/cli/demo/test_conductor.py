"""`mesh demo` as a whole: its exit codes, its two forms, and that it leaves nothing behind."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from mesh.cli.demo import conductor
from mesh.cli.demo.conductor import EXIT_FAILED, EXIT_OK, leaves, main
from mesh.cli.demo.play import Plan
from mesh.cli.failures import Exit, Failure

RUN = "import sys, pathlib; from mesh.cli.demo.conductor import main; sys.exit(main({}, {}))"


@pytest.fixture
def plan(local_start):
    """A short performance with nodes in this process."""
    return lambda **changes: Plan(**{"renewals": 1, "start": local_start, **changes})


@pytest.fixture
def scratch(tmp_path, monkeypatch):
    """Where homes are made: empty again when the demonstration has ended."""
    place = tmp_path / "scratch"
    place.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(place))
    monkeypatch.setenv("TMPDIR", str(place))
    yield place
    assert list(place.glob("noisemesh-demo-*")) == []


def test_it_tells_a_story_and_succeeds(texts, scratch, plan, capsys):
    """Every check holds: the account is on standard output, the exit code 0."""
    assert main(texts, json=False, plan=plan()) == EXIT_OK
    out, err = capsys.readouterr()
    assert "Everything held" in out
    assert err == ""


def test_it_fails_with_the_reason(texts, scratch, plan, capsys):
    """Whatever goes wrong is told, also to programs: the exit code is 1."""
    assert main(texts, json=True, plan=plan(limit_seconds=0.0)) == EXIT_FAILED
    out, err = capsys.readouterr()
    read = json.loads(out)
    assert not read["ok"]
    assert read["checks"][-1]["detail"] == "not done within 0 s"
    assert "trouble" in err
    assert "FAILED" in err


async def _raise(error):
    raise error


@pytest.mark.parametrize(
    ("error", "trouble"),
    [(OSError(24, "too many files"), "too many files"), (ValueError("odd"), "ValueError('odd')")],
)
def test_no_error_escapes(texts, scratch, plan, capsys, error, trouble):
    """An error nobody thought of fails the check for trouble, and is named."""
    failing = plan(start=lambda *_: _raise(error))
    assert main(texts, json=False, plan=failing) == EXIT_FAILED
    assert trouble in capsys.readouterr().out


def test_a_failing_child_is_named(texts, scratch, plan, capsys, local_start):
    """A process that dies is the trouble, with its exit status."""

    async def start(role, name, home, rekey_after_seconds, on_news):
        if name == "asker":
            home.write_text("no folder, so no home")
        return await local_start(role, name, home, rekey_after_seconds, on_news)

    assert main(texts, json=False, plan=plan(start=start)) == EXIT_FAILED
    assert "asker died with exit status 1" in capsys.readouterr().out


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_in_order(texts, scratch, plan, capsys, local_start, number):
    """Interrupted, twice even, it ends every node and says so; then signals are as before."""
    before = signal.getsignal(number)

    async def start(role, name, home, rekey_after_seconds, on_news):
        child = await local_start(role, name, home, rekey_after_seconds, on_news)
        if name == "stranger":
            child.ready.add_done_callback(lambda _: [os.kill(os.getpid(), number)] * 2)
        return child

    assert main(texts, json=False, plan=plan(start=start)) == EXIT_FAILED
    assert "trouble   interrupted" in capsys.readouterr().out
    assert signal.getsignal(number) == before


@pytest.mark.parametrize("json", [False, True])
@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("nowhere", "cannot list {}: No such file or directory"),
        ("one.txt", "cannot list {}: Not a directory"),
        ("nothing", "no text files in {}"),
        ("binary", "no text files in {}: 0 text files, 0 bytes (of no use here: 1 binary)"),
    ],
)
def test_a_useless_folder_is_a_usage_error(texts, capsys, monkeypatch, name, said, json):
    """A folder that is missing, none, empty or without text: one clear failure, nothing printed."""
    monkeypatch.chdir(texts)
    (texts / "nothing").mkdir()
    (texts / "binary").mkdir()
    (texts / "binary" / "data").write_bytes(bytes(9))
    with pytest.raises(Failure) as caught:
        main(Path(name), json=json)
    assert caught.value.code is Exit.USAGE
    assert str(caught.value) == said.format(name)
    assert capsys.readouterr() == ("", "")


def test_a_reader_who_leaves_is_no_traceback(texts, monkeypatch):
    """When nobody reads the account any more, it ends with exit code 1."""
    monkeypatch.setattr(conductor, "silence", lambda: None)

    def leave(*_):
        raise BrokenPipeError

    monkeypatch.setattr(conductor, "_perform_and_judge", leave)
    assert main(texts, json=False) == EXIT_FAILED


def test_groups_in_groups_are_taken_apart():
    """The exceptions themselves come out, in order."""
    one, two = ValueError(1), OSError(2)
    assert list(leaves(ExceptionGroup("a", [ExceptionGroup("b", [one]), two]))) == [one, two]


@pytest.mark.slow
def test_separate_processes_work_anywhere(texts, scratch):
    """From another folder, not on a terminal: real processes, exit code 0, all gone at the end."""
    elsewhere = texts / "below"
    (elsewhere / "json.py").write_text("raise SystemExit('the wrong json')")
    program = RUN.format(f"pathlib.Path({str(texts)!r})", True)
    done = subprocess.run(
        [sys.executable, "-P", "-c", program],
        cwd=elsewhere,
        env=os.environ | {"PYTHONPATH": str(Path(conductor.__file__).parents[3])},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == EXIT_OK, done.stderr
    assert json.loads(done.stdout)["ok"]


@pytest.mark.slow
async def test_no_node_outlives_a_killed_conductor(texts, tmp_path, patiently):
    """Even a conductor that is killed leaves no process: the end of orders ends them all."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", RUN.format(f"pathlib.Path({str(texts)!r})", False)),
        env=os.environ | {"TMPDIR": str(tmp_path)},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    endpoints = []
    while len(endpoints) < 7:
        line = (await patiently(process.stdout.readline())).decode()
        assert line
        if "listens on tcp://" in line:
            endpoints.append(line.partition("tcp://")[2].partition(",")[0])
    process.kill()
    await patiently(process.communicate())
    await patiently(asyncio.gather(*(_gone(endpoint) for endpoint in endpoints)))


async def _gone(endpoint):
    """Wait until nobody listens there any more."""
    host, _, port = endpoint.rpartition(":")
    try:
        while True:
            reader, writer = await asyncio.open_connection(host, int(port))
            writer.close()
            await reader.read()
    except ConnectionError:
        return
