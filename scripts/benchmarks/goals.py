"""What we want to reach beside the others, and whether a run reached it."""

from collections.abc import Iterator
from typing import Any, NamedTuple

from benchmarks.measure import Report, Result
from benchmarks.peers.register import OURS
from benchmarks.workloads import Metric


class Goal(NamedTuple):
    """A figure of ours beside that of a peer, or, without a peer, beside another one of our own.

    `limit`: how many times better we want to be; `at_most`: how many times as much it may be.
    """

    text: str
    workload: str
    metric: str
    peer: str
    limit: float
    at_most: bool = False

    @property
    def wanted(self) -> str:
        """The limit, for people."""
        return f"{'≤' if self.at_most else '≥'}{self.limit:g}×"


class Outcome(NamedTuple):
    """What came of a goal. `margin`: 0.1 for ten percent better than wanted, below 0 if missed."""

    value: float
    low: float
    high: float
    margin: float

    @property
    def reached(self) -> bool:
        """Whether it is at least what was wanted."""
        return self.margin >= 0


GOALS = (
    Goal("64 B, beside zenoh", "64B", "messages_per_second", "zenoh", 1.5),
    Goal("64 B, beside curve", "64B", "messages_per_second", "curve", 5.0),
    Goal("dict of 64 B, beside zenoh", "dict", "messages_per_second", "zenoh", 1.2),
    Goal("1 KiB, beside zenoh", "1KiB", "messages_per_second", "zenoh", 1.2),
    Goal("64 KiB, beside curve", "64KiB", "megabytes_per_second", "curve", 1.2),
    Goal("1 MiB, beside zenoh", "1MiB", "megabytes_per_second", "zenoh", 1.3),
    Goal("p50 of a call, beside zenoh", "round-trip", "p50_us", "zenoh", 0.9, at_most=True),
    Goal("p50 of a call, beside curve", "round-trip", "p50_us", "curve", 1.5, at_most=True),
    Goal("256 calls in flight, beside grpc", "calls", "calls_per_second", "grpc", 20.0),
    Goal("new sessions, beside curve", "sessions", "sessions_per_second", "curve", 1.0),
    Goal("p99 beside 64 KiB, as alone", "beside-64KiB", "p99_us", "", 5.0, at_most=True),
    Goal("p99 beside 1 MiB, as alone", "beside-1MiB", "p99_us", "", 5.0, at_most=True),
)


def outcome(report: Report, goal: Goal, ours: str) -> Outcome | None:
    """What came of a goal for one of our variants, or None where it was not measured."""
    result = report.result(goal.workload)
    if result is None:
        return None
    values = _values(report, result, goal, ours)
    if values is None:
        return None
    value = values[0]
    margin = (goal.limit / value if goal.at_most else value / goal.limit) - 1
    return Outcome(*values, margin)


def _values(
    report: Report, result: Result, goal: Goal, ours: str
) -> tuple[float, float, float] | None:
    metric = _metric(result, goal.metric)
    if not goal.peer:
        own = report.beside_own(result, ours, metric)
        return (own.value, own.low, own.high) if own else None
    ratio = result.ratio(goal.peer, metric, ours)
    if ratio is None:
        return None
    if goal.at_most:
        return 1 / ratio.value, 1 / ratio.high, 1 / ratio.low
    return ratio.value, ratio.low, ratio.high


def _metric(result: Result, key: str) -> Metric:
    return next(metric for metric in result.workload.metrics if metric.key == key)


def measured_goals(report: Report) -> list[tuple[Goal, dict[str, Outcome]]]:
    """Goals that this run says something about, and what it says for each of our variants."""
    found = []
    for goal in GOALS:
        outcomes = {ours: outcome(report, goal, ours) for ours in OURS}
        known = {ours: value for ours, value in outcomes.items() if value is not None}
        if known:
            found.append((goal, known))
    return found


def goals_as_json(report: Report) -> list[dict[str, Any]]:
    """Every goal that was measured, as plain values."""
    return [
        {
            "goal": goal.text,
            "workload": goal.workload,
            "metric": goal.metric,
            "peer": goal.peer or None,
            "wanted": goal.wanted,
            "outcomes": {
                ours: {**found._asdict(), "reached": found.reached}
                for ours, found in outcomes.items()
            },
        }
        for goal, outcomes in measured_goals(report)
    ]


_TITLE_WIDTH, _WANTED_WIDTH, _COLUMN = 34, 8, 38


def goals_as_text(report: Report) -> Iterator[str]:
    """Every goal that was measured, as rows of a table."""
    ours = [name for name in OURS if name in report.peers]
    yield (
        f"{'':<{_TITLE_WIDTH}}{'wanted':<{_WANTED_WIDTH}}"
        + "".join(f"{name:<{_COLUMN}}" for name in ours).rstrip()
    )
    for goal, outcomes in measured_goals(report):
        cells = (f"{_verdict(outcomes.get(name)):<{_COLUMN}}" for name in ours)
        row = f"{goal.text:<{_TITLE_WIDTH}}{goal.wanted:<{_WANTED_WIDTH}}" + "".join(cells)
        yield row.rstrip()


def _verdict(found: Outcome | None) -> str:
    if found is None:
        return "–"
    verdict = "reached" if found.reached else "MISSED"
    return f"{found.value:.2f}× {verdict}, {found.margin:+.0%} ({found.low:.2f}–{found.high:.2f})"
