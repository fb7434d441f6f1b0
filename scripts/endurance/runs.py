"""The two measurements: what becomes of messages under cuts, and what a stalled peer holds.

The relay lives in this process, the nodes in two others. All three read the same clock.
"""

import asyncio
from bisect import bisect
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from random import Random
from statistics import median
from typing import Any, NamedTuple

from benchmarks.peers import Peer
from benchmarks.process import Process, together
from endurance.cutter import Cut, Cutter
from endurance.relay import Relay
from endurance.sides import Filled, Heard

_SIDE = Peer("noisemesh", "endurance.sides", "Side", "Side", "both sides of it")
_PATIENCE_SECONDS = 60.0
HELD_SIZES = (64, 1024, 65_536)


class CutsPlan(NamedTuple):
    """How many messages, how fast, and what befalls them. Times in seconds, sizes in bytes."""

    messages: int
    size: int
    rate: float
    shortest: float
    longest: float
    rekey: float
    seed: int


class CutsReport(NamedTuple):
    """What became of them, both ways together.

    `cuts`: those that ended a connection. `silences`: from each cut until a message that was sent
    after it was handled, each way, in seconds.
    """

    plan: CutsPlan
    cuts: int
    in_traffic: int
    resets: int
    losses: int
    duplicates: int
    out_of_order: int
    damaged: int
    handshakes: int
    fresh_exchanges: int
    silences: list[float]

    @property
    def longest_silence(self) -> float:
        """0.0 where no message was sent after a cut."""
        return max(self.silences, default=0.0)

    @property
    def median_silence(self) -> float:
        """The same."""
        return median(self.silences) if self.silences else 0.0

    @property
    def kept(self) -> bool:
        """Whether everything came once, in order, unchanged."""
        return not (self.losses or self.duplicates or self.out_of_order or self.damaged)


class HeldReport(NamedTuple):
    """What two nodes hold while a handler does not return. Peaks and growth in bytes of memory."""

    filled: Filled
    sender_peak: int
    sender_growth: int
    receiver_peak: int
    receiver_growth: int


async def survive_cuts(plan: CutsPlan) -> CutsReport:
    """Send both ways through a relay that cuts. Raises PeerFailed."""
    async with (
        _sides({"rekey_after_seconds": plan.rekey}) as (dialler, listener, endpoint),
        Relay(endpoint) as relay,
    ):
        await _meet(dialler, listener, relay.endpoint)
        dialler.seconds = listener.seconds = _PATIENCE_SECONDS + 5 * plan.messages / plan.rate
        cutter = Cutter(relay, Random(plan.seed), shortest=plan.shortest, longest=plan.longest)
        async with cutter:
            await _ask([dialler, listener], "talk", plan.messages, plan.size, plan.rate)
        heard = await _ask([dialler, listener], "heard")
        counters = await _ask([dialler, listener], "counters")
    return report(plan, cutter.cuts, heard, counters)


def report(
    plan: CutsPlan, cuts: Sequence[Cut], heard: Sequence[Heard], counters: Sequence[dict[str, int]]
) -> CutsReport:
    """What both sides heard and counted, together."""
    return CutsReport(
        plan=plan,
        cuts=len(cuts),
        in_traffic=sum(cut.frames > 0 for cut in cuts),
        resets=sum(cut.reset for cut in cuts),
        losses=sum(plan.messages - each.messages for each in heard),
        duplicates=sum(each.duplicates for each in heard),
        out_of_order=sum(each.out_of_order for each in heard),
        damaged=sum(each.damaged for each in heard),
        handshakes=max(each.get("sessions.established", 0) for each in counters),
        fresh_exchanges=max(each.get("sessions.renewed", 0) for each in counters),
        silences=[silence for each in heard for silence in silences(cuts, each)],
    )


def silences(cuts: Sequence[Cut], heard: Heard) -> list[float]:
    """From each cut until a message that was sent after it was handled."""
    found = []
    for cut in cuts:
        following = bisect(heard.sent, cut.at)
        if following < len(heard.handled):
            found.append(heard.handled[following] - cut.at)
    return found


async def hold(size: int) -> HeldReport:
    """Fill a peer whose handler never returns. Raises PeerFailed."""
    async with _sides({}) as (sender, receiver, endpoint):
        await _meet(sender, receiver, endpoint)
        before = await _ask([sender, receiver], "peak_bytes")
        [filled] = await _ask([sender], "fill", size)
        after = await _ask([sender, receiver], "peak_bytes")
    return HeldReport(
        filled,
        sender_peak=after[0],
        sender_growth=after[0] - before[0],
        receiver_peak=after[1],
        receiver_growth=after[1] - before[1],
    )


@asynccontextmanager
async def _sides(fields: dict[str, Any]) -> AsyncIterator[tuple[Process, Process, str]]:
    """Two nodes that trust each other, and where the second listens."""
    processes = [Process(_SIDE, side, uvloop=False) for side in ("sender", "receiver")]
    try:
        await _ask(processes, "open")
        (first_id, _), (second_id, endpoint) = await _ask(processes, "open_node", fields)
        await _ask(processes[:1], "allow", second_id)
        await _ask(processes[1:], "allow", first_id)
        yield processes[0], processes[1], endpoint
    finally:
        await asyncio.to_thread(_end, processes)


async def _meet(dialler: Process, listener: Process, endpoint: str) -> None:
    await _ask([dialler], "connect", endpoint)
    await _ask([listener], "meet")


async def _ask(processes: Sequence[Process], method: str, *arguments: Any) -> list[Any]:
    """Ask all of them at once, beside the loop. Raises PeerFailed."""
    for process in processes:
        process.order(method, *arguments)
    return [answer.value for answer in await asyncio.to_thread(together, *processes)]


def _end(processes: Sequence[Process]) -> None:
    for process in processes:
        process.end()
