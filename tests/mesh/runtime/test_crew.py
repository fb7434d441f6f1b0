"""Crew: tasks that share a queue, as many as suspend and never more than the limit."""

import asyncio
from collections.abc import Iterable

import pytest

from mailboxes import turns
from mesh.runtime.crew import Crew

pytestmark = pytest.mark.usefixtures("quiet_loop")


class Job:
    """A unit of work: an error to raise, a number to pass, or text that waits for the gate."""

    size = 1

    def __init__(self, what: object) -> None:
        self.what = what


def jobs(whats: Iterable[object]) -> list[Job]:
    """A job of each."""
    return [Job(what) for what in whats]


class Site:
    """Where jobs are done: what was begun and ended, and how many at a time."""

    def __init__(self, limit: int, turn: int = 64) -> None:
        self.begun: list[object] = []
        self.ended: list[object] = []
        self.at_work = 0
        self.most = 0
        self.gate = asyncio.Event()
        self.crew: Crew[Job] = Crew(limit, turn, self.work)

    async def work(self, job: Job) -> None:
        """Wait for the gate, unless the job is an error to raise or a number to pass."""
        unit = job.what
        self.begun.append(unit)
        self.at_work += 1
        self.most = max(self.most, self.at_work)
        try:
            if isinstance(unit, BaseException):
                raise unit
            if not isinstance(unit, int):
                await self.gate.wait()
        finally:
            self.at_work -= 1
        self.ended.append(unit)


async def test_units_that_never_suspend_need_one_task():
    """They are worked on in order, by the task that is there."""
    site = Site(limit=10)
    site.crew.put(jobs(range(500)))
    await turns(40)
    assert site.ended == list(range(500))
    assert len(site.crew._tasks) == 1
    assert not site.crew.waiting
    await asyncio.gather(*site.crew.stop(), return_exceptions=True)


async def test_others_join_while_units_suspend_up_to_the_limit():
    """Not one more than the limit works at a time; the others follow."""
    site = Site(limit=4)
    site.crew.put(jobs("abcdefghij"))
    await turns(100)
    assert "".join(site.begun) == "abcd"
    assert site.crew.waiting
    site.gate.set()
    await turns(100)
    assert sorted(site.ended) == list("abcdefghij")
    assert site.most == 4
    await asyncio.gather(*site.crew.stop(), return_exceptions=True)


async def test_resting_tasks_are_woken_before_new_ones_are_made():
    """A second wave is worked on by the tasks of the first."""
    site = Site(limit=8)
    site.crew.put(jobs("abc"))
    await turns(50)
    site.gate.set()
    await turns(50)
    first = set(site.crew._tasks)
    site.gate.clear()
    site.crew.put(jobs("def"))
    await turns(50)
    assert site.crew._tasks == first
    assert site.at_work == 3
    await asyncio.gather(*site.crew.stop(), return_exceptions=True)


async def test_a_long_queue_leaves_turns_to_others():
    """After so many units the loop goes on with whatever else it has."""
    site = Site(limit=3, turn=10)
    site.crew.put(jobs(range(95)))
    seen = []
    while site.crew.waiting:
        seen.append(len(site.ended))
        await asyncio.sleep(0)
    assert len(seen) >= 9
    assert len(site.crew._tasks) == 1
    await asyncio.gather(*site.crew.stop(), return_exceptions=True)


async def test_an_error_is_logged_and_the_next_unit_follows(caplog):
    """One unit that fails costs the others nothing."""
    site = Site(limit=1)
    site.crew.put(jobs([ValueError("bad"), 1]))
    await turns()
    assert site.ended == [1]
    assert "given up" in caplog.text
    await asyncio.gather(*site.crew.stop(), return_exceptions=True)


async def test_a_task_that_is_cancelled_from_outside_is_replaced():
    """Its unit is lost, what waits is not."""
    site = Site(limit=1)
    site.crew.put(jobs("ab"))
    await turns()
    (task,) = site.crew._tasks
    task.cancel()
    await turns(10)
    assert site.begun == ["a", "b"]
    assert task.cancelled()
    await asyncio.gather(*site.crew.stop(), return_exceptions=True)


