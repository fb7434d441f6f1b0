"""A report for people and for programs: ratios first, then goals, then figures."""

import shutil
from collections.abc import Callable, Iterator
from dataclasses import asdict
from typing import Any

from benchmarks.goals import goals_as_json, goals_as_text, measured_goals
from benchmarks.machine import Machine
from benchmarks.measure import Failure, Ratio, Report, Result
from benchmarks.peers.register import NOISEMESH, PEERS
from benchmarks.workloads import Metric

_TITLE_WIDTH = 28
_UNIT_WIDTH = 14
_LEAST_COLUMN = 22
# Where there is no terminal to ask for its width.
_USUAL_WIDTH = 160

_UNABLE, _MISSING = "—", "–"

_ABOUT_RATIOS = (
    "noisemesh beside the others: how many times better, of medians (single rounds);"
    " above 1 it is the better one"
)
_ABOUT_GOALS = "Goals: ours beside theirs, of medians (single rounds)"
_ABOUT_OWN = "Beside the same peer's other figure: how many times as much, of medians"
_ABOUT_FIGURES = "Figures: median (lowest–highest)"


def as_json(report: Report, machine: Machine) -> dict[str, Any]:
    """The report as plain values."""
    return {
        "machine": machine._asdict(),
        "versions": dict(sorted(report.versions.items())),
        "peers": report.peers,
        "about": {peer.name: peer.about for peer in PEERS if peer.name in report.peers},
        "rounds": report.rounds,
        "goals": goals_as_json(report),
        "workloads": [_workload_as_json(report, result) for result in report.results],
        "unable": report.unable,
        "failures": [
            {**asdict(failure), "workload": failure.workload or None} for failure in report.failures
        ],
    }


def _workload_as_json(report: Report, result: Result) -> dict[str, Any]:
    workload = result.workload
    return {
        "name": workload.name,
        "title": workload.title,
        "kind": workload.kind.value,
        "size": workload.size,
        "count": workload.count,
        "in_flight": workload.in_flight,
        "receivers": workload.receivers,
        "bulk": workload.bulk,
        "beside": workload.beside or None,
        "metrics": {m.key: _metric_as_json(report, result, m) for m in workload.metrics},
    }


def _metric_as_json(report: Report, result: Result, metric: Metric) -> dict[str, Any]:
    figures, ratios, own = {}, {}, {}
    for peer in report.peers:
        if spread := result.spread(peer, metric):
            figures[peer] = {
                "median": spread.median,
                "low": spread.low,
                "high": spread.high,
                "rounds": list(spread.values),
            }
        if peer != NOISEMESH and (ratio := result.ratio(peer, metric)):
            ratios[peer] = _ratio_as_json(ratio)
        if beside := report.beside_own(result, peer, metric):
            own[peer] = _ratio_as_json(beside)
    return {
        "unit": metric.unit,
        "better": "higher" if metric.higher_is_better else "lower",
        "peers": figures,
        "ratios": ratios,
        "beside_own": own,
    }


def _ratio_as_json(ratio: Ratio) -> dict[str, float]:
    return {"ratio": ratio.value, "low": ratio.low, "high": ratio.high}


def as_text(report: Report, machine: Machine, width: int = 0) -> str:
    """The report as a table for a terminal of that width, by default the one we are in."""
    width = width or shutil.get_terminal_size((_USUAL_WIDTH, 0)).columns
    return "\n".join(line.rstrip() for line in _lines(report, machine, width)) + "\n"


def _lines(report: Report, machine: Machine, width: int) -> Iterator[str]:
    yield f"Two processes for each peer on tcp loopback, {report.rounds} interleaved rounds."
    yield (
        f"{machine.cpu}, {machine.cores} cores, {machine.system}, Python {machine.python};"
        f" load {machine.load_before:.1f} before, {machine.load_after:.1f} after"
    )
    yield ", ".join(f"{name} {version}" for name, version in sorted(report.versions.items()))
    others = [peer for peer in report.peers if peer != NOISEMESH]
    if others and NOISEMESH in report.peers:
        yield from ("", _ABOUT_RATIOS)
        yield from _table(report, others, width, _ratio, only_compared=True)
    if measured_goals(report):
        yield from ("", _ABOUT_GOALS)
        yield from goals_as_text(report)
    yield from _beside_own(report, width)
    yield from ("", _ABOUT_FIGURES)
    yield from _table(report, report.peers, width, _figure, only_compared=False)
    yield from _notes(report)


Cell = Callable[[Result, str, Metric], str]


