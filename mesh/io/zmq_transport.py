"""The only door to ZeroMQ: connections that carry frames, and what is known of them.

One ROUTER takes the connections of others; every connection we open is a DEALER of its own.
The room is synchronous and has no thread of its own: whoever owns the event loop watches the
file descriptors handed to `opened` and drains their ports. It knows nothing of keys, peers or
what a frame means. ZeroMQ loses and reorders across reconnects; the floors above repair that.

A descriptor is **edge-triggered**: it tells of news once, and a send may swallow that. So drain
again when a drain said "more", and after sending drain the ports that `overlooked()` names.

Outbound: dial, send, hang_up. Inbound: bind, Port.drain, Port.notices.
"""

import os
import struct
import weakref
from collections.abc import Callable, Mapping
from typing import Final, NamedTuple, cast

import zmq
from zmq.backend import Socket as SocketOfLibrary

from mesh.errors import InvalidConfiguration, MessageTooLarge, NodeClosed
from mesh.io import endpoints, system
from mesh.io.notices import Change, Notice, Watch
from mesh.model import Origin, Route

CONTEXT_OPTIONS: dict[int, int] = {
    # A dialled connection takes three of these; libzmq's 1,023 end at 341 peers.
    zmq.MAX_SOCKETS: 16_384,
}
_COMMON_OPTIONS: dict[int, int | bytes] = {
    # What is still queued was given up above already; waiting for it hangs the end of a program.
    zmq.LINGER: 0,
    # Frames waiting in each direction of a connection. Never 0, which means no limit.
    zmq.SNDHWM: 500,
    zmq.RCVHWM: 500,
    # A connection must finish ZeroMQ's own greeting within this, in milliseconds.
    zmq.HANDSHAKE_IVL: 2_000,
    # Milliseconds. libzmq's thread answers them, so they live while Python is busy.
    zmq.HEARTBEAT_IVL: 2_000,
    zmq.HEARTBEAT_TIMEOUT: 6_000,
    # Where output is stuck no heartbeat is under way: then what nobody confirmed for so long ends
    # the connection, and not TCP's own patience, which grows with the outage.
    zmq.TCP_MAXRT: 6_000,
    # What does not open with 0xff is taken for ZMTP 1.0, which passes by every limit here; libzmq
    # refuses it where a domain is set. The domain has no handler, so nobody else is asked.
    zmq.ZAP_DOMAIN: b"noisemesh",
}
ROUTER_OPTIONS: dict[int, int | bytes] = {
    **_COMMON_OPTIONS,
    # Refuse a send instead of dropping it in silence.
    zmq.ROUTER_MANDATORY: 1,
    # Nobody takes over the routing id of a living connection.
    zmq.ROUTER_HANDOVER: 0,
}
DEALER_OPTIONS: dict[int, int | bytes] = {
    **_COMMON_OPTIONS,
    # Milliseconds between attempts until the first connection, doubling to the maximum.
    zmq.RECONNECT_IVL: 100,
    zmq.RECONNECT_IVL_MAX: 5_000,
    # Milliseconds for one attempt; the system's own patience with a host that swallows
    # everything is two minutes.
    zmq.CONNECT_TIMEOUT: 5_000,
    # With 1 the frames sent before the connection stands would be refused.
    zmq.IMMEDIATE: 0,
}

ZERO_COPY_SEND_BYTES: Final = 1_048_576
"""From this size a frame is lent to libzmq. Below, copying is cheaper: a lent frame is given back
through a thread of pyzmq's own that wants the interpreter, and its memory is not warm again for
the next one."""
VIEW_RECEIVED_BYTES: Final = 8_192
"""From this size, that of libzmq's read buffer, a received frame has memory of its own, and a view
of it is cheaper than a copy."""
ORIGINS_KEPT: Final = 4_096
"""Return paths whose address is remembered: strangers must not grow the table without end."""
_CHECKED_FRAMES: Final = 16
"""Before so many frames a drain looks whether one is there, which is cheaper than a receive that
fails; a longer drain saves the looks and fails once at its end."""

_EVENTS: Final = zmq.EVENTS
_POLLIN: Final = int(zmq.POLLIN)
_DONTWAIT: Final = int(zmq.DONTWAIT)
_DONTWAIT_MORE: Final = int(zmq.DONTWAIT | zmq.SNDMORE)

_CHANGES: Final = {
    int(zmq.EVENT_HANDSHAKE_SUCCEEDED): Change.GREETED,
    int(zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL): Change.GREETING_FAILED,
    int(zmq.EVENT_DISCONNECTED): Change.DISCONNECTED,
    int(zmq.EVENT_CONNECT_RETRIED): Change.RETRIED,
}
_EVENT: Final = struct.Struct("=Hi")

