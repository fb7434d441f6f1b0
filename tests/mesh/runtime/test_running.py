"""A running node as its façade and its tools see it: real sockets, and events handed in."""

import asyncio
import logging
from functools import partial
from threading import get_ident
from types import SimpleNamespace

import pytest

from handshake.constants import Reason
from handshake.identity import Identity
from mesh.counters import Counters
from mesh.engine import events
from mesh.errors import (
    DeliveryFailed,
    InvalidConfiguration,
    NodeClosed,
    NotTrusted,
    PeerUnreachable,
)
from mesh.home.configuration import Configuration
from mesh.home.home import Home
from mesh.limits import STRANGERS_REMEMBERED
from mesh.runtime.handlers import Handlers
from mesh.runtime.presence import Presence
from mesh.runtime.running import Running
from mesh.runtime.trustees import Trust
from mesh.trust.policy import Policy
from nodes import Ticker, until

ZOE = Identity(bytes(range(32))).id


class Life:
    """One Running and what a Node would keep beside it."""

    def __init__(self, seed, **fields):
        fields.setdefault("close_timeout_seconds", 0.4)
        self.handlers = Handlers()
        self.handled = []
        self.handlers.on("log")(self._log)
        self.policy = Policy()
        self.trust = Trust(self.policy, Home.locate(":memory:"))
        self.identity = Identity(bytes([seed]) * 32)
        self.id = self.identity.id
        self.drained = 0
        self.running = Running(
            Configuration(**fields),
            self.identity,
            self.policy,
            self.trust,
            self.handlers,
            Counters(),
        )

    async def _log(self, body):
        self.handled.append(body)

    async def send(self, peer_id, body):
        """Send one message: its receipt."""
        return await self.running.dispatch.mailboxes[peer_id].tell("log", body)

    async def close(self):
        """End it."""
        await self.running.close(self._note)

    def _note(self):
        self.drained += 1


@pytest.fixture
async def make_life():
    """Make lives that are open, and closed at the end."""
    made = []

    def make(seed, **fields):
        life = Life(seed, **fields)
        made.append(life)
        life.running.open()
        return life

    yield make
    for life in made:
        if not life.drained:
            await life.close()


@pytest.fixture
async def pair(make_life):
    """Two that trust each other and are connected; the first one dialled."""
    bob = make_life(2)
    alice = make_life(1, connect=f"{bob.id}@{bob.running.endpoints[0]}")
    alice.trust.allow(bob.id, name="bob")
    bob.trust.allow(alice.id, name="alice")
    await alice.running.wait_for(bob.id, 20)
    await bob.running.wait_for(alice.id, 20)
    return SimpleNamespace(alice=alice, bob=bob)


async def test_configured_endpoints_and_peers_are_used(pair):
    """It listens where it was told, with real ports, and dials whom it was told."""
    alice, bob = pair.alice.running, pair.bob.running
    assert bob.endpoints[0].startswith("tcp://127.0.0.1:")
    assert not bob.endpoints[0].endswith(":0")
    assert alice.dialer.wishes() == [(bob.endpoints[0], pair.bob.id, "")]
    assert alice.presence.of(pair.bob.id) == "connected"


async def test_a_port_in_use_is_an_error(make_life):
    """Opening says which endpoint cannot be had."""
    [taken] = make_life(1).running.endpoints
    other = Life(2, listen=taken)
    with pytest.raises(InvalidConfiguration, match="in use"):
        other.running.open()
    await other.close()


async def test_wait_for_a_peer(pair):
    """Whoever is connected is there at once; whoever is not, after the timeout, is not."""
    alice = pair.alice.running
    assert (await alice.wait_for(pair.bob.id, 0)).name == "bob"
    with pytest.raises(PeerUnreachable, match=r"has not connected within 0\.01 s"):
        await alice.wait_for(ZOE, 0.01)
    assert alice._arrivals == {}


