"""What `send` returns: how the delivery of a message stands.

One receipt is shared by all messages of a batch, so it costs nothing a message.
"""

import asyncio
from enum import IntEnum

from mesh.errors import DeliveryFailed


class Standing(IntEnum):
    """How far a message has come."""

    QUEUED = 0
    DELIVERED = 1
    HANDLED = 2


class Receipt:
    """The delivery of the messages that left together.

    It is awaited in the loop of its node; once it has ended, in any.
    """

    __slots__ = ("_waiters", "error", "of_messages", "standing")

    def __init__(self) -> None:
        self.standing = Standing.QUEUED
        self.error: DeliveryFailed | None = None
        # Requests and replies have receipts too, which nobody ever sees.
        self.of_messages = False
        self._waiters: list[tuple[Standing, asyncio.Future[None]]] | None = None

    def __repr__(self) -> str:
        failed = ", failed" if self.error is not None else ""
        return f"<Receipt {self.standing.name.lower()}{failed}>"

    async def delivered(self) -> None:
        """Wait until the peer has the message, whatever its handler does.

        Raises PeerRestarted or DeliveryFailed; `outcome` says what is known.
        """
        await self._wait(Standing.DELIVERED)

    async def handled(self) -> None:
        """Wait until the peer's handler has returned. Raises as `delivered`."""
        await self._wait(Standing.HANDLED)

    async def _wait(self, wanted: Standing) -> None:
        if self.standing >= wanted:
            return
        if self.error is not None:
            raise self.error.with_traceback(None)
        waiter = wanted, asyncio.get_running_loop().create_future()
        if self._waiters is None:
            self._waiters = []
        self._waiters.append(waiter)
        try:
            await waiter[1]
        except asyncio.CancelledError:
            if self._waiters is not None and waiter in self._waiters:
                self._waiters.remove(waiter)
            raise

    def advance(self, standing: Standing) -> None:
        """It has come this far; whoever waited for that goes on. It never comes back."""
        if standing <= self.standing or self.error is not None:
            return
        self.standing = standing
        if self._waiters is None:
            return
        for wanted, future in self._waiters:
            if wanted <= standing and not future.done():
                future.set_result(None)
        self._waiters = [waiter for waiter in self._waiters if not waiter[1].done()]

    def fail(self, error: DeliveryFailed) -> bool:
        """It will come no further. Whether somebody is told by it now."""
        if self.standing is Standing.HANDLED or self.error is not None:
            return False
        self.error = error
        told = False
        for _, future in self._waiters or ():
            if not future.done():
                future.set_exception(error)
                told = True
        self._waiters = None
        return told
