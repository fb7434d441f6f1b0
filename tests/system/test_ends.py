"""A peer that stops, dies or comes back; a home that two processes want."""

import asyncio
import shutil

import pytest

from mesh import (
    DeliveryFailed,
    HomeInUse,
    Node,
    NodeClosed,
    PeerRestarted,
    PeerUnreachable,
)
from node_process import NodeFailed
from nodes import Journal, introduce, join, undisturbed, until


async def meet_process(alice, other):
    """Make a node here and one in another process trust each other, and connect them."""
    alice.trust.allow(other.id, name="other")
    await other.ask("allow", str(alice.id), "alice")
    return await alice.connect(other.endpoint, id=other.id)


async def test_messages_to_a_peer_that_stops_fail_with_what_is_known(alice, bob, carol):
    """What its handler had begun is unknown; what it never got was not delivered."""
    journal = Journal(bob)
    await join(alice, bob)
    await (await alice.send("bob", "log", "handled")).handled()
    journal.gate.clear()
    begun = await alice.send("bob", "log", "begun")
    await begun.delivered()
    call = asyncio.create_task(alice.call("bob", "echo", 1))
    await call
    async with undisturbed(carol, alice):
        await bob.close()
        with pytest.raises(DeliveryFailed) as caught:
            await asyncio.wait_for(begun.handled(), 20)
        assert caught.value.outcome == "unknown"
        await until(lambda: not any(peer.id == bob.id for peer in alice.peers))
        for attempt in (alice.send, alice.call):
            with pytest.raises(PeerUnreachable):
                await attempt("bob", "log", "late")


@pytest.fixture
async def bob(start_node):
    """One that does not wait long for its handlers when it closes."""
    return await start_node("bob", close_timeout_seconds=1.0)


async def test_a_call_to_a_peer_that_stops_fails(alice, bob):
    """Whoever waits for a reply is told, long before its own timeout."""
    reached = asyncio.Event()

    @bob.serve("never")
    async def never(body):
        reached.set()
        await asyncio.Event().wait()

    await join(alice, bob)
    call = asyncio.create_task(alice.call("bob", "never"))
    await reached.wait()
    await bob.close()
    with pytest.raises(DeliveryFailed, match=r"^bob: the peer has closed$"):
        await call


async def test_whoever_closes_is_told_that_it_was_itself(alice, bob):
    """The peer's answer to a goodbye is no goodbye of its own."""
    journal = Journal(bob)
    await join(alice, bob)
    journal.gate.clear()
    begun = await alice.send("bob", "log", "begun")
    await begun.delivered()
    await alice.close()
    with pytest.raises(DeliveryFailed, match=r"^bob: this node has closed$"):
        await begun.handled()


@pytest.mark.slow
async def test_a_killed_peer_fails_everything_when_it_is_back(tmp_path, start_node, start_process):
    """Killed and started again with its home: reconnected by itself, old receipts failed."""
    alice = await start_node("alice")
    other = await start_process(home=str(tmp_path / "home"))
    peer = await meet_process(alice, other)
    await (await alice.send(peer, "log", b"before")).handled()
    dying = asyncio.create_task(alice.call("other", "die"))
    receipt = await alice.send("other", "log", b"into the void")
    assert await other.process.wait() == 9
    lost = await alice.send("other", "log", b"while it is away")
    back = await start_process(home=str(tmp_path / "home"), listen=other.endpoint)
    assert back.id == other.id
    for failed in (receipt, lost):
        with pytest.raises(PeerRestarted) as caught:
            await asyncio.wait_for(failed.handled(), 30)
        assert caught.value.outcome in ("unknown", "not_delivered")
    with pytest.raises(PeerRestarted):
        await dying
    assert (await alice.wait_for("other", timeout=30)).id == peer.id
    await (await alice.send("other", "log", b"after")).handled()
    assert (await back.ask("tally", "alice"))[0] == 1


async def test_a_killed_process_does_not_disturb_others(start_node, start_process, bob, carol):
    """The others go on while one of them dies in the middle of a stream of messages."""
    other = await start_process()
    peer = await meet_process(bob, other)
    async with undisturbed(carol, bob):
        for number in range(20_000):
            await bob.send(peer, "log", b"%d" % number)
            if number == 10_000:
                other.process.kill()
                break
        await other.process.wait()


async def test_a_home_is_used_by_one_process_at_a_time(tmp_path, start_node, start_process):
    """The second node of a home is refused, here and in another process, until the first ends."""
    home = str(tmp_path / "home")
    other = await start_process(home=home)
    with pytest.raises(HomeInUse, match=f"process {other.process.pid}"):
        await start_node("again", home=home)
    assert await other.end() == 0
    alice = await start_node("alice", home=home)
    assert str(alice.id) == other.id
    with pytest.raises(NodeFailed) as caught:
        await start_process(home=home)
    assert caught.value.kind == "HomeInUse"


async def test_two_copies_of_one_home_do_not_fight(tmp_path, start_node, bob):
    """The older instance is told that another one lives, and leaves it the field."""
    first, second = tmp_path / "first", tmp_path / "second"
    async with Node("alice", home=first) as alice:
        await join(alice, bob)
        shutil.copytree(first, second, ignore=shutil.ignore_patterns("*.sock", "lock"))
        copy = await start_node("copy", home=second)
        assert copy.id == alice.id
        await copy.connect(bob.endpoints[0], id=bob.id)
        await until(lambda: alice.counters().get("alarms.superseded"))
        assert alice.peers == []
        with pytest.raises(PeerUnreachable, match="another node with this identity"):
            await alice.connect(bob.endpoints[0], id=bob.id, timeout=0.2)
        assert await copy.call("bob", "echo", 1) == 1
    assert copy.counters().get("alarms.superseded", 0) == 0


async def test_a_closed_node_fails_what_it_could_not_deliver(alice, start_process):
    """Receipts, calls and sends that wait when the time is up are told, and nothing hangs."""
    other = await start_process()
    peer = await meet_process(alice, other)
    object.__setattr__(alice._configuration, "close_timeout_seconds", 0.5)
    await other.end(kill=True)
    await until(lambda: alice.running.engine.association(peer.id).routes.best is None)
    receipt = await alice.send(peer, "log", b"never")
    call = asyncio.create_task(alice.call(peer, "echo", 1))
    waiting = asyncio.create_task(fill(alice, peer))
    await until(lambda: alice.running.dispatch.mailboxes[peer.id]._lines)
    await asyncio.wait_for(alice.close(), 10)
    with pytest.raises(DeliveryFailed) as caught:
        await receipt.delivered()
    assert caught.value.outcome == "not_delivered"
    for task in (call, waiting):
        with pytest.raises(NodeClosed):
            await task
    with pytest.raises(NodeClosed):
        await alice.send(peer, "log", b"late")


async def fill(node, peer):
    """Send until somebody stops it."""
    while True:
        await node.send(peer, "log", bytes(60_000))


async def test_introductions_are_not_needed_twice(tmp_path, start_node, bob):
    """A trust list outlives its node: the next one of that home is known and knows."""
    for _ in range(2):
        async with Node("alice", home=tmp_path / "home") as alice:
            if not alice.trust.list():
                introduce(alice, bob)
            await alice.connect(bob.endpoints[0], id="bob")
            assert await alice.call("bob", "echo", 1) == 1
