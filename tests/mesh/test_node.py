"""The façade: what a program calls, on real sockets in one process."""

import asyncio
import os
import signal

import pytest

import mesh
from handshake.identity import Identity
from mesh.errors import (
    BufferFull,
    CallTimeout,
    DeliveryFailed,
    HomeInUse,
    InvalidConfiguration,
    InvalidMessage,
    MessageTooLarge,
    NodeClosed,
    NotTrusted,
    PeerUnreachable,
    UnknownPeer,
)
from mesh.limits import BULK_BYTES
from mesh.node import Node
from nodes import Journal, introduce, join, until

ZOE = Identity(bytes(range(32))).id


@pytest.fixture(autouse=True)
def no_settings(monkeypatch):
    """The environment of whoever runs the tests does not count."""
    for variable in [name for name in os.environ if name.startswith("MESH_")]:
        monkeypatch.delenv(variable)


@pytest.fixture
async def make_node():
    """Make nodes that are closed at the end."""
    made = []

    def make(name, **fields):
        node = Node(name, **{"home": ":memory:", "close_timeout_seconds": 1.0, **fields})
        made.append(node)
        return node

    yield make
    for node in made:
        await node.close()


@pytest.fixture
async def alice(make_node):
    """A running node."""
    node = make_node("alice")
    await node.start()
    return node


@pytest.fixture
async def bob(make_node):
    """Another one, which answers what it is asked."""
    node = make_node("bob")

    @node.serve("echo")
    async def echo(body):
        return body

    await node.start()
    return node


@pytest.fixture
def journal(bob):
    """What bob is told under "log"."""
    return Journal(bob)


@pytest.fixture
async def joined(alice, bob):
    """Bob, as Alice knows him."""
    return await join(alice, bob)


# -- before the start


def test_making_a_node_touches_nothing(tmp_path):
    """No folder, no socket, no key; what needs them says how to get there."""
    node = Node("alice", home=tmp_path / "home")
    assert not (tmp_path / "home").exists()
    assert repr(node) == "<Node 'alice' not running>"
    assert node.name == "alice"
    assert node.counters() == {}
    for ask in ("id", "endpoints", "peers", "running"):
        with pytest.raises(NodeClosed):
            getattr(node, ask)


def test_the_name_and_everything_else_may_be_configured(tmp_path, monkeypatch):
    """Keywords win over variables; an unknown keyword is refused."""
    monkeypatch.setenv("MESH_NAME", "from the environment")
    assert Node(home=":memory:").name == "from the environment"
    assert Node("alice", home=":memory:").name == "alice"
    with pytest.raises(InvalidConfiguration):
        Node("alice", home=":memory:", lissen="tcp://127.0.0.1:0")


async def test_trust_may_be_given_before_the_start(tmp_path, bob):
    """A list that is made before the first start counts in it and in later ones."""
    for _ in range(2):
        node = Node("alice", home=tmp_path / "home")
        if not node.trust.list():
            node.trust.allow(bob.id, name="bob")
        async with node:
            bob.trust.allow(node.id, name="alice")
            assert (await node.connect(bob.endpoints[0])).name == "bob"


# -- life


async def test_a_block_starts_and_closes(make_node):
    """Inside the node listens; after it nothing works any more, and closing again is harmless."""
    node = make_node("alice")
    async with node as entered:
        assert entered is node
        assert repr(node) == "<Node 'alice' running>"
        assert node.endpoints[0].startswith("tcp://127.0.0.1:")
        assert node.peers == []
        before = node.id
    assert node.id == before
    for attempt in (
        lambda: node.send(ZOE, "log", b"x"),
        lambda: node.call(ZOE, "echo"),
        lambda: node.connect("tcp://127.0.0.1:1"),
        lambda: node.wait_for(ZOE),
        lambda: node.wait_for_presence(ZOE, "lost"),
        lambda: node.ping(ZOE),
        lambda: node.peer(ZOE),
    ):
        with pytest.raises(NodeClosed):
            await attempt()
    for at_once in (lambda: node.post(ZOE, "log", b"x"), lambda: node.presence(ZOE), node.watch):
        with pytest.raises(NodeClosed):
            at_once()
    await node.close()


