"""Workers: direct messages are handled in order, whatever handlers do."""

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import cbor2
import pytest

from mailboxes import PEER_ID, turns
from mesh.model import Peer
from mesh.wire.messages import Packed
from worker_bench import PATIENCE_SECONDS, Bench

pytestmark = pytest.mark.usefixtures("quiet_loop")


@pytest.fixture
def threads():
    """Two threads for plain functions."""
    with ThreadPoolExecutor(2) as pool:
        yield pool


@contextmanager
def monkeypatched_decode():
    """What is decoded meanwhile, in order."""
    decoded = []
    original = Packed.decode

    def decode(packed):
        decoded.append(packed)
        return original(packed)

    Packed.decode = decode
    try:
        yield decoded
    finally:
        Packed.decode = original


async def test_messages_are_handled_in_order_run_by_run(threads):
    """Each run is told of when its last message is handled."""
    seen = []

    async def log(body):
        await asyncio.sleep(0)
        seen.append(body)

    bench = Bench(log, threads)
    bench.put([1, 2, 3], [4], [5, 6])
    assert bench.worker.busy
    await bench.until_finished(1, 2, 3)
    assert seen == [1, 2, 3, 4, 5, 6]
    assert bench.counters["handled.messages"] == 6
    await bench.stop()


@pytest.mark.parametrize("concurrency", [1, 2])
async def test_packed_bodies_are_decoded_when_their_turn_comes(threads, concurrency):
    """Not while they wait; what cannot be decoded is dropped and counted, and no more."""
    gate, seen = asyncio.Event(), []

    async def log(body):
        await gate.wait()
        seen.append(body)

    bench = Bench(log, threads, concurrency)
    waiting, damaged = Packed(cbor2.dumps([3, 4, 5])), Packed(b"\x82\xf6")
    bench.put([1, 2], damaged, waiting)
    with monkeypatched_decode() as decoded:
        await turns(20)
        assert decoded == []
        gate.set()
        await bench.until_finished(1, 2, 3)
        assert decoded == [damaged, waiting]
    assert sorted(seen) == [1, 2, 3, 4, 5]
    assert bench.counters["dropped.malformed"] == 2
    assert bench.counters["handled.messages"] == 5
    await bench.stop()


async def test_what_is_queued_can_be_given_up(threads):
    """What is at work is cancelled, the rest dropped and counted; nothing is kept of it."""
    gate, seen = asyncio.Event(), []

    async def log(body):
        await gate.wait()
        seen.append(body)

    bench = Bench(log, threads)
    bench.put([1, 2], [3], [4, 5])
    await turns()
    bench.worker.retire()
    bench.worker.give_up()
    assert bench.counters["dropped.ended"] == 3
    assert not bench.worker.busy
    gate.set()
    await turns(10)
    assert seen == []
    assert asyncio.all_tasks() == {asyncio.current_task()}
    await bench.stop()


@pytest.mark.parametrize(
    "error", [ValueError("bad"), asyncio.CancelledError(), BaseException("odd"), StopIteration()]
)
async def test_what_a_handler_raises_costs_only_its_message(threads, caplog, error):
    """It is counted and logged; the rest of the run and the next run are handled."""
    seen = []

    async def log(body):
        if body == "bad":
            raise error
        seen.append(body)

    bench = Bench(log, threads)
    bench.put([1, "bad", 2, "bad"], [3])
    await bench.until_finished(1, 2)
    assert seen == [1, 2, 3]
    assert bench.counters["handlers.raised"] == 2
    assert "the handler of 'log' raised on a message from bob" in caplog.text
    await bench.stop()


@pytest.mark.parametrize("error", [ValueError("bad"), asyncio.CancelledError(), StopIteration()])
async def test_what_a_plain_function_raises_costs_only_its_message(threads, error):
    """In a thread as in the loop."""
    seen = []

    def log(body):
        if body == "bad":
            raise error
        seen.append(body)

    bench = Bench(log, threads)
    bench.put(["bad", 1, "bad"], [2])
    await bench.until_finished(1, 2)
    assert seen == [1, 2]
    assert bench.counters["handlers.raised"] == 2
    await bench.stop()


