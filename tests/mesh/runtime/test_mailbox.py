"""Calls of a mailbox: each ends once, by its reply, its time, its caller or the peer's end."""

import asyncio
import math

import pytest

from mailboxes import Wire, fill, turns
from mesh.errors import (
    BufferFull,
    CallFailed,
    CallTimeout,
    Denied,
    MeshError,
    MessageTooLarge,
    NoHandler,
    PeerRestarted,
)
from mesh.limits import BULK_BYTES
from mesh.runtime import mailbox as mailbox_module
from mesh.wire.messages import (
    CANCEL,
    REPLY,
    REPLY_CANCELLED,
    REPLY_DENIED,
    REPLY_FAILED,
    REPLY_NO_HANDLER,
    REPLY_NOT_CARRIED,
    REPLY_OK,
    REQUEST,
)
from virtual_time import in_virtual_time, pass_time

pytestmark = pytest.mark.usefixtures("quiet_loop")

WINDOW = 64 * 1024


async def begin(*coroutines):
    """Tasks that have come as far as they can."""
    tasks = [asyncio.create_task(coroutine) for coroutine in coroutines]
    await turns()
    return tasks


async def test_a_call_returns_its_reply():
    """Whatever the order in which replies come."""
    wire = Wire()
    first, second = await begin(
        wire.mailbox.call("ask", {"n": 1}, 5), wire.mailbox.call("ask", b"2", 2.5)
    )
    assert wire.bodies(REQUEST) == [[1, 5001, {"n": 1}], [2, 2501, b"2"]]
    assert wire.mailbox.on_replies([[2, REPLY_OK, "two"], [1, REPLY_OK, "one"]]) == 0
    assert await asyncio.gather(first, second) == ["one", "two"]
    assert len(wire.mailbox.calls) == 0


async def test_calls_that_wait_are_counted_however_they_end():
    """For as long as one waits, little else is under way beside it."""
    wire = Wire()
    answered, cancelled, late = await begin(
        *(wire.mailbox.call("ask", number, 0.05 if number == 3 else 5) for number in (1, 2, 3))
    )
    assert wire.outgoing.asked == {1, 2, 3}
    wire.mailbox.on_replies([[1, REPLY_OK, None]])
    cancelled.cancel()
    await asyncio.gather(answered, cancelled, late, return_exceptions=True)
    assert wire.outgoing.asked == set()


async def test_a_lone_call_expects_its_reply_at_once():
    """One beside others does not: there is other traffic."""
    wire = Wire()
    (first,) = await begin(wire.mailbox.call("ask", 1, 5))
    assert wire.expected == 1
    (second,) = await begin(wire.mailbox.call("ask", 2, 5))
    assert wire.expected == 1
    wire.mailbox.on_replies([[1, REPLY_OK, None], [2, REPLY_OK, None]])
    await asyncio.gather(first, second)
    (third,) = await begin(wire.mailbox.call("ask", 3, 5))
    assert wire.expected == 2
    third.cancel()


async def test_a_call_without_room_waits_for_no_reply_yet():
    """It slows nobody down who stands in the line before it, and counts once it has left."""
    wire = Wire(WINDOW)
    await fill(wire)
    (call,) = await begin(wire.mailbox.call("ask", b"x" * 2000, 5))
    assert wire.outgoing.asked == set()
    wire.handle()
    await turns()
    assert wire.outgoing.asked == {1}
    call.cancel()
    await turns()
    assert wire.outgoing.asked == set()


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
async def test_large_bytes_travel_beside_the_array(kind):
    """A request's body and a reply's, of any kind of bytes."""
    wire = Wire()
    body = b"x" * BULK_BYTES
    (call,) = await begin(wire.mailbox.call("ask", kind(body), 5))
    await wire.mailbox.reply("other", 7, REPLY_OK, kind(body))
    await turns()
    assert wire.bodies(REQUEST) == [[1, 5001, body]]
    assert wire.bodies(REPLY) == [[7, REPLY_OK, body]]
    assert wire.outgoing.unacknowledged[1].bulk == body
    call.cancel()


@pytest.mark.parametrize("kind", [bytes, str])
async def test_a_request_counts_with_its_number_and_time(kind):
    """What is limited is what is encoded; a request too large is refused at the caller."""
    wire = Wire(WINDOW, 4096)
    body = kind(b"x" * 4000) if kind is bytes else "x" * 4000
    (call,) = await begin(wire.mailbox.call("ask", body, 5))
    assert not call.done()
    for size in (4095, BULK_BYTES):
        with pytest.raises(MessageTooLarge):
            await wire.mailbox.call("ask", kind(b"x" * size) if kind is bytes else "x" * size, 5)
    assert len(wire.bodies(REQUEST)) == 1
    call.cancel()


