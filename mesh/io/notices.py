"""What happens to a connection that we dialled, in words a caller can act on."""

from enum import Enum, auto
from typing import NamedTuple

from mesh.model import Route


class Connected(NamedTuple):
    """The connection stands and frames flow; who is at the other end is not known yet."""

    route: Route


class Lost(NamedTuple):
    """The connection is over, why as far as known. Final: hang up, and dial anew."""

    route: Route
    reason: str


class Retrying(NamedTuple):
    """An attempt to connect failed, why as far as known; the next one is `after_ms` away."""

    route: Route
    reason: str
    after_ms: int


Notice = Connected | Lost | Retrying


class Change(Enum):
    """What ZeroMQ tells of a connection."""

    GREETED = auto()
    GREETING_FAILED = auto()
    DISCONNECTED = auto()
    RETRIED = auto()


class Watch:
    """Turns the changes of one connection into notices, in order.

    ZeroMQ tries again by itself after a refusal or a greeting that was not finished, but gives
    up, without saying so, where something answered that is not ZeroMQ. And when a connection
    that stood is over, it builds another under the same name, which nobody asked for: after
    Lost nothing is told any more.
    """

    def __init__(self, route: Route) -> None:
        self.lost = False
        self._route = route
        self._connected = False
        self._greeting_failed = False

    def see(self, change: Change, after_ms: int) -> Notice | None:
        """The notice of a change, if it is worth one."""
        if self.lost:
            return None
        match change:
            case Change.GREETED:
                self._connected = True
                return Connected(self._route)
            case Change.GREETING_FAILED:
                self._greeting_failed = True
                return None
            case Change.DISCONNECTED:
                return self._on_disconnected()
            case Change.RETRIED:
                return self._on_retried(after_ms)

    def _on_disconnected(self) -> Notice | None:
        if self._greeting_failed:
            return None
        self.lost = True
        if self._connected:
            return Lost(self._route, "the connection broke, or the other side closed it")
        return Lost(self._route, "what answers there does not speak ZeroMQ")

    def _on_retried(self, after_ms: int) -> Notice:
        reason = "nobody accepts connections there"
        if self._greeting_failed:
            reason = "what accepts connections there does not finish ZeroMQ's greeting"
        self._greeting_failed = False
        return Retrying(self._route, reason, after_ms)
