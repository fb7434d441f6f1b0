"""Liveness: how long a peer has been silent, and what its pings say."""

from mesh import constants
from mesh.engine.liveness import CONNECTED, LOST, UNRESPONSIVE, Liveness


def test_presence_follows_the_silence_and_is_told_once():
    """Unresponsive after 10 s, lost after 30 s, connected as soon as it is heard again."""
    liveness = Liveness(0.0)
    assert liveness.presence_change(9.9) is None
    assert liveness.presence_change(10.0) == UNRESPONSIVE
    assert liveness.presence_change(11.0) is None
    assert liveness.presence_change(30.0) == LOST
    liveness.on_received(31.0)
    assert liveness.presence_change(31.0) == CONNECTED
    assert liveness.silence(32.0) == 1.0


def test_a_ping_is_due_after_silence_and_then_not_for_a_while():
    """Every 5 s without receipt."""
    liveness = Liveness(0.0)
    assert not liveness.ping_due(4.9)
    assert liveness.ping_due(5.0)
    assert not liveness.ping_due(5.1)
    assert liveness.ping_due(10.0)
    liveness.on_received(12.0)
    assert not liveness.ping_due(16.0)
    assert min(liveness.deadlines()) == 17.0


def test_the_round_trip_is_smoothed():
    """A first sample counts whole, later ones an eighth; an answer nobody asked for not at all."""
    liveness = Liveness(0.0)
    first, second = liveness.ping(0.0), liveness.ping(10.0)
    assert liveness.on_pong(first, 0.8) == 0.8
    assert liveness.round_trip == 0.8
    assert liveness.on_pong(first, 5.0) is None
    assert liveness.on_pong(second, 10.0) == 0.0
    assert liveness.round_trip == 0.875 * 0.8


def test_only_the_last_pings_are_remembered():
    """A peer that answers none costs no memory."""
    liveness = Liveness(0.0)
    tokens = [liveness.ping(0.0) for _ in range(17)]
    assert liveness.on_pong(tokens[0], 1.0) is None
    assert liveness.on_pong(tokens[1], 1.0) == 1.0


def test_a_session_is_doubted_ten_seconds_after_the_first_unanswered_question():
    """Asking again does not give it more time; any frame does."""
    liveness = Liveness(0.0)
    assert not liveness.unanswered(1e6)
    liveness.on_asked(1.0)
    liveness.on_asked(9.0)
    assert 1.0 + constants.ANSWER_TIMEOUT_SECONDS in liveness.deadlines()
    assert not liveness.unanswered(10.9)
    assert liveness.unanswered(11.0)
    liveness.on_received(11.0)
    assert not liveness.unanswered(100.0)


def test_ten_minutes_of_silence_end_the_delivery():
    """Counted from the last frame."""
    liveness = Liveness(0.0)
    liveness.on_received(100.0)
    assert not liveness.forgotten(699.9)
    assert liveness.forgotten(700.0)


def test_a_resend_waits_for_four_round_trips():
    """A second at least; doubling, ten seconds at most."""
    liveness = Liveness(0.0)
    timer = liveness.resend_timer(0.0)
    assert timer.at == 1.0
    pauses = []
    for _ in range(5):
        before = timer.at
        assert timer.due(before)
        pauses.append(timer.at - before)
    assert pauses == [2.0, 4.0, 8.0, 10.0, 10.0]
    liveness.on_pong(liveness.ping(0.0), 3.0)
    assert liveness.resend_timer(0.0).at == 10.0


def test_a_pong_that_was_held_back_says_nothing_of_the_path():
    """Whoever delays one pong for minutes slows neither resends nor renewals."""
    liveness = Liveness(0.0)
    liveness.on_pong(liveness.ping(0.0), 0.5)
    assert liveness.on_pong(liveness.ping(1.0), 101.0) == 100.0
    assert liveness.round_trip == 0.5
