"""The reader: reads files and hands them to the workers, round after round, until enough keys
were renewed meanwhile."""

import asyncio
import hashlib
from pathlib import Path
from typing import Any, NamedTuple

from mesh import Receipt
from mesh.cli.demo.member import Member, Tell

PIECE_BYTES = 4096
# A round of a small folder takes at least this long: keys are renewed by the clock.
ROUND_SECONDS = 0.6
_CALL_SECONDS = 15.0


class Share(NamedTuple):
    """What one worker gets: the pieces of its files, as messages but for the round."""

    worker: str
    pieces: list[dict[str, Any]]
    size: int


class Reader(Member):
    """Messages `piece` to the workers; calls `finish` to them and `close_round` to the index."""

    def __init__(self, name: str, home: Path, tell: Tell, *, rekey_after_seconds: float) -> None:
        super().__init__(name, home, tell, rekey_after_seconds=rekey_after_seconds)
        self._digests: dict[int, str] = {}
        self._renewed: dict[str, int] = {}
        self._before: dict[str, int] = {}
        self.orders["work"] = self.work

    async def work(
        self, shares: dict[str, list[tuple[int, str]]], renewals: int, seconds: float
    ) -> dict[str, Any]:
        """Hand out the files (number and path, by worker) until every link that works was renewed
        `renewals` times, or no further round would begin within `seconds`."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        ready = [self._read(worker, files) for worker, files in shares.items()]
        self._before = {worker: self.generation(worker) for worker in shares}
        self._renewed = {}
        rounds: list[dict[str, Any]] = []
        while not rounds or (
            self._least_renewed() < renewals and loop.time() - began < seconds - ROUND_SECONDS
        ):
            rounds.append(await self._round(len(rounds) + 1, ready))
        return {
            "rounds": rounds,
            "renewed": self._renewed,
            "digests": self._digests,
            "bytes": {share.worker: share.size * len(rounds) for share in ready},
            "pieces": {share.worker: len(share.pieces) * len(rounds) for share in ready},
            "seconds": loop.time() - began,
        }

    def _read(self, worker: str, files: list[tuple[int, str]]) -> Share:
        pieces: list[dict[str, Any]] = []
        size = 0
        for number, path in files:
            data = Path(path).read_bytes()
            size += len(data)
            self._digests[number] = hashlib.sha256(data).hexdigest()
            starts = range(0, max(1, len(data)), PIECE_BYTES)
            pieces += [
                {
                    "file": number,
                    "piece": index,
                    "last": index == len(starts) - 1,
                    "data": data[start : start + PIECE_BYTES],
                }
                for index, start in enumerate(starts)
            ]
        return Share(worker, pieces, size)

    async def _round(self, number: int, shares: list[Share]) -> dict[str, Any]:
        await asyncio.gather(*(self._hand_out(number, share) for share in shares))
        tallies: dict[str, dict[str, int]] = {}
        for share in shares:
            worker = share.worker
            tally = await self.node.call(worker, "finish", None, timeout=_CALL_SECONDS)
            tallies[worker] = tally
            self._renewed[f"reader-{worker}"] = self.generation(worker) - self._before[worker]
            self._renewed[f"{worker}-index"] = tally["generation"] - tally["first_generation"]
        closed: dict[str, Any] = await self.node.call(
            "index", "close_round", number, timeout=_CALL_SECONDS
        )
        self.tell(
            {
                "news": "round",
                "round": number,
                "pieces": {share.worker: len(share.pieces) for share in shares},
                "bytes": sum(share.size for share in shares),
                **closed,
            }
        )
        return {**closed, "tallies": tallies}

    async def _hand_out(self, number: int, share: Share) -> None:
        """Send one worker's share, evenly over a round's least time, and see it handled."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        receipt: Receipt | None = None
        for index, piece in enumerate(share.pieces):
            early = began + ROUND_SECONDS * index / len(share.pieces) - loop.time()
            if early > 0:
                await asyncio.sleep(early)
            receipt = await self.node.send(share.worker, "piece", {"round": number, **piece})
        if receipt is not None:
            await receipt.handled()

    def _least_renewed(self) -> int:
        return min(self._renewed.values(), default=0)
