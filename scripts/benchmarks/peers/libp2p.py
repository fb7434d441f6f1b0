"""py-libp2p: TCP, noise and yamux, which are its own first choices, between two hosts.

The library is of trio, so each side has a thread in which trio runs; the benchmark's own loop
sleeps meanwhile. One stream carries what goes one way, another one calls: frames with their length
ahead, calls with a call id (a stream for each call would add its negotiation to every call). A
reader parses all the frames of each read. Identities are Ed25519; a host lets in whoever proves
one. A new session is a connection of the same host, which is closed after one call; almost all of
its time are pauses of fixed length that the library makes when it connects and disconnects.
"""

import asyncio
import logging
import threading
from collections.abc import Awaitable, Callable
from importlib.metadata import version
from time import perf_counter
from typing import Any

import cbor2
import trio
from libp2p import generate_new_ed25519_identity, new_host
from libp2p.crypto.x25519 import create_new_key_pair
from libp2p.custom_types import TProtocol
from libp2p.network.stream.exceptions import StreamError
from libp2p.peer.peerinfo import info_from_p2p_addr
from libp2p.security.noise.transport import PROTOCOL_ID, Transport
from multiaddr import Multiaddr

from benchmarks.peers import Facts
from benchmarks.peers.asyncio_sides import CountingFromThreads
from benchmarks.workloads import KIB, Workload

_DATA, _CALLS = TProtocol("/bench/data"), TProtocol("/bench/calls")
_AT_ONCE = 64 * KIB
_HEAD, _ID = 4, 8
# It tells of every stream that ends as of an error.
logging.getLogger("libp2p").setLevel(logging.CRITICAL)


def versions() -> dict[str, str]:
    """What this peer is made of."""
    return {"libp2p": version("libp2p"), "trio": version("trio"), "cbor2": version("cbor2")}


def _frame(body: bytes) -> bytes:
    return len(body).to_bytes(_HEAD, "big") + body


class _Frames:
    """What a stream brings, cut into frames."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self._rest = bytearray()

    async def next(self) -> list[bytes]:
        """All the frames that are complete by the next read; none when the stream has ended."""
        frames: list[bytes] = []
        rest = self._rest
        while not frames:
            try:
                data = await self._stream.read(_AT_ONCE)
            except StreamError:
                return []
            if not data:
                return []
            rest += data
            start = 0
            while len(rest) - start >= _HEAD:
                end = start + _HEAD + int.from_bytes(rest[start : start + _HEAD], "big")
                if end > len(rest):
                    break
                frames.append(bytes(rest[start + _HEAD : end]))
                start = end
            del rest[:start]
        return frames


class _Host:
    """A host in a thread of trio's."""

    def __init__(self) -> None:
        identity = generate_new_ed25519_identity()
        noise = Transport(identity, create_new_key_pair().private_key)
        self.host = new_host(key_pair=identity, sec_opt={PROTOCOL_ID: noise})
        self._token: Any = None
        self._over: Any = None
        self._began = threading.Event()
        self._thread = threading.Thread(target=trio.run, args=(self._main,), daemon=True)

    async def _main(self) -> None:
        self._token, self._over = trio.lowlevel.current_trio_token(), trio.Event()
        async with self.host.run(listen_addrs=[Multiaddr("/ip4/127.0.0.1/tcp/0")]):
            self._began.set()
            await self._over.wait()

    async def start(self) -> Facts:
        """Listen. Where, and as whom."""
        self._thread.start()
        await asyncio.to_thread(self._began.wait)
        return {"address": str(self.host.get_addrs()[0])}

    async def run(self, what: Callable[..., Awaitable[Any]], *arguments: Any) -> Any:
        """Let trio run this."""
        return await asyncio.to_thread(
            trio.from_thread.run, what, *arguments, trio_token=self._token
        )

    async def close(self) -> None:
        """End the host and its thread."""
        self._token.run_sync_soon(self._over.set)
        await asyncio.to_thread(self._thread.join)


