"""A TCP relay between two nodes: it can cut, tamper with, repeat and record what passes.

It takes ZMTP apart just far enough to know where a part begins; commands (heartbeats among them)
and greetings pass untouched.
"""

import asyncio
import socket
import struct
from collections.abc import Callable
from contextlib import suppress
from typing import Self

from mesh.io.control_socket import stop_listening

_GREETING_BYTES = 64
_MORE, _LONG, _COMMAND = 1, 2, 4
_RESET = struct.pack("ii", 1, 0)

TO_LISTENER, TO_DIALLER = "to listener", "to dialler"
Alter = Callable[[str, bytes], list[bytes]]


class Relay:
    """Listens, and connects whoever comes with `endpoint`. `alter`: what to forward of a frame.

    `frames`: every frame that came, with its direction, before it was altered.
    """

    def __init__(self, endpoint: str, alter: Alter | None = None) -> None:
        host, _, port = endpoint.removeprefix("tcp://").rpartition(":")
        self.alter = alter or (lambda _towards, body: [body])
        self.frames: list[tuple[str, bytes]] = []
        self.connections = 0
        self._target = host, int(port)
        self._server: asyncio.Server | None = None
        self._left = False
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def endpoint(self) -> str:
        """Where to dial instead."""
        assert self._server is not None
        return f"tcp://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        return self

    async def __aexit__(self, *_failure: object) -> None:
        assert self._server is not None
        self._left = True
        await stop_listening(self._server)
        self.cut(reset=True)
        await asyncio.gather(*self._tasks)

    def cut(self, *, reset: bool = False) -> int:
        """End every connection, with RST where `reset`. How many there were."""
        ended = len(self._writers) // 2
        for writer in list(self._writers):
            if reset and not writer.transport.is_closing():
                plain = writer.get_extra_info("socket")
                plain.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            writer.transport.abort() if reset else writer.close()
        return ended

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # No coroutine: `cut` would not know of the connection before its first step.
        if self._left:
            writer.transport.abort()
            return
        self._writers.add(writer)
        task = asyncio.get_running_loop().create_task(self._join(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _join(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            with suppress(OSError):
                onward_reader, onward = await asyncio.open_connection(*self._target)
                self._writers.add(onward)
                self.connections += 1
                async with asyncio.TaskGroup() as both:
                    both.create_task(self._carry(reader, onward, TO_LISTENER))
                    both.create_task(self._carry(onward_reader, writer, TO_DIALLER))
                self._writers.discard(onward)
        finally:
            writer.close()
            self._writers.discard(writer)

    async def _carry(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, towards: str
    ) -> None:
        with suppress(asyncio.IncompleteReadError, OSError):
            # In pieces: each side waits for the other's first bytes before it goes on.
            left = _GREETING_BYTES
            while left and (piece := await reader.read(left)):
                left -= len(piece)
                writer.write(piece)
            while True:
                head = await reader.readexactly(1)
                size_bytes = await reader.readexactly(8 if head[0] & _LONG else 1)
                body = await reader.readexactly(int.from_bytes(size_bytes, "big"))
                if head[0] & _COMMAND:
                    writer.write(head + size_bytes + body)
                else:
                    self.frames.append((towards, body))
                    for altered in self.alter(towards, body):
                        writer.write(part(altered))
                await writer.drain()
        writer.close()


def part(body: bytes, *, more: bool = False) -> bytes:
    """A part of a ZMTP message, in the long form."""
    return struct.pack(">BQ", _LONG | (_MORE if more else 0), len(body)) + body
