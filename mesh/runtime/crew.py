"""Tasks that share one queue: as many as wait for something, never more than a limit.

Work that never suspends costs no task of its own: one task drains the queue. Should it suspend
with units waiting, another joins. Tasks that find nothing rest and are woken again.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Coroutine, Iterable
from typing import Any, Generic, Protocol, TypeVar

# Tasks kept for the next burst of work; making one costs a few microseconds.
_RESTING_TASKS = 64


class Work(Protocol):
    """A unit of work; `size`: how much of a turn it takes."""

    size: int


Unit = TypeVar("Unit", bound=Work)

logger = logging.getLogger("noisemesh")


class Crew(Generic[Unit]):
    """At most `limit` tasks that call `work(unit)`; `turn`: size of what they do at a stretch.

    What `work` raises is logged, and the others go on; CancelledError ends the task that it was
    meant for, and another takes its place. `at_work`: the task of whichever `work` has just begun.
    """

    def __init__(
        self, limit: int, turn: int, work: Callable[[Unit], Coroutine[Any, Any, None]]
    ) -> None:
        self._limit = limit
        self._turn = turn
        self._work = work
        self._loop = asyncio.get_running_loop()
        self._queue: deque[Unit] = deque()
        self._resting: deque[asyncio.Future[None]] = deque()
        self._tasks: set[asyncio.Task[None]] = set()
        self._joining = False
        self._pausing = 0
        self.at_work: asyncio.Task[None] | None = None
        self.retired = False
        self.stopped = False

    def put(self, units: Iterable[Unit]) -> None:
        """Queue units, in order."""
        self._queue.extend(units)
        self._join()

    def put_one(self, unit: Unit) -> None:
        """Queue a single unit."""
        self._queue.append(unit)
        if not self._pausing:
            self._join()

    def put_back(self, unit: Unit) -> None:
        """A unit that was not finished is the next again."""
        self._queue.appendleft(unit)

    def clear(self) -> list[Unit]:
        """Take what is queued out again."""
        units = list(self._queue)
        self._queue.clear()
        return units

    @property
    def waiting(self) -> bool:
        """Whether units are queued that nobody works on."""
        return bool(self._queue)

    def retire(self) -> None:
        """Nothing new comes: the tasks end when the queue is empty."""
        self.retired = True
        while self._resting:
            _wake(self._resting.popleft())

    def stop(self) -> list["asyncio.Task[None]"]:
        """Cancel everything but the caller. The cancelled tasks, to be awaited."""
        self.stopped = True
        tasks = [task for task in self._tasks if task is not asyncio.current_task()]
        for task in tasks:
            task.cancel()
        return tasks

    def join_later(self) -> None:
        """Should the task that calls this suspend with units waiting, another one takes them."""
        if self._joining or not self._queue:
            return
        if self._resting or len(self._tasks) < self._limit:
            self._joining = True
            self._loop.call_soon(self._joined)

    def _joined(self) -> None:
        self._joining = False
        self._join()

    def _join(self) -> None:
        """One more task for what waits: a resting one, or a new one within the limit."""
        if not self._queue or self.stopped or self._pausing:
            return
        while self._resting:
            if _wake(self._resting.popleft()):
                return
        if len(self._tasks) < self._limit:
            task = self._loop.create_task(self._serve())
            self._tasks.add(task)
            task.add_done_callback(self._left)

    def _left(self, task: "asyncio.Task[None]") -> None:
        self._tasks.discard(task)
        # Looked at, or the loop complains of an error that has ended the whole program already.
        if task.cancelled() or task.exception() is None:
            self._join()

    async def _serve(self) -> None:
        queue = self._queue
        work = self._work
        task = asyncio.current_task()
        assert task is not None
        while not self.stopped:
            left = self._turn
            while queue and left > 0:
                unit = queue.popleft()
                left -= unit.size
                if queue:
                    self.join_later()
                self.at_work = task
                try:
                    await work(unit)
                except Exception:
                    logger.exception("a unit of work was given up")
                if self.stopped or task.cancelling():
                    return
            if queue:
                # Everybody else has a turn; nobody needs to join meanwhile.
                self._pausing += 1
                try:
                    await asyncio.sleep(0)
                finally:
                    self._pausing -= 1
            elif self.retired or len(self._resting) >= _RESTING_TASKS:
                return
            else:
                future: asyncio.Future[None] = self._loop.create_future()
                self._resting.append(future)
                await future


def _wake(future: "asyncio.Future[None]") -> bool:
    if future.done():
        return False
    future.set_result(None)
    return True
