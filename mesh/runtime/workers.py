"""Handlers of direct messages at work: one worker for each handler and peer, in order.

A run is the unit: it is queued, handled to its end and told to the peer as one. The worker yields
between them, so that a flood for one handler leaves the loop to others. A handler that may have
several messages at a time takes them one by one instead.
"""

import asyncio
import inspect
import logging
from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from typing import Any

from mesh.counters import Counters
from mesh.engine.events import RunReceived
from mesh.model import Peer
from mesh.runtime.crew import Crew
from mesh.runtime.handlers import Handler

logger = logging.getLogger("noisemesh")

# Messages of one peer handled at a stretch before others have their turn, to the end of a run.
_TURN_MESSAGES = 64


class _Load:
    """What is left to handle of a run, or one message of it and how many of the run are `left`."""

    __slots__ = ("bodies", "left", "run", "size")

    def __init__(self, run: RunReceived, bodies: Iterator[Any], left: list[int] | None) -> None:
        self.run = run
        self.bodies = bodies
        self.left = left
        self.size = len(run.bodies) if left is None else 1


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
            self._crew.put_one(_Load(run, iter(run.bodies), None))
        else:
            left = [len(run.bodies)]
            self._crew.put([_Load(run, iter((body,)), left) for body in run.bodies])

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

    async def _work(self, load: _Load) -> None:
        handle = self._handle
        while True:
            try:
                for body in load.bodies:
                    await handle(body)
                break
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
        self._done_with(load)

    async def _work_in_thread(self, load: _Load) -> None:
        loop = asyncio.get_running_loop()
        errors: list[BaseException] = []
        arguments = self._handle, load.bodies, errors
        try:
            await loop.run_in_executor(self._threads, self._handle_all, *arguments)
        finally:
            for error in errors:
                self._failed(error)
        self._done_with(load)

    def _handle_all(
        self, handle: Callable[[Any], Any], bodies: Iterator[Any], errors: list[BaseException]
    ) -> None:
        """One hop into a thread for all of them."""
        for body in bodies:
            if self._crew.stopped:
                return
            try:
                call(handle, body)
            except (SystemExit, KeyboardInterrupt):
                raise
            except BaseException as error:
                errors.append(error)

    def _done_with(self, load: _Load) -> None:
        if load.left is not None:
            load.left[0] -= 1
            if load.left[0]:
                return
        self._unfinished -= 1
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
