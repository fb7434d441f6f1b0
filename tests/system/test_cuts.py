"""Connections that end again and again under traffic, under fresh keys, and when nobody speaks."""

from itertools import islice

import pytest

from endurance.cutter import Cutter
from endurance.faults import NUMBERS_ALONE_BYTES, DropShort, Ration
from endurance.relay import Relay
from nodes import Journal, digest_of, join, numbered, until
from talk import Talk

MESSAGES = 100_000
CUTS = 20
# So large that no two share a frame.
LARGE = 1 << 19
UNDER_WAY = (32 << 20) // LARGE


@pytest.mark.slow
async def test_a_hundred_thousand_messages_each_way_survive_cuts_and_rekeys(
    start_node, dice, monkeypatch
):
    """A cut every 50 to 300 ms, FIN or RST, and fresh keys each second: once, in order, unchanged.

    It all happens in the chain of one handshake: each new connection is greeted by its sessions.
    A busy machine may be late with the answer to a greeting, but has to give it.
    """
    monkeypatch.setattr("mesh.constants.HELLO_TIMEOUT_SECONDS", 5.0)
    alice = await start_node("alice", rekey_after_seconds=1.0)
    bob = await start_node("bob", rekey_after_seconds=1.0)
    async with Relay(bob.endpoints[0]) as relay:
        talk = Talk(alice, bob, MESSAGES, share=100)
        await join(alice, bob, relay.endpoint)
        async with Cutter(relay, dice) as cutter:
            await talk.speak()
            await until(lambda: cutter.in_traffic >= 30)
        await talk.check_heard()
        assert {cut.reset for cut in cutter.cuts} == {False, True}
        for node in (alice, bob):
            counters = node.counters()
            assert counters["sessions.established"] == 1
            assert counters["sessions.renewed"] >= 5
        assert alice.counters()["handshakes.begun"] == 1
        await alice.close()
        await bob.close()
        talk.check_now()


@pytest.mark.slow
async def test_a_way_that_dies_without_a_word_is_replaced(alice, bob):
    """Nothing comes by it any more, and nobody hears that it ended; the dialler has nothing to say.

    What the listener says reaches it all the same, by a new connection and in the same session.
    """
    journal = Journal(alice)
    async with Relay(bob.endpoints[0]) as relay:
        await join(alice, bob, relay.endpoint)
        assert relay.abandon() == 1
        bodies = numbered(2000)
        for body in bodies:
            receipt = await bob.send("alice", "log", body)
        await receipt.handled()
        assert journal.bodies == bodies
        assert relay.connections == 2
        assert alice.counters()["sessions.established"] == 1
        assert alice.presence("bob") == "connected"
        await alice.close()


@pytest.mark.slow
async def test_much_that_nobody_acknowledged_survives_many_cuts(start_node, dice):
    """32 MiB are under way unacknowledged at each of 20 cuts, and come once, in order.

    Between two cuts two bodies get through, and no acknowledgement by itself: what the peer has
    the sender learns by the answer to its next greeting, and sends all the rest again.
    """
    count = UNDER_WAY + 2 * CUTS
    alice, bob = [
        await start_node(name, window_bytes=2 * count * LARGE) for name in ("alice", "bob")
    ]
    journal, bodies = Journal(bob), [dice.randbytes(LARGE) for _ in range(count)]
    ration, drop = Ration(LARGE), DropShort(NUMBERS_ALONE_BYTES)
    drop.on = True
    async with Relay(bob.endpoints[0], lambda *frame: drop(*frame) and ration(*frame)) as relay:
        await join(alice, bob, relay.endpoint)
        unacknowledged = alice.running.engine.outgoing(bob.id).unacknowledged

        def full() -> bool:
            return sum(batch.size for batch in unacknowledged.values()) >= UNDER_WAY * LARGE

        sent = iter(bodies)
        for body in islice(sent, UNDER_WAY):
            await alice.send("bob", "log", body)
        for cut in range(1, CUTS + 1):
            await until(lambda: not ration.left and ration.refused and full())
            await journal.until(2 * (cut - 1))
            ration.left, ration.refused = 2, 0
            assert relay.cut(reset=dice.random() < 0.5) == 1
            for body in islice(sent, 2):
                receipt = await alice.send("bob", "log", body)
        ration.left, drop.on = 2 * count, False
        await receipt.handled()
        await alice.close()
    assert relay.connections >= CUTS
    assert digest_of(journal.bodies) == digest_of(bodies)
    assert bob.counters()["sessions.established"] == 1
