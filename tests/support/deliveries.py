"""One direction of a delivery for its tests: a sender, a receiver, and frames a test may lose.

Frames are bodies as they would be sealed. What both sides count is compared with each one.
"""

from collections.abc import Iterable
from random import Random
from typing import Any, NamedTuple

from mesh import constants
from mesh.counters import Counters
from mesh.delivery.assembly import Announced
from mesh.delivery.batches import Batch
from mesh.delivery.incoming import Incoming
from mesh.delivery.outgoing import Outgoing
from mesh.limits import FRAME_BUDGET_BYTES, MESSAGE_BUDGET_BYTES
from mesh.wire.cbor import dumps
from mesh.wire.messages import (
    ABANDON,
    CANCEL,
    CHUNK,
    DEPTHS,
    LARGE,
    REPLY,
    TELL,
    Bodies,
    Body,
    decode_body,
    encode_head,
    encode_reply,
    encode_request,
    unpacked,
)

WINDOW = FRAME_BUDGET_BYTES


class Frame(NamedTuple):
    """A batch on its way, with the numbers its sender had when it left."""

    plaintext: bytes
    bulk: bytes | memoryview | None

    def body(self) -> Body:
        """As the receiver decodes it."""
        return decode_body(self.plaintext, self.bulk)


def frame_of(batch: Batch) -> Frame:
    """The frame that carries a batch; the numbers of the other direction are of no interest."""
    head = encode_head(batch.number, 0, [0], 0, batch.run_count)
    return Frame(head + batch.runs, batch.bulk)


class Direction:
    """`outgoing` of one node and `incoming` of the other, joined by whatever a test carries."""

    def __init__(
        self, *, window: int = WINDOW, max_message: int = 1 << 20, kept: int = 1 << 30
    ) -> None:
        self.counters = Counters()
        self.window = window
        self.receipts: list[object] = []
        self.outgoing = Outgoing(
            self._new_receipt,
            window_bytes=window,
            max_message_bytes=max_message,
            kept_bytes=kept,
        )
        self.incoming = Incoming(
            window_bytes=window,
            kept_bytes=kept,
            large_bytes=max_message,
            counters=self.counters,
        )
        self.sent: list[tuple[int, str, object]] = []
        self.got: list[tuple[int, str, object]] = []
        self.unfinished: list[int] = []
        self.delivered: list[object] = []
        self.handled: list[object] = []
        self.now = 0.0

    def _new_receipt(self) -> object:
        receipt = object()
        self.receipts.append(receipt)
        return receipt

    # -- sending

    def tell(self, subject: str, body: bytes) -> bool:
        """A raw direct message, by the hot path if it is open. Whether there was room."""
        outgoing = self.outgoing
        cost = len(body) + MESSAGE_BUDGET_BYTES
        if outgoing.raw_subject == subject and cost <= outgoing.budget:
            outgoing.append(body)
            outgoing.budget -= cost
        elif outgoing.offer(TELL, subject, body, raw=True) is None:
            return False
        self.sent.append((TELL, subject, body))
        return True

    def offer(self, kind: int, subject: str, body: object, call_id: int = 1) -> bool:
        """Any other message. Whether there was room."""
        item, encoded = encoded_item(kind, body, call_id)
        outgoing = self.outgoing
        joined = outgoing.join(kind, subject, encoded)
        if joined is None and outgoing.offer(kind, subject, encoded) is None:
            return False
        self.sent.append((kind, subject, item))
        return True

    def bulk(self, kind: int, subject: str, body: bytes, call_id: int = 1) -> bool:
        """A message whose bytes travel beside the array. Whether there was room."""
        item, _ = encoded_item(kind, body, call_id)
        _, placeholder = encoded_item(kind, len(body), call_id)
        if self.outgoing.offer(kind, subject, placeholder, body) is None:
            return False
        self.sent.append((kind, subject, item))
        return True

    def large(
        self, kind: int, subject: str, body: object, call_id: int = 1, *, tag: object = None
    ) -> bool:
        """A message that goes in chunks. Whether there was a place for it."""
        item, encoded = encoded_item(kind, body, call_id)
        beside, content = b"", encoded
        if isinstance(body, bytes):
            beside, content = encoded_item(kind, len(body), call_id)[1], body
        if self.outgoing.offer_large(kind, subject, beside, content, tag=tag) is None:
            return False
        self.sent.append((kind, subject, item))
        return True

    def flush(self) -> list[Frame]:
        """Close the open batch and let everything unsent leave."""
        self.outgoing.close_batch()
        self.outgoing.put_chunks()
        frames = []
        for batch in self.outgoing.take_unsent():
            frames.append(frame_of(batch))
            self.outgoing.sent(batch, self.now)
        return frames

    # -- receiving

    def arrive(self, frame: Frame) -> None:
        """A frame comes out at the other side; its runs are handled when the test says so."""
        for body in self.incoming.accept(frame.body(), self.now):
            for kind, subject, items in body.runs:
                if kind in (LARGE, CHUNK, ABANDON):
                    self._on_large(kind, subject, unpacked(items), body.batch)
                else:
                    self._take(kind, subject, items, body.batch)

    def _take(self, kind: int, subject: str, items: Bodies, batch: int) -> None:
        self.got += [(kind, subject, item) for item in unpacked(items)]
        self.unfinished.append(batch)

    def _on_large(self, kind: int, subject: str, items: list[Any], batch: int) -> None:
        """What the engine does with a run about large messages."""
        assembly = self.incoming.assembly
        for item in items:
            if kind == LARGE:
                lane, of, length, beside = item
                assembly.announce(Announced(lane, of, subject, length, beside))
            elif kind == ABANDON:
                assembly.abandon(item)
            else:
                whole = assembly.add(*item)
                if whole is not None:
                    self._take(whole.kind, whole.subject, assembly.take(whole, batch), batch)
                    return
        self.incoming.finished_run(batch, self.now)

    def finish(self, batches: Iterable[int] | None = None) -> None:
        """Handlers are done: those of some runs (named by their batches), or of all."""
        for batch in list(self.unfinished if batches is None else batches):
            self.unfinished.remove(batch)
            self.incoming.finished_run(batch, self.now)

    def tell_back(self) -> None:
        """The numbers of the receiver reach the sender, as they would in a frame's head."""
        incoming, outgoing = self.incoming, self.outgoing
        head = encode_head(0, incoming.acknowledged, incoming.handled, incoming.credit, 0)
        numbers = decode_body(head)
        incoming.told()
        acknowledged = outgoing.acknowledge(numbers.acknowledged)
        self.delivered += [receipt for receipt in acknowledged if receipt is not None]
        self.handled += outgoing.on_handled(numbers.handled)
        outgoing.on_credit(numbers.credit)
        self.grant()

    def grant(self) -> None:
        """The sender hears for which large messages there is room."""
        due = self.incoming.assembly.grants_due
        while due:
            self.outgoing.lanes.grant(due.pop(0))

    def carry(self) -> None:
        """Everything queued arrives, is handled, and the sender is told."""
        for frame in self.flush():
            self.arrive(frame)
        self.finish()
        self.tell_back()

    def settle(self) -> None:
        """The same again and again, until nothing is left to say."""
        for _ in range(1000):
            if self.outgoing.idle:
                return
            self.carry()
        raise AssertionError("it never comes to rest")

    def check_settled(self) -> None:
        """Nothing is lost, repeated or under way, and all credit has returned to the byte."""
        assert by_subject(self.got) == by_subject(self.sent)
        assert self.outgoing.idle
        assert not self.outgoing.unsent
        assert not self.unfinished
        assert self.incoming.handled == [self.incoming.acknowledged]
        assert self.outgoing.credit.left(0) == self.window
        for depth in range(1, constants.DEPTH_MAX + 1):
            assert self.outgoing.credit.left(depth) == constants.NESTED_WINDOW_BYTES
            assert self.outgoing.credit.batches_left(depth) == constants.NESTED_BATCHES
        assert self.incoming.assembly.promised_bytes == 0
        dishonest = "over_credit", "announced", "chunks"
        assert not any(self.counters[f"dropped.{name}"] for name in dishonest)


