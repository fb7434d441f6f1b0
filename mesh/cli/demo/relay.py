"""A TCP relay that records what passes, and the plain run that shows that recording works."""

import asyncio
import contextlib
from collections.abc import Coroutine, Iterable
from typing import Self

from mesh.io.control_socket import stop_listening

# Recording is bounded; what passes beyond is only counted.
RECORD_BYTES = 16 << 20
_READ_BYTES = 64 * 1024
_HOST = "127.0.0.1"


class Recording:
    """One direction. `total`: bytes that passed; `data`: the first of them."""

    def __init__(self, most: int = RECORD_BYTES) -> None:
        self.data = bytearray()
        self.total = 0
        self._most = most

    def add(self, data: bytes) -> None:
        """Note some bytes."""
        self.total += len(data)
        self.data += data[: max(0, self._most - len(self.data))]


class Relay:
    """Passes connections on to `target` (host, port); `port` is where it listens itself.

    `forward`: what came from those who connected; `backward`: what the target answered.
    """

    def __init__(self, target: tuple[str, int]) -> None:
        self.forward = Recording()
        self.backward = Recording()
        self.connections = 0
        self.port = 0
        self._target = target
        self._server: asyncio.Server | None = None
        self._left = False
        self._tasks: set[asyncio.Task[None]] = set()
        self._transports: set[asyncio.WriteTransport] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, _HOST, 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_error: object) -> None:
        self._left = True
        if self._server is not None:
            await stop_listening(self._server)
        for task in self._tasks:
            task.cancel()
        for transport in self._transports:
            transport.abort()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def passing(self, data: bytes, *, forward: bool) -> bytes:
        """What is passed on of some bytes. A relay that means ill overrides it."""
        (self.forward if forward else self.backward).add(data)
        return data

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # No coroutine: leaving would not know of it before its first step, nor close what it holds.
        self._transports.add(writer.transport)
        if self._left:
            writer.transport.abort()
            return
        self.connections += 1
        task = asyncio.create_task(self._join(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _join(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # A connection that ends on one side ends on the other; whoever wants it dials again.
        with contextlib.closing(writer), contextlib.suppress(OSError):
            far_reader, far_writer = await asyncio.open_connection(*self._target)
            self._transports.add(far_writer.transport)
            with contextlib.closing(far_writer):
                await _until_one_ends(
                    self._pass_on(reader, far_writer, forward=True),
                    self._pass_on(far_reader, writer, forward=False),
                )

    async def _pass_on(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, forward: bool
    ) -> None:
        while data := await reader.read(_READ_BYTES):
            writer.write(self.passing(data, forward=forward))
            await writer.drain()


async def _until_one_ends(*ways: Coroutine[None, None, None]) -> None:
    tasks = [asyncio.create_task(way) for way in ways]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def record_plain_run(pieces: Iterable[bytes]) -> Recording:
    """Send these pieces through such a relay in the clear. What it recorded."""
    arrived = asyncio.Event()

    async def swallow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.closing(writer), contextlib.suppress(OSError):
            while await reader.read(_READ_BYTES):
                pass
        arrived.set()

    sink = await asyncio.start_server(swallow, _HOST, 0)
    async with sink, Relay((_HOST, sink.sockets[0].getsockname()[1])) as relay:
        _, writer = await asyncio.open_connection(_HOST, relay.port)
        with contextlib.closing(writer):
            for piece in pieces:
                writer.write(piece)
                await writer.drain()
        await arrived.wait()
    return relay.forward