@pytest.mark.parametrize(
    ("status", "body", "error"),
    [
        (REPLY_FAILED, ["ValueError", "bad"], CallFailed),
        (REPLY_FAILED, "nonsense", CallFailed),
        (REPLY_NO_HANDLER, None, NoHandler),
        (REPLY_DENIED, None, Denied),
        (REPLY_CANCELLED, None, CallFailed),
        (REPLY_NOT_CARRIED, "too large", CallFailed),
        (99, {"what": "ever"}, CallFailed),
    ],
)
async def test_other_replies_raise_what_they_stand_for(status, body, error):
    """Unknown ones too."""
    wire = Wire()
    (call,) = await begin(wire.mailbox.call("ask", None, 5))
    wire.mailbox.on_replies([[1, status, body]])
    with pytest.raises(error):
        await call
    assert wire.bodies(CANCEL) == []


async def test_replies_of_a_lying_peer_cost_nothing_but_themselves():
    """Malformed ones are counted, unknown and repeated ones ignored, good ones heard."""
    wire = Wire()
    first, second = await begin(wire.mailbox.call("a", 1, 5), wire.mailbox.call("b", 2, 5))
    lies = [None, [], [1], [1, "0", 0], [-1, 0, 0], ["1", 0, 0], {}, [True, 0, 0]]
    good = [[1, REPLY_OK, "one"], [1, REPLY_OK, "again"], [99, REPLY_OK, "?"], [2, REPLY_OK, 2]]
    assert wire.mailbox.on_replies([*lies, *good]) == len(lies)
    assert await asyncio.gather(first, second) == ["one", 2]


@in_virtual_time
async def test_a_call_times_out_and_the_far_side_is_told():
    """A reply that comes after that is ignored."""
    wire = Wire()
    (call,) = await begin(wire.mailbox.call("ask", None, 3))
    await pass_time(2.9)
    assert not call.done()
    await pass_time(0.2)
    with pytest.raises(CallTimeout, match="no reply to 'ask' from bob within 3 s"):
        await call
    assert wire.bodies(CANCEL) == [1]
    wire.mailbox.on_replies([[1, REPLY_OK, "late"]])
    assert len(wire.mailbox.calls) == 0


async def test_a_reply_in_the_moment_the_time_is_up_counts():
    """Whichever is first."""
    wire = Wire()
    (call,) = await begin(wire.mailbox.call("ask", None, 5))
    wire.mailbox.on_replies([[1, REPLY_OK, "just in time"]])
    wire.mailbox._expire(1)
    assert await call == "just in time"


@in_virtual_time
async def test_each_call_has_a_time_of_its_own():
    """A short one behind a long one ends first."""
    wire = Wire()
    long, short = await begin(wire.mailbox.call("a", 1, 60), wire.mailbox.call("b", 2, 0.5))
    await pass_time(1)
    assert isinstance(short.exception(), TimeoutError)
    assert not long.done()
    await pass_time(60)
    assert isinstance(long.exception(), CallTimeout)


@pytest.mark.parametrize("timeout", [0, -1, -math.inf, math.nan])
async def test_no_time_is_a_timeout_at_once(timeout):
    """And nothing is sent."""
    wire = Wire()
    with pytest.raises(CallTimeout):
        await wire.mailbox.call("ask", None, timeout)
    assert wire.sent == []


@pytest.mark.parametrize("timeout", [math.inf, 1e300, 10**30])
async def test_endless_patience_can_be_carried(timeout):
    """The wire has a number for it."""
    wire = Wire()
    (call,) = await begin(wire.mailbox.call("ask", None, timeout))
    assert wire.bodies(REQUEST) == [[1, 10**12 + 1, None]]
    wire.mailbox.on_replies([[1, REPLY_OK, "at last"]])
    assert await call == "at last"


async def test_a_cancelled_call_tells_the_far_side():
    """The handler there need not go on."""
    wire = Wire()
    (call,) = await begin(wire.mailbox.call("ask", None, 5))
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    await turns()
    assert wire.bodies(CANCEL) == [1]
    wire.mailbox.on_replies([[1, REPLY_OK, "late"]])


async def test_a_call_cancelled_with_its_reply_there_is_cancelled():
    """And leaves nothing behind."""
    wire = Wire()
    (call,) = await begin(wire.mailbox.call("ask", None, 5))
    call.cancel()
    wire.mailbox.on_replies([[1, REPLY_OK, "reply"]])
    with pytest.raises(asyncio.CancelledError):
        await call
    assert len(wire.mailbox.calls) == 0


async def test_a_call_waits_in_line_for_room():
    """Behind the messages that came before it."""
    wire = Wire(WINDOW)
    await fill(wire)
    told, call, later = await begin(
        wire.mailbox.tell("log", b"m" * 2000),
        wire.mailbox.call("ask", "a", 5),
        wire.mailbox.tell("log", b"n"),
    )
    wire.handle()
    await asyncio.gather(told, later)
    await turns()
    assert [message.subject for message in wire.sent[wire.filled :]] == ["log", "ask", "log"]
    wire.mailbox.on_replies([[1, REPLY_OK, "reply"]])
    assert await call == "reply"


