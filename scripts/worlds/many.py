"""Many worlds, on several processors."""

import multiprocessing
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from time import monotonic
from typing import NamedTuple

from mesh.testing.simulation import simulate
from worlds.mutants import caught_by

_SEEDS_A_TURN = 20


class Tally(NamedTuple):
    """What came of some seeds. `violations`: seed, rule, text. `most`: the largest of each fact."""

    worlds: int
    frames: int
    seconds: float
    violations: list[tuple[int, str, str]]
    most: dict[str, int]

    def __add__(self, other: object) -> "Tally":
        assert isinstance(other, Tally)
        most = Counter(self.most) | Counter(other.most)
        return Tally(
            self.worlds + other.worlds,
            self.frames + other.frames,
            self.seconds + other.seconds,
            sorted(self.violations + other.violations),
            dict(most),
        )


NOTHING = Tally(0, 0, 0.0, [], {})


def run(seeds: Iterable[int]) -> Tally:
    """One world after the other."""
    total = NOTHING
    for seed in seeds:
        result = simulate(seed)
        broken = result.violation
        found = [] if broken is None else [(seed, broken.rule, str(broken))]
        total += Tally(1, result.frames, result.seconds, found, dict(result.facts))
    return total


def run_on(jobs: int, seeds: range, *, within: float) -> Iterator[Tally]:
    """The tallies of turns as they end; nothing new is begun after `within` seconds."""
    ends = monotonic() + within
    if jobs == 1:
        for turn in _turns(seeds):
            if monotonic() < ends:
                yield run(turn)
        return
    with _pool(jobs) as pool:
        turns = [pool.submit(run, turn) for turn in _turns(seeds)]
        try:
            for done in as_completed(turns):
                if not done.cancelled():
                    yield done.result()
                if monotonic() >= ends:
                    _cancel(turns)
        finally:
            # Or whoever is told to stop would wait for all of them.
            _cancel(turns)


def _cancel(turns: Iterable[Future[Tally]]) -> None:
    for turn in turns:
        turn.cancel()


def _turns(seeds: range) -> list[range]:
    return [seeds[at : at + _SEEDS_A_TURN] for at in range(0, len(seeds), _SEEDS_A_TURN)]


def hunt(
    jobs: int, names: list[str], seeds: range
) -> Iterator[tuple[str, tuple[int, str] | None, float]]:
    """For each planted fault: the seed and the rule that found it, or None, and the seconds."""
    if jobs == 1:
        yield from (_hunt(name, seeds) for name in names)
        return
    with _pool(jobs) as pool:
        for done in as_completed([pool.submit(_hunt, name, seeds) for name in names]):
            yield done.result()


def _hunt(name: str, seeds: range) -> tuple[str, tuple[int, str] | None, float]:
    began = monotonic()
    return name, caught_by(name, seeds, simulate), monotonic() - began


def _pool(jobs: int) -> ProcessPoolExecutor:
    return ProcessPoolExecutor(jobs, mp_context=multiprocessing.get_context("spawn"))
