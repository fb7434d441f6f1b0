"""What a simulated program sends to one instance of a peer: messages, calls, and lines for room.

It uses `Outgoing` and `Lines` as a running node does; a full batch leaves at once, the open one
when the turn is over.
"""

from random import Random
from typing import TYPE_CHECKING

from mesh.delivery.delivery import Delivery
from mesh.exchange import lines
from mesh.exchange.calls import PendingCalls
from mesh.exchange.lines import Lines
from mesh.limits import BULK_BYTES
from mesh.testing.clock import Violation
from mesh.testing.ledger import Ledger, Message, Receipt
from mesh.wire import messages
from mesh.wire.cbor import dumps

if TYPE_CHECKING:
    from collections.abc import Callable

    from mesh.testing.process import Process


class Call:
    """A request whose caller waits. `ended`: how it did; "" while it has not."""

    def __init__(self, message: Message, done: "Callable[[Call], None]") -> None:
        self.message = message
        self.done = done
        self.parcel: Parcel | None = None
        self.call_id = 0
        self.ended = ""

    def end(self, how: str) -> None:
        """The caller goes on."""
        if not self.ended:
            self.ended = how
            self.done(self)


class Parcel:
    """A message that is encoded and has to be queued. `given_up`: its sender does not wait."""

    __slots__ = ("encoded", "given_up", "message")

    def __init__(
        self,
        message: Message,
        encoded: bytes,
        *,
        raw: bool = False,
        bulk: bytes | None = None,
        call_id: int | None = None,
    ) -> None:
        self.message = message
        self.encoded = lines.Message(
            message.kind, message.subject, encoded, bulk, raw=raw, call_id=call_id
        )
        self.given_up = False

    def done(self) -> bool:
        """Nobody wants it any more."""
        return self.given_up


