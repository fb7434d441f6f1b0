"""noisemesh through its public interface: defaults, everything on."""

import asyncio
from importlib.metadata import version
from time import perf_counter
from typing import Any

from benchmarks.peers import Facts, Received
from benchmarks.tally import Tally
from benchmarks.workloads import Kind, Workload
from mesh import Node

_LISTEN = "tcp://127.0.0.1:0"
_SENDER, _RECEIVER = "sender", "receiver"
_SUBJECT, _SERVICE = "bench", "echo"


def versions() -> dict[str, str]:
    """What this peer is made of."""
    import zmq

    names = ("noisemesh", "pyzmq", "cryptography", "PyNaCl", "cbor2")
    return {**{name: version(name) for name in names}, "libzmq": zmq.zmq_version()}


class MeshReceiver:
    """Handles with one handler, echoes with one service."""

    def __init__(self) -> None:
        self._node = Node(_RECEIVER, home=":memory:", listen=_LISTEN)
        self._done = asyncio.Event()
        self._tally: Tally | None = None
        self._calls_left = 0

    async def start(self) -> Facts:
        """Open. What a sender must know to reach and to prove us."""

        @self._node.on(_SUBJECT)
        async def handle(body: Any) -> None:
            self._add(body)

        @self._node.serve(_SERVICE)
        async def echo(body: Any) -> Any:
            self._calls_left -= 1
            if not self._calls_left:
                self._done.set()
            return body

        await self._node.start()
        return {"id": str(self._node.id), "endpoint": self._node.endpoints[0]}

    async def allow(self, sender: Facts) -> None:
        """Let this sender in, and no other."""
        self._node.trust.allow(sender["id"], name=_SENDER)

    async def expect(self, workload: Workload) -> None:
        """Be ready to count."""
        self._done.clear()
        self._calls_left = 0 if workload.kind is Kind.ONE_WAY else workload.count
        self._tally = Tally(workload, self._done.set)
        self._add = self._tally.add

    async def receive(self) -> Received:
        """Wait until all that was expected has been handled."""
        await self._done.wait()
        assert self._tally is not None
        return self._tally.received()

    async def answer(self) -> None:
        """Echo as many calls as were expected."""
        await self._done.wait()

    async def close(self) -> None:
        """Leave the mesh."""
        await self._node.close()


class MeshSender:
    """Names its peer by petname, as programs do."""

    def __init__(self) -> None:
        self._node = Node(_SENDER, home=":memory:", listen=_LISTEN)

    async def start(self) -> Facts:
        """Open. What the receiver must know to let us in."""
        await self._node.start()
        return {"id": str(self._node.id)}

    async def connect(self, receiver: Facts) -> None:
        """Prove one another."""
        self._node.trust.allow(receiver["id"], name=_RECEIVER)
        await self._node.connect(receiver["endpoint"], id=receiver["id"])

    async def send(self, workload: Workload) -> None:
        """Send every body, then wait for the last receipt."""
        send, body = self._node.send, workload.body
        for _ in range(workload.count - 1):
            await send(_RECEIVER, _SUBJECT, body)
        receipt = await send(_RECEIVER, _SUBJECT, body)
        await receipt.handled()

    async def ask(self, workload: Workload) -> list[float]:
        """Call one at a time. Seconds of each."""
        call, body = self._node.call, workload.body
        seconds = []
        for _ in range(workload.count):
            began = perf_counter()
            await call(_RECEIVER, _SERVICE, body)
            seconds.append(perf_counter() - began)
        return seconds

    async def ask_many(self, workload: Workload) -> float:
        """Call with many in flight: as many tasks, each with one call at a time."""
        call, body = self._node.call, workload.body
        numbers = iter(range(workload.count))

        async def work() -> None:
            for _ in numbers:
                await call(_RECEIVER, _SERVICE, body)

        began = perf_counter()
        async with asyncio.TaskGroup() as group:
            for _ in range(workload.in_flight):
                group.create_task(work())
        return perf_counter() - began

    async def close(self) -> None:
        """Leave the mesh."""
        await self._node.close()