async def test_several_may_wait_for_one_peer(make_life):
    """All are told when it arrives; one that gave up before does not disturb the others."""
    alice, bob = make_life(1), make_life(2)
    waiting = [asyncio.create_task(alice.running.wait_for(bob.id, 20)) for _ in range(3)]
    await asyncio.sleep(0)
    waiting.pop().cancel()
    await asyncio.sleep(0)
    alice.trust.allow(bob.id, name="bob")
    bob.trust.allow(alice.id, name="alice")
    assert await alice.running.dialer.connect(bob.running.endpoints[0], None, 20) == bob.id
    first, second = await asyncio.gather(*waiting)
    assert first is second
    assert alice.running._arrivals == {}


async def test_a_ping_takes_a_moment(pair):
    """A sealed round trip, in seconds; without a way there, or an answer, it is unreachable."""
    alice, bob = pair.alice.running, pair.bob.running
    assert 0 < await alice.ping(pair.bob.id, 20) < 20
    pair.alice.trust.allow(ZOE)
    with pytest.raises(PeerUnreachable, match="no way to"):
        await alice.ping(ZOE, 20)
    bob.pump._transport = None
    with pytest.raises(PeerUnreachable, match=r"did not answer within 0\.05 s"):
        await alice.ping(pair.bob.id, 0.05)
    assert alice._pongs == {}
    bob.pump._transport = bob.transport


async def test_an_answer_nobody_waits_for_is_ignored(pair):
    """A pong may come after its ping was given up."""
    pair.alice.running._on_event(events.PongReceived(pair.bob.id, 999, 0.1))
    assert await pair.alice.running.ping(pair.bob.id, 20) > 0


async def test_strangers_are_listed_newest_last_and_not_without_end(make_life):
    """Each once, in the order in which they were refused last; let in or denied, no more."""
    life = make_life(1)
    ids = [Identity(number.to_bytes(32, "big")).id for number in range(STRANGERS_REMEMBERED + 5)]
    for stranger in [*ids, ids[-2]]:
        life.running._on_event(events.StrangerRefused(stranger, "10.0.0.9", Reason.NOT_TRUSTED))
    listed = list(life.running.strangers)
    assert listed == [*ids[5:-2], ids[-1], ids[-2]]
    life.trust.allow(ids[-1])
    life.trust.deny(ids[-2])
    assert list(life.running.strangers) == ids[5:-2]
    life.running._on_event(events.StrangerRefused(ids[-2], "10.0.0.9", Reason.REVOKED))
    assert ids[-2] not in life.running.strangers
    assert f"node.trust.allow('{ids[-3]}')" in life.running.explain(ids[-3])


async def test_a_stranger_is_warned_of_once_on_both_sides(make_life, caplog):
    """The first time with the command that would trust it; every attempt is counted."""
    caplog.set_level(logging.WARNING, "noisemesh")
    bob = make_life(2)
    alice = make_life(1, connect=f"{bob.id}@{bob.running.endpoints[0]}")

    def refused(times):
        here = alice.running.counters["handshakes.refused_by_peer.not_trusted"]
        return min(here, bob.running.counters["handshakes.refused.not_trusted"]) >= times

    for times in range(1, 4):
        alice.trust.allow(bob.id, name="bob")  # which has her dial at once
        await until(partial(refused, times))
    told = [record.message for record in caplog.records]
    assert sum(f"node.trust.allow('{alice.id}')" in text for text in told) == 1
    assert sum(f"mesh trust allow {alice.id}" in text for text in told) == 1
    bob.trust.deny(alice.id)
    bob.trust.forget(alice.id)
    bob.running._on_event(events.StrangerRefused(alice.id, "10.0.0.9", Reason.NOT_TRUSTED))
    assert f"node.trust.allow('{alice.id}')" in caplog.records[-1].message


