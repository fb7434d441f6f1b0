"""How a pair of processes does a workload of each kind once, and what figures come of it."""

from statistics import median
from typing import NamedTuple

from benchmarks.hot_spots import Spot, Watch
from benchmarks.peers import Peer
from benchmarks.process import Answer, Pair, together
from benchmarks.workloads import Kind, Workload

Figures = dict[str, float]


class _Orders(NamedTuple):
    """What the sides are asked at the same time; a receiver without order goes on by itself."""

    sender: str
    receiver: str = ""


_ORDERS = {
    Kind.ONE_WAY: _Orders("send", "receive"),
    Kind.REKEYING: _Orders("send", "receive"),
    Kind.POSTS: _Orders("post", "receive"),
    Kind.FAN_OUT: _Orders("send_to_all", "receive"),
    Kind.ROUND_TRIP: _Orders("ask", "answer"),
    Kind.CALLS: _Orders("ask_many", "answer"),
    Kind.BESIDE_BULK: _Orders("ask_beside", "answer"),
    Kind.SESSIONS: _Orders("open_sessions", "answer"),
}


def work(pair: Pair, workload: Workload, watch: Watch = Watch.NOTHING) -> tuple[Answer, Answer]:
    """Let a pair do a workload once. What the sender and the receiver answered."""
    orders = _ORDERS[workload.kind]
    pair.receiver.ask("expect", workload)
    pair.receiver.order(orders.receiver, watch=watch)
    pair.sender.order(orders.sender, workload, watch=watch)
    sender, receiver = together(pair.sender, pair.receiver)
    return sender, receiver


def measure_once(pair: Pair, workload: Workload) -> Figures:
    """The figures of one peer in one round. Raises PeerFailed."""
    if workload.kind is Kind.MANY_PEERS:
        return _memory_of_peers(pair, workload)
    if workload.kind is Kind.FAN_OUT:
        pair.connect_many(workload.receivers)
    # Read when both are done: a library's own threads may still be sending when `send` returns.
    sides = {"sender_cpu_us": pair.sender, "receiver_cpu_us": pair.receiver}
    before = {key: side.ask("cpu_seconds") for key, side in sides.items()}
    renewals = _renewals(pair, workload)
    sender, receiver = work(pair, workload)
    figures = {
        key: (side.ask("cpu_seconds") - before[key]) / workload.deliveries * 1e6
        for key, side in sides.items()
    }
    figures["renewals"] = _renewals(pair, workload) - renewals
    return figures | _figures(workload, sender, receiver)


def _renewals(pair: Pair, workload: Workload) -> int:
    renewals: int = pair.sender.ask("renewals") if workload.kind is Kind.REKEYING else 0
    return renewals


def _figures(workload: Workload, sender: Answer, receiver: Answer) -> Figures:
    if workload.kind is Kind.ROUND_TRIP:
        return _latency(sender.value)
    if workload.kind is Kind.BESIDE_BULK:
        bodies, first, last = receiver.value
        megabytes = bodies * workload.bulk / 1e6
        per_second = megabytes / max(last - first, 1e-9)
        return {**_latency(sender.value), "bulk_megabytes_per_second": per_second}
    if workload.kind is Kind.CALLS:
        return {"calls_per_second": workload.count / sender.value}
    if workload.kind is Kind.SESSIONS:
        return {"sessions_per_second": workload.count / sender.value}
    messages, first, last = receiver.value
    if workload.from_start:
        per_second = messages / max(last - sender.began, 1e-9)
    else:
        per_second = (messages - 1) / max(last - first, 1e-9)
    return {
        "messages_per_second": per_second,
        "megabytes_per_second": per_second * workload.size / 1e6,
    }


def _latency(seconds: list[float]) -> Figures:
    times = sorted(seconds)
    return {
        "p50_us": median(times) * 1e6,
        "p99_us": times[min(len(times) - 1, len(times) * 99 // 100)] * 1e6,
    }


def _memory_of_peers(pair: Pair, workload: Workload) -> Figures:
    before = pair.sender.ask("memory_bytes")
    pair.connect_many(workload.count)
    grown = pair.sender.ask("memory_bytes") - before
    return {"kib_per_peer": grown / 1024 / workload.count}


def hot_spots(
    peer: Peer, workload: Workload, watch: Watch, *, uvloop: bool = False, seconds: float = 60.0
) -> tuple[list[Spot], list[Spot]]:
    """Where a peer's sender and receiver spend their time. Raises PeerFailed."""
    with Pair(peer, uvloop=uvloop, seconds=seconds) as pair:
        if workload.kind is Kind.FAN_OUT:
            pair.connect_many(workload.receivers)
        work(pair, workload.scaled(0.1))
        sender, receiver = work(pair, workload, watch)
    return list(sender.spots), list(receiver.spots)
