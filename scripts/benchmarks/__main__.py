"""The command line of `scripts/bench`."""

import argparse
import importlib.util
import json
import signal
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from benchmarks import machine, table
from benchmarks.drills import hot_spots
from benchmarks.hot_spots import Watch, table_of
from benchmarks.measure import Report, measure
from benchmarks.peers import Peer
from benchmarks.peers.register import NOISEMESH, PEERS
from benchmarks.plot import plot
from benchmarks.process import PeerFailed
from benchmarks.workloads import WORKLOADS, Workload

_ROUNDS, _QUICK_ROUNDS = 5, 2
_QUICK_SCALE = 0.15
# Seconds of a workload after which a slow peer does no further round of it.
_PATIENCE, _QUICK_PATIENCE = 6.0, 1.0
_HANDSHAKE_ROUNDS, _HANDSHAKE_LAPS = 15, 12
_FUNCTIONS_SHOWN, _LINES_SHOWN = 25, 25


def say(text: str) -> None:
    """Progress, where it does not mix with the results."""
    print(text, file=sys.stderr, flush=True)


def parser() -> argparse.ArgumentParser:
    """Options of both forms."""
    titles = {workload.name: workload.title for workload in WORKLOADS}
    about = {peer.name: peer.about for peer in PEERS}
    top = argparse.ArgumentParser(
        prog="scripts/bench",
        description="Measure noisemesh beside its peers, in interleaved rounds on this machine.",
        epilog=f"workloads:\n{_listed(titles)}\n\npeers:\n{_listed(about)}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    top.add_argument(
        "what",
        nargs="?",
        choices=["run", "profile", "handshake"],
        default="run",
        help="profile: where one peer's sender and receiver spend their time, by function and line;"
        " handshake: handshakes a second on one core, beside noiseprotocol and the floor",
    )
    top.add_argument(
        "--only",
        action="append",
        default=[],
        metavar="NAME",
        help="only this workload or this peer; may be given again",
    )
    top.add_argument(
        "--quick", action="store_true", help="fewer messages and rounds, nothing heavy"
    )
    top.add_argument("--rounds", type=int, help=f"rounds, {_ROUNDS} by default")
    top.add_argument("--json", action="store_true", help="values instead of a table")
    top.add_argument("--save", type=Path, metavar="FILE", help="write the values to a file as well")
    top.add_argument("--plot", type=Path, metavar="FILE.png", help="draw the ratios as well")
    top.add_argument(
        "--check",
        action="store_true",
        help="count what a message costs in calls and allocations; fail where it has grown",
    )
    top.add_argument("--write", action="store_true", help="with --check: from now on it may")
    top.add_argument("--uvloop", action="store_true", help="peers that use asyncio run on uvloop")
    top.add_argument(
        "--timeout", type=float, default=60.0, help="most seconds of a peer in a round"
    )
    top.add_argument("--scale", type=float, help=argparse.SUPPRESS)
    return top


def _listed(meanings: dict[str, str]) -> str:
    return "\n".join(f"  {name:<18}{meaning}" for name, meaning in meanings.items())


def choose(only: Sequence[str], *, quick: bool = False) -> tuple[list[Peer], list[Workload]]:
    """What the names given stand for; all where none of a sort is given, but for what is too heavy
    for a quick run. Raises ValueError.
    """
    unknown = set(only) - {peer.name for peer in PEERS} - {w.name for w in WORKLOADS}
    if unknown:
        raise ValueError(f"no workload and no peer is called {', '.join(sorted(unknown))}")
    peers = [peer for peer in PEERS if peer.name in only]
    workloads = [workload for workload in WORKLOADS if workload.name in only]
    usual = [workload for workload in WORKLOADS if not (quick and workload.heavy)]
    return peers or list(PEERS), workloads or usual


