"""Rounds, medians, ranges and ratios.

In each round every peer does the same work, one after the other, so that whatever else the
machine does falls on all of them; what is compared is medians over the rounds. Everybody does
equally much in a round, so a slow peer, which would keep the others waiting, does fewer rounds.
"""

from collections import defaultdict
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import cache
from statistics import median
from tempfile import TemporaryDirectory
from time import monotonic

from benchmarks.drills import Figures, measure_once
from benchmarks.peers import Peer
from benchmarks.peers.register import NOISEMESH
from benchmarks.process import Pair, PeerAbsent, PeerFailed
from benchmarks.startup import measure_start
from benchmarks.workloads import Kind, Metric, Workload

_WARMED_UP = frozenset({Kind.ONE_WAY, Kind.POSTS, Kind.ROUND_TRIP, Kind.CALLS, Kind.FAN_OUT})
_WARM_UP = 0.05


@dataclass(frozen=True)
class Spread:
    """The values of a metric over the rounds."""

    values: tuple[float, ...]

    @property
    def median(self) -> float:
        """What is compared."""
        return median(self.values)

    @property
    def low(self) -> float:
        """The smallest."""
        return min(self.values)

    @property
    def high(self) -> float:
        """The largest."""
        return max(self.values)


@dataclass(frozen=True)
class Ratio:
    """How many times better noisemesh is: above 1 it is the better one, whatever the metric.

    `value` is the ratio of the medians; `low` and `high` are those of single rounds.
    """

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Failure:
    """A peer that could not be measured. `workload`: empty when it did not even start. `absent`:
    what it needs is not on this machine.
    """

    peer: str
    workload: str
    error: str
    absent: bool = False


@dataclass
class Result:
    """All rounds of one workload: for each peer the figures of its rounds."""

    workload: Workload
    rounds: dict[str, list[Figures]] = field(default_factory=dict)

    def spread(self, peer: str, metric: Metric) -> Spread | None:
        """A peer's values of a metric, or None where it has none."""
        rounds = self.rounds.get(peer, ())
        values = tuple(figures[metric.key] for figures in rounds if metric.key in figures)
        return Spread(values) if values else None

    def ratio(self, peer: str, metric: Metric, ours: str = NOISEMESH) -> Ratio | None:
        """noisemesh beside a peer, or None where one of them was not measured."""
        return ratio_of(metric, self.spread(ours, metric), self.spread(peer, metric))


@dataclass
class Report:
    """Everything a run found out. `unable`: the workloads a peer cannot do, by their names."""

    peers: list[str]
    rounds: int
    results: list[Result] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    versions: dict[str, str] = field(default_factory=dict)
    unable: dict[str, list[str]] = field(default_factory=dict)

    def result(self, name: str) -> Result | None:
        """The rounds of the workload of that name, if it was measured."""
        return next((result for result in self.results if result.workload.name == name), None)

    def beside_own(self, result: Result, peer: str, metric: Metric) -> Ratio | None:
        """How many times as much a figure is as that of the same peer in the workload beside."""
        other = self.result(result.workload.beside)
        here, there = result.spread(peer, metric), other.spread(peer, metric) if other else None
        if here is None or there is None:
            return None
        return Ratio(*(value / there.median for value in (here.median, here.low, here.high)))


def ratio_of(metric: Metric, ours: Spread | None, theirs: Spread | None) -> Ratio | None:
    """How many times better ours is, or None where one of them was not measured."""
    if ours is None or theirs is None:
        return None
    singles = [
        _times_better(metric, mine, other)
        for mine, other in zip(ours.values, theirs.values, strict=False)
    ]
    return Ratio(_times_better(metric, ours.median, theirs.median), min(singles), max(singles))


def _times_better(metric: Metric, ours: float, theirs: float) -> float:
    above, below = (ours, theirs) if metric.higher_is_better else (theirs, ours)
    return above / below if below else float("inf")


