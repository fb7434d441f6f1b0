"""What simulated programs say to each other, at random times."""

from random import Random
from typing import TYPE_CHECKING

from mesh.limits import BULK_BYTES
from mesh.testing.application import CALL_TIMEOUT_SECONDS, SERVICES, SUBJECTS
from mesh.testing.office import Call, Office

if TYPE_CHECKING:
    from mesh.testing.plan import Plan
    from mesh.testing.process import Process
    from mesh.testing.simulation import Simulation

_SIZES = (0, 3, 40, 400, 4000)
# Who waits for room does not pile up more.
_LONGEST_LINE = 20
_FILLING_BYTES = 6000


class Traffic:
    """Lets one program after the other do something, while `on`."""

    def __init__(self, world: "Simulation", plan: "Plan", random: Random) -> None:
        self.on = True
        self._world = world
        self._plan = plan
        self._random = random
        self._calls: list[tuple[Office, Call]] = []
        self._silent_until = 0.0

    def begin(self) -> None:
        """From now on."""
        self._next()

    def pause(self, seconds: float) -> None:
        """Nobody says anything for a while."""
        self._silent_until = self._world.timeline.now + seconds

    def _next(self) -> None:
        pause = self._random.expovariate(len(self._plan.names) / self._plan.pause)
        self._world.timeline.after(pause, self._something)

    def _something(self) -> None:
        if not self.on:
            return
        if self._world.timeline.now >= self._silent_until:
            process = self._random.choice(list(self._world.processes.values()) or [None])
            if process is not None and not process.closing:
                process.do(lambda: self._act(process))
        self._next()

    def _act(self, process: "Process") -> None:
        offices = list(self._world.program(process).offices.values())
        if not offices:
            return
        office = self._random.choice(offices)
        if len(office.lines) > _LONGEST_LINE:
            return
        dice = self._random.random()
        if dice < 0.5:
            for _ in range(self._random.choice((1, 1, 3, 12))):
                self._tell(office)
        elif dice < 0.56:
            office.tell(self._subject(), BULK_BYTES + self._random.randrange(8000))
        elif dice < 0.60:
            self._tell_much(office)
        elif dice < 0.65:
            self._fill(office)
        elif dice < 0.92:
            for _ in range(self._random.choice((1, 1, 4))):
                self._call(office)
        elif self._calls:
            office, call = self._calls.pop(self._random.randrange(len(self._calls)))
            office.cancel(call)

    def _subject(self) -> str:
        return self._random.choice(SUBJECTS)

    def _tell(self, office: Office) -> None:
        random = self._random
        office.tell(
            self._subject(),
            random.choice(_SIZES),
            packed=random.random() < 0.4,
            wait=random.random() < 0.8,
        )

    def _tell_much(self, office: Office) -> None:
        """A message in chunks, and small ones of its subject behind it."""
        subject, packed = self._subject(), self._random.random() < 0.3
        size = self._random.randrange(self._plan.window // 4, 2 * self._plan.window)
        office.tell(subject, size, packed=packed)
        for _ in range(self._random.choice((0, 1, 3))):
            office.tell(subject, 10)

    def _fill(self, office: Office) -> None:
        """More than there is room for; the last ones wait."""
        for _ in range(2 + self._plan.window // _FILLING_BYTES):
            office.tell("slow", _FILLING_BYTES)
            if office.starving:
                break

    def _call(self, office: Office) -> None:
        timeout = self._random.choice((0.3, CALL_TIMEOUT_SECONDS))
        size = self._random.choice((0, 0, 50, BULK_BYTES, self._plan.window))
        call = office.call(self._random.choice(SERVICES), timeout, size, lambda _call: None)
        if call is not None and self._random.random() < 0.3:
            self._calls.append((office, call))
