"""Links that lose packets at random, or go down and up: everything comes once, and in order."""

from random import Random

import pytest

from hosts import conversation, counter, lasting, until_counted, until_heard
from nodes import PATIENCE_SECONDS

pytestmark = pytest.mark.slow


async def test_loss_costs_time_and_nothing_else(start_hosts):
    """Five of a hundred packets are lost, both ways, through thousands of messages and renewals."""
    network, alice, bob = await start_hosts("alice", "bob", rekey_after_seconds=1.0)
    async with conversation(alice, bob):
        network.lose(5)
        await until_heard(alice, bob, more=3000)
        await until_counted("sessions.renewed", alice, bob, more=3)
    assert network.dropped() > 100
    for node in (alice, bob):
        assert await counter(node, "sessions.established") == 1


async def test_handshakes_end_on_a_bad_link(start_hosts):
    """Where a fifth of all packets is lost, each of several runs of a node meets its peer."""
    network, alice, bob = await start_hosts("alice", "bob")
    network.lose(20)
    for run in range(6):
        await alice.ask("anew")
        await alice.ask("connect", bob.endpoint, bob.id, PATIENCE_SECONDS)
        assert await alice.ask("call", "bob", "echo", run) == run
    assert await counter(bob, "sessions.established") >= 7
    assert network.dropped() > 0


@pytest.mark.parametrize("seed", [1])
async def test_a_flapping_link_is_borne(start_hosts, seed):
    """Now one, now the other interface goes down and up, at every pace, while both talk."""
    random = Random(seed)
    network, alice, bob = await start_hosts("alice", "bob", rekey_after_seconds=1.0)
    async with conversation(alice, bob):
        for _ in range(8):
            name = random.choice(["alice", "bob"])
            network.unplug(name)
            await lasting(random.uniform(0.2, 2.0))
            network.plug(name)
            await lasting(random.uniform(0.2, 2.0))
        await until_heard(alice, bob)
    assert len(network.connections("alice", "bob")) == 1