@in_virtual_time
async def test_a_call_times_out_in_line():
    """It says that there was no room; nothing was sent, so nothing is cancelled."""
    wire = Wire(WINDOW)
    await fill(wire)
    (call,) = await begin(wire.mailbox.call("ask", "a" * 600, 3))
    await pass_time(4)
    with pytest.raises(CallTimeout, match="no room at bob for the request to 'ask' within 3 s"):
        await call
    wire.handle()
    await turns()
    assert wire.bodies(REQUEST) == wire.bodies(CANCEL) == []


async def test_a_call_cancelled_in_line_has_queued_nothing():
    """Neither the request nor news of its end."""
    wire = Wire(WINDOW)
    await fill(wire)
    call, behind = await begin(
        wire.mailbox.call("ask", "a" * 600, 5), wire.mailbox.tell("log", b"n" * 600)
    )
    call.cancel()
    await turns()
    wire.handle()
    await behind
    await turns()
    assert wire.bodies(REQUEST) == wire.bodies(CANCEL) == []


async def test_no_more_calls_wait_than_there_is_room_for_their_replies(monkeypatch):
    """One over the limit is refused at once, and one may follow when one has ended."""
    monkeypatch.setattr("mesh.exchange.calls.CALLS_PER_PEER", 100)
    wire = Wire()
    calls = await begin(*(wire.mailbox.call("ask", None, 5) for _ in range(100)))
    with pytest.raises(BufferFull):
        await wire.mailbox.call("ask", None, 5)
    wire.mailbox.on_replies([[50, REPLY_OK, None]])
    await turns()
    (another,) = await begin(wire.mailbox.call("ask", None, 5))
    assert not another.done()
    wire.mailbox.end(PeerRestarted("gone"))
    await asyncio.gather(*calls, another, return_exceptions=True)


async def test_the_end_of_the_peer_ends_every_call():
    """What was asked may have been done; what stood in line was surely not."""
    wire = Wire(WINDOW)
    (asked,) = await begin(wire.mailbox.call("ask", None, 5))
    await fill(wire)
    in_line, cancelled = await begin(
        wire.mailbox.call("ask", "a" * 600, 5), wire.mailbox.call("ask", "a" * 600, 5)
    )
    cancelled.cancel()
    asked_and_cancelled = asyncio.create_task(wire.mailbox.call("ask", None, 5))
    wire.mailbox.end(PeerRestarted("bob: it has restarted", "unknown"))
    for call, outcome in (
        (asked, "unknown"),
        (in_line, "not_delivered"),
        (asked_and_cancelled, "not_delivered"),
    ):
        with pytest.raises(PeerRestarted) as raised:
            await call
        assert raised.value.outcome == outcome
    with pytest.raises(PeerRestarted):
        await wire.mailbox.call("ask", None, 5)
    assert wire.bodies(CANCEL) == []
    assert wire.mailbox._timeouts._timer is None


async def test_a_call_whose_task_is_cancelled_as_the_peer_ends():
    """Neither is lost."""
    wire = Wire()
    (call,) = await begin(wire.mailbox.call("ask", None, 5))
    wire.mailbox.end(PeerRestarted("gone"))
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call


async def test_why_a_reply_is_not_carried_can_always_be_carried():
    """However long and odd the reason, and however small the peer's limit."""

    class Odd:
        """Its name is no text."""

    Odd.__qualname__ = "\ud800" * 3000
    wire = Wire(WINDOW, 1024)
    await wire.mailbox.reply("ask", 1, REPLY_OK, Odd())
    ((call_id, status, text),) = wire.bodies(REPLY)
    assert (call_id, status) == (1, REPLY_NOT_CARRIED)
    assert len(text.encode()) <= mailbox_module._WHY_NOT_CARRIED_MAX_BYTES


async def test_a_reply_that_cannot_even_be_explained_is_an_error():
    """A peer whose limit is nothing gets nothing."""
    wire = Wire(WINDOW, 10)
    with pytest.raises(MeshError):
        await wire.mailbox.reply("ask", 1, REPLY_OK, "x" * 100)


@pytest.mark.parametrize("ends", [True, False])
async def test_whoever_makes_replies_waits_while_too_many_do(ends):
    """Until the peer takes some, or is gone; few of them stop nobody."""
    wire = Wire()
    mailbox, outgoing = wire.mailbox, wire.outgoing
    outgoing.kept_bytes = 50_000
    await mailbox.few_replies_wait()
    replies = await begin(*(mailbox.reply("ask", n, 0, b"r" * 30_000) for n in range(1, 5)))
    (watching,) = await begin(mailbox.few_replies_wait())
    assert not watching.done()
    if ends:
        mailbox.end(PeerRestarted("bob is gone"))
    else:
        for _ in range(4):
            wire.arrive()
            await turns()
    await asyncio.wait_for(watching, 10)
    await asyncio.gather(*replies, return_exceptions=True)
