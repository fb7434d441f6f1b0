"""The sending half of a delivery: messages become runs, runs become numbered batches.

A batch is what one data frame delivers. It keeps its number and its bytes until the peer has
acknowledged it, whatever session or connection carries it.

`Outgoing` is touched once for every message sent, so its first attributes are a contract with
the caller on the hot path: while `raw_subject` is the subject of a direct message with a bytes
body and `budget` covers its length + `limits.MESSAGE_BUDGET_BYTES`, `append(body)` and the
subtraction of that cost queue the message, and `receipt` stands for it. While `packed_subject` is
the subject of one with another body, `join` queues it encoded. Everything else goes through
`offer`.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import lru_cache
from math import inf
from typing import Any, Final

from mesh import constants
from mesh.errors import InvalidMessage, Outcome
from mesh.limits import BULK_BYTES, FRAME_BUDGET_BYTES, MESSAGE_BUDGET_BYTES
from mesh.wire.messages import CREDITED, RUNS_MAX, TELL, encode_packed_run, encode_run

# A run is an array of kind (2 bytes at most), subject (a head of 2) and bodies (heads of 5 each for
# the array and for what packs it).
_RUN_HEAD_BYTES: Final = 16
# From 20 ms to ten seconds.
_DOUBLINGS: Final = 9


class Batch:
    """One numbered batch: its encoded runs, and how its delivery stands."""

    __slots__ = ("attempts", "bulk", "cost", "number", "receipt", "run_count", "runs", "sent_at")

    def __init__(
        self,
        number: int,
        runs: bytes,
        run_count: int,
        bulk: bytes | None,
        cost: int,
        receipt: object,
    ) -> None:
        self.number = number
        self.runs = runs
        self.run_count = run_count
        self.bulk = bulk
        self.cost = cost
        self.receipt = receipt
        self.sent_at: float | None = None
        self.attempts = 0

    @property
    def size(self) -> int:
        """Bytes that are kept until it is acknowledged."""
        return len(self.runs) + (len(self.bulk) if self.bulk is not None else 0)


class _OpenRun:
    """Neighbouring messages of one kind and subject, not yet encoded as a run."""

    __slots__ = ("bodies", "kind", "raw", "subject")

    def __init__(self, kind: int, subject: str, raw: bool) -> None:
        self.kind = kind
        self.subject = subject
        self.raw = raw
        self.bodies: list[bytes] = []

    def encode(self) -> bytes:
        encode = encode_run if self.raw else encode_packed_run
        return encode(self.kind, self.subject, self.bodies)


def _nothing_open(_body: bytes) -> None:
    raise RuntimeError("no run is open")


class Outgoing:
    """What we send to one instance of a peer.

    `new_receipt`: makes the opaque object that stands for a batch's delivery.
    `window_bytes`: the peer's initial credit. `max_message_bytes`: its limit for one message.
    `kept_bytes`: what we keep for it at most, and an open batch, until it acknowledges: replies
    included.
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
        largest = window_bytes - constants.WINDOW_RESERVE_BYTES
        self.max_message_bytes = min(max_message_bytes, largest)
        # The hot path looks at no limit of its own, so a small one closes it.
        self._any_small_body_fits = self.max_message_bytes >= BULK_BYTES
        self.unacknowledged: dict[int, Batch] = {}
        self.next_number = 1
        self._new_receipt = new_receipt
        self._run: _OpenRun | None = None
        self._runs: list[_OpenRun] = []
        self._credited = False
        self._may_credit = False
        self._budget_at_open = 0
        self.kept_bytes = kept_bytes
        self._unacknowledged_bytes = 0
        self._credit_limit = window_bytes
        self._credit_used = 0
        self._last_sent = 0
        self._ended = False
        self._unsent: dict[int, Batch] = {}
        # Receipts of credited batches: nobody waits for the handling of a reply.
        self._unhandled: dict[int, object] = {}
        self._handled: Sequence[Any] = ()

    # -- queueing

    @property
    def idle(self) -> bool:
        """Nothing open and nothing unacknowledged: what comes now should leave at once."""
        return not self._runs and not self.unacknowledged

    @property
    def has_open_batch(self) -> bool:
        """Whether messages wait for `close_batch`."""
        return bool(self._runs)

    @property
    def credit_left(self) -> int:
        """Bytes of credited batches that the peer still has room for."""
        return self._credit_limit - self._credit_used

    def offer(self, kind: int, subject: str, encoded: bytes, *, raw: bool = False) -> Any:
        """Queue one message: the receipt, or None when it has to wait for room.

        `raw`: `encoded` is a bytes body as the application gave it; else it is encoded CBOR.
        A batch that the message does not fit is closed first: see `has_unsent`. While a message
        has to wait, the hot path is closed, so that none of its subject overtakes it there.

        Raises InvalidMessage for a subject that is too long or cannot be encoded.
        """
        cost = len(encoded) + MESSAGE_BUDGET_BYTES
        run = self._run
        if (
            run is None
            or cost > self.budget
            or run.kind != kind
            or run.subject != subject
            or run.raw is not raw
        ):
            charge = cost + _run_charge(subject)
            if not self._joins_open_batch(kind, charge):
                if not self._has_room(kind, charge):
                    self._starve()
                    return None
                self.close_batch()
                self._open_batch(kind)
            run = self._open_run(kind, subject, raw)
        run.bodies.append(encoded)
        self.budget -= cost
        hot = subject if kind == TELL and self._any_small_body_fits else None
        self.raw_subject, self.packed_subject = (hot, None) if raw else (None, hot)
        return self.receipt

    def join(self, encoded: bytes) -> Any:
        """Queue one message of `packed_subject`: the receipt, or None if it has to be offered."""
        cost = len(encoded) + MESSAGE_BUDGET_BYTES
        if cost > self.budget or cost > BULK_BYTES:
            return None
        self.budget -= cost
        self.append(encoded)
        return self.receipt

    def offer_bulk(self, kind: int, subject: str, placeholder: bytes, bulk: bytes) -> Any:
        """Queue one message whose bytes body travels beside the array, as a batch of its own.

        `placeholder`: the encoded item with null in the body's place. None: no room, wait.

        Raises InvalidMessage as `offer` does.
        """
        charge = len(bulk) + len(placeholder) + MESSAGE_BUDGET_BYTES + _run_charge(subject)
        if not self._has_room(kind, charge):
            self._starve()
            return None
        self.close_batch()
        runs = encode_packed_run(kind, subject, [placeholder])
        credited = kind in CREDITED
        cost = len(runs) + len(bulk) + constants.MESSAGE_OVERHEAD_BYTES if credited else 0
        receipt = self._new_receipt()
        self._number(runs, 1, bulk, cost, receipt)
        return receipt

    def _joins_open_batch(self, kind: int, charge: int) -> bool:
        """Whether the open batch can take a message and the run it needs."""
        if not 0 < len(self._runs) < RUNS_MAX or (kind in CREDITED and not self._may_credit):
            return False
        return charge <= self.budget

    def _has_room(self, kind: int, charge: int) -> bool:
        """Whether a new batch with this message may be opened, after the open one was closed."""
        batches = len(self.unacknowledged) + bool(self._runs)
        if self._ended or batches >= constants.UNACKNOWLEDGED_BATCHES:
            return False
        kept = self._unacknowledged_bytes + self._budget_at_open - self.budget
        if batches and kept + charge > self.kept_bytes:
            return False
        if kind not in CREDITED:
            return True
        if len(self._unhandled) + self._credited >= constants.UNHANDLED_BATCHES:
            return False
        return self._open_cost() + charge <= self.credit_left

    def _starve(self) -> None:
        self.starved = True
        self.raw_subject = self.packed_subject = None

    def close_batch(self) -> None:
        """Encode the open batch and number it: it is ready to be sent."""
        if not self._runs:
            return
        encoded = b"".join([run.encode() for run in self._runs])
        cost = 0
        if self._credited:
            messages = sum(len(run.bodies) for run in self._runs)
            cost = len(encoded) + messages * constants.MESSAGE_OVERHEAD_BYTES
        count, receipt = len(self._runs), self.receipt
        self._runs = []
        self._credited = False
        self._run = None
        self.raw_subject = self.packed_subject = None
        self.append = _nothing_open
        self.budget = self._budget_at_open = 0
        self._number(encoded, count, None, cost, receipt)

    def _open_batch(self, kind: int) -> None:
        """A batch that credited messages may join has a budget that the credit covers."""
        credit = self.credit_left
        self._may_credit = kind in CREDITED or (
            credit >= FRAME_BUDGET_BYTES and len(self._unhandled) < constants.UNHANDLED_BATCHES
        )
        self.budget = min(FRAME_BUDGET_BYTES, credit) if self._may_credit else FRAME_BUDGET_BYTES
        self._budget_at_open = self.budget
        self.receipt = self._new_receipt()

    def _open_run(self, kind: int, subject: str, raw: bool) -> _OpenRun:
        run = self._run = _OpenRun(kind, subject, raw)
        self._runs.append(run)
        self._credited = self._credited or kind in CREDITED
        self.budget -= _run_charge(subject)
        self.append = run.bodies.append
        return run

    def _open_cost(self) -> int:
        """The most that the open batch can cost of the credit when it is closed."""
        return self._budget_at_open - self.budget if self._credited else 0

    def _number(
        self, runs: bytes, run_count: int, bulk: bytes | None, cost: int, receipt: object
    ) -> None:
        """Give a batch its number; `cost` is 0 for one without credited runs."""
        batch = Batch(self.next_number, runs, run_count, bulk, cost, receipt)
        self.next_number += 1
        self._credit_used += cost
        self._unacknowledged_bytes += batch.size
        self.unacknowledged[batch.number] = batch
        self._unsent[batch.number] = batch
        if cost:
            self._unhandled[batch.number] = receipt

    # -- sending

    def take_unsent(self) -> Iterator[Batch]:
        """The batches to be sealed, in order; each is taken when the caller marks it `sent`."""
        return iter(list(self._unsent.values()))

    @property
    def has_unsent(self) -> bool:
        """Whether a batch waits to be sealed."""
        return bool(self._unsent)

    def sent(self, batch: Batch, now: float) -> None:
        """The batch left under some counter."""
        self._unsent.pop(batch.number, None)
        batch.sent_at = now
        batch.attempts += 1
        self._last_sent = max(self._last_sent, batch.number)

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
            merged = self._unsent | again
            self._unsent = {number: merged[number] for number in sorted(merged)}
        return len(again)

    def send_all_again(self) -> int:
        """A new path: whatever is unacknowledged may have died with the old one."""
        return self.send_again(1, self.next_number)

    # -- what the peer tells us

    @property
    def acknowledged(self) -> int:
        """Every batch up to this one has arrived at the peer."""
        return next(iter(self.unacknowledged), self.next_number) - 1

    def acknowledge(self, number: int) -> list[object]:
        """Batches up to `number` have arrived. Their receipts.

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
            self._unacknowledged_bytes -= batch.size
            delivered.append(batch.receipt)
            self._unsent.pop(oldest, None)
            self.starved = False
        return delivered

    def on_handled(self, handled: Sequence[Any]) -> list[object]:
        """Batches whose handlers are done: `[all up to, [first, last], ...]`. Their receipts.

        Ascending, as `wire.messages` has checked. A peer that has handled what it has not
        acknowledged is not believed.
        """
        unhandled = self._unhandled
        if not unhandled or handled == self._handled:
            return []
        up_to, *ranges = handled
        if (ranges[-1][1] if ranges else up_to) > self.acknowledged:
            return []
        self._handled = handled
        done: list[object] = []
        while unhandled:
            oldest = next(iter(unhandled))
            if oldest > up_to:
                break
            done.append(unhandled.pop(oldest))
        if ranges:
            done += [unhandled.pop(number) for number in _within(list(unhandled), ranges)]
        if done:
            self.starved = False
        return done

    def on_credit(self, limit: int) -> bool:
        """The peer has room up to the absolute offset `limit`. Whether that is more."""
        if limit <= self._credit_limit:
            return False
        self._credit_limit = limit
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
            for number, receipt in self._unhandled.items()
            if number not in self.unacknowledged
        ]
        failed += [
            (batch.receipt, "not_delivered" if surely or not batch.attempts else "unknown")
            for batch in self.unacknowledged.values()
        ]
        self._ended = True
        self.unacknowledged.clear()
        self._unacknowledged_bytes = 0
        self._unsent.clear()
        self._unhandled.clear()
        return failed


@lru_cache(maxsize=1024)
def _run_charge(subject: str) -> int:
    """What a run costs at most beside its messages. Raises InvalidMessage: see `offer`."""
    try:
        size = len(subject.encode())
    except UnicodeEncodeError:
        raise InvalidMessage("a subject with half a surrogate pair is not text") from None
    if size > constants.SUBJECT_MAX_BYTES:
        raise InvalidMessage(
            f"a subject of {size} bytes, over {constants.SUBJECT_MAX_BYTES}: {subject[:40]!r}..."
        )
    return _RUN_HEAD_BYTES + size


def _within(numbers: Iterable[int], ranges: Sequence[Sequence[int]]) -> Iterator[int]:
    """The numbers that lie in one of the ranges, both ascending.

    In steps of ours: what a peer puts into a range says nothing about how much there is to do.
    """
    remaining = iter(ranges)
    first, last = next(remaining)
    for number in numbers:
        while number > last:
            following = next(remaining, None)
            if following is None:
                return
            first, last = following
        if number >= first:
            yield number
