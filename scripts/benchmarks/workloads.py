"""What is measured: workloads, their bodies and their metrics. A workload is data.

How each kind is done lies in `drills`; which peers can do it, in their register.
"""

from dataclasses import dataclass, replace
from enum import StrEnum
from functools import lru_cache
from typing import NamedTuple

KIB = 1024
MIB = 1024 * KIB

Body = bytes | dict[str, object]

# 64 bytes of CBOR, as an agent might say it.
_DICT: dict[str, object] = {
    "symbol": "EURUSD",
    "bid": 1.08421,
    "ask": 1.08437,
    "time": 1_700_000_000_123,
    "side": "buy",
}


class Kind(StrEnum):
    """The shape of the traffic.

    One way: sent, and counted in the receiver's handler. Posts: the same by a call that never
    waits. Round trip: one call at a time. Calls: many in flight. Beside bulk: round trips while
    the same sender streams large bodies. Sessions: connect, prove, one call, leave. Fan-out: each
    body to many receivers. Many peers: what one more connected peer costs in memory. Start: a
    fresh process until it can be reached. Rekeying: one way, for some seconds.
    """

    ONE_WAY = "one way"
    POSTS = "posts"
    ROUND_TRIP = "round trip"
    CALLS = "calls"
    BESIDE_BULK = "beside bulk"
    SESSIONS = "sessions"
    FAN_OUT = "fan-out"
    MANY_PEERS = "many peers"
    START = "start"
    REKEYING = "rekeying"


class Metric(NamedTuple):
    """One figure of a workload. `compared`: whether peers are set beside one another by it."""

    key: str
    title: str
    unit: str
    higher_is_better: bool
    compared: bool = True


_CPU = (
    Metric("sender_cpu_us", "sender's CPU", "µs/message", False, compared=False),
    Metric("receiver_cpu_us", "receiver's CPU", "µs/message", False, compared=False),
)
_MESSAGES = (Metric("messages_per_second", "messages", "messages/s", True), *_CPU)
_MEGABYTES = (Metric("megabytes_per_second", "bytes", "MB/s", True), *_CPU)
_LATENCY = (Metric("p50_us", "p50", "µs", False), Metric("p99_us", "p99", "µs", False))
_METRICS = {
    Kind.REKEYING: (*_MESSAGES, Metric("renewals", "new keys", "times", True, compared=False)),
    Kind.ROUND_TRIP: (*_LATENCY, *_CPU),
    Kind.CALLS: (Metric("calls_per_second", "calls", "calls/s", True), *_CPU),
    Kind.BESIDE_BULK: (
        *_LATENCY,
        Metric("bulk_megabytes_per_second", "bulk meanwhile", "MB/s", True, compared=False),
    ),
    Kind.SESSIONS: (Metric("sessions_per_second", "sessions", "sessions/s", True),),
    Kind.FAN_OUT: (Metric("messages_per_second", "deliveries", "messages/s", True), *_CPU),
    Kind.MANY_PEERS: (Metric("kib_per_peer", "memory", "KiB", False),),
    Kind.START: (
        Metric("import_ms", "import", "ms", False),
        Metric("ready_ms", "ready", "ms", False),
        Metric("idle_mib", "memory", "MiB", False),
    ),
}


