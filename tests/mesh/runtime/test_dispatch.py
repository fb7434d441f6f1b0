"""Dispatch: every event finds those it concerns, and none can do harm to others."""

import asyncio

import pytest

from handshake.identity import Identity
from mailboxes import PEER_ID, make_delivery, turns
from mesh.engine import events
from mesh.errors import BufferFull, DeliveryFailed, PeerRestarted
from mesh.runtime import dispatch as dispatch_module
from mesh.runtime import nesting
from mesh.runtime.receipts import Receipt, Standing
from mesh.wire.messages import CANCEL, REPLY, REPLY_OK, REQUEST, TELL
from offices import Office

pytestmark = pytest.mark.usefixtures("quiet_loop")

STRANGER = Identity(bytes(range(1, 33))).id


@pytest.fixture
async def office():
    """A dispatch at work, stopped at the end."""
    made = Office()
    yield made
    await made.stop()


async def test_a_peer_is_found_by_every_name_it_has(office):
    """Peer, id, text of the id and petname, for the hot path and the long way alike."""
    mailbox = office.connect()
    peer = mailbox.peer
    assert (peer.name, peer.roles) == ("bob", ("worker",))
    for name in (peer, PEER_ID, str(PEER_ID), "bob"):
        assert office.dispatch.outgoing[name] is mailbox.outgoing
        assert office.dispatch.named[name] is mailbox


async def test_a_peer_without_a_name_is_found_by_its_id(office):
    """Nobody is called by the empty name."""
    office.policy.allow(PEER_ID)
    mailbox = office.connect()
    assert set(office.dispatch.named) == {mailbox.peer, PEER_ID, str(PEER_ID)}


async def test_a_peer_stays_one_object_until_its_name_changes(office):
    """Through reconnects and restarts: programs hold it, and compare it by object."""
    first = office.connect().peer
    assert office.dispatch.peer(PEER_ID) is first
    office.end()
    assert office.dispatch.peer(PEER_ID) is first
    assert office.connect(make_delivery()).peer is first
    office.policy.allow(PEER_ID, "robert")
    office.dispatch.refresh_names()
    renamed = office.dispatch.peer(PEER_ID)
    assert renamed is not first
    assert renamed.name == "robert"
    assert office.dispatch.mailboxes[PEER_ID].peer is renamed
    assert "bob" not in office.dispatch.outgoing
    assert set(office.dispatch.named) == set(office.dispatch.outgoing)
    assert office.dispatch.outgoing["robert"] is office.delivery.outgoing


async def test_a_peer_that_is_not_trusted_any_more_is_forgotten(office):
    """Also one that never had a name; while it is connected it stays the same."""
    office.policy.allow(PEER_ID)
    peer = office.connect().peer
    office.policy.forget(PEER_ID)
    office.dispatch.refresh_names()
    assert office.dispatch.mailboxes[PEER_ID].peer is peer
    office.end()
    office.dispatch.refresh_names()
    assert office.dispatch._peers == {}


async def test_a_peer_renamed_while_it_is_away_is_new_when_it_returns(office):
    """And a stranger is made anew each time: nothing is kept of it."""
    office.connect()
    office.end()
    office.policy.forget(PEER_ID)
    office.dispatch.refresh_names()
    assert office.dispatch._peers == {}
    assert office.dispatch.peer(STRANGER).name == ""
    assert office.dispatch._peers == {}


async def test_handlers_see_a_new_name_at_once(office):
    """Roles are what handlers decide by."""
    seen = []

    @office.handlers.on("log")
    async def log(body, *, peer):
        seen.append((body, peer.name, peer.roles))

    office.connect()
    office.see(office.run(TELL, 1))
    await turns()
    office.policy.allow(PEER_ID, "robert", ())
    office.dispatch.refresh_names()
    office.see(office.run(TELL, 2, batch=2))
    await turns()
    assert seen == [(1, "bob", ("worker",)), (2, "robert", ())]


async def test_a_run_is_finished_when_its_handler_is_done(office):
    """Not when it arrives."""
    gate = asyncio.Event()

    @office.handlers.on("log")
    async def log(_body):
        await gate.wait()

    office.connect()
    office.see(office.run(TELL, 1))
    await turns()
    assert office.finished == []
    assert office.dispatch.busy
    gate.set()
    await turns(10)
    assert office.finished == [1]
    assert not office.dispatch.busy


async def test_nobody_handles_the_subject(office, caplog):
    """The messages are dropped, counted and named; the sender gets its room back."""
    office.connect()
    office.see(office.run(TELL, 1, 2, subject="nobody"))
    assert office.finished == [1]
    assert office.counters["dropped.no_handler"] == 2
    assert "no handler for 'nobody': what bob sends to it is dropped" in caplog.text


async def test_a_handler_added_later_is_found(office):
    """Both tables may grow while the node runs."""
    office.connect()
    office.see(office.run(TELL, 1))
    seen = []

    @office.handlers.on("log")
    async def log(body):
        seen.append(body)

    office.see(office.run(TELL, 2, batch=2))
    await turns()
    assert seen == [2]