def by_subject(
    messages: list[tuple[int, str, object]],
) -> dict[tuple[int, str], list[object]]:
    """The messages of each kind and subject; direct ones in the order that is promised for them."""
    sorted_out: dict[tuple[int, str], list[object]] = {}
    for kind, subject, item in messages:
        sorted_out.setdefault((kind, subject), []).append(item)
    for (kind, _), items in sorted_out.items():
        if kind != TELL:
            items.sort(key=repr)
    return sorted_out


def encoded_item(kind: int, body: object, call_id: int) -> tuple[object, bytes]:
    """What arrives of a message of this kind, and how it is queued."""
    if kind in DEPTHS and kind != TELL:
        return [call_id, 500, body], encode_request(call_id, 500, body)
    if kind == REPLY:
        return [call_id, 0, body], encode_reply(call_id, 0, body)
    if kind == CANCEL:
        return call_id, dumps(call_id)
    return body, dumps(body)


def random_message(random: Random, direction: Direction, largest: int) -> bool:
    """Try to send one message of any kind and size. Whether there was room."""
    subject = random.choice(["", "log", "x" * constants.SUBJECT_MAX_BYTES, "\U0001f41d" * 60])
    size = random.choice([0, 1, 23, 24, 255, 256, 4000, largest // 3, largest])
    body = random.randbytes(random.randint(0, size))
    kind = random.choice([*DEPTHS, TELL, REPLY, CANCEL])
    call_id = random.choice([1, 2**40])
    way = random.randrange(9)
    if way == 8 and kind != CANCEL:
        return direction.large(kind, subject, body + b"!", call_id)
    if way < 4:
        return direction.tell(random.choice(["log", subject]), body)
    if way == 4 and kind != CANCEL:
        return direction.bulk(kind, subject, body, call_id)
    return direction.offer(kind, subject, {"n": body.hex()[:largest]}, call_id)


def open_cost(outgoing: Outgoing, depth: int = 0) -> int:
    """What the open batch takes of that room at most, when it is closed."""
    if not outgoing._credited or outgoing._depth != depth:
        return 0
    return outgoing._budget_at_open - outgoing.budget


def is_credited(batch: Body) -> bool:
    """Whether a batch uses up credit."""
    return any(run[0] in DEPTHS for run in batch.runs)
