"""The control socket: one question, one answer, and nobody disturbs anybody."""

import asyncio
import json
import os
import shutil
import socket
import stat
import tempfile
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from mesh import errors
from mesh.errors import (
    BufferFull,
    CallTimeout,
    InvalidConfiguration,
    InvalidMessage,
    MeshError,
    MessageTooLarge,
    NodeClosed,
)
from mesh.io import control_lines, control_socket
from mesh.io.control_socket import ControlSocket, ask

PATIENCE_SECONDS = 15.0


async def echo(verb: str, arguments: dict[str, Any]) -> object:
    """Answers with what it was asked."""
    return [verb, arguments]


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder with a path short enough for sockets."""
    path = Path(tempfile.mkdtemp(prefix="nm"))
    yield path
    shutil.rmtree(path)


@pytest.fixture
async def open_at(folder: Path) -> AsyncIterator[Callable[..., Any]]:
    """Opens sockets that are closed after the test."""
    opened: list[ControlSocket] = []

    async def open_it(answer: Any = echo, name: str = "control", **options: Any) -> ControlSocket:
        made = ControlSocket(folder / name, answer, **options)
        await made.open()
        opened.append(made)
        return made

    yield open_it
    for made in opened:
        await made.close()


async def raw(path: Path, line: bytes) -> Any:
    """What a client that speaks for itself is answered; None for nothing."""
    reader, writer = await asyncio.open_unix_connection(path)
    writer.write(line)
    answer = await asyncio.wait_for(reader.read(), PATIENCE_SECONDS)
    writer.close()
    return json.loads(answer) if answer else None


class TestQuestions:
    async def test_is_answered(self, open_at: Any) -> None:
        """Verb and arguments arrive as they were asked, and so does the answer."""
        path = (await open_at()).path
        arguments = {"body": b"\x00\xff", "list": [1, None, True], "name": "é"}
        assert await ask(path, "ping", arguments) == ["ping", arguments]
        assert await ask(path, "status") == ["status", {}]

    @pytest.mark.parametrize(
        "error",
        [
            errors.Denied("no"),
            errors.NotTrusted("mesh trust allow"),
            errors.CallFailed("ValueError", "no"),
            errors.PeerRestarted("gone", "not_delivered"),
        ],
    )
    async def test_an_error_arrives_as_it_was_raised(self, open_at: Any, error: MeshError) -> None:
        """The asking side raises the same error with the same text."""

        async def fail(verb: str, arguments: dict[str, Any]) -> object:
            raise error

        path = (await open_at(fail)).path
        with pytest.raises(type(error)) as raised:
            await ask(path, "x")
        assert type(raised.value) is type(error)
        assert str(raised.value) == str(error)

    async def test_a_defect_is_logged_here_and_hidden_there(
        self, open_at: Any, caplog: pytest.LogCaptureFixture
    ) -> None:
        """An unexpected error is told by its type alone; its text and place are in the log."""

        async def fail(verb: str, arguments: dict[str, Any]) -> object:
            raise KeyError("inside")

        path = (await open_at(fail)).path
        with pytest.raises(MeshError, match="the node failed at 'x': KeyError") as raised:
            await ask(path, "x")
        assert type(raised.value) is MeshError
        assert "inside" not in str(raised.value)
        assert "KeyError: 'inside'" in caplog.text

    async def test_an_answer_that_is_no_value(self, open_at: Any) -> None:
        """What JSON cannot carry is an error for the asking side, not a cut connection."""

        async def answer(verb: str, arguments: dict[str, Any]) -> object:
            return object()

        path = (await open_at(answer)).path
        with pytest.raises(InvalidMessage, match="object cannot be written"):
            await ask(path, "x")

    async def test_asking_has_an_end(self, open_at: Any) -> None:
        """An answer that does not come in time is a CallTimeout, and the work is cancelled."""
        cancelled = asyncio.Event()

        async def never(verb: str, arguments: dict[str, Any]) -> object:
            try:
                await asyncio.Event().wait()
            finally:
                cancelled.set()
            return None

        path = (await open_at(never)).path
        with pytest.raises(CallTimeout, match=r"did not answer 'x' within 0\.05 s"):
            await ask(path, "x", timeout=0.05)
        await asyncio.wait_for(cancelled.wait(), PATIENCE_SECONDS)

    async def test_nobody_listens(self, folder: Path) -> None:
        """No socket, or one that a dead process left: NodeClosed, at once."""
        with pytest.raises(NodeClosed, match="nobody listens"):
            await ask(folder / "none", "x")
        with socket.socket(socket.AF_UNIX) as dead:
            dead.bind(str(folder / "dead"))
        with pytest.raises(NodeClosed, match="nobody listens"):
            await ask(folder / "dead", "x")
        (folder / "file").touch()
        with pytest.raises(MeshError):
            await ask(folder / "file", "x")
        with pytest.raises(InvalidConfiguration, match="cannot be used: Not a directory"):
            await ask(folder / "file" / "s", "x")

    async def test_the_other_side_dies(self, folder: Path) -> None:
        """A connection that ends without an answer is a node that ended."""

        async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.close()

        server = await asyncio.start_unix_server(hang_up, folder / "s")
        with pytest.raises(NodeClosed, match="ended before it answered"):
            await ask(folder / "s", "x")
        server.close()

    async def test_too_much_to_ask(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """A question over the limit is refused before anything is sent; at the limit it is not."""
        whole = len(json.dumps({"verb": "x", "arguments": {"a": ""}}, separators=(",", ":"))) + 1
        monkeypatch.setattr(control_lines, "LINE_MAX_BYTES", whole + 10)
        with pytest.raises(NodeClosed):
            await ask(folder / "none", "x", {"a": "1234567890"})
        with pytest.raises(MessageTooLarge, match="too much for the control socket"):
            await ask(folder / "none", "x", {"a": "12345678901"})

    async def test_too_deep_to_ask(self, folder: Path) -> None:
        """A value nested without end is refused and not a crash."""
        value: Any = []
        for _ in range(20_000):
            value = [value]
        with pytest.raises(InvalidMessage, match="nested too deeply"):
            await ask(folder / "none", "x", {"a": value})


class TestLongLines:
    async def test_are_read_and_written_beside_the_loop(
        self, open_at: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The loop goes round while a long question is read and a long answer written."""
        loop, turns = asyncio.get_running_loop(), []

        def after_a_turn(do: Callable[[Any], Any], value: Any) -> Any:
            turn = threading.Event()
            loop.call_soon_threadsafe(turn.set)
            turns.append(turn.wait(PATIENCE_SECONDS))
            return do(value)

        for name in ("read_question", "long_result"):
            do = getattr(control_lines, name)
            monkeypatch.setattr(control_lines, name, partial(after_a_turn, do))
        arguments = {"a": ["x" * 100, *range(30_000)]}
        assert await ask((await open_at()).path, "x", arguments) == ["x", arguments]
        assert turns == [True, True]

    async def test_are_not_awaited_at_the_end(
        self, open_at: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A question that is still being read is given up like one that is still asked."""
        began, over = asyncio.Event(), threading.Event()
        loop = asyncio.get_running_loop()

        def read(line: bytes) -> Any:
            loop.call_soon_threadsafe(began.set)
            over.wait(PATIENCE_SECONDS)
            return "x", {}

        monkeypatch.setattr(control_lines, "read_question", read)
        made = await open_at()
        asking = asyncio.ensure_future(ask(made.path, "x", {"a": "x" * 100_000}))
        await asyncio.wait_for(began.wait(), PATIENCE_SECONDS)
        await asyncio.wait_for(made.close(), PATIENCE_SECONDS)
        assert not over.is_set()
        over.set()
        with pytest.raises(NodeClosed):
            await asking


class TestClients:
    @pytest.mark.parametrize(
        "line",
        [
            b"\n",
            b"hello\n",
            b"[1]\n",
            b"\xff\xfe\n",
            b'{"verb": 1}\n',
            b'{"verb": "x", "arguments": []}\n',
            b"[" * 200_000 + b"\n",
            b'{"verb": "x", "arguments": {"a": ' + b"[" * 900 + b"]" * 900 + b"}}\n",
        ],
    )
    async def test_a_line_that_is_no_question(self, open_at: Any, line: bytes) -> None:
        """Whatever a client writes, it is answered and the next one is served."""
        path = (await open_at()).path
        answer = await raw(path, line)
        assert answer.get("error", {}).get("kind") == "InvalidMessage" or "result" in answer
        assert await ask(path, "x") == ["x", {}]

    async def test_an_endless_line(self, open_at: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        """Beyond the limit a line is not collected any further."""
        monkeypatch.setattr(control_lines, "LINE_MAX_BYTES", 1000)
        path = (await open_at()).path
        answer = await raw(path, b"x" * 2000 + b"\n")
        assert answer["error"]["kind"] == "MessageTooLarge"

    async def test_one_that_dies_is_forgotten(self, open_at: Any) -> None:
        """A client that hangs up cancels what is done for it, and nothing else."""
        began, cancelled = asyncio.Event(), asyncio.Event()

        async def answer(verb: str, arguments: dict[str, Any]) -> object:
            if verb == "fast":
                return 1
            began.set()
            try:
                await asyncio.Event().wait()
            finally:
                cancelled.set()
            return None

        path = (await open_at(answer)).path
        _, writer = await asyncio.open_unix_connection(path)
        writer.write(b'{"verb": "slow"}\n')
        await asyncio.wait_for(began.wait(), PATIENCE_SECONDS)
        assert await ask(path, "fast") == 1
        writer.close()
        await asyncio.wait_for(cancelled.wait(), PATIENCE_SECONDS)
        _, writer = await asyncio.open_unix_connection(path)
        writer.write(b'{"verb"')
        writer.close()
        assert await ask(path, "fast") == 1

    async def test_one_that_never_asks(self, open_at: Any) -> None:
        """It is shown out when its time is up."""
        path = (await open_at(patience=0.01)).path
        reader, writer = await asyncio.open_unix_connection(path)
        assert await asyncio.wait_for(reader.read(), PATIENCE_SECONDS) == b""
        writer.close()

    async def test_one_that_never_reads(self, open_at: Any) -> None:
        """It loses its place, so that others find one, and what waits for it is thrown away."""

        async def answer(verb: str, arguments: dict[str, Any]) -> object:
            return "x" * 4_000_000 if verb == "much" else 1

        path = (await open_at(answer, patience=0.05, clients=1)).path
        reader, writer = await asyncio.open_unix_connection(path, limit=1024)
        writer.write(b'{"verb": "much"}\n')
        await asyncio.wait_for(reader.readexactly(1), PATIENCE_SECONDS)

        async def served() -> Any:
            while True:
                try:
                    return await ask(path, "little")
                except BufferFull:
                    await asyncio.sleep(0)

        assert await asyncio.wait_for(served(), PATIENCE_SECONDS) == 1
        writer.close()

    async def test_too_many(self, open_at: Any) -> None:
        """One more than there are places for is told so."""
        path = (await open_at(clients=2)).path
        writers = [(await asyncio.open_unix_connection(path))[1] for _ in range(2)]
        with pytest.raises(BufferFull, match="2 clients are served already"):
            await ask(path, "x")
        for writer in writers:
            writer.close()


class TestFile:
    async def test_is_ours_alone_from_the_first_instant(
        self, open_at: Any, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The socket takes its name only when it is closed to others and answers."""
        seen: list[tuple[int, int]] = []
        replace = os.replace

        def spy(source: str, target: Path) -> None:
            found = os.stat(source)
            seen.append((stat.S_IMODE(found.st_mode), os.stat(os.path.dirname(source)).st_mode))
            assert not target.exists()
            with socket.socket(socket.AF_UNIX) as client:
                client.connect(source)
            replace(source, target)

        monkeypatch.setattr(os, "replace", spy)
        path = (await open_at()).path
        assert [(mode, stat.S_IMODE(parent)) for mode, parent in seen] == [(0o600, 0o700)]
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert os.listdir(folder) == ["control"]

    async def test_of_a_dead_process_is_replaced(self, open_at: Any, folder: Path) -> None:
        """What a killed node left does not keep the next one from answering."""
        with socket.socket(socket.AF_UNIX) as dead:
            dead.bind(str(folder / "control"))
        path = (await open_at()).path
        assert await ask(path, "x") == ["x", {}]

    async def test_of_a_living_process_is_refused(self, open_at: Any, folder: Path) -> None:
        """Nobody takes the place of a node that answers, and that one goes on answering."""
        path = (await open_at()).path
        with pytest.raises(InvalidConfiguration, match="another process listens"):
            await ControlSocket(path, echo).open()
        assert await ask(path, "x") == ["x", {}]
        assert os.listdir(folder) == ["control"]

    async def test_with_a_full_queue_lives(self, folder: Path) -> None:
        """A process too busy to accept connections is not taken for a dead one."""
        path = folder / "control"
        with socket.socket(socket.AF_UNIX) as busy:
            busy.bind(str(path))
            busy.listen(0)
            waiting = []
            for _ in range(20):
                client = socket.socket(socket.AF_UNIX)
                client.setblocking(False)
                waiting.append(client)
                if client.connect_ex(str(path)):
                    break
            with pytest.raises(InvalidConfiguration, match="another process listens"):
                await ControlSocket(path, echo).open()
            for client in waiting:
                client.close()

    async def test_that_is_something_else_is_left_alone(self, folder: Path) -> None:
        """A file in the way is neither replaced nor removed."""
        path = folder / "control"
        path.write_text("mine")
        with pytest.raises(InvalidConfiguration, match="is not a socket; it is left as it is"):
            await ControlSocket(path, echo).open()
        assert path.read_text() == "mine"
        with pytest.raises(InvalidConfiguration, match="cannot be used: Not a directory"):
            await ControlSocket(path / "s", echo).open()

    async def test_length_of_the_path(self, open_at: Any, folder: Path) -> None:
        """103 bytes are listened at, one more is refused: macOS allows 104 with the final zero."""
        name = "n" * (103 - len(str(folder)) - 1)
        path = (await open_at(name=name)).path
        assert len(str(path)) == 103
        assert await ask(path, "x") == ["x", {}]
        with pytest.raises(InvalidConfiguration, match="at most 103 bytes"):
            await open_at(name=name + "n")
        with pytest.raises(InvalidConfiguration, match="at most 103 bytes"):
            await ask(folder / (name + "n"), "x")

    async def test_in_a_folder_that_is_missing(self, folder: Path) -> None:
        """The error names the path and the reason."""
        with pytest.raises(InvalidConfiguration, match="none/s cannot be used: No such file"):
            await ControlSocket(folder / "none" / "s", echo).open()

    async def test_a_failed_start_leaves_nothing(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """When the socket cannot take its name, nothing listens and nothing lies there."""

        def fail(source: str, target: Path) -> None:
            raise OSError(28, "No space left on device")

        with monkeypatch.context() as patch:
            patch.setattr(os, "replace", fail)
            with pytest.raises(InvalidConfiguration, match="No space left"):
                await ControlSocket(folder / "control", echo).open()
        assert os.listdir(folder) == []

    async def test_system_without_unix_sockets(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """There the error says so, on both sides."""
        with monkeypatch.context() as patch:
            patch.delattr(socket, "AF_UNIX")
            with pytest.raises(InvalidConfiguration, match="no Unix sockets"):
                await ControlSocket(folder / "control", echo).open()
            with pytest.raises(InvalidConfiguration, match="no Unix sockets"):
                await ask(folder / "control", "x")


class TestClose:
    async def test_removes_the_socket(self, open_at: Any, folder: Path) -> None:
        """Nobody listens any more and nothing is left; a second close does nothing."""
        made = await open_at()
        await made.close()
        await made.close()
        assert os.listdir(folder) == []
        with pytest.raises(NodeClosed):
            await ask(made.path, "x")

    async def test_leaves_the_socket_of_a_successor(self, open_at: Any, folder: Path) -> None:
        """A socket that took the name meanwhile is not ours to remove."""
        made = await open_at()
        made.path.unlink()
        successor = await open_at()
        await made.close()
        assert await ask(successor.path, "x") == ["x", {}]

    async def test_tells_those_who_wait(self, open_at: Any) -> None:
        """A question under way ends with NodeClosed; a client that has not asked is not awaited."""
        began = asyncio.Event()

        async def never(verb: str, arguments: dict[str, Any]) -> object:
            began.set()
            return await asyncio.Event().wait()

        made = await open_at(never)
        asking = asyncio.ensure_future(ask(made.path, "x"))
        reader, writer = await asyncio.open_unix_connection(made.path)
        await asyncio.wait_for(began.wait(), PATIENCE_SECONDS)
        await asyncio.wait_for(made.close(), PATIENCE_SECONDS)
        with pytest.raises(NodeClosed, match="the node is closing"):
            await asking
        assert await asyncio.wait_for(reader.read(), PATIENCE_SECONDS) == b""
        writer.close()

    async def test_does_not_wait_for_the_stalled(
        self, open_at: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A client that does not take its answer is left behind after a moment."""
        monkeypatch.setattr(control_socket, "_GRACE_SECONDS", 0.01)

        async def much(verb: str, arguments: dict[str, Any]) -> object:
            return "x" * 4_000_000

        made = await open_at(much, patience=3600.0)
        reader, writer = await asyncio.open_unix_connection(made.path, limit=1024)
        writer.write(b'{"verb": "much"}\n')
        await asyncio.wait_for(reader.readexactly(1), PATIENCE_SECONDS)
        await asyncio.wait_for(made.close(), PATIENCE_SECONDS)
        writer.close()

    async def test_from_inside_an_answer(self, open_at: Any) -> None:
        """A verb that ends the node is still answered."""
        closing: list[asyncio.Future[None]] = []

        async def stop(verb: str, arguments: dict[str, Any]) -> object:
            loop = asyncio.get_running_loop()
            loop.call_soon(lambda: closing.append(asyncio.ensure_future(made.close())))
            return "ends"

        made = await open_at(stop)
        assert await ask(made.path, "stop") == "ends"
        await asyncio.wait_for(closing[0], PATIENCE_SECONDS)
