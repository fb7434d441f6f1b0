"""What is known of one peer at a moment, as tables: its presence, and what moves it.

Two facts make it up: what was last heard of the peer (its standing), and whether there is a way to
it that has proved itself. Nothing here waits; who does is found in `watches`.
"""

from dataclasses import dataclass
from enum import Enum, StrEnum
from typing import NamedTuple

from mesh.model import Peer


class Presence(StrEnum):
    """What is known of a peer. It is a text: "lost" equals `Presence.LOST`."""

    NOT_SEEN = "not seen"
    """There was no session with it since this node started; or it is not trusted."""
    CONNECTED = "connected"
    """A session, and a way to the peer, which was heard of in the last ten seconds."""
    NO_CONNECTION = "no connection"
    """A session, but no way there at this moment; messages wait."""
    UNRESPONSIVE = "unresponsive"
    """The connection stands, but the peer has said nothing for ten seconds; messages wait."""
    LOST = "lost"
    """Nothing was heard of it for thirty seconds; messages wait, up to ten minutes."""
    CLOSED = "closed"
    """One side has ended it: a goodbye, a refusal, or trust that was withdrawn."""


@dataclass(frozen=True, slots=True)
class PresenceChange:
    """News of a peer: its presence from now on. `reason`: why, in words for people."""

    peer: Peer
    presence: Presence
    reason: str


class Trigger(Enum):
    """What happened to a peer."""

    MET = "a session with this run of it can be sent on"
    HEARD = "it was heard again"
    SILENT = "it has been silent for a while"
    GONE = "it has been silent for long"
    CUT = "the last way to it is lost"
    FOUND = "there is a way to it again"
    ENDED = "either side has ended it"


# Of standings, whatever the ways. What is missing changes nothing: a peer that there is nothing
# with is not silent.
TRANSITIONS: dict[tuple[Presence, Trigger], Presence] = {
    (Presence.NOT_SEEN, Trigger.MET): Presence.CONNECTED,
    (Presence.NOT_SEEN, Trigger.ENDED): Presence.CLOSED,
    (Presence.CONNECTED, Trigger.MET): Presence.CONNECTED,
    (Presence.CONNECTED, Trigger.SILENT): Presence.UNRESPONSIVE,
    (Presence.CONNECTED, Trigger.GONE): Presence.LOST,
    (Presence.CONNECTED, Trigger.ENDED): Presence.CLOSED,
    (Presence.UNRESPONSIVE, Trigger.MET): Presence.CONNECTED,
    (Presence.UNRESPONSIVE, Trigger.HEARD): Presence.CONNECTED,
    (Presence.UNRESPONSIVE, Trigger.GONE): Presence.LOST,
    (Presence.UNRESPONSIVE, Trigger.ENDED): Presence.CLOSED,
    (Presence.LOST, Trigger.MET): Presence.CONNECTED,
    (Presence.LOST, Trigger.HEARD): Presence.CONNECTED,
    (Presence.LOST, Trigger.SILENT): Presence.UNRESPONSIVE,
    (Presence.LOST, Trigger.ENDED): Presence.CLOSED,
    (Presence.CLOSED, Trigger.MET): Presence.CONNECTED,
}
WAYS: dict[Trigger, bool] = {Trigger.CUT: False, Trigger.FOUND: True}
WITHOUT_WAY: dict[Presence, Presence] = {
    Presence.CONNECTED: Presence.NO_CONNECTION,
    Presence.UNRESPONSIVE: Presence.NO_CONNECTION,
}


class State(NamedTuple):
    """The two facts."""

    standing: Presence = Presence.NOT_SEEN
    has_way: bool = False

    @property
    def presence(self) -> Presence:
        """What they amount to."""
        return self.standing if self.has_way else WITHOUT_WAY.get(self.standing, self.standing)

    def after(self, trigger: Trigger) -> "State":
        """What they are once this has happened."""
        standing = TRANSITIONS.get((self.standing, trigger), self.standing)
        return State(standing, WAYS.get(trigger, self.has_way))
