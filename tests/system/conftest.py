"""Whole nodes on real sockets, in this process and in others."""

import os
import random
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any

import pytest

from hosts import acquaint
from mesh import Node
from namespaces import Network, why_unusable
from node_process import OtherNode
from nodes import Journal

# On a host that nobody else uses.
PORT = 7000


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

    async def start(*prefix: str, **fields: Any) -> OtherNode:
        begun.append(await OtherNode.begin(*prefix, **fields))
        return begun[-1]

    yield start
    for other in begun:
        await other.end()


@pytest.fixture
async def start_hosts() -> AsyncIterator[Callable[..., Awaitable[tuple[Any, ...]]]]:
    """Start nodes on hosts of a network: it, and the nodes, which trust each other, connected.

    Each has dialled those that are named after it.
    """
    if why := why_unusable():
        pytest.skip(why)
    async with AsyncExitStack() as stack:

        async def start(*names: str, **fields: Any) -> tuple[Any, ...]:
            network = stack.enter_context(Network.of(*names))
            nodes = []
            for name in names:
                # Not any free port: another run of the node is looked for at the same endpoint.
                listen = f"tcp://{network[name].address}:{PORT}"
                prefix = network[name].prefix
                nodes.append(await OtherNode.begin(*prefix, name=name, listen=listen, **fields))
                stack.push_async_callback(nodes[-1].end)
            await acquaint(*nodes)
            return network, *nodes

        yield start