def measure(
    peers: Sequence[Peer],
    workloads: Sequence[Workload],
    rounds: int,
    *,
    uvloop: bool = False,
    seconds: float = 60.0,
    patience: float = 6.0,
    say: Callable[[str], None] = lambda _: None,
) -> Report:
    """Measure all workloads with all peers. `seconds`: the most one peer may take in a round.

    `patience`: seconds of one workload after which a peer does no further round of it. A peer that
    fails is named in the report and left out of the rest of that workload; the next one finds it
    started afresh, unless it could not start at all.
    """
    report = Report([peer.name for peer in peers], rounds)
    for peer in peers:
        if unable := [workload.name for workload in workloads if not peer.can(workload)]:
            report.unable[peer.name] = unable
    with ExitStack() as stack:
        field_of_peers = _Field(
            peers, report, stack, uvloop=uvloop, seconds=seconds, patience=patience
        )
        for number, workload in enumerate(workloads):
            times = min(rounds, workload.most_rounds)
            say(f"{workload.title}: {workload.count:,} × {times} rounds")
            result = Result(workload)
            report.results.append(result)
            field_of_peers.assemble(workload, workloads[number + 1 :])
            began = monotonic()
            field_of_peers.warm_up(workload)
            for turn in range(times):
                field_of_peers.round(result, turn)
            say(f"  {monotonic() - began:.0f} s")
    return report


def _papers(stack: ExitStack) -> Sequence[str]:
    # Needs a library, which whoever only asks for help may not have.
    from benchmarks.certificates import make_certificates

    folder = stack.enter_context(TemporaryDirectory(prefix="noisemesh-bench-"))
    return make_certificates(folder).receiver


class _Field:
    """The pairs that are running."""

    def __init__(
        self,
        peers: Sequence[Peer],
        report: Report,
        stack: ExitStack,
        *,
        uvloop: bool,
        seconds: float,
        patience: float,
    ) -> None:
        self._peers = list(peers)
        self._report = report
        self._uvloop = uvloop
        self._seconds = seconds
        self._patience = patience
        self._pairs: dict[str, Pair] = {}
        self._taking_part: list[Peer] = []
        self._spent: defaultdict[str, float] = defaultdict(float)
        self._papers = cache(lambda: _papers(stack))
        stack.callback(self._end)

    def assemble(self, workload: Workload, later: Sequence[Workload]) -> None:
        """Start who can do this and is not running; end who is not needed again.

        Who cannot start is named and not tried again.
        """
        self._spent.clear()
        for peer in self._peers:
            if peer.name in self._pairs and not any(map(peer.can, (workload, *later))):
                self._pairs.pop(peer.name).end()
        self._taking_part = [peer for peer in self._peers if peer.can(workload)]
        if workload.kind not in (Kind.START, Kind.MANY_PEERS):
            self._start_missing()

    def _start_missing(self) -> None:
        for peer in list(self._taking_part):
            if peer.name in self._pairs:
                continue
            try:
                self._pairs[peer.name] = self._start(peer)
            except PeerFailed as error:
                absent = isinstance(error, PeerAbsent)
                self._report.failures.append(Failure(peer.name, "", str(error), absent))
                self._taking_part.remove(peer)
                self._peers.remove(peer)

    def _start(self, peer: Peer) -> Pair:
        pair = Pair(peer, uvloop=self._uvloop, seconds=self._seconds)
        self._report.versions.update(pair.versions)
        return pair

    def warm_up(self, workload: Workload) -> None:
        """A part of a round that is not measured, where few messages are soon over: buffers have
        grown then, and windows are open.
        """
        if workload.fixed or workload.kind not in _WARMED_UP:
            return
        for peer in list(self._taking_part):
            try:
                measure_once(self._pairs[peer.name], workload.scaled(_WARM_UP))
            except PeerFailed as error:
                self._fail(peer, workload, error)

    def _fail(self, peer: Peer, workload: Workload, error: PeerFailed) -> None:
        self._report.failures.append(Failure(peer.name, workload.name, str(error)))
        self._taking_part.remove(peer)
        if peer.name in self._pairs:
            self._pairs.pop(peer.name).end()

    def round(self, result: Result, turn: int) -> None:
        """Each of them once, every time beginning with another one."""
        first = turn % max(1, len(self._taking_part))
        for peer in self._taking_part[first:] + self._taking_part[:first]:
            if self._spent[peer.name] >= self._patience and not result.workload.fixed:
                continue
            began = monotonic()
            try:
                figures = self._figures(peer, result.workload)
            except PeerFailed as error:
                self._fail(peer, result.workload, error)
                continue
            self._spent[peer.name] += monotonic() - began
            result.rounds.setdefault(peer.name, []).append(figures)

    def _figures(self, peer: Peer, workload: Workload) -> Figures:
        if workload.kind is Kind.START:
            return measure_start(peer, self._papers())
        if workload.kind is Kind.MANY_PEERS:
            # What was connected and measured before would hide what a peer costs.
            with self._start(peer) as pair:
                return measure_once(pair, workload)
        return measure_once(self._pairs[peer.name], workload)

    def _end(self) -> None:
        for pair in self._pairs.values():
            pair.end()
