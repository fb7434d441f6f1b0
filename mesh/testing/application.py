"""What a simulated program does with what arrives: handlers, quick and slow ones, and callbacks.

Direct messages of a subject are handled one run after the other, requests side by side up to a
number. A handler may be slow, fail, or call back whoever called.
"""

from collections import deque
from functools import partial
from typing import TYPE_CHECKING, Any

from handshake.identity import NodeId
from mesh.constants import DEPTH_MAX
from mesh.delivery.delivery import Delivery
from mesh.engine import events
from mesh.engine.events import RunReceived
from mesh.exchange.calls import decode_item
from mesh.testing.ledger import Ledger, Message, Receipt
from mesh.testing.office import Call, Office, number_of
from mesh.wire import messages

if TYPE_CHECKING:
    from mesh.testing.process import Process

SUBJECTS = ("log", "tick", "slow")
SERVICES = ("ask", "ask slowly", "ask back", "ask for much")
SLOWEST_SECONDS = 3.0
CALL_TIMEOUT_SECONDS = 8.0
# A handler waits for its own call for half as long as is waited for it.
_CALLBACK_PATIENCE = 0.5
_REQUESTS_AT_ONCE = 8


class _Work:
    """One request: `left` counts those of its run that are not answered."""

    __slots__ = ("begun", "call_id", "left", "message", "over", "patience", "run")

    def __init__(
        self, run: RunReceived, call_id: int, patience: float, message: Message, left: list[int]
    ) -> None:
        self.run = run
        self.call_id = call_id
        self.patience = patience
        self.message = message
        self.left = left
        self.begun = False
        self.over = False