async def test_requests_and_cancels_reach_the_handler(office):
    """A request begins, its CANCEL ends it, and both runs are finished."""
    cancelled = []

    @office.handlers.serve("ask")
    async def ask(body):
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.append(body)
            raise

    office.connect()
    office.see(office.run(REQUEST, [1, 1000, "a"], subject="ask"))
    await turns()
    assert office.dispatch.busy
    office.see(office.run(CANCEL, 1, subject="ask", batch=2))
    await turns(10)
    assert cancelled == ["a"]
    assert sorted(office.finished) == [1, 2]


async def test_replies_reach_those_who_wait(office):
    """Malformed ones are counted, and the run is finished all the same."""
    mailbox = office.connect()
    call = asyncio.create_task(mailbox.call("ask", None, 5))
    await turns()
    office.see(office.run(REPLY, "nonsense", [1, REPLY_OK, "yes"], subject=""))
    assert await call == "yes"
    assert office.finished == [1]
    assert office.counters["dropped.malformed"] == 1


async def test_kinds_nobody_knows_are_ignored(office):
    """Counted, and their room given back: a newer peer may send them."""
    office.connect()
    office.see(office.run(40, 1, 2))
    assert office.finished == [1]
    assert office.counters["ignored.unknown_kind"] == 1


async def test_events_of_other_rooms_are_not_ours(office):
    """Nothing happens."""
    office.see(events.Superseded(PEER_ID))
    assert office.finished == []


@pytest.mark.parametrize("another_since", [False, True])
@pytest.mark.parametrize("kind", [TELL, REQUEST, REPLY, CANCEL, 40])
async def test_a_run_of_a_delivery_that_has_ended_raises_nothing(office, kind, another_since):
    """Whoever sent it is gone, whether another instance has come since or not."""
    handled = []

    @office.handlers.on("log")
    @office.handlers.serve("log")
    async def log(body):
        handled.append(body)

    office.connect()
    run = office.run(kind, [1, 1000, None])
    office.end()
    if another_since:
        office.connect(make_delivery())
    office.see(run)
    await turns()
    assert office.finished == [1]
    assert handled == []


@pytest.mark.parametrize("event", [events.RoomAvailable, events.DeliveryEnded])
async def test_other_news_of_a_delivery_nobody_knows_raise_nothing(office, event):
    """Room for nobody, and the end of what had not begun."""
    receipt = Receipt()
    receipt.of_messages = True
    if event is events.RoomAvailable:
        office.see(events.RoomAvailable(office.delivery))
    else:
        office.end(failed=[(receipt, "unknown")])
        assert receipt.error is not None


async def test_room_lets_those_who_wait_go_on(office):
    """Those of the delivery that has room."""
    mailbox = office.connect(make_delivery(window=64 * 1024))
    with pytest.raises(BufferFull):
        while True:
            mailbox.post("log", b"x" * 8000)
    waiting = asyncio.create_task(mailbox.tell("log", b"x" * 8000))
    await turns()
    assert not waiting.done()
    office.delivery.outgoing.on_credit(1 << 20)
    office.see(events.RoomAvailable(office.delivery))
    await asyncio.wait_for(waiting, 10)


async def test_receipts_follow_the_news(office):
    """Delivered, then handled; what is no receipt of ours is left alone."""
    receipt, late = Receipt(), Receipt()
    late.advance(Standing.HANDLED)
    office.see(events.Delivered([receipt, object(), late]))
    assert (receipt.standing, late.standing) == (Standing.DELIVERED, Standing.HANDLED)
    office.see(events.Handled([receipt, object()]))
    assert receipt.standing is Standing.HANDLED


async def test_the_end_of_a_peer_is_told_to_all_it_concerns(office):
    """Its names are gone, calls end, handlers of its calls too, and its messages are handled."""
    seen, cancelled = [], []
    gate = asyncio.Event()

    @office.handlers.on("log")
    async def log(body):
        await gate.wait()
        seen.append(body)

    @office.handlers.serve("ask")
    async def ask(_body):
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.append(True)
            raise

    mailbox = office.connect()
    call = asyncio.create_task(mailbox.call("ask", None, 5))
    office.see(office.run(TELL, 1), office.run(TELL, 2, batch=2))
    office.see(office.run(REQUEST, [1, 1000, None], subject="ask", batch=3))
    await turns()
    office.end()
    assert office.dispatch.mailboxes == office.dispatch.named == office.dispatch.outgoing == {}
    with pytest.raises(PeerRestarted, match="bob: the peer has restarted"):
        await call
    await turns(10)
    assert cancelled == [True]
    assert office.dispatch.busy
    gate.set()
    await turns(10)
    assert seen == [1, 2]
    assert not office.dispatch.busy


