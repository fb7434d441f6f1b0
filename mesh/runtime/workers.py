"""Handlers of direct messages at work: one worker for each handler and peer, in order.

A run is the unit: it is queued, handled to its end and told to the peer as one. The worker yields
between them, and in a long one, so that a flood for one handler leaves the loop to others. A
handler that may have several messages at a time takes them one by one instead.
"""

import asyncio
import inspect
import logging
from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from contextvars import copy_context
from itertools import islice
from typing import Any

from mesh.counters import Counters
from mesh.engine.events import RunReceived
from mesh.errors import MalformedFrame
from mesh.model import Peer
from mesh.runtime import nesting
from mesh.runtime.crew import Crew
from mesh.runtime.handlers import Handler
from mesh.wire.messages import unpacked

logger = logging.getLogger("noisemesh")

# Messages of one peer handled at a stretch before others have their turn: several small runs, or so
# many of a large one.
_TURN_MESSAGES = 64
_STRETCH_MESSAGES = 512


class _Load:
    """A run and what is left of it to handle, in so many units of work."""

    __slots__ = ("_bodies", "dropped", "run", "size", "units")

    def __init__(self, run: RunReceived, units: int) -> None:
        self.run = run
        self.units = units
        self.size = len(run.bodies) // units
        self.dropped = False
        self._bodies: Iterator[Any] | None = None

    def bodies(self) -> Iterator[Any]:
        """Those that nobody has taken; decoded when the first is. Raises MalformedFrame."""
        if self._bodies is None:
            self._bodies = iter(())
            self._bodies = iter(unpacked(self.run.bodies))
        return self._bodies


class Worker:
    """Runs one handler over what one peer sends. `finished(run)`: tells the peer.

    Whatever a handler raises is counted and logged, and the next message is handled; only
    SystemExit and KeyboardInterrupt end the program, as they do everywhere.
    """

    def __init__(
        self,
        handler: Handler,
        peer: Peer,
        finished: Callable[[RunReceived], None],
        counters: Counters,
        threads: Executor,
    ) -> None:
        self._handler = handler
        self._finished = finished
        self._counters = counters
        self._threads = threads
        self._alone = handler.concurrency == 1
        self._unfinished = 0
        work = self._work if handler.suspends else self._work_in_thread
        self._crew = Crew(handler.concurrency, _TURN_MESSAGES, work)
        self.peer = peer

    @property
    def peer(self) -> Peer:
        """Who sends, as the handler is told from the next run on."""
        return self._peer

    @peer.setter
    def peer(self, peer: Peer) -> None:
        self._peer = peer
        self._handle = self._handler.bind(peer)

    def put(self, run: RunReceived) -> None:
        """Queue a run; what may be queued is bounded by the peer's credit."""
        self._unfinished += 1
        if self._alone:
            self._crew.put_one(_Load(run, 1))
        else:
            units = len(run.bodies)
            self._crew.put([_Load(run, units)] * units)

    @property
    def busy(self) -> bool:
        """Whether it still has a run to handle."""
        return self._unfinished > 0

    def stop(self) -> list["asyncio.Task[None]"]:
        """Cancel what runs; a thread ends after the message it is at. What to wait for."""
        return self._crew.stop()

    def retire(self) -> None:
        """Nothing new comes: end when what is queued has been handled."""
        self._crew.retire()

    def give_up(self) -> None:
        """Forget what is queued and cancel what runs; a thread ends after the message it is at."""
        self._counters["dropped.ended"] += sum(load.size for load in self._crew.clear())
        self._unfinished = 0
        self._crew.stop()

    async def _work(self, load: _Load) -> None:
        handling = nesting.begin(0)
        try:
            await self._handle_run(load)
        finally:
            handling.over = True

    async def _handle_run(self, load: _Load) -> None:
        handle = self._handle
        bodies = self._take(load)
        left = load.size
        while left > 0:
            try:
                for body in islice(bodies, _STRETCH_MESSAGES):
                    await handle(body)
            except (SystemExit, KeyboardInterrupt, GeneratorExit):
                raise
            except BaseException as error:
                stopped = self._crew.stopped
                if stopped and isinstance(error, asyncio.CancelledError):
                    raise
                self._failed(error)
                if stopped or _is_cancelled():
                    self._crew.put_back(load)
                    return
                await self._pause(load)
                continue
            left -= _STRETCH_MESSAGES
            if left > 0:
                await self._pause(load)
        self._done_with(load)

    async def _pause(self, load: _Load) -> None:
        """Others have a turn. Who is cancelled meanwhile leaves the rest to the next task."""
        try:
            await asyncio.sleep(0)
        except asyncio.CancelledError:
            if not self._crew.stopped:
                self._crew.put_back(load)
            raise

    async def _work_in_thread(self, load: _Load) -> None:
        handling = nesting.begin(0)
        try:
            await self._hop(load)
        finally:
            handling.over = True

    async def _hop(self, load: _Load) -> None:
        loop = asyncio.get_running_loop()
        bodies = self._take(load)
        # A hop into a thread for each turn: peers share the threads, first come, first served.
        while turn := list(islice(bodies, _TURN_MESSAGES)):
            errors: list[BaseException] = []
            try:
                await loop.run_in_executor(
                    self._threads,
                    copy_context().run,
                    self._handle_all,
                    self._handle,
                    turn,
                    errors,
                )
            finally:
                for error in errors:
                    self._failed(error)
        self._done_with(load)

    def _handle_all(
        self, handle: Callable[[Any], Any], bodies: list[Any], errors: list[BaseException]
    ) -> None:
        for body in bodies:
            if self._crew.stopped:
                return
            try:
                call(handle, body)
            except (SystemExit, KeyboardInterrupt):
                raise
            except BaseException as error:
                errors.append(error)

    def _take(self, load: _Load) -> Iterator[Any]:
        """The bodies of one unit of work: none if they cannot be decoded."""
        try:
            bodies = load.bodies()
        except MalformedFrame:
            self._counters["dropped.malformed"] += len(load.run.bodies)
            load.dropped = True
            return iter(())
        return bodies if self._alone else iter(list(islice(bodies, 1)))

    def _done_with(self, load: _Load) -> None:
        load.units -= 1
        if load.units:
            return
        self._unfinished = max(0, self._unfinished - 1)
        if not load.dropped:
            self._counters["handled.messages"] += len(load.run.bodies)
        self._finished(load.run)

    def _failed(self, error: BaseException) -> None:
        self._counters["handlers.raised"] += 1
        logger.error(
            "the handler of %r raised on a message from %s",
            self._handler.subject,
            self._peer,
            exc_info=error,
        )


def call(handle: Callable[[Any], Any], body: Any) -> Any:
    """Call a handler in a thread. Raises TypeError for one that has to be awaited after all."""
    result = handle(body)
    if inspect.iscoroutine(result):
        result.close()
        raise TypeError("the handler returned a coroutine: define it with `async def`")
    return result


def _is_cancelled() -> bool:
    """Whether somebody asks the running task itself to end."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
