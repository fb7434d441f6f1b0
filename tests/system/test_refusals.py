"""Who does not trust whom: a documented error, and nobody else is disturbed."""

import pytest

from mesh import NotTrusted, PeerUnreachable, WrongPeer
from nodes import introduce, undisturbed, until


async def test_a_wrong_pin_is_refused(alice, bob, carol):
    """Whoever answers under another identity than the one asked for is not talked to."""
    introduce(alice, bob, carol)
    async with undisturbed(carol, bob):
        with pytest.raises(WrongPeer) as caught:
            await alice.connect(bob.endpoints[0], id=carol.id)
    assert str(bob.id) in str(caught.value)
    assert str(carol.id) in str(caught.value)
    assert alice.counters()["handshakes.refused.wrong_peer"] == 1
    assert bob.counters()["sessions.established"] == 1
    assert bob.running.strangers == {}
    assert alice.peers == []


async def test_a_stranger_who_calls_is_told_and_listed(alice, bob, carol):
    """The caller gets the command for the other side; the other side lists it with its own."""
    alice.trust.allow(bob.id, name="bob")
    async with undisturbed(carol, bob):
        with pytest.raises(NotTrusted) as caught:
            await alice.connect(bob.endpoints[0], id=bob.id)
    assert f"mesh trust allow {alice.id}" in str(caught.value)
    assert "not trusted" in str(caught.value)
    [stranger] = bob.running.strangers.values()
    assert (stranger.peer_id, stranger.address) == (alice.id, "127.0.0.1")
    assert f"node.trust.allow('{alice.id}')" in bob.running.explain(alice.id)
    assert bob.counters()["handshakes.refused.not_trusted"] == 1
    assert [peer.id for peer in bob.peers] == [carol.id]


async def test_a_stranger_who_answers_is_named_with_the_command(alice, bob, carol):
    """The caller that does not trust who answers says who it is and how to trust it."""
    bob.trust.allow(alice.id, name="alice")
    async with undisturbed(carol, bob):
        with pytest.raises(NotTrusted) as caught:
            await alice.connect(bob.endpoints[0])
    assert f"node.trust.allow('{bob.id}')" in str(caught.value)
    assert list(alice.running.strangers) == [bob.id]
    assert [peer.id for peer in bob.peers] == [carol.id]


async def test_a_stranger_let_in_connects_at_once(alice, bob):
    """Once the other side allows it, the same call succeeds, and it is listed no more."""
    alice.trust.allow(bob.id, name="bob")
    with pytest.raises(NotTrusted):
        await alice.connect(bob.endpoints[0])
    bob.trust.allow(alice.id, name="alice")
    assert bob.running.strangers == {}
    assert await alice.connect(bob.endpoints[0]) == await alice.peer("bob")


async def test_a_denied_peer_is_gone_at_once(alice, bob, carol, journal):
    """Denied in the middle of a session, it can send nothing more, and nobody else notices."""
    introduce(alice, bob)
    await alice.connect(bob.endpoints[0], id=bob.id)
    await (await alice.send("bob", "log", b"before")).handled()
    async with undisturbed(carol, bob):
        bob.trust.deny(alice.id)
        await until(lambda: not alice.peers)
        with pytest.raises(PeerUnreachable):
            await alice.send("bob", "log", b"after")
        with pytest.raises(NotTrusted, match="revoked"):
            await alice.connect(bob.endpoints[0], id=bob.id)
    assert journal.bodies == [b"before"]


async def test_a_denied_peer_that_is_allowed_again_comes_back(alice, bob, journal):
    """A connection that was kept is made anew after a change of mind, by the next `connect`."""
    introduce(alice, bob)
    await alice.connect(bob.endpoints[0], id=bob.id)
    bob.trust.deny(alice.id)
    await until(lambda: not alice.peers)
    bob.trust.allow(alice.id, name="alice")
    await alice.connect(bob.endpoints[0], id=bob.id)
    await (await alice.send("bob", "log", b"again")).handled()
    assert journal.bodies == [b"again"]


async def test_an_own_denial_taken_back_reconnects_by_itself(alice, bob):
    """Who denied a peer it had dialled dials it again when it allows it."""
    introduce(alice, bob)
    await alice.connect(bob.endpoints[0], id=bob.id)
    alice.trust.deny(bob.id)
    await until(lambda: not bob.peers and not alice.peers)
    alice.trust.allow(bob.id, name="bob")
    assert (await alice.wait_for("bob")).id == bob.id


async def test_a_node_does_not_talk_to_itself(alice):
    """Who dials its own endpoint is told so."""
    with pytest.raises(PeerUnreachable, match="ourselves"):
        await alice.connect(alice.endpoints[0])


async def test_another_mesh_is_met_with_silence(start_node, bob, carol):
    """A node of another mesh learns nothing, not even who answers."""
    eve = await start_node("eve", mesh="elsewhere")
    introduce(eve, bob)
    async with undisturbed(carol, bob):
        with pytest.raises(PeerUnreachable, match="nobody proved who it is"):
            await eve.connect(bob.endpoints[0], timeout=0.5)
    assert bob.counters()["handshakes.other_mesh"] >= 1
    assert bob.running.strangers == {}
