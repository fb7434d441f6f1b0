"""Requests: each is answered once, whatever handlers, callers and lying peers do."""

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from mailboxes import turns
from mesh.errors import CallFailed, PeerRestarted
from mesh.model import Peer
from mesh.wire.messages import (
    REPLY_CANCELLED,
    REPLY_FAILED,
    REPLY_NO_HANDLER,
    REPLY_NOT_CARRIED,
    REPLY_OK,
)
from requests_desk import MINUTE_MS, PATIENCE_SECONDS, Desk, Gate
from virtual_time import in_virtual_time, pass_time

pytestmark = pytest.mark.usefixtures("quiet_loop")


async def echo(body):
    """Answer with the body."""
    return body


async def test_each_request_gets_its_reply():
    """The run is finished with the last one."""
    desk = Desk(echo)
    desk.put("a", {"b": [1]}, None)
    assert desk.requests.busy
    await turns()
    assert desk.replies == [[1, REPLY_OK, "a"], [2, REPLY_OK, {"b": [1]}], [3, REPLY_OK, None]]
    assert desk.finished == [10]
    assert not desk.requests.busy
    assert desk.counters["handled.calls"] == 3
    await desk.stop()


async def test_a_run_is_finished_only_when_every_request_is_answered():
    """The caller gets no room back for requests that are still worked on."""

    async def work(body):
        if body == 511:
            await gate.wait()

    gate = asyncio.Event()
    desk = Desk(work)
    desk.put(*range(512))
    await turns(50)
    assert len(desk.replies) == 511
    assert desk.finished == []
    gate.set()
    await turns(10)
    assert desk.finished == [10]
    await desk.stop()


async def test_the_last_reply_that_was_owed_lets_the_next_request_be_expected():
    """Not one beside requests that are still worked on."""

    async def work(body):
        if body == "wait":
            await gate.wait()

    gate = asyncio.Event()
    desk = Desk(work)
    desk.put("wait", "quick", "quick")
    await turns()
    assert len(desk.replies) == 2
    assert desk.expected == 0
    gate.set()
    await turns()
    assert len(desk.replies) == 3
    assert desk.expected == 1
    await desk.stop()


async def test_no_more_than_the_limit_run_at_a_time():
    """Those that suspend make room for others up to it; the rest wait."""
    gate = Gate()
    desk = Desk(gate, limit=3)
    desk.put(*range(10))
    await turns(100)
    assert gate.begun == [0, 1, 2]
    gate.open.set()
    await turns(100)
    assert sorted(item[2] for item in desk.replies) == list(range(10))
    await desk.stop()


async def test_a_handler_that_never_returns_lets_others_go_on():
    """One slot is gone, and no more."""

    async def work(body):
        if body == "hang":
            await asyncio.Event().wait()
        return body

    desk = Desk(work, limit=2)
    desk.put("hang", 1, 2, 3)
    await turns(50)
    assert [item[2] for item in desk.replies] == [1, 2, 3]
    await desk.stop()


async def test_nobody_serves_the_subject():
    """The caller is told."""
    desk = Desk(None)
    desk.put("a")
    await turns()
    assert desk.replies == [[1, REPLY_NO_HANDLER, None]]
    assert desk.counters["dropped.no_handler"] == 1
    await desk.stop()


async def odd_error(_body):
    """Raise what no handler should."""
    raise BaseException("odd")


async def bad_error(_body):
    """Raise as handlers do."""
    raise ValueError("bad")


async def unreadable_error(_body):
    """Raise something that has no text."""

    class UnreadableError(Exception):
        def __str__(self):
            raise RuntimeError

    raise UnreadableError


@pytest.mark.parametrize(
    ("function", "answer"),
    [
        (bad_error, ["ValueError", "bad"]),
        (odd_error, ["BaseException", "odd"]),
        (unreadable_error, ["UnreadableError", "its text cannot be read"]),
    ],
)
async def test_what_a_handler_raises_is_told_as_type_and_text(function, answer, caplog):
    """And logged here, traceback and all; the next request is answered."""
    desk = Desk(function)
    desk.put("a", "b")
    await turns()
    assert desk.replies == [[1, REPLY_FAILED, answer], [2, REPLY_FAILED, answer]]
    assert desk.counters["handlers.raised"] == 2
    assert "the handler of 'ask' raised on a call from bob" in caplog.text
    await desk.stop()


async def test_a_call_that_failed_inside_a_handler_is_handed_on(caplog):
    """As it was told to the handler; one line of the log, without a traceback."""

    async def inner_error(body):
        raise CallFailed("KeyError", "'x'")

    desk = Desk(inner_error)
    desk.put("a")
    await turns()
    assert desk.replies == [[1, REPLY_FAILED, ["KeyError", "'x'"]]]
    [record] = [each for each in caplog.records if "a call that failed" in each.message]
    assert record.message.endswith("on a call from bob: KeyError: 'x'")
    assert not record.exc_info
    await desk.stop()