async def test_another_instance_has_workers_of_its_own(office):
    """A handler that hangs for the old one does not hold up the new one's messages."""
    seen = []

    @office.handlers.on("log")
    async def log(body):
        if body == "hang":
            await asyncio.Event().wait()
        seen.append(body)

    office.connect()
    office.see(office.run(TELL, "hang"))
    await turns()
    office.end()
    for number in range(5):
        office.connect(make_delivery())
        office.see(office.run(TELL, number))
        await turns(10)
        office.end()
    assert seen == list(range(5))
    assert len(office.dispatch._retiring) == 2


async def test_a_failure_nobody_awaits_is_told_once(office, caplog):
    """Counted, logged and given to `on_failure`, which may raise; one receipt counts once."""
    told = []

    def on_failure(peer, error):
        told.append((peer.name, error.outcome))
        raise RuntimeError("on_failure is broken")

    office.dispatch.on_failure = on_failure
    office.connect()
    receipts = [Receipt() for _ in range(5)]
    awaited, delivered, first, second, replies = receipts
    for receipt in receipts[:-1]:
        receipt.of_messages = True
    delivered.advance(Standing.DELIVERED)
    waiter = asyncio.create_task(awaited.handled())
    await turns()
    failed = [(receipt, "unknown") for receipt in (awaited, delivered, first, first, replies)]
    office.end(failed=[*failed, (object(), "unknown"), (second, "not_delivered")])
    with pytest.raises(PeerRestarted):
        await waiter
    assert told == [("bob", "unknown"), ("bob", "not_delivered")]
    assert office.counters["receipts.failed"] == 2
    assert all(receipt.error is not None for receipt in receipts)
    assert "on_failure raised" in caplog.text
    lost = [line for line in caplog.messages if line.startswith("a message to bob failed: ")]
    ends = "it may have been handled", "it was not delivered"
    assert [line.rpartition("; ")[2] for line in lost] == list(ends)


async def test_a_failure_may_be_answered_by_sending(office):
    """`on_failure` finds the node as it is after the end."""
    office.connect()
    receipt = Receipt()
    receipt.of_messages = True
    found = []
    office.dispatch.on_failure = lambda peer, _error: found.append(
        (dict(office.dispatch.outgoing), office.dispatch.peer(peer.id) is peer)
    )
    office.end(failed=[(receipt, "unknown")])
    assert found == [({}, True)]


async def test_a_failure_is_told_inside_of_no_handler(office):
    """The frame may have been read in the context of one that dialled; what it calls is not its."""
    office.connect()
    receipt = Receipt()
    receipt.of_messages = True
    depths = []
    office.dispatch.on_failure = lambda _peer, _error: depths.append(nesting.depth_of_call())
    nesting.begin(2)
    office.end(failed=[(receipt, "unknown")])
    assert depths == [0]
    assert nesting.depth_of_call() == 3


async def test_at_rest_waits_for_handlers(office):
    """Of messages and of calls; without any it returns at once."""
    await office.dispatch.at_rest()
    gate = asyncio.Event()

    @office.handlers.on("log")
    @office.handlers.serve("log")
    async def log(_body):
        await gate.wait()

    office.connect()
    office.see(office.run(TELL, 1), office.run(REQUEST, [1, 1000, None], batch=2))
    resting = asyncio.create_task(office.dispatch.at_rest())
    await turns(10)
    assert not resting.done()
    gate.set()
    await asyncio.wait_for(resting, 10)


async def test_stopping_cancels_handlers_but_not_whoever_stops(office):
    """A handler may close its node."""
    ended = []

    @office.handlers.on("hang")
    async def hang(_body):
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("hang")

    @office.handlers.on("log")
    async def log(_body):
        await office.dispatch.stop()
        await asyncio.sleep(0)
        ended.append("log")

    office.connect()
    office.see(office.run(TELL, 1, subject="hang"))
    await turns()
    office.see(office.run(TELL, 2, batch=2))
    await turns(10)
    assert ended == ["hang", "log"]


async def test_a_handler_deaf_to_its_end_does_not_hold_up_the_others(office, caplog, monkeypatch):
    """It gets a moment, and is named."""
    monkeypatch.setattr(dispatch_module, "_STOP_SECONDS", 0)
    over = asyncio.Event()

    @office.handlers.on("log")
    async def deaf(_body):
        while not over.is_set():
            try:
                await over.wait()
            except asyncio.CancelledError:
                continue

    office.connect()
    office.see(office.run(TELL, 1))
    await turns()
    await office.dispatch.stop()
    assert "1 handlers go on" in caplog.text
    over.set()
    await turns()


@pytest.mark.parametrize(("restarted", "kind"), [(True, PeerRestarted), (False, DeliveryFailed)])
async def test_only_another_instance_is_a_restart(office, restarted, kind):
    """A goodbye, a denial and ten minutes of silence are failures of another name."""
    receipt = Receipt()
    office.connect()
    office.end("it is over", [(receipt, "unknown")], restarted=restarted)
    with pytest.raises(DeliveryFailed) as caught:
        await receipt.delivered()
    assert type(caught.value) is kind
