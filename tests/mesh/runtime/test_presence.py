"""The tables of presence: every state, everything that may happen in it, and what comes of it."""

import pytest

from mesh.runtime.presence import TRANSITIONS, WAYS, WITHOUT_WAY, Presence, State, Trigger

STANDINGS = [presence for presence in Presence if presence is not Presence.NO_CONNECTION]
NOT_SEEN, CONNECTED, NO_CONNECTION, UNRESPONSIVE, LOST, CLOSED = (
    Presence.NOT_SEEN,
    Presence.CONNECTED,
    Presence.NO_CONNECTION,
    Presence.UNRESPONSIVE,
    Presence.LOST,
    Presence.CLOSED,
)
# What a peer is called after each trigger, while there is a way to it.
AFTER = {
    NOT_SEEN: {Trigger.MET: CONNECTED, Trigger.ENDED: CLOSED},
    CONNECTED: {
        Trigger.SILENT: UNRESPONSIVE,
        Trigger.GONE: LOST,
        Trigger.CUT: NO_CONNECTION,
        Trigger.ENDED: CLOSED,
    },
    UNRESPONSIVE: {
        Trigger.MET: CONNECTED,
        Trigger.HEARD: CONNECTED,
        Trigger.GONE: LOST,
        Trigger.CUT: NO_CONNECTION,
        Trigger.ENDED: CLOSED,
    },
    LOST: {
        Trigger.MET: CONNECTED,
        Trigger.HEARD: CONNECTED,
        Trigger.SILENT: UNRESPONSIVE,
        Trigger.ENDED: CLOSED,
    },
    CLOSED: {Trigger.MET: CONNECTED},
}


@pytest.mark.parametrize("trigger", Trigger, ids=lambda trigger: trigger.name)
@pytest.mark.parametrize("standing", STANDINGS)
def test_every_move_with_a_way(standing, trigger):
    """What is named moves the peer; everything else leaves it what it is."""
    after = State(standing, True).after(trigger)
    assert after.presence is AFTER[standing].get(trigger, standing)


@pytest.mark.parametrize("trigger", Trigger, ids=lambda trigger: trigger.name)
@pytest.mark.parametrize("standing", STANDINGS)
def test_every_move_without_a_way(standing, trigger):
    """The same; but who would be connected or unresponsive with a way has no connection."""
    after = State(standing, False).after(trigger)
    expected = AFTER[standing].get(trigger, standing)
    if trigger is not Trigger.FOUND and expected in (CONNECTED, UNRESPONSIVE):
        expected = NO_CONNECTION
    assert after.presence is expected


@pytest.mark.parametrize("standing", STANDINGS)
def test_a_way_that_comes_back_changes_nothing_else(standing):
    """Cut and found again, a peer is called what it was before."""
    before = State(standing, True)
    assert before.after(Trigger.CUT).after(Trigger.FOUND) == before


def test_silence_without_a_way_comes_to_light_with_one():
    """A peer that fell silent meanwhile is not called connected because a connection stands."""
    state = State(CONNECTED, True).after(Trigger.CUT).after(Trigger.SILENT)
    assert state.presence is NO_CONNECTION
    assert state.after(Trigger.FOUND).presence is UNRESPONSIVE
    assert state.after(Trigger.GONE).presence is LOST


def test_nobody_is_anything_at_first():
    """Before anything happened a peer was not seen, and there is no way to it."""
    assert State() == (NOT_SEEN, False)
    assert State().presence is NOT_SEEN


def test_the_tables_hang_together():
    """Every standing can be reached and left, and "no connection" is no standing of its own."""
    reached = set(TRANSITIONS.values()) | {NOT_SEEN}
    assert reached == {standing for standing, _ in TRANSITIONS} == set(STANDINGS)
    assert set(WITHOUT_WAY.values()) == {NO_CONNECTION}
    assert {trigger for _, trigger in TRANSITIONS} | set(WAYS) == set(Trigger)
    assert not {trigger for _, trigger in TRANSITIONS} & set(WAYS)


def test_a_presence_is_a_text():
    """It can be compared with one, printed and written as JSON."""
    assert [str(presence) for presence in Presence] == [
        "not seen",
        "connected",
        "no connection",
        "unresponsive",
        "lost",
        "closed",
    ]
    assert Presence("lost") is LOST == "lost"
