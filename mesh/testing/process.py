"""One run of a node in a simulated world: an engine, clocks, sockets, a program.

It does what a running node's pump does: input into the engine, then frames out, then events to the
program, until the engine is silent. It can be killed, and frozen as SIGSTOP does it.
"""

from collections.abc import Callable
from functools import partial
from math import inf
from random import Random
from typing import Protocol

from handshake.identity import Identity, NodeId
from mesh.engine import events
from mesh.engine.engine import Engine
from mesh.engine.settings import Settings
from mesh.model import Now, Origin, Route
from mesh.testing.clock import NodeClock, Timeline, Violation
from mesh.testing.dialler import Dialler
from mesh.testing.tape import Tape
from mesh.testing.wire import Wire
from mesh.trust.policy import Policy


class Program(Protocol):
    """What runs above an engine."""

    def on_event(self, event: events.Event) -> None:
        """React to one event."""

    def turn_is_over(self) -> None:
        """Nothing more happens in this turn of the loop: send what waits."""


class Observer(Protocol):
    """Whoever judges: told of what a process does."""

    def received(self, process: "Process", frame: bytes, intact: bool, repeats: int) -> None:
        """A frame was put into its engine, which counted so many repeated ones for it."""

    def happened(self, process: "Process", event: events.Event) -> None:
        """Its engine said so."""

    def settled(self, process: "Process") -> None:
        """It has done everything that there was to do."""


class Process:
    """One run. `random`: all the randomness it has. `clock`: what it sees of time."""

    def __init__(
        self,
        name: str,
        identity: Identity,
        policy: Policy,
        settings: Settings,
        *,
        clock: NodeClock,
        timeline: Timeline,
        wire: Wire,
        tape: Tape,
        random: Random,
        observer: Observer,
        new_receipt: Callable[[], object],
    ) -> None:
        self.name = name
        self.identity = identity
        self.policy = policy
        self.settings = settings
        self.clock = clock
        self.timeline = timeline
        self.wire = wire
        self.random = random
        self.born = timeline.now
        self.alive = True
        self.frozen = False
        self.closing = False
        self.program: Program | None = None
        self._observer = observer
        self._pumping = False
        # What happens to it while it is frozen happens when it is thawed.
        self._missed: list[Callable[[], None]] = []
        self.engine = Engine(
            identity,
            settings,
            policy,
            random_bytes=random.randbytes,
            new_receipt=new_receipt,
            new_aead=partial(tape.aead, self),
        )
        self.dialler = Dialler(self)

    def __str__(self) -> str:
        return f"{self.name}/{self.settings.instance[:2].hex()}"

    @property
    def id(self) -> NodeId:
        """Whose run it is."""
        return self.identity.id

    def now(self) -> Now:
        """The moment by its own clocks."""
        return self.clock.now()

    # -- input

    def arrive(self, frame: bytes, origin: Origin, intact: bool) -> None:
        """A frame has arrived at one of its sockets."""
        counters = self.engine.counters
        repeats = counters["dropped.replayed"]
        self.engine.receive(frame, origin, self.now())
        repeats = counters["dropped.replayed"] - repeats
        self._observer.received(self, frame, intact, repeats)
        self.pump()

    def connected(self, route: Route) -> None:
        """A connection it dialled stands."""
        self.do(partial(self.dialler.on_connected, route))

    def lost(self, route: Route) -> None:
        """A connection it dialled is over."""
        self.do(partial(self.dialler.on_lost, route))

    def do(self, action: Callable[[], None]) -> None:
        """Something happens in this process, as soon as it runs; never if it is dead."""
        if not self.alive:
            return
        if self.frozen:
            self._missed.append(action)
            return
        action()
        self.pump()

    def later(self, seconds: float, action: Callable[[], None]) -> None:
        """Something happens in this process after a while."""
        self.timeline.after(seconds, lambda: self.do(action))

    def wakes_at(self) -> float:
        """When its timer fires, in true time."""
        if not self.alive or self.frozen:
            return inf
        return self.clock.true_time(self.engine.next_deadline())

    def wake(self) -> None:
        """Its timer fires."""
        now = self.now()
        self.engine.advance(now)
        if self.engine.next_deadline() <= now.elapsed:
            raise Violation("time is dealt with", f"{self} asks for the same moment again")
        self.pump()

    # -- what comes of it

    def pump(self) -> None:
        """Take everything out of the engine: frames first, then events."""
        if self._pumping or not self.alive:
            return
        self._pumping = True
        try:
            while self._pump_once():
                pass
        finally:
            self._pumping = False
        self._observer.settled(self)

    def _pump_once(self) -> bool:
        self._transmit()
        happened = self.engine.events()
        for event in happened:
            self._observer.happened(self, event)
            self.dialler.on_event(event)
            if self.program is not None:
                self.program.on_event(event)
            self._transmit()
        if self.program is not None:
            self.program.turn_is_over()
        return self._transmit() or bool(happened)

    def _transmit(self) -> bool:
        any_left = False
        while transmits := self.engine.transmits():
            any_left = True
            for transmit in transmits:
                if not self.wire.send(self, transmit.route, bytes(transmit.frame)):
                    self.engine.refused(transmit, self.now())
        return any_left

    # -- its end, and its pauses

    def die(self) -> None:
        """It does nothing any more."""
        self.alive = False
        self._missed.clear()

    def freeze(self) -> None:
        """Nothing runs, time goes on, what arrives waits."""
        self.frozen = True

    def thaw(self) -> None:
        """It goes on, and finds out how late it is."""
        self.frozen = False
        missed, self._missed = self._missed, []
        for action in missed:
            self.do(action)
