"""Connections we want: dialled, dialled again when they are lost, until nobody wants them.

The engine proves who is at the other end; the transport retries until something listens there.
This room remembers why: an endpoint, perhaps an identity, and who waits for the result.
"""

import asyncio
import logging
from collections.abc import Callable
from functools import partial
from math import inf
from random import Random

from handshake.constants import Reason
from handshake.identity import NodeId
from mesh import constants
from mesh.engine import events
from mesh.errors import MeshError, NodeClosed, NotTrusted, PeerUnreachable, WrongPeer
from mesh.io.notices import Connected, Lost, Notice, Retrying
from mesh.io.zmq_transport import Transport
from mesh.model import Route
from mesh.runtime.pump import Pump
from mesh.runtime.told import Told

logger = logging.getLogger("noisemesh")

# A connection that is cut before anybody proved who answers is dialled again more and more slowly,
# never in step; much less so where the peer has proved itself a moment ago, since it waits for us.
_FIRST_PAUSE_SECONDS = 0.05
_LONGEST_PAUSE_SECONDS = 5.0
_LONGEST_PAUSE_TO_PROVED_SECONDS = 0.4
_MOMENT_SECONDS = 30.0
_STOOD_SECONDS = 1.0
# A connection that said goodbye is hung up, with what waits in it, once that must have left. Who
# said it to everybody at once is not dialled by everybody at once.
_GOODBYE_SECONDS = 1.0
_GOODBYE_SPREAD_SECONDS = 0.5
# Somebody who refused us may change his mind, but is not asked all the time.
_REFUSED_PAUSE_SECONDS = 15.0
_REFUSALS = frozenset({Reason.NOT_TRUSTED, Reason.REVOKED})
_PAUSED = "another node with this identity runs, and is left the field for a while"


class _Wish:
    """A connection to `endpoint`; `pin`: the only identity wanted there."""

    def __init__(self, endpoint: str, pin: NodeId | None) -> None:
        self.endpoint = endpoint
        self.pin = pin
        self.route: Route | None = None
        # Who answered there when last somebody did. `proved`: on the connection of now;
        # `leaving`: that one has no use any more.
        self.led_to: NodeId | None = None
        self.proved = False
        self.leaving = False
        self.connected_at = inf
        self.proved_at = -inf
        self.paused_until = 0.0
        self.pause = _FIRST_PAUSE_SECONDS
        self.trouble = "nobody answered"
        self.waiting: list[asyncio.Future[NodeId]] = []
        self.timer: asyncio.TimerHandle | None = None
        self.permanent = False


