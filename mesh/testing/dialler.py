"""Connections that a simulated node wants, dialled again whenever they are lost.

As a program's own dialler does it: at once after a loss, more and more slowly if it happens again
and again, after a pause where one side refused the other.
"""

from functools import partial
from math import inf
from typing import TYPE_CHECKING

from handshake.constants import Reason
from handshake.identity import NodeId
from mesh.constants import SUPERSEDED_PAUSE_SECONDS
from mesh.engine import events
from mesh.model import Route

if TYPE_CHECKING:
    from mesh.testing.process import Process

_FIRST_PAUSE_SECONDS = 0.05
_LONGEST_PAUSE_SECONDS = 5.0
_STOOD_SECONDS = 1.0
_GOODBYE_SECONDS = 1.0
REFUSED_PAUSE_SECONDS = 15.0
_REFUSALS = frozenset({Reason.NOT_TRUSTED, Reason.REVOKED})


class _Wish:
    """A connection to whoever bears `name`; `pin`: the only identity wanted there."""

    def __init__(self, name: str, pin: NodeId | None) -> None:
        self.name = name
        self.pin = pin
        self.route: Route | None = None
        self.led_to: NodeId | None = None
        self.proved = False
        self.connected_at = inf
        self.paused_until = 0.0
        self.pause = _FIRST_PAUSE_SECONDS
        # Decisions made so far: a timer of an earlier one does nothing.
        self.decisions = 0


class Dialler:
    """Keeps the connections that one run of a node wants."""

    def __init__(self, process: "Process") -> None:
        self._process = process
        self._wishes: list[_Wish] = []

    def keep(self, name: str, pin: NodeId | None) -> None:
        """Dial now, and again for ever."""
        wish = _Wish(name, pin)
        self._wishes.append(wish)
        self._dial(wish)

    def retry_now(self) -> None:
        """The trust list has changed: whoever was refused may be allowed now."""
        for wish in self._wishes:
            if wish.route is None:
                self._dial_after(wish, 0.0)

    @property
    def content(self) -> bool:
        """Whether every connection stands, and whoever is there has proved who he is."""
        return all(wish.proved for wish in self._wishes)

    def on_connected(self, route: Route) -> None:
        """The connection stands: prove who we are on it."""
        wish = self._of(route)
        if wish is not None:
            process = self._process
            wish.connected_at = process.timeline.now
            process.engine.connect(route, process.now(), pin=wish.pin, led_to=wish.led_to)

    def on_lost(self, route: Route) -> None:
        """The connection is gone."""
        wish = self._of(route)
        if wish is None:
            return
        if self._process.timeline.now - wish.connected_at > _STOOD_SECONDS:
            wish.pause = _FIRST_PAUSE_SECONDS
        wish.connected_at = inf
        self._hang_up(wish)
        self._dial_after(wish, wish.pause * (0.5 + self._process.random.random()))
        wish.pause = min(wish.pause * 2, _LONGEST_PAUSE_SECONDS)

    def on_event(self, event: events.Event) -> None:
        """What the engine says of connections."""
        if isinstance(event, events.RouteAuthenticated):
            wish = self._of(event.route)
            if wish is not None:
                wish.led_to, wish.proved = event.peer_id, True
        elif isinstance(event, events.ConnectFailed):
            wish = self._of(event.route)
            if wish is not None:
                self._leave(wish, REFUSED_PAUSE_SECONDS)
        elif isinstance(event, events.PeerClosed):
            pause = REFUSED_PAUSE_SECONDS if event.reason in _REFUSALS else 0.0
            for wish in self._leading_to(event.peer_id):
                wish.proved = False
                # Our own goodbye is still on its way.
                self._later(wish, _GOODBYE_SECONDS, partial(self._leave, wish, pause))
        elif isinstance(event, events.Superseded):
            for wish in self._leading_to(event.peer_id):
                wish.paused_until = self._process.timeline.now + SUPERSEDED_PAUSE_SECONDS
                self._leave(wish, 0.0)

    def _of(self, route: Route) -> _Wish | None:
        return next((wish for wish in self._wishes if wish.route == route), None)

    def _leading_to(self, peer_id: NodeId) -> list[_Wish]:
        return [wish for wish in self._wishes if wish.proved and wish.led_to == peer_id]

    def _leave(self, wish: _Wish, pause: float) -> None:
        self._hang_up(wish)
        self._dial_after(wish, pause)

    def _hang_up(self, wish: _Wish) -> None:
        route, wish.route = wish.route, None
        wish.proved = False
        if route is not None:
            self._process.engine.lost(route, self._process.now())
            self._process.wire.hang_up(self._process, route)

    def _dial_after(self, wish: _Wish, pause: float) -> None:
        pause = max(pause, wish.paused_until - self._process.timeline.now)
        self._later(wish, pause, partial(self._dial, wish))

    def _later(self, wish: _Wish, pause: float, what: partial[None]) -> None:
        """The later decision counts."""
        wish.decisions += 1
        decision = wish.decisions

        def decided() -> None:
            if wish.decisions == decision:
                what()

        self._process.later(pause, decided)

    def _dial(self, wish: _Wish) -> None:
        if wish.route is None and not self._process.closing:
            wish.route = self._process.wire.dial(self._process, wish.name)
