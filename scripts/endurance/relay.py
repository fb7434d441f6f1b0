"""A TCP relay between two nodes: it cuts, stalls, delays and tears what passes.

It takes ZMTP apart just far enough to know where a part begins; commands (heartbeats among them)
and greetings pass unaltered. What becomes of a frame is said by `faults`.
"""

import asyncio
import socket
import struct
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from typing import NamedTuple, Self

from mesh.io.control_socket import stop_listening

_GREETING_BYTES = 64
_MORE, _LONG, _COMMAND = 1, 2, 4
_RESET = struct.pack("ii", 1, 0)
# Parts that wait in one direction of one connection before no more is read.
_LINE_PARTS = 64
_READ_BYTES = 1 << 20

TO_LISTENER, TO_DIALLER = "to listener", "to dialler"
BOTH = (TO_LISTENER, TO_DIALLER)


class Torn(NamedTuple):
    """Of this part the first `kept` bytes leave; then the connection ends."""

    body: bytes
    kept: int


Alter = Callable[[str, bytes], Sequence[bytes | Torn]]


def unaltered(_towards: str, body: bytes) -> list[bytes | Torn]:
    """Every frame passes as it came."""
    return [body]


def part(body: bytes, *, more: bool = False) -> bytes:
    """A part of a ZMTP message, in the long form."""
    return struct.pack(">BQ", _LONG | (_MORE if more else 0), len(body)) + body


class Relay:
    """Listens, and connects whoever comes with `endpoint`.

    `alter`: what to forward of a frame, asked with its direction. `delay_seconds`: how long
    everything takes. `connections`: how many there were.
    """

    def __init__(self, endpoint: str, alter: Alter = unaltered) -> None:
        host, _, port = endpoint.removeprefix("tcp://").rpartition(":")
        self.alter = alter
        self.delay_seconds = 0.0
        self.connections = 0
        self.target = host, int(port)
        self.gates = {towards: asyncio.Event() for towards in BOTH}
        self._server: asyncio.Server | None = None
        self._left = False
        self._living: dict[_Connection, asyncio.Task[None]] = {}
        self._ending: set[asyncio.Task[None]] = set()
        self.go_on()

    @property
    def endpoint(self) -> str:
        """Where to dial instead."""
        assert self._server is not None
        return f"tcp://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    @property
    def carried(self) -> int:
        """Frames that the living connections have carried in the direction that has fewer."""
        return sum(
            min(flow.frames for flow in connection.flows)
            for connection in self._living
            if connection.flows
        )

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0, limit=_READ_BYTES)
        return self

    async def __aexit__(self, *_failure: object) -> None:
        assert self._server is not None
        self._left = True
        await stop_listening(self._server)
        self.cut(reset=True)
        await asyncio.gather(*self._ending, return_exceptions=True)

    def cut(self, *, reset: bool = False) -> int:
        """End every connection, with RST where `reset`. How many stood."""
        ended = 0
        for connection in list(self._living):
            ended += bool(connection.flows)
            self.end(connection, reset=reset)
        return ended

    def stall(self, towards: Iterable[str] = BOTH) -> None:
        """Hold all that goes there, on this connection and the next ones."""
        for direction in towards:
            self.gates[direction].clear()

    def go_on(self, towards: Iterable[str] = BOTH) -> None:
        """Hold it no longer: it leaves as if nothing had been."""
        for direction in towards:
            self.gates[direction].set()

    def abandon(self) -> int:
        """Neither forward nor end the connections that stand, ever: as if a cable were pulled."""
        for connection in self._living:
            for flow in connection.flows:
                flow.gate = asyncio.Event()
        return len(self._living)

    def inject(self, towards: str, body: bytes) -> int:
        """Put a frame of ours among the others. On how many connections."""
        flows = [
            flow
            for connection in self._living
            for flow in connection.flows
            if flow.towards == towards and flow.frames
        ]
        for flow in flows:
            flow.put(part(body))
        return len(flows)

    def end(self, connection: "_Connection", *, reset: bool = False) -> None:
        """End one connection on both sides."""
        task = self._living.pop(connection, None)
        if task is None:
            return
        connection.close(reset=reset)
        task.cancel()
        self._ending.add(task)
        task.add_done_callback(self._ending.discard)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # No coroutine: `cut` would not know of the connection before its first step.
        if self._left:
            writer.transport.abort()
            return
        connection = _Connection(self, reader, writer)
        self._living[connection] = asyncio.get_running_loop().create_task(connection.join())


