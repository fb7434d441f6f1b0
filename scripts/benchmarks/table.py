"""A report for people and for programs: ratios first, then absolute figures with their ranges."""

from collections.abc import Iterator
from typing import Any

from benchmarks.machine import Machine
from benchmarks.measure import Failure, Report, Result
from benchmarks.peers import NOISEMESH
from benchmarks.workloads import Metric

_TITLE_WIDTH = 28
_UNIT_WIDTH = 12
_LEAST_COLUMN = 26

_ABOUT_RATIOS = (
    "noisemesh beside the others: how many times better, of medians (single rounds);"
    " above 1 it is the better one"
)
_ABOUT_FIGURES = "Figures: median (lowest–highest)"


def as_json(report: Report, machine: Machine) -> dict[str, Any]:
    """The report as plain values."""
    return {
        "machine": machine._asdict(),
        "versions": dict(sorted(report.versions.items())),
        "peers": report.peers,
        "rounds": report.rounds,
        "workloads": [_workload_as_json(report, result) for result in report.results],
        "failures": [
            {"peer": failure.peer, "workload": failure.workload or None, "error": failure.error}
            for failure in report.failures
        ],
    }


def _workload_as_json(report: Report, result: Result) -> dict[str, Any]:
    workload = result.workload
    return {
        "name": workload.name,
        "title": workload.title,
        "size": workload.size,
        "count": workload.count,
        "in_flight": workload.in_flight,
        "metrics": {m.key: _metric_as_json(report, result, m) for m in workload.metrics},
    }


def _metric_as_json(report: Report, result: Result, metric: Metric) -> dict[str, Any]:
    figures, ratios = {}, {}
    for peer in report.peers:
        if spread := result.spread(peer, metric):
            figures[peer] = {
                "median": spread.median,
                "low": spread.low,
                "high": spread.high,
                "rounds": list(spread.values),
            }
        if peer != NOISEMESH and (ratio := result.ratio(peer, metric)):
            ratios[peer] = {"ratio": ratio.value, "low": ratio.low, "high": ratio.high}
    return {
        "unit": metric.unit,
        "better": "higher" if metric.higher_is_better else "lower",
        "peers": figures,
        "ratios": ratios,
    }


def as_text(report: Report, machine: Machine) -> str:
    """The report as a table for the terminal."""
    return "\n".join(_lines(report, machine)) + "\n"


def _lines(report: Report, machine: Machine) -> Iterator[str]:
    yield f"Two processes for each peer on tcp loopback, {report.rounds} interleaved rounds."
    yield (
        f"{machine.cpu}, {machine.cores} cores, {machine.system}, Python {machine.python};"
        f" load {machine.load_before:.1f} before, {machine.load_after:.1f} after"
    )
    yield ", ".join(f"{name} {version}" for name, version in sorted(report.versions.items()))
    others = [peer for peer in report.peers if peer != NOISEMESH]
    if others and NOISEMESH in report.peers:
        yield from ("", _ABOUT_RATIOS)
        yield from _ratios(report, others)
    yield from ("", _ABOUT_FIGURES)
    yield from _figures(report)
    if report.failures:
        yield from ("", "Not measured:")
        yield from map(_failure, report.failures)


def _ratios(report: Report, others: list[str]) -> Iterator[str]:
    width = _column(others)
    yield " " * (_TITLE_WIDTH + _UNIT_WIDTH) + "".join(f"{peer:>{width}}" for peer in others)
    for result in report.results:
        for metric in result.workload.metrics:
            if metric.compared:
                cells = (f"{_ratio(result, peer, metric):>{width}}" for peer in others)
                yield _head(result.workload.title, metric.title) + "".join(cells)


def _ratio(result: Result, peer: str, metric: Metric) -> str:
    ratio = result.ratio(peer, metric)
    if ratio is None:
        return "–"
    return f"{ratio.value:.2f}× ({ratio.low:.2f}–{ratio.high:.2f})"


def _figures(report: Report) -> Iterator[str]:
    width = _column(report.peers)
    head = " " * (_TITLE_WIDTH + _UNIT_WIDTH)
    yield head + "".join(f"{peer:>{width}}" for peer in report.peers)
    for result in report.results:
        for metric in result.workload.metrics:
            cells = (f"{_figure(result, peer, metric):>{width}}" for peer in report.peers)
            title = result.workload.title if metric.compared else f"  {metric.title}"
            unit = f"{metric.title} {metric.unit}" if metric.unit == "µs" else metric.unit
            yield _head(title, unit) + "".join(cells)


def _figure(result: Result, peer: str, metric: Metric) -> str:
    spread = result.spread(peer, metric)
    if spread is None:
        return "–"
    return f"{_number(spread.median)} ({_number(spread.low)}–{_number(spread.high)})"


def _number(value: float) -> str:
    """Three figures that matter, no more."""
    for above, digits in ((100, 0), (10, 1)):
        if value >= above:
            return f"{value:,.{digits}f}"
    return f"{value:.2f}"


def _head(title: str, unit: str) -> str:
    return f"{title:<{_TITLE_WIDTH}}{unit:<{_UNIT_WIDTH}}"


def _column(names: list[str]) -> int:
    return max(_LEAST_COLUMN, *(len(name) + 2 for name in names))


def _failure(failure: Failure) -> str:
    where = f" in {failure.workload}" if failure.workload else ""
    return f"  {failure.peer}{where}: {failure.error}"