class Libp2pReceiver(CountingFromThreads):
    """A handler for each kind of stream."""

    def __init__(self) -> None:
        super().__init__()
        self._trio = _Host()
        self._trio.host.set_stream_handler(_DATA, self._handle)
        self._trio.host.set_stream_handler(_CALLS, self._echo)

    async def start(self) -> Facts:
        """Open. What a sender must know to reach and to prove us."""
        return await self._trio.start()

    async def _handle(self, stream: Any) -> None:
        frames = _Frames(stream)
        while bodies := await frames.next():
            handle = self.add
            for body in bodies:
                handle(cbor2.loads(body) if self.as_dict else body)

    async def _echo(self, stream: Any) -> None:
        frames = _Frames(stream)
        while bodies := await frames.next():
            for _ in bodies:
                self.called()
            await stream.write(b"".join(map(_frame, bodies)))

    async def allow(self, sender: Facts) -> None:
        """Whoever proves an identity may enter."""

    async def close(self) -> None:
        """End the host."""
        await self._trio.close()


class Libp2pSender:
    """Programs of trio's, each run there from beginning to end."""

    def __init__(self) -> None:
        self._trio = _Host()

    async def start(self) -> Facts:
        """Open."""
        return await self._trio.start()

    async def connect(self, receiver: Facts) -> None:
        """Dial, and open both streams."""
        self._receiver = info_from_p2p_addr(Multiaddr(receiver["address"]))
        await self._trio.run(self._open)

    async def _open(self) -> None:
        host, peer = self._trio.host, self._receiver.peer_id
        await host.connect(self._receiver)
        self._data = await host.new_stream(peer, [_DATA])
        self._calls = await host.new_stream(peer, [_CALLS])

    async def send(self, workload: Workload) -> None:
        """Write every body."""
        await self._trio.run(self._send, workload)

    async def _send(self, workload: Workload) -> None:
        write = self._data.write
        body: Any = workload.body
        for _ in range(workload.count):
            await write(_frame(cbor2.dumps(body) if workload.as_dict else body))

    async def ask(self, workload: Workload) -> list[float]:
        """Call one at a time. Seconds of each."""
        answer: list[float] = await self._trio.run(self._ask, workload)
        return answer

    async def _ask(self, workload: Workload) -> list[float]:
        frames, write, body = _Frames(self._calls), self._calls.write, workload.call_body
        seconds = []
        for number in range(workload.count):
            began = perf_counter()
            await write(_frame(number.to_bytes(_ID, "big") + body))
            await frames.next()
            seconds.append(perf_counter() - began)
        return seconds

    async def ask_many(self, workload: Workload) -> float:
        """Call with many in flight: as many tasks, each with one call at a time."""
        answer: float = await self._trio.run(self._ask_many, workload)
        return answer

    async def _ask_many(self, workload: Workload) -> float:
        frames, body = _Frames(self._calls), workload.call_body
        waiting: dict[bytes, trio.Event] = {}
        numbers = iter(range(workload.count))

        async def read_replies() -> None:
            left = workload.count
            while left:
                for reply in await frames.next():
                    waiting.pop(reply[:_ID]).set()
                    left -= 1

        async def work() -> None:
            for number in numbers:
                key = number.to_bytes(_ID, "big")
                answered = waiting[key] = trio.Event()
                await self._calls.write(_frame(key + body))
                await answered.wait()

        began = perf_counter()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(read_replies)
            for _ in range(workload.in_flight):
                nursery.start_soon(work)
        return perf_counter() - began

    async def open_sessions(self, workload: Workload) -> float:
        """Leave, connect, call, again and again."""
        answer: float = await self._trio.run(self._open_sessions, workload)
        return answer

    async def _open_sessions(self, workload: Workload) -> float:
        host, peer = self._trio.host, self._receiver.peer_id
        await host.disconnect(peer)
        began = perf_counter()
        for number in range(workload.count):
            await host.connect(self._receiver)
            stream = await host.new_stream(peer, [_CALLS])
            await stream.write(_frame(number.to_bytes(_ID, "big") + workload.call_body))
            await _Frames(stream).next()
            await host.disconnect(peer)
        seconds = perf_counter() - began
        await self._open()
        return seconds

    async def close(self) -> None:
        """End the host."""
        await self._trio.close()
