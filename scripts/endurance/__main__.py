"""The command line of `scripts/reliability`."""

import argparse
import asyncio
import json
import random
import signal
import sys
from collections.abc import Sequence
from typing import Any

from benchmarks.process import PeerFailed
from endurance.runs import HELD_SIZES, CutsPlan, CutsReport, HeldReport, hold, survive_cuts

_MIB = 1 << 20


def parser() -> argparse.ArgumentParser:
    """Options of both measurements."""
    top = argparse.ArgumentParser(
        prog="scripts/reliability",
        description="Two nodes and a relay between them that cuts: what is lost, repeated, out of "
        "order, or late; and what both hold in memory while a handler does not return.",
        epilog="Exit status 0 only if all messages came once, in order and unchanged.",
    )
    top.add_argument(
        "--messages", type=int, default=100_000, metavar="N", help="each way: %(default)s"
    )
    top.add_argument(
        "--size", type=int, default=64, metavar="BYTES", help="of each message: %(default)s"
    )
    top.add_argument(
        "--rate", type=float, default=10_000.0, help="messages a second, each way: %(default)g"
    )
    top.add_argument(
        "--shortest-ms", type=float, default=50.0, help="least time between two cuts: %(default)g"
    )
    top.add_argument(
        "--longest-ms", type=float, default=300.0, help="most time between two cuts: %(default)g"
    )
    top.add_argument(
        "--rekey",
        type=float,
        default=1.0,
        metavar="SECONDS",
        help="between fresh keys: %(default)g",
    )
    top.add_argument("--seed", type=int, help="chooses the moments of the cuts")
    top.add_argument("--only", choices=["cuts", "memory"], help="one of both measurements")
    top.add_argument("--json", action="store_true", help="figures for programs")
    return top


def main(arguments: Sequence[str] | None = None) -> int:
    """Run; 0 when all came once and in order, 1 when not or when nothing was measured."""
    top = parser()
    options = top.parse_args(arguments)
    if options.messages < 1 or options.size < 16 or options.rate <= 0:
        top.error("--messages is at least 1, --size 16, --rate more than 0")
    if not 0 < options.shortest_ms <= options.longest_ms:
        top.error("--shortest-ms is more than 0 and at most --longest-ms")
    try:
        cuts, held = asyncio.run(_measure(options))
    except PeerFailed as error:
        print(f"not measured: {error}", file=sys.stderr)
        return 1
    if options.json:
        print(json.dumps(as_json(cuts, held), indent=2))
    else:
        print("\n\n".join([*map(cuts_text, cuts), *([held_text(held)] if held else [])]))
    return 0 if all(report.kept for report in cuts) else 1


async def _measure(options: argparse.Namespace) -> tuple[list[CutsReport], list[HeldReport]]:
    cuts, held = [], []
    if options.only != "memory":
        seed = random.randrange(1 << 32) if options.seed is None else options.seed
        plan = CutsPlan(
            options.messages,
            options.size,
            options.rate,
            options.shortest_ms / 1000,
            options.longest_ms / 1000,
            options.rekey,
            seed,
        )
        cuts.append(await survive_cuts(plan))
    if options.only != "cuts":
        for size in HELD_SIZES:
            held.append(await hold(size))
    return cuts, held


def cuts_text(report: CutsReport) -> str:
    """For people."""
    plan = report.plan
    rows = [
        ("messages, each way", f"{plan.messages} of {plan.size} bytes"),
        ("cuts", f"{report.cuts}, {report.in_traffic} of them in traffic, {report.resets} by RST"),
        ("lost", report.losses),
        ("duplicates", report.duplicates),
        ("out of order", report.out_of_order),
        ("changed", report.damaged),
        ("handshakes", report.handshakes),
        ("fresh exchanges", report.fresh_exchanges),
        ("silence after a cut, longest", f"{report.longest_silence * 1000:.0f} ms"),
        ("silence after a cut, median", f"{report.median_silence * 1000:.0f} ms"),
    ]
    head = (
        f"Cut every {plan.shortest * 1000:g} to {plan.longest * 1000:g} ms, fresh keys every "
        f"{plan.rekey:g} s, seed {plan.seed}"
    )
    return "\n".join([head, *(f"  {name:<30} {value}" for name, value in rows)])


def held_text(reports: Sequence[HeldReport]) -> str:
    """For people."""
    lines = [
        "A handler that does not return: what the sender could send, and the memory both took",
        f"  {'message':>10} {'taken':>9} {'bytes':>10} {'sender peak':>18} {'receiver peak':>18}",
    ]
    for report in reports:
        filled = report.filled
        taken = filled.messages * filled.size / _MIB
        lines.append(
            f"  {filled.size:>8} B {filled.messages:>9} {taken:>6.2f} MiB"
            f" {_peak(report.sender_peak, report.sender_growth):>18}"
            f" {_peak(report.receiver_peak, report.receiver_growth):>18}"
        )
    return "\n".join(lines)


def _peak(peak: int, growth: int) -> str:
    return f"{peak / _MIB:.0f} MiB (+{growth / _MIB:.1f})"


def as_json(cuts: Sequence[CutsReport], held: Sequence[HeldReport]) -> dict[str, Any]:
    """For programs: seconds and bytes."""
    return {
        "cuts": [
            {
                **report.plan._asdict(),
                **{k: v for k, v in report._asdict().items() if k not in ("plan", "silences")},
                "longest_silence": report.longest_silence,
                "median_silence": report.median_silence,
            }
            for report in cuts
        ],
        "memory": [
            {
                **report.filled._asdict(),
                **{k: v for k, v in report._asdict().items() if k != "filled"},
            }
            for report in held
        ],
    }


if __name__ == "__main__":
    # Ends the processes it has started, whichever way it is told to stop.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    sys.exit(main())
