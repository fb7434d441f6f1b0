"""asyncio streams over TLS 1.3, certificates on both sides, frames with their length ahead.

The cipher is OpenSSL's first choice, AES-256-GCM where the processor has it. A writer is drained
only when its buffer is over the high-water mark (`drain` for every message costs more than the
message), and a large body is written in slices, since asyncio copies what is left of a write for
every record that leaves; a reader takes as much as is there and parses all the frames in it. Calls
have a connection of their own, as with ZeroMQ, with a call id ahead of the body.
"""

import asyncio
import ssl
from collections.abc import AsyncIterator
from importlib.metadata import version
from time import perf_counter
from typing import Any

import cbor2

from benchmarks.certificates import ADDRESS, Papers, make_certificates
from benchmarks.peers import Facts
from benchmarks.peers.asyncio_sides import Calling, Counting
from benchmarks.workloads import KIB, Workload

_DATA, _CALLS = b"d", b"c"
_AT_ONCE = 256 * KIB
_HIGH_WATER = 256 * KIB
_SLICE = 64 * KIB
_HEAD = 4


def versions() -> dict[str, str]:
    """What this peer is made of."""
    return {"OpenSSL": ssl.OPENSSL_VERSION.split()[1], "cbor2": version("cbor2")}


def _context(papers: Papers, purpose: ssl.Purpose) -> ssl.SSLContext:
    context = ssl.create_default_context(purpose, cafile=papers.authority)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_cert_chain(papers.certificate, papers.key)
    return context


def _frame(body: bytes) -> bytes:
    return len(body).to_bytes(_HEAD, "big") + body


async def _write_large(writer: asyncio.StreamWriter, body: bytes) -> None:
    writer.write(len(body).to_bytes(_HEAD, "big"))
    whole = memoryview(body)
    for start in range(0, len(body), _SLICE):
        writer.write(whole[start : start + _SLICE])
        await writer.drain()


async def _frames(reader: asyncio.StreamReader) -> AsyncIterator[list[bytes]]:
    """All the frames of each read, until the other side closes."""
    rest = b""
    while data := await reader.read(_AT_ONCE):
        frames = []
        data, start = rest + data if rest else data, 0
        while len(data) - start >= _HEAD:
            length = int.from_bytes(data[start : start + _HEAD], "big")
            end = start + _HEAD + length
            if end > len(data):
                break
            frames.append(data[start + _HEAD : end])
            start = end
        else:
            length = 0
        rest = data[start:]
        if frames:
            yield frames
        if length > _AT_ONCE:
            # What is missing of a large body is read into one buffer, and not added piece by piece.
            missing = length + _HEAD - len(rest)
            yield [rest[_HEAD:] + await reader.readexactly(missing)]
            rest = b""


class TlsReceiver(Counting):
    """Handles what the reader brings; the first byte of a connection says what it is for."""

    def __init__(self) -> None:
        super().__init__()
        self._papers = make_certificates()
        self._servers: list[asyncio.Server] = []

    async def start(self) -> Facts:
        """Open. What a sender must know to reach and to prove us."""
        return {**await self._listen(), "papers": tuple(self._papers.sender)}

    async def _listen(self) -> Facts:
        context = _context(self._papers.receiver, ssl.Purpose.CLIENT_AUTH)
        server = await asyncio.start_server(
            self._serve, ADDRESS, 0, ssl=context, limit=2 * _AT_ONCE
        )
        self._servers.append(server)
        return {"port": server.sockets[0].getsockname()[1]}

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            serve = self._echo if await reader.readexactly(1) == _CALLS else self._handle
            await serve(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # the other side has gone, as it does when all is measured
        finally:
            writer.close()

    async def _handle(self, reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        async for frames in _frames(reader):
            handle = self.add
            if self.as_dict:
                for frame in frames:
                    handle(cbor2.loads(frame))
            else:
                for frame in frames:
                    handle(frame)

    async def _echo(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async for frames in _frames(reader):
            for frame in frames:
                self.called()
                writer.write(_frame(frame))
            await writer.drain()

    async def allow(self, sender: Facts) -> None:
        """Whoever has a certificate of our authority may enter."""

    async def open_many(self, number: int) -> list[Facts]:
        """As many listeners more."""
        return [await self._listen() for _ in range(number)]

    async def close(self) -> None:
        """Stop listening."""
        for server in self._servers:
            server.close()


class TlsSender(Calling):
    """Writes frames; calls are futures that one task completes."""

    def __init__(self) -> None:
        self._waiting: dict[bytes, asyncio.Future[bytes]] = {}
        self._number = 0
        self._many: list[asyncio.StreamWriter] = []

    async def start(self) -> Facts:
        """Nothing is open before the listener is known."""
        return {}

    async def connect(self, receiver: Facts) -> None:
        """One connection for what goes one way, one for calls."""
        self._context = _context(Papers(*receiver["papers"]), ssl.Purpose.SERVER_AUTH)
        self._port = receiver["port"]
        _, self._data = await self._dial(self._port, _DATA)
        replies, self._calls = await self._dial(self._port, _CALLS)
        self._replies = asyncio.create_task(self._read_replies(replies))

    async def _dial(
        self, port: int, purpose: bytes
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        reader, writer = await asyncio.open_connection(
            ADDRESS, port, ssl=self._context, limit=2 * _AT_ONCE
        )
        writer.transport.set_write_buffer_limits(high=_HIGH_WATER)
        writer.write(purpose)
        return reader, writer

    async def _read_replies(self, reader: asyncio.StreamReader) -> None:
        async for frames in _frames(reader):
            for frame in frames:
                self._waiting.pop(frame[:8]).set_result(frame[8:])

    async def send(self, workload: Workload) -> None:
        """Write every body."""
        await self._send([self._data], workload)

    @staticmethod
    async def _send(writers: list[asyncio.StreamWriter], workload: Workload) -> None:
        body: Any = workload.body
        if len(body) > _AT_ONCE:
            for _ in range(workload.count):
                for writer in writers:
                    await _write_large(writer, body)
            return
        for _ in range(workload.count):
            encoded = cbor2.dumps(body) if workload.as_dict else body
            frame = len(encoded).to_bytes(_HEAD, "big") + encoded
            for writer in writers:
                writer.write(frame)
                if writer.transport.get_write_buffer_size() > _HIGH_WATER:
                    await writer.drain()

    async def call(self, body: bytes) -> object:
        """One call, answered."""
        self._number += 1
        key = self._number.to_bytes(8, "big")
        future = self._waiting[key] = asyncio.get_running_loop().create_future()
        self._calls.write(_frame(key + body))
        return await future

    async def put(self, body: bytes) -> None:
        """One body one way."""
        await _write_large(self._data, body)

    async def open_sessions(self, workload: Workload) -> float:
        """A connection for each, without resuming an older one's session."""
        body = workload.call_body
        began = perf_counter()
        for _ in range(workload.count):
            reader, writer = await self._dial(self._port, _CALLS)
            writer.write(_frame(body))
            await reader.readexactly(_HEAD + len(body))
            writer.close()
            await writer.wait_closed()
        return perf_counter() - began

    async def connect_many(self, receivers: list[Facts]) -> None:
        """A connection to each of them."""
        self._many = [(await self._dial(facts["port"], _DATA))[1] for facts in receivers]

    async def send_to_all(self, workload: Workload) -> None:
        """Write every body to each."""
        await self._send(self._many, workload)

    async def close(self) -> None:
        """Close the connections."""
        self._replies.cancel()
        for writer in (self._data, self._calls, *self._many):
            writer.close()
