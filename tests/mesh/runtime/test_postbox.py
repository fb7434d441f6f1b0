"""Postbox: direct messages queue in order, wait in one line for room, and leave together."""

import array
import asyncio

import pytest

from mailboxes import Wire, fill, settle, turns
from mesh.errors import (
    BufferFull,
    DeliveryFailed,
    InvalidMessage,
    MessageTooLarge,
    NodeClosed,
    PeerRestarted,
    WrongThread,
)
from mesh.limits import BULK_BYTES, BULK_FRAME_BYTES, FRAME_BUDGET_BYTES, MESSAGE_BUDGET_BYTES
from mesh.runtime.receipts import Standing
from mesh.wire.messages import REPLY, REPLY_OK, TELL

pytestmark = pytest.mark.usefixtures("quiet_loop")

WINDOW = 64 * 1024
LARGE = 40_000


async def begin(*coroutines):
    """Tasks that have come as far as they can."""
    tasks = [asyncio.create_task(coroutine) for coroutine in coroutines]
    await turns()
    return tasks


# -- bodies


@pytest.mark.parametrize(
    ("body", "arrives"),
    [
        (b"", b""),
        (b"abc", b"abc"),
        (bytearray(b"abc"), b"abc"),
        (memoryview(b"abc"), b"abc"),
        (memoryview(b"abcdef")[::2], b"ace"),
        (memoryview(array.array("H", [1, 2])), b"\x01\x00\x02\x00"),
        (bytearray(b"x" * BULK_BYTES), b"x" * BULK_BYTES),
        (memoryview(array.array("H", [1] * BULK_BYTES)), b"\x01\x00" * BULK_BYTES),
        ("text", "text"),
        (None, None),
        ({"a": [1, 2.5, None, b"x"]}, {"a": [1, 2.5, None, b"x"]}),
        ((1, 2), [1, 2]),
        ({"blob": b"x" * BULK_BYTES}, {"blob": b"x" * BULK_BYTES}),
    ],
)
async def test_bodies_that_can_be_sent(body, arrives):
    """Bytes of any kind arrive as bytes, values as values, both ways of sending alike."""
    wire = Wire()
    await wire.mailbox.tell("log", body)
    wire.mailbox.post("log", body)
    await turns()
    assert wire.sent == [(TELL, "log", arrives)] * 2


def released():
    """A view of nothing any more."""
    view = memoryview(b"abc")
    view.release()
    return view


@pytest.mark.parametrize("body", [object(), {1: 2}, {"a": {1}}, 1 << 64, "\ud800", released()])
async def test_an_invalid_body_raises_and_the_mailbox_goes_on(body):
    """Nothing of it is queued."""
    wire = Wire()
    with pytest.raises(InvalidMessage):
        await wire.mailbox.tell("log", body)
    with pytest.raises(InvalidMessage):
        wire.mailbox.post("log", body)
    with pytest.raises(InvalidMessage):
        await wire.mailbox.call("log", body, 5)
    assert not wire.outgoing.open_runs
    await wire.mailbox.tell("log", b"fine")
    assert wire.sent == [(TELL, "log", b"fine")]
    assert len(wire.mailbox.calls) == 0


@pytest.mark.parametrize("size", [8, BULK_BYTES])
async def test_a_body_changed_after_sending_is_not_changed_on_its_way(size):
    """What was said is said."""
    wire = Wire()
    blob, table = bytearray(b"a" * size), {"list": [b"a" * size]}
    await wire.mailbox.tell("log", b"first")
    await wire.mailbox.tell("log", blob)
    await wire.mailbox.tell("log", table)
    blob[:] = b"b" * size
    table["list"].append(2)
    await turns()
    assert wire.bodies() == [b"first", b"a" * size, {"list": [b"a" * size]}]


@pytest.mark.parametrize("size", [1024, 32 * 1024])
@pytest.mark.parametrize("kind", ["bytes", "text"])
async def test_the_largest_message_and_one_byte_more(size, kind):
    """The limit is that of the encoded body, small or in bulk; one more is refused."""
    wire = Wire(WINDOW, size)
    if kind == "bytes":
        fits, over = b"x" * size, b"x" * (size + 1)
    else:
        fits, over = "x" * (size - 3), "x" * (size - 2)
    await wire.mailbox.tell("log", fits)
    with pytest.raises(MessageTooLarge, match=str(size + 1)):
        await wire.mailbox.tell("log", over)
    with pytest.raises(MessageTooLarge):
        wire.mailbox.post("log", over)
    await settle(wire)
    assert wire.bodies() == [fits]


