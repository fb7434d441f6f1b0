"""noisemesh through its public interface: everything on, and defaults but for one limit.

The largest message may be of 128 MiB, not 64, or the workload of 100 MiB would be refused.

A new session: the node dials a listener that it trusts since a moment ago, both prove their
identities by the full handshake over a new TCP connection, one call is answered, and trust is
withdrawn, which ends session and connection. The node itself goes on, as the context of a ZeroMQ
program does.

Which cipher a node offers is no setting: it offers AES-256-GCM first where the processor has it.
`ChaCha*` answer "no" in this process when the node asks the system for it.
"""

import asyncio
from importlib.metadata import version
from time import perf_counter
from typing import Any, ClassVar

from benchmarks.peers import END, Facts
from benchmarks.peers.asyncio_sides import Calling, Counting
from benchmarks.workloads import MIB, Workload
from mesh import BufferFull, Node
from mesh.io import system

_LISTEN = "tcp://127.0.0.1:0"
_SENDER, _RECEIVER = "sender", "receiver"
_SUBJECT, _SERVICE = "bench", "echo"
_LARGEST = 128 * MIB


def versions() -> dict[str, str]:
    """What this peer is made of."""
    import zmq

    names = ("noisemesh", "pyzmq", "cryptography", "PyNaCl", "cbor2")
    return {**{name: version(name) for name in names}, "libzmq": zmq.zmq_version()}


def without_fast_aes() -> None:
    """Let every node of this process think that its processor has no AES."""
    if not callable(system.has_fast_aes):
        raise TypeError("the system is not asked for AES any more")
    system.has_fast_aes = lambda *_: False


class MeshReceiver(Counting):
    """Handles with one handler, echoes with one service."""

    settings: ClassVar[dict[str, Any]] = {}

    def __init__(self) -> None:
        super().__init__()
        self._node = self._new(_RECEIVER)
        self._others: list[Node] = []
        self._sender = ""

    def _new(self, name: str) -> Node:
        node = Node(
            name, home=":memory:", listen=_LISTEN, max_message_bytes=_LARGEST, **self.settings
        )

        @node.on(_SUBJECT)
        async def handle(body: Any) -> None:
            self.add(body)

        @node.serve(_SERVICE)
        async def echo(body: Any) -> Any:
            self.called()
            return body

        return node

    async def start(self) -> Facts:
        """Open. What a sender must know to reach and to prove us."""
        await self._node.start()
        return _facts(self._node)

    async def allow(self, sender: Facts) -> None:
        """Let this sender in, and no other."""
        self._sender = sender["id"]
        self._node.trust.allow(self._sender, name=_SENDER)

    async def open_many(self, number: int) -> list[Facts]:
        """As many nodes more, which trust the same sender."""
        for _ in range(number):
            node = self._new(f"{_RECEIVER}-{len(self._others)}")
            self._others.append(node)
            await node.start()
            node.trust.allow(self._sender, name=_SENDER)
        return [_facts(node) for node in self._others[-number:]]

    async def close(self) -> None:
        """Leave the mesh."""
        await asyncio.gather(*(node.close() for node in (self._node, *self._others)))


def _facts(node: Node) -> Facts:
    return {"name": node.name, "id": str(node.id), "endpoint": node.endpoints[0]}


class MeshSender(Calling):
    """Names its peer by petname, as programs do."""

    settings: ClassVar[dict[str, Any]] = {}

    def __init__(self) -> None:
        self._node = Node(
            _SENDER, home=":memory:", listen=_LISTEN, max_message_bytes=_LARGEST, **self.settings
        )
        self._receiver: Facts = {}
        self._many: list[str] = []

    async def start(self) -> Facts:
        """Open. What the receiver must know to let us in."""
        await self._node.start()
        return {"id": str(self._node.id)}

    async def connect(self, receiver: Facts) -> None:
        """Prove one another."""
        self._receiver = receiver
        self._node.trust.allow(receiver["id"], name=receiver["name"])
        await self._node.connect(receiver["endpoint"], id=receiver["id"])

    async def send(self, workload: Workload) -> None:
        """Send every body, then wait for the last receipt."""
        send, body = self._node.send, workload.body
        for _ in range(workload.count - 1):
            await send(_RECEIVER, _SUBJECT, body)
        receipt = await send(_RECEIVER, _SUBJECT, body)
        await receipt.handled()

    async def post(self, workload: Workload) -> None:
        """Post every body, and send the one that finds no room."""
        post, body = self._node.post, workload.body
        for _ in range(workload.count - 1):
            try:
                post(_RECEIVER, _SUBJECT, body)
            except BufferFull:
                await self._node.send(_RECEIVER, _SUBJECT, body)
        receipt = await self._node.send(_RECEIVER, _SUBJECT, body)
        await receipt.handled()

    async def call(self, body: bytes) -> object:
        """One call, answered."""
        return await self._node.call(_RECEIVER, _SERVICE, body)

    async def put(self, body: bytes) -> None:
        """One body one way; the last one is waited for."""
        receipt = await self._node.send(_RECEIVER, _SUBJECT, body)
        if body == END:
            await receipt.handled()

    async def open_sessions(self, workload: Workload) -> float:
        """Trust, connect, call, trust no more."""
        node, receiver, body = self._node, self._receiver, workload.body
        node.trust.forget(_RECEIVER)
        began = perf_counter()
        for _ in range(workload.count):
            node.trust.allow(receiver["id"], name=_RECEIVER)
            await node.connect(receiver["endpoint"], id=receiver["id"])
            await node.call(_RECEIVER, _SERVICE, body)
            node.trust.forget(_RECEIVER)
        seconds = perf_counter() - began
        await self.connect(receiver)
        return seconds

    async def connect_many(self, receivers: list[Facts]) -> None:
        """Reach each of them and prove one another."""
        self._many = [facts["name"] for facts in receivers]
        for facts in receivers:
            self._node.trust.allow(facts["id"], name=facts["name"])
            await self._node.connect(facts["endpoint"], id=facts["id"])

    async def send_to_all(self, workload: Workload) -> None:
        """Send every body to each, then wait for the last receipts."""
        send, body = self._node.send, workload.body
        for _ in range(workload.count - 1):
            for name in self._many:
                await send(name, _SUBJECT, body)
        receipts = [await send(name, _SUBJECT, body) for name in self._many]
        for receipt in receipts:
            await receipt.handled()

    async def renewals(self) -> int:
        """How often there were new keys."""
        return self._node.counters().get("sessions.renewed", 0)

    async def close(self) -> None:
        """Leave the mesh."""
        await self._node.close()


class ChaChaReceiver(MeshReceiver):
    """The same without AES."""

    def __init__(self) -> None:
        without_fast_aes()
        super().__init__()


class ChaChaSender(MeshSender):
    """The same without AES."""

    def __init__(self) -> None:
        without_fast_aes()
        super().__init__()


class RekeyingReceiver(MeshReceiver):
    """The same with new keys every second."""

    settings: ClassVar[dict[str, Any]] = {"rekey_after_seconds": 1.0}


class RekeyingSender(MeshSender):
    """The same with new keys every second."""

    settings: ClassVar[dict[str, Any]] = {"rekey_after_seconds": 1.0}