async def test_a_stranger_that_was_dialled_is_warned_of_once(make_life, caplog):
    """By whoever dialled it, with its endpoint and id and what would trust it; it is listed."""
    caplog.set_level(logging.INFO, "noisemesh")
    alice, bob = make_life(1), make_life(2)
    endpoint = bob.running.endpoints[0]
    with pytest.raises(NotTrusted):
        await alice.running.dialer.connect(endpoint, bob.id, 20)
    told = [record.message for record in caplog.records if endpoint in record.message]
    explained = alice.running.explain(bob.id)
    assert told == [f"{endpoint} is {bob.id}, refused here: not trusted; {explained}"]
    assert "dialled #" not in caplog.text
    assert list(alice.running.strangers) == [bob.id]
    alice.trust.deny(bob.id)
    with pytest.raises(NotTrusted):
        await alice.running.dialer.connect(endpoint, bob.id, 20)
    assert "refused bob" not in caplog.text


async def test_who_closed_is_said(pair, caplog):
    """A denial is closed here; the other side hears that the peer has closed, and why."""
    caplog.set_level(logging.INFO, "noisemesh")
    alice, bob = pair.alice.running, pair.bob.running
    here, there = alice.dispatch.peer(pair.bob.id), bob.dispatch.peer(pair.alice.id)
    pair.alice.trust.deny(pair.bob.id)
    await until(lambda: pair.alice.id in bob.refusals)
    messages = [record.message for record in caplog.records]
    assert f"{here}: closed here: revoked" in messages
    assert f"{there} has closed: revoked" in messages
    assert f"{here} has closed" not in caplog.text


async def test_one_that_is_denied_is_mentioned_once(make_life, caplog):
    """Its owner has decided, so it is no warning."""
    caplog.set_level(logging.INFO, "noisemesh")
    life = make_life(1)
    life.trust.deny(ZOE)
    for _ in range(3):
        life.running._on_event(events.StrangerRefused(ZOE, "10.0.0.9", Reason.REVOKED))
    told = [record for record in caplog.records if ZOE.short in record.message]
    assert [record.levelno for record in told] == [logging.INFO]


async def test_trust_that_is_edited_in_a_thread_counts_in_the_loop(pair, monkeypatch):
    """A plain handler may deny a peer: sockets are touched in the loop's thread alone."""
    running, threads = pair.alice.running, []
    changed = running.engine.trust_changed
    monkeypatch.setattr(
        running.engine, "trust_changed", lambda now: threads.append(get_ident()) or changed(now)
    )
    await asyncio.to_thread(pair.alice.trust.deny, pair.bob.id)
    await until(lambda: running.presence.of(pair.bob.id) == "not seen")
    assert threads == [get_ident()]


async def test_presence_is_what_was_told_last(pair):
    """Events of presence are kept for whoever asks; a goodbye is one of them."""
    running = pair.alice.running
    running._on_event(events.PresenceChanged(pair.bob.id, "unresponsive"))
    assert running.presence.of(pair.bob.id) == "unresponsive"
    await pair.bob.close()
    await until(lambda: running.presence.of(pair.bob.id) == "closed")


async def test_a_peer_without_a_connection_is_not_called_connected(pair):
    """The moment its last connection is lost, and until another way to it has proved itself."""
    alice, bob = pair.alice.running, pair.bob.running
    assert alice.presence.of(pair.bob.id) == "connected"
    association = alice.engine.association(pair.bob.id)
    for route in list(association.routes):
        alice.engine.lost(route, alice.pump.clock())
    alice.pump.run()
    assert alice.presence.of(pair.bob.id) == "no connection"
    await pair.bob.send(pair.alice.id, 1)
    await until(lambda: alice.presence.of(pair.bob.id) == "connected")
    assert bob.presence.of(pair.alice.id) == "connected"


async def test_a_dead_peer_is_not_called_connected(pair, caplog):
    """Whoever dialled it knows as soon as the system closes its connection, long before 10 s."""
    caplog.set_level(logging.INFO, "noisemesh")
    alice, bob = pair.alice.running, pair.bob.running
    bob.pump.stop()
    bob.transport.close()
    await until(lambda: alice.presence.of(pair.bob.id) == "no connection")
    assert f"no connection to {alice.dispatch.peer(pair.bob.id)} is left" in caplog.text
    for told, expected in (("unresponsive", "no connection"), ("lost", "lost")):
        alice._on_event(events.PresenceChanged(pair.bob.id, told))
        assert alice.presence.of(pair.bob.id) == expected
    assert f"{alice.dispatch.peer(pair.bob.id)}: silent for 10 s" in caplog.text
    assert "unresponsive" not in caplog.text
    assert alice.presence.of(ZOE) == "not seen"


