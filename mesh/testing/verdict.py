"""After the chaos: does everybody find everybody, and does everything end?"""

from functools import partial
from typing import TYPE_CHECKING

from mesh.testing.application import SERVICES
from mesh.testing.clock import Violation
from mesh.testing.office import Call, Office
from mesh.testing.pairs import Pair
from mesh.testing.process import Process
from mesh.testing.rest import Rest

if TYPE_CHECKING:
    from mesh.testing.simulation import Simulation

# The last notice of a cut may be 8 s late; an unanswered session is doubted for 10 s, a handshake
# given up after 5 s and tried again within 5 s; who was refused is dialled again after 15 s.
MEET_WITHIN_SECONDS = 60.0
# A resend may have doubled to 10 s; a handler takes 3 s, and a few may stand in line.
FINISH_WITHIN_SECONDS = 90.0
ANSWER_WITHIN_SECONDS = 3.0
# A dozen round trips and the pauses of a few lost frames, for requests of which a few are handled
# side by side.
CALL_BACK_WITHIN_SECONDS = 30.0
# The worlds that try it: it takes as long as half of their lives.
_ONE_IN = 3
_REQUESTS_A_WINDOW = 5
# What a request takes of the budget beside its body; less is no room for another one.
_REQUEST_BYTES = 130
# A handler waits half as long as is waited for it, and the innermost longer than we.
_PATIENCE_SECONDS = 32 * CALL_BACK_WITHIN_SECONDS


class Verdict:
    """On one world, when nothing goes wrong there any more."""

    def __init__(self, world: "Simulation") -> None:
        self._world = world
        names = sorted({tuple(sorted((a, b))) for a, b, _ in world.plan.wishes})
        self._pairs = [Pair(world.processes[one], world.processes[other]) for one, other in names]

    def judge(self) -> None:
        """Raises Violation."""
        # What was late when all was put right may be the goodbye of one who has come back since.
        self._world.pass_time(self._world.plan.late_by)
        self._meet()
        self._finish()
        self._speak()
        if self._world.seed % _ONE_IN == 0:
            self._call_back()
        Rest(self._world, self._pairs).judge()

    def _meet(self) -> None:
        world, began = self._world, self._world.timeline.now
        met = world.pass_time(MEET_WITHIN_SECONDS, until=self._have_met)
        world.facts["ms until they met"] = int((world.timeline.now - began) * 1000)
        if not met:
            apart = [pair.describe() for pair in self._pairs if not pair.is_joined()]
            raise Violation("who can talk does", (apart or ["a connection is not proved"])[0])

    def _have_met(self) -> bool:
        if not all(pair.is_joined() for pair in self._pairs):
            return False
        return all(process.dialler.content for process in self._world.living())

    def _finish(self) -> None:
        world, began = self._world, self._world.timeline.now
        finished = world.pass_time(FINISH_WITHIN_SECONDS, until=self._finished)
        world.facts["ms until all was finished"] = int((world.timeline.now - began) * 1000)
        if not finished:
            programs = [world.program(process) for process in world.living()]
            waiting = [what for program in programs for what in program.waiting]
            waiting += world.ledger.unfinished()
            busy = [str(process) for process in world.living() if world.program(process).busy]
            raise Violation("everything ends", f"{waiting[:3]}, busy: {busy}")

    def _finished(self) -> bool:
        world = self._world
        world.ledger.forget_finished()
        programs = [world.program(process) for process in world.living()]
        if any(program.busy or program.waiting for program in programs):
            return False
        return not world.ledger.unfinished()

    def _speak(self) -> None:
        """One message and one call each way; they are handled soon."""
        world = self._world
        calls: list[Call] = []
        for pair in self._pairs:
            for process, peer in (pair.both, pair.both[::-1]):
                process.do(partial(self._say, process, peer, calls))
        waiting = len(self._pairs) * 2
        answered = world.pass_time(
            ANSWER_WITHIN_SECONDS,
            until=lambda: sum(call.ended == "answered" for call in calls) == waiting,
        )
        if not answered or not world.pass_time(ANSWER_WITHIN_SECONDS, until=self._finished):
            raise Violation("who has met is heard", f"{world.ledger.unfinished()[:3]}")

    def _call_back(self) -> None:
        """Both sides are full of requests whose handlers call back, and those call back again."""
        world = self._world
        calls: list[Call] = []
        for pair in self._pairs[:1]:
            for process, peer in (pair.both, pair.both[::-1]):
                process.do(partial(self._ask_back, process, peer, calls))
        answered = world.pass_time(
            CALL_BACK_WITHIN_SECONDS,
            until=lambda: all(call.ended == "answered" for call in calls),
        )
        if not answered or not world.pass_time(FINISH_WITHIN_SECONDS, until=self._finished):
            missed = sum(call.ended != "answered" for call in calls)
            raise Violation("calls inside calls are answered", f"{missed} of {len(calls)} are not")

    def _ask_back(self, process: Process, peer: Process, calls: list[Call]) -> None:
        """Fill the window to the last few bytes in requests that travel whole, and ask for more."""
        office = self._office(process, peer)
        size = self._world.plan.window // _REQUESTS_A_WINDOW
        for last in (False,) * (_REQUESTS_A_WINDOW - 1) + (True, False):
            office.turn_is_over()
            if last:
                size = office.delivery.outgoing.credit.left(0) - _REQUEST_BYTES
            call = office.call("ask back", _PATIENCE_SECONDS, max(10, size), lambda _call: None)
            if call is not None:
                calls.append(call)

    def _say(self, process: Process, peer: Process, calls: list[Call]) -> None:
        office = self._office(process, peer)
        office.tell("log", 10)
        call = office.call(SERVICES[0], ANSWER_WITHIN_SECONDS * 2, 10, lambda _call: None)
        if call is not None:
            calls.append(call)

    def _office(self, process: Process, peer: Process) -> Office:
        office = self._world.program(process).offices.get(peer.id)
        if office is None:
            raise Violation("who has met is heard", f"{process} has no delivery with {peer}")
        return office
