"""A whole mesh in memory, from a seed: chaos, then calm, and what must be true all the while.

    result = simulate(seed=7)
    result.violation          # None, or what was broken
    result.trace              # the same whenever the same code runs the same seed

Nodes talk while faults happen. Then all is put right, and they have to find each other, finish
what was begun, understand each other, and come to rest.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from math import inf
from random import Random

from handshake.identity import Identity
from mesh.engine import events
from mesh.engine.settings import Settings
from mesh.testing.application import Application
from mesh.testing.clock import NodeClock, Timeline, Violation
from mesh.testing.faults import Faults
from mesh.testing.invariants import Duties, Genuine, Limits, check_event
from mesh.testing.ledger import Ledger, Receipt
from mesh.testing.plan import Plan
from mesh.testing.process import Process
from mesh.testing.story import Story
from mesh.testing.tape import Tape
from mesh.testing.traffic import Traffic
from mesh.testing.verdict import Verdict
from mesh.testing.wire import TO_A_THIEF, Flight, Station, Wire
from mesh.trust.policy import Policy

# So much may happen without time passing: more is a loop.
_MOST_MOVES_AT_ONCE = 20_000
_DUTIES_EVERY_SECONDS = 0.25
# Little more than the largest message: others have to wait for room.
_WINDOWS_A_MESSAGE = 3
_CLOSING_SECONDS = 2.0
_GOODBYE_SECONDS = 1.0


@dataclass
class Result:
    """What came of one seed. `facts`: numbers worth a look, by name."""

    seed: int
    trace: str
    violation: Violation | None
    frames: int
    seconds: float
    facts: Counter[str] = field(default_factory=Counter)
    picture: list[str] = field(default_factory=list)


class Simulation:
    """One world. `draws`: whether its picture is kept."""

    def __init__(self, seed: int, *, draws: bool = False, plan: Plan | None = None) -> None:
        self.seed = seed
        self.plan = plan or Plan.draw(self._random("plan"))
        self.timeline = Timeline()
        self.tape = Tape()
        self.ledger = Ledger()
        self.wire = Wire(self.timeline, self._random("wire"))
        self.story = Story(lambda: self.timeline.now, self.tape, draws=draws)
        self.wire.watch = self._on_frame
        self.identities = {
            name: Identity(self._random(name).randbytes(32)) for name in self.plan.names
        }
        self.policies = {name: Policy() for name in self.plan.names}
        self.processes: dict[str, Process] = {}
        self.programs: dict[Process, Application] = {}
        self.everybody: list[Process] = []
        self.quarrels: list[tuple[str, str]] = []
        self.faults = Faults(self, self.plan, self._random("faults"))
        self.traffic = Traffic(self, self.plan, self._random("traffic"))
        self.facts: Counter[str] = Counter()
        self._limits = Limits(frames_change=self.plan.frames_change)
        self._genuine = Genuine(self.tape)
        self._duties = Duties()
        self.put_right_at = -inf
        self._moves = 0
        self._chaos_until = 0.0

    def _random(self, what: str) -> Random:
        return Random(f"{self.seed}/{what}")

    # -- its course

    def run(self) -> None:
        """Chaos, calm, verdict. Raises Violation."""
        for one in self.plan.names:
            for other in self.plan.names:
                if one != other:
                    self.policies[one].allow(self.identities[other].id, name=other)
        self.faults.begin()
        for name in self.plan.names:
            pause = self._random(f"begin {name}").choice((0.0, 0.0, 1.0))
            self.timeline.after(pause, partial(self.give_birth, name))
        self.timeline.after(_DUTIES_EVERY_SECONDS, self._look_at_duties)
        self.traffic.begin()
        self._chaos_until = self.timeline.now + self.plan.chaos
        while self.timeline.now < self._chaos_until:
            self.pass_time(self._chaos_until - self.timeline.now)
        self._put_right()
        Verdict(self).judge()

    def skip(self, seconds: float) -> None:
        """The chaos lasts so much longer; nothing else happens meanwhile but what must."""
        self._chaos_until += seconds
        self.faults.pause(seconds)
        self.traffic.pause(seconds)

    def _put_right(self) -> None:
        self.say("all is put right")
        self.put_right_at = self.timeline.now
        self.traffic.on = False
        self.faults.stop()
        for one, other in list(self.quarrels):
            self.make_up(one, other)
        if not self.pass_time(30.0, until=self._all_run):
            raise Violation("a node closes in time", ", ".join(map(str, self.living())))

    def _all_run(self) -> bool:
        running = [process for process in self.living() if not process.closing]
        return len(running) == len(self.plan.names)

    def pass_time(self, seconds: float, until: Callable[[], bool] | None = None) -> bool:
        """At most so much time; stop early when `until` says so. Whether it did."""
        end = self.timeline.now + seconds
        while True:
            if until is not None and until():
                return True
            following = self.timeline.next()
            process = None
            for each in self.processes.values():
                wakes_at = each.wakes_at()
                if wakes_at < following:
                    following, process = wakes_at, each
            if following > end:
                self.timeline.now = end
                return False
            if following > self.timeline.now:
                self.timeline.now = following
                self._moves = 0
            self._moves += 1
            if self._moves > _MOST_MOVES_AT_ONCE:
                raise Violation("time passes", "the world moves, but its time does not")
            if process is None:
                self.timeline.pop()()
            else:
                process.wake()

    # -- who lives

    def living(self) -> list[Process]:
        """The runs that are not over."""
        return [process for process in self.processes.values() if process.alive]

    def program(self, process: Process) -> Application:
        """What runs above it."""
        return self.programs[process]

    def give_birth(self, name: str) -> None:
        """Another run of a node, with the same identity and trust."""
        before = self.processes.get(name)
        if before is not None and before.alive:
            return
        random = self._random(f"run {len(self.everybody)}")
        drift = 1 + random.uniform(-self.plan.drift, self.plan.drift)
        clock = NodeClock(
            self.timeline,
            elapsed_at_start=random.uniform(0, 1e6),
            rate=drift,
            wall_error=before.clock.wall_error if before is not None else 0.0,
        )
        settings = Settings(
            instance=random.randbytes(16),
            suites=self.plan.suites,
            window_bytes=self.plan.window,
            max_message_bytes=_WINDOWS_A_MESSAGE * self.plan.window,
            rekey_after_seconds=self.plan.rekey_after,
        )
        process = Process(
            name,
            self.identities[name],
            self.policies[name],
            settings,
            clock=clock,
            timeline=self.timeline,
            wire=self.wire,
            tape=self.tape,
            random=random,
            observer=self,
            new_receipt=Receipt,
        )
        program = process.program = Application(process, self.ledger)
        self.processes[name] = process
        self.programs[process] = program
        self.everybody.append(process)
        self.say(f"{process} begins")
        self.wire.listen(process)
        for caller, called, pinned in self.plan.wishes:
            if caller == name:
                process.dialler.keep(called, self.identities[called].id if pinned else None)

    def kill(self, process: Process, how: str, *, keeps: int, held: float = 0.0) -> None:
        """A run is over: of what it has sent the first `keeps` frames a connection arrive.

        `held`: so many seconds later.
        """
        self.say(f"{process} {how}")
        process.die()
        told_after = self.faults.told_after
        self.wire.shut(process, told_after=lambda: told_after() or 0.0, keeps=keeps, held=held)

    def close(self, process: Process) -> None:
        """A program ends in good order: it sends what it has, says goodbye, and is born again."""
        self.say(f"{process} is going to close")
        process.closing = True
        deadline = self.timeline.now + _CLOSING_SECONDS

        def drain() -> None:
            offices = self.program(process).offices.values()
            drained = all(o.delivery.outgoing.idle and not o.starving for o in offices)
            if drained or self.timeline.now >= deadline:
                process.engine.close(process.now())
                process.later(_GOODBYE_SECONDS, partial(self._closed, process))
            else:
                process.later(0.05, drain)

        process.do(drain)

    def _closed(self, process: Process) -> None:
        self.kill(process, "has closed", keeps=1000)
        self.timeline.after(0.5, partial(self.give_birth, process.name))

    # -- trust

    def trust_changed(self, name: str) -> None:
        """The trust list of a node was edited."""
        process = self.processes.get(name)
        if process is not None and process.alive:
            process.do(lambda: process.engine.trust_changed(process.now()))

    def make_up(self, one: str, other: str) -> None:
        """Trust as before; both sides may try again at once."""
        if (one, other) not in self.quarrels:
            return
        self.quarrels.remove((one, other))
        self.say(f"{one} trusts {other} again")
        self.policies[one].allow(self.identities[other].id, name=other)
        self.trust_changed(one)
        for name in (one, other):
            process = self.processes.get(name)
            if process is not None:
                process.do(process.dialler.retry_now)

    # -- what is looked at

    def say(self, text: str) -> None:
        """A word for the story."""
        self.story.tell(text)

    def _on_frame(
        self, sender: Station, to: str, frame: bytes, flights: list[Flight], note: str
    ) -> None:
        self.story.on_frame(sender, to, frame, flights, note)
        sealed = self.tape.read(frame)
        if sealed is not None and sealed.kind and isinstance(sender, Process):
            self._duties.sent(sender, to, sealed.kind, self.timeline.now)
        if note == TO_A_THIEF and sealed is not None and sealed.batch:
            what = self.tape.describe(frame)
            raise Violation("only greetings go by unproved ways", f"{sender} sent a thief: {what}")
        if to:
            self.faults.overhear(sender.name, to, frame)

    def received(self, process: Process, frame: bytes, intact: bool, repeats: int) -> None:
        """A frame was put into an engine."""
        self._genuine.check(process, frame, intact, repeats)

    def happened(self, process: Process, event: events.Event) -> None:
        """An engine says so."""
        check_event(process, event, self.processes[process.name])

    def settled(self, process: Process) -> None:
        """A process has done what there was to do."""
        self._limits.check(process)

    def _look_at_duties(self) -> None:
        for process in self.living():
            for other in self.plan.names:
                association = process.engine.association(self.identities[other].id)
                if association is not None:
                    self._duties.check(process, association, other, self.timeline.now)
        self.timeline.after(_DUTIES_EVERY_SECONDS, self._look_at_duties)


def simulate(seed: int, *, draws: bool = False, plan: Plan | None = None) -> Result:
    """Run the world of one seed. Whatever an engine raises is a violation, too."""
    world = Simulation(seed, draws=draws, plan=plan)
    violation = None
    try:
        world.run()
    except Violation as error:
        violation = error
    except Exception as error:
        violation = Violation("an engine raises nothing", f"{type(error).__name__}: {error}")
        violation.__cause__ = error
    if violation is not None:
        world.say(f"VIOLATION {violation}")
    story = world.story
    return Result(
        seed,
        story.trace,
        violation,
        story.frames,
        world.timeline.now,
        world.facts,
        story.picture(world.plan.names) if draws else [],
    )
