"""Lifetimes of sessions and the timer that repeats."""

from math import isclose

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh import constants
from mesh.session.deadlines import Lifetime, Repeat


@pytest.mark.parametrize(("initiator", "renew_after"), [(False, 120.0), (True, 130.0)])
def test_the_lifetime_by_default(initiator, renew_after):
    """120 s for the responder, 130 for the initiator, 180 to the end, 15 retired."""
    lifetime = Lifetime.begin(1000.0, rekey_after=120.0, initiator=initiator, round_trip=0.25)
    assert isclose(lifetime.renew_at, 1000.0 + renew_after)
    assert lifetime.ends_at == 1180.0
    assert lifetime.stop_sending_at == 1179.75
    assert lifetime.retired_for == 15.0


def test_a_short_interval_keeps_time_for_repeats():
    """An interval of one second ends after eleven, and is retired for two."""
    lifetime = Lifetime.begin(0.0, rekey_after=1.0, initiator=False, round_trip=0.0)
    assert (lifetime.renew_at, lifetime.ends_at, lifetime.retired_for) == (1.0, 11.0, 2.0)


def test_an_interval_under_ten_round_trips_is_raised():
    """A round trip of 20 s makes an interval of 200."""
    lifetime = Lifetime.begin(0.0, rekey_after=120.0, initiator=False, round_trip=20.0)
    assert (lifetime.renew_at, lifetime.ends_at) == (200.0, 300.0)
    at_limit = Lifetime.begin(0.0, rekey_after=200.0, initiator=False, round_trip=20.0)
    assert at_limit.renew_at == 200.0


@given(
    st.floats(0, 1e6), st.floats(0.01, 1e5), st.booleans(), st.floats(0, 1e4, allow_subnormal=False)
)
def test_renewal_sending_and_end_follow_each_other(now, rekey_after, initiator, round_trip):
    """Whatever the interval and the link, it is renewed, then not sent on, then forgotten."""
    lifetime = Lifetime.begin(
        now, rekey_after=rekey_after, initiator=initiator, round_trip=round_trip
    )
    assert now < lifetime.renew_at < lifetime.stop_sending_at <= lifetime.ends_at
    assert lifetime.stop_sending_at - lifetime.renew_at > round_trip
    assert 0 < lifetime.retired_for <= constants.RETIRED_SECONDS


def test_repeats_double_up_to_the_longest_pause():
    """Due exactly at its time, then after pauses of twice the length each, until it is longest."""
    repeat = Repeat(10.0, first=1.0, longest=3.0)
    assert repeat.at == 11.0
    assert not repeat.due(10.999)
    times = []
    while len(times) < 4:
        now = repeat.at
        assert repeat.due(now)
        assert not repeat.due(now)
        times.append(now)
    assert times == [11.0, 13.0, 16.0, 19.0]


def test_a_late_look_repeats_once():
    """Time that nobody looked is not made up for."""
    repeat = Repeat(0.0)
    assert repeat.due(100.0)
    assert not repeat.due(100.0)
    assert repeat.at == 100.0 + 2 * constants.REPEAT_AFTER_SECONDS