Received = tuple[Origin, bytes | memoryview]
Frame = bytes | bytearray | memoryview

# The wrapper around it adds options of sockets of other kinds, at a fifth of its price.
_send: Final = cast("Callable[[object, Frame, int, bool], object]", SocketOfLibrary.send)


class Port:
    """One file descriptor of the transport, and what can be read when it stirs."""

    tells_notices = False

    def __init__(self, socket: zmq.Socket[bytes]) -> None:
        self.fd = int(socket.getsockopt(zmq.FD))
        self._open = True
        self._look = cast("Callable[[int], int]", socket.getsockopt)

    def has_input(self) -> bool:
        """Whether something waits. Cheap: no exception, one look."""
        return self._open and bool(self._look(_EVENTS) & _POLLIN)

    def drain(self, budget_frames: int) -> tuple[list[Received], bool]:
        """Take up to `budget_frames` frames, and whether to drain again soon. Never blocks."""
        raise NotImplementedError

    def notices(self) -> list[Notice]:
        """What happened to the connection since last asked. Ask after `drain`."""
        return []

    def shut(self) -> None:
        """The socket is about to end; from now on nothing waits here."""
        self._open = False


class _FramePort(Port):
    """Frames of one socket. A message of several parts is dropped whole and counted."""

    def __init__(self, socket: zmq.Socket[bytes], dropped: Callable[[], None]) -> None:
        super().__init__(socket)
        self._recv = cast("Callable[[int], bytes]", socket.recv)
        self._recv_part = cast("Callable[[int, bool], zmq.Frame]", socket.recv)
        self._dropped = dropped
        self._skipping = False

    def drain(self, budget_frames: int) -> tuple[list[Received], bool]:
        frames: list[Received] = []
        try:
            for taken in range(budget_frames):
                if taken < _CHECKED_FRAMES and not self.has_input():
                    return frames, False
                # A part that is skipped costs budget too: a message may have millions of them.
                if self._skipping:
                    self._skipping = self._recv_part(_DONTWAIT, False).more
                else:
                    self._take(frames)
        except zmq.Again:
            return frames, False
        return frames, True

    def _take(self, frames: list[Received]) -> None:
        raise NotImplementedError

    def _skip(self) -> None:
        """The part that came is not a whole message: the rest of it goes the same way."""
        self._skipping = True
        self._dropped()


class _RouterPort(_FramePort):
    """What others send on connections they opened to us."""

    def __init__(self, socket: zmq.Socket[bytes], dropped: Callable[[], None]) -> None:
        super().__init__(socket, dropped)
        self._origins: dict[bytes, Origin] = {}

    def _take(self, frames: list[Received]) -> None:
        routing_id = self._recv(_DONTWAIT)
        part = self._recv_part(_DONTWAIT, False)
        if part.more:
            self._skip()
            return
        origin = self._origins.get(routing_id) or self._remember(routing_id, part)
        content = part.bytes if len(part) < VIEW_RECEIVED_BYTES else part.buffer
        frames.append((origin, content))

    def _remember(self, routing_id: bytes, part: zmq.Frame) -> Origin:
        if len(self._origins) >= ORIGINS_KEPT:
            del self._origins[next(iter(self._origins))]
        try:
            address = endpoints.plain_address(str(part.get("Peer-Address")))
        except zmq.ZMQError:
            address = "unknown"
        origin = self._origins[routing_id] = Origin(Route(routing_id=routing_id), address)
        return origin


class _DealerPort(_FramePort):
    """What comes back on a connection that we opened."""

    def __init__(
        self, socket: zmq.Socket[bytes], dropped: Callable[[], None], origin: Origin
    ) -> None:
        super().__init__(socket, dropped)
        self._origin = origin

    def _take(self, frames: list[Received]) -> None:
        part = self._recv_part(_DONTWAIT, False)
        if part.more:
            self._skip()
            return
        content = part.bytes if len(part) < VIEW_RECEIVED_BYTES else part.buffer
        frames.append((self._origin, content))


class _NoticePort(Port):
    """What happens to a connection that we opened."""

    tells_notices = True

    def __init__(self, monitor: zmq.Socket[bytes], frames: Port, watch: Watch) -> None:
        super().__init__(monitor)
        self._recv_event = monitor.recv_multipart
        self._frames = frames
        self._watch = watch
        self._waiting: list[Notice] = []
        self._more_frames = False

    def has_input(self) -> bool:
        return bool(self._waiting) or super().has_input()

    def shut(self) -> None:
        super().shut()
        self._waiting.clear()

    def drain(self, budget_frames: int) -> tuple[list[Received], bool]:
        """The frames that came before the notices: the last ones may say why it ends."""
        while super().has_input():
            event, value = _EVENT.unpack(self._recv_event(_DONTWAIT)[0])
            change = _CHANGES.get(event)
            notice = self._watch.see(change, value) if change else None
            if notice:
                self._waiting.append(notice)
        frames, self._more_frames = self._frames.drain(budget_frames)
        return frames, self._more_frames

    def notices(self) -> list[Notice]:
        if self._more_frames:
            return []
        told, self._waiting = self._waiting, []
        return told


