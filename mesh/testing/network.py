"""Engines on a fake wire with virtual time: no socket, no clock, everything from one seed.

    world = World(seed=1)
    alice, bob = world.node("alice"), world.node("bob")
    world.trust_each_other()
    world.dial(alice, bob)          # or keep(alice, bob): dialled again whenever it breaks
    world.run(seconds=1)

Time passes only in `run`. A link delivers in order after `latency`; what a test wants lost or
changed it says with `World.tamper`, what it wants late with `World.delay`.
"""

from collections.abc import Callable
from heapq import heappop, heappush
from random import Random

from handshake.identity import Identity, NodeId
from mesh.constants import INSTANCE_BYTES
from mesh.engine import events
from mesh.engine.engine import Engine
from mesh.engine.settings import Settings
from mesh.model import Now, Origin, Route, Transmit
from mesh.trust.policy import Policy
from mesh.wire import messages

# A day in the life of the worlds' wall clock; elapsed time begins elsewhere on purpose.
_WALL_AT_START = 1_800_000_000.0
_ELAPSED_AT_START = 1_000.0

# So much may happen without time passing: more is a loop.
_MOST_MOVES_AT_ONCE = 5000
_REDIAL_AFTER_SECONDS = 0.1

Tamper = Callable[["Node", "Node", bytes], list[bytes]]
Delay = Callable[["Node", "Node", bytes], float]


class Node:
    """One engine, the connections it dialled, and everything it said happened."""

    def __init__(self, world: "World", name: str, **settings: object) -> None:
        self.name = name
        self.random = Random(f"{world.seed}/{name}/{world.births}")
        self.identity = world.identities.setdefault(
            name, Identity(Random(f"{world.seed}/{name}").randbytes(32))
        )
        self.policy = world.policies.setdefault(name, Policy())
        self.settings = Settings(
            instance=self.random.randbytes(INSTANCE_BYTES),
            **settings,  # type: ignore[arg-type]
        )
        self.engine = Engine(
            self.identity, self.settings, self.policy, random_bytes=self.random.randbytes
        )
        self.happened: list[events.Event] = []
        self.messages: list[tuple[NodeId, str, object]] = []
        self.receipts: list[object] = []
        self.clock_wrong_by = 0.0
        self.handle = True
        self.alive = True

    @property
    def id(self) -> NodeId:
        """The node's identity."""
        return self.identity.id

    def saw(self, kind: type) -> list[events.Event]:
        """The events of one kind so far."""
        return [event for event in self.happened if isinstance(event, kind)]


class _Flight:
    """A frame under way to `node`."""

    def __init__(self, node: Node, origin: Origin, frame: bytes) -> None:
        self.node = node
        self.origin = origin
        self.frame = frame


