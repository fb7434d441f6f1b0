"""What a message costs, counted: calls and memory, whatever else the machine does meanwhile.

Two nodes in one process do a fixed piece of work over real sockets. Counted are the calls that code
of `mesh` and `handshake` makes and receives (of Python functions, and of functions in C), and what
was allocated and alive at a time, in blocks and in bytes. Event loops and libraries count only
where our code calls them, so their versions make little difference; what differs from run to run,
such as how many acknowledgements a timer has sent, is settled by the median of several.
"""

import asyncio
import gc
import sys
import tracemalloc
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from types import FrameType
from typing import Any, NamedTuple

import handshake
import mesh
from mesh import Node
from mesh.runtime import busy_poll

_OURS = tuple(str(Path(str(package.__file__)).parent) for package in (mesh, handshake))
_SUBJECT = "cost"
_DICT = {"symbol": "EURUSD", "bid": 1.08421, "time": 1_700_000_000_123, "side": "buy"}
_LAPS = 5
_LOOK_EVERY = 4


class Cost(NamedTuple):
    """Of one message. `calls`: of our Python functions. `c_calls`: of functions in C, by ours.

    `blocks`: allocations, and `peak_bytes`: memory, that were alive at a time beyond those before.
    """

    calls: float
    c_calls: float
    blocks: float
    peak_bytes: float


@dataclass(frozen=True)
class Piece:
    """A fixed piece of work: `count` messages of `body`, done by `work(sender, name, piece)`.

    `at_a_time`: so many are sent before it is waited until they are handled.
    """

    name: str
    count: int
    body: Any
    work: Callable[[Node, str, "Piece"], Awaitable[None]]
    at_a_time: int = 1 << 30


async def _send(sender: Node, receiver: str, piece: Piece) -> None:
    for begin in range(0, piece.count, piece.at_a_time):
        for _ in range(min(piece.at_a_time, piece.count - begin)):
            receipt = await sender.send(receiver, _SUBJECT, piece.body)
        await receipt.handled()


async def _call(sender: Node, receiver: str, piece: Piece) -> None:
    for _ in range(piece.count):
        await sender.call(receiver, _SUBJECT, piece.body)


async def _call_many(sender: Node, receiver: str, piece: Piece) -> None:
    numbers = iter(range(piece.count))

    async def ask() -> None:
        for _ in numbers:
            await sender.call(receiver, _SUBJECT, piece.body)

    async with asyncio.TaskGroup() as group:
        for _ in range(256):
            group.create_task(ask())


PIECES = (
    Piece("send 64 B", 8_000, bytes(64), _send),
    Piece("send 64 B, by 256", 5_120, bytes(64), _send, 256),
    Piece("send 64 B, by 16", 640, bytes(64), _send, 16),
    Piece("send 64 B, by one", 100, bytes(64), _send, 1),
    Piece("send a dict", 8_000, _DICT, _send),
    # How much of a window is under way at a time is chance; so many bodies at most are not.
    Piece("send 64 KiB, by 9", 63, bytes(64 * 1024), _send, 9),
    Piece("send 1 MiB, by one", 8, bytes(1024 * 1024), _send, 1),
    Piece("call one at a time", 200, bytes(64), _call),
    Piece("call, 256 in flight", 2_560, bytes(64), _call_many),
)


class _Counter:
    """Calls that our code makes or receives. The asker's and handler's own code is not ours."""

    def __init__(self) -> None:
        self.calls = 0
        self.c_calls = 0
        self.handled = 0
        self.most_blocks = 0
        self._ours: dict[str, bool] = {}

    def look(self) -> None:
        """A message is at its handler: every so often, how many blocks are allocated now."""
        self.handled += 1
        if not self.handled % _LOOK_EVERY:
            self.most_blocks = max(self.most_blocks, sys.getallocatedblocks())

    def see(self, frame: FrameType, event: str, _argument: object) -> None:
        """As `sys.setprofile` calls it."""
        if event in {"call", "c_call"}:
            file = frame.f_code.co_filename
            ours = self._ours.get(file)
            if ours is None:
                ours = self._ours[file] = file.startswith(_OURS)
            if ours and event == "call":
                self.calls += 1
            elif ours:
                self.c_calls += 1


async def _once(sender: Node, receiver: str, piece: Piece, counter: _Counter) -> Cost:
    counter.calls = counter.c_calls = 0
    sys.setprofile(counter.see)
    try:
        await piece.work(sender, receiver, piece)
    finally:
        sys.setprofile(None)
    gc.collect()
    before = counter.most_blocks = sys.getallocatedblocks()
    await piece.work(sender, receiver, piece)
    blocks = counter.most_blocks - before
    tracemalloc.start()
    try:
        await piece.work(sender, receiver, piece)
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    totals = (counter.calls, counter.c_calls, blocks, peak_bytes)
    return Cost(*(total / piece.count for total in totals))


async def _measure(pieces: tuple[Piece, ...], laps: int) -> dict[str, Cost]:
    sender, receiver = (
        Node(name, home=":memory:", listen="tcp://127.0.0.1:0") for name in ("asker", "handler")
    )
    counter = _Counter()

    @receiver.on(_SUBJECT)
    async def handle(_body: Any) -> None:
        counter.look()

    @receiver.serve(_SUBJECT)
    async def echo(body: Any) -> Any:
        counter.look()
        return body

    costs: dict[str, Cost] = {}
    async with sender, receiver:
        receiver.trust.allow(sender.id, name="asker")
        sender.trust.allow(receiver.id, name="handler")
        await sender.connect(receiver.endpoints[0], id=receiver.id)
        for piece in pieces:
            await piece.work(sender, "handler", piece)
            found = [await _once(sender, "handler", piece, counter) for _ in range(laps)]
            costs[piece.name] = Cost(*(median(values) for values in zip(*found, strict=True)))
    return costs


def measure_costs(pieces: tuple[Piece, ...] = PIECES, laps: int = _LAPS) -> dict[str, Cost]:
    """The cost of a message in each piece of work, both sides together; medians of `laps`."""
    # How often a loop goes round while it waits is the machine's mood.
    near, busy_poll.NEAR_SECONDS = busy_poll.NEAR_SECONDS, 0.0
    try:
        return asyncio.run(_measure(pieces, laps))
    finally:
        busy_poll.NEAR_SECONDS = near
