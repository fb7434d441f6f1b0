"""The life of a session: every move of the table, and no other."""

import itertools

import pytest

from mesh.session.states import TRANSITIONS, State, Trigger, after


@pytest.mark.parametrize(("state", "trigger"), list(itertools.product(State, Trigger)))
def test_a_move_is_in_the_table_or_an_error(state, trigger):
    """A known move leads where the table says; another one is our own fault and says so."""
    if (state, trigger) in TRANSITIONS:
        assert after(state, trigger) is TRANSITIONS[state, trigger]
    else:
        with pytest.raises(RuntimeError, match=f"{state.value} cannot be: {trigger.value}"):
            after(state, trigger)


def test_the_end_is_final_and_can_always_be_reached():
    """Every session can expire or be closed, and nothing brings an ended one back."""
    for state in set(State) - {State.ENDED}:
        assert after(state, Trigger.EXPIRED) is State.ENDED
        assert after(state, Trigger.CLOSED) is State.ENDED
    assert not [state for state, _ in TRANSITIONS if state is State.ENDED]


def test_only_an_opened_frame_confirms():
    """No other fact makes a session one that may be sent on, and no fact makes it so again."""
    moves = {move for move, to in TRANSITIONS.items() if to is State.CONFIRMED}
    assert moves == {(State.UNCONFIRMED, Trigger.OPENED), (State.CONFIRMED, Trigger.OPENED)}
    assert set(TRANSITIONS.values()) | {State.UNCONFIRMED} == set(State)