@pytest.mark.parametrize("own_task", [True, False])
async def test_a_handler_that_cancels_itself_is_answered(own_task):
    """A cancellation that nobody asked for ends the request, not the others."""

    async def work(body):
        if body == "bad":
            if own_task:
                asyncio.current_task().cancel()
                await asyncio.sleep(0)
            raise asyncio.CancelledError
        return body

    desk = Desk(work, limit=1)
    desk.put("bad", 1)
    await turns(10)
    assert desk.replies == [[1, REPLY_CANCELLED, None], [2, REPLY_OK, 1]]
    assert desk.finished == [10]
    await desk.stop()


class Angry(dict):
    """A value that does not let itself be encoded."""

    def items(self):
        """Refuse."""
        raise RuntimeError("no")


@pytest.mark.parametrize(
    "value", [object(), {1: 2}, "x" * 5000, b"x" * 5000, b"x" * 20_000, Angry(a=1), "\ud800"]
)
async def test_a_reply_that_cannot_be_carried_is_told(value):
    """Too large, not a value, or worse: the caller learns why."""

    async def work(_body):
        return value

    desk = Desk(work, max_message=4096)
    desk.put("a")
    await turns()
    ((call_id, status, text),) = desk.replies
    assert (call_id, status) == (1, REPLY_NOT_CARRIED)
    assert "the reply of 'ask' cannot be carried" in text
    await desk.stop()


async def test_a_request_cancelled_before_it_begins_never_begins():
    """It arrived in one frame with the news that nobody waits."""
    gate = Gate()
    desk = Desk(gate)
    desk.put("a", "b")
    desk.requests.cancel([1])
    await turns()
    assert gate.begun == ["b"]
    gate.open.set()
    await turns()
    assert desk.replies == [[2, REPLY_OK, "b"]]
    assert desk.finished == [10]
    assert desk.counters["calls.cancelled"] == 1
    await desk.stop()


async def test_a_running_handler_is_cancelled():
    """It gets CancelledError, no reply is sent, and its slot is free again."""
    gate = Gate()
    desk = Desk(gate, limit=1)
    desk.put("a", "b")
    await turns()
    desk.requests.cancel([1])
    desk.requests.cancel([1])
    await turns(10)
    assert gate.cancelled == ["a"]
    assert gate.begun == ["a", "b"]
    gate.open.set()
    await turns(10)
    assert desk.replies == [[2, REPLY_OK, "b"]]
    assert desk.counters["calls.cancelled"] == 1
    await desk.stop()


async def test_a_handler_that_swallows_its_cancellation_harms_nobody():
    """Its reply is sent for nothing, and the next request is not cancelled for it."""
    gate = Gate(swallows=True)
    desk = Desk(gate, limit=1)
    desk.put("a", "b")
    await turns()
    desk.requests.cancel([1])
    await turns(10)
    gate.open.set()
    await turns(10)
    assert gate.cancelled == ["a"]
    assert desk.replies == [[1, REPLY_OK, "a"], [2, REPLY_OK, "b"]]
    await desk.stop()


async def test_a_handler_that_ends_its_own_caller_returns_before_it_is_cancelled():
    """It denies the peer, say: its task ends, and is not struck in whatever it does next."""

    async def work(body):
        desk.requests.retire()
        return body

    desk = Desk(work, limit=1)
    desk.put("a", "b")
    await turns(10)
    assert desk.replies == [[1, REPLY_OK, "a"]]
    assert desk.finished == [10]
    assert not desk.requests.busy
    await desk.stop()


async def test_stopping_while_a_cancellation_has_not_struck_yet():
    """The task ends, though it was asked to for two reasons."""

    async def work(_body):
        desk.requests.retire()
        asyncio.get_running_loop().call_soon(desk.requests.stop)

    desk = Desk(work, limit=1)
    desk.put("a")
    await turns(10)
    assert not desk.requests._crew._tasks
    await desk.stop()


async def test_a_cancel_for_a_call_that_is_over_is_ignored():
    """Nothing is cancelled for it; nor for one that was never made."""
    desk = Desk(echo)
    desk.put("a")
    await turns()
    desk.requests.cancel([1, 99])
    assert desk.counters["calls.cancelled"] == 0
    await desk.stop()


async def test_a_caller_that_is_gone_takes_its_requests_with_it():
    """Running ones are cancelled and queued ones dropped; no task is left for its next ones."""
    gate = Gate()
    desk = Desk(gate, limit=2)
    desk.put("a", "b", "c")
    desk.put("d", "e")
    await turns(20)
    desk.requests.retire()
    desk.mailbox.end(PeerRestarted("bob is gone"))
    await turns(20)
    assert gate.begun == gate.cancelled == ["a", "b"]
    assert len(desk.finished) == 2
    assert desk.counters["dropped.ended"] == 2
    assert not desk.requests.busy
    assert asyncio.all_tasks() == {asyncio.current_task()}
    await desk.stop()


