"""A world in which nothing happens: is it at rest, and by which road did it get there?

What heals itself hides its faults. So nothing may be healed here: no handshake begins, nothing is
sent again, and keys are renewed by fresh exchanges alone.
"""

from typing import TYPE_CHECKING, NamedTuple

from mesh.constants import (
    DEPTH_MAX,
    INITIATOR_PATIENCE,
    NESTED_WINDOW_BYTES,
    REKEY_MIN_ROUND_TRIPS,
)
from mesh.engine.association import Association
from mesh.testing.clock import Violation
from mesh.testing.pairs import Pair

if TYPE_CHECKING:
    from mesh.testing.simulation import Simulation

# News of a cut may come long after all was put right; so late does one who listens notice it.
_LATEST_REFUSAL_SECONDS = 6.0
_SETTLE_SECONDS = 4.0
# Longer than an answer is waited for, so that what heals itself after that is seen, too; in every
# second world, for it takes a quarter of its life.
_REST_SECONDS = 11.0
_SHORT_REST_SECONDS = 4.0
# Renewals are waited for where they come so soon, drift and a few round trips on top.
_LONGEST_INTERVAL_SECONDS = 5.0
_DRIFT = 1.03
_ROUND_TRIPS_OF_RENEWAL = 3
_SHORTEST_PAUSE_SECONDS = 0.2
# Pings and answers of a pair at rest, and what a renewal takes when both begin it.
_FRAMES_A_SECOND = 1.0
_FRAMES_A_RENEWAL = 10.0

_HEALING = (
    "handshakes.begun",
    "handshakes.unanswered",
    "sent.batches_again",
    "sent.refused",
    "routes.doubted",
    "sessions.established",
    "sessions.exhausted",
    "received.repeated_batches",
    "dropped.replayed",
)


class _Watched(NamedTuple):
    """One side of a pair when the watch began. `takes`: the longest between two renewals."""

    pair: Pair
    association: Association
    generation: int
    takes: float


class Rest:
    """Of one world in which everybody has met and everything is finished."""

    def __init__(self, world: "Simulation", pairs: list[Pair]) -> None:
        self._world = world
        self._pairs = pairs

    def judge(self) -> None:
        """Raises Violation."""
        world = self._world
        latest = max(_LATEST_REFUSAL_SECONDS, *(notice or 0.0 for notice in world.plan.notices))
        world.pass_time(max(0.0, world.put_right_at + latest - world.timeline.now))
        world.pass_time(_SETTLE_SECONDS)
        for pair in self._pairs:
            self._check_credit(pair)
        watched = [self._watch(pair, side) for pair in self._pairs for side in pair.associations]
        renews = world.plan.rekey_after <= _LONGEST_INTERVAL_SECONDS
        seconds = max(watch.takes for watch in watched) * 1.2 if renews else 0.0
        seconds = max(seconds, _SHORT_REST_SECONDS if world.seed % 2 else _REST_SECONDS)
        healed, frames = self._healed(), world.story.frames
        world.pass_time(seconds)
        self._check_quiet(world.story.frames - frames, seconds)
        for name, count in self._healed().items():
            if count != healed[name]:
                raise Violation("at rest nothing is healed", f"{count - healed[name]} {name}")
        if renews:
            self._check_renewals(watched, seconds)
        for pair in self._pairs:
            # They may be in the middle of a renewal.
            if not world.pass_time(2.0, until=pair.is_joined):
                raise Violation("who has met stays together", pair.describe())

    def _watch(self, pair: Pair, association: Association) -> _Watched:
        session, round_trip = association.sessions.current, self._world.plan.latency * 2
        believed = max(side.liveness.round_trip for side in pair.associations)
        interval = max(self._world.plan.rekey_after, REKEY_MIN_ROUND_TRIPS * believed)
        pause = _SHORTEST_PAUSE_SECONDS + _ROUND_TRIPS_OF_RENEWAL * round_trip
        takes = interval * INITIATOR_PATIENCE * _DRIFT + pause
        return _Watched(pair, association, session.generation if session else 0, takes)

    def _healed(self) -> dict[str, int]:
        return {
            name: sum(process.engine.counters[name] for process in self._world.living())
            for name in _HEALING
        }

    def _check_quiet(self, sent: int, seconds: float) -> None:
        self._world.facts["frames a second at rest"] = int(sent / seconds)
        each = _FRAMES_A_SECOND + _FRAMES_A_RENEWAL / self._world.plan.rekey_after
        most = (each * seconds + _FRAMES_A_RENEWAL) * len(self._pairs)
        if sent > most:
            raise Violation("at rest little is sent", f"{sent} frames in {seconds:.0f} s")

    def _check_renewals(self, watched: list[_Watched], seconds: float) -> None:
        for pair, association, before, takes in watched:
            session = association.sessions.current
            now = session.generation if session is not None else 0
            expected = int(seconds / takes)
            if now - before < expected:
                grown = f"{pair}: from generation {before} to {now} in {seconds:.1f} s"
                raise Violation("keys are renewed in time", f"{grown}, {expected} expected")

    def _check_credit(self, pair: Pair) -> None:
        for association in pair.associations:
            delivery = association.delivery
            if delivery is None:
                raise Violation("who has met stays together", pair.describe())
            outgoing, incoming = delivery.outgoing, delivery.incoming
            returned = incoming._returned == incoming._accepted
            for depth in range(1, DEPTH_MAX + 1):
                returned = returned and outgoing.credit.left(depth) == NESTED_WINDOW_BYTES
            if incoming.assembly.promised_bytes or outgoing.lanes:
                raise Violation("all room for large messages returns", pair.describe())
            if outgoing.credit.left(0) != self._world.plan.window or not returned:
                text = f"{pair}: {outgoing.credit.left(0)} of {self._world.plan.window} left"
                raise Violation("all credit returns", text)
