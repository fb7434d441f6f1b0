"""Fresh keys under traffic, between two processes."""

import asyncio

import pytest

from nodes import Ticker, digest_of, introduce, numbered, until

MESSAGES = 200_000
SLICES = 100


@pytest.mark.slow
async def test_renewals_lose_nothing_and_begin_nothing_anew(start_node, start_process):
    """200,000 messages cross at least five renewals: all there, in order, in one XX session."""
    other = await start_process(rekey_after_seconds=1.0)
    alice = await start_node("alice", rekey_after_seconds=1.0)
    alice.trust.allow(other.id, name="other")
    await other.ask("allow", str(alice.id), "alice")
    await alice.connect(other.endpoint, id=other.id)
    bodies = numbered(MESSAGES)
    ticker = Ticker(0.07)
    share = MESSAGES // SLICES
    for first in range(0, MESSAGES, share):
        for body in bodies[first : first + share]:
            receipt = await alice.send("other", "log", body)
        await ticker.next()
    await receipt.handled()
    ticker.stop()
    assert ticker.times[-1] - ticker.times[0] >= 6.0
    assert await other.ask("tally", "alice") == [MESSAGES, digest_of(bodies)]
    for counters in (alice.counters(), await other.ask("counters")):
        assert counters["sessions.renewed"] >= 5
        assert counters["sessions.established"] == 1


async def test_both_sides_renew_while_both_talk(start_node):
    """With the shortest interval and both sides sending, renewals happen and order stays."""
    alice = await start_node("alice", rekey_after_seconds=0.5)
    bob = await start_node("bob", rekey_after_seconds=0.5)
    heard = {alice: [], bob: []}
    for node, bodies in heard.items():
        node.on("log")(_noting(bodies))
    introduce(alice, bob)
    await alice.connect(bob.endpoints[0], id=bob.id)
    await bob.wait_for("alice")

    def renewed(node):
        return node.counters().get("sessions.renewed", 0)

    sent = 0
    ticker = Ticker(0.002)

    async def talk():
        nonlocal sent
        while min(renewed(alice), renewed(bob)) < 3:
            await alice.send("bob", "log", sent)
            await bob.send("alice", "log", sent)
            sent += 1
            await ticker.next()

    await asyncio.wait_for(talk(), 30)
    ticker.stop()
    await until(lambda: min(map(len, heard.values())) >= sent)
    assert heard[alice] == heard[bob] == list(range(sent))
    assert alice.counters()["sessions.established"] == 1
    assert bob.counters()["sessions.established"] == 1


def _noting(bodies):
    async def note(body):
        bodies.append(body)

    return note
