"""Deadlines of a session, and the doubling timer that repeats a frame while its owner keeps it.

Nothing here knows a clock: `now` is elapsed seconds.
"""

from dataclasses import dataclass

from mesh import constants


@dataclass(frozen=True, slots=True)
class Lifetime:
    """When a session is renewed and when it ends, in elapsed seconds.

    By default it is renewed after 120 s by the responder of the exchange, after 130 s by its
    initiator, and ends after 180 s; other intervals in proportion.
    """

    renew_at: float
    stop_sending_at: float
    ends_at: float
    retired_for: float

    @classmethod
    def begin(
        cls, now: float, *, rekey_after: float, initiator: bool, round_trip: float
    ) -> "Lifetime":
        """The lifetime of a session established `now`.

        `rekey_after`, `round_trip`: seconds. An interval under ten round trips is raised to that.
        """
        interval = max(rekey_after, constants.REKEY_MIN_ROUND_TRIPS * round_trip)
        hard_stop = max(
            interval * constants.HARD_STOP_FACTOR, interval + constants.HARD_STOP_GRACE_SECONDS
        )
        patience = constants.INITIATOR_PATIENCE if initiator else 1.0
        return cls(
            renew_at=now + interval * patience,
            stop_sending_at=now + hard_stop - round_trip,
            ends_at=now + hard_stop,
            retired_for=min(constants.RETIRED_SECONDS, constants.RETIRED_INTERVALS * interval),
        )


class Repeat:
    """Repeats with doubling pauses: due at `at`. Whoever is answered drops it."""

    __slots__ = ("_longest", "_pause", "at")

    def __init__(
        self,
        now: float,
        *,
        first: float = constants.REPEAT_AFTER_SECONDS,
        longest: float = constants.RETRY_MAX_SECONDS,
    ) -> None:
        self._pause = first
        self._longest = longest
        self.at = now + first

    def due(self, now: float) -> bool:
        """Whether it is time; if so, the next time is twice as far away."""
        if now < self.at:
            return False
        self._pause = min(self._pause * 2, self._longest)
        self.at = now + self._pause
        return True