async def test_a_handler_that_cancels_its_own_task_does_not_end_the_worker(threads):
    """Another task goes on with the rest of the run."""
    seen = []

    async def log(body):
        seen.append(body)
        if body == 1:
            asyncio.current_task().cancel()
            await asyncio.sleep(0)

    bench = Bench(log, threads)
    bench.put([1, 2, 3], [4])
    await bench.until_finished(1, 2)
    assert seen == [1, 2, 3, 4]
    assert bench.counters["handlers.raised"] == 1
    await bench.stop()


async def test_a_worker_whose_task_is_asked_to_end_does_not_hold_that_up(threads):
    """At the end of a program every task is cancelled once, and waited for."""
    begun = []

    async def hang(body):
        begun.append(body)
        await asyncio.Event().wait()

    bench = Bench(hang, threads)
    bench.put([1, 2])
    await turns()
    (task,) = asyncio.all_tasks() - {asyncio.current_task()}
    task.cancel()
    await asyncio.wait([task], timeout=PATIENCE_SECONDS)
    assert task.done()
    await turns()
    assert begun == [1, 2]
    await bench.stop()


@pytest.mark.parametrize("function_kind", ["async", "thread"])
def test_system_exit_ends_the_program(function_kind):
    """A handler that asks for the end of the program gets it."""

    async def leave(_body):
        raise SystemExit(7)

    def leave_in_thread(_body):
        raise SystemExit(7)

    async def program():
        with ThreadPoolExecutor(1) as pool:
            bench = Bench(leave if function_kind == "async" else leave_in_thread, pool)
            bench.put([1])
            await bench.until_finished(1)

    with pytest.raises(SystemExit):
        asyncio.run(program())


async def test_concurrency_counts_messages_not_runs(threads):
    """Several messages of one run are handled side by side, never more than asked for."""
    gate = asyncio.Event()
    at_work = []

    async def log(body):
        at_work.append(body)
        await gate.wait()

    bench = Bench(log, threads, concurrency=3)
    bench.put([1, 2, 3, 4, 5], [6])
    await turns(50)
    assert at_work == [1, 2, 3]
    gate.set()
    await bench.until_finished(1, 2)
    assert sorted(at_work) == [1, 2, 3, 4, 5, 6]
    await bench.stop()


async def test_with_concurrency_a_run_is_finished_with_its_last_message(threads):
    """A later run may be done before."""
    gate = asyncio.Event()

    async def log(body):
        if body == "slow":
            await gate.wait()

    bench = Bench(log, threads, concurrency=2)
    bench.put(["slow", 1], [2])
    await turns(50)
    assert bench.finished == [2]
    assert bench.worker.busy
    gate.set()
    await bench.until_finished(1, 2)
    assert bench.finished == [2, 1]
    await bench.stop()


async def test_plain_functions_run_in_threads_in_order(threads):
    """One peer's messages one after another, outside the loop."""
    seen = []

    def log(body):
        seen.append((body, threading.current_thread() is threading.main_thread()))

    bench = Bench(log, threads)
    bench.put([1, 2], [3])
    await bench.until_finished(1, 2)
    assert seen == [(1, False), (2, False), (3, False)]
    await bench.stop()


async def test_a_long_run_gives_its_thread_back_between_turns():
    """Peers share the threads: one whose run is long does not keep another's message waiting."""
    order = []
    released = threading.Event()

    def log(body):
        if body == 0:
            released.wait(PATIENCE_SECONDS)
        order.append(body)

    with ThreadPoolExecutor(1) as one_thread:
        long, short = Bench(log, one_thread), Bench(log, one_thread)
        long.put(list(range(200)))
        await turns()
        short.put(["short"])
        await turns()
        released.set()
        await long.until_finished(1)
        await short.until_finished(1)
        assert order.index("short") == 64
        await asyncio.gather(*long.worker.stop(), *short.worker.stop(), return_exceptions=True)


