"""The façade: a node of the mesh inside a program.

Making a `Node` touches nothing; `async with node:` starts it. The methods below find the peer and
hand over to `runtime`; `send` alone holds a hot path (see its comment).
"""

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from types import TracebackType
from typing import Any, Self, TypeVar

from handshake.identity import Identity, NodeId
from mesh.counters import Counters
from mesh.delivery.outgoing import Outgoing
from mesh.errors import DeliveryFailed, HomeInUse, NodeClosed, PeerUnreachable, UnknownPeer
from mesh.home import keys
from mesh.home.configuration import Configuration
from mesh.home.home import Home
from mesh.limits import BULK_BYTES, MESSAGE_BUDGET_BYTES
from mesh.model import Peer
from mesh.runtime.handlers import Handlers, check_failure_listener, check_subject
from mesh.runtime.mailbox import Mailbox
from mesh.runtime.postbox import BYTES_LIKE
from mesh.runtime.presence import Presence, PresenceChange
from mesh.runtime.receipts import Receipt
from mesh.runtime.running import Running
from mesh.runtime.trustees import Trust
from mesh.runtime.watches import presences_of
from mesh.trust.policy import Policy
from mesh.wire.cbor import dumps

F = TypeVar("F", bound=Callable[..., Any])
AnyPeer = Peer | NodeId | str