def main(arguments: Sequence[str] | None = None) -> int:
    """Run; 0 when everything was measured, 1 when a peer failed, 2 for wrong usage."""
    top = parser()
    options = top.parse_args(arguments)
    scale = options.scale or (_QUICK_SCALE if options.quick else 1.0)
    if options.check:
        return check_costs(write=options.write)
    if options.write:
        top.error("--write: only with --check")
    if options.what == "handshake":
        if options.only or options.uvloop or options.plot or options.save:
            top.error("handshake: it has no peers and workloads to choose or draw, and no loop")
        return handshake(options, scale)
    try:
        peers, workloads = choose(options.only, quick=options.quick)
    except ValueError as error:
        top.error(str(error))
    for option, package in (("uvloop", "uvloop"), ("plot", "matplotlib")):
        if getattr(options, option) and importlib.util.find_spec(package) is None:
            top.error(f"--{option}: {package} is not installed here")
    workloads = [workload.scaled(scale) for workload in workloads]
    if options.what == "profile":
        if not any(peer.name in options.only for peer in PEERS):
            peers = [peer for peer in peers if peer.name == NOISEMESH]
        return profile(options, peers, workloads)
    return run(options, peers, workloads)


def run(options: argparse.Namespace, peers: list[Peer], workloads: list[Workload]) -> int:
    """Measure and print."""
    before = machine.load()
    rounds = options.rounds or (_QUICK_ROUNDS if options.quick else _ROUNDS)
    report = measure(
        peers,
        workloads,
        rounds,
        uvloop=options.uvloop,
        seconds=options.timeout,
        patience=_QUICK_PATIENCE if options.quick else _PATIENCE,
        say=say,
    )
    here = machine.describe(before)
    if options.save:
        options.save.write_text(json.dumps(table.as_json(report, here), indent=2), encoding="utf-8")
    if options.plot:
        plot(report, options.plot)
    if options.json:
        print(json.dumps(table.as_json(report, here), indent=2))
    else:
        print(table.as_text(report, here), end="")
    return status_of(report, options.only)


def status_of(report: Report, only: Sequence[str]) -> int:
    """1 when a peer failed, or when one that was asked for by its name is not here."""
    return int(any(not failed.absent or failed.peer in only for failed in report.failures))


def check_costs(*, write: bool) -> int:
    """Count and print; 1 when a message costs more than is stored, unless that is stored now."""
    # Whoever only asks for help may not have what a node needs.
    from benchmarks import check, cost

    costs = cost.measure_costs()
    print(check.table(costs, check.stored()), end="")
    if write:
        check.write(costs)
        return 0
    grown = check.grown(costs, check.stored())
    for line in grown:
        print(f"GROWN  {line}")
    return int(bool(grown))


def handshake(options: argparse.Namespace, scale: float) -> int:
    """Measure handshakes and print."""
    # It needs libraries, which whoever only asks for help may not have.
    from benchmarks.handshake_table import handshakes_as_json, handshakes_as_text
    from benchmarks.handshakes import measure_handshakes

    before = machine.load()
    rounds = options.rounds or (_QUICK_ROUNDS if options.quick else _HANDSHAKE_ROUNDS)
    report = measure_handshakes(rounds, laps=max(1, round(_HANDSHAKE_LAPS * scale)), say=say)
    here = machine.describe(before)
    if options.json:
        print(json.dumps(handshakes_as_json(report, here), indent=2))
    else:
        print(handshakes_as_text(report, here), end="")
    return 0


def profile(options: argparse.Namespace, peers: list[Peer], workloads: list[Workload]) -> int:
    """Print hot spots of each workload and peer: by function, then by line."""
    status = 0
    for workload in workloads:
        for peer in peers:
            for watch, shown in (
                (Watch.FUNCTIONS, _FUNCTIONS_SHOWN),
                (Watch.LINES, _LINES_SHOWN),
            ):
                longer = replace(workload, count=workload.count * 2)
                try:
                    sides = hot_spots(
                        peer, longer, watch, uvloop=options.uvloop, seconds=options.timeout
                    )
                except PeerFailed as error:
                    say(f"{peer.name}, {workload.title}: {error}")
                    status = 1
                    continue
                for side, spots in zip(("sender", "receiver"), sides, strict=True):
                    title = f"{workload.title}, {peer.name}'s {side}, {watch.value}"
                    print(table_of(title, spots, shown), end="\n\n", flush=True)
    return status


if __name__ == "__main__":
    # Ends the processes it has started, whichever way it is told to stop.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    sys.exit(main())