def _table(
    report: Report, peers: list[str], width: int, cell: Cell, *, only_compared: bool
) -> Iterator[str]:
    """As many peers beside one another as there is room for, the others below."""
    column = max(_LEAST_COLUMN, *(len(name) + 2 for name in peers))
    head = _TITLE_WIDTH + _UNIT_WIDTH
    most = max(1, (width - head) // column)
    for start in range(0, len(peers), most):
        some = peers[start : start + most]
        if start:
            yield ""
        yield " " * head + "".join(f"{peer:>{column}}" for peer in some)
        for result in report.results:
            for metric in result.workload.metrics:
                if metric.compared or not only_compared:
                    cells = [_cell(report, result, peer, metric, cell) for peer in some]
                    if any(text not in (_UNABLE, _MISSING) for text in cells):
                        yield _head(result, metric) + "".join(f"{c:>{column}}" for c in cells)


def _cell(report: Report, result: Result, peer: str, metric: Metric, cell: Cell) -> str:
    if text := cell(result, peer, metric):
        return text
    return _UNABLE if result.workload.name in report.unable.get(peer, ()) else _MISSING


def _ratio(result: Result, peer: str, metric: Metric) -> str:
    ratio = result.ratio(peer, metric)
    return _times(ratio) if ratio else ""


def _times(ratio: Ratio) -> str:
    numbers = [_number(value) for value in (ratio.value, ratio.low, ratio.high)]
    return "{}× ({}–{})".format(*numbers)


def _figure(result: Result, peer: str, metric: Metric) -> str:
    spread = result.spread(peer, metric)
    if spread is None:
        return ""
    return f"{_number(spread.median)} ({_number(spread.low)}–{_number(spread.high)})"


def _number(value: float) -> str:
    """Three figures that matter, no more; thousands and millions in short."""
    for above, by, unit in ((1e6, 1e6, "M"), (1e4, 1e3, "k")):
        if value >= above:
            return f"{_number(value / by)}{unit}"
    for above, digits in ((100, 0), (10, 1)):
        if value >= above:
            return f"{value:,.{digits}f}"
    return f"{value:.2f}"


def _head(result: Result, metric: Metric) -> str:
    if not metric.compared:
        return f"{f'  {metric.title}':<{_TITLE_WIDTH}}{metric.unit:<{_UNIT_WIDTH}}"
    # A rate's unit says what it is; of times and sizes there are several kinds.
    unit = metric.unit if "/s" in metric.unit else f"{metric.title}, {metric.unit}"
    return f"{result.workload.title:<{_TITLE_WIDTH}}{unit:<{_UNIT_WIDTH}}"


def _beside_own(report: Report, width: int) -> Iterator[str]:
    """Posts beside sends, calls beside bulk beside calls alone."""
    rows = []
    for result in report.results:
        metric = next(m for m in reversed(result.workload.metrics) if m.compared)
        known = {peer: report.beside_own(result, peer, metric) for peer in report.peers}
        cells = [f"{peer} {_times(own)}" for peer, own in known.items() if own]
        if cells:
            beside = report.result(result.workload.beside)
            assert beside is not None
            rows.append(f"{result.workload.title}, {metric.title}, to {beside.workload.title}:")
            rows += _filled(cells, width)
    if rows:
        yield from ("", _ABOUT_OWN, *rows)


def _filled(cells: list[str], width: int) -> Iterator[str]:
    line = " "
    for cell in cells:
        if len(line) + len(cell) + 2 > width and line.strip():
            yield line
            line = " "
        line += f" {cell};"
    yield line.rstrip(";")


def _notes(report: Report) -> Iterator[str]:
    known = [peer for peer in PEERS if peer.name in report.peers]
    if known:
        yield from ("", "Peers:", *(f"  {peer.name}: {peer.about}" for peer in known))
    yield from _unable(report)
    yield from _fewer_rounds(report)
    if report.failures:
        yield from ("", "Not measured:")
        yield from map(_failure, report.failures)


def _unable(report: Report) -> Iterator[str]:
    """Who is not in a row, said in the shorter way."""
    rows = []
    for result in report.results:
        name = result.workload.name
        without = [peer for peer in report.peers if name in report.unable.get(peer, ())]
        others = [peer for peer in report.peers if peer not in without]
        if without:
            text = without if len(without) <= len(others) else ["all", "but", *others]
            rows.append(
                f"  {result.workload.title}: {', '.join(text).replace('all, but, ', 'all but ')}"
            )
    if rows:
        yield from ("", f"{_UNABLE}: not a thing the peer does, or not one it is asked for", *rows)


def _fewer_rounds(report: Report) -> Iterator[str]:
    """Whom the others did not wait for."""
    rows = []
    for result in report.results:
        times = {peer: len(figures) for peer, figures in result.rounds.items()}
        most = max(times.values(), default=0)
        fewer = [f"{peer} {number}" for peer, number in times.items() if number < most]
        if fewer:
            rows.append(f"  {result.workload.title}: {', '.join(fewer)} instead of {most}")
    if rows:
        yield from ("", "Fewer rounds, since they take long:", *rows)


def _failure(failure: Failure) -> str:
    where = f" in {failure.workload}" if failure.workload else ""
    return f"  {failure.peer}{where}: {failure.error}"
