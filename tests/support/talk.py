"""Two nodes that talk both ways at a pace, and what each must have heard in the end."""

import asyncio

from mesh import Node
from nodes import Journal, Ticker, digest_of, numbered


class Talk:
    """`count` numbered messages each way under "log", `share` of them a tick of `seconds`.

    Made before the nodes are joined, so that both have their handlers in time.
    """

    def __init__(
        self,
        first: Node,
        second: Node,
        count: int,
        *,
        share: int = 20,
        seconds: float = 0.01,
        size: int = 64,
    ) -> None:
        self.sent = 0
        self._share = share
        self._seconds = seconds
        self._heard = {first: Journal(first), second: Journal(second)}
        self._bodies = {
            first: numbered(count, size, b"b"),
            second: numbered(count, size, b"a"),
        }

    async def speak(self) -> None:
        """Send all of it, each side at its pace; the last messages may still be under way."""
        first, second = self._heard
        async with asyncio.TaskGroup() as both:
            both.create_task(self._speak(first, second))
            both.create_task(self._speak(second, first))

    async def _speak(self, sender: Node, receiver: Node) -> None:
        ticker = Ticker(self._seconds)
        for number, body in enumerate(self._bodies[receiver], 1):
            await sender.send(receiver.name, "log", body)
            self.sent += 1
            if number % self._share == 0:
                await ticker.next()
        ticker.stop()

    async def check_heard(self) -> None:
        """Wait until everything came: once, in order, unchanged, and nothing else."""
        for node, journal in self._heard.items():
            await journal.until(len(self._bodies[node]))
        self.check_now()

    def check_now(self) -> None:
        """What has come by now is all there is to come."""
        for node, journal in self._heard.items():
            assert len(journal.bodies) == len(self._bodies[node])
            assert digest_of(journal.bodies) == digest_of(self._bodies[node])
