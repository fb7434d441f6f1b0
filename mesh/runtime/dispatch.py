"""Events of the engine become things that a program sees: handlers, replies, receipts, peers."""

import asyncio
import logging
from collections.abc import Callable
from typing import Any

from handshake.identity import NodeId
from mesh.counters import Counters
from mesh.delivery.delivery import Delivery
from mesh.delivery.outgoing import Outgoing
from mesh.engine import events
from mesh.engine.events import RunReceived
from mesh.errors import DeliveryFailed, MalformedFrame, Outcome, PeerRestarted
from mesh.exchange.calls import decode_cancel
from mesh.limits import NESTED_CALLS, RETIRED_DELIVERIES_PER_PEER
from mesh.model import Peer
from mesh.runtime import nesting
from mesh.runtime.handlers import Handler, Handlers
from mesh.runtime.mailbox import Mailbox
from mesh.runtime.pump import Pump
from mesh.runtime.receipts import Receipt, Standing
from mesh.runtime.requests import Requests
from mesh.runtime.threads import Threads
from mesh.runtime.told import Told
from mesh.runtime.workers import Worker
from mesh.trust.policy import Decision, Policy
from mesh.wire import messages

logger = logging.getLogger("noisemesh")

# Time for handlers to clean up after they were cancelled.
_STOP_SECONDS = 1.0

OnFailure = Callable[[Peer, DeliveryFailed], None]