async def test_a_running_node_is_not_started_twice(alice):
    """The second start is refused and changes nothing."""
    endpoints = alice.endpoints
    with pytest.raises(HomeInUse):
        await alice.start()
    assert alice.endpoints == endpoints


async def test_everybody_who_closes_waits_for_the_end(alice, bob, joined):
    """Two closers and a starter: the second close and the start wait until it is over."""
    entered, go_on = asyncio.Event(), asyncio.Event()

    @alice.on("job")
    async def job(body):
        entered.set()
        await go_on.wait()

    await bob.send("alice", "job", 1)
    await entered.wait()
    first = asyncio.create_task(alice.close())
    await asyncio.sleep(0)
    second = asyncio.create_task(alice.close())
    again = asyncio.create_task(alice.start())
    await asyncio.sleep(0)
    assert not second.done()
    assert not again.done()
    go_on.set()
    await asyncio.gather(first, second, again)
    assert alice.endpoints


async def test_a_failed_start_gives_the_home_back(tmp_path, alice):
    """A port in use, a key that is damaged: the next start of that home works."""
    home = tmp_path / "home"
    with pytest.raises(InvalidConfiguration):
        await Node("bob", home=home, listen=alice.endpoints).start()
    async with Node("bob", home=home) as node:
        assert node.id
    key = home / "identity.toml"
    text = key.read_bytes()
    key.write_bytes(b"damaged")
    with pytest.raises(InvalidConfiguration):
        await Node("bob", home=home).start()
    key.write_bytes(text)
    async with Node("bob", home=home) as again:
        assert again.id == node.id


async def test_a_node_closed_while_it_starts_stays_closed(make_node, tmp_path, monkeypatch):
    """The start says so, and leaves no control socket behind."""
    node = make_node("alice", home=tmp_path / "home")
    closed = []
    opening = "mesh.runtime.control.Control.open"

    async def open_slowly(self, home):
        await node.close()
        closed.append(self)

    monkeypatch.setattr(opening, open_slowly)
    with pytest.raises(NodeClosed, match="while it started"):
        await node.start()
    assert closed
    with pytest.raises(NodeClosed):
        _ = node.endpoints


async def test_a_throw_away_node_keeps_its_identity_and_trust(make_node, bob):
    """In memory nothing outlives the object, but a new start is the same node."""
    node = make_node("alice")
    async with node:
        await join(node, bob)
        first = node.id
        assert node.counters()["sessions.established"] == 1
    async with node:
        assert node.id == first
        assert node.counters() == {}
        assert [entry.id for entry in node.trust.list()] == [bob.id]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_a_signal_ends_the_run(make_node, number):
    """Until the signal it runs; afterwards the signal means again what it meant before."""
    node = make_node("alice")
    before = signal.getsignal(number)
    running = asyncio.create_task(node.run_until_signal())
    await until(lambda: node._running is not None and node._running.control.on_stop)
    os.kill(os.getpid(), number)
    await asyncio.wait_for(running, 20)
    with pytest.raises(NodeClosed):
        _ = node.endpoints
    assert signal.getsignal(number) in (before, signal.SIG_DFL, signal.default_int_handler)


def test_run_is_for_programs_without_asyncio():
    """`run` blocks until a signal, and closes."""
    node = Node("alice", home=":memory:")
    told = []

    async def tell():
        told.append(node.endpoints)
        os.kill(os.getpid(), signal.SIGTERM)

    started = node.start

    async def start():
        await started()
        asyncio.get_running_loop().call_soon(asyncio.ensure_future, tell())

    node.start = start
    node.run()
    assert told
    with pytest.raises(NodeClosed):
        _ = node.endpoints


# -- peers


async def test_connect_gives_the_peer(alice, bob):
    """By endpoint alone, with an id, its text, a petname or a Peer: always the same one."""
    introduce(alice, bob)
    [endpoint] = bob.endpoints
    peer = await alice.connect(endpoint)
    for pin in (bob.id, str(bob.id), "bob", peer):
        assert await alice.connect(endpoint, id=pin, timeout=20) is peer
    assert alice.peers == [peer]
    assert (peer.id, peer.name) == (bob.id, "bob")
    for nonsense in ("nobody", 7):
        with pytest.raises(UnknownPeer):
            await alice.connect(endpoint, id=nonsense)