class World:
    """Nodes and the wire between them. `latency`: seconds a frame takes."""

    def __init__(self, seed: int = 0, *, latency: float = 0.001) -> None:
        self.seed = seed
        self.births = 0
        self.latency = latency
        self.elapsed = _ELAPSED_AT_START
        self.nodes: dict[str, Node] = {}
        self.identities: dict[str, Identity] = {}
        self.policies: dict[str, Policy] = {}
        self.tamper: Tamper = lambda _sender, _receiver, frame: [frame]
        self.frames: list[tuple[str, str, bytes]] = []
        self.delay: Delay = lambda _sender, _receiver, _frame: self.latency
        self._links: dict[tuple[Node, Route], tuple[Node, Route]] = {}
        self._kept: dict[tuple[Node, Route], str] = {}
        self._agenda: list[tuple[float, int, Callable[[], None] | _Flight]] = []
        self._order = 0
        self._numbers = 0
        self._moves = 0

    @property
    def now(self) -> Now:
        """The moment of this world."""
        return Now(self.elapsed, _WALL_AT_START + self.elapsed - _ELAPSED_AT_START)

    def now_of(self, node: Node) -> Now:
        """The moment as this node's clocks show it."""
        now = self.now
        return Now(now.elapsed, now.wall + node.clock_wrong_by)

    # -- who is there

    def node(self, name: str, **settings: object) -> Node:
        """A new node, or a new instance of a node that crashed: identity and trust remain."""
        self.births += 1
        node = self.nodes[name] = Node(self, name, **settings)
        return node

    def trust_each_other(self) -> None:
        """Everybody allows everybody."""
        for node in self.nodes.values():
            for other in self.nodes.values():
                if other is not node:
                    node.policy.allow(other.id, name=other.name)

    def crash(self, node: Node, *, still_arriving: int = 0, notice_after: float = 0.0) -> None:
        """The node is gone without a word; connections break (see `cut`)."""
        node.alive = False
        for (end, route), (other, _back) in list(self._links.items()):
            if end is node or other is node:
                self.cut(end, route, still_arriving=still_arriving, notice_after=notice_after)

    # -- connections

    def dial(
        self, node: Node, other: Node, *, pin: NodeId | None = None, led_to: NodeId | None = None
    ) -> Route:
        """Open a connection; the dialler's engine is told at once."""
        self._numbers += 1
        route = Route(dialled=self._numbers)
        back = Route(routing_id=self._numbers.to_bytes(5, "big"))
        self._links[node, route] = (other, back)
        self._links[other, back] = (node, route)
        node.engine.connect(route, self.now_of(node), pin=pin, led_to=led_to)
        self._collect(node)
        return route

    def keep(self, node: Node, other: str) -> None:
        """Dial whoever bears this name, and again whenever the connection is lost."""
        if not node.alive:
            return
        there = self.nodes[other]
        if there.alive:
            led_to = self.identities[other].id if node.engine.association(there.id) else None
            self._kept[node, self.dial(node, there, led_to=led_to)] = other
        else:
            self.later(_REDIAL_AFTER_SECONDS, lambda: self.keep(node, other))

    def cut(
        self,
        node: Node,
        route: Route,
        *,
        notice: bool = True,
        notice_after: float = 0.0,
        still_arriving: int = 0,
    ) -> None:
        """Break a connection from either side.

        What is in flight is lost, but for the first `still_arriving` frames. The dialler is told
        after `notice_after` seconds or (`notice` false) never; the other side never is, as with
        ZeroMQ: it learns when it sends.
        """
        link = self._links.pop((node, route), None)
        if link is None:
            return
        other, back = link
        self._links.pop((other, back), None)
        ends = {(node, route), (other, back)}
        self._lose_flights(ends, still_arriving)
        for end, way in ends:
            if way.dialled and notice:
                self.later(notice_after, lambda end=end, way=way: self._notice(end, way))  # type: ignore[misc]

    def _notice(self, end: Node, way: Route) -> None:
        if not end.alive:
            return
        end.engine.lost(way, self.now_of(end))
        self._collect(end)
        other = self._kept.pop((end, way), None)
        if other is not None:
            self.later(_REDIAL_AFTER_SECONDS, lambda: self.keep(end, other))

    def _lose_flights(self, ends: set[tuple[Node, Route]], still_arriving: int) -> None:
        kept = []
        for entry in sorted(self._agenda, key=lambda entry: entry[:2]):
            flight = entry[2]
            if isinstance(flight, _Flight) and (flight.node, flight.origin.route) in ends:
                still_arriving -= 1
                if still_arriving < 0:
                    continue
            kept.append(entry)
        self._agenda = kept

    def links(self) -> list[tuple[Node, Route]]:
        """Every connection that stands, as its dialler sees it."""
        return [(node, route) for node, route in self._links if route.dialled]

    # -- what happens

    def send(self, node: Node, to: Node, subject: str, body: bytes) -> object | None:
        """Queue a direct message and flush. Its receipt, or None when there is no room."""
        association = node.engine.association(to.id)
        assert association is not None, "never met"
        assert association.delivery is not None, "not connected"
        outgoing = association.delivery.outgoing
        receipt: object | None = outgoing.offer(messages.TELL, subject, body, raw=True)
        node.engine.flush(association.delivery, self.now_of(node))
        self._collect(node)
        node.receipts.append(receipt)
        return receipt

    def later(self, seconds: float, action: Callable[[], None]) -> None:
        """Do something after a while, or at once for 0."""
        if seconds <= 0:
            action()
        else:
            self._schedule(seconds, action)

    def collect(self, node: Node) -> None:
        """After a test has called an engine itself: take what came of it."""
        self._collect(node)

    def inject(self, node: Node, route: Route, frame: bytes, address: str = "10.0.0.1") -> None:
        """Somebody else puts a frame on a node's socket."""
        node.engine.receive(frame, Origin(route, address), self.now_of(node))
        self._collect(node)

    def run(self, seconds: float = 1.0, *, until: Callable[[], bool] | None = None) -> bool:
        """Let time pass, at most `seconds`; stop early when `until` says so. Whether it did."""
        end = self.elapsed + seconds
        while True:
            if until is not None and until():
                return True
            following = min([self._next_entry(), *self._deadlines()])
            if following > end:
                self.elapsed = end
                return until is not None and until()
            if following > self.elapsed:
                self.elapsed = following
                self._moves = 0
            self._step()

    def _step(self) -> None:
        while self._next_entry() <= self.elapsed:
            self._move()
            _, _, entry = heappop(self._agenda)
            if not isinstance(entry, _Flight):
                entry()
            elif entry.node.alive:
                entry.node.engine.receive(entry.frame, entry.origin, self.now_of(entry.node))
                self._collect(entry.node)
        for node in list(self.nodes.values()):
            if node.alive and node.engine.next_deadline() <= self.elapsed:
                self._move()
                node.engine.advance(self.now_of(node))
                assert node.engine.next_deadline() > self.elapsed, f"{node.name} is in a loop"
                self._collect(node)

    def _move(self) -> None:
        self._moves += 1
        assert self._moves < _MOST_MOVES_AT_ONCE, "the world moves, but time does not pass"

    def _schedule(self, seconds: float, entry: Callable[[], None] | _Flight) -> None:
        self._order += 1
        heappush(self._agenda, (self.elapsed + seconds, self._order, entry))

    def _next_entry(self) -> float:
        return self._agenda[0][0] if self._agenda else float("inf")

    def _deadlines(self) -> list[float]:
        return [node.engine.next_deadline() for node in self.nodes.values() if node.alive]

    def _collect(self, node: Node) -> None:
        """Put what a node sends on the wire, and let its handlers run, until it is silent."""
        engine = node.engine
        while True:
            transmits, happened = engine.transmits(), engine.events()
            if not transmits and not happened:
                return
            for transmit in transmits:
                self._put(node, transmit)
            node.happened += happened
            for event in happened:
                if isinstance(event, events.RunReceived):
                    self._handle(node, event)

    def _handle(self, node: Node, event: events.RunReceived) -> None:
        sender = event.delivery.peer_id
        node.messages += [(sender, event.subject, body) for body in messages.unpacked(event.bodies)]
        if node.handle:
            node.engine.finished(event.delivery, event.batch, self.now_of(node))

    def _put(self, node: Node, transmit: Transmit) -> None:
        link = self._links.get((node, transmit.route))
        if link is None:
            node.engine.refused(transmit, self.now_of(node))
            return
        other, back = link
        for frame in self.tamper(node, other, bytes(transmit.frame)):
            self.frames.append((node.name, other.name, frame))
            origin = Origin(back, "127.0.0.1")
            self._schedule(self.delay(node, other, frame), _Flight(other, origin, frame))
