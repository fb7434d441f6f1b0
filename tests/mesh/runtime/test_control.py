"""What the command asks a running node, verb by verb, over real nodes on loopback."""

import asyncio
import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from handshake.identity import Identity
from mesh.errors import (
    CallFailed,
    CallTimeout,
    Denied,
    InvalidMessage,
    NodeClosed,
    NoHandler,
    NotTrusted,
    PeerUnreachable,
    UnknownPeer,
)
from mesh.home.home import ControlPlace, Home
from mesh.io.control_socket import ask
from mesh.node import Node
from mesh.runtime import control as control_module
from nodes import until

PATIENCE_SECONDS = 20.0
STRANGER = Identity(bytes(31) + b"\x07").id

MakeNode = Callable[..., Any]


@pytest.fixture(autouse=True)
def runtime(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A runtime folder with a short path."""
    folder = Path(tempfile.mkdtemp(prefix="nm"))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(folder))
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
async def start(tmp_path: Path) -> AsyncIterator[MakeNode]:
    """Starts nodes by name, each in a home of its own; all are closed after the test."""
    started: list[Node] = []

    async def make(name: str, **fields: Any) -> Node:
        fields.setdefault("close_timeout_seconds", 1.0)
        node = Node(name, home=tmp_path / name, **fields)
        await node.start()
        started.append(node)
        return node

    yield make
    for node in reversed(started):
        await node.close()


@pytest.fixture
async def pair(start: MakeNode) -> tuple[Node, Node]:
    """Alice and Bob, who trust each other and are connected; Bob answers and listens."""
    alice, bob = await start("alice"), await start("bob")
    alice.trust.allow(bob.id, "bob", ["worker"])
    bob.trust.allow(alice.id, "alice")

    @bob.serve("echo")
    async def echo(body: object) -> object:
        return body

    @bob.serve("broken")
    async def broken(body: object) -> object:
        raise ValueError("no")

    @bob.serve("slow")
    async def slow(body: object) -> object:
        return await asyncio.Event().wait()

    @bob.on("log")
    async def log(body: object) -> None: ...

    await alice.connect(bob.endpoints[0], id=bob.id)
    return alice, bob


def asker(node: Node) -> Callable[..., Any]:
    """Asks this node's control, without the socket."""

    def ask_it(verb: str, **arguments: object) -> Any:
        return asyncio.wait_for(node.running.control.answer(verb, arguments), PATIENCE_SECONDS)

    return ask_it


async def refusal(node: Node, peer: str) -> str:
    """What a ping says once the peer has refused this node."""
    while True:
        try:
            await asker(node)("ping", peer=peer, timeout=0.1)
        except PeerUnreachable:
            continue
        except NotTrusted as error:
            return str(error)


class TestSocket:
    async def test_opens_with_the_node_and_goes_with_it(
        self, start: MakeNode, runtime: Path, tmp_path: Path
    ) -> None:
        """Any running node with a home on disk answers; a closed one leaves nothing behind."""
        alice = await start("alice")
        (path,) = (runtime / "noisemesh").iterdir()
        assert path == Home(tmp_path / "alice").control_place().path
        assert (await ask(path, "status"))["id"] == str(alice.id)
        await alice.close()
        assert list((runtime / "noisemesh").iterdir()) == []
        with pytest.raises(NodeClosed):
            await ask(path, "status")

    async def test_is_not_needed(
        self, start: MakeNode, runtime: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        """A node whose socket cannot be opened says so in its log and runs."""
        path = Home(tmp_path / "alice").control_place().path
        assert path is not None
        path.write_text("in the way")
        alice = await start("alice")
        assert alice.endpoints
        assert "the command `mesh` cannot reach this node" in caplog.text
        assert "is not a socket" in caplog.text

    async def test_keeps_out_of_a_folder_that_is_not_ours_alone(
        self, start: MakeNode, runtime: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        """It lies in the home then, and the log says why."""
        (runtime / "elsewhere").mkdir(mode=0o700)
        (runtime / "noisemesh").symlink_to("elsewhere")
        alice = await start("alice")
        assert "the control socket is not put into a folder: " in caplog.text
        assert f"{runtime}/noisemesh is a link" in caplog.text
        answer = await ask(tmp_path / "alice" / "control.sock", "status")
        assert answer["id"] == str(alice.id)

    async def test_may_find_no_place(
        self, start: MakeNode, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        """A node without a folder for it runs, and says that no command reaches it."""
        monkeypatch.setattr(Home, "control_place", lambda home: ControlPlace(None, []))
        assert (await start("alice")).endpoints
        assert "cannot reach this node: there is no folder for its socket" in caplog.text

    async def test_in_memory_there_is_none(self, runtime: Path) -> None:
        """A throw-away node leaves nothing on disk, no socket either."""
        async with Node(home=":memory:") as node:
            assert (await asker(node)("status"))["home"] is None
        assert os.listdir(runtime) == []

    async def test_an_unknown_verb(self, start: MakeNode) -> None:
        """A verb of a newer command is refused by name."""
        with pytest.raises(InvalidMessage, match="knows no verb 'dance'"):
            await asker(await start("alice"))("dance")

    async def test_stop_ends_a_node_that_waits_for_it(
        self, start: MakeNode, tmp_path: Path
    ) -> None:
        """The answer comes before the end; a program's own node is not stopped from outside."""
        alice = await start("alice")
        with pytest.raises(Denied, match=f"process {os.getpid()}"):
            await asker(alice)("stop")
        await alice.close()
        running = asyncio.ensure_future(alice.run_until_signal())
        path = Home(tmp_path / "alice").control_place().path
        assert path is not None

        async def stopped() -> Any:
            while True:
                try:
                    return await ask(path, "stop")
                except (NodeClosed, Denied):
                    await asyncio.sleep(0)

        assert await asyncio.wait_for(stopped(), PATIENCE_SECONDS) == {"process": os.getpid()}
        await asyncio.wait_for(running, PATIENCE_SECONDS)


class TestStatus:
    async def test_of_a_node_alone(self, start: MakeNode, tmp_path: Path) -> None:
        """Who it is, where it listens, since when."""
        alice = await start("alice", mesh="team")
        status = await asker(alice)("status")
        assert status["name"] == "alice"
        assert status["id"] == str(alice.id)
        assert status["home"] == str(tmp_path / "alice")
        assert status["mesh"] == "team"
        assert status["endpoints"] == alice.endpoints
        assert status["process"] == os.getpid()
        assert status["uptime_seconds"] >= 0
        assert status["started"] > 1_700_000_000
        assert (status["peers"], status["strangers"], status["dialling"]) == ([], [], [])

    async def test_of_connected_peers(self, pair: tuple[Node, Node]) -> None:
        """Name, roles, presence, generation, suite, round trip, and where it was dialled."""
        alice, bob = pair
        await asker(alice)("ping", peer="bob")
        (peer,) = (await asker(alice)("peers"))["peers"]
        assert peer["id"] == str(bob.id)
        assert (peer["name"], peer["roles"], peer["presence"]) == ("bob", ["worker"], "connected")
        assert peer["generation"] >= 1
        assert peer["suite"] in {"AESGCM", "ChaChaPoly"}
        assert peer["round_trip_seconds"] > 0
        assert peer["endpoints"] == bob.endpoints
        assert peer["refusal"] is None
        assert 0 <= peer["silent_seconds"] < PATIENCE_SECONDS
        counters = await asker(alice)("counters")
        assert counters["sessions.established"] >= 1
        assert (await asker(alice)("status"))["counters"].keys() >= counters.keys()

    async def test_of_one_whose_connection_is_gone(self, pair: tuple[Node, Node]) -> None:
        """It is said so at once, with the seconds since it was heard and where it is dialled."""
        alice, bob = pair
        endpoint = bob.endpoints[0]
        bob.running.pump.stop()
        bob.running.transport.close()
        await until(lambda: alice.running.presence.of(bob.id) == "no connection")
        status = await asker(alice)("peers")
        (peer,) = status["peers"]
        assert (peer["name"], peer["presence"]) == ("bob", "no connection")
        assert peer["silent_seconds"] >= 0
        assert [wish["endpoint"] for wish in status["dialling"]] == [endpoint]

    async def test_of_one_that_is_trusted_and_absent(self, start: MakeNode) -> None:
        """Who has never been seen is listed all the same, and who is denied is not."""
        alice = await start("alice")
        alice.trust.allow(STRANGER, "eve")
        (peer,) = (await asker(alice)("peers"))["peers"]
        assert (peer["name"], peer["presence"], peer["generation"]) == ("eve", "not seen", None)
        assert peer["silent_seconds"] is None
        alice.trust.deny(STRANGER)
        assert (await asker(alice)("peers"))["peers"] == []

    async def test_of_a_stranger(self, start: MakeNode, tmp_path: Path) -> None:
        """Who proved itself and is not trusted comes with the exact command that would trust it."""
        alice, bob = await start("alice"), await start("bob")
        bob.trust.allow(alice.id, "alice")
        with pytest.raises(NotTrusted):
            await bob.connect(alice.endpoints[0])
        (stranger,) = (await asker(alice)("status"))["strangers"]
        assert stranger["id"] == str(bob.id)
        assert stranger["reason"] == "not trusted"
        home = tmp_path / "alice"
        assert stranger["command"] == f"mesh --home {home} trust allow {bob.id}"

    async def test_the_command_for_the_usual_home(self, start: MakeNode) -> None:
        """Without --home where the command finds the home by itself."""
        alice = await start("alice")
        control = alice.running.control
        await control.close()
        await control.open(Home(None))
        assert control.trust_command(STRANGER) == f"mesh trust allow {STRANGER}"


class TestTalk:
    async def test_ping(self, pair: tuple[Node, Node]) -> None:
        """A sealed round trip, by name or by id."""
        alice, bob = pair
        for name in ("bob", str(bob.id)):
            answer = await asker(alice)("ping", peer=name, timeout=PATIENCE_SECONDS)
            assert answer["peer"] == "bob"
            assert answer["round_trip_seconds"] > 0

    async def test_call(self, pair: tuple[Node, Node]) -> None:
        """The reply, or what went wrong at the peer."""
        call = asker(pair[0])
        assert await call("call", peer="bob", subject="echo", body={"a": b"\x00"}) == {"a": b"\x00"}
        with pytest.raises(CallFailed, match="ValueError: no"):
            await call("call", peer="bob", subject="broken")
        with pytest.raises(NoHandler):
            await call("call", peer="bob", subject="nothing")
        with pytest.raises(CallTimeout):
            await call("call", peer="bob", subject="slow", timeout=0.05)

    async def test_send(self, pair: tuple[Node, Node]) -> None:
        """Delivered, or handled when asked to wait for that."""
        send = asker(pair[0])
        answer = await send("send", peer="bob", subject="log", body=1)
        assert answer["peer"] == "bob"
        assert answer["standing"] in {"delivered", "handled"}
        answer = await send("send", peer="bob", subject="log", body=b"x", handled=True)
        assert answer["standing"] == "handled"

    async def test_send_says_how_far_it_came(
        self, pair: tuple[Node, Node], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Not confirmed within the timeout is "queued"; no room at all is an error."""
        alice, _ = pair
        send = asker(alice)
        never = asyncio.Event()

        class Unheard:
            standing = control_module.Receipt().standing
            delivered = never.wait

        async def queue(subject: str, body: object) -> object:
            return Unheard()

        async def wait(subject: str, body: object) -> object:
            return await never.wait()

        mailbox = next(iter(alice.running.dispatch.mailboxes.values()))
        monkeypatch.setattr(mailbox, "tell", queue)
        answer = await send("send", peer="bob", subject="log", timeout=0.01)
        assert answer == {"peer": "bob", "standing": "queued"}
        monkeypatch.setattr(mailbox, "tell", wait)
        with pytest.raises(PeerUnreachable, match=r"no room .* it was not sent"):
            await send("send", peer="bob", subject="log", timeout=0.01)

    @pytest.mark.parametrize(
        "arguments",
        [
            {},
            {"peer": 3},
            {"peer": "bob"},
            {"peer": "bob", "subject": ""},
            {"peer": "bob", "subject": "log", "timeout": 0},
            {"peer": "bob", "subject": "log", "timeout": "soon"},
            {"peer": "bob", "subject": "log", "timeout": True},
            {"peer": "bob", "subject": "log", "timeout": 86_401},
            {"peer": "bob", "subject": "log", "timeout": float("nan")},
        ],
    )
    async def test_arguments_are_checked(self, start: MakeNode, arguments: dict[str, Any]) -> None:
        """What is missing or out of range is said, whoever asks."""
        alice = await start("alice")
        with pytest.raises(InvalidMessage):
            await asker(alice)("send", **arguments)


class TestReach:
    async def test_nobody_of_that_name(self, start: MakeNode) -> None:
        """A name that is not on the list is nobody's."""
        with pytest.raises(UnknownPeer):
            await asker(await start("alice"))("ping", peer="bob")

    async def test_one_we_do_not_trust(self, start: MakeNode) -> None:
        """The error says so and holds the command that would change it."""
        alice = await start("alice")
        with pytest.raises(NotTrusted, match=rf"is not trusted .*trust allow {STRANGER}"):
            await asker(alice)("ping", peer=str(STRANGER))
        alice.trust.deny(STRANGER)
        with pytest.raises(NotTrusted, match="is denied by this node"):
            await asker(alice)("ping", peer=str(STRANGER))

    async def test_one_that_does_not_trust_us(self, start: MakeNode) -> None:
        """The error says what its owner must do; once he has, asking is enough to connect."""
        alice = await start("alice")
        bob = await start("bob", connect=[alice.endpoints[0]])
        bob.trust.allow(alice.id, "alice")
        with pytest.raises(PeerUnreachable):
            await bob.wait_for("alice", timeout=0.01)
        refused = await asyncio.wait_for(refusal(bob, "alice"), PATIENCE_SECONDS)
        assert refused.startswith("alice refuses this node: not trusted; ")
        assert refused.endswith(f": mesh trust allow {bob.id}")
        (peer,) = (await asker(bob)("peers"))["peers"]
        assert peer["refusal"] == "not trusted"
        alice.trust.allow(bob.id, "bob")
        assert (await asker(bob)("ping", peer="alice"))["peer"] == "alice"

    async def test_one_that_has_thrown_us_out(self, pair: tuple[Node, Node]) -> None:
        """A peer that ends the session because it denies us now is said to refuse us."""
        alice, bob = pair
        bob.trust.deny(alice.id)
        refused = await asyncio.wait_for(refusal(alice, "bob"), PATIENCE_SECONDS)
        assert refused.startswith("bob refuses this node: ")

    async def test_one_that_nobody_dials(self, start: MakeNode) -> None:
        """Neither side dials: the error shows how one would."""
        alice = await start("alice")
        alice.trust.allow(STRANGER, "eve")
        with pytest.raises(PeerUnreachable, match=f"--connect {STRANGER}@ENDPOINT"):
            await asker(alice)("ping", peer="eve", timeout=0.01)

    async def test_one_that_is_dialled_in_vain(self, start: MakeNode, runtime: Path) -> None:
        """The error names the endpoint and what is wrong with it."""
        endpoint = f"ipc://{runtime}/nobody"
        alice = await start("alice", connect=[f"{STRANGER}@{endpoint}"])
        alice.trust.allow(STRANGER, "eve")
        with pytest.raises(PeerUnreachable, match=f"eve is not connected; dialling {endpoint}: "):
            await asker(alice)("ping", peer="eve", timeout=0.01)
        (wish,) = (await asker(alice)("status"))["dialling"]
        assert wish["endpoint"] == endpoint


class TestTrust:
    async def test_takes_effect_at_once(self, pair: tuple[Node, Node]) -> None:
        """A peer denied through the socket is gone, one allowed is known by its name."""
        alice, bob = pair
        denied = await asker(alice)("trust-deny", peer="bob")
        assert denied["allowed"] is False
        assert bob.id not in alice.running.dispatch.mailboxes
        await asker(alice)("trust-allow", id=str(bob.id), name="robert")
        (entry,) = await asker(alice)("trust-list")
        assert entry["name"] == "robert"
