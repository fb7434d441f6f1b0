"""A node in a process of its own, and what it keeps of the messages that it was told.

`benchmarks.process` runs it: each method is an order.
"""

import asyncio
import resource
import struct
import sys
from array import array
from pathlib import Path
from time import monotonic
from typing import Any, NamedTuple

from mesh import Node

CUTS, HOLD = "cuts", "hold"
# A message's number and the moment it was sent; the rest follows from the number.
_HEAD = struct.Struct(">Qd")
_STUCK_SECONDS = 2.0
_STATUS = Path("/proc/self/status")


def versions() -> dict[str, str]:
    """Nothing that a report needs."""
    return {}


def body_of(number: int, sent: float, size: int) -> bytes:
    """A numbered message of `size` bytes."""
    return _HEAD.pack(number, sent) + bytes([number & 0xFF]) * (size - _HEAD.size)


class Heard(NamedTuple):
    """What came of one direction.

    `sent`, `handled`: moments of each message's first coming, in that order. `damaged`: bodies
    that are not what was sent.
    """

    messages: int
    duplicates: int
    out_of_order: int
    damaged: int
    sent: "array[float]"
    handled: "array[float]"


class Ear:
    """Notes every message as it comes."""

    def __init__(self) -> None:
        self._seen: set[int] = set()
        self._newest = -1
        self._duplicates = self._out_of_order = self._damaged = 0
        self._sent = array("d")
        self._handled = array("d")

    def hear(self, body: bytes) -> None:
        """A message was handled now."""
        if len(body) < _HEAD.size:
            self._damaged += 1
            return
        number, sent = _HEAD.unpack_from(body)
        if body != body_of(number, sent, len(body)):
            self._damaged += 1
        elif number in self._seen:
            self._duplicates += 1
        else:
            self._seen.add(number)
            self._out_of_order += number < self._newest
            self._newest = max(self._newest, number)
            self._sent.append(sent)
            self._handled.append(monotonic())

    def heard(self) -> Heard:
        """All of it."""
        return Heard(
            len(self._seen),
            self._duplicates,
            self._out_of_order,
            self._damaged,
            self._sent,
            self._handled,
        )


class Filled(NamedTuple):
    """What a node took for a peer that handles nothing. `size`: bytes of each message."""

    messages: int
    size: int


class Side:
    """One of two nodes. They name each other "other"."""

    def __init__(self) -> None:
        self._ear = Ear()
        self._node: Node | None = None

    @property
    def node(self) -> Node:
        """The node, once it was opened."""
        assert self._node is not None
        return self._node

    async def start(self) -> None:
        """There is nothing to open before `open_node`."""

    async def open_node(self, fields: dict[str, Any]) -> tuple[str, str]:
        """Start a node with these fields: its id and where it listens."""
        node = self._node = Node(
            "side", **{"home": ":memory:", "close_timeout_seconds": 0.5, **fields}
        )

        @node.on(CUTS)
        async def hear(body: bytes) -> None:
            self._ear.hear(body)

        @node.on(HOLD)
        async def hold(_body: bytes) -> None:
            await asyncio.Event().wait()

        await node.start()
        return str(node.id), node.endpoints[0]

    async def allow(self, peer_id: str) -> None:
        """Trust the other."""
        self.node.trust.allow(peer_id, name="other")

    async def connect(self, endpoint: str) -> None:
        """Dial the other, or what stands before it."""
        await self.node.connect(endpoint, id="other")

    async def meet(self) -> None:
        """Wait until the other has come."""
        await self.node.wait_for("other")

    async def talk(self, count: int, size: int, rate: float) -> None:
        """Tell the other `count` messages, `rate` a second; returns when all are handled."""
        loop = asyncio.get_running_loop()
        send, began = self.node.send, loop.time()
        receipt = None
        for number in range(count):
            receipt = await send("other", CUTS, body_of(number, monotonic(), size))
            ahead = began + number / rate - loop.time()
            if ahead > 0.005:
                await asyncio.sleep(ahead)
        if receipt is not None:
            await receipt.handled()

    async def heard(self) -> Heard:
        """What came from the other."""
        return self._ear.heard()

    async def fill(self, size: int) -> Filled:
        """Send to a handler that never ends, until nothing more is taken."""
        taken = 0

        async def send() -> None:
            nonlocal taken
            while True:
                await self.node.send("other", HOLD, bytes(size))
                taken += 1

        sending = asyncio.create_task(send())
        before = -1
        while taken != before and not sending.done():
            before = taken
            await asyncio.sleep(_STUCK_SECONDS)
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)
        return Filled(taken, size)

    async def counters(self) -> dict[str, int]:
        """The node's counters."""
        return self.node.counters()

    async def peak_bytes(self) -> int:
        """The most memory that this process has held so far."""
        return peak_bytes()

    async def close(self) -> None:
        """Leave."""
        if self._node is not None:
            await self._node.close()


def peak_bytes() -> int:
    """The most memory that this process has held so far."""
    # The kernel's usage figure outlives `exec`, so where there is a better one it is not used.
    if _STATUS.exists():
        fields = dict(line.split(":", 1) for line in _STATUS.read_text().splitlines())
        return int(fields["VmHWM"].split()[0]) * 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
