"""How deep a call is: by the context it is made in, as long as somebody is handled there."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context

import pytest

from mesh.constants import DEPTH_MAX
from mesh.errors import Denied
from mesh.runtime.nesting import begin, depth_of_call


async def handle(depth, work):
    """What a task that handles something of this depth makes of some work."""
    handling = begin(depth)
    try:
        return await work()
    finally:
        handling.over = True


async def depth():
    """Of a call made here."""
    return depth_of_call()


async def test_outside_of_handlers_calls_are_at_depth_0():
    """Where nothing is handled."""
    assert depth_of_call() == 0


@pytest.mark.parametrize("at", range(DEPTH_MAX))
async def test_a_call_in_a_handler_goes_one_deeper(at):
    """Down to the last depth."""
    assert await asyncio.create_task(handle(at, depth)) == at + 1


async def test_deeper_than_the_last_depth_is_denied():
    """The chain ends there; what went on before it is not harmed."""
    with pytest.raises(Denied, match=str(DEPTH_MAX)):
        await asyncio.create_task(handle(DEPTH_MAX, depth))
    assert depth_of_call() == 0


async def test_what_a_handler_starts_is_inside_of_it():
    """Tasks of its own, and theirs, while it waits for them."""

    async def nested():
        return await asyncio.create_task(handle_nothing())

    async def handle_nothing():
        return await asyncio.gather(depth(), asyncio.create_task(depth()))

    assert await asyncio.create_task(handle(2, nested)) == [3, 3]


async def test_what_a_handler_leaves_behind_is_inside_of_nothing():
    """Nobody waits for it any more: it may go on for ever, and begin chains of its own."""
    returned = asyncio.Event()
    left = []

    async def go_on():
        before = depth_of_call()
        await returned.wait()
        return before, depth_of_call()

    async def work():
        left.append(asyncio.create_task(go_on()))
        await asyncio.sleep(0)

    await asyncio.create_task(handle(DEPTH_MAX - 1, work))
    returned.set()
    assert await left[0] == (DEPTH_MAX, 0)


async def test_a_task_that_handles_one_after_the_other_forgets_the_first():
    """The depth is that of what is handled now."""

    async def serve():
        seen = []
        for at in (3, 0, 1):
            seen.append(await handle(at, depth))
            seen.append(depth_of_call())
        return seen

    assert await asyncio.create_task(serve()) == [4, 0, 1, 0, 2, 0]


async def test_handlers_side_by_side_do_not_mix():
    """Each task has its own."""
    gate = asyncio.Event()

    async def wait():
        await gate.wait()
        return depth_of_call()

    tasks = [asyncio.create_task(handle(at, wait)) for at in range(DEPTH_MAX)]
    await asyncio.sleep(0)
    assert depth_of_call() == 0
    gate.set()
    assert await asyncio.gather(*tasks) == [*range(1, DEPTH_MAX + 1)]


async def test_a_thread_carries_the_depth_to_the_loop_and_back():
    """A plain function that has a coroutine run in the loop is inside as well."""
    loop = asyncio.get_running_loop()

    def plain():
        return depth_of_call(), asyncio.run_coroutine_threadsafe(depth(), loop).result(10)

    async def work():
        return await loop.run_in_executor(threads, copy_context().run, plain)

    with ThreadPoolExecutor(1) as threads:
        assert await asyncio.create_task(handle(1, work)) == (2, 2)
        assert await loop.run_in_executor(threads, depth_of_call) == 0
