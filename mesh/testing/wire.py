"""A network with the habits of ROUTER and DEALER, in virtual time.

A connection delivers in order, as TCP does, unless the weather between two nodes says otherwise.
When it is cut, what is under way is lost but for the first frames; the dialler is told late or
never, and until then ZeroMQ has built another connection under the same name: what is sent goes
on, after what had waited, and arrives from a new routing id. The other side learns of a cut only
when it sends to the old routing id and is refused. What the dialler hears of, it closes.
"""

from collections.abc import Callable
from functools import partial
from random import Random
from typing import Protocol

from mesh.model import Origin, Route
from mesh.testing.clock import Timeline
from mesh.testing.weather import Weather

# ZeroMQ tries again so soon, doubling to the second, both in seconds.
_RECONNECT_SECONDS = 0.1
_RECONNECT_MAX_SECONDS = 5.0
# Chance that what waited arrives in another order.
_REORDERED_AFTER_RECONNECT = 0.3
# Heartbeats end a connection over which nothing comes.
HEARTBEAT_SECONDS = 6.0
# More frames than that are not taken for one connection (EAGAIN).
HIGH_WATER_FRAMES = 200
TO_A_THIEF = "to a thief"


class Station(Protocol):
    """One run of a node, as the network sees it."""

    name: str
    alive: bool
    frozen: bool

    def arrive(self, frame: bytes, origin: Origin, intact: bool) -> None:
        """A frame has arrived. `intact`: just as somebody sent it."""

    def connected(self, route: Route) -> None:
        """A connection it dialled stands."""

    def lost(self, route: Route) -> None:
        """A connection it dialled is over."""


class Flight:
    """One copy of a frame under way. `fate`: what became of it, for the story."""

    __slots__ = ("backward", "fate", "frame", "held_until", "intact", "lost", "origin", "to")

    def __init__(
        self, frame: bytes, origin: Origin, to: Station, backward: bool, note: str
    ) -> None:
        self.frame = frame
        self.origin = origin
        self.to = to
        self.backward = backward
        self.intact = not note
        self.fate = note
        self.lost = False
        self.held_until = 0.0


class Link:
    """A connection that `dialler` opened to whoever listens at `name`."""

    def __init__(self, dialler: Station, name: str, route: Route) -> None:
        self.dialler = dialler
        self.name = name
        self.route = route
        self.acceptor: Station | None = None
        self.back = Route()
        self.hung_up = False
        # It stood once, so `lost` will be told; what is sent while it does not stand waits.
        self.told = False
        self.waiting: list[bytes] = []
        self.flights: list[Flight] = []
        self.stalled: list[Flight] = []
        self.arrives = [0.0, 0.0]
        self.pause = _RECONNECT_SECONDS
        self.cuts = 0


Watcher = Callable[[Station, str, bytes, list[Flight], str], None]