async def test_a_plain_function_that_blocks_stops_nobody_else(threads):
    """The loop goes on, and so does another worker."""
    blocked, released = threading.Event(), threading.Event()

    def block(_body):
        blocked.set()
        assert released.wait(PATIENCE_SECONDS)

    seen = []
    slow, quick = Bench(block, threads), Bench(seen.append, threads)
    slow.put([1])
    quick.put([1, 2])
    await quick.until_finished(1)
    assert await asyncio.to_thread(blocked.wait, PATIENCE_SECONDS)
    assert slow.worker.busy
    released.set()
    await slow.until_finished(1)
    await asyncio.gather(*slow.worker.stop(), return_exceptions=True)
    await quick.stop()


async def test_a_stopped_worker_ends_its_thread_after_the_message_it_is_at(threads):
    """A program does not wait for a run of a thousand slow messages to end."""
    begun, released = threading.Event(), threading.Event()
    seen = []

    def block(body):
        seen.append(body)
        begun.set()
        released.wait(PATIENCE_SECONDS)

    bench = Bench(block, threads)
    bench.put([1, 2, 3])
    await asyncio.to_thread(begun.wait, PATIENCE_SECONDS)
    await bench.stop()
    released.set()
    await asyncio.to_thread(threads.shutdown)
    assert seen == [1]


async def test_a_plain_function_that_returns_a_coroutine_is_an_error(threads, caplog):
    """A message must not be lost in silence because nobody awaited its handler."""

    async def handle(_body): ...

    def forget(body):
        return handle(body)

    bench = Bench(forget, threads)
    bench.put([1])
    await bench.until_finished(1)
    assert bench.counters["handlers.raised"] == 1
    assert "async def" in caplog.text
    await bench.stop()


async def test_a_handler_that_never_returns_holds_only_its_own_messages(threads):
    """Other workers go on; stopping ends it."""

    async def hang(_body):
        await asyncio.Event().wait()

    hanging, other = Bench(hang, threads), Bench(lambda body: None, threads)
    hanging.put([1])
    other.put([1])
    await other.until_finished(1)
    assert hanging.worker.busy
    await asyncio.gather(*hanging.worker.stop(), return_exceptions=True)
    assert hanging.finished == []
    await other.stop()


@pytest.mark.parametrize("raises", [True, False])
async def test_a_handler_that_does_not_want_to_be_stopped_ends_the_worker(threads, raises):
    """Whatever it does with its cancellation, nothing of the run is begun after it."""
    seen = []

    async def deaf(body):
        seen.append(body)
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            if raises:
                raise ValueError("not now") from None

    bench = Bench(deaf, threads)
    bench.put([1], [2])
    await turns()
    await bench.stop()
    assert seen == [1]


async def test_a_retired_worker_handles_what_is_queued(threads):
    """Then its tasks end by themselves."""
    seen = []

    async def log(body):
        await asyncio.sleep(0)
        seen.append(body)

    bench = Bench(log, threads)
    bench.put([1], [2])
    bench.worker.retire()
    await bench.until_finished(1, 2)
    await turns(10)
    assert seen == [1, 2]
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_a_renamed_peer_is_told_from_the_next_run_on(threads):
    """Handlers see the name and roles of today, not those of the first message."""
    seen = []

    async def log(body, *, peer):
        seen.append((body, peer.name, peer.roles))

    bench = Bench(log, threads)
    bench.put([1])
    await bench.until_finished(1)
    bench.worker.peer = Peer(PEER_ID, "robert", ("admin",))
    bench.finished.clear()
    bench.put([2])
    await bench.until_finished(1)
    assert seen == [(1, "bob", ()), (2, "robert", ("admin",))]
    assert bench.worker.peer.name == "robert"
    await bench.stop()
