"""Counting in the receiver's handler: the same few operations for every peer."""

from collections.abc import Callable
from time import perf_counter

from benchmarks.peers import Received
from benchmarks.workloads import Workload

Arrived = bytes | memoryview | dict[str, object]


class WrongBodies(Exception):
    """Something else arrived than was sent, or another number of it."""


def _nothing() -> None:
    """Nobody waits."""


class Tally:
    """Counts bodies and their lengths; compares the first and the last with what was sent.

    `done`: called once when all have come. `add(body)`: one message is in the handler's hands.
    """

    def __init__(self, workload: Workload, done: Callable[[], object] = _nothing) -> None:
        self._body = workload.body
        self._expected = workload.deliveries
        self._done = done
        self._times: list[float] = []
        self._wrong = ""
        self.add, self._sums = self._counter()

    def _counter(self) -> tuple[Callable[[Arrived], None], Callable[[], tuple[int, int]]]:
        """Counting, and its result. A closure: half the price of attributes, and the handler is
        a good part of what a receiver does with a small message.
        """
        count = length = 0
        ends, at_end_of_line = (1, self._expected), self._at_end_of_line

        def add(body: Arrived) -> None:
            nonlocal count, length
            count += 1
            length += len(body)
            if count in ends:
                at_end_of_line(body, count)

        return add, lambda: (count, length)

    def _at_end_of_line(self, body: Arrived, count: int) -> None:
        self._times.append(perf_counter())
        if body != self._body:
            self._wrong = "a body is not the one that was sent"
        if count == self._expected:
            self._done()

    def received(self) -> Received:
        """The result. Raises WrongBodies unless it is all that was sent, and nothing else."""
        count, length = self._sums()
        if self._wrong:
            raise WrongBodies(self._wrong)
        if count != self._expected:
            raise WrongBodies(f"{count} of {self._expected} messages came")
        if length != count * len(self._body):
            raise WrongBodies("bodies have other lengths than those that were sent")
        return Received(count, self._times[0], self._times[-1])
