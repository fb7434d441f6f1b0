"""Each thing that a network may do, alone, while both sides talk: all arrives once, in order."""

import asyncio

import pytest

from endurance.cutter import Cutter
from endurance.faults import Flip, Replay, Tear
from endurance.relay import BOTH, TO_DIALLER, TO_LISTENER, Relay, unaltered
from nodes import join, until
from talk import Talk


@pytest.fixture
async def relay(bob):
    """A relay before bob, which leaves before the nodes do."""
    async with Relay(bob.endpoints[0]) as relay:
        yield relay


@pytest.fixture
async def talk(alice, bob, relay):
    """1,000 messages each way, by the relay; when the nodes have closed nothing more has come."""
    talk = Talk(alice, bob, 1000)
    await join(alice, bob, relay.endpoint)
    yield talk
    await alice.close()
    await bob.close()
    talk.check_now()


def counted(name, *nodes):
    """How often something happened at these nodes together."""
    return sum(node.counters().get(name, 0) for node in nodes)


@pytest.mark.parametrize("resets", [0.0, 1.0], ids=["FIN", "RST"])
async def test_cut_again_and_again(alice, bob, relay, talk, dice, resets):
    """By FINs alone or by RSTs alone, most of them before the last one is got over."""
    async with Cutter(relay, dice, shortest=0.02, longest=0.15, resets=resets) as cutter:
        await talk.speak()
        await until(lambda: cutter.in_traffic >= 3)
    await talk.check_heard()
    assert {cut.reset for cut in cutter.cuts} == {resets == 1.0}


@pytest.mark.parametrize(
    "towards",
    [
        BOTH,
        pytest.param([TO_LISTENER], marks=pytest.mark.slow),
        pytest.param([TO_DIALLER], marks=pytest.mark.slow),
    ],
    ids=" and ".join,
)
async def test_stalled_and_let_go(alice, bob, relay, talk, towards):
    """Held, both ways or one, until it was sent again; then it comes after all, twice by now."""
    talking = asyncio.create_task(talk.speak())
    await until(lambda: talk.sent >= 300)
    relay.stall(towards)
    await until(lambda: counted("sent.batches_again", alice, bob))
    relay.go_on(towards)
    await talking
    await talk.check_heard()
    await until(lambda: counted("received.repeated_batches", alice, bob))
    assert relay.connections == 1
    assert counted("sessions.established", alice, bob) == 2


async def test_everything_takes_its_time(alice, bob, relay, talk):
    """Each way takes 60 ms: messages queue on the road, and come as they left."""
    relay.delay_seconds = 0.06
    await talk.speak()
    await talk.check_heard()
    assert await alice.ping("bob") >= 0.12
    assert relay.connections == 1
    assert counted("sessions.established", alice, bob) == 2


async def test_torn_in_the_middle_of_a_part(alice, bob, relay, talk, dice):
    """A part that ends before it is whole is no frame, and what was in it comes again."""
    relay.alter = tear = Tear(dice, 0.1)
    await talk.speak()
    relay.alter = unaltered
    await talk.check_heard()
    assert 1 < relay.connections <= tear.count + 1


async def test_bits_are_flipped(alice, bob, relay, talk, dice):
    """Frames that were changed do not open, whatever bit it was; what was in them comes again."""
    relay.alter = flip = Flip(dice, 0.1)
    await talk.speak()
    relay.alter = unaltered
    await talk.check_heard()
    assert flip.count >= 2
    await until(lambda: counted("dropped.forged", alice, bob) == flip.count)
    assert counted("sessions.established", alice, bob) == 2


async def test_frames_come_again(alice, bob, relay, talk, dice):
    """Old frames between new ones, also of connections that are gone, change nothing."""
    relay.alter = replay = Replay(dice, 0.3)
    async with Cutter(relay, dice):
        await talk.speak()
    await talk.check_heard()
    assert replay.count >= 10
    assert counted("dropped.replayed", alice, bob) >= 1
