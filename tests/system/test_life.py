"""Starting, meeting and ending, in every order."""

import asyncio
import os
import signal
import socket
import sys
import threading

import pytest

from handshake.identity import Identity
from mesh import HomeInUse, InvalidConfiguration, Node, NodeClosed, PeerUnreachable
from nodes import Journal, introduce, join, until

PROGRAM = """
import sys
from mesh import Node
node = Node("runner", home=sys.argv[1])
sys.stdout.write("made\\n"); sys.stdout.flush()
import asyncio
async def tell():
    async with asyncio.timeout(20):
        await node.run_until_signal()
if sys.argv[2] == "run":
    node.run()
else:
    asyncio.run(tell())
sys.stdout.write("ended\\n")
"""


async def test_two_nodes_that_dial_each_other_at_once_meet_once(start_node):
    """Crossing handshakes end with one session to send on, and messages pass both ways."""
    for _ in range(5):
        alice, bob = await start_node("alice"), await start_node("bob")
        introduce(alice, bob)
        heard = Journal(alice), Journal(bob)
        await asyncio.gather(
            alice.connect(bob.endpoints[0], id=bob.id),
            bob.connect(alice.endpoints[0], id=alice.id),
        )
        for number in range(100):
            await alice.send("bob", "log", number)
            await bob.send("alice", "log", number)
        for journal in heard:
            assert await journal.until(100) == list(range(100))
        await asyncio.gather(alice.close(), bob.close())


@pytest.fixture
def free_endpoint():
    """An endpoint at which nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as plain:
        return f"tcp://127.0.0.1:{plain.getsockname()[1]}"


async def test_a_peer_that_starts_later_is_reached(alice, make_node, free_endpoint):
    """`connect` waits for a peer that is not there yet."""
    bob = make_node("bob", listen=free_endpoint)
    alice_id = alice.id
    bob.trust.allow(alice_id, name="alice")
    refusals = Refusals(alice)
    connecting = asyncio.create_task(alice.connect(free_endpoint))
    await refusals.until(3)
    await bob.start()
    alice.trust.allow(bob.id, name="bob")
    assert (await connecting).name == "bob"


class Refusals:
    """Counts how often nobody accepted the node's connection."""

    def __init__(self, node):
        self.count = 0
        dialer = node.running.dialer
        told = node.running.pump._on_notice

        def note(notice):
            told(notice)
            self.count += "nobody accepts" in "".join(trouble for *_, trouble in dialer.wishes())

        node.running.pump._on_notice = note

    async def until(self, count):
        """Wait for so many."""
        await until(lambda: self.count >= count)


async def test_a_configured_peer_that_starts_later_is_reached(make_node, free_endpoint):
    """`connect=` dials for ever, so the order of starting does not matter."""
    alice, bob = make_node("alice", connect=free_endpoint), make_node("bob", listen=free_endpoint)
    await alice.start()
    await Refusals(alice).until(1)
    await bob.start()
    introduce(alice, bob)
    assert (await alice.wait_for("bob")).id == bob.id


async def test_connect_says_why_nobody_was_reached(alice, free_endpoint):
    """The error after the timeout tells what was wrong, and the wish is withdrawn."""
    with pytest.raises(PeerUnreachable, match="nobody accepts connections there"):
        await alice.connect(free_endpoint, timeout=0.5)
    assert alice.running.dialer.wishes() == []


