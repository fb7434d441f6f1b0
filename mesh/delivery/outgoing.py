"""The sending half of a delivery: messages become runs, runs become numbered batches.

A batch is what one data frame delivers. It keeps its number and its bytes until the peer has
acknowledged it, whatever session or connection carries it.

`Outgoing` is touched once for every message sent, so its first attributes are a contract with
the caller on the hot path: while `raw_subject` is the subject of a direct message with a bytes
body, or `packed_subject` that of another one, and `budget` covers the length of what it is encoded
as + `limits.MESSAGE_BUDGET_BYTES`, `append` of that and the subtraction of that cost queue the
message, and `receipt` stands for it. An encoded message of the kind and subject of the open run is
queued by `join`. Everything else goes through `offer`, and what is too large for a batch
(`whole_bytes`) through `offer_large`.
"""

from collections.abc import Callable, Iterator, Sequence
from math import inf
from typing import Any, Final

from mesh import constants
from mesh.delivery.batches import Batch, OpenRun, fits_beside_calls, holds_tells, run_charge
from mesh.delivery.credit import Credit
from mesh.delivery.lanes import Lanes
from mesh.errors import Outcome
from mesh.limits import (
    BULK_BYTES,
    BULK_FRAME_BYTES,
    CHUNK_BYTES,
    CHUNKS_UNDER_WAY,
    FRAME_BUDGET_BYTES,
    MESSAGE_BUDGET_BYTES,
    WINDOW_PARTS,
)
from mesh.wire.cbor import dumps_unchecked
from mesh.wire.messages import (
    ABANDON,
    CHUNK,
    DEPTHS,
    LARGE,
    REPLY,
    REQUEST,
    RUNS_MAX,
    TELL,
    encode_packed_run,
)

# Kinds of small messages that may join an open run unseen; deeper requests have less room.
_JOINED: Final = frozenset({TELL, REQUEST, REPLY})
# From 20 ms to ten seconds.
_DOUBLINGS: Final = 9


def _nothing_open(_body: bytes) -> None:
    raise RuntimeError("no run is open")


