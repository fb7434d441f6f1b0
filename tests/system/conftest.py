"""Whole nodes on real sockets, in this process and in others."""

import os
import random
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from mesh import Node
from node_process import OtherNode
from nodes import Journal


@pytest.fixture
def dice() -> random.Random:
    """Chance from a seed, which is printed where a test fails; NOISEMESH_SEED sets it."""
    seed = int(os.environ.get("NOISEMESH_SEED") or random.randrange(1 << 32))
    sys.stdout.write(f"NOISEMESH_SEED={seed}\n")
    return random.Random(seed)


@pytest.fixture
async def make_node() -> AsyncIterator[Callable[..., Node]]:
    """Make nodes that are closed at the end; a test starts them itself."""
    made: list[Node] = []

    def make(name: str, **fields: Any) -> Node:
        node = Node(name, **{"home": ":memory:", **fields})

        @node.serve("echo")
        async def echo(body: Any) -> Any:
            return body

        made.append(node)
        return node

    yield make
    for node in reversed(made):
        await node.close()


@pytest.fixture
async def start_node(make_node: Callable[..., Node]) -> Callable[..., Awaitable[Node]]:
    """Make and start nodes that are closed at the end."""

    async def start(name: str, **fields: Any) -> Node:
        node = make_node(name, **fields)
        await node.start()
        return node

    return start


@pytest.fixture
async def alice(start_node: Callable[..., Awaitable[Node]]) -> Node:
    """A running node that trusts nobody yet."""
    return await start_node("alice")


@pytest.fixture
async def bob(start_node: Callable[..., Awaitable[Node]]) -> Node:
    """A second one."""
    return await start_node("bob")


@pytest.fixture
async def carol(start_node: Callable[..., Awaitable[Node]]) -> Node:
    """A third one."""
    return await start_node("carol")


@pytest.fixture
def journal(bob: Node) -> Journal:
    """What bob is told under "log"."""
    return Journal(bob)


@pytest.fixture
async def start_process() -> AsyncIterator[Callable[..., Awaitable[OtherNode]]]:
    """Start nodes in processes of their own, which end with the test."""
    begun: list[OtherNode] = []

    async def start(**fields: Any) -> OtherNode:
        begun.append(await OtherNode.begin(**fields))
        return begun[-1]

    yield start
    for other in begun:
        await other.end()
