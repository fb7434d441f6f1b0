"""What the pyzmq peers share: keys, sockets, opening and closing.

As pyzmq's documentation recommends: one way PUSH to PULL, which is the fastest pair (ROUTER's
extra part costs half); calls DEALER to ROUTER, a call id ahead of the body so that replies find
their callers; fan-out PUB to SUB, where the publisher waits rather than drops (XPUB_NODROP).
Large bodies are not copied on either side. High-water marks are ZeroMQ's own; who sends waits for
a connection before a message is taken (IMMEDIATE), and nothing lingers after close.

With CURVE both sides are authenticated: a client knows the server's key, and ZAP lets in only the
key of that client.
"""

from collections.abc import Callable
from importlib.metadata import version
from typing import Any

import zmq
import zmq.asyncio
from zmq.auth.thread import ThreadAuthenticator

from benchmarks.peers import Facts
from benchmarks.workloads import Workload

PATIENCE_MS = 20_000
DOMAIN = "bench"
LOOPBACK = "tcp://127.0.0.1"


def versions() -> dict[str, str]:
    """What this peer is made of."""
    return {
        "pyzmq": version("pyzmq"),
        "libzmq": zmq.zmq_version(),
        "cbor2": version("cbor2"),
    }


def call_id(number: int) -> bytes:
    """What stands ahead of a call's body."""
    return number.to_bytes(8, "big")


class OneClient:
    """Asked by ZAP whether a client's key is the one we allow."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    def callback(self, domain: str, key: bytes) -> bool:
        """Whether this public key (Z85) may enter."""
        return domain == DOMAIN and key == self._key


class Side:
    """Keys and sockets, of either kind of context."""

    def __init__(self, context: Callable[[], "zmq.Context[Any]"], *, secure: bool) -> None:
        self.public, self._secret = zmq.curve_keypair()
        self.context = context()
        self._secure = secure
        self._sockets: list[Any] = []

    def open(self, kind: int) -> Any:
        """A socket with our keys. A blocking call on it fails after a while.

        In asyncio the same option would cost a timer for each message: whoever awaits has a
        deadline of its own.
        """
        socket: Any = self.context.socket(kind)
        self._sockets.append(socket)
        if self._secure:
            socket.setsockopt(zmq.CURVE_PUBLICKEY, self.public)
            socket.setsockopt(zmq.CURVE_SECRETKEY, self._secret)
        if kind in (zmq.PUSH, zmq.DEALER):
            socket.setsockopt(zmq.IMMEDIATE, 1)
        socket.setsockopt(zmq.LINGER, 0)
        if not isinstance(self.context, zmq.asyncio.Context):
            socket.setsockopt(zmq.SNDTIMEO, PATIENCE_MS)
            socket.setsockopt(zmq.RCVTIMEO, PATIENCE_MS)
        return socket

    def listen(self, kind: int) -> tuple[Any, str]:
        """A server's socket and its endpoint."""
        socket = self.open(kind)
        if self._secure:
            socket.setsockopt(zmq.CURVE_SERVER, 1)
            socket.setsockopt(zmq.ZAP_DOMAIN, DOMAIN.encode())
        return socket, f"{LOOPBACK}:{socket.bind_to_random_port(LOOPBACK)}"

    def aim(self, socket: Any, server: bytes) -> Any:
        """Let this socket talk to this server alone."""
        if self._secure:
            socket.setsockopt(zmq.CURVE_SERVERKEY, server)
        return socket

    def dial(self, kind: int, endpoint: str, server: bytes) -> Any:
        """A client's socket."""
        socket = self.aim(self.open(kind), server)
        socket.connect(endpoint)
        return socket

    def shut(self, socket: Any) -> None:
        """Close one of them."""
        self._sockets.remove(socket)
        socket.close(0)

    def close(self) -> None:
        """Close every socket, and the context after them."""
        for socket in self._sockets:
            socket.close(0)
        self.context.term()


class Guarded:
    """What both sides share: keys, and whom they let in."""

    context: Callable[[], "zmq.Context[Any]"]
    secure = True

    def __init__(self) -> None:
        self.side = Side(type(self).context, secure=self.secure)
        self._guard: ThreadAuthenticator | None = None

    def guard(self) -> None:
        """Let nobody in from now on."""
        if self.secure:
            plain: zmq.Context[Any] = zmq.Context(self.side.context)
            self._guard = ThreadAuthenticator(plain)
            self._guard.start()

    def let_in(self, key: bytes) -> None:
        """Let in this one, and no other."""
        if self._guard is not None:
            self._guard.configure_curve_callback(DOMAIN, OneClient(key))

    async def close(self) -> None:
        """Close sockets and context."""
        if self._guard is not None:
            self._guard.stop()
        self.side.close()


class ReceiverBase(Guarded):
    """What receivers share."""

    def __init__(self) -> None:
        super().__init__()
        self._workload: Workload | None = None
        self.sender: Facts = {}

    async def start(self) -> Facts:
        """Open. What a sender must know to reach and to prove us."""
        self.guard()
        self.pull, data = self.side.listen(zmq.PULL)
        self.router, calls = self.side.listen(zmq.ROUTER)
        return {"key": self.side.public, "data": data, "calls": calls}

    async def allow(self, sender: Facts) -> None:
        """Let this sender in, and no other."""
        self.sender = sender
        self.let_in(sender["key"])

    async def expect(self, workload: Workload) -> None:
        """Be ready to count."""
        self._workload = workload

    @property
    def expected(self) -> Workload:
        """What is to come."""
        assert self._workload is not None
        return self._workload


class SenderBase(Guarded):
    """What senders share."""

    async def start(self) -> Facts:
        """What the receiver must know to let us in."""
        return {"key": self.side.public}

    async def connect(self, receiver: Facts) -> None:
        """Dial; the first message waits for the handshake."""
        self.receiver = receiver
        self.push = self.side.dial(zmq.PUSH, receiver["data"], receiver["key"])
        self.dealer = self.side.dial(zmq.DEALER, receiver["calls"], receiver["key"])
