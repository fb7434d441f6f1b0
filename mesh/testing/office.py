"""What a simulated program sends to one instance of a peer: messages, calls, and lines for room.

It uses `Outgoing` as a running node does: messages that find no room wait in one line, replies in
another; a full batch leaves at once, the open one when the turn is over.
"""

from collections import deque
from typing import TYPE_CHECKING

from mesh.delivery.delivery import Delivery
from mesh.errors import MalformedFrame
from mesh.exchange.calls import PendingCalls, Reply
from mesh.limits import BULK_BYTES
from mesh.testing.ledger import Ledger, Message, Receipt
from mesh.wire import messages
from mesh.wire.cbor import dumps

if TYPE_CHECKING:
    from collections.abc import Callable

    from mesh.testing.process import Process

_NULL = b"\xf6"


class Call:
    """A request whose caller waits. `ended`: how it did; "" while it has not."""

    def __init__(self, message: Message, done: "Callable[[Call], None]") -> None:
        self.message = message
        self.done = done
        self.call_id = 0
        self.ended = ""

    def end(self, how: str) -> None:
        """The caller goes on."""
        if not self.ended:
            self.ended = how
            self.done(self)


class Parcel:
    """A message that is encoded and has to be queued."""

    __slots__ = ("bulk", "encoded", "message", "raw")

    def __init__(
        self, message: Message, encoded: bytes, *, raw: bool = False, bulk: bytes | None = None
    ) -> None:
        self.message = message
        self.encoded = encoded
        self.raw = raw
        self.bulk = bulk


class Office:
    """`delivery`: to whom. Everything that waits here ends when the delivery does."""

    def __init__(self, process: "Process", delivery: Delivery, ledger: Ledger) -> None:
        self.delivery = delivery
        self.line: deque[Parcel] = deque()
        self.replies: deque[Parcel] = deque()
        self.calls: PendingCalls[Call] = PendingCalls()
        self.open = True
        self._process = process
        self._ledger = ledger
        self._restless = False

    # -- what a program does

    def tell(self, subject: str, size: int, *, packed: bool = False, wait: bool = True) -> bool:
        """Send a direct message of about `size` bytes. False: no room, and not willing to wait."""
        message = self._write(messages.TELL, subject)
        body = b"%d:" % message.number + bytes(size)
        if packed:
            parcel = Parcel(message, dumps([message.number, body]))
        elif len(body) >= BULK_BYTES:
            parcel = Parcel(message, _NULL, bulk=body)
        else:
            parcel = Parcel(message, body, raw=True)
        return self._put(self.line, parcel, wait=wait)

    def call(
        self, subject: str, timeout: float, size: int, done: "Callable[[Call], None]"
    ) -> Call | None:
        """Send a request; `done` is called once, however it ends. None when it cannot be sent."""
        if not self.open:
            return None
        message = self._write(messages.REQUEST, subject)
        call = Call(message, done)
        call.call_id = self.calls.open(call)
        patience_ms = int(timeout * 1000) + 1
        if size >= BULK_BYTES:
            placeholder = dumps([call.call_id, patience_ms, None])
            body = b"%d:" % message.number + bytes(size)
            parcel = Parcel(message, placeholder, bulk=body)
        else:
            body_and_number = [message.number, bytes(size)]
            encoded = messages.encode_request(call.call_id, patience_ms, body_and_number)
            parcel = Parcel(message, encoded)
        self._put(self.line, parcel, wait=True)
        self._process.later(timeout, lambda: self._give_up(call, "timed out"))
        return call

    def cancel(self, call: Call) -> None:
        """The caller does not wait any more."""
        self._give_up(call, "cancelled")

    def reply(self, call_id: int, status: int) -> None:
        """Answer a request."""
        if self.open:
            message = self._write(messages.REPLY, "")
            encoded = messages.encode_reply(call_id, status, message.number)
            self._put(self.replies, Parcel(message, encoded), wait=True)

    def _give_up(self, call: Call, how: str) -> None:
        if call.ended:
            return
        self.calls.take(call.call_id)
        waiting = [parcel for parcel in self.line if parcel.message is call.message]
        if waiting:
            self.line.remove(waiting[0])
            self._restless = True
        elif self.open:
            message = self._write(messages.CANCEL, call.message.subject)
            cancel = dumps([call.call_id, message.number])
            self._put(self.line, Parcel(message, cancel), wait=False, overtakes=True)
        call.end(how)

    def on_reply(self, reply: Reply) -> None:
        """Ends the call it belongs to, if somebody still waits."""
        call = self.calls.take(reply.call_id)
        if call is not None:
            call.end("answered" if reply.status == messages.REPLY_OK else "failed")

    # -- queueing

    def _write(self, kind: int, subject: str) -> Message:
        return self._ledger.write(self._process, self.delivery, kind, subject)

    def _put(
        self, line: deque[Parcel], parcel: Parcel, *, wait: bool, overtakes: bool = False
    ) -> bool:
        if not self.open:
            return False
        if (overtakes or not line) and self._queue(parcel):
            return True
        if wait:
            line.append(parcel)
            self._restless = True
        return wait

    def _queue(self, parcel: Parcel) -> bool:
        outgoing, message = self.delivery.outgoing, parcel.message
        idle, number = outgoing.idle, outgoing.next_number
        kind, subject = message.kind, message.subject
        if parcel.bulk is None:
            receipt = outgoing.offer(kind, subject, parcel.encoded, raw=parcel.raw)
        else:
            receipt = outgoing.offer_bulk(kind, subject, parcel.encoded, parcel.bulk)
        if receipt is None:
            return False
        assert isinstance(receipt, Receipt)
        self._ledger.queued(message, receipt, credited=kind in messages.CREDITED)
        self._restless = True
        if idle:
            self._process.engine.flush(self.delivery, self._process.now())
        elif outgoing.next_number != number:
            self._process.engine.send_closed(self.delivery, self._process.now())
        return True

    def on_room(self) -> None:
        """There may be room: those who wait go on in their order."""
        for line in (self.replies, self.line):
            while line and self._queue(line[0]):
                line.popleft()

    def turn_is_over(self) -> None:
        """Send the open batch; whoever waits tries again behind it."""
        while self._restless and self.open:
            self._restless = False
            self._process.engine.flush(self.delivery, self._process.now())
            self.on_room()

    @property
    def starving(self) -> bool:
        """Whether something waits for room."""
        return self.open and bool(self.line or self.replies)

    def end(self) -> None:
        """The delivery is over: whoever waits is told."""
        self.open = False
        self.line.clear()
        self.replies.clear()
        for call in self.calls.take_all():
            call.end("failed")


def number_of(body: object) -> int:
    """The number of the message that this body belongs to. Raises MalformedFrame."""
    match body:
        case bytes() | bytearray() | memoryview():
            digits, colon, _ = bytes(body[:24]).partition(b":")
            if colon and digits.isdigit():
                return int(digits)
        case [int(number), *_]:
            return number
        case int(number):
            return number
    raise MalformedFrame("no message of this world")