class Dispatch:
    """Mailboxes by peer, workers by handler and peer, requests by peer.

    `outgoing`: where the hot path of `Node.send` looks: every way a peer may be named. `named`:
    the mailboxes, by the same names. `reactions`: what to call for an event, by its type.
    `on_failure`: called for a failed receipt that nobody awaits.
    """

    def __init__(
        self,
        handlers: Handlers,
        policy: Policy,
        counters: Counters,
        threads: Threads,
        *,
        max_concurrent_calls: int,
    ) -> None:
        self.handlers = handlers
        self.outgoing: dict[object, Outgoing] = {}
        self.mailboxes: dict[NodeId, Mailbox] = {}
        self.named: dict[object, Mailbox] = {}
        self.on_failure: OnFailure | None = None
        self._policy = policy
        self._counters = counters
        self._threads = threads
        self._max_concurrent_calls = max_concurrent_calls
        self._peers: dict[NodeId, Peer] = {}
        self._workers: dict[tuple[Handler, Delivery], Worker] = {}
        self._requests: dict[tuple[Delivery, int], Requests] = {}
        # Of deliveries that have ended, the oldest first.
        self._retiring: list[tuple[Delivery, Worker | Requests]] = []
        self._at_rest: asyncio.Event | None = None
        self._told = Told()
        self._pump: Pump | None = None
        self.reactions: dict[type, Callable[[Any], None]] = {
            events.RunReceived: self._on_run,
            events.Delivered: self._on_delivered,
            events.Handled: self._on_handled,
            events.RoomAvailable: self._on_room,
            events.PeerConnected: self._on_peer_connected,
            events.DeliveryEnded: self._on_delivery_ended,
        }

    def attach(self, pump: Pump) -> None:
        """The pump that carries answers away."""
        self._pump = pump

    # -- messages

    def _on_run(self, run: RunReceived) -> None:
        kind = run.kind
        if kind == messages.TELL:
            self._on_tell(run)
        elif kind in messages.DEPTHS:
            self._on_requests(run, messages.DEPTHS[kind])
        elif kind == messages.REPLY:
            self._on_replies(run)
        elif kind == messages.CANCEL:
            self._on_cancels(run)
        else:
            self._counters["ignored.unknown_kind"] += 1
            self._finished(run)

    def _on_tell(self, run: RunReceived) -> None:
        handler = self.handlers.tells.get(run.subject)
        if handler is None:
            self._counters["dropped.no_handler"] += len(run.bodies)
            peer, subject = self.peer(run.delivery.peer_id), run.subject[:80]
            level = self._told.level((peer.id, "no handler"), subject, logging.WARNING)
            logger.log(level, "no handler for %r: what %s sends to it is dropped", subject, peer)
            self._finished(run)
            return
        worker = self._workers.get((handler, run.delivery))
        if worker is None:
            mailbox = self._mailbox(run.delivery)
            if mailbox is None:
                self._ended_before(run)
                return
            threads = self._threads.of(0)
            worker = Worker(handler, mailbox.peer, self._finished, self._counters, threads)
            self._workers[handler, run.delivery] = worker
        worker.put(run)

    def _on_requests(self, run: RunReceived, depth: int) -> None:
        requests = self._requests.get((run.delivery, depth))
        if requests is None:
            mailbox = self._mailbox(run.delivery)
            if mailbox is None:
                self._ended_before(run)
                return
            limit = min(self._max_concurrent_calls, NESTED_CALLS) if depth else None
            requests = Requests(
                mailbox,
                self._finished,
                self._counters,
                self._threads.of(depth),
                limit or self._max_concurrent_calls,
                depth,
            )
            self._requests[run.delivery, depth] = requests
        requests.put(run, self.handlers.services.get(run.subject))

    def _on_replies(self, run: RunReceived) -> None:
        mailbox = self._mailbox(run.delivery)
        if mailbox is not None and not len(mailbox.calls):
            # Replies need no credit: those that nobody asked for are not even decoded.
            self._counters["dropped.unasked"] += len(run.bodies)
        elif mailbox is not None:
            malformed = mailbox.on_replies(self._items(run))
            if malformed:
                self._counters["dropped.malformed"] += malformed
        self._finished(run)

    def _on_cancels(self, run: RunReceived) -> None:
        call_ids = []
        for item in self._items(run):
            try:
                call_ids.append(decode_cancel(item))
            except MalformedFrame:
                self._counters["dropped.malformed"] += 1
        for (delivery, _), requests in self._requests.items():
            if delivery is run.delivery:
                requests.cancel(call_ids)
        self._finished(run)

    def _items(self, run: RunReceived) -> list[Any]:
        try:
            return messages.unpacked(run.bodies)
        except MalformedFrame:
            self._counters["dropped.malformed"] += len(run.bodies)
            return []

    def _mailbox(self, delivery: Delivery) -> Mailbox | None:
        """The way to those who sent this; None when they are gone."""
        mailbox = self.mailboxes.get(delivery.peer_id)
        return mailbox if mailbox is not None and mailbox.delivery is delivery else None

    def _ended_before(self, run: RunReceived) -> None:
        """It arrived in the same moment as the end of its delivery: nobody is there to answer."""
        self._counters["dropped.ended"] += len(run.bodies)
        self._finished(run)

    def _finished(self, run: RunReceived) -> None:
        if self._pump is not None:
            self._pump.finished(run.delivery, run.batch)
        if self._at_rest is not None and not self.busy:
            self._at_rest.set()

    # -- receipts

    def _on_delivered(self, event: events.Delivered) -> None:
        for receipt in event.receipts:
            if isinstance(receipt, Receipt):
                receipt.advance(Standing.DELIVERED)

    def _on_handled(self, event: events.Handled) -> None:
        for receipt in event.receipts:
            if isinstance(receipt, Receipt):
                receipt.advance(Standing.HANDLED)

    def _on_room(self, event: events.RoomAvailable) -> None:
        mailbox = self._mailbox(event.delivery)
        if mailbox is not None:
            mailbox.on_room()

    # -- peers

    def peer(self, peer_id: NodeId) -> Peer:
        """The peer as our trust list names it: one object for as long as its name is the same."""
        name, roles = self._policy.name_of(peer_id), tuple(self._policy.roles_of(peer_id))
        known = self._peers.get(peer_id)
        if known is not None and (known.name, known.roles) == (name, roles):
            return known
        return Peer(peer_id, name, roles)

    def _on_peer_connected(self, event: events.PeerConnected) -> None:
        assert self._pump is not None
        peer = self.peer(event.peer_id)
        mailbox = Mailbox(peer, event.delivery, self._pump)
        self.mailboxes[event.peer_id] = mailbox
        self._index(mailbox)

    def _index(self, mailbox: Mailbox) -> None:
        peer = self._peers[mailbox.peer.id] = mailbox.peer
        for name in (peer, peer.id, str(peer.id), peer.name):
            if name:
                self.named[name] = mailbox
                self.outgoing[name] = mailbox.outgoing

    def refresh_names(self) -> None:
        """The trust list has changed: peers are called by their new names from now on."""
        self.outgoing.clear()
        self.named.clear()
        self._peers = {
            peer.id: peer
            for peer in self._peers.values()
            if self.peer(peer.id) is peer and self._is_known(peer.id)
        }
        for mailbox in self.mailboxes.values():
            mailbox.peer = self.peer(mailbox.peer.id)
            self._index(mailbox)
        for (_, delivery), worker in self._workers.items():
            worker.peer = self._peers[delivery.peer_id]

    def _is_known(self, peer_id: NodeId) -> bool:
        return peer_id in self.mailboxes or self._policy.decide(peer_id) is Decision.ALLOWED

    def _on_delivery_ended(self, event: events.DeliveryEnded) -> None:
        delivery = event.delivery
        mailbox = self._mailbox(delivery)
        if mailbox is not None:
            del self.mailboxes[delivery.peer_id]
            for name in [name for name, named in self.named.items() if named is mailbox]:
                del self.named[name]
                del self.outgoing[name]
            mailbox.end(_error_of(mailbox.peer, event, "unknown"))
        self._retire(delivery)
        # Last, because it calls the program.
        self._fail_receipts(self.peer(delivery.peer_id), event)

    def _retire(self, delivery: Delivery) -> None:
        """Messages that have arrived are handled, requests are cancelled; nothing new comes.

        A peer that comes back again and again leaves no more behind than a few windows.
        """
        ending: list[Worker | Requests] = [
            self._workers.pop(key) for key in list(self._workers) if key[1] is delivery
        ]
        ending += [self._requests.pop(key) for key in list(self._requests) if key[0] is delivery]
        for one in ending:
            one.retire()
        busy = [(of, one) for of, one in self._retiring if one.busy]
        self._retiring = busy + [(delivery, one) for one in ending]
        same_peer = dict.fromkeys(of for of, _ in busy if of.peer_id == delivery.peer_id)
        oldest = list(same_peer)[:-RETIRED_DELIVERIES_PER_PEER]
        for of, one in busy:
            if of in oldest:
                peer = self.peer(delivery.peer_id)
                logger.warning("%s came back too often: its oldest messages are dropped", peer)
                one.give_up()

    def _fail_receipts(self, peer: Peer, event: events.DeliveryEnded) -> None:
        failed: set[int] = set()
        for receipt, outcome in event.failed:
            if not isinstance(receipt, Receipt) or id(receipt) in failed:
                continue
            failed.add(id(receipt))
            error = _error_of(peer, event, outcome)
            unseen = receipt.of_messages and receipt.standing < Standing.DELIVERED
            if not receipt.fail(error) and unseen:
                self._counters["receipts.failed"] += 1
                logger.warning("a message to %s failed: %s; %s", peer, event.reason, error.fate)
                self._tell_failure(peer, error)

    def _tell_failure(self, peer: Peer, error: DeliveryFailed) -> None:
        if self.on_failure is not None:
            try:
                with nesting.outside():
                    self.on_failure(peer, error)
            except Exception:
                logger.exception("on_failure raised")

    # -- ending

    @property
    def busy(self) -> bool:
        """Whether a handler has something to do."""
        return any(one.busy for one in self._at_work())

    def _at_work(self) -> list[Worker | Requests]:
        retiring = [one for _, one in self._retiring]
        return [*self._workers.values(), *self._requests.values(), *retiring]

    async def at_rest(self) -> None:
        """Wait until no handler has anything to do."""
        self._at_rest = asyncio.Event()
        if self.busy:
            await self._at_rest.wait()

    async def stop(self) -> None:
        """Cancel all handlers, and wait a moment for those that have to clean up."""
        tasks = [task for one in self._at_work() for task in one.stop()]
        if tasks:
            ended, deaf = await asyncio.wait(tasks, timeout=_STOP_SECONDS)
            await asyncio.gather(*ended, return_exceptions=True)
            if deaf:
                logger.error("%d handlers go on although they were cancelled", len(deaf))


def _error_of(peer: Peer, event: events.DeliveryEnded, outcome: Outcome) -> DeliveryFailed:
    """What the end of a delivery is to those who wait for it."""
    kind = PeerRestarted if event.restarted else DeliveryFailed
    return kind(f"{peer}: {event.reason}", outcome)