async def test_a_task_that_was_asked_to_end_ends_after_its_unit():
    """Work that swallows a cancellation ends the task all the same; another takes over."""
    site = Site(limit=1)

    async def stubborn(job: Job) -> None:
        try:
            await site.work(job)
        except asyncio.CancelledError:
            site.ended.append("swallowed")

    crew: Crew[Job] = Crew(1, 64, stubborn)
    crew.put(jobs(["a", 1]))
    await turns()
    (task,) = crew._tasks
    task.cancel()
    await turns(10)
    assert site.ended == ["swallowed", 1]
    assert task.done()
    assert not task.cancelled()
    await asyncio.gather(*crew.stop(), return_exceptions=True)


async def test_a_resting_task_that_is_cancelled_is_not_woken():
    """What comes later finds another."""
    site = Site(limit=1)
    site.crew.put(jobs([1]))
    await turns()
    (task,) = site.crew._tasks
    task.cancel()
    site.crew.put(jobs([2]))
    await turns(10)
    assert site.ended == [1, 2]
    await asyncio.gather(*site.crew.stop(), return_exceptions=True)


async def test_a_unit_that_is_put_back_is_the_next():
    """Before all that was queued."""
    site = Site(limit=1)
    site.crew.put(jobs([1, 2]))
    site.crew.put_back(Job(0))
    await turns()
    assert site.ended == [0, 1, 2]
    await asyncio.gather(*site.crew.stop(), return_exceptions=True)


async def test_a_retired_crew_ends_when_its_queue_is_empty():
    """Resting tasks at once, the others after what waits."""
    site = Site(limit=2)
    site.crew.put(jobs("ab"))
    await turns(20)
    site.crew.put(jobs("c"))
    site.crew.retire()
    await turns(20)
    tasks = set(site.crew._tasks)
    assert len(tasks) == 2
    site.gate.set()
    await asyncio.wait(tasks, timeout=10)
    assert sorted(site.ended) == ["a", "b", "c"]
    assert not site.crew._tasks


async def test_a_resting_crew_that_is_retired_ends():
    """Nobody waits for ever."""
    site = Site(limit=1)
    site.crew.put(jobs([1]))
    await turns()
    (task,) = site.crew._tasks
    site.crew.retire()
    await asyncio.wait_for(task, 10)


async def test_stopping_cancels_what_runs_and_takes_nothing_new():
    """Every task ends, and what is put after is not begun."""
    site = Site(limit=2)
    site.crew.put(jobs("abc"))
    await turns(20)
    tasks = site.crew.stop()
    await asyncio.wait(tasks, timeout=10)
    site.crew.put(jobs("d"))
    await turns(20)
    assert [task.cancelled() for task in tasks] == [True, True]
    assert site.begun == ["a", "b"]
    assert not site.crew._tasks


async def test_a_unit_may_stop_its_own_crew():
    """The task that does it is not cancelled, and ends after the unit."""
    crew: Crew[Job]

    async def stop(_job: Job) -> None:
        assert crew.stop() == []
        await asyncio.sleep(0)

    crew = Crew(1, 64, stop)
    crew.put(jobs([1, 2]))
    (task,) = crew._tasks
    await asyncio.wait_for(task, 10)
    assert crew.waiting


async def test_a_large_unit_takes_the_turn_of_many():
    """What a turn holds is counted in size."""
    site = Site(limit=1, turn=10)
    large, small = Job(1), Job(2)
    large.size = 10
    site.crew.put([large, small])
    await asyncio.sleep(0)
    assert site.ended == [1]
    site.crew.put_one(Job(3))
    await turns()
    assert site.ended == [1, 2, 3]
    await asyncio.gather(*site.crew.stop(), return_exceptions=True)
