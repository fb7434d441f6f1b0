"""Postbox and mailbox with large messages: who waits for them, who goes by, and how they end."""

import asyncio
from random import Random

import pytest

from mailboxes import Wire, fill, settle, turns
from mesh.constants import LARGE_PER_CLASS
from mesh.errors import BufferFull, CallTimeout, DeliveryFailed, PeerRestarted
from mesh.runtime import nesting
from mesh.runtime.receipts import Standing
from mesh.wire.messages import CANCEL, REPLY, REPLY_OK, REQUEST, TELL, request_kind
from virtual_time import in_virtual_time, pass_time

pytestmark = pytest.mark.usefixtures("quiet_loop")

WINDOW = 64 * 1024
LARGE = b"L" * 40_000


async def begin(*coroutines):
    """Tasks that have come as far as they can."""
    tasks = [asyncio.create_task(coroutine) for coroutine in coroutines]
    await turns()
    return tasks


@pytest.fixture
async def wire():
    """A peer with the smallest window that takes messages larger than that."""
    return Wire(WINDOW, 4 * WINDOW)


async def test_small_ones_of_its_subject_wait_and_others_go_by(wire):
    """Until the last chunk has its place; in their order, whatever their size."""
    mailbox = wire.mailbox
    large = await mailbox.tell("log", LARGE)
    waiting = await begin(*(mailbox.tell("log", b"s" * size) for size in (1, 15_000, 20_000, 2)))
    await mailbox.tell("other", b"goes by")
    with pytest.raises(BufferFull):
        mailbox.post("log", b"now")
    mailbox.post("other", b"goes by too")
    await mailbox.reply("ask", 1, REPLY_OK, None)
    (call,) = await begin(mailbox.call("log", "asks", 5))
    assert not any(task.done() for task in waiting)
    assert wire.bodies() == [b"goes by", b"goes by too"]
    assert len(wire.bodies(REQUEST)) == len(wire.bodies(REPLY)) == 1
    await settle(wire)
    receipts = await asyncio.gather(*waiting)
    log = [len(body) for kind, subject, body in wire.sent if (kind, subject) == (TELL, "log")]
    assert log == [len(LARGE), 1, 15_000, 20_000, 2]
    assert {receipt.standing for receipt in (large, *receipts)} == {Standing.HANDLED}
    call.cancel()


async def test_cancelled_behind_a_large_message_nothing_was_queued(wire):
    """The others keep their order."""
    await wire.mailbox.tell("log", LARGE)
    tasks = await begin(*(wire.mailbox.tell("log", b"%d" % number) for number in range(4)))
    for number in (0, 2):
        tasks[number].cancel()
    await turns()
    await settle(wire)
    assert wire.bodies() == [LARGE, b"1", b"3"]
    assert [task.cancelled() for task in tasks] == [True, False, True, False]


async def test_large_ones_wait_for_a_place_and_block_nobody(wire):
    """Not even in a window that is full are small ones of other subjects behind them."""
    mailbox = wire.mailbox
    for number in range(LARGE_PER_CLASS):
        await mailbox.tell(f"s{number}", LARGE)
    told, asked, inside = await begin(
        mailbox.tell("log", LARGE), mailbox.call("ask", LARGE, 5), mailbox.tell("log", b"behind")
    )
    with pytest.raises(BufferFull):
        mailbox.post("log", LARGE)
    await mailbox.tell("other", b"goes by")
    assert not any(task.done() for task in (told, inside))
    await settle(wire)
    await asyncio.gather(told, inside)
    assert [len(body) for body in wire.bodies()[-2:]] in ([40_000, 6], [6, 40_000])
    log = [len(body) for _, subject, body in wire.sent if subject == "log"]
    assert log == [40_000, 6]
    assert len(wire.bodies(REQUEST)) == 1
    asked.cancel()


async def test_calls_of_each_depth_have_room_of_their_own(wire):
    """Those inside of handlers leave while nothing outside of them finds any."""
    await fill(wire)
    (outside,) = await begin(wire.mailbox.call("ask", b"x" * 2000, 5))

    async def inside(depth):
        nesting.begin(depth)
        return await wire.mailbox.call("ask", b"x" * 2000, 5)

    calls = await begin(*(inside(depth) for depth in range(4)))
    assert wire.bodies(REQUEST) == []
    assert [len(wire.bodies(request_kind(depth))) for depth in range(1, 5)] == [1] * 4
    for task in (outside, *calls):
        task.cancel()
    await asyncio.gather(outside, *calls, return_exceptions=True)


@pytest.mark.parametrize("steps", [0, 1])
@in_virtual_time
async def test_a_large_call_that_is_given_up_is_abandoned(steps):
    """Before its grant or with chunks under way; the peer need not be told to cancel it."""
    wire = Wire(WINDOW, 64 * WINDOW)
    (call,) = await begin(wire.mailbox.call("ask", b"x" * (32 * WINDOW), 3))
    for _ in range(steps):
        wire.arrive()
    await pass_time(4)
    with pytest.raises(CallTimeout, match="no reply"):
        await call
    await turns()
    assert wire.abandoned == 1
    assert wire.bodies(CANCEL) == []
    assert wire.assembly.promised_bytes == 0
    await settle(wire)
    assert wire.bodies(REQUEST) == []


async def test_a_large_call_that_has_left_is_cancelled(wire):
    """Its handler is at it."""
    (call,) = await begin(wire.mailbox.call("ask", LARGE, 5))
    await settle(wire)
    assert len(wire.bodies(REQUEST)) == 1
    call.cancel()
    await turns()
    assert wire.abandoned == 0
    assert wire.bodies(CANCEL) == [1]