@pytest.mark.parametrize(
    "item", [None, 7, [], [1, 2], [1, 2, 3, 4], ["1", 0, None], [1, None, None], [-1, 0, 0]]
)
async def test_what_is_no_request_is_dropped_and_counted(item):
    """The rest of the run is answered and the run finished."""
    desk = Desk(echo)
    desk.put(items=[item, [5, MINUTE_MS, "good"], item])
    await turns()
    assert desk.replies == [[5, REPLY_OK, "good"]]
    assert desk.counters["dropped.malformed"] == 2
    assert desk.finished == [10]
    desk.put(items=[item])
    assert desk.finished == [10, 11]
    await desk.stop()


@in_virtual_time
async def test_a_request_ends_when_its_caller_has_no_patience_left():
    """The caller's CANCEL may have found no room: its time runs out here too."""
    gate = Gate()
    desk = Desk(gate, limit=2)
    desk.put("a", "b", "c", timeout_ms=3000)
    desk.put("d", timeout_ms=1 << 60)
    await pass_time(2.5)
    assert gate.cancelled == []
    await pass_time(2.5)
    assert gate.cancelled == ["a", "b"]
    assert gate.begun == ["a", "b", "d"]
    gate.open.set()
    await pass_time(5)
    assert desk.replies == [[4, REPLY_OK, "d"]]
    assert desk.requests._sweeper is None
    desk.put("e", timeout_ms=0)
    await pass_time(5)
    assert desk.replies[-1] == [5, REPLY_OK, "e"]
    await desk.stop()


@in_virtual_time
async def test_nothing_is_swept_after_the_end():
    """No timer is left."""
    desk = Desk(Gate())
    desk.put("a", timeout_ms=0)
    await turns()
    await desk.stop()
    assert desk.requests._sweeper is None
    desk.requests.stop()


async def test_a_handler_sees_the_peer_as_it_is_called_now():
    """Its name and roles of today."""

    async def work(body, *, peer):
        return [body, peer.name, list(peer.roles)]

    desk = Desk(work)
    desk.mailbox.peer = Peer(desk.mailbox.peer.id, "robert", ("admin",))
    desk.put("a")
    await turns()
    assert desk.replies == [[1, REPLY_OK, ["a", "robert", ["admin"]]]]
    await desk.stop()


async def test_replies_wait_for_room_and_hold_their_slot():
    """A caller that reads nothing does not make us keep its replies without end."""
    desk = Desk(echo, limit=2)
    number = 0
    while desk.mailbox.outgoing.offer(3, str(number), b"\xf6") is not None:
        desk.mailbox.outgoing.close_batch()
        number += 1
    desk.put(1, 2, 3)
    await turns(50)
    assert desk.requests.busy
    assert len(desk.mailbox._lines) == 2
    desk.requests.cancel([1])
    desk.wire.send_closed(desk.delivery)
    desk.wire.arrive()
    await turns(50)
    assert [item for item in desk.replies if item] == [[2, REPLY_OK, 2], [3, REPLY_OK, 3]]
    assert not desk.requests.busy
    await desk.stop()


@pytest.fixture
def threads():
    """Two threads for plain functions."""
    with ThreadPoolExecutor(2) as pool:
        yield pool


async def test_plain_functions_answer_from_threads(threads):
    """What they raise is told, whatever it is: StopIteration cannot pass through a future."""

    def work(body):
        if body == "stop":
            return next(iter(()))
        if body == "cancelled":
            raise asyncio.CancelledError
        if body == "coroutine":
            return echo(body)
        return threading.current_thread() is threading.main_thread()

    desk = Desk(work, threads=threads)
    desk.put("a", "stop", "cancelled", "coroutine")
    await desk.until(lambda: desk.finished)
    replies = {item[0]: item[1:] for item in desk.replies}
    assert replies[1] == [REPLY_OK, False]
    assert replies[2] == [REPLY_FAILED, ["StopIteration", ""]]
    assert replies[3] == [REPLY_FAILED, ["CancelledError", ""]]
    assert replies[4][1][0] == "TypeError"
    await desk.stop()


async def test_a_function_that_blocks_stops_no_other(threads):
    """Another thread and the loop go on."""
    released = threading.Event()

    def work(body):
        if body == "block":
            assert released.wait(PATIENCE_SECONDS)
        return body

    desk = Desk(work, threads=threads)
    desk.put("block", "a", "b")
    await desk.until(lambda: len(desk.replies) == 2)
    assert sorted(item[2] for item in desk.replies) == ["a", "b"]
    released.set()
    await desk.until(lambda: desk.finished)
    await desk.stop()


@pytest.mark.parametrize("in_thread", [False, True])
def test_system_exit_ends_the_program(in_thread):
    """A handler that asks for the end of the program gets it."""

    async def leave(_body):
        raise SystemExit(7)

    def leave_in_thread(_body):
        raise SystemExit(7)

    async def program():
        with ThreadPoolExecutor(1) as pool:
            desk = Desk(leave_in_thread if in_thread else leave, threads=pool)
            desk.put("a")
            await desk.until(lambda: desk.finished)

    with pytest.raises(SystemExit):
        asyncio.run(program())
