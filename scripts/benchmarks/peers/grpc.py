"""grpc.aio with mutual TLS, one channel.

One way is one stream of requests, since a stream saves a call's beginning and end for each
message; calls are unary. Handlers are generic and bodies travel as they are: no protobuf stands
between, so there is nothing to encode but dicts. The limit on sizes is lifted. A new session is a
channel of its own (a pool of connections shared by channels would hide it).
"""

import asyncio
from importlib.metadata import version
from time import perf_counter
from typing import Any

import cbor2
import grpc
import grpc.aio

from benchmarks.certificates import ADDRESS, Papers, make_certificates
from benchmarks.peers import Facts
from benchmarks.peers.asyncio_sides import Calling, Counting
from benchmarks.workloads import Workload

_SERVICE, _STREAM, _ECHO = "Bench", "Stream", "Echo"
_UNLIMITED = [("grpc.max_send_message_length", -1), ("grpc.max_receive_message_length", -1)]


def versions() -> dict[str, str]:
    """What this peer is made of."""
    return {"grpcio": version("grpcio"), "cbor2": version("cbor2")}


class GrpcReceiver(Counting):
    """A generic handler for streams and one for calls."""

    def __init__(self) -> None:
        super().__init__()
        self._papers = make_certificates()
        self._servers: list[Any] = []

    async def start(self) -> Facts:
        """Open. What a sender must know to reach and to prove us."""
        return {**await self._listen(), "papers": tuple(self._papers.sender)}

    async def _listen(self) -> Facts:
        server = grpc.aio.server(options=_UNLIMITED)
        self._servers.append(server)
        methods = {
            _STREAM: grpc.stream_unary_rpc_method_handler(self._handle),
            _ECHO: grpc.unary_unary_rpc_method_handler(self._echo),
        }
        handler = grpc.method_handlers_generic_handler(_SERVICE, methods)
        server.add_generic_rpc_handlers((handler,))
        certificate, key, authority = self._papers.receiver.contents()
        credentials = grpc.ssl_server_credentials(
            [(key, certificate)], root_certificates=authority, require_client_auth=True
        )
        port = server.add_secure_port(f"{ADDRESS}:0", credentials)
        await server.start()
        return {"port": port}

    async def _handle(self, _: Any, context: Any) -> bytes:
        handle, read = self.add, context.read
        while (body := await read()) is not grpc.aio.EOF:
            handle(cbor2.loads(body) if self.as_dict else body)
        return b""

    async def _echo(self, body: bytes, _: Any) -> bytes:
        self.called()
        return body

    async def allow(self, sender: Facts) -> None:
        """Whoever has a certificate of our authority may enter."""

    async def open_many(self, number: int) -> list[Facts]:
        """As many servers more."""
        return [await self._listen() for _ in range(number)]

    async def close(self) -> None:
        """Stop the servers."""
        for server in self._servers:
            await server.stop(None)


class GrpcSender(Calling):
    """A stream for each workload that goes one way."""

    def __init__(self) -> None:
        self._many: list[Any] = []
        self._bulk: Any = None

    async def start(self) -> Facts:
        """Nothing is open before the listener is known."""
        return {}

    async def connect(self, receiver: Facts) -> None:
        """A channel, once it is ready."""
        certificate, key, authority = Papers(*receiver["papers"]).contents()
        self._credentials = grpc.ssl_channel_credentials(authority, key, certificate)
        self._port = receiver["port"]
        self._channel = self._dial(self._port)
        self._unary = self._channel.unary_unary(f"/{_SERVICE}/{_ECHO}")
        await self._channel.channel_ready()

    def _dial(self, port: int) -> Any:
        options = [*_UNLIMITED, ("grpc.use_local_subchannel_pool", 1)]
        return grpc.aio.secure_channel(f"{ADDRESS}:{port}", self._credentials, options)

    @staticmethod
    def _stream(channel: Any) -> Any:
        return channel.stream_unary(f"/{_SERVICE}/{_STREAM}")()

    async def send(self, workload: Workload) -> None:
        """Write every body into a stream."""
        await self._send([self._channel], workload)

    async def _send(self, channels: list[Any], workload: Workload) -> None:
        streams = [self._stream(channel) for channel in channels]
        body: Any = workload.body
        for _ in range(workload.count):
            encoded = cbor2.dumps(body) if workload.as_dict else body
            for stream in streams:
                await stream.write(encoded)
        for stream in streams:
            await stream.done_writing()
            await stream

    async def call(self, body: bytes) -> object:
        """One call, answered."""
        return await self._unary(body)

    async def put(self, body: bytes) -> None:
        """One body one way."""
        await self._bulk.write(body)

    async def ask_beside(self, workload: Workload) -> list[float]:
        """Call one at a time beside a task that streams. Seconds of each call."""
        self._bulk = self._stream(self._channel)
        seconds = await super().ask_beside(workload)
        await self._bulk.done_writing()
        await self._bulk
        return seconds

    async def open_sessions(self, workload: Workload) -> float:
        """A channel for each."""
        began = perf_counter()
        for _ in range(workload.count):
            channel = self._dial(self._port)
            await channel.unary_unary(f"/{_SERVICE}/{_ECHO}")(workload.body)
            await channel.close()
        return perf_counter() - began

    async def connect_many(self, receivers: list[Facts]) -> None:
        """A channel to each of them."""
        self._many = [self._dial(facts["port"]) for facts in receivers]
        await asyncio.gather(*(channel.channel_ready() for channel in self._many))

    async def send_to_all(self, workload: Workload) -> None:
        """Write every body into a stream to each."""
        await self._send(self._many, workload)

    async def close(self) -> None:
        """Close the channels."""
        for channel in (self._channel, *self._many):
            await channel.close()