class Office:
    """`delivery`: to whom. Everything that waits here ends when the delivery does."""

    def __init__(self, process: "Process", delivery: Delivery, ledger: Ledger) -> None:
        self.delivery = delivery
        self.lines: Lines[Parcel] = Lines(delivery.outgoing)
        self.calls: PendingCalls[Call] = PendingCalls()
        self.open = True
        self._process = process
        self._ledger = ledger
        self._restless = False

    # -- what a program does

    def tell(self, subject: str, size: int, *, packed: bool = False, wait: bool = True) -> bool:
        """Send a direct message of about `size` bytes. False: no room, and not willing to wait."""
        message = self._write(messages.TELL, subject)
        body = content(message.number, size)
        if packed:
            parcel = Parcel(message, dumps([message.number, body]))
        elif len(body) >= BULK_BYTES:
            parcel = Parcel(message, dumps(len(body)), bulk=body)
        else:
            parcel = Parcel(message, body, raw=True)
        return self._put(parcel, wait=wait)

    def call(
        self,
        subject: str,
        timeout: float,
        size: int,
        done: "Callable[[Call], None]",
        *,
        depth: int = 0,
    ) -> Call | None:
        """Send a request; `done` is called once, however it ends. None when it cannot be sent."""
        if not self.open:
            return None
        message = self._write(messages.request_kind(depth), subject)
        call = Call(message, done)
        call.call_id = self.calls.open(call)
        patience_ms = int(timeout * 1000) + 1
        if size >= BULK_BYTES:
            body = content(message.number, size)
            placeholder = dumps([call.call_id, patience_ms, len(body)])
            parcel = Parcel(message, placeholder, bulk=body, call_id=call.call_id)
        else:
            body_and_number = [message.number, content(message.number, size)]
            encoded = messages.encode_request(call.call_id, patience_ms, body_and_number)
            parcel = Parcel(message, encoded, call_id=call.call_id)
        call.parcel = parcel
        self._put(parcel, wait=True)
        self._process.later(timeout, lambda: self._give_up(call, "timed out"))
        return call

    def cancel(self, call: Call) -> None:
        """The caller does not wait any more."""
        self._give_up(call, "cancelled")

    def reply(self, call_id: int, status: int, size: int = 0) -> None:
        """Answer a request, with a body of about `size` bytes."""
        if not self.open:
            return
        message = self._write(messages.REPLY, "")
        if size:
            body = content(message.number, size)
            parcel = Parcel(message, dumps([call_id, status, len(body)]), bulk=body)
        else:
            parcel = Parcel(message, messages.encode_reply(call_id, status, message.number))
        self._put(parcel, wait=True)

    def _give_up(self, call: Call, how: str) -> None:
        if call.ended:
            return
        self.calls.take(call.call_id)
        if call.parcel is not None and self.lines.leave(call.parcel):
            self._restless = True
        elif self.open and self.delivery.outgoing.abandon(call.call_id):
            self._ledger.abandoned(call.message)
            self._restless = True
        elif self.open:
            message = self._write(messages.CANCEL, call.message.subject)
            self._queue(Parcel(message, dumps([call.call_id, message.number])))
        call.end(how)

    def on_reply(self, call_id: int, status: int) -> None:
        """Ends the call it belongs to, if somebody still waits."""
        call = self.calls.take(call_id)
        if call is not None:
            call.end("answered" if status == messages.REPLY_OK else "failed")

    # -- queueing

    def _write(self, kind: int, subject: str) -> Message:
        return self._ledger.write(self._process, self.delivery, kind, subject)

    def _put(self, parcel: Parcel, *, wait: bool) -> bool:
        if not self.open:
            return False
        if not self.lines.hold_up(parcel.encoded) and self._queue(parcel):
            return True
        if wait:
            self.lines.enter(self.lines.key_of(parcel.encoded), parcel, parcel.encoded)
            self._restless = True
        return wait

    def _queue(self, parcel: Parcel) -> bool:
        outgoing, message = self.delivery.outgoing, parcel.message
        idle, number = outgoing.idle, outgoing.next_number
        kind = message.kind
        receipt = lines.offer(outgoing, parcel.encoded)
        if receipt is None:
            return False
        assert isinstance(receipt, Receipt)
        self._ledger.queued(message, receipt, credited=kind in messages.DEPTHS)
        self._restless = True
        if idle:
            self._process.engine.flush(self.delivery, self._process.now())
        elif outgoing.next_number != number:
            self._process.engine.send_closed(self.delivery, self._process.now())
        return True

    def on_room(self) -> None:
        """There may be room: those who wait go on in their order."""
        for key in self.lines.in_order():
            for parcel, encoded in self.lines.take(key):
                if not self._queue(parcel):
                    self.lines.put_back(key, parcel, encoded)
                    break

    def turn_is_over(self) -> None:
        """Send the open batch; whoever waits tries again behind it."""
        while self._restless and self.open:
            self._restless = False
            self._process.engine.flush(self.delivery, self._process.now())
            self.on_room()

    @property
    def starving(self) -> bool:
        """Whether something waits for room."""
        return self.open and bool(self.lines)

    def end(self) -> None:
        """The delivery is over: whoever waits is told."""
        self.open = False
        self.lines.clear()
        for call in self.calls.take_all():
            call.end("failed")


def content(number: int, size: int) -> bytes:
    """A body that no other message has, at whatever place one looks."""
    return b"%d:" % number + Random(number).randbytes(size)


def number_of(body: object) -> int:
    """The number of the message that this body belongs to.

    Raises Violation when it is not as any was sent.
    """
    match body:
        case bytes() | bytearray() | memoryview():
            digits, colon, rest = bytes(body).partition(b":")
            if colon and digits.isdigit():
                number = int(digits)
                if body != content(number, len(rest)):
                    raise Violation("as it was sent", f"message {number} has another body")
                return number
        case [int(number), *_]:
            return number
        case int(number):
            return number
    raise Violation("as it was sent", "no message of this world")