async def test_who_refuses_us_is_remembered_until_it_lets_us_in(make_life):
    """What a peer answered when it refused is kept, for people who ask why."""
    alice, bob = make_life(1), make_life(2)
    alice.trust.allow(bob.id, name="bob")
    with pytest.raises(Exception, match="refuses this node"):
        await alice.running.dialer.connect(bob.running.endpoints[0], bob.id, 20)
    assert alice.running.refusals == {bob.id: "not trusted"}
    bob.trust.allow(alice.id, name="alice")
    await alice.running.dialer.connect(bob.running.endpoints[0], bob.id, 20)
    assert alice.running.refusals == {}


@pytest.mark.parametrize("part", ["deny", "forget"])
async def test_nothing_is_kept_of_whom_nobody_trusts(pair, part):
    """Its presence and what it answered go with the trust, and late news bring nothing back."""
    running = pair.alice.running
    running.refusals[pair.bob.id] = "not trusted"
    getattr(pair.alice.trust, part)(pair.bob.id)
    assert running.presence.of(pair.bob.id) == "not seen"
    assert running.refusals == {}
    running._on_event(events.PresenceChanged(pair.bob.id, "lost"))
    running._on_event(events.PeerClosed(pair.bob.id, Reason.NOT_TRUSTED))
    route = running.dialer.wishes()[0]
    running._on_event(events.ConnectFailed(route, pair.bob.id, Reason.NOT_TRUSTED, by_peer=True))
    assert running.presence.of(pair.bob.id) == "not seen"
    assert running.refusals == {}


async def test_trust_may_change_in_the_middle_of_an_event(pair):
    """A program that denies a peer while it hears of a failure leaves nothing behind either."""
    running = pair.alice.running
    running.dispatch.on_failure = lambda peer, error: pair.alice.trust.deny(peer.id)
    pair.bob.running.pump._transport = None
    await pair.alice.send(pair.bob.id, 1)
    running.engine.association(pair.bob.id).on_closed(Reason.CLOSED, final=True)
    running.pump.run()
    assert running.presence.of(pair.bob.id) == "not seen"
    pair.bob.running.pump._transport = pair.bob.running.transport


async def test_a_change_of_trust_renames_and_ends(pair):
    """A new name counts for the running session; a denial ends it."""
    alice = pair.alice
    alice.trust.allow(pair.bob.id, name="robert")
    assert alice.running.dispatch.outgoing["robert"]
    assert "bob" not in alice.running.dispatch.outgoing
    alice.trust.deny(pair.bob.id)
    assert alice.running.dispatch.mailboxes == {}
    await until(lambda: not pair.bob.running.dispatch.mailboxes)


async def test_a_second_instance_is_an_alarm(pair):
    """It is counted, and the field left to the other."""
    running = pair.alice.running
    running._on_event(events.Superseded(pair.bob.id))
    assert running.counters["alarms.superseded"] == 1
    assert "another node with this identity" in running.dialer.wishes()[0][2]


async def test_events_of_no_room_are_ignored(pair):
    """An event that nobody here reacts to changes nothing."""
    confirmed = events.SessionConfirmed(pair.bob.id, 1, True, True, "AESGCM")
    pair.alice.running._on_event(confirmed)
    assert pair.alice.running.presence.of(pair.bob.id) == "connected"


async def test_close_delivers_and_says_goodbye(pair):
    """What was queued is handled there, and the peer hears of the end by a frame."""
    for number in range(100):
        await pair.alice.send(pair.bob.id, number)
    await pair.alice.close()
    assert pair.bob.handled == list(range(100))
    assert pair.bob.running.presence.of(pair.alice.id) == "closed"
    assert pair.alice.drained == 1