async def test_the_configured_timeout_counts_where_none_is_given(make_node):
    """`connect` and `wait_for` wait as long as the configuration says."""
    node = make_node("alice", connect_timeout_seconds=0.05)
    async with node:
        with pytest.raises(PeerUnreachable, match=r"within 0\.05 s"):
            await node.connect("tcp://127.0.0.1:1")
        with pytest.raises(PeerUnreachable, match=r"within 0\.05 s"):
            await node.wait_for(ZOE)


async def test_peer_needs_a_session_and_wait_for_waits(alice, bob):
    """Before there is a session `peer` raises; `wait_for` returns when it is there."""
    alice.trust.allow(bob.id, name="bob")
    with pytest.raises(PeerUnreachable, match="bob: connect to it or wait_for it"):
        await alice.peer("bob")
    waiting = asyncio.create_task(alice.wait_for("bob", timeout=20))
    peer = await join(alice, bob)
    assert await waiting is peer
    assert await alice.peer("bob") is peer


async def check_all_raise(node, name, kind, words="."):
    """Whatever is said to this peer ends with such an error."""
    for coroutine in (node.send(name, "log", b"x"), node.call(name, "echo"), node.ping(name)):
        with pytest.raises(kind, match=words):
            await coroutine
    with pytest.raises(kind, match=words):
        node.post(name, "log", b"x")


@pytest.mark.parametrize("name", ["nobody", 7, None])
async def test_names_that_nobody_bears_are_unknown(alice, name):
    """Whatever stands in the place of a name."""
    await check_all_raise(alice, name, UnknownPeer)


async def test_a_peer_without_a_session_is_unreachable_or_not_trusted(alice):
    """Who is not on the list, or denied, can have none: the error says what would change it."""
    await check_all_raise(alice, ZOE, NotTrusted, r"not trusted by this node.*trust\.allow")
    alice.trust.deny(ZOE)
    await check_all_raise(alice, str(ZOE), NotTrusted, r"denied by this node.*trust\.allow")
    with pytest.raises(NotTrusted, match="denied by this node"):
        await alice.wait_for(ZOE)
    alice.trust.allow(ZOE, name="zoe")
    await check_all_raise(alice, "zoe", PeerUnreachable)


async def test_a_ping_says_how_long_it_took(alice, joined):
    """Seconds of a sealed round trip."""
    assert 0 < await alice.ping(joined) < 20


async def test_presence_is_asked_for_awaited_and_watched(alice, bob):
    """Of a peer by any of its names; an unknown name, and a text that is none, are errors."""
    async with alice.watch() as changes:
        peer = await join(alice, bob)
        for name in (peer, bob.id, str(bob.id), "bob"):
            assert alice.presence(name) is mesh.Presence.CONNECTED
            assert await alice.wait_for_presence(name, "lost", "connected") == "connected"
        told = await anext(changes)
    assert told == mesh.PresenceChange(peer, mesh.Presence.CONNECTED, "a session has begun")
    assert alice.presence(ZOE) == "not seen"
    with pytest.raises(UnknownPeer):
        alice.presence("nobody")
    with pytest.raises(UnknownPeer):
        await alice.wait_for_presence("nobody", "lost")
    with pytest.raises(InvalidConfiguration, match="'away'"):
        await alice.wait_for_presence("bob", "away")
    with pytest.raises(mesh.WaitTimeout):
        await alice.wait_for_presence(ZOE, "connected", timeout=0)


# -- messages


async def test_messages_arrive_in_order_whatever_they_are(alice, joined, journal):
    """Bytes by the hot path, bulk, and other values beside each other; each with a receipt."""
    bodies = [b"a", b"b", bytes(BULK_BYTES), {"c": 1}, b"d", None, [1.5, "e"], b"f"] * 20
    for body in bodies:
        receipt = await alice.send(joined, "log", body)
    await receipt.handled()
    assert journal.bodies == bodies
    assert {peer.id for peer in journal.peers} == {alice.id}


async def test_neighbours_share_a_receipt(alice, joined, journal):
    """Messages that leave together are one batch and one receipt."""
    await alice.send(joined, "log", b"first")
    receipts = [await alice.send(joined, "log", b"next") for _ in range(10)]
    assert len(set(map(id, receipts))) == 1
    await receipts[0].handled()
    assert len(journal.bodies) == 11


