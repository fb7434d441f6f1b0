"""pyzmq CURVE as its documentation recommends, both sides authenticated; blocking and asyncio.

One way: PUSH to PULL, which is the fastest pair (ROUTER's extra part costs half). Calls: DEALER
to ROUTER, a call id ahead of the body so that replies find their callers. Large bodies are not
copied on either side. High-water marks are ZeroMQ's own; sockets wait for a connection before
they take a message (IMMEDIATE), and nothing lingers after close.
"""

import asyncio
import itertools
from collections.abc import Callable
from importlib.metadata import version
from time import perf_counter
from typing import Any

import cbor2
import zmq
import zmq.asyncio
from zmq.auth.thread import ThreadAuthenticator

from benchmarks.peers import Facts, Received
from benchmarks.tally import Tally
from benchmarks.workloads import Workload

_PATIENCE_MS = 20_000
_DOMAIN = "bench"
_LOOPBACK = "tcp://127.0.0.1"


def versions() -> dict[str, str]:
    """What this peer is made of."""
    return {
        "pyzmq": version("pyzmq"),
        "libzmq": zmq.zmq_version(),
        "cbor2": version("cbor2"),
    }


class _OneClient:
    """Asked by ZAP whether a client's key is the one we allow."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    def callback(self, domain: str, key: bytes) -> bool:
        """Whether this public key (Z85) may enter."""
        return domain == _DOMAIN and key == self._key


class _Side:
    """Keys and sockets, of either kind of context."""

    def __init__(self, context: Callable[[], "zmq.Context[Any]"]) -> None:
        self.public, self._secret = zmq.curve_keypair()
        self.context = context()
        self._sockets: list[Any] = []

    def open(self, kind: int) -> Any:
        """A socket with our keys. A blocking call on it fails after a while.

        In asyncio the same option would cost a timer for each message: whoever awaits has a
        deadline of its own.
        """
        socket: Any = self.context.socket(kind)
        self._sockets.append(socket)
        socket.setsockopt(zmq.CURVE_PUBLICKEY, self.public)
        socket.setsockopt(zmq.CURVE_SECRETKEY, self._secret)
        socket.setsockopt(zmq.IMMEDIATE, 1)
        socket.setsockopt(zmq.LINGER, 0)
        if not isinstance(self.context, zmq.asyncio.Context):
            socket.setsockopt(zmq.SNDTIMEO, _PATIENCE_MS)
            socket.setsockopt(zmq.RCVTIMEO, _PATIENCE_MS)
        return socket

    def listen(self, kind: int) -> tuple[Any, str]:
        """A server's socket and its endpoint."""
        socket = self.open(kind)
        socket.setsockopt(zmq.CURVE_SERVER, 1)
        socket.setsockopt(zmq.ZAP_DOMAIN, _DOMAIN.encode())
        return socket, f"{_LOOPBACK}:{socket.bind_to_random_port(_LOOPBACK)}"

    def dial(self, kind: int, endpoint: str, server: bytes) -> Any:
        """A client's socket that talks to this server alone."""
        socket = self.open(kind)
        socket.setsockopt(zmq.CURVE_SERVERKEY, server)
        socket.connect(endpoint)
        return socket

    def close(self) -> None:
        """Close every socket, and the context after them."""
        for socket in self._sockets:
            socket.close(0)
        self.context.term()


class _ReceiverBase:
    """What both receivers share: opening, letting in, closing."""

    context: Callable[[], "zmq.Context[Any]"]

    def __init__(self) -> None:
        self._side = _Side(type(self).context)
        self._guard: ThreadAuthenticator | None = None
        self._workload: Workload | None = None

    async def start(self) -> Facts:
        """Open. What a sender must know to reach and to prove us."""
        plain: zmq.Context[Any] = zmq.Context(self._side.context)
        self._guard = ThreadAuthenticator(plain)
        self._guard.start()
        self._pull, data = self._side.listen(zmq.PULL)
        self._router, calls = self._side.listen(zmq.ROUTER)
        return {"key": self._side.public, "data": data, "calls": calls}

    async def allow(self, sender: Facts) -> None:
        """Let this sender in, and no other."""
        assert self._guard is not None
        self._guard.configure_curve_callback(_DOMAIN, _OneClient(sender["key"]))

    async def expect(self, workload: Workload) -> None:
        """Be ready to count."""
        self._workload = workload

    @property
    def _expected(self) -> Workload:
        assert self._workload is not None
        return self._workload

    async def close(self) -> None:
        """Close sockets and context."""
        if self._guard is not None:
            self._guard.stop()
        self._side.close()


class CurveReceiver(_ReceiverBase):
    """Reads in a loop and handles each message there."""

    context = zmq.Context

    async def receive(self) -> Received:
        """Read all that was expected."""
        workload = self._expected
        tally, receive = Tally(workload), self._pull.recv
        handle = tally.add
        if workload.as_dict:
            for _ in range(workload.count):
                handle(cbor2.loads(receive()))
        elif workload.is_large:
            for _ in range(workload.count):
                handle(receive(copy=False).buffer)
        else:
            for _ in range(workload.count):
                handle(receive())
        return tally.received()

    async def answer(self) -> None:
        """Echo as many calls as were expected."""
        receive, send = self._router.recv_multipart, self._router.send_multipart
        for _ in range(self._expected.count):
            send(receive())


