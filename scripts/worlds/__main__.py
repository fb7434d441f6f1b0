"""The command line of `scripts/simulate`."""

import argparse
import os
import signal
import sys
from collections.abc import Sequence
from math import inf
from time import monotonic

from mesh.testing.simulation import simulate
from worlds.many import NOTHING, hunt, run_on
from worlds.mutants import MUTANTS

_SEEDS = 500
_TOLD_EVERY_SECONDS = 10.0


def parser() -> argparse.ArgumentParser:
    """Options of all three forms."""
    top = argparse.ArgumentParser(
        prog="scripts/simulate",
        description="Run whole meshes in memory, in virtual time, each from a seed.",
        epilog="--seed replays one world twice and draws it; --mutants plants faults, one at a "
        "time, and counts the worlds until each is found.",
    )
    top.add_argument(
        "--seeds", type=int, default=_SEEDS, metavar="N", help="how many worlds: %(default)s"
    )
    top.add_argument("--from", dest="first", type=int, default=0, help="the first seed")
    top.add_argument("--seed", type=int, metavar="S", help="replay this one and draw its frames")
    top.add_argument("--last", type=int, metavar="LINES", help="with --seed: only the last lines")
    top.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes")
    top.add_argument("--minutes", type=float, default=inf, help="begin nothing new after that")
    top.add_argument(
        "--mutants", action="store_true", help="plant faults and demand they are found"
    )
    top.add_argument(
        "--only",
        action="append",
        metavar="NAME",
        help="with --mutants: this fault alone, and may be given again; an unknown NAME shows all",
    )
    return top


def main(arguments: Sequence[str] | None = None) -> int:
    """Run; 0 when all is well, 1 when a promise was broken or a fault not found, 2 for usage."""
    top = parser()
    options = top.parse_args(arguments)
    if options.seeds < 1 or options.jobs < 1:
        top.error("--seeds and --jobs are at least 1")
    unknown = set(options.only or ()) - set(MUTANTS)
    if unknown:
        known = "\n".join(["There are:", *(f"  {name}" for name in MUTANTS)])
        top.error(f"no planted fault is called {', '.join(sorted(unknown))}. {known}")
    if options.seed is not None:
        return replay(options.seed, options.last)
    seeds = range(options.first, options.first + options.seeds)
    if options.mutants:
        return mutants(options.jobs, options.only or list(MUTANTS), seeds)
    return worlds(options.jobs, seeds, options.minutes * 60)


def replay(seed: int, last: int | None) -> int:
    """One world, twice: the same both times. Its frames, and what was violated."""
    result, again = simulate(seed, draws=True), simulate(seed)
    head, *lines = result.picture
    print(head)
    for line in lines if last is None else lines[-last:]:
        print(line)
    seconds = f"{result.seconds:.1f} virtual seconds"
    print(f"\nseed {seed}: {result.frames} frames in {seconds}, trace {result.trace}")
    if again.trace != result.trace:
        print(f"NOT THE SAME the second time: trace {again.trace}")
        return 1
    if result.violation is None:
        print("no violation")
        return 0
    print(f"violated: {result.violation}")
    return 1


def worlds(jobs: int, seeds: range, seconds: float) -> int:
    """Many worlds; each violation is printed as it is found, by its seed."""
    began = told = monotonic()
    total = NOTHING
    for tally in run_on(jobs, seeds, within=seconds):
        total += tally
        for seed, _, text in tally.violations:
            print(f"seed {seed}: {text}", flush=True)
        if monotonic() - told > _TOLD_EVERY_SECONDS:
            told = monotonic()
            print(f"{total.worlds} worlds", file=sys.stderr, flush=True)
    took = monotonic() - began
    rules = sorted({rule for _, rule, _ in total.violations})
    print(
        f"{total.worlds} worlds, {total.frames} frames, {total.seconds / 3600:.1f} virtual hours "
        f"in {took:.0f} s: {len(total.violations)} violations"
    )
    for name, most in sorted(total.most.items()):
        print(f"  most {name}: {most}")
    if total.violations:
        print(f"violated: {'; '.join(rules)}")
        print(f"replay one: scripts/simulate --seed {total.violations[0][0]}")
    return 1 if total.violations or not total.worlds else 0


def mutants(jobs: int, names: list[str], seeds: range) -> int:
    """Each planted fault has to be found."""
    missed = []
    for name, found, took in hunt(jobs, names, seeds):
        if found is None:
            missed.append(name)
            print(f"{name}: NOT FOUND in {len(seeds)} worlds ({took:.0f} s)", flush=True)
            continue
        seed, rule = found
        after = seed - seeds.start + 1
        print(f"{name}: found after {after} worlds, by: {rule} ({took:.0f} s)", flush=True)
    print(f"{len(names) - len(missed)} of {len(names)} planted faults were found")
    return 1 if missed else 0


if __name__ == "__main__":
    # Ends the processes it has started, whichever way it is told to stop.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        sys.exit(main())
    except BrokenPipeError:
        # Whoever looks at a drawing with `head` has seen enough; nothing is left to be said.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(141)
