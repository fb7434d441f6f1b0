"""Who is measured. Each peer is two processes: one that sends and calls, one that handles.

A peer's module is imported in its own processes alone, so that one which is not installed fails
there, by name, while the others are measured. The list of them is `register`.
"""

from enum import Enum
from typing import Any, NamedTuple, Protocol

from benchmarks.workloads import Kind, Workload

Facts = dict[str, Any]

# What a sender streams last, beside calls: with it the receiver knows that nothing is under way.
END = b"end"


class NotHere(Exception):
    """What a peer needs is not on this machine; the text says what, and how to get it."""


class Received(NamedTuple):
    """What came out of the receiver's handler. `first`, `last`: seconds of its own clock."""

    messages: int
    first: float
    last: float


class Receiver(Protocol):
    """The side that handles. Each method raises whatever went wrong. A peer needs only those
    methods of it that its kinds of workload ask for.
    """

    async def start(self) -> Facts:
        """Open. What a sender must know to reach and to prove us."""

    async def allow(self, sender: Facts) -> None:
        """Let this sender in, and no other."""

    async def expect(self, workload: Workload) -> None:
        """Be ready to count; returns before anything is sent."""

    async def receive(self) -> Received:
        """Wait until all that was expected has been handled."""

    async def answer(self) -> Received | None:
        """Echo as many calls as were expected; beside bulk also take in what comes until `END`.

        What was handled of it between the first and the last call.
        """

    async def open_many(self, number: int) -> list[Facts]:
        """Open so many more receivers, in this process. What a sender must know of each."""

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

    async def post(self, workload: Workload) -> None:
        """The same by the call that never waits."""

    async def ask(self, workload: Workload) -> list[float]:
        """Call one at a time. Seconds of each."""

    async def ask_many(self, workload: Workload) -> float:
        """Call with many in flight. Seconds of all."""

    async def ask_beside(self, workload: Workload) -> list[float]:
        """Call one at a time while another task or thread streams bulk as fast as the peer takes
        it, and then `END`. Seconds of each call.
        """

    async def open_sessions(self, workload: Workload) -> float:
        """Connect anew, prove, have one call answered, leave; again and again. Seconds of all."""

    async def connect_many(self, receivers: list[Facts]) -> None:
        """Reach all of these as well, and prove each."""

    async def send_to_all(self, workload: Workload) -> None:
        """Send every body to each of them."""

    async def close(self) -> None:
        """Let go of everything."""


class Loop(Enum):
    """What a peer's program runs in; `--uvloop` concerns those in asyncio's own loop."""

    ASYNCIO = "asyncio"
    UVLOOP = "uvloop"
    OTHER = "another"


class Peer(NamedTuple):
    """One row of the register: classes are named, not imported.

    `kinds`: of workloads that it can do. `most_bytes`: its largest body.
    """

    name: str
    module: str
    sender: str
    receiver: str
    about: str
    kinds: frozenset[Kind] = frozenset(Kind)
    loop: Loop = Loop.ASYNCIO
    most_bytes: int = 1 << 30

    def can(self, workload: Workload) -> bool:
        """Whether it can be measured by this workload."""
        return workload.kind in self.kinds and workload.largest <= self.most_bytes
