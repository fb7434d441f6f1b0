"""Nodes in processes of their own that are told what to do, and what they must have heard."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
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


async def heard(hearer: OtherNode, speaker: OtherNode) -> int:
    """How many words of one of the subjects a node has heard from another one."""
    return int((await hearer.ask("tally", speaker.name))[0])


async def until_heard(*nodes: OtherNode, more: int = 500) -> None:
    """Wait until all have heard so much more from each other."""
    await _until_grown([partial(heard, *pair) for pair in permutations(nodes, 2)], more)


async def until_counted(name: str, *nodes: OtherNode, more: int = 1) -> None:
    """Wait until this counter of each of the nodes has grown by so much."""
    await _until_grown([partial(counter, node, name) for node in nodes], more)


async def until_missed(*nodes: OtherNode) -> None:
    """Wait until none of them counts another one as connected."""
    for pair in permutations(nodes, 2):
        await until_so(partial(_counts_as_connected, *pair, False))


async def until_met(*nodes: OtherNode) -> None:
    """Wait until each counts all others as connected."""
    for pair in permutations(nodes, 2):
        await until_so(partial(_counts_as_connected, *pair, True))


async def until_forgotten(*nodes: OtherNode) -> None:
    """Wait until none of them has keys to speak to another one."""
    for pair in permutations(nodes, 2):
        await until_so(partial(_has_no_session, *pair))


async def _until_grown(numbers: list[Callable[[], Awaitable[int]]], more: int) -> None:
    before = [await number() for number in numbers]
    for number, known in zip(numbers, before, strict=True):
        await until_so(partial(_reaches, number, known + more))


async def _reaches(number: Callable[[], Awaitable[int]], least: int) -> bool:
    return await number() >= least


async def _counts_as_connected(node: OtherNode, peer: OtherNode, expected: bool) -> bool:
    return (await node.ask("presence", peer.name) == "connected") is expected


async def _has_no_session(node: OtherNode, peer: OtherNode) -> bool:
    return await node.ask("sessions", peer.name) == 0


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
