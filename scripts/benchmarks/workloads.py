"""What is measured: workloads, their bodies and their metrics."""

from dataclasses import dataclass, replace
from enum import StrEnum
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
    """The shape of the traffic. One way: sent and counted in the receiver's handler. Round trip:
    one call at a time. Calls: many in flight.
    """

    ONE_WAY = "one way"
    ROUND_TRIP = "round trip"
    CALLS = "calls"


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
_ROUND_TRIP = (
    Metric("p50_us", "p50", "µs", False),
    Metric("p99_us", "p99", "µs", False),
    *_CPU,
)
_CALLS = (Metric("calls_per_second", "calls", "calls/s", True), *_CPU)


@dataclass(frozen=True)
class Workload:
    """`size`: bytes of a body, encoded. `count`: messages or calls of one round.

    Every peer sends equal bodies, and equally many.
    """

    name: str
    title: str
    kind: Kind
    size: int
    count: int
    in_flight: int = 1
    as_dict: bool = False

    @property
    def body(self) -> Body:
        """What is sent, again and again."""
        return (
            dict(_DICT)
            if self.as_dict
            else bytes(range(256)) * (self.size // 256) or bytes(range(self.size))
        )

    @property
    def is_large(self) -> bool:
        """Whether bytes count rather than messages, and copies cost more than bookkeeping."""
        return self.size >= 64 * KIB

    @property
    def metrics(self) -> tuple[Metric, ...]:
        """The figures of a round."""
        if self.kind is Kind.ONE_WAY:
            return _MEGABYTES if self.is_large else _MESSAGES
        return _ROUND_TRIP if self.kind is Kind.ROUND_TRIP else _CALLS

    def scaled(self, factor: float) -> "Workload":
        """The same with another number of messages, at least twice what is in flight."""
        return replace(self, count=max(2 * self.in_flight, round(self.count * factor)))


WORKLOADS = (
    Workload("64B", "one way, 64 B", Kind.ONE_WAY, 64, 100_000),
    Workload("dict", "one way, dict of 64 B", Kind.ONE_WAY, 64, 60_000, as_dict=True),
    Workload("1KiB", "one way, 1 KiB", Kind.ONE_WAY, KIB, 50_000),
    Workload("64KiB", "one way, 64 KiB", Kind.ONE_WAY, 64 * KIB, 2_000),
    Workload("1MiB", "one way, 1 MiB", Kind.ONE_WAY, MIB, 120),
    Workload("round-trip", "round trip, 64 B", Kind.ROUND_TRIP, 64, 1_500),
    Workload("calls", "calls, 64 B, 256 in flight", Kind.CALLS, 64, 10_000, in_flight=256),
)
