"""Whoever waits for a peer whose host is gone: each wait ends, in its own time or when it is back.

alice has a session with bob and none with carol, who is trusted and not connected. Gone is either
her own interface, whose address then vanishes, or those of both others.
"""

import pytest

from hosts import until_so
from node_process import NodeFailed
from nodes import PATIENCE_SECONDS, digest_of, numbered

pytestmark = pytest.mark.slow

PARCELS, PARCEL_BYTES = 200, 60_000
SHORT_SECONDS = 2.0
ON_TIMEOUT = {
    "connect": "PeerUnreachable",
    "wait_for": "PeerUnreachable",
    "ping": "PeerUnreachable",
    "call": "CallTimeout",
}
ON_CLOSE = dict.fromkeys(ON_TIMEOUT, "NodeClosed")


@pytest.fixture(params=["alice", "bob carol"])
def gone(request):
    """Whose interfaces go down."""
    return request.param.split()


@pytest.fixture
async def scene(start_hosts):
    """The network, and alice after a restart, who has met bob again."""
    network, alice, bob, carol = await start_hosts(
        "alice", "bob", "carol", close_timeout_seconds=1.0
    )
    await alice.ask("anew")
    await alice.ask("connect", bob.endpoint, bob.id)
    return network, alice, bob, carol


async def waits(alice, carol, seconds):
    """Everything of alice's that waits for a peer so long, begun."""
    return {
        "connect": await alice.later("connect", carol.endpoint, carol.id, seconds),
        "wait_for": await alice.later("wait_for", "carol", seconds),
        "ping": await alice.later("ping", "bob", seconds),
        "call": await alice.later("call", "bob", "echo", 1, seconds),
    }


async def failure(later):
    """The kind of error it ends with."""
    with pytest.raises(NodeFailed) as caught:
        await later.outcome()
    return caught.value.kind


async def test_waits_end_in_their_time(scene, gone):
    """`connect`, `wait_for`, `ping` and `call` fail after their timeouts, as documented."""
    network, alice, bob, carol = scene
    for name in gone:
        network.unplug(name)
    begun = await waits(alice, carol, SHORT_SECONDS)
    parcel = await alice.later("deliver", "bob", 1, 64)
    assert {name: await failure(wait) for name, wait in begun.items()} == ON_TIMEOUT
    for wait in begun.values():
        assert await wait.seconds() >= SHORT_SECONDS
    assert not await parcel.done()
    for name in gone:
        network.plug(name)
    await parcel.outcome()
    assert await bob.ask("tally", "alice", "parcel") == [1, digest_of(numbered(1))]


async def test_waits_end_when_the_host_is_back(scene, gone):
    """Whoever is patient is served after it: messages that found no room, and calls, among them."""
    network, alice, bob, carol = scene
    for name in gone:
        network.unplug(name)
    parcels = await alice.later("deliver", "bob", PARCELS, PARCEL_BYTES)
    await until_so(lambda: alice.ask("crowded", "bob"))
    begun = await waits(alice, carol, 2 * PATIENCE_SECONDS)
    assert (
        await failure(await alice.later("call", "bob", "echo", 1, SHORT_SECONDS)) == "CallTimeout"
    )
    for wait in (parcels, *begun.values()):
        assert not await wait.done()
    for name in gone:
        network.plug(name)
    await parcels.outcome()
    assert await begun["connect"].outcome() == "carol"
    assert await begun["wait_for"].outcome() == "carol"
    assert await begun["call"].outcome() == 1
    assert await begun["ping"].outcome() > 0
    expected = [PARCELS, digest_of(numbered(PARCELS, PARCEL_BYTES))]
    assert await bob.ask("tally", "alice", "parcel") == expected


async def test_waits_end_when_the_node_closes(scene, gone):
    """A node that closes before its peers are back tells whoever waits, and leaves nobody."""
    network, alice, _bob, carol = scene
    for name in gone:
        network.unplug(name)
    receipt = await alice.later("deliver", "bob", 1, 64)
    parcels = await alice.later("deliver", "bob", PARCELS, PARCEL_BYTES)
    await until_so(lambda: alice.ask("crowded", "bob"))
    begun = await waits(alice, carol, 2 * PATIENCE_SECONDS)
    await alice.ask("close")
    assert {name: await failure(wait) for name, wait in begun.items()} == ON_CLOSE
    assert await failure(receipt) == "DeliveryFailed"
    assert await failure(parcels) == "NodeClosed"


async def test_a_peer_that_restarts_out_of_reach_fails_what_waits(scene):
    """Once bob is back as another run, whoever waited for the old one is told; new words arrive.

    Whether alice hears of the end of the old run first or of the new one is up to the network.
    """
    network, alice, bob, _carol = scene
    network.unplug("bob")
    receipt = await alice.later("deliver", "bob", 1, 64)
    call = await alice.later("call", "bob", "echo", 1, 2 * PATIENCE_SECONDS)
    await bob.ask("anew")
    network.plug("bob")
    assert await failure(receipt) in ("DeliveryFailed", "PeerRestarted")
    assert await failure(call) in ("DeliveryFailed", "PeerRestarted")
    await alice.ask("wait_for", "bob", PATIENCE_SECONDS)
    assert await alice.ask("call", "bob", "echo", 2) == 2
    assert await bob.ask("tally", "alice", "parcel") == [0, digest_of([])]
