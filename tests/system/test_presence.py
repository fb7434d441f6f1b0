"""What a program learns of its peers: on real sockets, from the first meeting to the last word."""

import asyncio
import signal
import threading

import pytest

from endurance.relay import Relay
from mesh import Node, NodeClosed, NotTrusted, Presence, PresenceChange, WaitTimeout
from nodes import introduce, join, until

PATIENCE_SECONDS = 30.0


class Watcher:
    """Reads all that a node tells of its peers, as soon as it is told."""

    def __init__(self, node: Node) -> None:
        self.told: list[tuple[str, str, str]] = []
        self._node = node
        self.task = asyncio.create_task(self._read())

    async def _read(self) -> None:
        async with self._node.watch() as changes:
            async for change in changes:
                assert isinstance(change, PresenceChange)
                self.told.append((change.peer.name, str(change.presence), change.reason))

    async def until(self, presence: str, reason: str = "") -> None:
        """Wait until that is the latest."""
        await until(
            lambda: self.told and self.told[-1][1] == presence and reason in self.told[-1][2]
        )

    def heard(self) -> list[str]:
        """The presences, in order."""
        return [presence for _, presence, _ in self.told]


@pytest.fixture
def impatient(monkeypatch):
    """Silence is noticed in a second, not in half a minute."""
    monkeypatch.setattr("mesh.constants.PING_AFTER_SECONDS", 0.1)
    monkeypatch.setattr("mesh.constants.UNRESPONSIVE_AFTER_SECONDS", 0.4)
    monkeypatch.setattr("mesh.constants.LOST_AFTER_SECONDS", 0.8)


async def meet_process(alice, other):
    """Make a node here and one in another process trust each other, and connect them."""
    alice.trust.allow(other.id, name="other")
    await other.ask("allow", str(alice.id), "alice")
    return await alice.connect(other.endpoint, id=other.id)


async def test_a_peer_is_not_seen_and_then_connected(alice, bob):
    """Both sides are told, whoever dialled; whoever begins to watch later is told at once."""
    introduce(alice, bob)
    watchers = Watcher(alice), Watcher(bob)
    assert alice.presence("bob") is bob.presence("alice") is Presence.NOT_SEEN
    waiting = asyncio.create_task(bob.wait_for_presence("alice", "connected", timeout=20))
    await alice.connect(bob.endpoints[0], id=bob.id)
    assert await waiting is Presence.CONNECTED
    assert alice.presence("bob") == bob.presence(alice.id) == "connected"
    late = Watcher(alice)
    for watcher, name in zip((*watchers, late), ("bob", "alice", "bob"), strict=True):
        await watcher.until("connected")
        assert watcher.told == [(name, "connected", "a session has begun")]


async def test_a_cut_is_told_and_so_is_the_new_connection(alice, bob, impatient):
    """The dialler is told at once, the listener with its next ping."""
    async with Relay(bob.endpoints[0]) as relay:
        await join(alice, bob, relay.endpoint)
        watchers = Watcher(alice), Watcher(bob)
        swallow = True
        relay.alter = lambda _towards, body: [] if swallow else [body]
        waiting = [
            asyncio.create_task(node.wait_for_presence(name, "no connection", timeout=20))
            for node, name in ((alice, "bob"), (bob, "alice"))
        ]
        relay.cut()
        assert await asyncio.gather(*waiting) == ["no connection"] * 2
        swallow = False
        for watcher in watchers:
            await watcher.until("connected")
            assert ("no connection", "the last connection is lost") in [
                told[1:] for told in watcher.told
            ]
        await alice.close()


@pytest.mark.slow
async def test_a_killed_peer_is_cut_off_and_then_lost(start_node, start_process, impatient):
    """Its connection ends at once; thirty seconds later nobody counts on it any more."""
    alice = await start_node("alice", close_timeout_seconds=0.2)
    other = await start_process()
    await meet_process(alice, other)
    watcher = Watcher(alice)
    await watcher.until("connected")
    await other.end(kill=True)
    assert await alice.wait_for_presence("other", "lost", "closed", timeout=20) == "lost"
    await watcher.until("lost")
    assert watcher.heard()[-2:] == ["no connection", "lost"]
    assert watcher.told[-1][2] == "silent for 0.8 s"


