"""The ratios of a report as a picture: a row for each figure, a mark for each peer."""

from pathlib import Path
from typing import Any

from benchmarks.measure import Report, Result
from benchmarks.peers.register import OURS
from benchmarks.workloads import Metric

# Okabe and Ito's colours, which people with any usual kind of colour blindness tell apart; the
# shape of the mark says the same once more.
_COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#000000", "#999999")
_MARKS = ("o", "s", "^", "D", "v", "P", "X", "*", "<", ">")
_ROW_INCHES, _WIDTH_INCHES, _REST_INCHES = 0.55, 11.0, 2.2


def plot(report: Report, path: Path) -> None:
    """Draw it into a PNG file. Raises ImportError without matplotlib, OSError for a bad path."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    peers = [name for name in report.peers if name not in (*OURS, "noisemesh-rekey")]
    rows = _rows(report, peers)
    height = _REST_INCHES + _ROW_INCHES * max(1, len(rows))
    figure, axes = pyplot.subplots(figsize=(_WIDTH_INCHES, height), layout="constrained")
    for number, peer in enumerate(peers):
        # The marks of a row stand a little below one another, so that none hides another.
        offset = (number + 0.5) / len(peers) * 0.8 - 0.4
        _draw(axes, rows, peer, offset, _COLOURS[number % 8], _MARKS[number % 10])
    _dress(axes, [f"{result.workload.title}, {metric.title}" for result, metric in rows])
    figure.suptitle("How many times better noisemesh is: medians, and the range of single rounds")
    figure.legend(loc="outside lower center", ncols=5, frameon=False)
    figure.savefig(path, dpi=130)
    pyplot.close(figure)


def _rows(report: Report, peers: list[str]) -> list[tuple[Result, Metric]]:
    return [
        (result, metric)
        for result in report.results
        for metric in result.workload.metrics
        if metric.compared and any(result.ratio(peer, metric) for peer in peers)
    ]


def _draw(
    axes: Any,
    rows: list[tuple[Result, Metric]],
    peer: str,
    offset: float,
    colour: str,
    mark: str,
) -> None:
    heights, ratios = [], []
    for height, (result, metric) in enumerate(rows):
        if ratio := result.ratio(peer, metric):
            heights.append(height + offset)
            ratios.append(ratio)
    if not ratios:
        return
    values = [ratio.value for ratio in ratios]
    # A median of few rounds may lie outside the ratios of single ones.
    below = [max(0.0, ratio.value - ratio.low) for ratio in ratios]
    above = [max(0.0, ratio.high - ratio.value) for ratio in ratios]
    axes.errorbar(
        values,
        heights,
        xerr=[below, above],
        fmt=mark,
        color=colour,
        markersize=6,
        elinewidth=1,
        label=peer,
    )


def _dress(axes: Any, titles: list[str]) -> None:
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}×")
    axes.axvline(1.0, color="black", linewidth=1.2)
    axes.set_yticks(range(len(titles)), titles)
    axes.set_ylim(len(titles) - 0.5, -0.5)
    for height in range(1, len(titles)):
        axes.axhline(height - 0.5, color="#DDDDDD", linewidth=0.6)
    axes.grid(axis="x", which="both", color="#EEEEEE", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.set_xlabel("to the right of 1× noisemesh is the better one")