class _Connection:
    """One that came to the relay, and the one that the relay made for it."""

    def __init__(
        self, relay: Relay, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self.flows: list[_Flow] = []
        self.ended = False
        self._relay = relay
        self._reader = reader
        self._writers = [writer]

    async def join(self) -> None:
        """Carry both ways until one side ends."""
        try:
            with suppress(OSError):
                onward_reader, onward = await asyncio.open_connection(
                    *self._relay.target, limit=_READ_BYTES
                )
                dialler = self._writers[0]
                self._writers.append(onward)
                self.flows = [
                    _Flow(self._relay, self, TO_LISTENER, self._reader, onward),
                    _Flow(self._relay, self, TO_DIALLER, onward_reader, dialler),
                ]
                self._relay.connections += 1
                async with asyncio.TaskGroup() as both:
                    for flow in self.flows:
                        both.create_task(flow.read())
                        both.create_task(flow.write())
        finally:
            self._relay.end(self)

    def close(self, *, reset: bool) -> None:
        """End both sides: with RST, or with all that was written before a FIN."""
        self.ended = True
        for writer in self._writers:
            if reset and not writer.transport.is_closing():
                plain = writer.get_extra_info("socket")
                plain.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            writer.transport.abort() if reset else writer.close()


class _Flow:
    """One direction of a connection: what was read stands in line, and leaves in that order."""

    def __init__(
        self,
        relay: Relay,
        connection: _Connection,
        towards: str,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        self.towards = towards
        self.frames = 0
        self.gate = relay.gates[towards]
        self._relay = relay
        self._connection = connection
        self._reader = reader
        self._writer = writer
        self._loop = asyncio.get_running_loop()
        # When it may leave, the bytes, and whether they are the last.
        self._line: asyncio.Queue[tuple[float, bytes, bool]] = asyncio.Queue()

    def put(self, data: bytes, *, last: bool = False) -> None:
        """Put bytes in line; after the `last` ones the connection ends."""
        self._line.put_nowait((self._loop.time() + self._relay.delay_seconds, data, last))

    async def read(self) -> None:
        """Take parts from the one side until it ends."""
        with suppress(asyncio.IncompleteReadError, OSError):
            # In pieces: each side waits for the other's first bytes before it goes on.
            left = _GREETING_BYTES
            while left and (piece := await self._reader.read(left)):
                left -= len(piece)
                self.put(piece)
            while True:
                head = await self._reader.readexactly(1)
                size_bytes = await self._reader.readexactly(8 if head[0] & _LONG else 1)
                body = await self._reader.readexactly(int.from_bytes(size_bytes, "big"))
                if self._connection.ended:
                    return
                if head[0] & _COMMAND:
                    self.put(head + size_bytes + body)
                else:
                    self.frames += 1
                    if self._put_altered(body):
                        return
                if self._line.qsize() >= _LINE_PARTS:
                    await self._line.join()
        self.put(b"", last=True)

    def _put_altered(self, body: bytes) -> bool:
        """Whether that was the last of this connection."""
        for altered in self._relay.alter(self.towards, body):
            if isinstance(altered, Torn):
                whole = part(altered.body)
                self.put(whole[: len(whole) - len(altered.body) + altered.kept], last=True)
                return True
            self.put(part(altered))
        return False

    async def write(self) -> None:
        """Give the other side what stands in line, when it may leave."""
        with suppress(OSError):
            while True:
                due, data, last = await self._line.get()
                if due > self._loop.time():
                    await asyncio.sleep(due - self._loop.time())
                await self.gate.wait()
                self._writer.write(data)
                await self._writer.drain()
                self._line.task_done()
                if last:
                    break
        self._relay.end(self._connection)