async def test_a_frozen_peer_is_unresponsive_then_lost_then_connected(
    alice, start_process, impatient
):
    """Its connection stands meanwhile: heartbeats would give it up only after six seconds."""
    other = await start_process()
    await meet_process(alice, other)
    watcher = Watcher(alice)
    await watcher.until("connected")
    other.process.send_signal(signal.SIGSTOP)
    try:
        for presence in ("unresponsive", "lost"):
            await alice.wait_for_presence("other", presence, timeout=20)
    finally:
        other.process.send_signal(signal.SIGCONT)
    await alice.wait_for_presence("other", "connected", timeout=20)
    await watcher.until("connected", "heard again")
    assert watcher.heard()[-3:] == ["unresponsive", "lost", "connected"]


async def test_another_run_of_a_peer_is_told(tmp_path, alice, start_process):
    """Killed and started again with its home, it is connected by itself, and the reason says so."""
    other = await start_process(home=str(tmp_path / "home"))
    await meet_process(alice, other)
    watcher = Watcher(alice)
    await other.end(kill=True)
    await watcher.until("no connection")
    await start_process(home=str(tmp_path / "home"), listen=other.endpoint)
    await watcher.until("connected", "the peer has restarted")
    assert alice.presence("other") == "connected"


async def test_a_goodbye_is_told_and_ends_the_watch_of_whoever_says_it(alice, bob):
    """The peer is closed there; here waits end with NodeClosed, and iteration stops."""
    await join(alice, bob)
    watchers = Watcher(alice), Watcher(bob)
    waiting = asyncio.create_task(bob.wait_for_presence("alice", "lost"))
    await watchers[1].until("connected")
    await bob.close()
    await watchers[0].until("closed")
    assert watchers[0].told[-1] == ("bob", "closed", "the peer has closed")
    assert alice.presence("bob") == "closed"
    await asyncio.wait_for(watchers[1].task, 20)
    with pytest.raises(NodeClosed):
        await waiting
    for attempt in (lambda: bob.presence("alice"), bob.watch):
        with pytest.raises(NodeClosed):
            attempt()
    await bob.start()
    assert bob.presence("alice") == "not seen"


async def test_a_denied_peer_disappears_here_and_is_told_there(alice, bob):
    """Nothing is kept of whom this node does not trust; allowed again, it is met again."""
    await join(alice, bob)
    watchers = Watcher(alice), Watcher(bob)
    closed = asyncio.create_task(alice.wait_for_presence("bob", "closed"))
    waiting = asyncio.create_task(alice.wait_for_presence("bob", "lost"))
    for watcher in watchers:
        await watcher.until("connected")
    alice.trust.deny("bob")
    assert await closed == "closed"
    with pytest.raises(NotTrusted):
        await waiting
    for watcher, last in zip(watchers, ("not seen", "closed"), strict=True):
        await watcher.until(last)
    assert watchers[1].told[-1] == ("alice", "closed", "the peer has closed: revoked")
    assert alice.presence("bob") == "not seen"
    alice.trust.allow(bob.id, name="bob")
    await alice.connect(bob.endpoints[0], id=bob.id)
    await watchers[0].until("connected")


@pytest.mark.slow
async def test_a_blocking_handler_makes_nobody_look_unresponsive(alice, bob, carol, monkeypatch):
    """A plain `def` that takes a minute keeps a thread, not its node: others are answered."""
    monkeypatch.setattr("mesh.constants.PING_AFTER_SECONDS", 0.2)
    monkeypatch.setattr("mesh.constants.UNRESPONSIVE_AFTER_SECONDS", 1.0)
    released, entered = threading.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()

    @bob.serve("block")
    def block(body):
        loop.call_soon_threadsafe(entered.set)
        return released.wait(PATIENCE_SECONDS)

    @bob.on("block")
    def block_too(body):
        released.wait(PATIENCE_SECONDS)

    await join(alice, bob)
    await join(carol, bob)
    try:
        blocked = asyncio.create_task(alice.call("bob", "block", timeout=PATIENCE_SECONDS))
        receipt = await alice.send("bob", "block", None)
        await entered.wait()
        for number in range(100):
            assert await carol.call("bob", "echo", number) == number
            assert await alice.call("bob", "echo", number) == number
        fallen_silent = [
            asyncio.create_task(node.wait_for_presence("bob", "unresponsive", "lost", timeout=1.5))
            for node in (alice, carol)
        ]
        for waiting in fallen_silent:
            with pytest.raises(WaitTimeout):
                await waiting
        assert not blocked.done()
    finally:
        released.set()
    assert await blocked is True
    await receipt.handled()