async def test_the_hot_path_keeps_its_budget(alice, joined, journal):
    """More than a frame holds goes into more frames, and nothing is lost between them."""
    bodies = [b"%06d" % number for number in range(20_000)]
    for body in bodies:
        receipt = await alice.send(joined, "log", body)
    await receipt.handled()
    assert journal.bodies == bodies


async def test_post_never_waits(alice, joined, journal):
    """Until there is no room: then it raises, and what was taken arrives."""
    journal.gate.clear()
    taken = 0
    with pytest.raises(BufferFull):
        while True:
            alice.post(joined, "log", bytes(10_000))
            taken += 1
    journal.gate.set()
    assert len(await journal.until(taken)) == taken
    assert await alice.call(joined, "echo", 1) == 1


async def test_what_cannot_be_sent_raises_where_it_is_sent(alice, joined):
    """Subject, value and size are checked before anything is queued."""
    for attempt, error in (
        (("", b"x"), InvalidMessage),
        (("log", {1, 2}), InvalidMessage),
        (("log", bytes((64 << 20) + 1)), MessageTooLarge),
    ):
        for send in (alice.send, alice.call):
            with pytest.raises(error):
                await send(joined, *attempt)
        with pytest.raises(error):
            alice.post(joined, *attempt)


async def test_calls_are_answered_or_time_out(alice, bob, joined):
    """The reply is what the handler returned; without one, CallTimeout after the time given."""

    @bob.serve("never")
    async def never(body):
        await asyncio.Event().wait()

    assert await alice.call("bob", "echo", {"a": [1, b"2"]}) == {"a": [1, b"2"]}
    assert await alice.call("bob", "echo") is None
    with pytest.raises(CallTimeout):
        await alice.call("bob", "never", timeout=0.02)


async def test_the_configured_timeout_of_calls_counts(make_node, bob):
    """A call without a timeout of its own waits as long as the configuration says."""
    node = make_node("alice", call_timeout_seconds=0.02)

    @bob.serve("never")
    async def never(body):
        await asyncio.Event().wait()

    async with node:
        await join(node, bob)
        with pytest.raises(CallTimeout, match=r"0\.02 s"):
            await node.call("bob", "never")


@pytest.mark.parametrize("when", ["before", "after"])
async def test_failures_nobody_awaits_are_told(make_node, bob, when):
    """`on_failure` gets the peer and the error, registered before or after the start."""
    node = make_node("alice", close_timeout_seconds=0.05)
    told = []

    def note(peer, error):
        told.append((peer.name, error))

    if when == "before":
        assert node.on_failure(note) is note
    await node.start()
    if when == "after":
        node.on_failure(note)
    await join(node, bob)
    bob.running.pump._transport = None
    await node.send("bob", "log", 1)
    await node.close()
    bob.running.pump._transport = bob.running.transport
    [(name, error)] = told
    assert name == "bob"
    assert isinstance(error, DeliveryFailed)


async def test_who_is_told_of_failures_is_no_coroutine(make_node):
    """An `async def` would never be awaited: refused, and the one before stays."""
    node = make_node("alice")

    @node.on_failure
    def note(peer, error): ...

    with pytest.raises(InvalidConfiguration, match="nobody would await it"):

        @node.on_failure
        async def suspends(peer, error): ...

    await node.start()
    assert node.running.dispatch.on_failure is note


async def test_the_trust_list_is_made_of_public_entries(make_node):
    """What `node.trust.list()` gives has a name that a program may import."""
    node = make_node("alice")
    node.trust.allow(ZOE, name="zoe", roles=["worker"])
    assert node.trust.list() == [mesh.TrustEntry(ZOE, "zoe", ("worker",), allowed=True)]


# -- the front door


def test_the_front_door_gives_every_public_name():
    """Each name of `__all__` is there, comes from one place, and nothing else pretends to be."""
    for name in mesh.__all__:
        assert getattr(mesh, name).__name__ == name
    assert mesh.Node is Node
    assert mesh.__all__ == sorted(mesh.__all__)
    with pytest.raises(AttributeError, match="no attribute 'Nodes'"):
        _ = mesh.Nodes
