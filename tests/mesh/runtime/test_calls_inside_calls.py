"""Two running nodes whose handlers call each other: whatever is full, the innermost go on."""

import asyncio

import pytest

import pairs_of_nodes
from mesh.constants import DEPTH_MAX, NESTED_WHOLE_BYTES
from mesh.errors import Denied
from nodes import until

pytestmark = pytest.mark.usefixtures("quiet_loop")

PATIENCE_SECONDS = 15
FULL = {"window_bytes": 64 * 1024, "max_message_bytes": 256 * 1024, "max_concurrent_calls": 2}


class Pair(pairs_of_nodes.Pair):
    """With little room, and the same handlers on both."""

    def __init__(self, **fields):
        super().__init__(**{**FULL, **fields})
        self.both = {"bob": self.alice, "alice": self.bob}


def call(node, other, subject, body):
    """With as much patience as a test has."""
    return node.call(other, subject, body, timeout=PATIENCE_SECONDS)


@pytest.mark.parametrize("size", [3000, NESTED_WHOLE_BYTES + 1, 20_000])
async def test_nodes_full_of_requests_that_call_back_get_through(size):
    """Both windows are full, all slots taken; requests of any size go down to the last depth."""
    pair = Pair()
    for other, node in pair.both.items():

        @node.serve("down")
        async def down(body, *, node=node, other=other):
            depth, filling = body
            return depth and await call(node, other, "down", [depth - 1, filling])

    async with pair:
        calls = [
            call(node, other, "down", [DEPTH_MAX, b"x" * size])
            for _ in range(30)
            for other, node in pair.both.items()
        ]
        assert await asyncio.gather(*calls) == [0] * 60


async def test_handlers_of_messages_call_back_while_everything_is_full():
    """What they call is inside of them; the flood behind them waits."""
    pair = Pair()
    seen = {"alice": 0, "bob": 0}
    for other, node in pair.both.items():

        @node.serve("echo")
        async def echo(body):
            return body

        @node.on("log")
        async def log(body, *, node=node, other=other):
            assert await call(node, other, "echo", body) == body
            seen[other] += 1

    async with pair:

        async def flood(node, other):
            for _ in range(30):
                await node.send(other, "log", b"x" * 9000)

        await asyncio.gather(*(flood(node, other) for other, node in pair.both.items()))
        await until(lambda: set(seen.values()) == {30})


async def test_plain_handlers_carry_their_depth_through_their_threads():
    """One thread at each depth is enough for a chain; the one that goes too deep is denied."""
    pair = Pair(handler_threads=1)
    loop = asyncio.get_running_loop()
    for other, node in pair.both.items():

        @node.serve("down")
        def down(depth, *, node=node, other=other):
            if not depth:
                return ["the end"]
            try:
                deeper = asyncio.run_coroutine_threadsafe(
                    call(node, other, "down", depth - 1), loop
                )
                return [depth, *deeper.result(PATIENCE_SECONDS)]
            except Denied:
                return ["denied"]

    async with pair:
        for _ in range(3):
            calls = [call(node, other, "down", DEPTH_MAX) for other, node in pair.both.items()]
            whole = [*range(DEPTH_MAX, 0, -1), "the end"]
            assert await asyncio.gather(*calls) == [whole, whole]
        too_deep = await call(pair.alice, "bob", "down", DEPTH_MAX + 1)
        assert too_deep == [*range(DEPTH_MAX + 1, 1, -1), "denied"]


async def test_a_task_that_outlives_its_handler_begins_anew():
    """In the handler its calls are inside; when that has returned they are not."""
    pair = Pair()
    returned = asyncio.Event()
    tasks = []

    @pair.alice.serve("depth")
    async def depth(body):
        return body

    @pair.bob.serve("leave")
    async def leave(_body):
        async def go_on():
            await returned.wait()
            for _ in range(3):
                await call(pair.bob, "alice", "depth", 1)

        tasks.append(asyncio.create_task(go_on()))

    async with pair:
        await call(pair.alice, "bob", "leave", None)
        returned.set()
        await tasks[0]
        requests = pair.alice.running.dispatch._requests
        assert {depth for _, depth in requests} == {0}


async def test_calls_inside_calls_are_cancelled_with_them():
    """Of a call that is given up, the whole chain ends."""
    pair = Pair()
    begun, ended = asyncio.Event(), []
    for other, node in pair.both.items():

        @node.serve("down")
        async def down(depth, *, node=node, other=other):
            try:
                if depth:
                    await call(node, other, "down", depth - 1)
                begun.set()
                await asyncio.Event().wait()
            finally:
                ended.append(depth)

    async with pair:
        task = asyncio.create_task(call(pair.alice, "bob", "down", DEPTH_MAX))
        await asyncio.wait_for(begun.wait(), PATIENCE_SECONDS)
        task.cancel()
        await until(lambda: len(ended) == DEPTH_MAX + 1)
        assert sorted(ended) == [*range(DEPTH_MAX + 1)]
