"""What one peer's lies and restarts may take of a dispatch: memory and slots of its own."""

import asyncio

import pytest

from handshake.identity import Identity
from mailboxes import make_delivery, turns
from mesh.engine import events
from mesh.engine.events import RunReceived
from mesh.wire.messages import CANCEL, NESTED_REQUESTS, REPLY, REQUEST, TELL, Packed
from offices import Office

pytestmark = pytest.mark.usefixtures("quiet_loop")

STRANGER = Identity(bytes(range(1, 33))).id


@pytest.fixture
async def office():
    """A dispatch at work, stopped at the end."""
    made = Office()
    yield made
    await made.stop()


async def test_instance_after_instance_fills_no_memory(office, caplog):
    """A peer has a new window each time; of what its ended ones left, the oldest is dropped."""
    gate = asyncio.Event()
    seen = []

    @office.handlers.on("log")
    async def log(body):
        await gate.wait()
        seen.append(body)

    for number in range(6):
        office.connect(make_delivery())
        office.see(office.run(TELL, (number, 0)), office.run(TELL, (number, 1), batch=2))
        await turns(5)
        office.end()
    assert office.counters["dropped.ended"] == 3
    assert len({of for of, _ in office.dispatch._retiring}) <= 4
    assert "bob came back too often" in caplog.text
    gate.set()
    await turns(50)
    assert sorted(seen) == [(number, half) for number in range(3, 6) for half in range(2)]
    assert office.counters["handled.messages"] == len(seen)
    assert not office.dispatch.busy


async def test_calls_of_one_peer_take_no_slot_of_another(office):
    """However many of its own a peer keeps busy, the next one's are answered."""
    answered = []

    @office.handlers.serve("ask")
    async def ask(body):
        if body == "hang":
            await asyncio.Event().wait()
        answered.append(body)

    office.connect()
    office.see(
        *(office.run(REQUEST, [n, 1000, "hang"], subject="ask", batch=n) for n in range(1, 30))
    )
    other = make_delivery(peer_id=STRANGER)
    office.see(events.PeerConnected(STRANGER, other))
    office.see(RunReceived(other, 1, REQUEST, "ask", [[1, 1000, "quick"]]))
    await turns(20)
    assert answered == ["quick"]


@pytest.mark.parametrize("kind", NESTED_REQUESTS)
async def test_calls_inside_calls_have_slots_of_their_own(office, kind):
    """While those outside of all hold theirs, and those of every other depth as well."""
    answered = []

    @office.handlers.serve("ask")
    async def ask(body):
        if body == "hang":
            await asyncio.Event().wait()
        answered.append(body)

    office.connect()
    for number, other in enumerate((REQUEST, *NESTED_REQUESTS), 1):
        if other != kind:
            items = [[number * 100 + n, 60_000, "hang"] for n in range(10)]
            office.see(RunReceived(office.delivery, number, other, "ask", items))
    await turns(20)
    office.see(RunReceived(office.delivery, 50, kind, "ask", [[1, 60_000, "quick"]]))
    await turns(20)
    assert answered == ["quick"]


async def test_slots_inside_of_calls_are_few(office, monkeypatch):
    """No more than outside, nor than it takes for those always to go on."""
    monkeypatch.setattr("mesh.runtime.dispatch.NESTED_CALLS", 2)
    begun = []

    @office.handlers.serve("ask")
    async def ask(body):
        begun.append(body)
        await asyncio.Event().wait()

    office.connect()
    for kind in (REQUEST, NESTED_REQUESTS[0]):
        items = [[kind * 100 + n, 60_000, kind] for n in range(10)]
        office.see(RunReceived(office.delivery, kind, kind, "ask", items))
    await turns(20)
    assert sorted(begun) == [REQUEST] * 4 + [NESTED_REQUESTS[0]] * 2


async def test_a_cancellation_finds_its_call_at_any_depth(office):
    """Nothing says at which it was made; what is none is counted once."""
    cancelled = []

    @office.handlers.serve("ask")
    async def ask(body):
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.append(body)

    office.connect()
    kinds = (REQUEST, *NESTED_REQUESTS)
    for kind in kinds:
        office.see(RunReceived(office.delivery, kind, kind, "ask", [[kind, 60_000, kind]]))
    await turns(20)
    office.see(office.run(CANCEL, *reversed(kinds), -1, "1", None, [1], True, batch=60))
    await turns(20)
    assert sorted(cancelled) == sorted(kinds)
    assert office.counters["dropped.malformed"] == 5
    assert 60 in office.finished


@pytest.mark.parametrize("kind", [TELL, REQUEST, REPLY, CANCEL])
async def test_packed_nonsense_is_counted_and_over(office, kind):
    """Nobody's handler sees it, and the room it took is given back."""
    office.handlers.on("log")(lambda body: None)
    calling = asyncio.create_task(office.connect().call("ask", None, 5))
    office.see(office.run(REQUEST, [1, 1000, None], subject="ask"))
    await turns()
    office.see(RunReceived(office.delivery, 2, kind, "log", Packed(b"\x82\xf6")))
    await turns(10)
    assert office.counters["dropped.malformed"] == 2
    assert office.finished == [1, 2]
    assert office.counters["handled.messages"] == 0
    calling.cancel()


async def test_replies_that_nobody_asked_for_are_not_even_decoded(office):
    """They need no credit, so a flood of them would cost what their bodies become."""
    office.connect()
    office.see(RunReceived(office.delivery, 1, REPLY, "", Packed(b"\x82\xf6")))
    assert office.counters["dropped.malformed"] == 0
    assert office.counters["dropped.unasked"] == 2
    assert office.finished == [1]