async def test_a_large_call_given_up_without_a_place_has_queued_nothing(wire):
    """Those behind it move up."""
    calls = await begin(*(wire.mailbox.call("ask", LARGE, 5) for _ in range(LARGE_PER_CLASS + 2)))
    calls[LARGE_PER_CLASS].cancel()
    await turns()
    await settle(wire)
    assert [item[0] for item in wire.bodies(REQUEST)] == [1, 2, 3, 4, 6]
    assert wire.abandoned == 0
    for call in calls:
        call.cancel()
    await asyncio.gather(*calls, return_exceptions=True)


async def test_drained_waits_for_the_last_chunk(wire):
    """And for those that stand behind it."""
    await wire.mailbox.tell("log", LARGE)
    told, drained = await begin(wire.mailbox.tell("log", b"behind"), wire.mailbox.drained())
    wire.arrive()
    await turns()
    assert not drained.done()
    await settle(wire)
    await asyncio.wait_for(drained, 10)
    await told
    assert wire.bodies() == [LARGE, b"behind"]


async def test_after_a_large_call_was_abandoned_all_is_drained(wire):
    """Nothing of it is left to wait for."""
    (call,) = await begin(wire.mailbox.call("ask", LARGE, 5))
    (drained,) = await begin(wire.mailbox.drained())
    call.cancel()
    await turns()
    await settle(wire)
    await asyncio.wait_for(drained, 10)


async def test_the_end_of_the_peer_is_told_to_everybody_behind_a_large_message(wire):
    """In lines of subjects and of those without a place; nothing was delivered of theirs."""
    mailbox = wire.mailbox
    for number in range(LARGE_PER_CLASS):
        await mailbox.tell(f"s{number}", LARGE)
    tasks = await begin(
        mailbox.tell("s0", b"behind"), mailbox.tell("s9", LARGE), mailbox.call("ask", LARGE, 5)
    )
    mailbox.end(PeerRestarted("bob: it has restarted", "unknown"))
    for task in tasks:
        with pytest.raises(DeliveryFailed) as raised:
            await task
        assert raised.value.outcome == "not_delivered"
    await mailbox.drained()


async def test_a_body_changed_after_sending_is_not_changed_in_its_chunks(wire):
    """What was said is said, though most of it has not left."""
    body = bytearray(LARGE)
    await wire.mailbox.tell("log", body)
    body[:] = b"?" * len(body)
    await settle(wire)
    assert wire.bodies() == [LARGE]


async def test_cancelled_by_the_very_news_its_message_leaves_with(wire):
    """It is sent, and those behind it go on."""
    await fill(wire)
    first, second = await begin(
        wire.mailbox.tell("log", b"1" * 2000), wire.mailbox.tell("log", b"2" * 15_000)
    )
    flush, send_closed = wire.flush, wire.send_closed

    def cancel_and(do):
        def both(delivery):
            if wire.outgoing.open_runs or wire.outgoing.unsent:
                first.cancel()
            do(delivery)

        return both

    wire.flush, wire.send_closed = cancel_and(flush), cancel_and(send_closed)
    wire.handle()
    await asyncio.wait_for(second, 10)
    await turns()
    assert wire.bodies()[wire.filled :] == [b"1" * 2000, b"2" * 15_000]
    assert first.cancelled()
    assert not wire.mailbox._lines


@pytest.mark.parametrize("seed", range(30))
async def test_whatever_the_order_of_news_each_subject_keeps_its_own(wire, seed):
    """Messages of all sizes, some cancelled, and every flush brings news of room in the midst.

    Those that were not cancelled in a line arrive once, in the order in which they were told.
    """
    random = Random(seed)
    flush, sent = wire.flush, []

    def flush_and_make_room(delivery):
        flush(delivery)
        if random.random() < 0.5:
            wire.mailbox.on_room()

    wire.flush = flush_and_make_room
    for number in range(50):
        size = random.choice([8, 8, 3000, 15_000, 20_000, 60_000])
        subject = random.choice("ab")
        body = b"%08d" % number + bytes(size - 8)
        sent.append((subject, body, asyncio.create_task(wire.mailbox.tell(subject, body))))
        if random.random() < 0.7:
            await turns(1)
        if random.random() < 0.2:
            random.choice(sent)[2].cancel()
        if random.random() < 0.2:
            random.choice([wire.arrive, wire.handle])()
    await settle(wire)
    await asyncio.gather(*(task for _, _, task in sent), return_exceptions=True)
    for subject in "ab":
        told = [body for of, body, _ in sent if of == subject]
        arrived = [message.body for message in wire.sent if message.subject == subject]
        wanted = [body for of, body, task in sent if of == subject and not task.cancelled()]
        assert arrived == [body for body in told if body in arrived]
        assert [body for body in wanted if body not in arrived] == []
    assert not wire.mailbox._lines
    assert wire.assembly.promised_bytes == 0
    assert not wire.counters


async def test_replies_that_wait_for_a_place_are_counted(wire):
    """Whoever makes more of them waits, until the peer takes some."""
    mailbox = wire.mailbox
    wire.outgoing.kept_bytes = 50_000
    replies = await begin(
        *(mailbox.reply("ask", n, REPLY_OK, LARGE) for n in range(LARGE_PER_CLASS + 2))
    )
    (watching,) = await begin(mailbox.few_replies_wait())
    assert not watching.done()
    await settle(wire)
    await asyncio.wait_for(watching, 10)
    await asyncio.gather(*replies)
    assert len(wire.bodies(REPLY)) == LARGE_PER_CLASS + 2
