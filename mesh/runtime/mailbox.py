"""Calls to one instance of a peer, and replies to its own, over the queue that a postbox is."""

import asyncio
from typing import TYPE_CHECKING, Any

from mesh.delivery.delivery import Delivery
from mesh.errors import CallTimeout, MalformedFrame, MeshError
from mesh.exchange.calls import PendingCalls, decode_item, describe_failure, error_of
from mesh.exchange.lines import Message
from mesh.limits import BULK_BYTES
from mesh.model import Peer
from mesh.runtime.nesting import depth_of_call
from mesh.runtime.postbox import BYTES_LIKE, Postbox, copied
from mesh.runtime.timeouts import Timeouts
from mesh.wire import messages
from mesh.wire.cbor import dumps, dumps_unchecked

if TYPE_CHECKING:
    from mesh.runtime.pump import Pump

# Longer than anybody waits, and a number that the wire can carry in milliseconds.
_LONGEST_CALL_SECONDS = 1e9
_WHY_NOT_CARRIED_MAX_BYTES = 500


class Mailbox(Postbox):
    """Everything that is said to one instance of a peer; see `Postbox` for the arguments.

    `expect`: to be called when it is the peer's turn to speak (see `busy_poll`).
    """

    def __init__(self, peer: Peer, delivery: Delivery, pump: "Pump") -> None:
        super().__init__(peer, delivery, pump)
        self.expect = pump.busy_poll.expect
        self.calls: PendingCalls[tuple[str, float, asyncio.Future[Any]]] = PendingCalls()
        self._timeouts = Timeouts(self.calls.waiting, self._expire)

    async def call(self, subject: str, body: object, timeout: float) -> Any:
        """Send a request and wait for its reply, `timeout` seconds in all.

        Raises CallTimeout, Denied for calls too deep inside others, what the reply stands for,
        and as `tell`.
        """
        self._check_open()
        timeout = min(timeout, _LONGEST_CALL_SECONDS)
        if not timeout > 0:
            raise CallTimeout(f"a timeout of {timeout:g} s leaves no time for {subject!r}")
        depth = depth_of_call()
        kind = messages.request_kind(depth) if depth else messages.REQUEST
        future: asyncio.Future[Any] = self._loop.create_future()
        call_id = self.calls.open((subject, timeout, future))
        try:
            encoded, bulk = self._item(call_id, int(timeout * 1000) + 1, body)
            if bulk is None and self.outgoing.join(kind, subject, encoded) is not None:
                self.outgoing.asked.add(call_id)
            else:
                message = Message(kind, subject, encoded, bulk, call_id=call_id)
                held_up = self._lines.by_key and self._lines.hold_up(message)
                if held_up or self._queue(message) is None:
                    self._enter(future, message)
                elif self.outgoing.open_runs:
                    self._flush_soon()
            self._timeouts.add(call_id, timeout)
            if len(self.calls.waiting) == 1:
                self.expect()
            return await future
        except (asyncio.CancelledError, CallTimeout):
            self._give_up(subject, call_id, future)
            raise
        finally:
            self.outgoing.asked.discard(call_id)
            self.calls.take(call_id)

    def _expire(self, call_id: int) -> None:
        waiting = self.calls.take(call_id)
        if waiting is None or waiting[2].done():
            return
        subject, timeout, future = waiting
        if future in self._lines:
            missing = f"no room at {self.peer} for the request to {subject!r}"
        else:
            missing = f"no reply to {subject!r} from {self.peer}"
        future.set_exception(CallTimeout(f"{missing} within {timeout:g} s"))

    def _give_up(self, subject: str, call_id: int, future: asyncio.Future[Any]) -> None:
        """The far side need not go on; if there is no room to say so, its own time runs out."""
        if self._leave(future) or self._ended is not None:
            return
        if self.outgoing.abandon(call_id):
            self._pump.flush(self.delivery)
        else:
            self._queue(Message(messages.CANCEL, subject, dumps_unchecked(call_id)))
            self._flush_soon()

    def on_replies(self, items: list[Any]) -> int:
        """A run of replies: each ends the call it belongs to, if somebody still waits.

        How many of them are no replies at all.
        """
        malformed = 0
        take = self.calls.waiting.pop
        for item in items:
            try:
                call_id, status, body = decode_item(item)
            except MalformedFrame:
                malformed += 1
                continue
            waiting = take(call_id, None)
            if waiting is None or waiting[2].done():
                continue
            if status == messages.REPLY_OK:
                waiting[2].set_result(body)
            else:
                waiting[2].set_exception(error_of(status, body, waiting[0], self.peer))
        return malformed

    @property
    def replies_wait(self) -> bool:
        """Whether replies that find no room hold as much memory as may be kept for the peer."""
        waiting = self._lines.by_key and self._lines.reply_bytes > self.outgoing.kept_bytes
        return bool(waiting) and self._ended is None

    async def few_replies_wait(self) -> None:
        """Wait while they do."""
        while self.replies_wait:
            moved = self._loop.create_future()
            self._watchers.append(moved)
            await moved

    async def reply(self, subject: str, call_id: int, status: int, body: object) -> None:
        """Answer a request; a body that cannot be carried becomes an error for the caller."""
        try:
            encoded, bulk = self._item(call_id, status, body)
        except Exception as error:
            why = _why_not_carried(subject, error)
            encoded, bulk = self._item(call_id, messages.REPLY_NOT_CARRIED, why)
        if self._ended is not None:
            raise self._ended.with_traceback(None)
        if bulk is None and self.outgoing.join(messages.REPLY, "", encoded) is not None:
            return
        message = Message(messages.REPLY, "", encoded, bulk)
        held_up = self._lines.by_key and self._lines.hold_up(message)
        if held_up or self._queue(message) is None:
            await self._stand_in_line(message)
        elif self.outgoing.open_runs:
            self._flush_soon()

    def _item(self, call_id: int, number: int, body: object) -> tuple[bytes, bytes | None]:
        """The item of a request or reply, and the bytes body that travels apart from it."""
        head = messages.item_head(call_id, number)
        if isinstance(body, BYTES_LIKE):
            octets = body if type(body) is bytes else copied(body)
            if len(octets) >= BULK_BYTES:
                self._check_size(len(octets))
                return head + dumps_unchecked(len(octets)), octets
            body = octets
        encoded = head + dumps(body)
        if len(encoded) > self.outgoing.max_message_bytes:
            self._check_size(len(encoded))
        return encoded, None

    def end(self, error: MeshError) -> None:
        """The peer's instance is gone: whoever waits for room or for a reply is told."""
        super().end(error)
        self._timeouts.stop()
        for _, _, future in self.calls.take_all():
            if not future.done():
                future.set_exception(error)


def _why_not_carried(subject: str, error: Exception) -> str:
    """In so few bytes that every peer takes them."""
    text = f"the reply of {subject!r} cannot be carried: {describe_failure(error)[1]}"
    return text.encode()[:_WHY_NOT_CARRIED_MAX_BYTES].decode(errors="ignore")
