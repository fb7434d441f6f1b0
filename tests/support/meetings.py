"""An engine, a peer that was written from docs/SPEC.md alone, and the connection between them."""

from random import Random
from typing import Any

from handshake.identity import Identity, NodeId
from mesh.delivery.delivery import Delivery
from mesh.engine import events
from mesh.engine.engine import Engine
from mesh.engine.settings import Settings
from mesh.exchange.lines import Message, offer
from mesh.model import Now, Origin, Route
from mesh.trust.policy import Policy
from mesh.wire import messages
from spec_peer import SecondNode

NOON = 1_800_000_000
BACK = Route(routing_id=b"back")
DIALLED = Route(dialled=1)
SUITES = ("AESGCM", "ChaChaPoly")


class Meeting:
    """Both sides; `route`: the engine's end of the connection.

    While the engine's handlers are `busy`, what they got stays with them until `finish`. `waiting`:
    what the engine has to say and found no room for.
    """

    def __init__(
        self, suites: tuple[str, ...] = SUITES, *, route: Route = BACK, trusted: bool = True
    ) -> None:
        self.other = SecondNode("other", "team", NOON + 1000, suites)
        policy = Policy()
        if trusted:
            policy.allow(NodeId(self.other.id))
        self.engine = Engine(
            Identity(b"engine".ljust(32, b".")),
            Settings(instance=b"run of engine...", mesh="team", suites=SUITES),
            policy,
            random_bytes=Random("engine").randbytes,
        )
        self.route = route
        self.elapsed = 1000.0
        self.happened: list[events.Event] = []
        self.cut = False
        self.busy = False
        self.waiting: list[Message] = []
        self._at_work: list[events.RunReceived] = []

    @property
    def now(self) -> Now:
        """The engine's moment."""
        return Now(self.elapsed, NOON + self.elapsed)

    def meet(self) -> "Meeting":
        """Run an exchange, begun by whoever dialled."""
        if self.route is DIALLED:
            self.engine.connect(DIALLED, self.now, pin=NodeId(self.other.id))
        else:
            self.other.begin()
        self.talk()
        return self

    def talk(self) -> None:
        """Carry frames both ways until nobody has any."""
        while True:
            if self.waiting:
                self._offer_again()
            to_engine, self.other.frames_out = self.other.frames_out, []
            for frame in to_engine:
                self.engine.receive(frame, Origin(self.route, "10.0.0.1"), self.now)
            happened = self.engine.events()
            self.happened += happened
            self._at_work += [run for run in happened if isinstance(run, events.RunReceived)]
            if not self.busy:
                self.finish()
            to_other = self.engine.transmits()
            for transmit in to_other:
                assert transmit.route == self.route
                if not self.cut:
                    self.other.receive(bytes(transmit.frame))
            if not to_engine and not to_other and not happened:
                return

    def say(self, *said: Message) -> None:
        """The engine's application says something, small or large."""
        self.waiting += said
        self._offer_again()

    def _offer_again(self) -> None:
        """Each in its turn; what finds no room holds up its subject alone."""
        held: set[str] = set()
        for message in list(self.waiting):
            room = message.subject not in held
            if room and offer(self.delivery.outgoing, message) is not None:
                self.waiting.remove(message)
            else:
                held.add(message.subject)
        self.engine.flush(self.delivery, self.now)

    def finish(self) -> None:
        """The engine's handlers are done with all they got."""
        runs, self._at_work = self._at_work, []
        for run in runs:
            self.engine.finished(run.delivery, run.batch, self.now)

    def wait(self, seconds: float) -> None:
        """Let time pass for the engine, in small steps."""
        end = self.elapsed + seconds
        while self.elapsed < end:
            self.elapsed = max(self.elapsed, min(end, self.engine.next_deadline()))
            self.engine.advance(self.now)
            self.talk()

    @property
    def delivery(self) -> Delivery:
        """What the engine has with the other."""
        delivery = self.engine.association(NodeId(self.other.id)).delivery
        assert delivery is not None
        return delivery

    def saw(self, kind: type) -> list[Any]:
        """Events of one kind."""
        return [event for event in self.happened if isinstance(event, kind)]

    def got(self) -> list[tuple[int, str, Any]]:
        """What the engine's handlers would get."""
        return [
            (run.kind, run.subject, item)
            for run in self.saw(events.RunReceived)
            for item in messages.unpacked(run.bodies)
        ]

    def dropped(self) -> dict[str, int]:
        """Counters of whatever the engine did not like."""
        words = ("dropped", "ignored", "forged", "refused")
        return {
            name: count
            for name, count in self.engine.counters.items()
            if count and any(word in name for word in words)
        }
