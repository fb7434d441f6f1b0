"""The life of a session, as a table.

A session exists only after the peer proved itself, so there is no "handshaking" here. Which of
several confirmed sessions is sent on is the pair's affair (engine/sessions_of_peer).
"""

from enum import Enum


class State(Enum):
    """Where a session is in its life."""

    UNCONFIRMED = "unconfirmed"
    """Keys exist; nothing was opened with them yet. Opens, never sends data."""
    CONFIRMED = "confirmed"
    """A frame was opened: the peer has the keys. Opens and may be sent on."""
    RETIRED = "retired"
    """A newer session took over. Opens what is still under way, seals nothing."""
    ENDED = "ended"
    """Keys are forgotten."""


class Trigger(Enum):
    """What happened to it."""

    OPENED = "a frame was opened"
    REPLACED = "a newer session is sent on"
    EXPIRED = "its time or frames are used up"
    CLOSED = "closed by either side"


TRANSITIONS: dict[tuple[State, Trigger], State] = {
    (State.UNCONFIRMED, Trigger.OPENED): State.CONFIRMED,
    (State.UNCONFIRMED, Trigger.EXPIRED): State.ENDED,
    (State.UNCONFIRMED, Trigger.CLOSED): State.ENDED,
    (State.CONFIRMED, Trigger.OPENED): State.CONFIRMED,
    (State.CONFIRMED, Trigger.REPLACED): State.RETIRED,
    (State.CONFIRMED, Trigger.EXPIRED): State.ENDED,
    (State.CONFIRMED, Trigger.CLOSED): State.ENDED,
    (State.RETIRED, Trigger.OPENED): State.RETIRED,
    (State.RETIRED, Trigger.EXPIRED): State.ENDED,
    (State.RETIRED, Trigger.CLOSED): State.ENDED,
}


def after(state: State, trigger: Trigger) -> State:
    """The next state; a move that the table does not know is our own fault (RuntimeError)."""
    try:
        return TRANSITIONS[state, trigger]
    except KeyError:
        raise RuntimeError(f"a session that is {state.value} cannot be: {trigger.value}") from None
