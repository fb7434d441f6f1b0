"""The routes to one peer, and which of them is sent on.

Our own authenticated connection while it lives, else the most recently verified return path. A
frame that opened proves who sealed it, not that its path leads there: whoever can copy frames
could make itself the path. So a path counts only after a challenge on it was answered, or an
exchange was made on it.
"""

from collections.abc import Callable, Iterator

from mesh import constants
from mesh.limits import ROUTES_PER_PEER
from mesh.model import Route


class _Challenge:
    """A token that has to come back by the path it was sent on; `again_at`: elapsed seconds."""

    __slots__ = ("again_at", "token")

    def __init__(self, token: int, again_at: float) -> None:
        self.token = token
        self.again_at = again_at


class RoutesOfPeer:
    """Verified routes, and the challenges under way on others.

    `tell`: called with True when there is a way to the peer at last, with False when none is left.
    """

    def __init__(self, tell: Callable[[bool], None]) -> None:
        self.best: Route | None = None
        self._tell = tell
        self._verified: dict[Route, None] = {}
        self._challenges: dict[Route, _Challenge] = {}

    def __len__(self) -> int:
        return len(self._verified)

    def __contains__(self, route: Route) -> bool:
        return route in self._verified

    def __iter__(self) -> Iterator[Route]:
        return iter(self._verified)

    def challenge(self, route: Route, token: int, now: float) -> int | None:
        """What to send on an unverified path as a challenge at `now` (elapsed seconds).

        A new `token`, or again the one before if it was not answered in a while; None while it
        may still be.
        """
        challenge = self._challenges.get(route)
        if challenge is None:
            if len(self._challenges) >= ROUTES_PER_PEER:
                self._challenges.pop(next(iter(self._challenges)))
            challenge = self._challenges[route] = _Challenge(token, now)
        if now < challenge.again_at:
            return None
        challenge.again_at = now + constants.REPEAT_AFTER_SECONDS
        return challenge.token

    def token(self, route: Route) -> int | None:
        """What the path has to answer, if a challenge is under way on it."""
        challenge = self._challenges.get(route)
        return None if challenge is None else challenge.token

    def answers(self, route: Route, token: object) -> bool:
        """Whether `token` answers the challenge that was sent on this very path."""
        return token is not None and token == self.token(route)

    def verify(self, route: Route) -> bool:
        """The path leads to the peer. Whether it is the one that is sent on from now."""
        self._challenges.pop(route, None)
        self._verified.pop(route, None)
        self._verified[route] = None
        if len(self._verified) > ROUTES_PER_PEER:
            self._verified.pop(next(iter(self._verified)))
        return self._choose()

    def remove(self, route: Route) -> bool:
        """The path is gone. Whether another one, or none, is sent on from now."""
        self._challenges.pop(route, None)
        self._verified.pop(route, None)
        return self._choose()

    def clear(self) -> None:
        """All of them led to an instance of the peer that is gone; nobody is told of that."""
        self._challenges.clear()
        self._verified.clear()
        self.best = None

    def _choose(self) -> bool:
        before = self.best
        routes = list(self._verified)
        dialled = [route for route in routes if route.dialled]
        self.best = dialled[-1] if dialled else routes[-1] if routes else None
        if (self.best is None) is not (before is None):
            self._tell(self.best is not None)
        return self.best != before