class _Link(NamedTuple):
    """A connection that we opened, whole."""

    socket: zmq.Socket[bytes]
    monitor: zmq.Socket[bytes]
    frames: _DealerPort
    notices: _NoticePort
    watch: Watch


class Transport:
    """Every connection of a node.

    max_frame_bytes: larger frames are never sent, and a connection that sends one is cut.
    opened: called with a file descriptor to watch for reading, and its port.
    closed: called with a descriptor just before it ends; stop watching it.
    dropped: called for each message of several parts thrown away (nobody honest sends them).

    Belongs to the process that made it: after a fork the child's copy is closed.
    Raises InvalidConfiguration when `max_frame_bytes` is not positive.
    """

    def __init__(
        self,
        *,
        max_frame_bytes: int,
        opened: Callable[[int, Port], None] | None = None,
        closed: Callable[[int], None] | None = None,
        dropped: Callable[[], None] | None = None,
    ) -> None:
        if max_frame_bytes <= 0:
            raise InvalidConfiguration(f"max_frame_bytes must be positive, not {max_frame_bytes}")
        self._max_frame_bytes = max_frame_bytes
        self._opened = opened
        self._closed = closed
        self._dropped = dropped
        self._ports: dict[int, Port] = {}
        self._links: dict[int, _Link] = {}
        self._router: zmq.Socket[bytes] | None = None
        self._router_port: _RouterPort | None = None
        self._touched: set[Port] = set()
        self._dialled = 0
        self._context: zmq.Context[zmq.Socket[bytes]] | None = zmq.Context()
        for option, value in CONTEXT_OPTIONS.items():
            self._context.set(option, value)
        _alive.add(self)

    def overlooked(self) -> list[Port]:
        """Ports whose input a send, bind or dial may have silenced: drain them.

        Each is named once; ask after every round of sending.
        """
        overlooked = []
        for port in self._touched:
            if port.has_input():
                overlooked.append(port)
        self._touched.clear()
        return overlooked

    def dial(self, endpoint: str, pace: float = 1.0) -> Route:
        """Open a connection to `endpoint` ("tcp://host:port", "ipc://path").

        `pace`: so many times as long are the pauses between attempts. libzmq's own are the same
        in every process: whoever lost one peer in one moment would try it in step for ever.
        Returns at once: a `Connected` notice says when it stands; frames sent before wait.
        Raises InvalidConfiguration when the text cannot be an endpoint, PeerUnreachable when
        this process has no descriptor or socket left, NodeClosed.
        """
        address = endpoints.check_dial(endpoint)
        self._dialled += 1
        route = Route(dialled=self._dialled)
        try:
            link = self._link(route, endpoint, address, pace)
        except zmq.ZMQError as error:
            raise endpoints.unusable("dial", endpoint, error.errno or 0) from None
        self._links[route.dialled] = link
        self._open(link.frames)
        self._open(link.notices)
        return route

    def send(self, route: Route, frame: Frame) -> bool:
        """Hand a frame to the connection; never blocks.

        False: refused, because the queue is full or the connection gone; the frame was not
        taken. True promises nothing more than that it waits to be sent. A frame below
        ZERO_COPY_SEND_BYTES was copied, so its buffer is free again; a larger one must not be
        changed any more.
        Raises MessageTooLarge over `max_frame_bytes`: the peer would cut the connection.
        """
        size = len(frame)
        if size > self._max_frame_bytes:
            raise MessageTooLarge(f"a frame of {size} bytes, over {self._max_frame_bytes}")
        try:
            if route.dialled:
                link = self._links.get(route.dialled)
                if link is None or link.watch.lost:
                    return False
                self._touched.add(link.frames)
                _send(link.socket, frame, _DONTWAIT, size < ZERO_COPY_SEND_BYTES)
            else:
                router, port = self._router, self._router_port
                if router is None or port is None or not route.routing_id:
                    return False
                self._touched.add(port)
                _send(router, route.routing_id, _DONTWAIT_MORE, True)
                _send(router, frame, _DONTWAIT, size < ZERO_COPY_SEND_BYTES)
            return True
        except zmq.Again:
            return False
        except zmq.ZMQError as error:
            if error.errno == zmq.EHOSTUNREACH:
                return False
            raise

    def hang_up(self, route: Route) -> None:
        """End a connection that we dialled, with all that waits in it. May be repeated."""
        link = self._links.pop(route.dialled, None)
        if link is None:
            return
        self._close_port(link.frames)
        self._close_port(link.notices)
        _end(link.socket, link.monitor)

    def bind(self, endpoint: str) -> str:
        """Take connections at `endpoint`; return the real one, its port number filled in.

        "tcp://127.0.0.1:0", "tcp://*:0", "tcp://[::1]:0", "ipc://path" (the file gets mode
        0600; a stale one is replaced). May be called for several endpoints.
        Raises InvalidConfiguration: not an endpoint, address in use, not ours; NodeClosed.
        """
        ipv6 = endpoints.check_bind(endpoint)
        try:
            router = self._router or self._make_router()
            router.setsockopt(zmq.IPV6, ipv6)
            with endpoints.private_files(endpoint):
                router.bind(endpoint)
        except zmq.ZMQError as error:
            raise endpoints.unusable("listen on", endpoint, error.errno or 0) from None
        bound = router.getsockopt_string(zmq.LAST_ENDPOINT)
        endpoints.make_private(bound)
        if self._router_port is not None:
            self._touched.add(self._router_port)
        return bound

    def close(self) -> None:
        """End everything at once, without waiting for what was not sent. May be repeated."""
        for number in list(self._links):
            self.hang_up(Route(dialled=number))
        if self._router_port is not None:
            self._close_port(self._router_port)
        if self._router is not None:
            self._router.close()
        self._router = self._router_port = None
        context, self._context = self._context, None
        if context is not None:
            context.term()

    def _link(self, route: Route, endpoint: str, address: str, pace: float) -> _Link:
        dealer = self._socket(zmq.DEALER, DEALER_OPTIONS)
        monitor: zmq.Socket[bytes] | None = None
        try:
            dealer.setsockopt(zmq.IPV6, "[" in endpoint)
            for pause in (zmq.RECONNECT_IVL, zmq.RECONNECT_IVL_MAX):
                dealer.setsockopt(pause, round(int(dealer.getsockopt(pause)) * pace))
            monitor = dealer.get_monitor_socket(sum(_CHANGES))
            monitor.setsockopt(zmq.LINGER, 0)
            frames = _DealerPort(dealer, self._count_dropped, Origin(route, address))
            watch = Watch(route)
            notices = _NoticePort(monitor, frames, watch)
            dealer.connect(endpoint)
        except BaseException:
            _end(dealer, monitor)
            raise
        return _Link(dealer, monitor, frames, notices, watch)

    def _make_router(self) -> zmq.Socket[bytes]:
        system.seed_c_random()
        self._router = self._socket(zmq.ROUTER, ROUTER_OPTIONS)
        self._router_port = _RouterPort(self._router, self._count_dropped)
        self._open(self._router_port)
        return self._router

    def _socket(self, kind: int, options: Mapping[int, int | bytes]) -> zmq.Socket[bytes]:
        if self._context is None:
            raise NodeClosed("the transport is closed, or belongs to the process before a fork")
        made = self._context.socket(kind)
        made.copy_threshold = 0
        for option, value in options.items():
            made.setsockopt(option, value)
        made.setsockopt(zmq.MAXMSGSIZE, self._max_frame_bytes)
        return made

    def _open(self, port: Port) -> None:
        self._ports[port.fd] = port
        self._touched.add(port)
        if self._opened is not None:
            self._opened(port.fd, port)

    def _close_port(self, port: Port) -> None:
        port.shut()
        self._touched.discard(port)
        if self._ports.pop(port.fd, None) is not None and self._closed is not None:
            self._closed(port.fd)

    def _count_dropped(self) -> None:
        if self._dropped is not None:
            self._dropped()

    def _forget_after_fork(self) -> None:
        """Let go without closing: pyzmq leaves another process's sockets alone."""
        for port in self._ports.values():
            port.shut()
        self._links.clear()
        self._ports.clear()
        self._touched.clear()
        self._router = self._router_port = self._context = None


def _end(dealer: zmq.Socket[bytes], monitor: zmq.Socket[bytes] | None) -> None:
    # In this order: a socket that is closed while watched can leave the whole context dead.
    dealer.disable_monitor()
    if monitor is not None:
        monitor.close()
    dealer.close()


_alive: weakref.WeakSet[Transport] = weakref.WeakSet()


def _after_fork() -> None:
    for transport in list(_alive):
        transport._forget_after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
