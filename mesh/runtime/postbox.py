"""Sending to one instance of a peer: encode, queue, flush, and wait for room.

The pure half is `mesh.delivery.outgoing`; this one adds what waits. Messages that find no room
stand in `lines`; whoever is cancelled there has queued nothing.
"""

import asyncio
from threading import get_ident
from typing import TYPE_CHECKING, Any

from mesh.delivery.delivery import Delivery
from mesh.errors import (
    BufferFull,
    DeliveryFailed,
    InvalidMessage,
    MeshError,
    MessageTooLarge,
    WrongThread,
)
from mesh.exchange.lines import Key, Lines, Message, offer
from mesh.limits import BULK_BYTES
from mesh.model import Peer
from mesh.runtime.receipts import Receipt
from mesh.wire import messages
from mesh.wire.cbor import dumps, dumps_unchecked

if TYPE_CHECKING:
    from mesh.runtime.pump import Pump

BYTES_LIKE = (bytes, bytearray, memoryview)


class Postbox:
    """`peer` as handlers see it; `pump` puts what is queued on the wire."""

    def __init__(self, peer: Peer, delivery: Delivery, pump: "Pump") -> None:
        self.peer = peer
        self.delivery = delivery
        self.outgoing = delivery.outgoing
        self._pump = pump
        self._loop = asyncio.get_running_loop()
        self._thread = get_ident()
        self._lines: Lines[asyncio.Future[Any]] = Lines(delivery.outgoing)
        # Who wants to know when replies have moved up.
        self._watchers: list[asyncio.Future[None]] = []
        self._ended: MeshError | None = None
        self._flush_number = 0
        self._draining = False
        self._drained = asyncio.Event()

    # -- direct messages

    async def tell(self, subject: str, body: object) -> Receipt:
        """Queue a direct message, waiting for room. Raises InvalidMessage, MessageTooLarge.

        An `await` that never suspends starves the loop, so a tight sender yields once a frame.
        """
        message = self._tell(subject, body)
        self._check_open()
        outgoing = self.outgoing
        idle, number = outgoing.idle, outgoing.next_number
        held_up = self._lines.by_key and self._lines.hold_up(message)
        receipt = None if held_up else self._queue(message)
        if receipt is None:
            return await self._stand_in_line(message)
        if idle or outgoing.next_number == number:
            self._flush_soon()
            return receipt
        try:
            await asyncio.sleep(0)
        finally:
            # Not before: what joins the open batch in its next turn leaves with it.
            self._flush_soon()
        return receipt

    def post(self, subject: str, body: object) -> Receipt:
        """Queue a direct message at once. Raises BufferFull when it would have to wait."""
        self._check_open()
        joined: Receipt | None
        if type(body) is bytes:
            joined = self.outgoing.join_raw(subject, body)
        else:
            joined = None if isinstance(body, BYTES_LIKE) else self._join(subject, body)
        if joined is not None:
            return joined
        message = self._tell(subject, body)
        receipt = None if self._lines.hold_up(message) else self._queue(message)
        if receipt is None:
            raise BufferFull(f"no room for {subject!r} to {self.peer}: it has to catch up first")
        self._flush_soon()
        return receipt

    def _join(self, subject: str, body: object) -> Receipt | None:
        """Encoding is in vain unless the open run is of this subject."""
        if self.outgoing.packed_subject != subject:
            return None
        receipt: Receipt | None = self.outgoing.join(messages.TELL, subject, dumps(body))
        return receipt

    def _tell(self, subject: str, body: object) -> Message:
        if isinstance(body, BYTES_LIKE):
            octets = body if type(body) is bytes else copied(body)
            self._check_size(len(octets))
            if len(octets) >= BULK_BYTES:
                return Message(messages.TELL, subject, dumps_unchecked(len(octets)), octets)
            return Message(messages.TELL, subject, octets, raw=True)
        encoded = dumps(body)
        self._check_size(len(encoded))
        return Message(messages.TELL, subject, encoded)

    # -- queueing

    def _queue(self, message: Message) -> Receipt | None:
        """Queue a message, if there is room, and send what is full; an idle peer gets it at once.

        Whoever calls this flushes soon.
        """
        outgoing = self.outgoing
        idle, number = outgoing.idle, outgoing.next_number
        receipt = offer(outgoing, message)
        if receipt is None:
            return None
        assert isinstance(receipt, Receipt)
        if message.kind == messages.TELL:
            receipt.of_messages = True
        elif message.call_id is not None:
            outgoing.asked.add(message.call_id)
        if idle:
            self._pump.flush(self.delivery)
        elif outgoing.next_number != number:
            self._pump.send_closed(self.delivery)
        return receipt

    async def _stand_in_line(self, message: Message) -> Receipt:
        future: asyncio.Future[Receipt] = self._loop.create_future()
        self._enter(future, message)
        try:
            return await future
        finally:
            self._leave(future)

    def _enter(self, future: asyncio.Future[Any], message: Message) -> None:
        if self._lines.enter(self._lines.key_of(message), future, message):
            # Sending the open batch may make room; the peer is asked for some if it does not.
            self._loop.call_soon(self._ask_for_room)

    def _ask_for_room(self) -> None:
        self._pump.flush(self.delivery)
        self.on_room()

    def _leave(self, future: asyncio.Future[Any]) -> bool:
        """Whoever does not wait any more has queued nothing; the next may need less room."""
        if not self._lines.leave(future):
            return False
        self._loop.call_soon(self.on_room)
        return True

    def _flush_soon(self) -> None:
        """Send the open batch when this turn of the loop is over, unless it was sent by then."""
        outgoing = self.outgoing
        if self._flush_number != outgoing.next_number and outgoing.open_runs:
            self._flush_number = outgoing.next_number
            self._loop.call_soon(self._flush, outgoing.next_number)

    def _flush(self, number: int) -> None:
        if self.outgoing.next_number == number:
            self._pump.flush(self.delivery)
        self.on_room()

    def on_room(self) -> None:
        """There may be room again: those who wait go on in their order."""
        if self._lines:
            for key in self._lines.in_order():
                self._move_up(key)
        if self._watchers:
            self._wake_watchers()
        if self._draining:
            self._look_whether_drained()

    def _move_up(self, key: Key) -> None:
        for future, message in self._lines.take(key):
            try:
                receipt = self._queue(message)
            except MeshError as error:
                future.set_exception(error)
                continue
            if receipt is None:
                self._lines.put_back(key, future, message)
                break
            # Sending may call the program, which may have cancelled this very one.
            if message.call_id is None and not future.done():
                future.set_result(receipt)
        self._flush_soon()

    # -- ending

    async def drained(self) -> None:
        """Wait until everything queued so far and since is acknowledged."""
        self._drained.clear()
        if self._ended is None:
            self._look_whether_drained()
            await self._drained.wait()

    def _look_whether_drained(self) -> None:
        self._draining = not self.outgoing.idle or bool(self._lines)
        if self._draining:
            self.outgoing.awaited = True
        else:
            self._drained.set()

    def end(self, error: MeshError) -> None:
        """The peer's instance is gone: whoever waits for room is told."""
        never_sent = error
        if isinstance(error, DeliveryFailed):
            never_sent = type(error)(str(error), "not_delivered")
        self._ended = never_sent
        self._drained.set()
        for future in self._lines.clear():
            if not future.done():
                future.set_exception(never_sent)
        self._wake_watchers()

    def _wake_watchers(self) -> None:
        watchers, self._watchers = self._watchers, []
        for watcher in watchers:
            if not watcher.done():
                watcher.set_result(None)

    def _check_open(self) -> None:
        # libzmq ends the whole process when two threads are in one socket.
        if get_ident() != self._thread:
            raise WrongThread(
                "a node is used in the thread of its event loop; from another one: "
                "asyncio.run_coroutine_threadsafe(node.send(...), loop).result()"
            )
        if self._ended is not None:
            raise self._ended.with_traceback(None)

    def _check_size(self, size: int) -> None:
        limit = self.outgoing.max_message_bytes
        if size > limit:
            raise MessageTooLarge(
                f"a message of {size} bytes to {self.peer}: the smaller max_message_bytes of the "
                f"two nodes allows {limit}"
            )


def copied(body: bytes | bytearray | memoryview) -> bytes:
    """The bytes as they are now. Raises InvalidMessage for a view that was released."""
    try:
        return bytes(body)
    except ValueError as error:
        raise InvalidMessage(f"these bytes cannot be read: {error}") from None
