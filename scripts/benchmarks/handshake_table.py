"""The report on handshakes, for people and for programs."""

from collections.abc import Iterator
from statistics import median
from typing import Any

from benchmarks.handshakes import EXCHANGE, OURS_XX, OURS_XX_PSK, THEIRS_XX, HandshakeReport
from benchmarks.machine import Machine

_NAME_WIDTH, _FIGURE_WIDTH = 28, 24
_OURS = (EXCHANGE, OURS_XX, OURS_XX_PSK)


def handshakes_as_json(report: HandshakeReport, machine: Machine) -> dict[str, Any]:
    """The report as plain values."""
    return {
        "machine": machine._asdict(),
        "versions": dict(sorted(report.versions.items())),
        "rounds": report.rounds,
        "handshakes_per_second": {
            name: {"median": report.rate(name), "low": min(rates), "high": max(rates)}
            for name, rates in report.rates.items()
        },
        "share_of_floor": {
            name: {
                "median": report.share(name),
                "low": min(report.shares(name)),
                "high": max(report.shares(name)),
            }
            for name in _OURS
        },
        "beside_noiseprotocol": {"median": median(_beside(report)), "rounds": _beside(report)},
        "calls": report.calls,
    }


def _beside(report: HandshakeReport) -> list[float]:
    pairs = zip(report.rates[OURS_XX], report.rates[THEIRS_XX], strict=True)
    return [ours / theirs for ours, theirs in pairs]


def handshakes_as_text(report: HandshakeReport, machine: Machine) -> str:
    """The report as a table for the terminal."""
    return "\n".join(_lines(report, machine)) + "\n"


def _lines(report: HandshakeReport, machine: Machine) -> Iterator[str]:
    yield f"Both sides of a handshake on one core, {report.rounds} interleaved rounds."
    yield (
        f"{machine.cpu}, {machine.cores} cores, {machine.system}, Python {machine.python};"
        f" load {machine.load_before:.1f} before, {machine.load_after:.1f} after"
    )
    yield ", ".join(f"{name} {version}" for name, version in sorted(report.versions.items()))
    yield ""
    yield "Handshakes a second of processor time: median (lowest–highest)"
    for name, rates in report.rates.items():
        figure = f"{report.rate(name):,.0f} ({min(rates):,.0f}–{max(rates):,.0f})"
        yield f"{name:<{_NAME_WIDTH}}{figure:>{_FIGURE_WIDTH}}"
    yield ""
    yield "Share of the floor: the same calls of the libraries in a bare loop"
    for name in _OURS:
        shares = report.shares(name)
        figure = f"{report.share(name):.0%} ({min(shares):.0%}–{max(shares):.0%})"
        yield f"{name:<{_NAME_WIDTH}}{figure:>{_FIGURE_WIDTH}}"
    times = _beside(report)
    yield ""
    yield (
        f"XX beside noiseprotocol's: {median(times):.2f}× as many"
        f" ({min(times):.2f}–{max(times):.2f})"
    )
    yield ""
    yield "Calls in one floor:"
    for name, calls in report.calls.items():
        counted = ", ".join(f"{kind} {count}" for kind, count in sorted(calls.items()))
        yield f"  {name}: {counted}"
