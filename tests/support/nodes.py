"""Nodes on loopback for tests: started, introduced to each other, and closed at the end."""

import asyncio
import hashlib
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from mesh import Node, Peer

PATIENCE_SECONDS = 30.0


class Journal:
    """What one handler of a node was given, in order. `gate`: clear it to hold the handler."""

    def __init__(self, node: Node, subject: str = "log") -> None:
        self.bodies: list[Any] = []
        self.peers: list[Peer] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self._news = asyncio.Event()

        @node.on(subject)
        async def note(body: Any, *, peer: Peer) -> None:
            self.bodies.append(body)
            self.peers.append(peer)
            self._news.set()
            if not self.gate.is_set():
                await self.gate.wait()

    async def until(self, count: int) -> list[Any]:
        """Wait for so many bodies; all that came."""
        await until(lambda: len(self.bodies) >= count, self._news)
        return self.bodies


async def until(
    condition: Callable[[], object], news: asyncio.Event | None = None, seconds: float = 0.0
) -> None:
    """Wait until a condition holds, looked at when there is news, else every few milliseconds."""
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(seconds or PATIENCE_SECONDS):
        while not condition():
            stirred = news or asyncio.Event()
            timer = loop.call_later(0.01, stirred.set)
            stirred.clear()
            await stirred.wait()
            timer.cancel()


class Ticker:
    """Ticks every `seconds` in the loop, and notes when it did.

    `worked`: the same moments on the clock of the processor time that this thread was given.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.times: list[float] = []
        self.worked: list[float] = []
        self._loop = asyncio.get_running_loop()
        self._ticked = asyncio.Event()
        self._timer = self._loop.call_soon(self._tick)

    def _tick(self) -> None:
        self.times.append(self._loop.time())
        self.worked.append(time.thread_time())
        self._ticked.set()
        self._timer = self._loop.call_later(self.seconds, self._tick)

    async def next(self) -> None:
        """Wait for the next tick."""
        self._ticked.clear()
        await self._ticked.wait()

    def stop(self) -> None:
        """Tick no more."""
        self._timer.cancel()


def introduce(*nodes: Node) -> None:
    """Make running nodes trust each other under the names they call themselves."""
    for node in nodes:
        for other in nodes:
            if other is not node:
                node.trust.allow(other.id, name=other.name)


async def join(dialler: Node, listener: Node, via: str | None = None) -> Peer:
    """Introduce two nodes and connect them. The listener, as the dialler sees it."""
    introduce(dialler, listener)
    peer = await dialler.connect(via or listener.endpoints[0], id=listener.id)
    await listener.wait_for(dialler.id)
    return peer


@asynccontextmanager
async def undisturbed(honest: Node, victim: Node) -> AsyncIterator[None]:
    """An honest node calls `echo` of the victim all the while, and must get every answer."""
    over = asyncio.Event()
    peer = await join(honest, victim)
    answers = 0
    ticker = Ticker(0.002)

    async def exchange() -> None:
        nonlocal answers
        while not over.is_set() or answers < 10:
            assert await honest.call(peer, "echo", answers) == answers
            answers += 1
            await ticker.next()

    before = dict(honest.counters())
    task = asyncio.create_task(exchange())
    try:
        yield
    finally:
        over.set()
        await task
        ticker.stop()
    assert honest.counters()["sessions.established"] == before["sessions.established"]


def numbered(count: int, size: int = 64, tag: bytes = b"") -> list[bytes]:
    """Bodies of one size that tell their place."""
    return [(tag + b"%08d" % number).ljust(size, b".") for number in range(count)]


def digest_of(bodies: list[bytes]) -> str:
    """One hash of many bodies and their order."""
    return hashlib.sha256(b"".join(bodies)).hexdigest()