class AsyncioCurveReceiver(_ReceiverBase):
    """The same, awaiting each message."""

    context = zmq.asyncio.Context

    async def receive(self) -> Received:
        """Read all that was expected."""
        workload = self._expected
        tally, receive = Tally(workload), self._pull.recv
        handle = tally.add
        if workload.as_dict:
            for _ in range(workload.count):
                handle(cbor2.loads(await receive()))
        elif workload.is_large:
            for _ in range(workload.count):
                handle((await receive(copy=False)).buffer)
        else:
            for _ in range(workload.count):
                handle(await receive())
        return tally.received()

    async def answer(self) -> None:
        """Echo as many calls as were expected."""
        receive, send = self._router.recv_multipart, self._router.send_multipart
        for _ in range(self._expected.count):
            await send(await receive())


class _SenderBase:
    """What both senders share."""

    context: Callable[[], "zmq.Context[Any]"]

    def __init__(self) -> None:
        self._side = _Side(type(self).context)

    async def start(self) -> Facts:
        """What the receiver must know to let us in."""
        return {"key": self._side.public}

    async def connect(self, receiver: Facts) -> None:
        """Dial; the first message waits for the handshake."""
        self._push = self._side.dial(zmq.PUSH, receiver["data"], receiver["key"])
        self._dealer = self._side.dial(zmq.DEALER, receiver["calls"], receiver["key"])

    async def close(self) -> None:
        """Close sockets and context."""
        self._side.close()


def _call_id(number: int) -> bytes:
    return number.to_bytes(8, "big")


class CurveSender(_SenderBase):
    """Sends and waits in plain loops."""

    context = zmq.Context

    async def send(self, workload: Workload) -> None:
        """Send every body as fast as the socket takes them."""
        send, body = self._push.send, workload.body
        if workload.as_dict:
            for _ in range(workload.count):
                send(cbor2.dumps(body))
        elif workload.is_large:
            for _ in range(workload.count):
                send(body, copy=False)
        else:
            for _ in range(workload.count):
                send(body)

    async def ask(self, workload: Workload) -> list[float]:
        """Call one at a time. Seconds of each."""
        send, receive, body = (
            self._dealer.send_multipart,
            self._dealer.recv_multipart,
            workload.body,
        )
        seconds = []
        for number in range(workload.count):
            began = perf_counter()
            send([_call_id(number), body])
            receive()
            seconds.append(perf_counter() - began)
        return seconds

    async def ask_many(self, workload: Workload) -> float:
        """Call with many in flight: a new call for each reply."""
        send, receive, body = (
            self._dealer.send_multipart,
            self._dealer.recv_multipart,
            workload.body,
        )
        waiting: dict[bytes, int] = {}
        numbers = iter(range(workload.count))

        def call() -> None:
            for number in itertools.islice(numbers, 1):
                call_id = _call_id(number)
                waiting[call_id] = number
                send([call_id, body])

        began = perf_counter()
        for _ in range(workload.in_flight):
            call()
        while waiting:
            call_id, _ = receive()
            del waiting[call_id]
            call()
        return perf_counter() - began


class AsyncioCurveSender(_SenderBase):
    """The same through zmq.asyncio; calls are futures that one task completes."""

    context = zmq.asyncio.Context

    async def send(self, workload: Workload) -> None:
        """Send every body as fast as the socket takes them."""
        send, body = self._push.send, workload.body
        if workload.as_dict:
            for _ in range(workload.count):
                await send(cbor2.dumps(body))
        elif workload.is_large:
            for _ in range(workload.count):
                await send(body, copy=False)
        else:
            for _ in range(workload.count):
                await send(body)

    async def ask(self, workload: Workload) -> list[float]:
        """Call one at a time. Seconds of each."""
        send, receive, body = (
            self._dealer.send_multipart,
            self._dealer.recv_multipart,
            workload.body,
        )
        seconds = []
        for number in range(workload.count):
            began = perf_counter()
            await send([_call_id(number), body])
            await receive()
            seconds.append(perf_counter() - began)
        return seconds

    async def ask_many(self, workload: Workload) -> float:
        """Call with many in flight: as many tasks, each with one call at a time."""
        loop, body = asyncio.get_running_loop(), workload.body
        send, receive = self._dealer.send_multipart, self._dealer.recv_multipart
        waiting: dict[bytes, asyncio.Future[bytes]] = {}
        numbers = iter(range(workload.count))

        async def read_replies() -> None:
            for _ in range(workload.count):
                call_id, reply = await receive()
                waiting.pop(call_id).set_result(reply)

        async def work() -> None:
            for number in numbers:
                call_id = _call_id(number)
                future = waiting[call_id] = loop.create_future()
                await send([call_id, body])
                await future

        began = perf_counter()
        async with asyncio.TaskGroup() as group:
            group.create_task(read_replies())
            for _ in range(workload.in_flight):
                group.create_task(work())
        return perf_counter() - began
