"""After the chaos: does everybody find everybody, does everything end, does it come to rest?

And by which road: keys must have been renewed by fresh exchanges, not by a handshake that healed
what had failed.
"""

from functools import partial
from typing import TYPE_CHECKING

from mesh.constants import HANDSHAKE_TIMEOUT_SECONDS, INITIATOR_PATIENCE
from mesh.engine.association import Association
from mesh.testing.application import SERVICES
from mesh.testing.clock import Violation
from mesh.testing.office import Call
from mesh.testing.process import Process

if TYPE_CHECKING:
    from mesh.testing.simulation import Simulation

# The last notice of a cut may be 8 s late; an unanswered session is doubted for 10 s, a handshake
# given up after 5 s and tried again within 5 s; who was refused is dialled again after 15 s.
MEET_WITHIN_SECONDS = 60.0
# A resend may have doubled to 10 s; a handler takes 3 s, and a few may stand in line.
FINISH_WITHIN_SECONDS = 90.0
ANSWER_WITHIN_SECONDS = 3.0
_SETTLE_SECONDS = 4.0
_REST_SECONDS = 11.0
# Pings and answers of a pair at rest, and what a renewal takes.
_FRAMES_A_SECOND = 1.0
_FRAMES_A_RENEWAL = 12.0
_LONGEST_INTERVAL_WATCHED = 5.0


class _Pair:
    """Two nodes of which one dials the other."""

    def __init__(self, one: Process, other: Process) -> None:
        self.both = one, other

    def __str__(self) -> str:
        return f"{self.both[0]} and {self.both[1]}"

    @property
    def associations(self) -> list[Association]:
        """What each has with the other, as far as there is anything."""
        one, other = self.both
        found = one.engine.association(other.id), other.engine.association(one.id)
        return [association for association in found if association is not None]

    def is_joined(self) -> bool:
        """Whether both send on one session of one delivery, by ways that they believe in."""
        current = [a.sessions.current for a in self.associations]
        deliveries = [a.delivery for a in self.associations]
        if len(current) < 2 or None in current or None in deliveries:
            return False
        return (
            len({session.preference() for session in current if session}) == 1
            and len({delivery.epoch for delivery in deliveries if delivery}) == 1
            and all(association.routes.best is not None for association in self.associations)
            and self._each_others()
        )

    def _each_others(self) -> bool:
        instances = {process.settings.instance for process in self.both}
        return {a.delivery.peer_instance for a in self.associations if a.delivery} == instances

    def describe(self) -> str:
        """What each side believes."""
        parts = []
        for association in self.associations:
            session = association.sessions.current
            parts.append(
                f"{session} epoch {association.delivery and association.delivery.epoch}"
                f" by {association.routes.best}"
            )
        return f"{self}: " + "; ".join(parts)


class Verdict:
    """On one world, when nothing goes wrong there any more."""

    def __init__(self, world: "Simulation") -> None:
        self._world = world
        names = sorted({tuple(sorted((a, b))) for a, b, _ in world.plan.wishes})
        self._pairs = [_Pair(world.processes[one], world.processes[other]) for one, other in names]

    def judge(self) -> None:
        """Raises Violation."""
        self._meet()
        self._finish()
        self._speak()
        self._rest()

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

    def _say(self, process: Process, peer: Process, calls: list[Call]) -> None:
        office = self._world.program(process).offices.get(peer.id)
        if office is None:
            raise Violation("who has met is heard", f"{process} has no delivery with {peer}")
        office.tell("log", 10)
        call = office.call(SERVICES[0], ANSWER_WITHIN_SECONDS * 2, 10, lambda _call: None)
        if call is not None:
            calls.append(call)

    # -- rest

    def _rest(self) -> None:
        world = self._world
        world.pass_time(_SETTLE_SECONDS)
        for pair in self._pairs:
            self._check_credit(pair)
        before = self._counts()
        frames = world.story.frames
        generations = self._generations()
        began = world.timeline.now
        interval = world.plan.rekey_after
        watched = interval <= _LONGEST_INTERVAL_WATCHED
        seconds = max(_REST_SECONDS, self._renewal_takes() * 1.5) if watched else _REST_SECONDS
        world.pass_time(seconds)
        self._check_quiet(frames, world.timeline.now - began)
        after = self._counts()
        for name in ("handshakes.begun", "sent.batches_again", "routes.doubted"):
            if after[name] != before[name]:
                raise Violation("at rest nothing is healed", f"{after[name] - before[name]} {name}")
        if watched:
            self._check_renewals(generations, seconds)
        for pair in self._pairs:
            if not pair.is_joined() and not world.pass_time(2.0, until=pair.is_joined):
                raise Violation("who has met stays together", pair.describe())

    def _renewal_takes(self) -> float:
        """The longest between two renewals."""
        plan = self._world.plan
        interval = max(plan.rekey_after, 20 * plan.latency)
        return interval * INITIATOR_PATIENCE * 1.02 + HANDSHAKE_TIMEOUT_SECONDS / 4

    def _counts(self) -> dict[str, int]:
        counts: dict[str, int] = {}
        for name in ("handshakes.begun", "sent.batches_again", "routes.doubted"):
            counts[name] = sum(p.engine.counters[name] for p in self._world.living())
        return counts

    def _generations(self) -> list[tuple[str, int]]:
        return [
            (str(pair), association.sessions.current.generation)
            for pair in self._pairs
            for association in pair.associations
            if association.sessions.current is not None
        ]

    def _check_quiet(self, before: int, seconds: float) -> None:
        world = self._world
        interval = max(world.plan.rekey_after, 20 * world.plan.latency)
        each = _FRAMES_A_SECOND + _FRAMES_A_RENEWAL / interval
        sent = world.story.frames - before
        world.facts["frames a second at rest"] = int(sent / seconds)
        most = len(self._pairs) * (each * seconds + _FRAMES_A_RENEWAL)
        if sent > most:
            raise Violation("at rest little is sent", f"{sent} frames in {seconds:.0f} s")

    def _check_renewals(self, before: list[tuple[str, int]], seconds: float) -> None:
        expected = int(seconds / self._renewal_takes())
        for (pair, old), (_, new) in zip(before, self._generations(), strict=True):
            if new - old < expected:
                grown = f"from generation {old} to {new}"
                text = f"{pair}: {grown} in {seconds:.1f} s, {expected} expected"
                raise Violation("keys are renewed by fresh exchanges", text)

    def _check_credit(self, pair: _Pair) -> None:
        for association in pair.associations:
            delivery = association.delivery
            assert delivery is not None
            outgoing, incoming = delivery.outgoing, delivery.incoming
            returned = incoming._returned == incoming._accepted
            if outgoing.credit_left != self._world.plan.window or not returned:
                text = f"{pair}: {outgoing.credit_left} of {self._world.plan.window} left"
                raise Violation("all credit returns", text)
