"""A worker by itself, in a test's loop."""

import asyncio

from mailboxes import PEER_ID, make_delivery, turns
from mesh.counters import Counters
from mesh.engine.events import RunReceived
from mesh.model import Peer
from mesh.runtime.handlers import describe
from mesh.runtime.workers import Worker
from mesh.wire.messages import TELL

PATIENCE_SECONDS = 10


class Bench:
    """A worker, what it was given and what it said it had finished."""

    def __init__(self, function, threads, concurrency=1):
        self.counters = Counters()
        self.finished = []
        self.ordered = concurrency == 1
        self.news = asyncio.Event()
        self.delivery = make_delivery()
        handler = describe("log", function, concurrency)
        self.worker = Worker(handler, Peer(PEER_ID, "bob"), self._done, self.counters, threads)

    def _done(self, run):
        self.finished.append(run.batch)
        self.news.set()

    def put(self, *runs):
        """Queue runs, numbered from where the last ended."""
        for number, bodies in enumerate(runs, start=1):
            self.worker.put(RunReceived(self.delivery, number, TELL, "log", bodies))

    async def until_finished(self, *batches):
        """Wait until these are done, and nothing else."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while len(self.finished) < len(batches):
                self.news.clear()
                await self.news.wait()
        order = self.finished if self.ordered else sorted(self.finished)
        assert order == list(batches)
        assert not self.worker.busy

    async def stop(self):
        """End it; no task may be left."""
        tasks = self.worker.stop()
        await asyncio.gather(*tasks, return_exceptions=True)
        await turns()
        assert asyncio.all_tasks() == {asyncio.current_task()}
