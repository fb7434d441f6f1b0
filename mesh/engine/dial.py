"""A connection we dialled, until it has led to a peer that proved itself."""

from math import inf
from typing import TYPE_CHECKING

from handshake.identity import NodeId
from mesh import constants
from mesh.model import Route
from mesh.session.deadlines import Repeat

if TYPE_CHECKING:
    from mesh.engine.handshaking import Handshaking


class Dial:
    """Handshakes on `route` until one succeeds; `pin`: who has to answer, if that is known."""

    def __init__(self, owner: "Handshaking", route: Route, pin: NodeId | None) -> None:
        self.route = route
        self.scheduled = inf
        self._pin = pin
        self._owner = owner
        self._begin_at = inf
        self._retry: Repeat | None = None

    def begin_at(self, when: float) -> None:
        """Begin a handshake then, unless the route was authenticated before (a `hello`)."""
        self._begin_at = when
        self._owner.context.agenda.at(when, self)

    def on_failed(self, now: float) -> None:
        """Nobody answered: again after a pause that doubles."""
        if self._retry is None:
            self._retry = Repeat(
                now, first=constants.RETRY_AFTER_SECONDS, longest=constants.RETRY_MAX_SECONDS
            )
        else:
            self._retry.due(max(now, self._retry.at))
        self.begin_at(self._retry.at)

    def stop(self) -> None:
        """The route is authenticated, refused or gone."""
        self._begin_at = inf

    def advance(self, now: float) -> float:
        """Begin the handshake that is due."""
        if now >= self._begin_at:
            self._begin_at = inf
            if not self._owner.begin(self.route, self._pin):
                self._begin_at = now + constants.RETRY_AFTER_SECONDS
        return self._begin_at