async def test_close_ends_every_wait(pair):
    """Arrivals, pings, calls and receipts are told, whatever the peer does."""
    alice, bob = pair.alice.running, pair.bob.running
    bob.pump._transport = None
    receipt = await pair.alice.send(pair.bob.id, 1)
    tasks = [
        asyncio.create_task(alice.wait_for(ZOE, 600)),
        asyncio.create_task(alice.presence.wait_for(ZOE, (Presence.CONNECTED,), 600)),
        asyncio.create_task(alice.ping(pair.bob.id, 600)),
        asyncio.create_task(alice.dialer.connect("tcp://127.0.0.1:1", None, 600)),
        asyncio.create_task(alice.dispatch.mailboxes[pair.bob.id].call("echo", 1, 600)),
    ]
    await until(lambda: alice._arrivals and alice._pongs)
    await pair.alice.close()
    for task in tasks:
        with pytest.raises(NodeClosed):
            await task
    with pytest.raises(DeliveryFailed) as caught:
        await receipt.delivered()
    assert caught.value.outcome == "unknown"
    for ask in (alice.wait_for, alice.ping):
        with pytest.raises(NodeClosed):
            await ask(ZOE, 1)


async def test_a_cancelled_close_still_closes(pair):
    """Whoever has no patience gets everything closed at once, only less politely."""
    alice, bob = pair.alice.running, pair.bob.running
    bob.pump._transport = None
    await pair.alice.send(pair.bob.id, 1)
    closing = asyncio.create_task(pair.alice.close())
    await until(lambda: alice._closing)
    closing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await closing
    assert pair.alice.drained == 1
    assert alice.transport._ports == {}
    assert alice.dialer.wishes() == []


async def test_a_change_of_trust_after_the_end_changes_only_the_list(pair):
    """A closed node's rooms hear nothing any more."""
    await pair.alice.close()
    pair.alice.trust.allow(ZOE, name="zoe")
    assert pair.alice.policy.find("zoe") == ZOE
    assert "zoe" not in pair.alice.running.dispatch.outgoing


async def test_a_handler_that_never_ends_is_cancelled(pair):
    """The close waits for it no longer than it was told, keeping time for the goodbye."""
    entered, ended = asyncio.Event(), asyncio.Event()

    @pair.bob.handlers.on("endless")
    async def endless(body):
        entered.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    await pair.alice.running.dispatch.mailboxes[pair.bob.id].tell("endless", 1)
    await entered.wait()
    await pair.bob.close()
    assert ended.is_set()
    assert pair.alice.running.presence.of(pair.bob.id) == "closed"


async def test_a_stall_while_it_drains_does_not_swallow_the_goodbye(pair):
    """However late it is by then, the peers get their share of time to hear and to answer."""

    async def stall(until_when):
        ticker = Ticker(0.01)
        while ticker.times[-1:] < [until_when + 0.3]:
            await ticker.next()
        ticker.stop()

    pair.bob.running._drain = stall
    await pair.bob.close()
    assert pair.alice.running.presence.of(pair.bob.id) == "closed"
    assert pair.bob.running.presence.of(pair.alice.id) == "closed"


async def test_a_peer_that_ends_while_it_drains_is_no_obstacle(make_life):
    """The goodbyes of others may come in the middle of our own close."""
    hub = make_life(1)
    leaves = [make_life(seed) for seed in range(2, 6)]
    for leaf in leaves:
        hub.trust.allow(leaf.id, name=f"leaf {leaf.id.short}")
        leaf.trust.allow(hub.id, name="hub")
        await leaf.running.dialer.connect(hub.running.endpoints[0], hub.id, 20)
        await hub.running.wait_for(leaf.id, 20)
    flush = hub.running.pump.flush

    def flush_and_hear(delivery):
        hub.running.engine.association(delivery.peer_id).on_closed(Reason.CLOSED, final=True)
        flush(delivery)

    hub.running.pump.flush = flush_and_hear
    await hub.close()
    assert hub.running.dispatch.mailboxes == {}