async def test_connect_says_that_something_else_answers(alice):
    """A port of another program is called what it is."""
    server = await asyncio.start_server(_hang_up, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(PeerUnreachable, match="ZeroMQ"):
            await alice.connect(f"tcp://127.0.0.1:{port}", timeout=0.5)


def _hang_up(_reader, writer):
    writer.write(b"220 mail.example ESMTP\r\n" * 10)
    writer.close()


async def test_connecting_twice_is_one_connection(alice, bob):
    """The second `connect` to an endpoint returns at once, and so do ten at the same time."""
    introduce(alice, bob)
    [endpoint] = bob.endpoints
    peers = await asyncio.gather(*[alice.connect(endpoint, id=bob.id) for _ in range(10)])
    peers.append(await alice.connect(endpoint, id=str(bob.id), timeout=0.001))
    peers.append(await alice.connect(endpoint, id="bob", timeout=0.001))
    assert set(peers) == {await alice.peer("bob")}
    assert alice.counters()["handshakes.begun"] == 1


async def test_a_peer_is_named_in_four_ways(alice, bob):
    """Peer, id, id's text and petname all lead to it."""
    journal = Journal(bob)
    peer = await join(alice, bob)
    for name in (peer, bob.id, str(bob.id), "bob"):
        await alice.send(name, "log", str(name))
        assert await alice.call(name, "echo", 1) == 1
        assert await alice.peer(name) is peer
    assert len(await journal.until(4)) == 4


async def test_what_is_queued_at_close_is_delivered(alice, bob):
    """Everything sent before `close` arrives, however slowly it is handled."""
    journal = Journal(bob)
    await join(alice, bob)
    journal.gate.clear()
    for number in range(5000):
        await alice.send("bob", "log", number)
    closing = asyncio.create_task(alice.close())
    journal.gate.set()
    await closing
    assert await journal.until(5000) == list(range(5000))


async def test_handlers_finish_and_may_send_while_their_node_closes(alice, bob):
    """A handler that has begun when its node closes ends its work, sending included."""
    journal, entered = Journal(bob, "done"), asyncio.Event()

    @alice.on("job")
    async def job(body):
        entered.set()
        await asyncio.sleep(0)
        assert await alice.call("bob", "echo", body) == body
        await alice.send("bob", "done", body)

    await join(alice, bob)
    await bob.send("alice", "job", 7)
    await entered.wait()
    await alice.close()
    assert await journal.until(1) == [7]


async def test_a_busy_node_says_goodbye_all_the_same(start_node, alice):
    """A handler that never ends does not keep the peers from hearing that the node closes."""
    bob = await start_node("bob", close_timeout_seconds=0.4)
    entered = asyncio.Event()

    @bob.on("log")
    async def log(body):
        entered.set()
        await asyncio.Event().wait()

    await join(alice, bob)
    await alice.send("bob", "log", 1)
    await entered.wait()
    await bob.close()
    assert alice.presence(bob.id) == "closed"
    assert alice.peers == []


async def test_close_during_connect_ends_the_wait(alice, free_endpoint):
    """Whoever waits for a connection or a peer is told that the node closes, at once."""
    alice.trust.allow(stranger_id(), name="zoe")
    waiting = [
        asyncio.create_task(alice.connect(free_endpoint, timeout=600)),
        asyncio.create_task(alice.wait_for("zoe", timeout=600)),
    ]
    await until(lambda: alice.running.dialer.wishes() and alice.running._arrivals)
    await alice.close()
    for task in waiting:
        with pytest.raises(NodeClosed):
            await task


def stranger_id():
    """An id that nobody has the key of."""
    return Identity.generate(os.urandom).id


async def test_a_node_starts_again_after_it_closed(alice, bob):
    """Closed and started, even in memory it has the same identity and trust, and new counters."""
    await join(alice, bob)
    before = alice.id
    await alice.close()
    await alice.close()
    with pytest.raises(NodeClosed):
        _ = alice.endpoints
    await alice.start()
    assert alice.id == before
    assert alice.counters() == {}
    await alice.connect(bob.endpoints[0], id="bob")
    await bob.wait_for("alice")
    assert await bob.call("alice", "echo", 1) == 1


async def test_entering_a_running_node_is_refused_and_harmless(alice, bob):
    """The second `async with` raises HomeInUse; the node goes on."""
    await join(alice, bob)
    with pytest.raises(HomeInUse):
        async with alice:
            pass
    assert await alice.call("bob", "echo", 1) == 1


async def test_an_exception_inside_the_block_passes_and_closes(make_node):
    """The program's own error is what the program sees."""
    node = make_node("alice")
    with pytest.raises(ZeroDivisionError):
        async with node:
            _ = 1 / 0
    with pytest.raises(NodeClosed):
        _ = node.endpoints


async def test_a_failed_start_leaves_nothing_behind(tmp_path, bob):
    """A port in use: the error says so, the home is free, and no descriptor is left open."""
    home = tmp_path / "home"
    [taken] = bob.endpoints
    free = await descriptors()
    with pytest.raises(InvalidConfiguration, match="in use"):
        await Node("alice", home=home, listen=["tcp://127.0.0.1:0", taken]).start()
    await until(lambda: len(os.listdir("/proc/self/fd")) <= free)
    async with Node("alice", home=home) as alice:
        assert alice.endpoints


async def descriptors():
    """How many files are open."""
    return len(os.listdir("/proc/self/fd"))


async def test_nothing_is_left_after_close(tmp_path):
    """Ten lives of two nodes: no file, thread or task remains."""
    before = None
    for life in range(10):
        a, b = Node("a", home=tmp_path / "a"), Node("b", home=tmp_path / "b")

        @b.serve("thread")
        def thread(body):
            return body

        async with a, b:
            await join(a, b)
            assert await a.call("b", "thread", life) == life
        if before is None:
            await until(lambda: not handler_threads())
            before = await descriptors()
    await until(lambda: not handler_threads() and len(os.listdir("/proc/self/fd")) <= before)
    assert asyncio.all_tasks() == {asyncio.current_task()}


def handler_threads():
    """Threads that run handlers."""
    return [thread for thread in threading.enumerate() if "noisemesh" in thread.name]


@pytest.mark.parametrize("how", ["run", "coroutine"])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_ends_run_cleanly(tmp_path, root, how, number):
    """SIGTERM or SIGINT: the node closes, gives its home back, and the program goes on."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", PROGRAM, str(tmp_path / "home"), how,
        stdout=asyncio.subprocess.PIPE, cwd=root, env={**os.environ, "PYTHONPATH": str(root)},
    )  # fmt: skip
    assert process.stdout is not None
    assert await process.stdout.readline() == b"made\n"
    lock = tmp_path / "home" / "lock"
    await until(lambda: lock.exists() and lock.read_text().strip())
    process.send_signal(number)
    assert await process.stdout.read() == b"ended\n"
    assert await process.wait() == 0
    assert lock.read_text() == ""
