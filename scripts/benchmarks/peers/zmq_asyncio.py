"""pyzmq CURVE through zmq.asyncio: the same sockets as the blocking peer, awaited."""

import asyncio
from time import perf_counter
from typing import Any

import cbor2
import zmq
import zmq.asyncio

from benchmarks.peers import END, Facts, Received, zmq_sides
from benchmarks.peers.asyncio_sides import Calling
from benchmarks.peers.zmq_sides import ReceiverBase, SenderBase, call_id
from benchmarks.tally import Tally
from benchmarks.workloads import Kind, Workload

versions = zmq_sides.versions


class AsyncioCurveReceiver(ReceiverBase):
    """Awaits each message and handles it there."""

    context = zmq.asyncio.Context

    async def receive(self) -> Received:
        """Read all that was expected."""
        workload = self.expected
        tally, receive = Tally(workload), self.pull.recv
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

    async def answer(self) -> Received:
        """Echo as many calls as were expected, beside what comes one way."""
        count, times, marks, handled = self.expected.count, [], [], 0

        async def handle() -> None:
            nonlocal handled
            while len((await self.pull.recv(copy=False)).buffer) != len(END):
                handled += 1

        beside = self.expected.kind is Kind.BESIDE_BULK
        task = asyncio.create_task(handle()) if beside else None
        receive, send = self.router.recv_multipart, self.router.send_multipart
        for number in range(count):
            message = await receive()
            if number in (0, count - 1):
                times.append(perf_counter())
                marks.append(handled)
            await send(message)
        if task is not None:
            await task
        return Received(marks[-1] - marks[0], times[0], times[-1])


class AsyncioCurveSender(SenderBase, Calling):
    """Awaits each message; calls are futures that one task completes."""

    context = zmq.asyncio.Context

    def __init__(self) -> None:
        super().__init__()
        self._waiting: dict[bytes, asyncio.Future[bytes]] = {}
        self._number = 0

    async def connect(self, receiver: Facts) -> None:
        """Dial; the first message waits for the handshake."""
        await super().connect(receiver)
        self._replies = asyncio.create_task(self._read_replies())

    async def _read_replies(self) -> None:
        receive, waiting = self.dealer.recv_multipart, self._waiting
        while True:
            key, reply = await receive()
            waiting.pop(key).set_result(reply)

    async def send(self, workload: Workload) -> None:
        """Send every body as fast as the socket takes them."""
        send, body = self.push.send, workload.body
        if workload.as_dict:
            for _ in range(workload.count):
                await send(cbor2.dumps(body))
        elif workload.is_large:
            for _ in range(workload.count):
                await send(body, copy=False)
        else:
            for _ in range(workload.count):
                await send(body)

    async def call(self, body: bytes) -> Any:
        """One call, answered."""
        self._number += 1
        key = call_id(self._number)
        future = self._waiting[key] = asyncio.get_running_loop().create_future()
        await self.dealer.send_multipart([key, body])
        return await future

    async def put(self, body: bytes) -> None:
        """One body one way."""
        await self.push.send(body, copy=False)

    async def close(self) -> None:
        """Close sockets and context."""
        self._replies.cancel()
        await asyncio.gather(self._replies, return_exceptions=True)
        await super().close()
