"""Connections that break in mid-stream: everything arrives once, in order, in the same session."""

import asyncio

from endurance.relay import TO_LISTENER, Relay
from nodes import Journal, Ticker, join, numbered, until

MESSAGES = 20_000
RESETS = [False, True, True, False]


async def test_cuts_lose_nothing_and_begin_nothing_anew(alice, bob):
    """20,000 messages each way across FINs and RSTs: exactly once, in order, one handshake."""
    heard = {alice: Journal(alice), bob: Journal(bob)}
    async with Relay(bob.endpoints[0]) as relay:
        await join(alice, bob, relay.endpoint)
        bodies = {alice: numbered(MESSAGES, tag=b"b"), bob: numbered(MESSAGES, tag=b"a")}

        async def talk(sender, receiver):
            ticker = Ticker(0.01)
            for number, body in enumerate(bodies[receiver]):
                await sender.send(receiver.name, "log", body)
                if number % 100 == 0:
                    await ticker.next()
            ticker.stop()

        talking = asyncio.gather(talk(alice, bob), talk(bob, alice))
        for cut, reset in enumerate(RESETS, 1):
            await until(lambda: relay.connections == cut)  # noqa: B023
            for journal in heard.values():
                await journal.until(len(journal.bodies) + 300)
            assert not talking.done()
            assert relay.cut(reset=reset) == 1
        await talking
        for node, journal in heard.items():
            assert await journal.until(MESSAGES) == bodies[node]
        assert relay.connections == len(RESETS) + 1
        for node in heard:
            counters = node.counters()
            assert counters["sessions.established"] == 1
            assert counters.get("handshakes.unanswered", 0) == 0
        assert alice.counters()["handshakes.begun"] == 1
        await alice.close()


async def test_a_listener_that_goes_away_for_a_while_is_found_again(alice, bob):
    """While nobody forwards, messages wait; when somebody does again, they arrive."""
    journal = Journal(bob)
    async with Relay(bob.endpoints[0]) as relay:
        await join(alice, bob, relay.endpoint)
        swallow, swallowed = True, []

        def alter(towards, body):
            swallowed.append(towards)
            return [] if swallow else [body]

        relay.alter = alter
        receipt = await alice.send("bob", "log", b"patience")
        await until(lambda: TO_LISTENER in swallowed)
        relay.cut()
        await until(lambda: relay.connections == 2)
        swallow = False
        await receipt.handled()
        assert journal.bodies == [b"patience"]
        await alice.close()


async def test_the_listener_uses_the_new_connection(alice, bob):
    """After a cut, the side that cannot dial answers by the new connection, in the same session."""
    journal = Journal(alice)
    async with Relay(bob.endpoints[0]) as relay:
        await join(alice, bob, relay.endpoint)
        for number in range(3):
            relay.cut(reset=True)
            await (await bob.send("alice", "log", number)).handled()
        assert journal.bodies == list(range(3))
        assert bob.counters()["sessions.established"] == 1
        await alice.close()
