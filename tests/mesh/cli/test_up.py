"""`mesh up` and `mesh stop`: nodes as processes and in this one, and talk between them."""

import asyncio
import json
import os
import signal
import socket
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mesh.cli import home_verbs, up
from mesh.errors import Denied, MeshError
from mesh.home import keys
from mesh.home.files import write_private
from mesh.home.home import Home
from mesh.home.keys import PassphraseCost
from mesh.io.control_socket import ask

Run = Callable[..., Any]
Start = Callable[..., Any]

PATIENCE_SECONDS = 30.0
# Long enough that a test which waits for it fails by its own timeout.
FOR_EVER = "3600"


def question(home: Path, verb: str, **arguments: object) -> Any:
    """Ask the node on this home until one answers."""
    path = Home(home).control_place().path
    assert path is not None

    async def until_answered() -> Any:
        async with asyncio.timeout(PATIENCE_SECONDS):
            while True:
                try:
                    return await ask(path, verb, arguments)
                except MeshError:
                    await asyncio.sleep(0)

    return asyncio.run(until_answered())


def up_here(run: Run, home: Path, *words: str, number: int = signal.SIGTERM, do: Any = None) -> Any:
    """`mesh up` in this process, ended by a signal once it is up and `do` is done."""
    trouble: list[BaseException] = []

    def end_it() -> None:
        try:
            question(home, "status")
            if do is not None:
                do()
        except BaseException as error:
            trouble.append(error)
        if not ended.is_set():
            os.kill(os.getpid(), number)

    ended = threading.Event()
    helper = threading.Thread(target=end_it)
    helper.start()
    result = run("up", *words, at=home)
    ended.set()
    helper.join(PATIENCE_SECONDS)
    assert not trouble
    return result


def announced(process: Any) -> dict[str, Any]:
    """The first line of `mesh up --json`."""
    found = json.loads(process.stdout.readline())
    assert found["event"] == "up"
    return dict(found)


