"""Who is measured. Each peer is two processes: one that sends and calls, one that handles.

A peer's module is imported in its own processes alone, so that one which is not installed fails
there, by name, while the others are measured.
"""

from typing import Any, NamedTuple, Protocol

from benchmarks.workloads import Workload

Facts = dict[str, Any]


class Received(NamedTuple):
    """What came out of the receiver's handler. `first`, `last`: seconds of its own clock."""

    messages: int
    first: float
    last: float


class Receiver(Protocol):
    """The side that handles. Each method raises whatever went wrong."""

    async def start(self) -> Facts:
        """Open. What a sender must know to reach and to prove us."""

    async def allow(self, sender: Facts) -> None:
        """Let this sender in, and no other."""

    async def expect(self, workload: Workload) -> None:
        """Be ready to count; returns before anything is sent."""

    async def receive(self) -> Received:
        """Wait until all that was expected has been handled."""

    async def answer(self) -> None:
        """Echo as many calls as were expected."""

    async def close(self) -> None:
        """Let go of everything."""


class Sender(Protocol):
    """The side that sends and calls."""

    async def start(self) -> Facts:
        """Open. What the receiver must know to let us in."""

    async def connect(self, receiver: Facts) -> None:
        """Reach the receiver; returns when messages flow or will."""

    async def send(self, workload: Workload) -> None:
        """Send every body as fast as the peer takes them."""

    async def ask(self, workload: Workload) -> list[float]:
        """Call one at a time. Seconds of each."""

    async def ask_many(self, workload: Workload) -> float:
        """Call with many in flight. Seconds of all."""

    async def close(self) -> None:
        """Let go of everything."""


class Peer(NamedTuple):
    """One row of the register: classes are named, not imported.

    `loops`: whether its program runs in asyncio, so that `--uvloop` concerns it.
    """

    name: str
    module: str
    sender: str
    receiver: str
    about: str
    loops: bool = True


NOISEMESH = "noisemesh"

PEERS = (
    Peer(
        NOISEMESH,
        "benchmarks.peers.noisemesh",
        "MeshSender",
        "MeshReceiver",
        "public API, defaults, everything on",
    ),
    Peer(
        "curve",
        "benchmarks.peers.curve",
        "CurveSender",
        "CurveReceiver",
        "pyzmq CURVE, blocking: PUSH to PULL, DEALER to ROUTER",
        loops=False,
    ),
    Peer(
        "curve-asyncio",
        "benchmarks.peers.curve",
        "AsyncioCurveSender",
        "AsyncioCurveReceiver",
        "the same through zmq.asyncio",
    ),
)
