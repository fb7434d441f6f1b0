"""Workers: however much one peer sends, others have their turn."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import pytest

from worker_bench import Bench

pytestmark = pytest.mark.usefixtures("quiet_loop")


@pytest.fixture
def threads():
    """For plain functions, of which there are none here."""
    with ThreadPoolExecutor(1) as pool:
        yield pool


async def test_a_flood_of_runs_leaves_turns_to_others(threads):
    """A handler that never suspends has the loop for one run at a time, or a few short ones."""
    seen = []

    async def log(body):
        seen.append(body)

    bench = Bench(log, threads)
    bench.put(*[[0] * 100] * 10, *[[0]] * 640)
    lengths = [0]
    while bench.worker.busy:
        await asyncio.sleep(0)
        lengths.append(len(seen))
    steps = [later - earlier for earlier, later in pairwise(lengths)]
    assert max(steps) == 100
    assert len(steps) >= 20
    await bench.stop()


@pytest.mark.parametrize("ends", ["", "cancelled", "stopped"])
async def test_a_long_run_leaves_turns_to_others(threads, ends):
    """A frame of thousands is no stretch of thousands; whoever is cancelled between loses none."""
    seen = []

    async def log(body):
        seen.append(body)

    bench = Bench(log, threads)
    bench.put(list(range(3000)))
    lengths = [0]
    while bench.worker.busy and len(lengths) < 1000:
        await asyncio.sleep(0)
        lengths.append(len(seen))
        if ends and len(lengths) == 4:
            assert 0 < len(seen) < 3000
            if ends == "stopped":
                break
            (task,) = asyncio.all_tasks() - {asyncio.current_task()}
            task.cancel()
    assert max(later - earlier for earlier, later in pairwise(lengths)) <= 600
    assert (bench.finished == [1]) is (ends != "stopped")
    assert seen == list(range(len(seen) if ends == "stopped" else 3000))
    assert bench.counters["handlers.raised"] == 0
    await bench.stop()


@pytest.mark.parametrize("every", [1, 100])
async def test_a_handler_that_raises_leaves_turns_to_others(threads, every):
    """Each failure gives one, however many there are, and no message is lost for that."""
    seen = []

    async def log(body):
        seen.append(body)
        if body % every == 0:
            raise ValueError(body)

    bench = Bench(log, threads)
    bench.put(list(range(1000)))
    lengths = [0]
    while bench.worker.busy and len(lengths) < 2000:
        await asyncio.sleep(0)
        lengths.append(len(seen))
    assert max(later - earlier for earlier, later in pairwise(lengths)) <= every + 1
    assert seen == list(range(1000))
    assert bench.counters["handlers.raised"] == 1000 // every
    await bench.stop()
