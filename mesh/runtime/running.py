"""A node while it runs: every room joined, from the home's lock to the last closed socket."""

import asyncio
import logging
import os
from collections import OrderedDict
from collections.abc import Callable, Sequence
from random import Random
from threading import get_ident
from typing import Any

from handshake.constants import Reason
from handshake.identity import Identity, NodeId
from mesh.constants import FRAME_MAX_BYTES, INSTANCE_BYTES
from mesh.counters import Counters
from mesh.engine import events
from mesh.engine.engine import Engine
from mesh.engine.settings import Settings
from mesh.errors import NodeClosed, NotTrusted, PeerUnreachable
from mesh.home.configuration import Configuration
from mesh.home.settings import parse_target
from mesh.io import system
from mesh.io.zmq_transport import Transport
from mesh.limits import STRANGERS_REMEMBERED
from mesh.model import Peer
from mesh.runtime.control import Control
from mesh.runtime.dialer import Dialer
from mesh.runtime.dispatch import Dispatch
from mesh.runtime.handlers import Handlers
from mesh.runtime.pump import Pump
from mesh.runtime.receipts import Receipt
from mesh.runtime.threads import Threads
from mesh.runtime.told import Told
from mesh.runtime.trustees import Trust
from mesh.runtime.watches import Presences, silence_of
from mesh.trust.policy import Decision, Policy

logger = logging.getLogger("noisemesh")

# However busy our handlers are, peers hear that we close: so much of the time is theirs.
_GOODBYE_SECONDS = 1.0
_REFUSALS = frozenset({Reason.NOT_TRUSTED, Reason.REVOKED})


