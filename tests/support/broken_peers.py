"""Peers for the benchmark that go wrong, each in its own way; what they can do needs no library."""

import asyncio
import os
from time import perf_counter

from benchmarks.peers import Facts, NotHere, Received
from benchmarks.workloads import Workload


def versions() -> dict[str, str]:
    """Made of nothing."""
    return {}


class Receiver:
    """Says that everything came."""

    async def start(self) -> Facts:
        """Nothing to open."""
        return {}

    async def allow(self, sender: Facts) -> None:
        """Anybody."""

    async def expect(self, workload: Workload) -> None:
        """Remember how many."""
        self._count = workload.count

    async def receive(self) -> Received:
        """All of them, in no time."""
        now = perf_counter()
        return Received(self._count, now, now + 1.0)

    async def answer(self) -> None:
        """Nobody asks."""

    async def close(self) -> None:
        """Nothing to close."""


class SilentReceiver(Receiver):
    """Never says anything."""

    async def receive(self) -> Received:
        """Wait for ever."""
        await asyncio.Event().wait()
        return await super().receive()


class HomelessReceiver(Receiver):
    """Needs what is not installed."""

    async def start(self) -> Facts:
        """Look for it in vain."""
        raise NotHere("no server of that kind is installed")


class Sender:
    """Sends into the void."""

    async def start(self) -> Facts:
        """Nothing to open."""
        return {}

    async def connect(self, receiver: Facts) -> None:
        """Nothing to reach."""

    async def send(self, workload: Workload) -> None:
        """Nothing to send."""

    async def close(self) -> None:
        """Nothing to close."""


class RaisingSender(Sender):
    """Fails as a library does."""

    async def send(self, workload: Workload) -> None:
        """Raise what a library might."""
        raise ConnectionError("the cable is out")


class DyingSender(Sender):
    """Takes its process with it."""

    async def send(self, workload: Workload) -> None:
        """End at once."""
        os._exit(7)
