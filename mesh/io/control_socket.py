"""Questions to a running process through a Unix socket: one line of JSON there, one back.

    -> {"verb": "ping", "arguments": {"peer": "bob"}}
    <- {"result": 0.0004}
    <- {"error": {"kind": "PeerUnreachable", "text": "...", "outcome": "..."}}

A connection carries one question and its answer; whoever hangs up earlier does not want it any
more, and the work for it is cancelled. Who may ask is decided by the file: mode 0600. Lines are
those of `control_lines`; a long one is read or written in a thread of its own.

This room carries verbs and knows nothing of what they mean.
"""

import asyncio
import logging
import os
import socket
import stat
import tempfile
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, TypeVar

from mesh.errors import (
    BufferFull,
    CallTimeout,
    InvalidConfiguration,
    MeshError,
    MessageTooLarge,
    NodeClosed,
)
from mesh.io import control_lines

T = TypeVar("T")

logger = logging.getLogger("noisemesh")

PATH_MAX_BYTES: Final = 103
# Each is a person or a script at this very machine; beyond it something has gone wild.
CLIENTS_MAX: Final = 64
# A question is written, and an answer read, at once by everybody but the stalled and the dead.
PATIENCE_SECONDS: Final = 10.0
_GRACE_SECONDS: Final = 1.0
# What bind needs beside the folder: "/" and a temporary folder's name, "/s".
_TEMPORARY_NAME_BYTES: Final = 12

Answer = Callable[[str, dict[str, Any]], Awaitable[object]]


