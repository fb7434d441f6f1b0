"""Every peer, in the order of the table."""

from benchmarks.peers import Loop, Peer
from benchmarks.workloads import MIB, Kind

NOISEMESH = "noisemesh"
# The variants of our own that goals are held against, the first one by itself.
OURS = (NOISEMESH, "noisemesh-uvloop", "noisemesh-chacha")

_TRAFFIC = frozenset({Kind.ONE_WAY, Kind.ROUND_TRIP, Kind.CALLS, Kind.BESIDE_BULK})
_USUAL = _TRAFFIC | {Kind.SESSIONS, Kind.FAN_OUT, Kind.MANY_PEERS}


def _ours(name: str, about: str, kinds: frozenset[Kind], side: str, loop: Loop) -> Peer:
    module = "benchmarks.peers.noisemesh"
    return Peer(name, module, f"{side}Sender", f"{side}Receiver", about, kinds, loop)


def _other(
    name: str,
    module: str,
    side: str,
    about: str,
    kinds: frozenset[Kind] = _USUAL,
    *,
    loop: Loop = Loop.ASYNCIO,
    most_bytes: int = 1024 * MIB,
) -> Peer:
    module = f"benchmarks.peers.{module}"
    return Peer(name, module, f"{side}Sender", f"{side}Receiver", about, kinds, loop, most_bytes)


PEERS = (
    _ours(
        NOISEMESH,
        "public API, everything on, defaults but for the largest message",
        _USUAL | {Kind.POSTS, Kind.START, Kind.REKEYING},
        "Mesh",
        Loop.ASYNCIO,
    ),
    _ours("noisemesh-uvloop", "the same on uvloop", _USUAL | {Kind.POSTS}, "Mesh", Loop.UVLOOP),
    _ours(
        "noisemesh-chacha",
        "the same with ChaCha20-Poly1305",
        frozenset({Kind.ONE_WAY, Kind.POSTS, Kind.ROUND_TRIP, Kind.CALLS}),
        "ChaCha",
        Loop.ASYNCIO,
    ),
    _ours(
        "noisemesh-rekey",
        "the same with new keys every second",
        frozenset({Kind.REKEYING}),
        "Rekeying",
        Loop.ASYNCIO,
    ),
    _other(
        "zenoh",
        "zenoh",
        "Zenoh",
        "eclipse-zenoh, mutual TLS: publisher to subscriber; queries for calls",
        _USUAL | {Kind.START},
        loop=Loop.OTHER,
    ),
    _other(
        "zenoh-pubsub",
        "zenoh",
        "ZenohPubSub",
        "round trips as two publications, unbatched: no call, but zenoh's quickest way",
        frozenset({Kind.ROUND_TRIP}),
        loop=Loop.OTHER,
    ),
    _other(
        "curve",
        "zmq_blocking",
        "Curve",
        "pyzmq CURVE, blocking: PUSH to PULL, DEALER to ROUTER",
        _USUAL | {Kind.START},
        loop=Loop.OTHER,
    ),
    _other(
        "curve-asyncio", "zmq_asyncio", "AsyncioCurve", "the same through zmq.asyncio", _TRAFFIC
    ),
    _other(
        "tls",
        "tls",
        "Tls",
        "asyncio streams, mutual TLS 1.3, frames with a length ahead",
        _USUAL | {Kind.START},
    ),
    _other("tls-uvloop", "tls", "Tls", "the same on uvloop", loop=Loop.UVLOOP),
    _other(
        "grpc",
        "grpc",
        "Grpc",
        "grpc.aio, mutual TLS: a stream for one way, unary calls",
        _USUAL | {Kind.START},
    ),
    _other(
        "nats",
        "nats",
        "Nats",
        "nats-py through nats-server, mutual TLS",
        _USUAL - {Kind.MANY_PEERS},
        most_bytes=MIB,
    ),
    _other(
        "libp2p",
        "libp2p",
        "Libp2p",
        "py-libp2p: TCP, noise, yamux",
        frozenset({Kind.ONE_WAY, Kind.ROUND_TRIP, Kind.CALLS, Kind.SESSIONS}),
        loop=Loop.OTHER,
        most_bytes=MIB,
    ),
    _other(
        "plain",
        "zmq_blocking",
        "Plain",
        "pyzmq without any security, blocking: what the transport alone can do",
        loop=Loop.OTHER,
    ),
)
