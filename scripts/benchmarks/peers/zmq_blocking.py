"""pyzmq in plain loops, with CURVE and without any security.

A loop for each socket: where bulk travels beside calls, it has a thread of its own on both sides
(pyzmq releases the GIL while libzmq works). A new session is a new DEALER socket: connect,
handshake, one call answered, close; the context goes on.

For fan-out the publisher listens, and knows from their subscriptions that all have come.
"""

import itertools
import threading
from functools import partial
from time import perf_counter
from typing import Any

import cbor2
import zmq

from benchmarks.peers import END, Facts, Received, zmq_sides
from benchmarks.peers.threads import streaming
from benchmarks.peers.zmq_sides import ReceiverBase, SenderBase, call_id
from benchmarks.tally import Tally
from benchmarks.workloads import Kind, Workload

versions = zmq_sides.versions


class CurveReceiver(ReceiverBase):
    """Reads in a loop and handles each message there."""

    context = zmq.Context

    def __init__(self) -> None:
        super().__init__()
        self._subscribers: list[Any] = []

    async def receive(self) -> Received:
        """Read all that was expected."""
        workload = self.expected
        tally = Tally(workload)
        if workload.kind is Kind.FAN_OUT:
            self._receive_from_all(workload, tally)
        else:
            self._receive_from(self.pull, workload, tally)
        return tally.received()

    @staticmethod
    def _receive_from(socket: Any, workload: Workload, tally: Tally) -> None:
        receive, handle = socket.recv, tally.add
        if workload.as_dict:
            for _ in range(workload.count):
                handle(cbor2.loads(receive()))
        elif workload.is_large:
            for _ in range(workload.count):
                handle(receive(copy=False).buffer)
        else:
            for _ in range(workload.count):
                handle(receive())

    def _receive_from_all(self, workload: Workload, tally: Tally) -> None:
        """Whatever is there from each that has something; a poll for each message costs more."""
        poller, left = zmq.Poller(), workload.deliveries
        for socket in self._subscribers:
            poller.register(socket, zmq.POLLIN)
        while left:
            for socket, _ in poller.poll():
                while socket.getsockopt(zmq.EVENTS) & zmq.POLLIN:
                    tally.add(socket.recv())
                    left -= 1

    async def answer(self) -> Received:
        """Echo as many calls as were expected, beside what comes one way."""
        count, times, marks, bulk = self.expected.count, [], [], _Bulk(self.pull)
        thread = threading.Thread(target=bulk.read)
        if self.expected.kind is Kind.BESIDE_BULK:
            thread.start()
        receive, send = self.router.recv_multipart, self.router.send_multipart
        for number in range(count):
            message = receive()
            if number in (0, count - 1):
                times.append(perf_counter())
                marks.append(bulk.handled)
            send(message)
        if thread.ident is not None:
            thread.join()
        return Received(marks[-1] - marks[0], times[0], times[-1])

    async def open_many(self, number: int) -> list[Facts]:
        """As many subscribers, which dial the publisher."""
        for _ in range(number):
            socket = self.side.dial(zmq.SUB, self.sender["publisher"], self.sender["key"])
            socket.setsockopt(zmq.SUBSCRIBE, b"")
            self._subscribers.append(socket)
        return [{}] * number


class _Bulk:
    """Reads what is streamed beside calls, in a thread; the socket is that thread's meanwhile."""

    def __init__(self, socket: Any) -> None:
        self._socket = socket
        self.handled = 0

    def read(self) -> None:
        """Until the end is told."""
        while len(self._socket.recv(copy=False).buffer) != len(END):
            self.handled += 1


class CurveSender(SenderBase):
    """Sends and waits in plain loops."""

    context = zmq.Context

    async def start(self) -> Facts:
        """Open the publisher, which nobody may subscribe to yet."""
        self.guard()
        self._publisher, endpoint = self.side.listen(zmq.XPUB)
        self._publisher.setsockopt(zmq.XPUB_NODROP, 1)
        self._publisher.setsockopt(zmq.XPUB_VERBOSE, 1)
        return {**await super().start(), "publisher": endpoint}

    async def connect(self, receiver: Facts) -> None:
        """Dial, and let the receiver subscribe."""
        self.let_in(receiver["key"])
        await super().connect(receiver)

    async def send(self, workload: Workload) -> None:
        """Send every body as fast as the socket takes them."""
        self._send(self.push.send, workload)

    @staticmethod
    def _send(send: Any, workload: Workload) -> None:
        body = workload.body
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
            self.dealer.send_multipart,
            self.dealer.recv_multipart,
            workload.body,
        )
        seconds = []
        for number in range(workload.count):
            began = perf_counter()
            send([call_id(number), body])
            receive()
            seconds.append(perf_counter() - began)
        return seconds

    async def ask_many(self, workload: Workload) -> float:
        """Call with many in flight: a new call for each reply."""
        send, receive, body = (
            self.dealer.send_multipart,
            self.dealer.recv_multipart,
            workload.body,
        )
        waiting: dict[bytes, int] = {}
        numbers = iter(range(workload.count))

        def call() -> None:
            for number in itertools.islice(numbers, 1):
                key = call_id(number)
                waiting[key] = number
                send([key, body])

        began = perf_counter()
        for _ in range(workload.in_flight):
            call()
        while waiting:
            key, _ = receive()
            del waiting[key]
            call()
        return perf_counter() - began

    async def ask_beside(self, workload: Workload) -> list[float]:
        """Call one at a time beside a thread that streams. Seconds of each call."""
        with streaming(partial(self.push.send, copy=False), workload.bulk_body):
            return await self.ask(workload)

    async def open_sessions(self, workload: Workload) -> float:
        """A socket for each."""
        endpoint, key, side = self.receiver["calls"], self.receiver["key"], self.side
        began = perf_counter()
        for number in range(workload.count):
            socket = side.dial(zmq.DEALER, endpoint, key)
            socket.send_multipart([call_id(number), workload.body])
            socket.recv_multipart()
            side.shut(socket)
        return perf_counter() - began

    async def connect_many(self, receivers: list[Facts]) -> None:
        """Hear each of them subscribe."""
        for _ in receivers:
            self._publisher.recv()

    async def send_to_all(self, workload: Workload) -> None:
        """Publish every body."""
        self._send(self._publisher.send, workload)


class PlainReceiver(CurveReceiver):
    """The same without security."""

    secure = False


class PlainSender(CurveSender):
    """The same without security."""

    secure = False
