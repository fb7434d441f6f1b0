"""Threads for plain handlers: some for each depth, and none before they are needed."""

import threading

import pytest

from mesh.constants import DEPTH_MAX
from mesh.runtime.threads import Threads

PATIENCE_SECONDS = 10


@pytest.fixture
def threads():
    """One thread for each depth."""
    made = Threads(1)
    yield made
    made.stop()


def test_every_depth_has_threads_of_its_own(threads):
    """All of one are at work, and those of the others begin all the same."""
    gate = threading.Event()
    waiting = [threads.of(depth).submit(gate.wait, PATIENCE_SECONDS) for depth in range(DEPTH_MAX)]
    names = threads.of(DEPTH_MAX).submit(lambda: threading.current_thread().name)
    assert names.result(PATIENCE_SECONDS).startswith(f"noisemesh-handler-{DEPTH_MAX}")
    assert not any(future.done() for future in waiting)
    gate.set()
    assert all(future.result(PATIENCE_SECONDS) for future in waiting)


def test_a_chain_of_plain_handlers_gets_to_its_end(threads):
    """Each waits in its thread for the next, one thread at each depth."""

    def go_down(depth):
        if depth == DEPTH_MAX:
            return [depth]
        deeper = threads.of(depth + 1).submit(go_down, depth + 1)
        return [depth, *deeper.result(PATIENCE_SECONDS)]

    whole = threads.of(0).submit(go_down, 0)
    assert whole.result(PATIENCE_SECONDS) == [*range(DEPTH_MAX + 1)]


def test_no_more_than_so_many_at_a_time():
    """Of one depth."""
    threads, gate, at_work = Threads(2), threading.Event(), threading.Semaphore(0)

    def work():
        at_work.release()
        gate.wait(PATIENCE_SECONDS)

    futures = [threads.of(1).submit(work) for _ in range(3)]
    assert at_work.acquire(timeout=PATIENCE_SECONDS)
    assert at_work.acquire(timeout=PATIENCE_SECONDS)
    assert not at_work.acquire(blocking=False)
    gate.set()
    for future in futures:
        future.result(PATIENCE_SECONDS)
    threads.stop()


def test_threads_are_started_when_they_are_needed():
    """A node whose handlers are coroutines has none."""
    before = threading.active_count()
    threads = Threads(100)
    assert threading.active_count() == before
    threads.stop()


def test_after_the_end_nothing_begins(threads):
    """What waits is cancelled, what is at work is not waited for."""
    gate, begun = threading.Event(), threading.Event()

    def work():
        begun.set()
        gate.wait(PATIENCE_SECONDS)

    at_work, waits = threads.of(0).submit(work), threads.of(0).submit(work)
    assert begun.wait(PATIENCE_SECONDS)
    threads.stop()
    assert waits.cancelled()
    assert not at_work.done()
    for depth in range(DEPTH_MAX + 1):
        with pytest.raises(RuntimeError):
            threads.of(depth).submit(print)
    gate.set()
    at_work.result(PATIENCE_SECONDS)