@pytest.mark.parametrize("size", [WINDOW // 4 + 1, WINDOW, 5 * WINDOW])
@pytest.mark.parametrize("kind", [bytes, str])
async def test_a_message_larger_than_the_window_does_not_wait_for_ever(size, kind):
    """It goes in chunks, by `tell` and by `post`, and all room returns."""
    wire = Wire(WINDOW, 6 * WINDOW)
    body = b"x" * size if kind is bytes else "x" * size
    receipts = [await wire.mailbox.tell("log", body), wire.mailbox.post("log", body)]
    await settle(wire)
    assert wire.bodies() == [body, body]
    assert {receipt.standing for receipt in receipts} == {Standing.HANDLED}
    assert all(receipt.of_messages for receipt in receipts)
    assert wire.assembly.promised_bytes == 0
    assert not wire.counters


# -- leaving together


async def test_an_idle_peer_gets_a_message_at_once():
    """Not at the end of the turn."""
    wire = Wire()
    wire.mailbox.post("log", b"now")
    assert wire.bodies() == [b"now"]


@pytest.mark.parametrize("way", ["tell", "post"])
async def test_many_messages_of_one_turn_make_few_frames(way):
    """They leave when the turn is over, together and in order."""
    wire = Wire()
    for number in range(1000):
        if way == "post":
            wire.mailbox.post("log", number)
        else:
            await wire.mailbox.tell("log", number)
    await turns()
    assert wire.bodies() == list(range(1000))
    assert len(wire.frames) <= 5
    assert not wire.outgoing.open_runs


async def test_tasks_of_one_turn_share_a_frame():
    """So do the messages of many tasks."""
    wire = Wire()
    await asyncio.gather(*(wire.mailbox.tell("log", number) for number in range(1000)))
    await turns()
    assert wire.bodies() == list(range(1000))
    assert len(wire.frames) <= 5


async def test_messages_of_one_frame_share_a_receipt():
    """And it is one that somebody holds."""
    wire = Wire()
    receipts = [await wire.mailbox.tell("log", number) for number in range(10)]
    assert len(set(map(id, receipts))) == 2
    assert all(receipt.of_messages for receipt in receipts)
    await turns()
    wire.handle()
    assert {receipt.standing for receipt in receipts} == {Standing.HANDLED}


@pytest.mark.parametrize("body", [b"x" * 1000, {"a": "x" * 1000}, b"x" * BULK_BYTES, "x" * 20_000])
async def test_a_tight_loop_leaves_turns_to_others(body):
    """A sender whose every await could return at once yields with each frame that is full."""
    wire = Wire()
    ticks = 0
    over = False

    async def tick():
        nonlocal ticks
        while not over:
            ticks += 1
            await asyncio.sleep(0)

    (ticker,) = await begin(tick())
    for _ in range(64):
        await wire.mailbox.tell("log", body)
        if wire.outgoing.credit.left(0) < 4 * FRAME_BUDGET_BYTES:
            wire.handle()
    over = True
    await ticker
    frame_bytes = BULK_FRAME_BYTES if len(body) >= BULK_BYTES else FRAME_BUDGET_BYTES
    assert ticks >= 64 * len(body) // frame_bytes


async def test_cancelled_while_yielding_a_message_still_leaves():
    """It was queued: it is sent, and does not lie about until something else is said."""
    wire = Wire()
    wire.mailbox.post("log", b"first")
    for _ in range(FRAME_BUDGET_BYTES // (10_000 + MESSAGE_BUDGET_BYTES)):
        wire.mailbox.post("log", b"y" * 10_000)
    sending = wire.mailbox.tell("log", b"z" * 10_000)
    sending.send(None)
    await turns()
    assert wire.outgoing.open_runs
    with pytest.raises(asyncio.CancelledError):
        sending.throw(asyncio.CancelledError)
    await turns()
    assert wire.bodies()[-1] == b"z" * 10_000
    assert not wire.outgoing.open_runs


# -- no room


async def test_who_finds_no_room_waits_in_line():
    """First come, first served, however small; then everybody goes on."""
    wire = Wire(WINDOW)
    await fill(wire)
    sizes = [16_000, 10, 15_000, 16_000, 15_000, 16_000, 5]
    tasks = await begin(*(wire.mailbox.tell("log", b"m" * size) for size in sizes))
    assert wire.bodies()[wire.filled :] == []
    for _ in sizes:
        wire.handle()
        await turns()
    receipts = await asyncio.gather(*tasks)
    assert [len(body) for body in wire.bodies()[wire.filled :]] == sizes
    wire.handle()
    assert {receipt.standing for receipt in receipts} == {Standing.HANDLED}


async def test_the_hot_path_is_closed_while_somebody_waits():
    """No message overtakes those in the line, not by the short way either."""
    wire = Wire(WINDOW)
    await fill(wire)
    (waiting,) = await begin(wire.mailbox.tell("log", b"m" * 5000))
    assert wire.outgoing.raw_subject is None
    with pytest.raises(BufferFull):
        wire.mailbox.post("log", b"")
    (behind,) = await begin(wire.mailbox.tell("log", b"n"))
    assert not behind.done()
    wire.handle()
    await asyncio.gather(waiting, behind)


async def test_post_never_waits():
    """It raises BufferFull, and finds room again when there is some."""
    wire = Wire(WINDOW)
    await fill(wire)
    with pytest.raises(BufferFull, match="'log' to bob"):
        wire.mailbox.post("log", b"m" * 5000)
    wire.handle()
    wire.mailbox.post("log", b"m" * 5000)
    await turns()
    assert len(wire.bodies()) == wire.filled + 1


async def test_another_thread_sends_nothing():
    """It is told how to; libzmq would end the process, and what is queued is nobody's to lock."""
    wire = Wire()
    for send in (
        lambda: wire.mailbox.post("log", b"m"),
        lambda: asyncio.run(wire.mailbox.tell("log", b"m")),
        lambda: asyncio.run(wire.mailbox.call("log", b"m", 5)),
    ):
        with pytest.raises(WrongThread, match="run_coroutine_threadsafe"):
            await asyncio.to_thread(send)
    await turns()
    assert wire.sent == []
    assert not len(wire.mailbox.calls)


async def test_who_is_cancelled_in_line_has_queued_nothing():
    """The others move up."""
    wire = Wire(WINDOW)
    await fill(wire)
    bodies = [bytes([number]) * 1500 for number in range(4)]
    tasks = await begin(*(wire.mailbox.tell("log", body) for body in bodies))
    for number in (0, 2):
        tasks[number].cancel()
    await turns()
    wire.handle()
    await turns()
    assert wire.bodies()[wire.filled :] == [bodies[1], bodies[3]]
    assert [task.cancelled() for task in tasks] == [True, False, True, False]
    await asyncio.gather(tasks[1], tasks[3])


async def test_the_line_moves_when_its_head_is_cancelled():
    """What stood behind a large message needs no news from the peer to find room."""
    wire = Wire(WINDOW)
    for _ in range(4):
        await wire.mailbox.tell("fill", b"f" * 13_500)
    large, small = await begin(
        wire.mailbox.tell("log", b"m" * 15_000), wire.mailbox.tell("log", b"n")
    )
    assert not small.done()
    large.cancel()
    await asyncio.wait_for(small, 10)
    await turns()
    assert wire.bodies()[4:] == [b"n"]


async def test_senders_with_timeouts_leave_nothing_in_line():
    """A stuck peer does not make us keep what nobody waits to send."""
    wire = Wire(WINDOW)
    await fill(wire)
    for _ in range(50):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0):
                await wire.mailbox.tell("log", b"m" * 5000)
    assert not wire.mailbox._lines
    wire.handle()
    await turns()
    assert len(wire.bodies()) == wire.filled


async def test_cancelled_after_finding_room_a_message_is_sent():
    """Whoever is cancelled in that very moment cannot take it back."""
    wire = Wire(WINDOW)
    await fill(wire)
    (task,) = await begin(wire.mailbox.tell("log", b"m" * 5000))
    wire.handle()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await turns()
    assert wire.bodies()[wire.filled :] == [b"m" * 5000]


async def test_sending_the_open_batch_may_make_the_room():
    """What a batch costs is known when it is closed, and is less than was feared."""
    wire = Wire(WINDOW)
    wire.mailbox.post("log", b"first")
    for _ in range(900):
        wire.mailbox.post("log", b"")
    (task,) = await begin(wire.mailbox.tell("log", b"m" * 7000))
    await asyncio.wait_for(task, 10)
    assert wire.bodies()[-1] == b"m" * 7000


async def test_the_peer_is_asked_for_room_by_the_first_in_line():
    """With nothing else to send, somebody has to find out that its answer was lost."""
    wire = Wire(WINDOW)
    await fill(wire)
    flushed = []
    wire.flush = flushed.append
    (task,) = await begin(wire.mailbox.tell("log", b"m" * 5000))
    assert flushed == [wire.delivery]
    assert wire.outgoing.starved
    task.cancel()


async def test_an_error_in_line_belongs_to_its_sender():
    """A subject that cannot be is found out late, and the line goes on."""
    wire = Wire(WINDOW)
    await fill(wire)
    first, bad, last = await begin(
        wire.mailbox.tell("log", b"m" * 5000),
        wire.mailbox.tell("\ud800", b"n"),
        wire.mailbox.tell("log", b"o"),
    )
    wire.handle()
    await asyncio.gather(first, last)
    with pytest.raises(InvalidMessage):
        await bad


async def test_a_reply_does_not_wait_behind_messages():
    """The peer's handlers may need it to make the room that the messages wait for."""
    wire = Wire(WINDOW)
    await fill(wire)
    (waiting,) = await begin(wire.mailbox.tell("log", b"m" * 5000))
    await asyncio.wait_for(wire.mailbox.reply("ask", 1, REPLY_OK, "answer"), 10)
    await turns()
    assert wire.bodies(REPLY) == [[1, REPLY_OK, "answer"]]
    assert not waiting.done()
    waiting.cancel()


# -- the end


async def test_drained_waits_until_all_is_acknowledged():
    """What is queued, on its way or in line."""
    wire = Wire(WINDOW)
    await wire.mailbox.drained()
    await fill(wire)
    first, second, told = await begin(
        wire.mailbox.drained(), wire.mailbox.drained(), wire.mailbox.tell("log", b"m" * 5000)
    )
    wire.arrive()
    await turns()
    assert not first.done()
    assert not second.done()
    wire.handle()
    await turns()
    assert not first.done()
    wire.arrive()
    await asyncio.gather(first, second, told)


async def test_the_end_of_the_peer_is_told_to_everybody_who_waits():
    """Those in line know that their message was never sent; so does who comes later."""
    wire = Wire(WINDOW)
    await fill(wire)
    in_line, cancelled, drained = await begin(
        wire.mailbox.tell("log", b"m" * 5000),
        wire.mailbox.tell("log", b"m" * 5000),
        wire.mailbox.drained(),
    )
    cancelled.cancel()
    wire.mailbox.end(PeerRestarted("bob: it has restarted", "unknown"))
    await drained
    for sending in (in_line, wire.mailbox.tell("log", b"late")):
        with pytest.raises(PeerRestarted) as raised:
            await sending
        assert raised.value.outcome == "not_delivered"
    with pytest.raises(DeliveryFailed):
        wire.mailbox.post("log", b"late")
    with pytest.raises(PeerRestarted):
        await wire.mailbox.reply("ask", 1, REPLY_OK, None)
    await wire.mailbox.drained()
    wire.mailbox.on_room()
    await turns()
    assert len(wire.bodies()) == wire.filled


async def test_the_end_of_the_node_is_told_as_such():
    """With the error that was given."""
    wire = Wire(WINDOW)
    await fill(wire)
    (in_line,) = await begin(wire.mailbox.tell("log", b"m" * 5000))
    wire.mailbox.end(NodeClosed("the node is closing"))
    with pytest.raises(NodeClosed):
        await in_line
    with pytest.raises(NodeClosed):
        await wire.mailbox.call("ask", None, 5)


async def test_the_line_survives_news_that_come_while_it_moves():
    """Sending may bring the next news of room before the first are dealt with."""
    wire = Wire(WINDOW)
    await fill(wire)
    bodies = [bytes([number]) * 2000 for number in range(8)]
    tasks = await begin(*(wire.mailbox.tell("log", body) for body in bodies))
    flush = wire.flush

    def flush_and_make_room(delivery):
        flush(delivery)
        wire.mailbox.on_room()

    wire.flush = flush_and_make_room
    wire.handle()
    await asyncio.gather(*tasks)
    await turns()
    assert wire.bodies()[wire.filled :] == bodies