class Outgoing:
    """What we send to one instance of a peer.

    `new_receipt`: makes the opaque object that stands for a batch's delivery.
    `window_bytes`: the peer's initial credit. `max_message_bytes`: its limit for one message.
    `kept_bytes`: what we keep for it at most, and an open batch, until it acknowledges: replies
    included, and large messages not, of which so few chunks are under way.
    """

    def __init__(
        self,
        new_receipt: Callable[[], object],
        *,
        window_bytes: int,
        max_message_bytes: int,
        kept_bytes: int,
    ) -> None:
        self.raw_subject: str | None = None
        self.packed_subject: str | None = None
        self.append: Callable[[bytes], None] = _nothing_open
        self.budget = 0
        self.receipt: Any = None

        # A message found no room, and the peer has made none since: it may have to be asked for its
        # numbers (PROBE), should the frame that carried them be lost.
        self.starved = False
        # Somebody waits for room, or for all to be acknowledged: to be told when there may be.
        self.awaited = False
        self.max_message_bytes = max_message_bytes
        # A batch that takes more of the window keeps too much else waiting.
        self._whole_bytes = min(constants.WHOLE_MAX_BYTES, window_bytes // WINDOW_PARTS)
        # What arrives early is held up to two windows, replies included, which need no credit.
        self._frame_bytes = min(FRAME_BUDGET_BYTES, window_bytes)
        self._bulk_bytes = min(BULK_FRAME_BYTES, window_bytes)
        self.lanes = Lanes(min(CHUNK_BYTES, window_bytes // WINDOW_PARTS))
        # The hot path looks at no limit of its own, so a small one closes it.
        self._any_small_body_fits = self.max_message_bytes >= BULK_BYTES
        # Of the open batch: what waits for `close_batch`.
        self.open_runs: list[OpenRun] = []
        self.unacknowledged: dict[int, Batch] = {}
        # Of these, what waits to be sealed.
        self.unsent: dict[int, Batch] = {}
        self.next_number = 1
        self._new_receipt = new_receipt
        self._run: OpenRun | None = None
        # What `join` may add to it; None for a run that encoded messages may not join unseen.
        self._joined: tuple[int, str] | None = None
        # Of the open batch: whether it holds a credited run, and of which depth it may.
        self._credited = False
        self._depth: int | None = None
        self._budget_at_open = 0
        self.kept_bytes = kept_bytes
        # Our calls that have left and wait for their replies: the next stands behind little else.
        self.asked: set[int] = set()
        self._unacknowledged_bytes = 0
        self._chunks_under_way = 0
        self._last_sent = 0
        self._ended = False
        self.credit = Credit(window_bytes)
        # Numbers of large messages that the peer has yet to be told of.
        self._abandoned: list[int] = []
        self._head: tuple[int, list[Any], int] | None = None

    # -- queueing

    @property
    def idle(self) -> bool:
        """Nothing open and nothing unacknowledged: what comes now should leave at once."""
        return not (self.open_runs or self.unacknowledged or self.lanes.under_way)

    def whole_bytes(self, kind: int) -> int:
        """The largest message of this kind that is offered whole, and not as a large one."""
        return constants.NESTED_WHOLE_BYTES if DEPTHS.get(kind) else self._whole_bytes

    def offer(
        self,
        kind: int,
        subject: str,
        encoded: bytes,
        bulk: bytes | None = None,
        *,
        raw: bool = False,
    ) -> Any:
        """Queue one message: the receipt, or None when it has to wait for room.

        `raw`: `encoded` is a bytes body as the application gave it; else it is encoded CBOR.
        `bulk`: a byte string that travels beside the array; its length stands in its place in
        `encoded`. A batch that the message does not fit is closed first: see `unsent`. While a
        message has to wait, the hot path is closed, so that none of its subject overtakes it there.
        A direct message waits, too, while a large one of its subject is under way.

        Raises InvalidMessage for a subject that is too long or cannot be encoded.
        """
        if self.lanes.under_way and kind == TELL and self.lanes.holds(subject):
            return None
        cost = len(encoded) + MESSAGE_BUDGET_BYTES
        if bulk is not None:
            cost += len(bulk)
        run = self._run
        if (
            run is None
            or cost > self.budget
            or run.kind != kind
            or run.subject != subject
            or run.raw is not raw
            or (run.beside is None) is not (bulk is None)
        ):
            charge = cost + run_charge(subject)
            apart = bulk is not None
            if apart or not self._joins_open_batch(kind, charge):
                if not self._has_room(kind, charge):
                    self._starve()
                    return None
                self.close_batch()
                self._open_batch(kind, max(charge, self._bulk_bytes) if apart else 0)
            run = self._open_run(kind, subject, raw, [] if apart else None)
        run.bodies.append(encoded)
        self.budget -= cost
        if bulk is None:
            hot = self._any_small_body_fits and kind in _JOINED
            told = subject if hot and kind == TELL else None
            self.raw_subject, self.packed_subject = (told, None) if raw else (None, told)
            self._joined = (kind, subject) if hot and not raw else None
        elif run.beside is not None:
            run.beside.append(bulk)
        return self.receipt

    def join_raw(self, subject: str, body: bytes) -> Any:
        """Queue a bytes body as the hot path does: the receipt, or None if it is to be offered."""
        cost = len(body) + MESSAGE_BUDGET_BYTES
        if subject != self.raw_subject or cost > self.budget or len(body) >= BULK_BYTES:
            return None
        self.budget -= cost
        self.append(body)
        return self.receipt

    def join(self, kind: int, subject: str, encoded: bytes) -> Any:
        """Queue an encoded message in the open run: the receipt, or None if it is to be offered."""
        cost = len(encoded) + MESSAGE_BUDGET_BYTES
        if (kind, subject) != self._joined or cost > self.budget or cost > BULK_BYTES:
            return None
        self.budget -= cost
        self.append(encoded)
        return self.receipt

    def offer_large(
        self, kind: int, subject: str, item: bytes, body: bytes, *, tag: object = None
    ) -> Any:
        """Announce one message that goes in chunks, as soon as the peer has room for it.

        `body`: a byte string that travels apart from `item`, which holds its length in its place;
        or, with an empty `item`, the encoded item itself. It is not copied. `tag`: for `abandon`.
        The receipt, or None when the message has to wait: so many are under way already.

        Raises InvalidMessage as `offer` does.
        """
        # The peer counts its places until it knows which of them are free.
        if not (self.lanes.has_place(kind) and self._tell_abandoned()):
            self.close_hot_path()
            return None
        announced = [self.lanes.next_number, kind, len(body), item]
        if self.offer(LARGE, subject, dumps_unchecked(announced)) is None:
            return None
        receipt = self._new_receipt()
        self.lanes.open(kind, subject, body, receipt, tag)
        return receipt

    def abandon(self, tag: object) -> bool:
        """Nobody wants the large message of this tag any more. False when it has left whole."""
        number = self.lanes.abandon(tag)
        if number is None:
            return False
        self._abandoned.append(number)
        self._tell_abandoned()
        return True

    def _tell_abandoned(self) -> bool:
        """Whether the peer was told of every large message that it need not wait for."""
        abandoned = self._abandoned
        while abandoned and self.offer(ABANDON, "", dumps_unchecked(abandoned[0])) is not None:
            abandoned.pop(0)
        return not abandoned

    @property
    def has_large(self) -> bool:
        """Whether there is something left to say of large messages."""
        return bool(self.lanes.under_way or self._abandoned)

    def put_chunks(self) -> bool:
        """Give chunks of large messages their places in batches. Whether there were any.

        As many as may be under way: what is said between them must not wait long.
        """
        lanes, put = self.lanes, False
        if self._abandoned:
            self._tell_abandoned()
            self.close_batch()
        while lanes.under_way and lanes.ready and self._chunks_under_way < CHUNKS_UNDER_WAY:
            if not self._has_number():
                break
            self.close_batch()
            lane, chunk = lanes.take_chunk()
            item = dumps_unchecked([lane.number, len(chunk)])
            runs = encode_packed_run(CHUNK, "", [item])
            spends = (None, 0) if lane.done and lane.kind != REPLY else None
            receipt = lane.receipt if lane.done else None
            self._number(runs, 1, chunk, receipt, spends=spends, chunk=True)
            put = True
        return put

    def _joins_open_batch(self, kind: int, charge: int) -> bool:
        """Whether the open batch can take a message and the run it needs."""
        if not 0 < len(self.open_runs) < RUNS_MAX or charge > self.budget:
            return False
        if self.open_runs[0].beside is not None:
            return False
        return kind not in DEPTHS or DEPTHS[kind] == self._depth

    def _has_number(self) -> bool:
        """Whether one more batch may be under way."""
        batches = len(self.unacknowledged) + bool(self.open_runs)
        return not self._ended and batches < constants.UNACKNOWLEDGED_BATCHES

    def _has_room(self, kind: int, charge: int) -> bool:
        """Whether a new batch with this message may be opened, after the open one was closed."""
        batches = len(self.unacknowledged) + bool(self.open_runs)
        if self._ended or batches >= constants.UNACKNOWLEDGED_BATCHES:
            return False
        kept = self._unacknowledged_bytes + self._budget_at_open - self.budget
        if batches and kept + charge > self.kept_bytes:
            return False
        depth = DEPTHS.get(kind)
        if depth is None:
            return True
        if self.asked and kind == TELL:
            opened = self._budget_at_open - self.budget if holds_tells(self.open_runs) else None
            if not fits_beside_calls(self.unacknowledged.values(), opened, charge):
                return False
        open_one = self._credited and self._depth == depth
        open_cost = self._budget_at_open - self.budget if open_one else 0
        if self.credit.batches_left(depth) <= open_one:
            return False
        return open_cost + charge <= self.credit.left(depth)

    def _starve(self) -> None:
        self.starved = True
        self.close_hot_path()

    def close_hot_path(self) -> None:
        """Somebody waits: whatever comes now is offered, and does not overtake."""
        self.awaited = True
        self.raw_subject = self.packed_subject = self._joined = None

    def close_batch(self) -> None:
        """Encode the open batch and number it: it is ready to be sent."""
        if not self.open_runs:
            return
        parts, messages = [], 0
        for run in self.open_runs:
            parts.append(run.encode())
            messages += len(run.bodies)
        encoded = b"".join(parts)
        beside = self.open_runs[0].beside
        bulk = None if beside is None else b"".join(beside)
        spends = None
        if self._credited:
            size = len(encoded) + (0 if bulk is None else len(bulk))
            spends = self._depth, size + messages * constants.MESSAGE_OVERHEAD_BYTES
        count, receipt = len(self.open_runs), self.receipt
        tells = holds_tells(self.open_runs)
        self.open_runs = []
        self._credited = False
        self._run = self._joined = None
        self.raw_subject = self.packed_subject = None
        self.append = _nothing_open
        self.budget = self._budget_at_open = 0
        self._number(encoded, count, bulk, receipt, spends=spends, tells=tells)

    def _open_batch(self, kind: int, bulk_bytes: int) -> None:
        """A batch that credited messages may join has a budget that the credit covers.

        `bulk_bytes`: of a batch for bodies beside the array, which they alone may join; or 0.
        """
        credit, depth = self.credit, DEPTHS.get(kind)
        most = bulk_bytes or self._frame_bytes
        if depth is None and credit.left(0) >= most and credit.batches_left(0) > 0:
            depth = 0
        self._depth = depth
        room = most if depth is None else credit.left(depth)
        self.budget = self._budget_at_open = min(most, room)
        self.receipt = self._new_receipt()

    def _open_run(self, kind: int, subject: str, raw: bool, beside: list[bytes] | None) -> OpenRun:
        run = self._run = OpenRun(kind, subject, raw, beside)
        self.open_runs.append(run)
        self._credited = self._credited or kind in DEPTHS
        self.budget -= run_charge(subject)
        self.append = run.bodies.append
        return run

    def _number(
        self,
        runs: bytes,
        run_count: int,
        bulk: bytes | memoryview | None,
        receipt: object,
        *,
        spends: tuple[int | None, int] | None,
        chunk: bool = False,
        tells: bool = False,
    ) -> None:
        """Give a batch its number. `spends`: the depth whose room it takes, and how much of it.

        None when no handler of the peer's is waited for; depth None when its room is granted.
        """
        depth, cost = spends or (None, 0)
        batch = Batch(self.next_number, runs, run_count, bulk, cost, receipt, chunk=chunk)
        batch.tells = tells
        self.next_number += 1
        # Chunks among small messages must neither wait for nor take the room of those.
        if chunk:
            self._chunks_under_way += 1
        else:
            self._unacknowledged_bytes += batch.size
        self.unacknowledged[batch.number] = batch
        self.unsent[batch.number] = batch
        if spends is not None:
            self.credit.spend(batch.number, depth, cost, receipt)

    # -- sending

    def take_unsent(self) -> Iterator[Batch]:
        """The batches to be sealed, in order; each is taken when the caller marks it `sent`."""
        return iter(list(self.unsent.values()))

    def sent(self, batch: Batch, now: float) -> None:
        """The batch left under some counter."""
        number = batch.number
        self.unsent.pop(number, None)
        batch.sent_at = now
        batch.attempts += 1
        if number > self._last_sent:
            self._last_sent = number

    def send_again(self, first: int, last: int, *, now: float = inf, pause: float = 0.0) -> int:
        """Mark the unacknowledged batches `first` to `last` for sending. How many there are.

        Those are left alone that were sent less than `pause` seconds before `now`, twice as many
        with each time they were: nobody makes us fill a connection with copies of one batch.
        """
        again = {
            number: batch
            for number, batch in self.unacknowledged.items()
            if first <= number <= last
            and batch.sent_at is not None
            and batch.sent_at + pause * 2 ** min(batch.attempts - 1, _DOUBLINGS) < now
        }
        if again:
            merged = self.unsent | again
            self.unsent = {number: merged[number] for number in sorted(merged)}
        return len(again)

    def send_all_again(self) -> int:
        """A new path: whatever is unacknowledged may have died with the old one."""
        return self.send_again(1, self.next_number)

    # -- what the peer tells us

    def is_news(self, acknowledged: int, handled: list[Any], credit: int) -> bool:
        """Whether the numbers in the head of a frame are others than in the one before."""
        head = acknowledged, handled, credit
        if head == self._head:
            return False
        self._head = head
        return True

    @property
    def acknowledged(self) -> int:
        """Every batch up to this one has arrived at the peer."""
        return next(iter(self.unacknowledged), self.next_number) - 1

    def acknowledge(self, number: int) -> list[object]:
        """Batches up to `number` have arrived. Their receipts, None where nobody is told.

        A peer that acknowledges what was never sent is not believed.
        """
        if number > self._last_sent:
            return []
        delivered: list[object] = []
        unacknowledged = self.unacknowledged
        while unacknowledged:
            oldest = next(iter(unacknowledged))
            if oldest > number:
                break
            batch = unacknowledged.pop(oldest)
            if batch.chunk:
                self._chunks_under_way -= 1
            else:
                self._unacknowledged_bytes -= batch.size
            delivered.append(batch.receipt)
            self.unsent.pop(oldest, None)
            self.starved = False
        return delivered

    def on_handled(self, handled: Sequence[Any]) -> list[object]:
        """Batches whose handlers are done: `[all up to, [first, last], ...]`. Their receipts."""
        acknowledged = next(iter(self.unacknowledged), self.next_number) - 1
        done = self.credit.on_handled(handled, acknowledged)
        if done:
            self.starved = False
        return done

    def on_credit(self, limit: int) -> bool:
        """The peer has room up to the absolute offset `limit`. Whether that is more."""
        if not self.credit.raise_limit(limit):
            return False
        self.starved = False
        return True

    def fail_all(self, *, surely: bool) -> list[tuple[object, Outcome]]:
        """The peer's instance is gone: every receipt that still waits, with its outcome.

        `surely`: the peer has told us all it got, so that what is unacknowledged never arrived.
        Nothing finds room here any more.
        """
        self.close_batch()
        failed: list[tuple[object, Outcome]] = [
            (receipt, "unknown")
            for number, receipt in self.credit.clear().items()
            if number not in self.unacknowledged
        ]
        failed += [
            (batch.receipt, "not_delivered" if surely or not batch.attempts else "unknown")
            for batch in self.unacknowledged.values()
            if batch.receipt is not None
        ]
        # Without its last chunk a large message is nothing to its handler.
        failed += [(receipt, "not_delivered") for receipt in self.lanes.clear()]
        self._ended = True
        self.unacknowledged.clear()
        self._unacknowledged_bytes = self._chunks_under_way = 0
        self.unsent.clear()
        return failed