@lru_cache(maxsize=8)
def _pattern(size: int) -> bytes:
    return bytes(range(256)) * (size // 256) or bytes(range(size))


@dataclass(frozen=True)
class Workload:
    """`size`: bytes of a body, encoded. `count`: messages, calls, sessions or peers of one round.

    Every peer sends equal bodies, and equally many. `bulk`: the size of what is streamed
    meanwhile. `receivers`: how many get each body. `most_rounds`: of a heavy one. `beside`: the
    workload of the same peer by which this one's figures are judged. `fixed`: its count makes the
    figure what it is, and everybody does all rounds of it. `heavy`: left out of a quick run.
    """

    name: str
    title: str
    kind: Kind
    size: int
    count: int
    in_flight: int = 1
    as_dict: bool = False
    bulk: int = 0
    receivers: int = 1
    most_rounds: int = 99
    beside: str = ""
    fixed: bool = False
    heavy: bool = False

    @property
    def body(self) -> Body:
        """What is sent, again and again."""
        return dict(_DICT) if self.as_dict else _pattern(self.size)

    @property
    def call_body(self) -> bytes:
        """The same for calls, which carry bytes."""
        return _pattern(self.size)

    @property
    def bulk_body(self) -> bytes:
        """What is streamed meanwhile."""
        return _pattern(self.bulk)

    @property
    def largest(self) -> int:
        """Bytes of the largest body in it."""
        return max(self.size, self.bulk)

    @property
    def deliveries(self) -> int:
        """How many bodies reach a handler."""
        return self.count * self.receivers

    @property
    def is_large(self) -> bool:
        """Whether bytes count rather than messages, and copies cost more than bookkeeping."""
        return self.size >= 64 * KIB

    @property
    def from_start(self) -> bool:
        """Whether the clock runs from the sender's first call: where so few bodies are sent that
        the time between the first and the last of them at the receiver says little.
        """
        return self.deliveries < 8

    @property
    def metrics(self) -> tuple[Metric, ...]:
        """The figures of a round."""
        return _METRICS.get(self.kind) or (_MEGABYTES if self.is_large else _MESSAGES)

    def scaled(self, factor: float) -> "Workload":
        """The same with another number of messages, at least twice what is in flight."""
        if self.fixed:
            return self
        return replace(self, count=max(2 * self.in_flight, round(self.count * factor)))


WORKLOADS = (
    Workload("64B", "one way, 64 B", Kind.ONE_WAY, 64, 40_000),
    Workload("64B-post", "one way, 64 B, post", Kind.POSTS, 64, 40_000, beside="64B"),
    Workload("dict", "one way, dict of 64 B", Kind.ONE_WAY, 64, 20_000, as_dict=True),
    Workload("1KiB", "one way, 1 KiB", Kind.ONE_WAY, KIB, 20_000),
    Workload("1KiB-post", "one way, 1 KiB, post", Kind.POSTS, KIB, 20_000, beside="1KiB"),
    Workload("64KiB", "one way, 64 KiB", Kind.ONE_WAY, 64 * KIB, 1_000),
    Workload("1MiB", "one way, 1 MiB", Kind.ONE_WAY, MIB, 60),
    Workload(
        "100MiB",
        "one way, 100 MiB",
        Kind.ONE_WAY,
        100 * MIB,
        1,
        most_rounds=3,
        fixed=True,
        heavy=True,
    ),
    Workload("round-trip", "round trip, 64 B", Kind.ROUND_TRIP, 64, 1_000),
    Workload("calls", "calls, 64 B, 256 in flight", Kind.CALLS, 64, 6_000, in_flight=256),
    Workload(
        "beside-64KiB",
        "round trip beside 64 KiB",
        Kind.BESIDE_BULK,
        64,
        200,
        bulk=64 * KIB,
        most_rounds=3,
        beside="round-trip",
    ),
    Workload(
        "beside-1MiB",
        "round trip beside 1 MiB",
        Kind.BESIDE_BULK,
        64,
        150,
        bulk=MIB,
        most_rounds=3,
        beside="round-trip",
        heavy=True,
    ),
    Workload("sessions", "new sessions", Kind.SESSIONS, 64, 40),
    Workload("fan-out", "64 B to each of 16", Kind.FAN_OUT, 64, 1_500, receivers=16),
    Workload("peers", "each of 100 peers", Kind.MANY_PEERS, 64, 100, most_rounds=1, fixed=True),
    Workload("start", "a fresh process", Kind.START, 0, 1, fixed=True),
    Workload(
        "rekeying", "64 B for seconds", Kind.REKEYING, 64, 2_000_000, most_rounds=3, fixed=True
    ),
)
