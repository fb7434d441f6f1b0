"""Nodes in processes of their own that are told what to do, and what they must have heard."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from itertools import combinations, permutations

from node_process import OtherNode
from nodes import PATIENCE_SECONDS, Ticker
from speech import tallies

_LOOK_SECONDS = 0.05


async def acquaint(*nodes: OtherNode) -> None:
    """Make all trust all; each dials those behind it."""
    for one, other in permutations(nodes, 2):
        await one.ask("allow", other.id, other.name)
    for dialler, listener in combinations(nodes, 2):
        await dialler.ask("connect", listener.endpoint, listener.id)
        await listener.ask("wait_for", dialler.name, PATIENCE_SECONDS)


async def until_so(question: Callable[[], Awaitable[object]]) -> None:
    """Wait until the answer is yes."""
    ticker = Ticker(_LOOK_SECONDS)
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not await question():
            await ticker.next()
    ticker.stop()


async def lasting(seconds: float) -> None:
    """Let a fault last; what comes of it is waited for by other means."""
    ticker = Ticker(seconds)
    await ticker.next()
    await ticker.next()
    ticker.stop()


async def counter(node: OtherNode, name: str) -> int:
    """One counter of a node."""
    return int((await node.ask("counters")).get(name, 0))


async def until_heard(*nodes: OtherNode, more: int = 500) -> None:
    """Wait until all have heard so much more from each other."""

    async def heard(hearer: OtherNode, speaker: OtherNode) -> int:
        return int((await hearer.ask("tally", speaker.name))[0])

    pairs = list(permutations(nodes, 2))
    before = [await heard(*pair) for pair in pairs]
    for pair, known in zip(pairs, before, strict=True):
        await until_so(lambda: _at_least(heard(*pair), known + more))  # noqa: B023


async def until_counted(name: str, *nodes: OtherNode, more: int = 1) -> None:
    """Wait until this counter of each of the nodes has grown by so much."""
    before = [await counter(node, name) for node in nodes]
    for node, known in zip(nodes, before, strict=True):
        await until_so(lambda: _at_least(counter(node, name), known + more))  # noqa: B023


async def until_missed(*nodes: OtherNode) -> None:
    """Wait until none of them counts another one as connected."""
    for one, other in permutations(nodes, 2):
        await until_so(lambda: _meets(one, other, False))  # noqa: B023


async def until_met(*nodes: OtherNode) -> None:
    """Wait until each counts all others as connected."""
    for one, other in permutations(nodes, 2):
        await until_so(lambda: _meets(one, other, True))  # noqa: B023


async def _at_least(count: Awaitable[int], least: int) -> bool:
    return await count >= least


async def _meets(node: OtherNode, peer: OtherNode, expected: bool) -> bool:
    return (await node.ask("presence", peer.name) == "connected") is expected


@asynccontextmanager
async def conversation(*nodes: OtherNode) -> AsyncIterator[None]:
    """All talk to all in the block; in the end each word must have come once, and in order."""
    pairs = list(permutations(nodes, 2))
    talks = [await speaker.later("talk", hearer.name) for speaker, hearer in pairs]
    await until_heard(*nodes)
    yield
    for node in nodes:
        await node.ask("hush")
    for (speaker, hearer), talk in zip(pairs, talks, strict=True):
        said = await talk.outcome()
        for subject, tally in tallies(speaker.name, hearer.name, said).items():
            assert await hearer.ask("tally", speaker.name, subject) == tally
