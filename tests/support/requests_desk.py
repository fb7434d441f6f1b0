"""A desk where requests of one peer are answered by one handler, and a handler that waits."""

import asyncio

from mailboxes import Wire, turns
from mesh.counters import Counters
from mesh.engine.events import RunReceived
from mesh.runtime.handlers import describe
from mesh.runtime.mailbox import Mailbox
from mesh.runtime.requests import Requests
from mesh.wire.messages import REPLY, REQUEST
from nodes import until

PATIENCE_SECONDS = 10
MINUTE_MS = 60_000


class Desk:
    """Requests of one peer, answered by one handler; the replies that left."""

    def __init__(self, function, *, limit=256, threads=None, max_message=1 << 20):
        self.wire = Wire(max_message=max_message)
        self.delivery = self.wire.delivery
        self.mailbox: Mailbox = self.wire.mailbox
        self.counters = Counters()
        self.finished = []
        self.handler = describe("ask", function) if function else None
        self.requests = Requests(self.mailbox, self._done, self.counters, threads, limit)
        self._next = 1

    def _done(self, run):
        self.finished.append(run.batch)

    def put(self, *bodies, timeout_ms=MINUTE_MS, items=None):
        """A run of requests, numbered from 1."""
        if items is None:
            items = []
            for body in bodies:
                items.append([self._next, timeout_ms, body])
                self._next += 1
        run = RunReceived(self.delivery, 10 + len(self.finished), REQUEST, "ask", items)
        self.requests.put(run, self.handler)

    @property
    def expected(self):
        """How often the next request was expected to come at once."""
        return self.wire.expected

    @property
    def replies(self):
        """[call id, status, body] of every reply that left."""
        self.wire.flush(self.delivery)
        return self.wire.bodies(REPLY)

    async def until(self, condition):
        """Give threads the time they take."""
        await until(condition, seconds=PATIENCE_SECONDS)

    async def stop(self):
        """End it; no task may be left."""
        await asyncio.gather(*self.requests.stop(), return_exceptions=True)
        await turns()
        assert asyncio.all_tasks() == {asyncio.current_task()}


class Gate:
    """A handler that says what it begins, and waits until the gate opens or it is cancelled."""

    def __init__(self, swallows=False):
        self.open = asyncio.Event()
        self.begun = []
        self.cancelled = []
        self.swallows = swallows

    async def __call__(self, body):
        """Answer with the body."""
        self.begun.append(body)
        try:
            await self.open.wait()
        except asyncio.CancelledError:
            self.cancelled.append(body)
            if not self.swallows:
                raise
        return body
