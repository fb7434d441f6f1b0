"""Real sockets on loopback: transports with the smallest event loop, and strangers to ZeroMQ."""

import selectors
import socket
import struct
import time
from collections.abc import Callable
from contextlib import suppress

import pytest

from mesh.io.notices import Notice
from mesh.io.zmq_transport import Port, Transport
from mesh.model import Origin, Route

PATIENCE_SECONDS = 15.0
GREETING = b"\xff" + bytes(8) + b"\x7f\x03\x00" + b"NULL".ljust(20, b"\0") + bytes(32)


class Side:
    """A transport, and a loop that drains whatever stirs."""

    def __init__(self, max_frame_bytes: int = 4 << 20, budget_frames: int = 64) -> None:
        self.frames: list[tuple[Origin, bytes | memoryview]] = []
        self.notices: list[Notice] = []
        self.ports: list[Port] = []
        self.closed: list[int] = []
        self.dropped = 0
        self._budget_frames = budget_frames
        self._selector = selectors.DefaultSelector()
        self.transport = Transport(
            max_frame_bytes=max_frame_bytes,
            opened=self._opened,
            closed=self._closed,
            dropped=self._count_dropped,
        )

    def _count_dropped(self) -> None:
        self.dropped += 1

    def bind(self, endpoint: str = "tcp://127.0.0.1:0") -> str:
        """Listen; return the real endpoint."""
        return self.transport.bind(endpoint)

    def dial(self, endpoint: str, pace: float = 1.0) -> Route:
        """Open a connection."""
        return self.transport.dial(endpoint, pace)

    def send(self, route: Route, frame: bytes | bytearray | memoryview) -> bool:
        """Hand a frame over."""
        return self.transport.send(route, frame)

    def until(self, condition: Callable[[], object], seconds: float = PATIENCE_SECONDS) -> bool:
        """Run the loop until the condition holds; False when it never did."""
        end = time.monotonic() + seconds
        while not condition():
            left = end - time.monotonic()
            if left <= 0:
                return False
            self._turn(left)
        return True

    def bodies(self) -> list[bytes]:
        """The frames that came, without their origins."""
        return [bytes(frame) for _, frame in self.frames]

    def told(self, kind: type[Notice]) -> list[Notice]:
        """The notices of one kind."""
        return [notice for notice in self.notices if isinstance(notice, kind)]

    def close(self) -> None:
        """End the transport and the loop."""
        self.transport.close()
        self._selector.close()

    def _turn(self, seconds: float) -> None:
        ready: list[Port] = self.transport.overlooked()
        if not ready:
            ready = [key.data for key, _ in self._selector.select(min(seconds, 0.1))]
        for port in ready:
            more = True
            while more:
                frames, more = port.drain(self._budget_frames)
                self.frames += frames
            self.notices += port.notices()

    def _opened(self, fd: int, port: Port) -> None:
        self.ports.append(port)
        self._selector.register(fd, selectors.EVENT_READ, port)

    def _closed(self, fd: int) -> None:
        self.closed.append(fd)
        self._selector.unregister(fd)


class Stranger:
    """A plain TCP connection that speaks as much ZMTP 3.0 as it likes."""

    def __init__(self, plain: socket.socket) -> None:
        self.plain = plain
        self.plain.settimeout(PATIENCE_SECONDS)
        self.heard = b""

    def greet(self, routing_id: bytes = b"", role: bytes = b"DEALER") -> "Stranger":
        """Finish the greeting of ZMTP, optionally under a routing id of one's own choice."""
        ready = b"\x05READY" + _property(b"Socket-Type", role) + _property(b"Identity", routing_id)
        self.plain.sendall(GREETING + b"\x04" + bytes([len(ready)]) + ready)
        while b"READY" not in self.heard:
            self.heard += self.plain.recv(1024)
        return self

    def say(self, part: bytes, more: bool = False) -> None:
        """Send one part, in the long form."""
        self.plain.sendall(struct.pack(">BQ", 2 + more, len(part)) + part)

    def can_say(self, part: bytes, times: int, seconds: float) -> bool:
        """Whether the other side takes a part so many times in time."""
        self.plain.settimeout(seconds)
        try:
            for _ in range(times):
                self.say(part)
        except TimeoutError:
            return False
        return True

    def hears(self, wanted: bytes) -> bool:
        """Whether some bytes arrive in time."""
        while wanted not in self.heard:
            if not (data := self.plain.recv(65536)):
                return False
            self.heard += data
        return True

    def is_cut(self, seconds: float = PATIENCE_SECONDS) -> bool:
        """Whether the other side ends the connection in time."""
        self.plain.settimeout(seconds)
        with suppress(ConnectionError):
            try:
                while data := self.plain.recv(65536):
                    self.heard += data
            except TimeoutError:
                return False
        return True


def _property(name: bytes, value: bytes) -> bytes:
    return bytes([len(name)]) + name + struct.pack(">I", len(value)) + value


@pytest.fixture
def make_side():
    """Make transports that are closed at the end of the test."""
    made: list[Side] = []

    def make(**arguments: int) -> Side:
        made.append(Side(**arguments))
        return made[-1]

    yield make
    for side in made:
        side.close()


@pytest.fixture
def make_stranger():
    """Open plain connections to a tcp endpoint."""
    made: list[Stranger] = []

    def make(endpoint: str) -> Stranger:
        port = int(endpoint.rpartition(":")[2])
        made.append(Stranger(socket.create_connection(("127.0.0.1", port))))
        return made[-1]

    yield make
    for stranger in made:
        stranger.plain.close()


@pytest.fixture
def listener():
    """A listening TCP socket that accepts and says nothing of itself."""
    with socket.create_server(("127.0.0.1", 0)) as plain:
        plain.settimeout(PATIENCE_SECONDS)
        yield plain


@pytest.fixture
def accept(listener):
    """Take the next connection of the listener as a stranger."""
    made: list[Stranger] = []

    def make() -> Stranger:
        made.append(Stranger(listener.accept()[0]))
        return made[-1]

    yield make
    for stranger in made:
        stranger.plain.close()


@pytest.fixture
def endpoint_of():
    """The tcp endpoint of a plain socket."""
    return lambda plain: f"tcp://127.0.0.1:{plain.getsockname()[1]}"


@pytest.fixture
def nobody(endpoint_of):
    """A tcp endpoint at which nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as plain:
        return endpoint_of(plain)