class Dialer:
    """Keeps every wished-for connection. `jitter`: where pauses get their randomness."""

    def __init__(
        self, transport: Transport, pump: Pump, explain: Callable[[NodeId], str], jitter: Random
    ) -> None:
        self._transport = transport
        self._pump = pump
        self._explain = explain
        self._jitter = jitter
        self._loop = asyncio.get_running_loop()
        self._wishes: dict[tuple[str, NodeId | None], _Wish] = {}
        self._by_route: dict[Route, _Wish] = {}
        self._told = Told()
        self._ending = False

    # -- wishes

    def keep(self, endpoint: str, pin: NodeId | None) -> None:
        """Dial now, and again for ever. Raises InvalidConfiguration for a bad endpoint."""
        self._wish(endpoint, pin).permanent = True

    async def connect(self, endpoint: str, pin: NodeId | None, timeout: float) -> NodeId:
        """Dial and wait for the proof; the connection is kept from then on. Who it is.

        Raises PeerUnreachable after `timeout` seconds, NotTrusted or WrongPeer when one side
        refuses the other, InvalidConfiguration for a bad endpoint, NodeClosed.
        """
        if self._ending:
            raise NodeClosed("the node is closing")
        wish = self._wish(endpoint, pin)
        if wish.proved and wish.led_to is not None:
            return wish.led_to
        future: asyncio.Future[NodeId] = self._loop.create_future()
        wish.waiting.append(future)
        try:
            return await asyncio.wait_for(future, timeout)
        except TimeoutError:
            raise PeerUnreachable(
                f"no peer at {endpoint} within {timeout:g} s: {wish.trouble}"
            ) from None
        finally:
            wish.waiting = [waiting for waiting in wish.waiting if waiting is not future]
            if wish.led_to is None and not wish.waiting and not wish.permanent:
                self._withdraw(wish)
                self._pump.run()

    def endpoints_of(self, peer_id: NodeId) -> list[str]:
        """Where we dialled this peer."""
        return [wish.endpoint for wish in self._wishes.values() if wish.led_to == peer_id]

    def wishes(self) -> list[tuple[str, NodeId | None, str]]:
        """Every connection wanted: its endpoint, whoever answers or answered, what is wrong."""
        return [(wish.endpoint, wish.led_to, wish.trouble) for wish in self._wishes.values()]

    def trust_changed(self) -> None:
        """Whoever was refused may be allowed now: try at once."""
        for wish in self._wishes.values():
            self._dial_now(wish)

    def end(self) -> None:
        """The node is closing: nobody waits for a connection any more.

        Those that were lost are still dialled again, for what is queued.
        """
        self._ending = True
        for wish in self._wishes.values():
            self._fail(wish, NodeClosed("the node is closing"))

    def close(self) -> None:
        """Nothing is dialled any more."""
        self.end()
        for wish in list(self._wishes.values()):
            self._withdraw(wish)

    def _wish(self, endpoint: str, pin: NodeId | None) -> _Wish:
        wish = self._wishes.get((endpoint, pin))
        if wish is None:
            wish = _Wish(endpoint, pin)
            self._open(wish)
            self._wishes[endpoint, pin] = wish
        else:
            self._dial_now(wish)
        return wish

    def _dial_now(self, wish: _Wish) -> None:
        """Unless it is connected, or about to be."""
        if wish.leaving:
            self._hang_up(wish)
        if wish.route is None:
            self._dial_after(wish, 0.0)

    def _withdraw(self, wish: _Wish) -> None:
        self._wishes.pop((wish.endpoint, wish.pin), None)
        if wish.timer is not None:
            wish.timer.cancel()
        self._hang_up(wish)

    # -- what happens to them

    def on_notice(self, notice: Notice) -> None:
        """News of a connection from the transport."""
        wish = self._by_route.get(notice.route)
        if wish is None:
            return
        if isinstance(notice, Connected):
            wish.connected_at = self._loop.time()
            wish.trouble = (
                "somebody listens there, but nobody proved who it is: "
                "no noisemesh node, or one of another mesh or mesh_secret"
            )
            self._pump.engine.connect(
                notice.route, self._pump.clock(), pin=wish.pin, led_to=wish.led_to
            )
        elif isinstance(notice, Lost):
            self._on_lost(wish, notice.reason)
        elif isinstance(notice, Retrying):
            if wish.permanent and wish.trouble != notice.reason:
                logger.warning("dialling %s: %s", wish.endpoint, notice.reason)
            wish.trouble = notice.reason

    def _on_lost(self, wish: _Wish, reason: str) -> None:
        """A connection is gone: at once again if it led to the peer or stood for long."""
        logger.info("connection to %s lost: %s", wish.endpoint, reason)
        wish.trouble = reason
        stood_since, wish.connected_at = wish.connected_at, inf
        now = self._loop.time()
        if wish.proved or now - stood_since > _STOOD_SECONDS:
            wish.pause = _FIRST_PAUSE_SECONDS
        self._hang_up(wish)
        self._dial_after(wish, wish.pause * self._spread())
        lately = now - wish.proved_at < _MOMENT_SECONDS
        longest = _LONGEST_PAUSE_TO_PROVED_SECONDS if lately else _LONGEST_PAUSE_SECONDS
        wish.pause = min(wish.pause * 2, longest)

    def on_authenticated(self, event: events.RouteAuthenticated) -> None:
        """A connection leads to a peer that proved itself."""
        wish = self._by_route.get(event.route)
        if wish is None:
            return
        wish.led_to = event.peer_id
        wish.proved = True
        wish.proved_at = self._loop.time()
        wish.trouble = ""
        self._told.forget((wish.endpoint, wish.pin))
        for future in wish.waiting:
            if not future.done():
                future.set_result(event.peer_id)

    def on_peer_closed(self, event: events.PeerClosed) -> None:
        """The peer has said goodbye, or was told to go: what leads there is of no use any more.

        It is dialled again: the peer may come back, or either side may change its mind.
        """
        pause = _REFUSED_PAUSE_SECONDS if event.reason in _REFUSALS else 0.0
        for wish in self._leading_to(event.peer_id):
            wish.trouble = event.text
            wish.proved, wish.leaving = False, True
            # Our own goodbye is still on its way.
            after = pause + _GOODBYE_SPREAD_SECONDS * self._jitter.random()
            self._later(wish, _GOODBYE_SECONDS, partial(self._leave, wish, after))

    def _spread(self) -> float:
        """What a pause is multiplied with, so that no two nodes keep step: 0.5 to 1.5."""
        return 0.5 + self._jitter.random()

    def _leave(self, wish: _Wish, pause: float) -> None:
        self._hang_up(wish)
        self._pump.run()
        self._dial_after(wish, pause)

    def on_superseded(self, event: events.Superseded) -> None:
        """Another instance of this node is alive: leave it the field there for a while.

        Only there: a peer that lies about it keeps us from nobody else.
        """
        for wish in self._leading_to(event.peer_id):
            wish.trouble = _PAUSED
            wish.paused_until = self._loop.time() + constants.SUPERSEDED_PAUSE_SECONDS
            self._hang_up(wish)
            self._dial_after(wish, 0.0)

    def _leading_to(self, peer_id: NodeId) -> list[_Wish]:
        return [wish for wish in self._by_route.values() if wish.proved and wish.led_to == peer_id]

    def on_failed(self, event: events.ConnectFailed) -> None:
        """One side refused the other."""
        wish = self._by_route.get(event.route)
        if wish is None:
            return
        error = self._refusal(wish, event)
        wish.trouble = str(error)
        level = self._told.level((wish.endpoint, wish.pin), str(error), logging.WARNING)
        logger.log(level, "%s", error)
        self._hang_up(wish)
        wanted = wish.permanent or wish.led_to is not None
        self._fail(wish, error)
        if wanted:
            self._dial_after(wish, _REFUSED_PAUSE_SECONDS)

    def _refusal(self, wish: _Wish, event: events.ConnectFailed) -> MeshError:
        who = event.peer_id
        if event.reason is Reason.WRONG_PEER:
            return WrongPeer(
                f"{wish.endpoint} was answered by {who}, not by {wish.pin}: "
                "the endpoint or the id is not the right one"
            )
        why = event.reason.value
        kind = NotTrusted if event.reason in _REFUSALS else PeerUnreachable
        if event.by_peer:
            if event.reason in _REFUSALS:
                why += f"; to be trusted there: mesh trust allow {self._pump.engine.id}"
            return kind(f"{who} at {wish.endpoint} refuses this node: {why}")
        if event.reason in _REFUSALS and who is not None:
            why += f"; {self._explain(who)}"
        return kind(f"{wish.endpoint} is {who}, refused here: {why}")

    def _fail(self, wish: _Wish, error: MeshError) -> None:
        for future in wish.waiting:
            if not future.done():
                future.set_exception(error)

    def _hang_up(self, wish: _Wish) -> None:
        route, wish.route = wish.route, None
        wish.proved = wish.leaving = False
        if route is not None:
            self._by_route.pop(route, None)
            self._pump.engine.lost(route, self._pump.clock())
            self._transport.hang_up(route)

    def _dial_after(self, wish: _Wish, pause: float) -> None:
        pause = max(pause, wish.paused_until - self._loop.time())
        self._later(wish, pause, partial(self._dial, wish))

    def _later(self, wish: _Wish, pause: float, what: Callable[[], None]) -> None:
        """One timer a wish: the later decision counts."""
        if wish.timer is not None:
            wish.timer.cancel()
        wish.timer = self._loop.call_later(pause, what)

    def _dial(self, wish: _Wish) -> None:
        wish.timer = None
        if wish.route is not None:
            return
        try:
            self._open(wish)
        except MeshError as error:
            wish.trouble = str(error)
            self._dial_after(wish, _LONGEST_PAUSE_SECONDS)

    def _open(self, wish: _Wish) -> None:
        wish.route = self._transport.dial(wish.endpoint, self._spread())
        self._by_route[wish.route] = wish
