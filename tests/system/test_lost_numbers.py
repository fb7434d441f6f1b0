"""What is told by numbers alone (acknowledgements, credit) may vanish: it is told again."""

import asyncio

from endurance.faults import NUMBERS_ALONE_BYTES, DropShort
from endurance.relay import Relay
from nodes import Journal, digest_of, join, numbered, until

RESETS = [False, True]


async def test_numbers_around_cuts_are_lost(start_node, alice):
    """Around each cut no acknowledgement and no credit comes through, and the sender starves.

    It asks for the numbers, and sends again what was not acknowledged: all arrives once, in order.
    """
    bob = await start_node("bob", window_bytes=1 << 16, max_message_bytes=1 << 14)
    journal, bodies = Journal(bob), numbered(3000, 1000)
    drop = DropShort(NUMBERS_ALONE_BYTES)
    async with Relay(bob.endpoints[0], drop) as relay:
        await join(alice, bob, relay.endpoint)
        outgoing = alice.running.engine.outgoing(bob.id)

        async def send():
            for body in bodies:
                await alice.send("bob", "log", body)

        sending = asyncio.create_task(send())
        for cut, reset in enumerate(RESETS, 1):
            await journal.until(500 * cut)
            drop.on = True
            await until(lambda: outgoing.starved)
            assert relay.cut(reset=reset) == 1
            await until(lambda: relay.connections > cut)  # noqa: B023
            dropped = drop.count
            await until(lambda: outgoing.starved and drop.count > dropped)  # noqa: B023
            drop.on = False
        assert not sending.done()
        await sending
        await journal.until(len(bodies))
        await alice.close()
    assert digest_of(journal.bodies) == digest_of(bodies)
    assert bob.counters()["sessions.established"] == 1
