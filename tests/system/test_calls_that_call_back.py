"""Nodes full of requests whose handlers call each other: every depth has room of its own."""

import asyncio

import pytest

from mesh import Denied
from nodes import join, until

AT_A_TIME = 8
CALLS = 100
DEEPEST = 4


class Digging:
    """A node whose service calls its caller back, one deeper, until it is deep enough.

    The first of a chain wait until `full`: by then the places for their handlers are taken.
    """

    def __init__(self, node, full):
        self.node = node
        self.at_work = 0
        self.denied = []
        self._full = full

        @node.serve("dig")
        async def dig(body, *, peer):
            at = body["at"]
            if at == 0:
                await self._wait()
            if at == body["until"]:
                return [[node.name, at]]
            try:
                reply = await node.call(peer, "dig", {"at": at + 1, "until": body["until"]})
            except Denied:
                self.denied.append(at)
                return [[node.name, at, "denied"]]
            return [[node.name, at], *reply]

    async def _wait(self):
        self.at_work += 1
        await self._full.wait()

    def call(self, peer, until_depth):
        """Begin as many calls as fill the peer, each with something to carry."""
        body = {"at": 0, "until": until_depth, "ballast": bytes(1000)}
        return [
            asyncio.create_task(self.node.call(peer, "dig", body, timeout=60)) for _ in range(CALLS)
        ]


@pytest.fixture
async def both(start_node):
    """Two nodes with few places and a small window, and the event that lets handlers go on."""
    full = asyncio.Event()
    limits = {"max_concurrent_calls": AT_A_TIME, "window_bytes": 1 << 16}
    limits["max_message_bytes"] = 1 << 14
    alice, bob = [Digging(await start_node(name, **limits), full) for name in ("alice", "bob")]
    await join(alice.node, bob.node)
    return alice, bob, full


async def fill(alice, bob, until_depth):
    """Both are full: no handler's place is left, and no room for another request either way."""
    calls = alice.call("bob", until_depth), bob.call("alice", until_depth)
    ways = [
        one.node.running.engine.outgoing(other.node.id)
        for one, other in [(alice, bob), (bob, alice)]
    ]
    await until(lambda: alice.at_work == bob.at_work == AT_A_TIME)
    await until(lambda: all(way.starved for way in ways))
    return calls


def chain(first, second, depth):
    """What such a chain of calls answers: who was asked at each depth, the caller's peer first."""
    return [[(second if at % 2 == 0 else first).node.name, at] for at in range(depth + 1)]


@pytest.mark.parametrize("depth", [1, DEEPEST])
async def test_full_nodes_whose_handlers_call_back_go_on(both, depth):
    """Short chains and the longest that are allowed: none waits for another one's room."""
    alice, bob, full = both
    from_alice, from_bob = await fill(alice, bob, depth)
    full.set()
    for answer in await asyncio.gather(*from_alice):
        assert answer == chain(alice, bob, depth)
    for answer in await asyncio.gather(*from_bob):
        assert answer == chain(bob, alice, depth)
    assert alice.at_work == bob.at_work == CALLS


async def test_a_chain_that_is_too_deep_is_denied_at_its_end(both):
    """The fifth call inside others raises Denied where it is made, and the chain comes back."""
    alice, bob, full = both
    from_alice, from_bob = await fill(alice, bob, DEEPEST + 1)
    full.set()
    for calls, pair in ((from_alice, (alice, bob)), (from_bob, (bob, alice))):
        *others, last = chain(*pair, DEEPEST)
        for answer in await asyncio.gather(*calls):
            assert answer == [*others, [*last, "denied"]]
    assert alice.denied == bob.denied == [DEEPEST] * CALLS


async def test_a_message_whose_handler_calls_back_goes_on_too(both):
    """Messages wait for their handler, which calls their sender, whose handlers are as busy."""
    alice, bob, full = both
    answers = {alice: [], bob: []}
    for one, heard in answers.items():
        one.node.on("ask")(_asking(one.node, heard))
    from_alice, from_bob = await fill(alice, bob, 1)
    full.set()
    for number in range(CALLS):
        await alice.node.send("bob", "ask", number)
        await bob.node.send("alice", "ask", number)
    await until(lambda: all(len(heard) == CALLS for heard in answers.values()))
    await asyncio.gather(*from_alice, *from_bob)
    for heard in answers.values():
        assert heard == [*range(CALLS)]


def _asking(node, heard):
    async def ask(body, *, peer):
        heard.append(await node.call(peer, "echo", body))

    return ask
