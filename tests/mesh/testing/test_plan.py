"""Plans of worlds, from seeds."""

from random import Random

from mesh.testing.plan import FAULTS, NAMES, Plan

PLANS = [Plan.draw(Random(seed)) for seed in range(300)]


def test_a_seed_has_one_plan():
    """And others have others."""
    assert Plan.draw(Random(5)) == PLANS[5] != PLANS[6]


def test_everybody_is_dialled_or_dials():
    """Two to five nodes, each pair from one side or both, by identity or not."""
    for plan in PLANS:
        assert 2 <= len(plan.names) <= len(NAMES)
        for name in plan.names:
            assert any(name in (one, other) for one, other, _ in plan.wishes)
    sides = {len(plan.wishes) for plan in PLANS if len(plan.names) == 2}
    assert sides == {1, 2}
    assert {pinned for plan in PLANS for _, _, pinned in plan.wishes} == {True, False}
    assert {len(plan.names) for plan in PLANS} == {2, 3, 4, 5}


def test_every_fault_is_there_in_some_worlds_and_missing_in_others():
    """So each is seen alone, too."""
    for fault in FAULTS:
        assert {bool(plan.faults[fault]) for plan in PLANS} == {True, False}
    assert {plan.frames_change for plan in PLANS} == {True, False}


def test_ten_minutes_of_silence_come_where_nobody_renews_all_the_time():
    """Two nodes, or keys that live long."""
    for plan in PLANS:
        if plan.faults["silence"]:
            assert len(plan.names) == 2 or plan.rekey_after > 20
