"""Messages and calls between two running nodes: what only the whole runtime can promise."""

import asyncio
import threading

import pytest

from mesh import CallFailed, CallTimeout, MessageTooLarge
from mesh.constants import DEPTH_MAX
from mesh.errors import BufferFull, DeliveryFailed, InvalidMessage, NodeClosed
from mesh.runtime import busy_poll
from nodes import Journal, Ticker, until
from pairs_of_nodes import Pair

pytestmark = pytest.mark.usefixtures("quiet_loop")

PATIENCE_SECONDS = 30
MINUTE_SECONDS = 60.0
TICKS = 5
MANY_BYTES = 4 << 30


@pytest.mark.parametrize("body", [b"x" * 64, {"n": 1}, b"x" * 65536, b"x" * (1 << 20)])
async def test_a_tight_loop_of_sends_lets_others_tick(body):
    """A sender that never waits for anything else does not stop the loop's timers."""
    pair = Pair()

    @pair.bob.on("log")
    async def log(_body): ...

    async with pair:
        ticker = Ticker(0.01)
        for _ in range(MANY_BYTES // 64):
            await pair.alice.send("bob", "log", body)
            if len(ticker.times) > TICKS:
                break
        else:
            pytest.fail("no tick")
        ticker.stop()


async def test_a_tight_loop_of_posts_lets_others_tick_when_it_waits():
    """`post` never waits: it says when it would have to, and one turn later there is room."""
    pair = Pair()

    @pair.bob.on("log")
    async def log(_body): ...

    async with pair:
        ticker = Ticker(0.01)
        full = 0
        while len(ticker.times) <= TICKS:
            try:
                pair.alice.post("bob", "log", b"x" * 1000)
            except BufferFull:
                full += 1
                await asyncio.sleep(0)
        assert full
        ticker.stop()


async def test_a_thousand_sends_of_one_turn_make_few_frames():
    """The far side receives them in order and in little more than one frame each 128 KiB."""
    pair = Pair()
    journal = Journal(pair.bob)
    async with pair:
        before = pair.bob.counters()["received.frames"]
        for number in range(1000):
            await pair.alice.send("bob", "log", number)
        assert await journal.until(1000) == list(range(1000))
        assert pair.bob.counters()["received.frames"] - before < 20


async def test_many_senders_and_little_room_keep_each_ones_order():
    """Some wait in line, some find room, nobody overtakes himself."""
    pair = Pair(window_bytes=64 * 1024, max_message_bytes=32 * 1024)
    journal = Journal(pair.bob)

    async def send(sender):
        for number in range(100):
            size = (number * 797) % 6000
            await pair.alice.send("bob", "log", {"from": sender, "n": number, "x": b"x" * size})

    async with pair:
        await asyncio.gather(*(send(sender) for sender in range(10)))
        bodies = await journal.until(1000)
        for sender in range(10):
            numbers = [body["n"] for body in bodies if body["from"] == sender]
            assert numbers == list(range(100))


async def test_messages_of_exactly_the_largest_size_arrive():
    """Bytes in bulk, text, requests and replies, and each one byte more is refused."""
    limit = 64 * 1024
    pair = Pair(max_message_bytes=limit)
    journal = Journal(pair.bob)

    @pair.bob.serve("echo")
    async def echo(body):
        return body

    @pair.bob.serve("make")
    async def make(size):
        return b"x" * size

    async with pair:
        await pair.alice.send("bob", "log", b"x" * limit)
        await pair.alice.send("bob", "log", "x" * (limit - 3))
        assert [len(body) for body in await journal.until(2)] == [limit, limit - 3]
        for over in (b"x" * (limit + 1), "x" * (limit - 2)):
            with pytest.raises(MessageTooLarge):
                await pair.alice.send("bob", "log", over)
        assert await pair.alice.call("bob", "echo", b"x" * limit) == b"x" * limit
        assert len(await pair.alice.call("bob", "make", limit)) == limit
        with pytest.raises(CallFailed, match="cannot be carried"):
            await pair.alice.call("bob", "make", limit + 1)
        with pytest.raises(MessageTooLarge):
            await pair.alice.call("bob", "echo", b"x" * (limit + 1))
        assert await pair.alice.call("bob", "echo", "still fine") == "still fine"


async def test_a_handler_may_call_its_caller_back():
    """To the last depth; the call that goes deeper is denied to the handler that makes it."""
    pair = Pair()

    def count_down(node, other):
        @node.serve("count")
        async def count(n):
            return [n, *(await node.call(other, "count", n - 1) if n else [])]

    count_down(pair.alice, "bob")
    count_down(pair.bob, "alice")
    async with pair:
        deepest = list(range(DEPTH_MAX, -1, -1))
        assert await pair.alice.call("bob", "count", DEPTH_MAX) == deepest
        with pytest.raises(CallFailed, match="Denied"):
            await pair.alice.call("bob", "count", DEPTH_MAX + 1)
        assert await pair.alice.call("bob", "count", DEPTH_MAX) == deepest


async def test_a_message_handler_may_wait_for_the_node_that_floods_it():
    """Its reply does not stand in line behind the messages that wait for the handler."""
    pair = Pair(window_bytes=64 * 1024, max_message_bytes=32 * 1024)
    seen = []

    @pair.alice.serve("ask")
    async def ask(body):
        return body + 1

    @pair.bob.on("log")
    async def log(body):
        seen.append(await pair.bob.call("alice", "ask", body["n"], timeout=PATIENCE_SECONDS))

    async with pair:
        for number in range(40):
            await pair.alice.send("bob", "log", {"n": number, "x": b"x" * 9000})
        await until(lambda: len(seen) == 40)
        assert seen == list(range(1, 41))


@pytest.mark.parametrize("how", ["cancel", "timeout", "close"])
async def test_nobody_works_for_a_caller_who_is_not_waiting(how):
    """A cancelled call, one that timed out and a caller that is gone cancel the handler."""
    pair = Pair(close_timeout_seconds=0.5)
    begun, cancelled = asyncio.Event(), asyncio.Event()

    @pair.bob.serve("hang")
    async def hang(_body):
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    async with pair:
        call = asyncio.create_task(
            pair.alice.call("bob", "hang", timeout=0.2 if how == "timeout" else PATIENCE_SECONDS)
        )
        await asyncio.wait_for(begun.wait(), PATIENCE_SECONDS)
        if how == "cancel":
            call.cancel()
        elif how == "close":
            await pair.alice.close()
        await asyncio.wait_for(cancelled.wait(), PATIENCE_SECONDS)
        with pytest.raises((asyncio.CancelledError, CallTimeout, NodeClosed, DeliveryFailed)):
            await call


async def test_both_sides_of_a_conversation_wait_awake(monkeypatch):
    """Calls one after the other; and a node that closes meanwhile is not held up by that."""
    monkeypatch.setattr(busy_poll, "NEAR_SECONDS", MINUTE_SECONDS)
    pair = Pair()

    @pair.bob.serve("echo")
    async def echo(body):
        return body

    async with pair:
        polls = [node.running.pump.busy_poll for node in (pair.alice, pair.bob)]
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not all(poll.in_conversation for poll in polls):
                assert await pair.alice.call("bob", "echo", 1) == 1
    assert not any(poll.in_conversation for poll in polls)


async def test_more_calls_than_run_at_a_time_are_all_answered():
    """Those over the limit wait for their turn."""
    pair = Pair(max_concurrent_calls=8)
    at_work = most = 0

    @pair.bob.serve("work")
    async def work(body):
        nonlocal at_work, most
        at_work += 1
        most = max(most, at_work)
        await asyncio.sleep(0)
        at_work -= 1
        return body

    async with pair:
        calls = [pair.alice.call("bob", "work", number) for number in range(600)]
        assert await asyncio.gather(*calls) == list(range(600))
        assert most == 8


async def test_closing_is_not_held_up_by_handlers_that_hang():
    """In the loop or in a thread; whoever waits for them is told, and no task is left."""
    pair = Pair(close_timeout_seconds=0.3)
    released = threading.Event()

    @pair.bob.serve("hang")
    @pair.bob.on("hang")
    async def hang(_body):
        await asyncio.Event().wait()

    @pair.bob.serve("block")
    def block(_body):
        released.wait(PATIENCE_SECONDS)

    async with pair:
        calls = [
            asyncio.create_task(pair.alice.call("bob", subject, timeout=PATIENCE_SECONDS))
            for subject in ("hang", "block")
        ]
        receipt = await pair.alice.send("bob", "hang", None)
        await receipt.delivered()
        handled = asyncio.create_task(receipt.handled())
        await pair.bob.close()
        for waiting in (*calls, handled):
            with pytest.raises(DeliveryFailed):
                await asyncio.wait_for(waiting, PATIENCE_SECONDS)
        released.set()


async def test_a_handler_may_close_its_own_node():
    """It is waited for like any other, until the time is up; the close then ends well."""
    pair = Pair(close_timeout_seconds=0.3)
    closed = asyncio.Event()

    @pair.bob.on("close")
    async def close(_body):
        await pair.bob.close()
        closed.set()

    async with pair:
        await pair.alice.send("bob", "close", None)
        await asyncio.wait_for(closed.wait(), PATIENCE_SECONDS)
        with pytest.raises(NodeClosed):
            pair.bob.endpoints  # noqa: B018  the property itself is what raises


async def test_replies_of_a_peer_that_lies_do_not_end_the_session():
    """Nonsense in the place of a reply or a call to cancel is dropped; good replies still come."""
    pair = Pair()

    @pair.bob.serve("echo")
    async def echo(body):
        return body

    async with pair:
        mailbox = pair.bob.running.dispatch.mailboxes[pair.alice.id]
        for call_id in (99, 2**63, 0):
            await mailbox.reply("", call_id, 77, {"odd": True})
        mailbox.outgoing.offer(3, "", b"\x82\x01\x02")
        mailbox.outgoing.offer(3, "", b"\xf6")
        mailbox.outgoing.offer(4, "", b"\x20")
        assert await pair.alice.call("bob", "echo", 1) == 1
        await until(lambda: pair.alice.counters().get("dropped.malformed") == 3)


@pytest.mark.parametrize("first", [{"a": 1}, b"raw", b"x" * 20_000])
@pytest.mark.parametrize("second", [b"bytes", {"a": 2}])
async def test_no_subject_joins_no_open_run(first, second):
    """None stands for a closed hot path, and is no subject; what is queued arrives as it was."""
    pair = Pair()
    journal = Journal(pair.bob)
    async with pair:
        await (await pair.alice.send("bob", "log", b"not idle")).handled()
        for body in (first, first):
            receipt = await pair.alice.send("bob", "log", body)
            with pytest.raises(InvalidMessage):
                await pair.alice.send("bob", None, second)
        await receipt.handled()
        assert journal.bodies == [b"not idle", first, first]
