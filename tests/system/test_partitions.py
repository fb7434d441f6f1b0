"""Hosts that cannot reach each other for a while: nothing is lost, doubled or out of order.

Every node is a process in a network namespace; what it says and hears is checked word for word.
"""

import pytest

from hosts import (
    conversation,
    counter,
    lasting,
    until_counted,
    until_forgotten,
    until_heard,
    until_met,
    until_missed,
    until_so,
)
from nodes import digest_of, numbered

pytestmark = pytest.mark.slow


async def test_a_short_partition_keeps_connection_and_session(start_hosts):
    """Two seconds without a packet in mid-traffic: both talk on, where they were.

    What was sent again meanwhile comes twice, and is handled once.
    """
    network, alice, bob = await start_hosts("alice", "bob")
    async with conversation(alice, bob):
        before = network.connections("alice", "bob")
        network.partition("alice", "bob")
        await lasting(2.0)
        assert network.dropped() > 0
        network.heal()
        await until_heard(alice, bob)
        assert network.connections("alice", "bob") == before
    for node in (alice, bob):
        assert await counter(node, "sessions.established") == 1
        assert await counter(node, "received.repeated_batches") > 0


async def test_a_partition_outlives_the_connection(start_hosts):
    """Both sides give the connection up; after the partition there is another one, and all comes.

    The talk that each had begun goes on, to the same run of the other.
    """
    network, alice, bob = await start_hosts("alice", "bob")
    async with conversation(alice, bob):
        before = network.connections("alice", "bob")
        assert before
        network.partition("alice", "bob")
        await until_missed(alice, bob)
        for node, other in ((alice, bob), (bob, alice)):
            assert await node.ask("presence", other.name) in ("no connection", "unresponsive")
        assert not before & network.connections("alice", "bob")
        network.heal()
        await until_heard(alice, bob)
        after = network.connections("alice", "bob")
        assert after
        assert not before & after


async def test_a_connection_with_output_that_is_stuck_ends_while_nothing_passes(start_hosts):
    """No heartbeat is under way there, and TCP would be patient for longer than the outage was."""
    network, alice, bob = await start_hosts("alice", "bob")

    async def none_is_left():
        return not network.connections("alice", "bob") | network.connections("bob", "alice")

    async with conversation(alice, bob):
        network.unplug("alice")
        await until_so(none_is_left)
        network.plug("alice")
        await until_heard(alice, bob)


async def test_renewals_survive_partitions_that_meet_them(start_hosts):
    """Three times a renewal begins while nothing passes: it ends after it, and no XX is needed."""
    network, alice, bob = await start_hosts("alice", "bob", rekey_after_seconds=1.0)
    async with conversation(alice, bob):
        for _ in range(3):
            await until_counted("sessions.renewed", alice, bob)
            network.partition("alice", "bob")
            renewed = await counter(alice, "sessions.renewed")
            await until_counted("rekeys.begun", alice, bob)
            assert await counter(alice, "sessions.renewed") == renewed
            network.heal()
            await until_counted("sessions.renewed", alice, bob)
        await until_heard(alice, bob)
    for node in (alice, bob):
        assert await counter(node, "sessions.established") == 1


async def test_an_idle_pair_meets_again_by_itself(start_hosts):
    """Two nodes that say nothing notice a partition too, and its end; their session is the same."""
    network, alice, bob = await start_hosts("alice", "bob")
    network.partition("alice", "bob")
    await until_missed(alice, bob)
    network.heal()
    await until_met(alice, bob)
    assert await alice.ask("call", "bob", "echo", 1) == 1


async def test_a_partition_outlives_the_session(start_hosts):
    """Keys too old are forgotten while nothing passes; with new ones the same talk goes on."""
    network, alice, bob = await start_hosts("alice", "bob", rekey_after_seconds=0.5)
    async with conversation(alice, bob):
        network.partition("alice", "bob")
        await until_forgotten(alice, bob)
        network.heal()
        await until_heard(alice, bob)
    for node in (alice, bob):
        assert await counter(node, "sessions.established") == 2


@pytest.mark.parametrize(("source", "target"), [("alice", "bob"), ("bob", "alice")])
async def test_a_one_way_drop_is_seen_by_both(start_hosts, source, target):
    """Where packets pass one way only, nobody believes that it delivers; later all has come once.

    alice has dialled bob, and either direction is dropped in its turn.
    """
    network, alice, bob = await start_hosts("alice", "bob")
    async with conversation(alice, bob):
        network.drop_one_way(source, target)
        parcels = [await alice.later("deliver", "bob", 1, 64)]
        parcels.append(await bob.later("deliver", "alice", 1, 64))
        await until_missed(alice, bob)
        for parcel in parcels:
            assert not await parcel.done()
        network.heal()
        for parcel in parcels:
            await parcel.outcome()
        await until_heard(alice, bob)
    for node, other in ((alice, bob), (bob, alice)):
        assert await node.ask("tally", other.name, "parcel") == [1, digest_of(numbered(1))]


async def test_a_node_cut_off_disturbs_nobody_else(start_hosts):
    """While carol is cut off, alice and bob talk on in their session; then she is back."""
    network, alice, bob, carol = await start_hosts("alice", "bob", "carol")
    async with conversation(alice, bob, carol):
        before = network.connections("alice", "bob")
        network.partition("carol", "alice", "bob")
        for other in (alice, bob):
            await until_missed(carol, other)
        await until_heard(alice, bob, more=1000)
        for node, other in ((alice, bob), (bob, alice)):
            assert await node.ask("presence", other.name) == "connected"
            assert await counter(node, "sessions.established") == 2
        assert network.connections("alice", "bob") == before
        network.heal()
        await until_heard(alice, bob, carol)
        assert network.connections("alice", "bob") == before