class ControlSocket:
    """The listening side. `answer(verb, arguments)` gives a value or raises a MeshError.

    `path`: where; at most 103 bytes. `patience`: seconds for a client to ask and to take the
    answer. `clients`: how many at a time; the next is told BufferFull.
    """

    def __init__(
        self,
        path: Path,
        answer: Answer,
        *,
        patience: float = PATIENCE_SECONDS,
        clients: int = CLIENTS_MAX,
    ) -> None:
        self.path = path
        self._answer = answer
        self._patience = patience
        self._clients = clients
        self._server: asyncio.Server | None = None
        self._inode: tuple[int, int] | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._reading: set[asyncio.Task[None]] = set()
        self._answering: set[asyncio.Task[object]] = set()
        self._thread: ThreadPoolExecutor | None = None

    async def open(self) -> None:
        """Listen. A socket that a dead process left is replaced.

        Raises InvalidConfiguration when another process answers there, something else lies there,
        the path is too long, the folder cannot be written or the system has no Unix sockets.
        """
        _check_path(self.path)
        _refuse_living(self.path)
        try:
            # Bound in a private folder and moved when it is closed to others and listening: so
            # nobody ever meets it half ready, and a stale one is replaced in one step.
            with tempfile.TemporaryDirectory(prefix=".", dir=self.path.parent) as folder:
                await self._listen(os.path.join(folder, "s"))
        except OSError as error:
            raise _unusable(self.path, error) from error

    async def _listen(self, temporary: str) -> None:
        listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            listening.bind(temporary)
            os.chmod(temporary, 0o600)
            self._server = await asyncio.start_unix_server(
                self._on_client, sock=listening, limit=control_lines.LINE_MAX_BYTES
            )
            self._inode = _inode(temporary)
            os.replace(temporary, self.path)
        except BaseException:
            if self._server is not None:
                self._server.close()
                self._server = None
            listening.close()
            raise

    async def close(self) -> None:
        """Take no more questions, give up those under way (NodeClosed) and remove the socket."""
        server, self._server = self._server, None
        if server is None:
            return
        with suppress(OSError):
            if _inode(self.path) == self._inode:
                self.path.unlink()
        server.close()
        for task in [*self._reading, *self._answering]:
            task.cancel()
        tasks = self._tasks - {asyncio.current_task()}
        if tasks:
            _, stalled = await asyncio.wait(tasks, timeout=_GRACE_SECONDS)
            for task in stalled:
                task.cancel()
            await asyncio.gather(*stalled, return_exceptions=True)
        if self._thread is not None:
            self._thread.shutdown(wait=False, cancel_futures=True)
            self._thread = None

    # -- one client

    async def _on_client(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            await self._serve(reader, writer)
        except (OSError, asyncio.CancelledError):
            pass  # it has gone, stalls, or we do: nobody is left to be told
        finally:
            self._tasks.discard(task)
            if task.cancelling():
                writer.transport.abort()
            else:
                writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            if len(self._tasks) > self._clients:
                raise BufferFull(f"{self._clients} clients are served already")
            verb, arguments = await self._read_question(reader)
        except EOFError:
            return
        except MeshError as error:
            answer: bytes | None = control_lines.error(error)
        else:
            answer = await self._answer_unless_gone(reader, verb, arguments)
        if answer is None:
            return
        # Drained to the last byte: what a stalled client leaves would stay in memory unseen.
        writer.transport.set_write_buffer_limits(high=0)
        writer.write(answer)
        try:
            async with asyncio.timeout(self._patience):
                await writer.drain()
        except TimeoutError:
            writer.transport.abort()

    async def _read_question(self, reader: asyncio.StreamReader) -> tuple[str, dict[str, Any]]:
        task = asyncio.current_task()
        assert task is not None
        self._reading.add(task)
        try:
            async with asyncio.timeout(self._patience):
                line = await _read_line(reader)
            if control_lines.is_long(line):
                return await self._beside(control_lines.read_question, line)
            return control_lines.read_question(line)
        finally:
            self._reading.discard(task)

    async def _answer_unless_gone(
        self, reader: asyncio.StreamReader, verb: str, arguments: dict[str, Any]
    ) -> bytes | None:
        """The answer's line; None when the client hung up before there was one."""
        answering = asyncio.ensure_future(self._answer(verb, arguments))
        leaving = asyncio.ensure_future(reader.read(1))
        self._answering.add(answering)
        try:
            await asyncio.wait({answering, leaving}, return_when=asyncio.FIRST_COMPLETED)
            if not answering.done():
                return None
            return await self._result(answering.result())
        except asyncio.CancelledError:
            if not answering.cancelled():
                raise
            return control_lines.error(NodeClosed("the node is closing"))
        except MeshError as error:
            return control_lines.error(error)
        except Exception as error:
            logger.exception("the control socket could not answer %r", verb[:40])
            return control_lines.error(
                MeshError(f"the node failed at {verb[:40]!r}: {type(error).__name__}")
            )
        finally:
            self._answering.discard(answering)
            for task in (answering, leaving):
                task.cancel()
            await asyncio.gather(answering, leaving, return_exceptions=True)

    async def _result(self, value: object) -> bytes:
        if control_lines.becomes_long(value):
            return await self._beside(control_lines.long_result, value)
        return control_lines.result(value)

    async def _beside(self, function: Callable[[Any], T], argument: object) -> T:
        """Call it in a thread of our own. There is one: more would crowd out the event loop."""
        if self._thread is None:
            self._thread = ThreadPoolExecutor(1, "noisemesh-control")
        return await asyncio.get_running_loop().run_in_executor(self._thread, function, argument)


# -- the asking side


async def ask(
    path: Path, verb: str, arguments: dict[str, Any] | None = None, timeout: float | None = 30.0
) -> Any:
    """Ask the process that listens at `path`, and wait `timeout` seconds (None: for ever).

    Raises NodeClosed when nobody listens there, CallTimeout, MessageTooLarge, and the MeshError
    that the other side raised.
    """
    _check_path(path)
    question = control_lines.question(verb, arguments or {})
    try:
        async with asyncio.timeout(timeout):
            return await _converse(path, question)
    except TimeoutError as error:
        if isinstance(error, MeshError):
            raise
        raise CallTimeout(f"the node did not answer {verb!r} within {timeout:g} s") from None


async def _converse(path: Path, question: bytes) -> Any:
    try:
        reader, writer = await asyncio.open_unix_connection(
            path, limit=control_lines.LINE_MAX_BYTES
        )
    except (FileNotFoundError, ConnectionRefusedError):
        raise NodeClosed(f"nobody listens at {path}") from None
    except OSError as error:
        raise _unusable(path, error) from error
    try:
        writer.write(question)
        line = await _read_line(reader)
    except (EOFError, OSError):
        raise NodeClosed("the node ended before it answered") from None
    finally:
        writer.close()
    return control_lines.read_answer(line)


async def _read_line(reader: asyncio.StreamReader) -> bytes:
    """One line. Raises EOFError when it never ends, MessageTooLarge when it is too long."""
    try:
        return await reader.readuntil(b"\n")
    except asyncio.LimitOverrunError:
        raise MessageTooLarge(
            f"a line holds at most {control_lines.LINE_MAX_BYTES} bytes"
        ) from None


# -- the file


def _check_path(path: Path) -> None:
    if not hasattr(socket, "AF_UNIX"):
        raise InvalidConfiguration("this system has no Unix sockets for Python: no control socket")
    length = max(len(os.fsencode(path)), len(os.fsencode(path.parent)) + _TEMPORARY_NAME_BYTES)
    if length > PATH_MAX_BYTES:
        raise InvalidConfiguration(
            f"{path} is too long for a socket: at most {PATH_MAX_BYTES} bytes"
        )


def _inode(path: Path | str) -> tuple[int, int]:
    found = os.lstat(path)
    return found.st_dev, found.st_ino


def _refuse_living(path: Path) -> None:
    """Raises InvalidConfiguration unless nothing lies there, or a socket nobody listens at."""
    try:
        found = path.lstat()
    except FileNotFoundError:
        return
    except OSError as error:
        raise _unusable(path, error) from error
    if not stat.S_ISSOCK(found.st_mode):
        raise InvalidConfiguration(f"{path} is not a socket; it is left as it is")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)
        try:
            probe.connect(os.fspath(path))
        except (ConnectionRefusedError, FileNotFoundError):
            return
        except BlockingIOError:
            pass  # its queue is full, so it lives
        except OSError as error:
            raise _unusable(path, error) from error
    raise InvalidConfiguration(f"another process listens at {path}")


def _unusable(path: Path, error: OSError) -> InvalidConfiguration:
    return InvalidConfiguration(
        f"the control socket {path} cannot be used: {error.strerror or type(error).__name__}"
    )