class Application:
    """The program of one run of a node."""

    def __init__(self, process: "Process", ledger: Ledger) -> None:
        self.offices: dict[NodeId, Office] = {}
        self.answered = 0
        self._process = process
        self._ledger = ledger
        self._told: dict[tuple[Delivery, str], deque[tuple[RunReceived, list[Message]]]] = {}
        # By depth, each with places of its own.
        self._works: dict[tuple[Delivery, int], list[_Work]] = {}

    @property
    def busy(self) -> bool:
        """Whether a handler has something to do."""
        return any(self._told.values()) or any(self._works.values())

    @property
    def waiting(self) -> list[str]:
        """What the program itself waits for: room, and replies."""
        return [
            f"{self._process} waits for room ({office.starving})"
            f" and {len(office.calls)} replies of {office.delivery.peer_id.short}"
            for office in self.offices.values()
            if office.starving or len(office.calls)
        ]

    # -- what the engine says

    def on_event(self, event: events.Event) -> None:
        """React to one event."""
        if isinstance(event, RunReceived):
            self._on_run(event)
        elif isinstance(event, events.Delivered):
            for receipt in event.receipts:
                self._ledger.delivered(_ours(receipt))
        elif isinstance(event, events.Handled):
            for receipt in event.receipts:
                self._ledger.handled(_ours(receipt))
        elif isinstance(event, events.RoomAvailable):
            for office in self._offices_of(event.delivery):
                office.on_room()
        elif isinstance(event, events.PeerConnected):
            office = Office(self._process, event.delivery, self._ledger)
            self.offices[event.peer_id] = office
        elif isinstance(event, events.DeliveryEnded):
            self._on_ended(event)

    def turn_is_over(self) -> None:
        """Send what the turn has queued."""
        for office in list(self.offices.values()):
            office.turn_is_over()

    def _offices_of(self, delivery: Delivery) -> list[Office]:
        office = self.offices.get(delivery.peer_id)
        return [office] if office is not None and office.delivery is delivery else []

    def _on_ended(self, event: events.DeliveryEnded) -> None:
        for office in self._offices_of(event.delivery):
            del self.offices[event.delivery.peer_id]
            office.end()
        for key in [key for key in self._works if key[0] is event.delivery]:
            for work in self._works.pop(key):
                work.over = True
                self._done(work)
        for receipt, outcome in event.failed:
            self._ledger.failed(_ours(receipt), outcome)

    # -- what arrives

    def _on_run(self, run: RunReceived) -> None:
        bodies = messages.unpacked(run.bodies)
        if run.kind == messages.TELL:
            self._on_tells(run, [self._received(run, number_of(body)) for body in bodies])
        elif run.kind in messages.DEPTHS:
            self._on_requests(run, bodies)
        elif run.kind == messages.REPLY:
            for call_id, status, body in map(decode_item, bodies):
                self._received(run, number_of(body)).handled = True
                for office in self._offices_of(run.delivery):
                    office.on_reply(call_id, status)
            self._finished(run)
        else:
            for call_id, number in bodies:
                self._received(run, number).handled = True
                self._on_cancel(run.delivery, call_id)
            self._finished(run)

    def _received(self, run: RunReceived, number: int) -> Message:
        return self._ledger.received(self._process, run.delivery, number)

    def _finished(self, run: RunReceived) -> None:
        self._process.engine.finished(run.delivery, run.batch, self._process.now())

    def _pause(self, subject: str) -> float:
        if "slow" not in subject:
            return 0.0
        return self._process.random.random() ** 3 * SLOWEST_SECONDS

    # -- direct messages

    def _on_tells(self, run: RunReceived, received: list[Message]) -> None:
        key = run.delivery, run.subject
        line = self._told.setdefault(key, deque())
        line.append((run, received))
        if len(line) == 1:
            self._handle_next(key)

    def _handle_next(self, key: tuple[Delivery, str]) -> None:
        pause = self._pause(key[1])
        if pause:
            self._process.later(pause, partial(self._handle, key))
        else:
            self._handle(key)

    def _handle(self, key: tuple[Delivery, str]) -> None:
        run, received = self._told[key][0]
        for message in received:
            message.handled = True
        self._told[key].popleft()
        self._finished(run)
        if self._told[key]:
            self._handle_next(key)
        else:
            del self._told[key]

    # -- requests

    def _on_requests(self, run: RunReceived, items: list[Any]) -> None:
        left = [len(items)]
        key = run.delivery, messages.DEPTHS[run.kind]
        works = self._works.setdefault(key, [])
        for call_id, patience_ms, body in map(decode_item, items):
            message = self._received(run, number_of(body))
            works.append(_Work(run, call_id, patience_ms / 1000, message, left))
        self._begin(key)

    def _begin(self, key: tuple[Delivery, int]) -> None:
        works = self._works.get(key, [])
        for work in works[:_REQUESTS_AT_ONCE]:
            if not work.begun:
                work.begun = True
                self._process.later(self._pause(work.run.subject), partial(self._answer, work))

    def _answer(self, work: _Work) -> None:
        """The handler has come to the end of its own work."""
        if work.over:
            return
        offices = self._offices_of(work.run.delivery)
        if work.run.subject == "ask back" and offices:
            depth = messages.DEPTHS[work.run.kind] + 1
            called = offices[0].call(
                "ask back" if depth < DEPTH_MAX else "ask",
                work.patience * _CALLBACK_PATIENCE,
                10,
                lambda call: self._called_back(work, call),
                depth=depth,
            )
            if called is not None:
                return
        self._reply(work, messages.REPLY_OK)

    def _called_back(self, work: _Work, call: Call) -> None:
        failed = call.ended != "answered"
        self._reply(work, messages.REPLY_FAILED if failed else messages.REPLY_OK)

    def _reply(self, work: _Work, status: int) -> None:
        if work.over:
            return
        self.answered += 1
        for office in self._offices_of(work.run.delivery):
            large = work.run.subject == "ask for much" and status == messages.REPLY_OK
            office.reply(work.call_id, status, self._much() if large else 0)
        self._end(work)

    def _much(self) -> int:
        return self._process.random.randrange(2 * self._process.settings.window_bytes)

    def _on_cancel(self, delivery: Delivery, call_id: int) -> None:
        for (of, _), works in list(self._works.items()):
            for work in [work for work in works if work.call_id == call_id]:
                if of is delivery:
                    self._end(work)

    def _end(self, work: _Work) -> None:
        work.over = True
        key = work.run.delivery, messages.DEPTHS[work.run.kind]
        works: list[Any] = self._works.get(key, [])
        if work in works:
            works.remove(work)
        self._done(work)
        self._begin(key)

    def _done(self, work: _Work) -> None:
        work.message.handled = True
        work.left[0] -= 1
        if not work.left[0]:
            self._finished(work.run)


def _ours(receipt: object) -> Receipt:
    assert isinstance(receipt, Receipt)
    return receipt
