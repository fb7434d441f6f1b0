"""How long a peer has been silent, and what its pings say about the round trip."""

from math import inf

from mesh import constants
from mesh.session.deadlines import Repeat

CONNECTED = "connected"
UNRESPONSIVE = "unresponsive"
LOST = "lost"

_PINGS_REMEMBERED = 16


class Liveness:
    """Deadlines touched by facts: a frame was received, an answer was asked for."""

    def __init__(self, now: float) -> None:
        self.presence = CONNECTED
        self.round_trip = 0.0
        self._received_at = now
        self._pinged_at = -inf
        self._asked_at: float | None = None
        self._pings: dict[int, float] = {}
        self._tokens = 0

    def on_received(self, now: float) -> None:
        """A frame was opened."""
        self._received_at = now
        self._asked_at = None

    def on_asked(self, now: float) -> None:
        """Something was sent that the peer has to answer."""
        if self._asked_at is None:
            self._asked_at = now

    def ping(self, now: float) -> int:
        """The token of a ping that is sent now."""
        self._tokens += 1
        self._pinged_at = now
        self._pings[self._tokens] = now
        if len(self._pings) > _PINGS_REMEMBERED:
            del self._pings[next(iter(self._pings))]
        self.on_asked(now)
        return self._tokens

    def on_pong(self, token: int, now: float) -> float | None:
        """The answer to a ping; RFC 6298's smoothing, a first sample counts whole.

        The round trip of this one in seconds, or None when it was not asked for. One that took so
        long that the session was doubted says nothing of the path, and is not remembered.
        """
        sent_at = self._pings.pop(token, None)
        if sent_at is None:
            return None
        sample = now - sent_at
        if sample > constants.ANSWER_TIMEOUT_SECONDS:
            return sample
        smoothed = 0.875 * self.round_trip + 0.125 * sample
        self.round_trip = smoothed if self.round_trip else sample
        return sample

    def ping_due(self, now: float) -> bool:
        """Whether the silence is long enough for a ping; then it counts as sent."""
        if now < self._ping_at():
            return False
        self._pinged_at = now
        return True

    def unanswered(self, now: float) -> bool:
        """Whether an answer has been due for so long that the session is doubted."""
        return self._asked_at is not None and now >= (
            self._asked_at + constants.ANSWER_TIMEOUT_SECONDS
        )

    def silence(self, now: float) -> float:
        """Seconds since the last frame was opened."""
        return now - self._received_at

    def presence_change(self, now: float) -> str | None:
        """The peer's presence, if it is another one than when last asked."""
        silence = self.silence(now)
        if silence >= constants.LOST_AFTER_SECONDS:
            presence = LOST
        elif silence >= constants.UNRESPONSIVE_AFTER_SECONDS:
            presence = UNRESPONSIVE
        else:
            presence = CONNECTED
        if presence == self.presence:
            return None
        self.presence = presence
        return presence

    def forgotten(self, now: float) -> bool:
        """Whether the delivery is given up."""
        return self.silence(now) >= constants.DELIVERY_KEPT_SECONDS

    def resend_timer(self, now: float) -> Repeat:
        """When unacknowledged batches are sent again."""
        first = max(
            constants.RESEND_AFTER_SECONDS, constants.RESEND_AFTER_ROUND_TRIPS * self.round_trip
        )
        longest = constants.RESEND_MAX_SECONDS
        return Repeat(now, first=min(first, longest), longest=longest)

    def deadlines(self) -> list[float]:
        """When a ping, a change of presence, a doubt, or the end of the delivery may be due."""
        received_at = self._received_at
        asked = (
            [] if self._asked_at is None else [self._asked_at + constants.ANSWER_TIMEOUT_SECONDS]
        )
        return [
            self._ping_at(),
            received_at + constants.UNRESPONSIVE_AFTER_SECONDS,
            received_at + constants.LOST_AFTER_SECONDS,
            received_at + constants.DELIVERY_KEPT_SECONDS,
            *asked,
        ]

    def _ping_at(self) -> float:
        return max(self._received_at, self._pinged_at) + constants.PING_AFTER_SECONDS