class Node:
    """One node: an identity, the peers it trusts, and what it says and hears.

    `name`: what it calls itself in `mesh up` and `mesh status`. `home`: the folder of its key and
    trust list; None: the user's data directory; ":memory:": a throw-away identity that trusts whom
    it is told to.
    Every other keyword is a field of the configuration (docs/reference/configuration.md), which
    may come from the home's `config.toml` or the environment as well.

    Raises InvalidConfiguration for a keyword that cannot be one.
    """

    def __init__(
        self, name: str | None = None, *, home: str | os.PathLike[str] | None = None, **fields: Any
    ) -> None:
        self._home = Home.locate(home, os.environ)
        if name is not None:
            fields["name"] = name
        self._configuration = Configuration.load(self._home.path, os.environ, **fields)
        self._handlers = Handlers()
        self._policy = Policy()
        self._counters = Counters()
        self._trust = Trust(self._policy, self._home)
        self._identity: Identity | None = None
        self._running: Running | None = None
        self._closed: asyncio.Event | None = None
        # By every way in which a peer may be named.
        self._outgoing: dict[object, Outgoing] = {}
        self._mailboxes: dict[object, Mailbox] = {}
        self._on_failure: Callable[[Peer, DeliveryFailed], None] | None = None

    def __repr__(self) -> str:
        state = "running" if self._running is not None else "not running"
        return f"<Node {self._configuration.name!r} {state}>"

    # -- handlers

    def on(self, subject: str, *, concurrency: int = 1) -> Callable[[F], F]:
        """Decorator: handle direct messages of `subject`, in order for each peer.

        The handler takes the body, and `peer=` if it names it; an `async def` runs in the loop, a
        plain `def` in a thread. `concurrency`: how many of one peer's at a time; more than one
        gives up their order. Raises InvalidConfiguration, InvalidMessage for the subject.
        """
        return self._handlers.on(subject, concurrency)

    def serve(self, subject: str) -> Callable[[F], F]:
        """Decorator: answer requests of `subject`; what the handler returns is the reply.

        The handler takes the body, and `peer=` if it names it, as with `on`; what it raises reaches
        the caller as CallFailed. Requests are answered side by side. Raises InvalidConfiguration,
        InvalidMessage for the subject.
        """
        return self._handlers.serve(subject)

    def on_failure(self, function: Callable[[Peer, DeliveryFailed], None]) -> Any:
        """Decorator: called with (peer, error) for a failed message whose receipt nobody awaits.

        A plain function, called in the loop: it must not take long. Raises InvalidConfiguration
        for an `async def`, a generator, or a function of another shape.
        """
        check_failure_listener(function)
        self._on_failure = function
        if self._running is not None:
            self._running.dispatch.on_failure = function
        return function

    # -- life

    async def start(self) -> None:
        """Take the home, open sockets, dial. `async with node:` does it and `close` for you.

        Raises HomeInUse (by this node, if it runs already), InvalidConfiguration, NodeClosed (when
        it is closed meanwhile).
        """
        while self._closed is not None:
            await self._closed.wait()
        if self._running is not None:
            raise HomeInUse("the node is running already")
        self._home.acquire()
        try:
            if self._identity is None or self._home.key_file is not None:
                hidden = self._configuration.passphrase
                self._identity = keys.load_or_create(
                    self._home.key_file, passphrase=None if hidden is None else hidden.reveal()
                )
            self._trust.load()
            self._counters.clear()
            running = Running(
                self._configuration,
                self._identity,
                self._policy,
                self._trust,
                self._handlers,
                self._counters,
            )
        except BaseException:
            self._home.release()
            raise
        running.dispatch.on_failure = self._on_failure
        self._running = running
        self._outgoing = running.dispatch.outgoing
        self._mailboxes = running.dispatch.named
        try:
            running.open()
            await running.control.open(self._home)
        except BaseException:
            await self.close()
            raise
        if self._running is not running:
            await running.control.close()
            raise NodeClosed("the node was closed while it started")

    async def close(self) -> None:
        """Deliver what is queued, say goodbye and end, within `close_timeout_seconds`.

        Handlers finish, and may send, before the goodbye; so one that closes its own node waits
        for itself until the time is up. What is still unfinished then fails. May be repeated.
        """
        if self._closed is not None:
            await self._closed.wait()
            return
        if self._running is None:
            return
        closed = self._closed = asyncio.Event()
        try:
            await self._running.close(self._forget)
        finally:
            self._home.release()
            self._closed = None
            closed.set()

    def _forget(self) -> None:
        self._running = None
        self._outgoing = {}
        self._mailboxes = {}

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self,
        _type: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        await self.close()

    def run(self) -> None:
        """For programs without asyncio: run until SIGINT or SIGTERM."""
        asyncio.run(self.run_until_signal())

    async def run_until_signal(self) -> None:
        """Run until SIGINT or SIGTERM, then close."""
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        numbers = (signal.SIGINT, signal.SIGTERM)
        with contextlib.suppress(NotImplementedError):
            for number in numbers:
                loop.add_signal_handler(number, stop.set)
        try:
            async with self:
                self._live.control.on_stop = stop.set
                await stop.wait()
        finally:
            with contextlib.suppress(NotImplementedError):
                for number in numbers:
                    loop.remove_signal_handler(number)

    # -- who we are, whom we know

    @property
    def name(self) -> str:
        """What this node calls itself."""
        return self._configuration.name

    @property
    def id(self) -> NodeId:
        """Our identity; known once the node has started. Raises NodeClosed before."""
        if self._identity is None:
            raise NodeClosed("a node learns its id when it starts: the key lies in its home")
        return self._identity.id

    @property
    def endpoints(self) -> list[str]:
        """Where we listen, with real port numbers. Raises NodeClosed."""
        return list(self._live.endpoints)

    @property
    def trust(self) -> Trust:
        """Whom this node believes."""
        return self._trust

    @property
    def peers(self) -> list[Peer]:
        """Peers there is a session with. Raises NodeClosed."""
        return [mailbox.peer for mailbox in self._live.dispatch.mailboxes.values()]

    def counters(self) -> dict[str, int]:
        """What happened since the last start, by name."""
        return self._counters.snapshot()

    @property
    def running(self) -> Running:
        """The rooms of the running node, for tools that look inside. Raises NodeClosed."""
        return self._live

    @property
    def _live(self) -> Running:
        if self._running is None:
            raise NodeClosed("the node is not running: `async with node:` starts it")
        return self._running

    # -- peers

    async def connect(
        self, endpoint: str, *, id: AnyPeer | None = None, timeout: float | None = None
    ) -> Peer:
        """Dial `endpoint`, prove both identities, and keep the connection from then on.

        `id`: the only identity to accept there, or the name of a trusted peer. `timeout`: seconds,
        `connect_timeout_seconds` by default. Raises PeerUnreachable, NotTrusted, WrongPeer,
        InvalidConfiguration, NodeClosed.
        """
        running = self._live
        pin = None if id is None else self._find(id)
        if timeout is None:
            timeout = self._configuration.connect_timeout_seconds
        deadline = asyncio.get_running_loop().time() + timeout
        peer_id = await running.dialer.connect(endpoint, pin, timeout)
        left = max(0.0, deadline - asyncio.get_running_loop().time())
        return await running.wait_for(peer_id, left)

    async def peer(self, peer: AnyPeer) -> Peer:
        """The peer of that name or id, connected.

        Raises UnknownPeer, PeerUnreachable, NodeClosed.
        """
        return self._mailbox(peer).peer

    async def wait_for(self, peer: AnyPeer, *, timeout: float | None = None) -> Peer:
        """The same, waiting until it has connected, for `timeout` seconds.

        Raises PeerUnreachable after that, UnknownPeer, NodeClosed.
        """
        if timeout is None:
            timeout = self._configuration.connect_timeout_seconds
        return await self._live.wait_for(self._find(peer), timeout)

    def presence(self, peer: AnyPeer) -> Presence:
        """What is known of a peer at this moment. Raises UnknownPeer, NodeClosed."""
        return self._live.presence.of(self._find(peer))

    async def wait_for_presence(
        self, peer: AnyPeer, *presences: Presence | str, timeout: float | None = None
    ) -> Presence:
        """Wait until the peer is one of these: "lost", "closed", ... Gives the one that it is.

        `timeout`: seconds; None: as long as the node runs. Raises WaitTimeout after that,
        NotTrusted when the peer is denied or forgotten meanwhile, UnknownPeer,
        InvalidConfiguration for a text that is no presence, NodeClosed.
        """
        wanted = presences_of(presences)
        return await self._live.presence.wait_for(self._find(peer), wanted, timeout)

    def watch(self) -> AbstractAsyncContextManager[AsyncIterator[PresenceChange]]:
        """`async with node.watch() as changes: async for change in changes:` what peers become.

        First what is known now of everybody that was met, then every change; of each peer the
        latest, where more has happened than was taken. It ends when the node closes, or the block.
        Raises NodeClosed.
        """
        return self._live.presence.watch()

    async def ping(self, peer: AnyPeer, *, timeout: float = 5.0) -> float:
        """Seconds of one sealed round trip, within `timeout` seconds.

        Raises PeerUnreachable, UnknownPeer, NodeClosed.
        """
        return await self._live.ping(self._find(peer), timeout)

    # -- messages

    async def send(self, peer: AnyPeer, subject: str, body: object) -> Receipt:
        """Send a direct message, waiting for room. Its receipt tells how it fares.

        Raises InvalidMessage, MessageTooLarge, UnknownPeer, NotTrusted, PeerUnreachable,
        DeliveryFailed, NodeClosed, WrongThread.
        """
        # The hot path: one look-up, and while the open run is of this very subject one append.
        # The first message of every run and whatever does not fit goes the long way below.
        try:
            outgoing = self._outgoing.get(peer)
        except TypeError:
            outgoing = None
        if outgoing is not None:
            joining = None
            if type(body) is bytes:
                if outgoing.raw_subject == subject:
                    joining = body
            elif outgoing.packed_subject == subject and not isinstance(body, BYTES_LIKE):
                joining = dumps(body)
            if joining is not None and subject:
                size = len(joining)
                budget = outgoing.budget - size - MESSAGE_BUDGET_BYTES
                if budget >= 0 and size < BULK_BYTES:
                    outgoing.budget = budget
                    outgoing.append(joining)
                    receipt: Receipt = outgoing.receipt
                    return receipt
        check_subject(subject)
        return await self._mailbox(peer).tell(subject, body)

    def post(self, peer: AnyPeer, subject: str, body: object) -> Receipt:
        """Send a direct message without ever waiting. Raises as `send`, and BufferFull."""
        check_subject(subject)
        return self._mailbox(peer).post(subject, body)

    async def call(
        self, peer: AnyPeer, subject: str, body: object = None, *, timeout: float | None = None
    ) -> Any:
        """Ask a peer and wait for its reply.

        `timeout`: seconds, `call_timeout_seconds` by default; cancelling cancels the far side.
        Raises CallFailed, CallTimeout, NoHandler, Denied (too deep inside other calls), and as
        `send`.
        """
        check_subject(subject)
        if timeout is None:
            timeout = self._configuration.call_timeout_seconds
        return await self._mailbox(peer).call(subject, body, timeout)

    def _mailbox(self, peer: AnyPeer) -> Mailbox:
        try:
            return self._mailboxes[peer]
        except (KeyError, TypeError):
            dispatch = self._live.dispatch
            peer_id = self._find(peer)
        mailbox = dispatch.mailboxes.get(peer_id)
        if mailbox is None:
            distrust = self._live.distrust_of(peer_id)
            if distrust is not None:
                raise distrust
            raise PeerUnreachable(
                f"no session with {dispatch.peer(peer_id)}: connect to it or wait_for it"
            )
        return mailbox

    def _find(self, peer: AnyPeer) -> NodeId:
        """The id that a peer, id, id's text or petname stands for. Raises UnknownPeer."""
        if isinstance(peer, Peer):
            return peer.id
        if not isinstance(peer, NodeId | str):
            raise UnknownPeer(f"a peer is named by Peer, id or text, not by {type(peer).__name__}")
        return self._policy.resolve(peer)
