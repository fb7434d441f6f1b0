"""Large messages between two running nodes: beside everything else, to their end or to nothing."""

import asyncio
import time

import pytest

import pairs_of_nodes
from mesh import CallTimeout
from mesh.errors import DeliveryFailed, NodeClosed
from nodes import Journal, until

pytestmark = pytest.mark.usefixtures("quiet_loop")

PATIENCE_SECONDS = 15
MIB = 1 << 20


class Pair(pairs_of_nodes.Pair):
    """With a journal and a service of Bob's."""

    def __init__(self, **fields):
        super().__init__(**fields)
        self.journal = Journal(self.bob)

        @self.bob.serve("echo")
        async def echo(body):
            return body


async def test_messages_many_times_the_window_arrive():
    """Bytes and values, told and asked, there and back."""
    pair = Pair(window_bytes=64 * 1024, max_message_bytes=4 * MIB)
    octets, text = b"\x01\x02" * MIB, "xy" * MIB
    async with pair:
        receipt = await pair.alice.send("bob", "log", octets)
        await pair.alice.send("bob", "log", {"text": text})
        assert await pair.journal.until(2) == [octets, {"text": text}]
        await receipt.handled()
        assert await pair.alice.call("bob", "echo", octets) == octets
        assert await pair.alice.call("bob", "echo", [text]) == [text]
        counters = pair.bob.counters()
        assert not [name for name in counters if name.startswith("dropped")]


async def test_small_ones_of_the_subject_keep_their_order_and_all_others_go_by():
    """Large and small ones of one subject in turn, while calls are answered."""
    pair = Pair(window_bytes=64 * 1024, max_message_bytes=MIB)
    answers = []

    async def ask():
        while len(pair.journal.bodies) < 30:
            answers.append(await pair.alice.call("bob", "echo", len(answers)))

    async with pair:
        asking = asyncio.create_task(ask())
        sizes = [n % 3 * 40_000 + n for n in range(30)]
        for size in sizes:
            await pair.alice.send("bob", "log", b"x" * size)
        assert [len(body) for body in await pair.journal.until(30)] == sizes
        await asking
        assert answers == list(range(len(answers)))
        assert len(answers) > 10


async def test_many_senders_of_all_sizes_are_all_heard():
    """Nobody waits for ever, each keeps its order, and nothing is refused as too much."""
    pair = Pair(window_bytes=64 * 1024, max_message_bytes=256 * 1024)

    async def send(sender):
        for number in range(12):
            size = (number * 7919 + sender * 104_729) % 60_000
            await pair.alice.send("bob", "log", [sender, number, b"x" * size])

    async with pair:
        await asyncio.gather(*(send(sender) for sender in range(8)))
        bodies = await pair.journal.until(96)
        for sender in range(8):
            assert [n for of, n, _ in bodies if of == sender] == list(range(12))
        assert pair.bob.counters().get("dropped.over_credit", 0) == 0


async def test_a_large_call_that_is_given_up_leaves_its_place():
    """While it waits for room at the peer, all of which others hold; then the next goes."""
    pair = Pair(window_bytes=64 * 1024, max_message_bytes=256 * 1024)
    pair.journal.gate.clear()
    body = b"x" * (256 * 1024)
    async with pair:
        await pair.alice.send("bob", "log", body)
        await pair.journal.until(1)
        for _ in range(6):
            with pytest.raises(CallTimeout):
                await pair.alice.call("bob", "echo", body, timeout=0.05)
        outgoing = pair.alice.running.dispatch.mailboxes[pair.bob.id].outgoing
        await until(lambda: outgoing.idle)
        pair.journal.gate.set()
        assert await pair.alice.call("bob", "echo", body, timeout=PATIENCE_SECONDS) == body


async def test_closing_waits_for_what_is_in_chunks():
    """As for every message that was accepted."""
    pair = Pair(window_bytes=64 * 1024, max_message_bytes=4 * MIB, close_timeout_seconds=10.0)
    async with pair:
        receipt = await pair.alice.send("bob", "log", bytes(4 * MIB))
        await pair.alice.send("bob", "log", b"after")
        await pair.alice.close()
        await receipt.delivered()
        assert [len(body) for body in await pair.journal.until(2)] == [4 * MIB, 5]


async def test_closing_does_not_wait_for_room_that_never_comes():
    """When the time is up, whoever holds the receipt is told that nothing was delivered."""
    pair = Pair(window_bytes=64 * 1024, max_message_bytes=256 * 1024, close_timeout_seconds=0.3)
    pair.journal.gate.clear()
    async with pair:
        await pair.alice.send("bob", "log", bytes(256 * 1024))
        await pair.journal.until(1)
        receipt = await pair.alice.send("bob", "log", bytes(256 * 1024))
        behind = asyncio.create_task(pair.alice.send("bob", "log", b"behind"))
        began = time.monotonic()
        await pair.alice.close()
        assert time.monotonic() - began < PATIENCE_SECONDS
        with pytest.raises(DeliveryFailed) as raised:
            await receipt.delivered()
        assert raised.value.outcome == "not_delivered"
        with pytest.raises((NodeClosed, DeliveryFailed)):
            await behind
        pair.journal.gate.set()
