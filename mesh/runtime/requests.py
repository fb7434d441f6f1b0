"""Requests of one peer and depth at work: a bounded number at a time, each answered by one reply.

A handler that never suspends costs no task of its own (see `crew`). Requests end when the caller
says that it does not wait any more, when it is gone, or when the time it gave them is over.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import Executor
from contextvars import copy_context
from typing import Any, NamedTuple

from mesh.counters import Counters
from mesh.engine.events import RunReceived
from mesh.errors import CallFailed, MalformedFrame, MeshError
from mesh.exchange.calls import decode_item, describe_failure
from mesh.limits import CALLS_PER_PEER
from mesh.runtime import nesting, workers
from mesh.runtime.crew import Crew
from mesh.runtime.handlers import Handler
from mesh.runtime.mailbox import Mailbox
from mesh.wire import messages

logger = logging.getLogger("noisemesh")

# Requests handled side by side before others have their turn.
_TURN_REQUESTS = 64
# How often requests whose time is over are looked for: their callers have given up, so it is not
# urgent, and a timer for each would cost more than most handlers do.
_SWEEP_SECONDS = 1.0


class _Waiting(NamedTuple):
    """A run of requests that is still as it arrived, and when that was (loop time)."""

    run: RunReceived
    handler: Handler | None
    arrived: float


class _Work:
    """One request, and the task that answers it while it runs. `left`: others of its run."""

    __slots__ = ("body", "call_id", "cancelled", "handler", "left", "run", "task", "until")
    size = 1

    def __init__(
        self,
        call_id: int,
        body: Any,
        run: RunReceived,
        left: list[int],
        handler: Handler | None,
        until: float,
    ) -> None:
        self.call_id = call_id
        self.body = body
        self.run = run
        self.left = left
        self.handler = handler
        self.until = until
        self.task: asyncio.Task[None] | None = None
        self.cancelled = False


class Requests:
    """What one instance of a peer asks at one depth; `mailbox`: where its replies go.

    `finished(run)`: all requests of a run are answered. `limit`: how many at a time. Requests are
    decoded when their turn comes near, so what waits takes as much memory as on the wire.
    """

    def __init__(
        self,
        mailbox: Mailbox,
        finished: Callable[[RunReceived], None],
        counters: Counters,
        threads: Executor,
        limit: int,
        depth: int = 0,
    ) -> None:
        self._mailbox = mailbox
        self._finished = finished
        self._counters = counters
        self._threads = threads
        self._limit = limit
        self._depth = depth
        self._loop = asyncio.get_running_loop()
        self._crew: Crew[_Work] = Crew(limit, _TURN_REQUESTS, self._answer)
        self._known: dict[int, _Work] = {}
        self._line: deque[_Waiting] = deque()
        # Calls that were cancelled while their requests wait in the line.
        self._cancelled_early: set[int] = set()
        self._sweeper: asyncio.TimerHandle | None = None

    # -- what arrives

    def put(self, run: RunReceived, handler: Handler | None) -> None:
        """A run of requests; `handler` None: nobody serves them."""
        self._line.append(_Waiting(run, handler, self._loop.time()))
        self._move_up()

    def _move_up(self) -> None:
        """Decode those whose turn is near."""
        while self._line and len(self._known) <= self._limit:
            self._begin(*self._line.popleft())
        if not self._line:
            self._cancelled_early.clear()
        if self._sweeper is None and self._known and not self._crew.stopped:
            self._sweeper = self._loop.call_later(_SWEEP_SECONDS, self._sweep)

    def _begin(self, run: RunReceived, handler: Handler | None, arrived: float) -> None:
        left = [len(run.bodies)]
        try:
            items = messages.unpacked(run.bodies)
        except MalformedFrame:
            items = [None] * left[0]
        accepted: list[_Work] = []
        for item in items:
            try:
                call_id, patience_ms, body = decode_item(item)
            except MalformedFrame:
                self._drop(run, left)
                continue
            work = _Work(call_id, body, run, left, handler, arrived + patience_ms / 1000)
            # Two calls of one number could not be told apart: an honest peer has none.
            if self._known.setdefault(call_id, work) is work:
                accepted.append(work)
            else:
                self._drop(run, left)
        if self._cancelled_early:
            for work in accepted:
                if work.call_id in self._cancelled_early:
                    self._cancelled_early.discard(work.call_id)
                    self._cancel(work)
        self._crew.put(accepted)

    def _drop(self, run: RunReceived, left: list[int]) -> None:
        self._counters["dropped.malformed"] += 1
        self._done_with(run, left)

    def cancel(self, call_ids: Iterable[int]) -> None:
        """The caller does not wait any more for these calls, if they are here."""
        for call_id in call_ids:
            work = self._known.get(call_id)
            if work is not None:
                self._cancel(work)
            elif self._line and len(self._cancelled_early) < CALLS_PER_PEER:
                self._cancelled_early.add(call_id)

    def retire(self) -> None:
        """The caller is gone: end everything."""
        for waiting in self._line:
            self._counters["dropped.ended"] += len(waiting.run.bodies)
            self._finished(waiting.run)
        self._line.clear()
        for work in list(self._known.values()):
            self._cancel(work)
        self._crew.retire()

    def give_up(self) -> None:
        """Handlers that do not heed their cancellation are not waited for."""
        self._known.clear()
        self._crew.stop()

    def _cancel(self, work: _Work) -> None:
        if not work.cancelled:
            work.cancelled = True
            self._counters["calls.cancelled"] += 1
            if work.task is not None:
                work.task.cancel()

    def _sweep(self) -> None:
        """Cancel what has outlived its caller's patience; that CANCEL may have found no room."""
        now = self._loop.time()
        for work in self._known.values():
            if work.until < now:
                self._cancel(work)
        again = self._known and not self._crew.stopped
        self._sweeper = self._loop.call_later(_SWEEP_SECONDS, self._sweep) if again else None

    @property
    def busy(self) -> bool:
        """Whether a request is queued or being answered."""
        return bool(self._known or self._line)

    def stop(self) -> list["asyncio.Task[None]"]:
        """Cancel everything. The tasks, to be awaited."""
        if self._sweeper is not None:
            self._sweeper.cancel()
            self._sweeper = None
        return self._crew.stop()

    # -- the tasks

    async def _answer(self, work: _Work) -> None:
        """Handle one request to its end, whatever its handler does."""
        task = self._crew.at_work
        # However long its reply takes, only a caller that still waits is worked for; and what it
        # does not take of the replies that are there is not made more.
        if self._mailbox.replies_wait:
            await self._mailbox.few_replies_wait()
        if work.until < self._loop.time():
            self._cancel(work)
        if not work.cancelled:
            work.task = task
            try:
                await self._reply(work)
            except asyncio.CancelledError:
                # For this request's sake: its task ends with it, and another takes what waits.
                if self._crew.stopped:
                    raise
            work.task = None
        self._known.pop(work.call_id, None)
        work.left[0] -= 1
        if not work.left[0]:
            self._finished(work.run)
        if self._line:
            self._move_up()
        elif not self._known:
            self._mailbox.expect()

    def _done_with(self, run: RunReceived, left: list[int]) -> None:
        left[0] -= 1
        if not left[0]:
            self._finished(run)

    async def _reply(self, work: _Work) -> None:
        subject, call_id = work.run.subject, work.call_id
        if work.handler is None:
            self._counters["dropped.no_handler"] += 1
            status, body = messages.REPLY_NO_HANDLER, None
        else:
            status, body = await self._handle(work.handler, work)
        try:
            await self._mailbox.reply(subject, call_id, status, body)
        except MeshError:
            self._counters["replies.undelivered"] += 1

    async def _handle(self, handler: Handler, work: _Work) -> tuple[int, Any]:
        """Run the handler: a reply's status and body."""
        peer = self._mailbox.peer
        body = work.body
        self._counters["handled.calls"] += 1
        handle = handler.bind(peer)
        handling = nesting.begin(self._depth)
        try:
            if handler.suspends:
                return messages.REPLY_OK, await handle(body)
            error, result = await self._loop.run_in_executor(
                self._threads, copy_context().run, _in_thread, handle, body
            )
            if error is None:
                return messages.REPLY_OK, result
        except (SystemExit, KeyboardInterrupt, GeneratorExit):
            raise
        except asyncio.CancelledError:
            if work.cancelled or self._crew.stopped:
                raise
            return messages.REPLY_CANCELLED, None
        except BaseException as raised:
            error = raised
        finally:
            handling.over = True
        self._counters["handlers.raised"] += 1
        if isinstance(error, CallFailed):
            # Its traceback ends at the call; what failed there stands in the other node's log.
            why = "the handler of %r ended with a call that failed, on a call from %s: %s"
            logger.error(why, work.run.subject, peer, error)
        else:
            why = "the handler of %r raised on a call from %s"
            logger.error(why, work.run.subject, peer, exc_info=error)
        return messages.REPLY_FAILED, describe_failure(error)


def _in_thread(handle: Callable[[Any], Any], body: Any) -> tuple[BaseException | None, Any]:
    """What a handler returned or raised; some exceptions cannot pass through a future."""
    try:
        return None, workers.call(handle, body)
    except (SystemExit, KeyboardInterrupt):
        raise
    except BaseException as error:
        return error, None
