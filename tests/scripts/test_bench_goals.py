"""The benchmark's goals, and how a report tells of them: in words, as values and as a picture."""

import pytest

from benchmarks.goals import GOALS, Goal, goals_as_json, goals_as_text, outcome
from benchmarks.machine import describe, load
from benchmarks.measure import Report, Result
from benchmarks.peers.register import NOISEMESH, OURS, PEERS
from benchmarks.table import as_json, as_text
from benchmarks.workloads import WORKLOADS

WORKLOAD = {workload.name: workload for workload in WORKLOADS}
SPEED = Goal("64 B", "64B", "messages_per_second", "curve", 2.0)
LATENCY = Goal("p50", "round-trip", "p50_us", "curve", 1.5, at_most=True)
CALM = Goal("calm", "beside-64KiB", "p99_us", "", 5.0, at_most=True)


def report(**figures):
    """A report with these workloads: for each the figures of its peers, by one key."""
    found = Report([*OURS, "curve"], 1)
    for name, (key, peers) in figures.items():
        result = Result(WORKLOAD[name.replace("_", "-")])
        for peer, values in peers.items():
            result.rounds[peer] = [{key: value} for value in values]
        found.results.append(result)
    return found


def speeds(ours, theirs):
    """A report of one speed on both sides."""
    return report(**{"64B": ("messages_per_second", {NOISEMESH: ours, "curve": theirs})})


def test_a_speed_is_reached_at_the_limit():
    """Twice as fast is twice as fast; a little less is missed, and by how much is said."""
    reached = outcome(speeds([200.0], [100.0]), SPEED, NOISEMESH)
    missed = outcome(speeds([150.0], [100.0]), SPEED, NOISEMESH)
    assert reached is not None
    assert missed is not None
    assert (reached.reached, reached.value, reached.margin) == (True, 2.0, 0.0)
    assert (missed.reached, missed.value, missed.margin) == (False, 1.5, -0.25)


def test_a_time_may_be_so_many_times_theirs():
    """Where less is better the figure is how many times theirs ours is."""
    times = {NOISEMESH: [150.0, 150.0, 90.0], "curve": [100.0, 100.0, 100.0]}
    found = outcome(report(round_trip=("p50_us", times)), LATENCY, NOISEMESH)
    assert found is not None
    assert found.reached
    assert [round(value, 9) for value in (found.value, found.low, found.high)] == [1.5, 0.9, 1.5]


def test_a_goal_beside_ourselves():
    """Calls beside bulk are judged by the same peer's calls alone."""
    found = outcome(
        report(
            round_trip=("p99_us", {NOISEMESH: [100.0]}),
            beside_64KiB=("p99_us", {NOISEMESH: [600.0]}),
        ),
        CALM,
        NOISEMESH,
    )
    assert found is not None
    assert (found.value, found.reached) == (6.0, False)


@pytest.mark.parametrize("theirs", [[], [100.0]], ids=["no peer", "no variant"])
def test_what_was_not_measured_has_no_outcome(theirs):
    """Neither reached nor missed."""
    ours = NOISEMESH if not theirs else "noisemesh-chacha"
    assert outcome(speeds([100.0], theirs), SPEED, ours) is None
    assert outcome(Report([NOISEMESH], 1), SPEED, NOISEMESH) is None


def test_goals_name_what_exists():
    """Each goal is of a workload, a metric and a peer of the register, which can do it."""
    peers = {peer.name: peer for peer in PEERS}
    for goal in GOALS:
        workload = WORKLOAD[goal.workload]
        assert goal.metric in {metric.key for metric in workload.metrics if metric.compared}
        assert all(peers[name].can(workload) for name in (NOISEMESH, goal.peer) if name)
        assert goal.peer or workload.beside in WORKLOAD
    assert set(OURS) <= set(peers)


def test_goals_stand_between_ratios_and_figures():
    """The table shows ratios, then goals, then figures; the values hold the same goals."""
    found = speeds([800.0], [100.0])
    text = as_text(found, describe(load()))
    assert text.index("how many times better") < text.index("Goals") < text.index("Figures")
    (told,) = as_json(found, describe(load()))["goals"]
    assert told["outcomes"][NOISEMESH]["reached"] is True
    assert told["wanted"] == "≥5×"
    assert "8.00× reached, +60%" in "\n".join(goals_as_text(found))
    assert goals_as_json(found) == [told]


def test_a_missed_goal_is_not_hidden():
    """It says so in capitals."""
    assert "4.00× MISSED, -20%" in "\n".join(goals_as_text(speeds([400.0], [100.0])))


def test_a_figure_beside_the_same_peers_own():
    """Posts stand beside sends, in words and as values."""
    found = report(
        **{
            "64B": ("messages_per_second", {NOISEMESH: [200.0]}),
            "64B-post": ("messages_per_second", {NOISEMESH: [300.0]}),
        }
    )
    assert "noisemesh 1.50×" in as_text(found, describe(load()))
    posts = as_json(found, describe(load()))["workloads"][1]
    assert posts["metrics"]["messages_per_second"]["beside_own"][NOISEMESH]["ratio"] == 1.5


def test_who_cannot_is_told_from_who_was_not_measured():
    """A dash for each, of another length, and a line that names who cannot."""
    found = speeds([200.0], [100.0])
    found.unable["noisemesh-chacha"] = ["64B"]
    text = as_text(found, describe(load()), width=200)
    row = next(line for line in text.splitlines() if line.startswith("one way, 64 B"))
    assert row.split()[-4:-2] == ["–", "—"]
    assert "one way, 64 B: noisemesh-chacha" in text


def test_a_narrow_terminal_has_the_peers_below_one_another():
    """However narrow, each peer has its column and no line is longer than the terminal."""
    text = as_text(speeds([200.0], [100.0]), describe(load()), width=70)
    ratios = text[text.index("how many times better") : text.index("Goals")]
    rows = [line for line in ratios.splitlines() if line.startswith("one way")]
    assert len(rows) == 1
    assert "2.00×" in rows[0]
    assert max(map(len, ratios.splitlines()[1:])) <= 70
