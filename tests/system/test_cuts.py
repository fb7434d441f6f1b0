"""Connections that end again and again under traffic, under fresh keys, and when nobody speaks."""

import pytest

from endurance.cutter import Cutter
from endurance.relay import Relay
from nodes import Journal, join, until
from talk import Talk

MESSAGES = 100_000
LARGE_BYTES = 1 << 18
LARGE_BODIES = 128
LARGE_CUTS = 20


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
        await talk.check_heard()
        assert cutter.in_traffic >= 30
        assert {cut.reset for cut in cutter.cuts} == {False, True}
        for node in (alice, bob):
            counters = node.counters()
            assert counters["sessions.established"] == 1
            assert counters["sessions.renewed"] >= 5
        assert alice.counters()["handshakes.begun"] == 1
        await alice.close()
        await bob.close()
        talk.check_now()


async def test_what_the_listener_says_after_a_cut_reaches_a_silent_dialler(alice, bob):
    """The dialler has nothing to say, and comes back for what the other side has."""
    journal = Journal(alice)
    async with Relay(bob.endpoints[0]) as relay:
        await join(alice, bob, relay.endpoint)
        for number in range(6):
            relay.cut(reset=number % 2 == 0)
            await bob.send("alice", "log", [number, "at once"])
            await until(lambda: not bob.running.has_way(alice.id) or relay.connections == number + 2)  # noqa: B023
            await (await bob.send("alice", "log", [number, "later"])).handled()
        assert journal.bodies == [[n, when] for n in range(6) for when in ("at once", "later")]
        assert alice.counters()["sessions.established"] == 1
        assert "sent.batches" not in alice.counters()
        await alice.close()