class TestHere:
    def test_makes_a_home_and_announces_itself(self, run: Run, home: Path, runtime: Path) -> None:
        """A fresh home is made; id, endpoint, and how peers trust and dial it are said once."""
        result = up_here(run, home)
        assert result.exit_code == 0
        node_id = keys.load_id(home / "identity.toml")
        lines = result.stdout.splitlines()
        assert lines[:2] == ["alice is up", f"id         {node_id}"]
        endpoint = lines[2].removeprefix("endpoint   ")
        assert endpoint.startswith("tcp://127.0.0.1:")
        assert lines[3].endswith(f" mesh trust allow {node_id} --name alice")
        assert lines[4].endswith(f" mesh up --connect {node_id}@{endpoint}")
        assert lines[5].endswith(f" mesh --home {home} trust allow ID --name NAME")
        assert list((runtime / "noisemesh").iterdir()) == []

    def test_keeps_its_home(self, run: Run, home: Path) -> None:
        """A home that is there stays as it is; options win over its configuration."""
        run("init", "--name", "first")
        before = {path.name: path.read_bytes() for path in home.iterdir()}
        words = ("--name", "other", "--listen", "tcp://0.0.0.0:0", "--json")
        result = up_here(run, home, *words, number=signal.SIGINT)
        assert result.exit_code == 0
        value = json.loads(result.stdout)
        assert value["name"] == "other"
        assert value["endpoints"][0].startswith("tcp://0.0.0.0:")
        assert value["process"] == os.getpid()
        assert {path.name: path.read_bytes() for path in home.iterdir()} == before

    def test_a_configuration_without_a_key(self, run: Run, home: Path) -> None:
        """What somebody wrote before the first start counts."""
        home.mkdir(mode=0o700)
        (home / "config.toml").write_text('name = "mine"\nlisten = ["ipc://%s"]\n' % (home / "s"))
        (home / "config.toml").chmod(0o600)
        assert up_here(run, home).stdout.startswith("mine is up\n")

    def test_talks_and_prints(self, run: Run, home: Path, process: Start, tmp_path: Path) -> None:
        """Messages of the printed subjects become lines, calls of the echoed ones answers."""
        run("init")
        alice_id, bob_home = run("id").stdout.strip(), tmp_path / "bob"
        run("init", at=bob_home)
        run("trust", "allow", run("id", at=bob_home).stdout.strip(), "--name", "bob")
        run("trust", "allow", alice_id, "--name", "alice", at=bob_home)
        endpoint = f"ipc://{Home(home).control_place().path}.ipc"
        bob = process(
            "--home", str(bob_home), "up", "--json", "--connect", f"{alice_id}@{endpoint}"
        )
        announced(bob)

        def talk() -> None:
            question(bob_home, "ping", peer="alice")
            arguments: dict[str, Any] = {"peer": "alice", "subject": "log", "handled": True}
            for body in ("hello\x1b", {"a": b"\x00"}):
                assert question(bob_home, "send", body=body, **arguments)["standing"] == "handled"
            assert question(bob_home, "call", peer="alice", subject="mirror", body=[1]) == [1]

        words = ("--listen", endpoint, "--print", "log", "--print", "log", "--echo", "mirror")
        result = up_here(run, home, *words, do=talk)
        assert result.exit_code == 0
        assert 'bob  log  "hello\\u001b"\nbob  log  {"a": {"$bytes": "AA=="}}\n' in result.stdout
        assert "printing   log" in result.stdout
        assert "connected with bob" in result.stderr

    def test_a_home_in_use(self, run: Run, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """A second node on one home is refused after a moment, and says who has it."""
        monkeypatch.setattr(up, "_PATIENCE_SECONDS", 0.1)
        run("init")
        with Home(home):
            result = run("up")
        assert result.exit_code == 1
        assert result.stderr.endswith("is in use by this process: its node is up already\n")

    def test_a_wrong_setting(self, run: Run, home: Path) -> None:
        """What cannot be used is said in one line."""
        result = run("up", "--listen", "nowhere")
        assert result.exit_code == 1
        assert result.stderr.startswith("mesh: listen from ")
        assert len(result.stderr.splitlines()) == 1

    def test_in_memory(self, run: Run, runtime: Path) -> None:
        """A throw-away node runs from nothing and leaves nothing."""
        announcing = up._Voice.say

        def end_when_announced(voice: Any, value: object, text: str) -> None:
            announcing(voice, value, text)
            os.kill(os.getpid(), signal.SIGTERM)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(up._Voice, "say", end_when_announced)
            result = run("up", at=Path(":memory:"))
        assert result.exit_code == 0
        assert list(runtime.iterdir()) == []

    def test_asks_for_a_passphrase(
        self, run: Run, home: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A sealed key is opened on the terminal; without one the error names the variable."""
        home.mkdir(mode=0o700)
        keys.create(home / "identity.toml", passphrase="horse", cost=PassphraseCost(1, 8192))
        result = run("up")
        assert result.exit_code == 2
        assert "set MESH_PASSPHRASE" in result.stderr
        monkeypatch.setattr(home_verbs, "has_terminal", lambda: True)
        wrong = run("up", input="mule\n")
        assert wrong.exit_code == 1
        assert "wrong passphrase" in wrong.stderr
        assert run("up", input="\n").exit_code != 0
        monkeypatch.setenv("MESH_PASSPHRASE", "horse")
        assert up_here(run, home).exit_code == 0

    def test_a_passphrase_in_the_configuration_is_not_asked_for(self, run: Run, home: Path) -> None:
        """config.toml may hold it, as it may hold every setting; no terminal is needed then."""
        home.mkdir(mode=0o700)
        write_private(home / "config.toml", b'passphrase = "horse"\n')
        keys.create(home / "identity.toml", passphrase="horse", cost=PassphraseCost(1, 8192))
        assert up_here(run, home).exit_code == 0


class TestStop:
    def test_ends_the_node_and_waits_for_it(
        self, run: Run, home: Path, process: Start, runtime: Path
    ) -> None:
        """Afterwards the home is free and nothing is left; the node ended as by a signal."""
        node = process("--home", str(home), "up", "--json")
        number = announced(node)["process"]
        result = run("stop")
        assert (result.exit_code, result.stdout) == (0, f"process {number} has ended its node\n")
        with Home(home):
            assert list((runtime / "noisemesh").iterdir()) == []
        assert node.wait(PATIENCE_SECONDS) == 0
        again = run("stop")
        assert again.exit_code == 3
        assert "no node is running on" in again.stderr

    def test_as_json(self, run: Run, home: Path, process: Start) -> None:
        """Which process it was."""
        node = process("--home", str(home), "up", "--json")
        number = announced(node)["process"]
        assert json.loads(run("stop", "--json").stdout) == {"process": number}
        assert node.wait(PATIENCE_SECONDS) == 0

    def test_is_not_for_programs(self, run: Run, answering: Callable[..., Any]) -> None:
        """A node that a program runs is ended by that program: denied, and it says which."""
        answering({"stop": Denied("end that program: process 42")})
        result = run("stop")
        assert result.exit_code == 6
        assert "process 42" in result.stderr

    def test_one_that_takes_its_time(
        self, run: Run, home: Path, answering: Callable[..., Any]
    ) -> None:
        """A node that still has its home when the time is up is said to go on closing."""
        run("init")
        node = answering({"stop": {"process": 42}})
        with Home(home):
            result = run("stop", "--timeout", "0.1")
        assert result.exit_code == 5
        assert "process 42 has not ended its node within 0.1 s; it was told to" in result.stderr
        assert node.asked == [("stop", {})]


class TestTwoNodes:
    def test_find_each_other_and_talk(
        self, run: Run, process: Start, tmp_path: Path, runtime: Path
    ) -> None:
        """The whole way of a newcomer, each step by the command; both leave with 0 and clean up."""
        alice, bob = tmp_path / "alice", tmp_path / "bob"
        first = process("--home", str(alice), "up", "--json", "--print", "chat")
        found = announced(first)
        target = f"{found['id']}@{found['endpoints'][0]}"
        second = process(
            "--home", str(bob), "up", "--json", "--echo", "mirror", "--connect", target
        )
        bob_id = announced(second)["id"]
        assert run("ping", "alice", at=bob).exit_code == 3
        assert run("ping", found["id"], at=bob).exit_code == 4
        assert run("trust", "allow", found["id"], "--name", "alice", at=bob).exit_code == 0
        assert run("trust", "allow", bob_id, "--name", "bob", at=alice).exit_code == 0
        question(bob, "ping", peer="alice")

        assert run("ping", "alice", at=bob).stdout.startswith("alice: ")
        assert "bob  connected" in run("peers", at=alice).stdout
        assert "alice  connected" in run("status", at=bob).stdout
        assert run("call", "bob", "mirror", '{"a": 1}', at=alice).stdout == '{"a": 1}\n'
        assert run("call", "bob", "nothing", at=alice).exit_code == 1
        assert run("send", "alice", "chat", "hello", "--handled", at=bob).exit_code == 0
        message = json.loads(first.stdout.readline())
        assert message == {
            "event": "message",
            "peer": {"id": bob_id, "name": "bob"},
            "subject": "chat",
            "body": "hello",
        }
        assert run("up", at=alice).exit_code == 1

        first.send_signal(signal.SIGTERM)
        assert first.wait(PATIENCE_SECONDS) == 0
        second.send_signal(signal.SIGINT)
        assert second.wait(PATIENCE_SECONDS) == 0
        assert list((runtime / "noisemesh").iterdir()) == []
        assert run("status", at=alice).exit_code == 3

    @pytest.mark.slow
    def test_a_second_interrupt_ends_at_once(
        self, run: Run, process: Start, tmp_path: Path
    ) -> None:
        """A node that waits for its peer's goodbye does so no longer."""
        alice, bob = tmp_path / "alice", tmp_path / "bob"
        patient = {"MESH_CLOSE_TIMEOUT_SECONDS": FOR_EVER}
        first = process("--home", str(alice), "up", "--json", **patient)
        found = announced(first)
        target = f"{found['id']}@{found['endpoints'][0]}"
        second = process("--home", str(bob), "up", "--json", "--connect", target)
        bob_id = announced(second)["id"]
        run("trust", "allow", found["id"], "--name", "alice", at=bob)
        run("trust", "allow", bob_id, "--name", "bob", at=alice)
        question(bob, "ping", peer="alice")
        path = Home(alice).control_place().path
        assert path is not None
        second.send_signal(signal.SIGSTOP)
        with socket.socket(socket.AF_UNIX) as idle:
            idle.settimeout(PATIENCE_SECONDS)
            idle.connect(str(path))
            first.send_signal(signal.SIGINT)
            assert idle.recv(1) == b""
        first.send_signal(signal.SIGINT)
        assert first.wait(PATIENCE_SECONDS) == 130
        second.kill()

    def test_ends_when_nobody_reads(self, process: Start, home: Path, runtime: Path) -> None:
        """A node whose output goes nowhere any more leaves as if it were told to."""
        made = process("--home", str(home), "up")
        made.stdout.close()
        assert made.wait(PATIENCE_SECONDS) == 0
        assert list((runtime / "noisemesh").iterdir()) == []
