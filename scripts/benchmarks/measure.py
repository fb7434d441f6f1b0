"""Rounds, medians, ranges and ratios.

In each round every peer does the same work, one after the other, so that whatever else the
machine does falls on all of them; what is compared is medians over the rounds.
"""

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from statistics import median

from benchmarks.hot_spots import Spot, Watch
from benchmarks.peers import NOISEMESH, Peer
from benchmarks.process import Answer, Pair, PeerFailed, together
from benchmarks.workloads import Kind, Metric, Workload

Figures = dict[str, float]


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
    """A peer that could not be measured. `workload`: empty when it did not even start."""

    peer: str
    workload: str
    error: str


@dataclass
class Result:
    """All rounds of one workload: for each peer the figures of its rounds."""

    workload: Workload
    rounds: dict[str, list[Figures]] = field(default_factory=dict)

    def spread(self, peer: str, metric: Metric) -> Spread | None:
        """A peer's values of a metric, or None where it has none."""
        values = tuple(figures[metric.key] for figures in self.rounds.get(peer, ()))
        return Spread(values) if values else None

    def ratio(self, peer: str, metric: Metric) -> Ratio | None:
        """noisemesh beside a peer, or None where one of them was not measured."""
        ours, theirs = self.spread(NOISEMESH, metric), self.spread(peer, metric)
        if ours is None or theirs is None:
            return None
        singles = [
            _times_better(metric, mine, other)
            for mine, other in zip(ours.values, theirs.values, strict=False)
        ]
        value = _times_better(metric, ours.median, theirs.median)
        return Ratio(value, min(singles), max(singles))


@dataclass
class Report:
    """Everything a run found out."""

    peers: list[str]
    rounds: int
    results: list[Result] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    versions: dict[str, str] = field(default_factory=dict)


def _times_better(metric: Metric, ours: float, theirs: float) -> float:
    above, below = (ours, theirs) if metric.higher_is_better else (theirs, ours)
    return above / below if below else float("inf")


def measure(
    peers: Sequence[Peer],
    workloads: Sequence[Workload],
    rounds: int,
    *,
    uvloop: bool = False,
    seconds: float = 30.0,
    say: Callable[[str], None] = lambda _: None,
) -> Report:
    """Measure all workloads with all peers. `seconds`: the most one peer may take in a round.

    A peer that fails is named in the report and left out of the rest of that workload; the next
    one finds it started afresh, unless it could not start at all.
    """
    report = Report([peer.name for peer in peers], rounds)
    with ExitStack() as stack:
        field_of_peers = _Field(peers, report, stack, uvloop=uvloop, seconds=seconds)
        for workload in workloads:
            say(f"{workload.title}: {workload.count:,} × {rounds} rounds")
            field_of_peers.start_missing()
            result = Result(workload)
            report.results.append(result)
            for _ in range(rounds):
                field_of_peers.round(result)
    return report


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
    ) -> None:
        self._peers = list(peers)
        self._report = report
        self._uvloop = uvloop
        self._seconds = seconds
        self._pairs: dict[str, Pair] = {}
        stack.callback(self._end)

    def start_missing(self) -> None:
        """Start who is not running. Who cannot start is named and not tried again."""
        for peer in list(self._peers):
            if peer.name in self._pairs:
                continue
            try:
                pair = Pair(peer, uvloop=self._uvloop, seconds=self._seconds)
            except PeerFailed as error:
                self._report.failures.append(Failure(peer.name, "", str(error)))
                self._peers.remove(peer)
                continue
            self._pairs[peer.name] = pair
            self._report.versions.update(pair.versions)

    def round(self, result: Result) -> None:
        """Each running peer once, in the same order every time."""
        workload = result.workload
        for name, pair in list(self._pairs.items()):
            try:
                figures = measure_once(pair, workload)
            except PeerFailed as error:
                self._report.failures.append(Failure(name, workload.name, str(error)))
                self._pairs.pop(name).end()
                continue
            result.rounds.setdefault(name, []).append(figures)

    def _end(self) -> None:
        for pair in self._pairs.values():
            pair.end()


def work(pair: Pair, workload: Workload, watch: Watch = Watch.NOTHING) -> tuple[Answer, Answer]:
    """Let a pair do a workload once. What the sender and the receiver answered."""
    heard, said = {
        Kind.ONE_WAY: ("receive", "send"),
        Kind.ROUND_TRIP: ("answer", "ask"),
        Kind.CALLS: ("answer", "ask_many"),
    }[workload.kind]
    pair.receiver.ask("expect", workload)
    pair.receiver.order(heard, watch=watch)
    pair.sender.order(said, workload, watch=watch)
    sender, receiver = together(pair.sender, pair.receiver)
    return sender, receiver


def measure_once(pair: Pair, workload: Workload) -> Figures:
    """The figures of one peer in one round."""
    # Read when both are done: a library's own threads may still be sending when `send` returns.
    sides = {"sender_cpu_us": pair.sender, "receiver_cpu_us": pair.receiver}
    before = {key: side.ask("cpu_seconds") for key, side in sides.items()}
    sender, receiver = work(pair, workload)
    figures = {
        key: (side.ask("cpu_seconds") - before[key]) / workload.count * 1e6
        for key, side in sides.items()
    }
    if workload.kind is Kind.ROUND_TRIP:
        times = sorted(sender.value)
        figures["p50_us"] = median(times) * 1e6
        figures["p99_us"] = times[min(len(times) - 1, len(times) * 99 // 100)] * 1e6
    elif workload.kind is Kind.CALLS:
        figures["calls_per_second"] = workload.count / sender.value
    else:
        messages, first, last = receiver.value
        figures["messages_per_second"] = (messages - 1) / max(last - first, 1e-9)
        figures["megabytes_per_second"] = figures["messages_per_second"] * workload.size / 1e6
    return figures


def hot_spots(
    peer: Peer, workload: Workload, watch: Watch, *, uvloop: bool = False, seconds: float = 30.0
) -> tuple[list[Spot], list[Spot]]:
    """Where a peer's sender and receiver spend their time. Raises PeerFailed."""
    with Pair(peer, uvloop=uvloop, seconds=seconds) as pair:
        work(pair, workload.scaled(0.1))
        sender, receiver = work(pair, workload, watch)
    return list(sender.spots), list(receiver.spots)
