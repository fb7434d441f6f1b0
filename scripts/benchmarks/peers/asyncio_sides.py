"""What all peers in asyncio share: counting in handlers, and the programs that call and stream.

A peer adds how a body travels: `call`, `put`. The programs are those a user would write, the same
for everybody.
"""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable
from time import perf_counter

from benchmarks.peers import END, Received
from benchmarks.tally import Arrived, Tally
from benchmarks.workloads import Kind, Workload

_CALLING = frozenset({Kind.ROUND_TRIP, Kind.CALLS, Kind.BESIDE_BULK, Kind.SESSIONS})


class Counting:
    """Counts in handlers. `add`: a body is in the handler's hands; `called`: a call is answered.

    `as_dict`: what is expected are dicts, for whoever has to decode them.

    Whoever handles in another thread hands over `wake`, which runs a function in the loop.
    """

    def __init__(self) -> None:
        self._done = asyncio.Event()
        self._ended = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._tally: Tally | None = None
        self._calls = self._calls_left = 0
        self._bulk = self._bulk_before = self._bulk_last = 0
        self._first = self._last = 0.0
        self.as_dict = False

    async def expect(self, workload: Workload) -> None:
        """Be ready to count."""
        self._done.clear()
        self._ended.clear()
        self._loop = asyncio.get_running_loop()
        self._calls = self._calls_left = workload.count if workload.kind in _CALLING else 0
        self._bulk = 0
        self.as_dict = workload.as_dict
        self._tally = Tally(workload, self._wake(self._done))
        self.add = self._add_bulk if workload.kind is Kind.BESIDE_BULK else self._tally.add
        if workload.kind is not Kind.BESIDE_BULK:
            self._ended.set()

    def _wake(self, event: asyncio.Event) -> Callable[[], object]:
        return event.set

    def _add_bulk(self, body: Arrived) -> None:
        if len(body) == len(END):
            self._wake(self._ended)()
        else:
            self._bulk += 1

    def called(self) -> None:
        """One call is being answered."""
        if self._calls_left == self._calls:
            self._first, self._bulk_before = perf_counter(), self._bulk
        self._calls_left -= 1
        if not self._calls_left:
            self._last, self._bulk_last = perf_counter(), self._bulk
            self._wake(self._done)()

    async def receive(self) -> Received:
        """Wait until all that was expected has been handled."""
        await self._done.wait()
        assert self._tally is not None
        return self._tally.received()

    async def answer(self) -> Received:
        """Echo as many calls as were expected; what was handled of the bulk meanwhile."""
        await self._done.wait()
        await self._ended.wait()
        return Received(self._bulk_last - self._bulk_before, self._first, self._last)


class CountingFromThreads(Counting):
    """The same for a library that calls handlers in threads of its own."""

    def _wake(self, event: asyncio.Event) -> Callable[[], object]:
        loop = self._loop
        assert loop is not None
        return lambda: loop.call_soon_threadsafe(event.set)


class Calling(ABC):
    """Calls and streams."""

    @abstractmethod
    async def call(self, body: bytes) -> object:
        """One call, answered."""

    @abstractmethod
    async def put(self, body: bytes) -> None:
        """One body one way, waiting where the peer's own back-pressure makes senders wait."""

    async def ask(self, workload: Workload) -> list[float]:
        """Call one at a time. Seconds of each."""
        call, body = self.call, workload.call_body
        seconds = []
        for _ in range(workload.count):
            began = perf_counter()
            await call(body)
            seconds.append(perf_counter() - began)
        return seconds

    async def ask_many(self, workload: Workload) -> float:
        """Call with many in flight: as many tasks, each with one call at a time."""
        call, body = self.call, workload.call_body
        numbers = iter(range(workload.count))

        async def work() -> None:
            for _ in numbers:
                await call(body)

        began = perf_counter()
        async with asyncio.TaskGroup() as group:
            for _ in range(workload.in_flight):
                group.create_task(work())
        return perf_counter() - began

    async def ask_beside(self, workload: Workload) -> list[float]:
        """Call one at a time beside a task that streams. Seconds of each call."""
        over = False

        async def stream() -> None:
            body = workload.bulk_body
            while not over:
                await self.put(body)
                # Not every library suspends while it has room, and a program that streams gives
                # way to its other tasks.
                await asyncio.sleep(0)
            await self.put(END)

        async with asyncio.TaskGroup() as group:
            group.create_task(stream())
            try:
                seconds = await self.ask(workload)
            finally:
                over = True
        return seconds
