"""What the requests of one peer may take: memory of their bytes, and no work for who has left."""

import cbor2
import pytest

from mailboxes import turns
from mesh.runtime import requests
from mesh.wire.messages import REPLY_OK, Packed
from requests_desk import MINUTE_MS, Desk, Gate
from virtual_time import in_virtual_time, pass_time

pytestmark = pytest.mark.usefixtures("quiet_loop")


async def echo(body):
    """Answer with the body."""
    return body


async def test_what_waits_is_not_decoded_before_its_turn_is_near():
    """A peer's requests take the memory of their bytes; those of a few runs, of what they hold."""
    gate = Gate()
    desk = Desk(gate, limit=1)
    desk.put("a", "b")
    waiting = Packed(cbor2.dumps([[3, MINUTE_MS, "c"], [4, MINUTE_MS, "d"], [5, MINUTE_MS, "e"]]))
    damaged = Packed(b"\x82\xf6")
    desk.put(items=waiting)
    desk.put(items=damaged)
    await turns(10)
    assert list(desk.requests._known) == [1, 2]
    desk.requests.cancel([3, 77])
    gate.open.set()
    await turns(30)
    assert desk.replies == [
        [call, REPLY_OK, body] for call, body in [(1, "a"), (2, "b"), (4, "d"), (5, "e")]
    ]
    assert desk.counters["calls.cancelled"] == 1
    assert desk.counters["dropped.malformed"] == 2
    assert not desk.requests.busy
    assert desk.requests._cancelled_early == set()
    await desk.stop()


@in_virtual_time
async def test_a_request_whose_time_is_over_is_not_begun():
    """Its caller has left while it waited: an overloaded node works for those who still wait."""
    gate = Gate()
    desk = Desk(gate, limit=1)
    desk.put("a")
    desk.put("b", timeout_ms=100)
    desk.put("c")
    await pass_time(0.5)
    gate.open.set()
    await pass_time(0.1)
    assert gate.begun == ["a", "c"]
    assert desk.counters["calls.cancelled"] == 1
    assert len(desk.finished) == 3
    await desk.stop()


async def test_no_handler_begins_while_too_many_replies_wait_for_room():
    """A caller that takes none of them makes us keep no more than may be kept for it."""
    desk = Desk(echo, limit=8)
    outgoing = desk.mailbox.outgoing
    outgoing.kept_bytes = 50_000
    desk.put(*([b"x" * 30_000] * 8))
    await turns(50)
    waiting = desk.mailbox._lines.reply_bytes
    assert 50_000 < waiting <= 90_000
    assert desk.counters["handled.calls"] < 8
    for _ in range(10):
        desk.wire.flush(desk.delivery)
        desk.wire.arrive()
        await turns(10)
    assert len(desk.replies) == desk.counters["handled.calls"] == 8
    assert not desk.requests.busy
    await desk.stop()


async def test_cancellations_of_what_waits_are_remembered_within_reason(monkeypatch):
    """A peer that cancels calls it never made fills no memory."""
    monkeypatch.setattr(requests, "CALLS_PER_PEER", 3)
    desk = Desk(Gate(), limit=1)
    desk.put("a", "b")
    desk.requests.cancel(range(100, 200))
    assert desk.requests._cancelled_early == set()
    desk.put("c")
    desk.requests.cancel(range(100, 200))
    assert len(desk.requests._cancelled_early) == 3
    await desk.stop()


async def test_two_requests_of_one_number_are_one():
    """A lying peer cannot make a request that no CANCEL reaches."""
    gate = Gate()
    desk = Desk(gate)
    desk.put(items=[[1, MINUTE_MS, "a"], [1, MINUTE_MS, "b"]])
    await turns(10)
    assert gate.begun == ["a"]
    assert desk.counters["dropped.malformed"] == 1
    desk.requests.cancel([1])
    await turns(10)
    assert gate.cancelled == ["a"]
    assert desk.finished == [10]
    assert not desk.requests.busy
    await desk.stop()