class Running:
    """Built when a node starts; `close` ends it. Raises InvalidConfiguration."""

    def __init__(
        self,
        configuration: Configuration,
        identity: Identity,
        policy: Policy,
        trust: Trust,
        handlers: Handlers,
        counters: Counters,
    ) -> None:
        self.configuration = configuration
        self.counters = counters
        self.strangers: OrderedDict[NodeId, events.StrangerRefused] = OrderedDict()
        # Peers we trust that do not trust us, and what they said.
        self.refusals: dict[NodeId, str] = {}
        self.endpoints: list[str] = []
        self._told = Told()
        self._policy = policy
        self._trust = trust
        self._closing = False
        self._loop = asyncio.get_running_loop()
        self._thread = get_ident()
        self._arrivals: dict[NodeId, list[asyncio.Future[Peer]]] = {}
        self._goodbyes: dict[NodeId, asyncio.Future[None]] = {}
        self._pongs: dict[tuple[NodeId, int], asyncio.Future[float]] = {}
        self._threads = Threads(configuration.handler_threads)
        self.dispatch = Dispatch(
            handlers,
            policy,
            counters,
            self._threads,
            max_concurrent_calls=configuration.max_concurrent_calls,
        )
        self.presence = Presences(
            is_allowed=self._is_allowed, has_way=self.has_way, peer_of=self.dispatch.peer
        )
        self.engine = _engine(configuration, identity, policy, counters)
        self.pump = Pump(self.engine, system.now, self._on_event)
        self.dispatch.attach(self.pump)
        system.raise_file_limit()
        system.keep_freed_memory()
        self.transport = Transport(
            max_frame_bytes=FRAME_MAX_BYTES,
            opened=self.pump.watch,
            closed=self.pump.unwatch,
            dropped=self._on_dropped,
        )
        self.dialer = Dialer(self.transport, self.pump, self.explain, Random(os.urandom(8)))
        self.pump.attach(self.transport, self.dialer.on_notice)
        reactions: dict[type, Callable[[Any], None]] = {
            events.PeerConnected: self._on_connected,
            events.RouteAuthenticated: self.dialer.on_authenticated,
            events.ConnectFailed: self._on_connect_failed,
            events.StrangerRefused: self._on_stranger,
            events.PresenceChanged: self._on_presence,
            events.RouteWanted: self._on_cut_off,
            events.PongReceived: self._on_pong,
            events.PeerClosed: self._on_closed,
            events.Superseded: self._on_superseded,
        }
        tables = (self.dispatch.reactions, self.presence.reactions, reactions)
        self._reactions = {
            kind: [table[kind] for table in tables if kind in table]
            for kind in {kind for table in tables for kind in table}
        }
        self.control = Control(self, policy, trust)
        trust.watch(self._on_trust_edited)

    def open(self) -> None:
        """Listen and dial as configured. Raises InvalidConfiguration."""
        self.endpoints = [self.transport.bind(endpoint) for endpoint in self.configuration.listen]
        for text in self.configuration.connect:
            target = parse_target(text)
            self.dialer.keep(target.endpoint, target.id)
        self.pump.run()

    # -- events

    def _on_event(self, event: events.Event) -> None:
        for react in self._reactions.get(type(event), ()):
            react(event)

    def _on_dropped(self) -> None:
        self.counters["dropped.parts"] += 1

    def _on_connect_failed(self, event: events.ConnectFailed) -> None:
        if event.by_peer and event.peer_id is not None and self._is_allowed(event.peer_id):
            self.refusals[event.peer_id] = event.reason.value
        self.dialer.on_failed(event)

    def _on_presence(self, event: events.PresenceChanged) -> None:
        # Not what it is called: without a connection that is another word.
        logger.info("%s: %s", self.dispatch.peer(event.peer_id), silence_of(event))

    def _on_cut_off(self, event: events.RouteWanted) -> None:
        logger.info("no connection to %s is left", self.dispatch.peer(event.peer_id))

    def _on_pong(self, event: events.PongReceived) -> None:
        waiting = self._pongs.pop((event.peer_id, event.token), None)
        if waiting is not None and not waiting.done():
            waiting.set_result(event.round_trip)

    def _on_superseded(self, event: events.Superseded) -> None:
        logger.error("another instance with this node's identity runs: two copies of one home?")
        self.counters["alarms.superseded"] += 1
        self.dialer.on_superseded(event)

    def _on_connected(self, event: events.PeerConnected) -> None:
        peer = self.dispatch.mailboxes[event.peer_id].peer
        self.strangers.pop(event.peer_id, None)
        self.refusals.pop(event.peer_id, None)
        self._told.forget(event.peer_id)
        logger.info("connected with %s", peer)
        for future in self._arrivals.pop(event.peer_id, ()):
            if not future.done():
                future.set_result(peer)

    def _on_stranger(self, event: events.StrangerRefused) -> None:
        """Somebody proved who it is, and is not trusted: listed with the command that would.

        Of one that this node dialled the dialer tells, who knows the endpoint.
        """
        reason, called = event.reason.value, not event.address.startswith("dialled ")
        if event.reason is not Reason.NOT_TRUSTED:
            if called:
                level = self._told.level(event.peer_id, reason, logging.INFO)
                logger.log(level, "refused %s: %s", self.dispatch.peer(event.peer_id), reason)
            return
        self.strangers.pop(event.peer_id, None)
        self.strangers[event.peer_id] = event
        if len(self.strangers) > STRANGERS_REMEMBERED:
            self.strangers.popitem(last=False)
        if called:
            level = self._told.level(event.peer_id, reason, logging.WARNING)
            explained = self.explain(event.peer_id)
            logger.log(level, "refused %s: %s; %s", event.address, reason, explained)

    def _on_closed(self, event: events.PeerClosed) -> None:
        peer, refused = self.dispatch.peer(event.peer_id), event.reason in _REFUSALS
        if event.by_us:
            logger.info("%s: closed here: %s", peer, event.reason.value)
        else:
            if refused and self._is_allowed(event.peer_id):
                self.refusals[event.peer_id] = event.reason.value
            why = "" if event.reason is Reason.CLOSED else f": {event.reason.value}"
            logger.info("%s has closed%s", peer, why)
        self.dialer.on_peer_closed(event)
        waiting = self._goodbyes.get(event.peer_id)
        if waiting is not None and not waiting.done():
            waiting.set_result(None)

    def _on_trust_edited(self) -> None:
        """By a handler in a thread, perhaps; sockets are touched in the loop's thread alone."""
        if get_ident() == self._thread:
            self._on_trust_changed()
        else:
            self._loop.call_soon_threadsafe(self._on_trust_changed)

    def _on_trust_changed(self) -> None:
        if self._closing:
            return
        for peer_id in list(self.strangers):
            if self._policy.decide(peer_id) is not Decision.UNKNOWN:
                del self.strangers[peer_id]
                self._told.forget(peer_id)
        # Whom this change lets in is dialled; whom it throws out hears of it undisturbed.
        self.dialer.trust_changed()
        self.engine.trust_changed(self.pump.clock())
        self.dispatch.refresh_names()
        self.pump.run()
        self.presence.trust_changed()
        for peer_id in [peer_id for peer_id in self.refusals if not self._is_allowed(peer_id)]:
            del self.refusals[peer_id]

    def _is_allowed(self, peer_id: NodeId) -> bool:
        return self._policy.decide(peer_id) is Decision.ALLOWED

    def explain(self, peer_id: NodeId) -> str:
        """What would make this node trust that peer: a command, or a line of the program."""
        if self._trust.in_memory:
            return f"to trust it: node.trust.allow({str(peer_id)!r})"
        return f"to trust it: {self.control.trust_command(peer_id)}"

    # -- questions

    def distrust_of(self, peer_id: NodeId) -> NotTrusted | None:
        """The error that says why nothing can be said to a peer, and what would change it."""
        decision = self._policy.decide(peer_id)
        if decision is Decision.ALLOWED:
            return None
        state = "denied" if decision is Decision.DENIED else "not trusted"
        peer = self.dispatch.peer(peer_id)
        return NotTrusted(f"{peer} is {state} by this node; {self.explain(peer_id)}")

    def has_way(self, peer_id: NodeId) -> bool:
        """Whether there is a connection to this peer that has proved to lead there."""
        association = self.engine.association(peer_id)
        return association is not None and association.routes.best is not None

    async def wait_for(self, peer_id: NodeId, timeout: float) -> Peer:
        """The peer, as soon as there is a session.

        Raises NotTrusted for one that this node has denied, PeerUnreachable after `timeout`
        seconds, NodeClosed.
        """
        mailbox = self.dispatch.mailboxes.get(peer_id)
        if mailbox is not None:
            return mailbox.peer
        self._check_open()
        distrust = self.distrust_of(peer_id)
        if distrust is not None and self._policy.decide(peer_id) is Decision.DENIED:
            raise distrust
        future: asyncio.Future[Peer] = asyncio.get_running_loop().create_future()
        self._arrivals.setdefault(peer_id, []).append(future)
        try:
            return await asyncio.wait_for(future, timeout)
        except TimeoutError:
            peer = self.dispatch.peer(peer_id)
            raise PeerUnreachable(f"{peer} has not connected within {timeout:g} s") from None
        finally:
            waiting = self._arrivals.get(peer_id, [])
            if future in waiting:
                waiting.remove(future)
            if not waiting:
                self._arrivals.pop(peer_id, None)

    async def ping(self, peer_id: NodeId, timeout: float) -> float:
        """Seconds of one sealed round trip. Raises NotTrusted, PeerUnreachable, NodeClosed."""
        self._check_open()
        token = self.engine.ping(peer_id, self.pump.clock())
        if token is None:
            distrust = self.distrust_of(peer_id)
            if distrust is not None:
                raise distrust
            raise PeerUnreachable(f"no way to {self.dispatch.peer(peer_id)} at present")
        future: asyncio.Future[float] = asyncio.get_running_loop().create_future()
        self._pongs[peer_id, token] = future
        self.pump.run()
        try:
            return await asyncio.wait_for(future, timeout)
        except TimeoutError:
            peer = self.dispatch.peer(peer_id)
            raise PeerUnreachable(f"{peer} did not answer within {timeout:g} s") from None
        finally:
            self._pongs.pop((peer_id, token), None)

    # -- the end

    async def close(self, drained: Callable[[], None]) -> None:
        """Send what is queued, say goodbye, stop handlers, close sockets; bounded in time.

        `drained`: called once, when nothing may be sent any more; handlers may until then. Whoever
        still waits for a peer, a reply or a receipt is told that it ended.
        """
        loop = asyncio.get_running_loop()
        timeout = self.configuration.close_timeout_seconds
        share = min(_GOODBYE_SECONDS, timeout / 2)
        deadline = loop.time() + timeout
        self._end_waiting()
        try:
            try:
                await self.control.close()
                await self._drain(deadline - share)
            finally:
                drained()
                self._end_calls()
            await self._say_goodbye(max(deadline, loop.time() + share))
        finally:
            self._trust.watch(None)
            self.dialer.close()
            try:
                self._end_deliveries()
                await self.dispatch.stop()
            finally:
                self.pump.stop()
                self.transport.close()
                self._threads.stop()

    def _check_open(self) -> None:
        if self._closing:
            raise NodeClosed("the node is closing")

    def _end_waiting(self) -> None:
        """Nobody arrives and nothing is dialled or pinged any more."""
        self._closing = True
        self.dialer.end()
        self.presence.end()
        waiting: list[asyncio.Future[Any]] = [*self._pongs.values()]
        for arrivals in self._arrivals.values():
            waiting.extend(arrivals)
        for future in waiting:
            if not future.done():
                future.set_exception(NodeClosed("the node is closing"))

    def _end_calls(self) -> None:
        """Nothing is sent any more; calls and those who wait for room are told."""
        for mailbox in self.dispatch.mailboxes.values():
            mailbox.end(NodeClosed("the node is closing"))

    def _end_deliveries(self) -> None:
        """What is unfinished now stays unfinished; its receipts say so."""
        for association in self.engine.associations():
            association.end_delivery("this node has closed")
        self.pump.run()

    async def _drain(self, deadline: float) -> None:
        """Until our handlers are done and what we sent is acknowledged, or the time is up."""
        await _wait_until([asyncio.ensure_future(self.dispatch.at_rest())], deadline)
        for mailbox in list(self.dispatch.mailboxes.values()):
            self.pump.flush(mailbox.delivery)
        waiting = [
            asyncio.ensure_future(mailbox.drained()) for mailbox in self.dispatch.mailboxes.values()
        ]
        await _wait_until(waiting, deadline)

    async def _say_goodbye(self, deadline: float) -> None:
        loop = asyncio.get_running_loop()
        for peer_id in self.engine.close(self.pump.clock()):
            self._goodbyes[peer_id] = loop.create_future()
        self.pump.run()
        await _wait_until(list(self._goodbyes.values()), deadline)


async def _wait_until(waiting: Sequence[asyncio.Future[None]], deadline: float) -> None:
    """Wait for all of them at most until `deadline` (loop time); cancel what is left."""
    if not waiting:
        return
    left = max(0.0, deadline - asyncio.get_running_loop().time())
    _, pending = await asyncio.wait(waiting, timeout=left)
    for future in pending:
        future.cancel()


def _engine(
    configuration: Configuration, identity: Identity, policy: Policy, counters: Counters
) -> Engine:
    preferred = ("AESGCM", "ChaChaPoly") if system.has_fast_aes() else ("ChaChaPoly",)
    settings = Settings(
        instance=os.urandom(INSTANCE_BYTES),
        mesh=configuration.mesh,
        mesh_secret=configuration.mesh_secret,
        suites=preferred,
        window_bytes=configuration.window_bytes,
        max_message_bytes=configuration.max_message_bytes,
        rekey_after_seconds=configuration.rekey_after_seconds,
        max_peers=configuration.max_peers,
    )
    return Engine(
        identity,
        settings,
        policy,
        random_bytes=os.urandom,
        new_receipt=Receipt,
        counters=counters,
    )