class Wire:
    """All connections of a world. `watch`: told of every frame that is sent."""

    def __init__(self, timeline: Timeline, random: Random) -> None:
        self.links: list[Link] = []
        self.watch: Watcher = lambda _sender, _to, _frame, _flights, _note: None
        self.say: Callable[[str], None] = lambda _text: None
        self._timeline = timeline
        self._random = random
        self._weather: dict[tuple[str, str], Weather] = {}
        self._listening: dict[str, Station] = {}
        self._numbers = 0
        self._dialled: dict[tuple[Station, Route], Link] = {}
        self._accepted: dict[tuple[Station, Route], Link] = {}
        # Return paths of connections that were cut, and until when nobody there has noticed.
        self._unnoticed: dict[tuple[Station, Route], float] = {}
        self._stolen: set[tuple[Station, Route]] = set()

    def weather(self, sender: str, receiver: str) -> Weather:
        """What happens to frames between two nodes, by name; it may be changed."""
        return self._weather.setdefault((sender, receiver), Weather())

    def listen(self, station: Station) -> None:
        """Whoever dials this name reaches this station from now on."""
        self._listening[station.name] = station

    def open(self, one: str, other: str) -> bool:
        """Whether frames pass between two nodes both ways."""
        return not (self.weather(one, other).closed or self.weather(other, one).closed)

    # -- connections

    def dial(self, station: Station, name: str) -> Route:
        """Open a connection; the station is told when it stands. ZeroMQ keeps trying."""
        self._numbers += 1
        link = Link(station, name, Route(dialled=self._numbers))
        self._dialled[station, link.route] = link
        self.links.append(link)
        self._attempt(link, link.cuts)
        return link.route

    def _attempt(self, link: Link, cuts: int) -> None:
        if link.hung_up or link.acceptor is not None or cuts != link.cuts:
            return
        there = self._listening.get(link.name)
        reachable = self.open(link.dialler.name, link.name) and not link.dialler.frozen
        if there is None or not there.alive or there.frozen or not reachable:
            pause, link.pause = link.pause, min(link.pause * 2, _RECONNECT_MAX_SECONDS)
            self._timeline.after(pause, lambda: self._attempt(link, cuts))
            return
        self._numbers += 1
        link.pause = _RECONNECT_SECONDS
        link.acceptor = there
        link.back = Route(routing_id=self._numbers.to_bytes(5, "big"))
        link.arrives = [self._timeline.now] * 2
        self._accepted[there, link.back] = link
        waiting, link.waiting = link.waiting, []
        if self._random.random() < _REORDERED_AFTER_RECONNECT:
            self._random.shuffle(waiting)
        for frame in waiting:
            self._fly(link, frame, backward=False)
        round_trip = self.weather(link.dialler.name, link.name).latency * 2
        if not link.told:
            link.told = True
            self._timeline.after(round_trip, lambda: self._connected(link))

    def _connected(self, link: Link) -> None:
        if not link.hung_up:
            link.dialler.connected(link.route)

    def hang_up(self, station: Station, route: Route) -> None:
        """The dialler ends a connection, with all that waits in it."""
        link = self._dialled.pop((station, route), None)
        if link is not None:
            self._break(link, keeps=len(link.flights) // 2)
            link.hung_up = True
            self.links.remove(link)

    def standing(self) -> list[Link]:
        """The connections that stand."""
        return [link for link in self.links if link.acceptor is not None]

    def cut(
        self,
        link: Link,
        *,
        told_after: float | None,
        keeps: int,
        held: float = 0.0,
        notices_after: float = 0.0,
    ) -> None:
        """Break a connection: of what is under way the first `keeps` frames arrive.

        `held`: those arrive so many seconds later, because somebody in between kept them.
        `told_after`: seconds until the dialler hears of it, None for never; until then ZeroMQ goes
        on under a new routing id. `notices_after`: seconds for which the other side sends into
        the void.
        """
        if link.acceptor is None:
            return
        self._break(link, keeps=keeps, held=held, notices_after=notices_after)
        cuts = link.cuts
        if told_after is not None:
            self._timeline.after(told_after, lambda: self._tell(link))
        self._timeline.after(_RECONNECT_SECONDS, lambda: self._attempt(link, cuts))

    def _tell(self, link: Link) -> None:
        if not link.hung_up and link.dialler.alive:
            link.dialler.lost(link.route)

    def _break(
        self, link: Link, *, keeps: int, held: float = 0.0, notices_after: float = 0.0
    ) -> None:
        link.cuts += 1
        there, link.acceptor = link.acceptor, None
        if there is None:
            return
        del self._accepted[there, link.back]
        if notices_after:
            self._unnoticed[there, link.back] = self._timeline.now + notices_after
        for number, flight in enumerate(link.flights):
            if number >= keeps:
                flight.lost = True
                flight.fate = "died with its connection"
            elif held:
                flight.held_until = self._timeline.now + held
                flight.fate += f"held for {held:.3f} s"
        for flight in link.stalled:
            flight.fate = "died with its connection"
        link.flights = [flight for flight in link.flights if not flight.lost]
        link.stalled = []

    def shut(
        self, station: Station, *, told_after: Callable[[], float], keeps: int, held: float
    ) -> None:
        """A station is gone: so are its connections; those who dialled it hear of it later."""
        for link in list(self.links):
            if link.dialler is station:
                self._dialled.pop((station, link.route), None)
                self._break(link, keeps=keeps, held=held)
                link.hung_up = True
                self.links.remove(link)
            elif link.acceptor is station:
                self.cut(link, told_after=told_after(), keeps=keeps, held=held)

    # -- partitions and stations that do nothing

    def close(self, sender: str, receiver: str) -> None:
        """Nothing passes from now on in one direction; heartbeats will end the connections."""
        self.weather(sender, receiver).closed = True
        for link in self.standing():
            if {link.dialler.name, link.name} == {sender, receiver}:
                self._starve(link)

    def froze(self, station: Station) -> None:
        """A station does nothing any more: neither do its heartbeats."""
        for link in self.standing():
            if station in {link.dialler, link.acceptor}:
                self._starve(link)

    def _starve(self, link: Link) -> None:
        cuts = link.cuts
        patience = HEARTBEAT_SECONDS + self._random.random() * 2
        self._timeline.after(patience, lambda: self._give_up(link, cuts))

    def _give_up(self, link: Link, cuts: int) -> None:
        there = link.acceptor
        if there is None or cuts != link.cuts:
            return
        if self.open(link.dialler.name, link.name) and not (there.frozen or link.dialler.frozen):
            return
        self.cut(link, told_after=self._random.random(), keeps=0)

    def moves_again(self) -> None:
        """Something was opened or thawed: what had stalled goes on."""
        for link in self.standing():
            stalled, link.stalled = link.stalled, []
            link.flights = [*stalled, *link.flights]
            for flight in stalled:
                self._arrive(link, flight)

    # -- frames

    def steal(self, station: Station, route: Route) -> None:
        """A return path that leads to a thief from now on: he takes all and gives nothing."""
        self._stolen.add((station, route))

    def send(self, station: Station, route: Route, frame: bytes) -> bool:
        """Hand a frame to a connection. False: refused (EHOSTUNREACH, EAGAIN)."""
        link = (self._dialled if route.dialled else self._accepted).get((station, route))
        if link is None:
            if (station, route) in self._stolen:
                self.watch(station, "", frame, [], TO_A_THIEF)
                return True
            until = self._unnoticed.get((station, route), 0.0)
            swallowed = self._timeline.now < until
            self.watch(station, "", frame, [], "swallowed" if swallowed else "refused")
            return swallowed
        backward = not route.dialled
        to = link.dialler.name if backward else link.name
        if len(link.flights) + len(link.stalled) + len(link.waiting) >= HIGH_WATER_FRAMES:
            self.watch(station, to, frame, [], "refused: full")
            return False
        if link.acceptor is None:
            link.waiting.append(frame)
            self.watch(station, to, frame, [], "waits for a connection")
            return True
        self.watch(station, to, frame, self._fly(link, frame, backward), "")
        return True

    def _fly(self, link: Link, frame: bytes, backward: bool) -> list[Flight]:
        assert link.acceptor is not None
        sender, receiver = _direction(link, backward)
        weather = self.weather(sender, receiver)
        route, to = (link.route, link.dialler) if backward else (link.back, link.acceptor)
        flights = []
        for copy, note in weather.copies(frame, self._random):
            flight = Flight(copy, Origin(route, f"host of {sender}"), to, backward, note)
            seconds, overtaken = weather.takes(self._random)
            arrives = self._timeline.now + seconds
            if overtaken:
                flight.fate += f"late by {seconds - weather.latency:.3f} s"
            else:
                arrives = link.arrives[backward] = max(arrives, link.arrives[backward])
            link.flights.append(flight)
            flights.append(flight)
            self._timeline.after(arrives - self._timeline.now, partial(self._arrive, link, flight))
        return flights

    def _arrive(self, link: Link, flight: Flight) -> None:
        if flight.lost:
            return
        if self._timeline.now < flight.held_until:
            pause = flight.held_until - self._timeline.now
            self._timeline.after(pause, partial(self._arrive, link, flight))
            return
        link.flights.remove(flight)
        if not flight.to.alive:
            return
        sender, receiver = _direction(link, flight.backward)
        if flight.to.frozen or self.weather(sender, receiver).closed:
            link.stalled.append(flight)
        elif flight.backward and link.hung_up:
            flight.fate = "died with its connection"
        else:
            flight.to.arrive(flight.frame, flight.origin, flight.intact)


def _direction(link: Link, backward: bool) -> tuple[str, str]:
    """Names of who sends and who receives."""
    return (link.name, link.dialler.name) if backward else (link.dialler.name, link.name)
