"""Bodies of every size, told and posted, beside calls that end in every way."""

import asyncio

import pytest

from mesh.errors import BufferFull, CallTimeout
from nodes import join, until

SIZES = (10, 1_000, 16_383, 16_384, 65_536, 300_000, 1_500_000)
MESSAGES = 300


@pytest.mark.slow
@pytest.mark.parametrize("window_bytes", [65_536, 1 << 20, 4 << 20])
async def test_each_subject_is_in_order_and_all_room_returns(start_node, dice, window_bytes):
    """Runs, frames of bulk and chunks, whichever joins whichever; then both count the same room."""
    alice = await start_node("alice")
    bob = await start_node("bob", window_bytes=window_bytes)
    sent, got = {"x": [], "y": []}, {"x": [], "y": []}
    over = False

    for subject, heard in got.items():

        @bob.on(subject)
        async def hear(body, heard=heard):
            heard.append(body)

    @bob.serve("echo slowly")
    async def echo_slowly(body):
        for _ in range(dice.choice((0, 0, 30))):
            await asyncio.sleep(0)
        return body

    async def speak(subject):
        for number in range(MESSAGES):
            size = dice.choice(SIZES)
            body = number if dice.random() < 0.3 else bytes([number % 256]) * size
            if dice.random() < 0.2:
                try:
                    alice.post("bob", subject, body)
                except BufferFull:
                    await asyncio.sleep(0)
                    continue
            else:
                await alice.send("bob", subject, body)
            sent[subject].append(body)
        receipt = await alice.send("bob", subject, "the end")
        sent[subject].append("the end")
        await receipt.handled()

    async def ask():
        while not over:
            body = bytes(dice.choice((1, 100, 30_000)))
            try:
                assert (
                    await alice.call("bob", "echo slowly", body, timeout=dice.choice((30, 0.001)))
                    == body
                )
            except CallTimeout:
                await asyncio.sleep(0)

    await join(alice, bob, bob.endpoints[0])
    askers = [asyncio.ensure_future(ask()) for _ in range(3)]
    await asyncio.gather(speak("x"), speak("y"))
    over = True
    await asyncio.gather(*askers)
    assert got == sent
    outgoing = alice.running.engine.outgoing(bob.id)
    await until(lambda: outgoing.idle and not outgoing.credit.unhandled)
    await until(lambda: outgoing.credit.left(0) == window_bytes)
    assert outgoing.asked == set()
    assert not [name for name in bob.counters() if name.startswith("dropped")]
