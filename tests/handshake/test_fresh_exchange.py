"""New keys inside a session: for the same peers, bound to all of their parent."""

import dataclasses

import pytest

from exchanges import ALICE, BOB, MALLORY, run
from handshake.authentication import (
    FreshInitiator,
    FreshResponder,
    Initiator,
    Responder,
)
from handshake.errors import (
    DecryptionFailed,
    InvalidPayload,
    MalformedMessage,
    WrongTurn,
)
from handshake.handshake_state import HandshakeState


def fresh(parents, seeded, order=(0, 1)):
    """A fresh exchange; `order` says which parent begins."""
    one, other = (parents[number] for number in order)
    initiator = FreshInitiator(one, session_id=31, random_bytes=seeded("fresh 1"))
    responder = FreshResponder(other, session_id=32, random_bytes=seeded("fresh 2"))
    responder.read_message_1(initiator.message_1())
    ours = initiator.read_message_2(responder.message_2())
    assert initiator.established is ours
    return ours, responder.established


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_a_fresh_exchange_gives_new_keys_to_the_same_peers(established, seeded, order):
    """Either side of a session may begin; who began is told anew, identities stay."""
    ours, theirs = fresh(established, seeded, order)
    parent = established[order[0]]
    assert (ours.initiator, theirs.initiator) == (True, False)
    assert (ours.peer_id, ours.remote_static) == (parent.peer_id, parent.remote_static)
    assert ours.handshake_hash == theirs.handshake_hash != parent.handshake_hash
    assert (ours.local_session_id, ours.remote_session_id) == (31, 32)
    assert (theirs.local_session_id, theirs.remote_session_id) == (32, 31)
    send, receive = ours.traffic_keys("AESGCM")
    assert (receive, send) == theirs.traffic_keys("AESGCM")
    assert not {send, receive} & set(parent.traffic_keys("AESGCM"))
    assert ours.export() == theirs.export() != parent.export()
    fresh((ours, theirs), seeded)


def test_a_fresh_exchange_is_kkpsk0_as_specified(established, seeded):
    """Statics of the parent, its export as psk, label and parent's h as prologue."""
    one, other = established
    h = one.handshake_hash
    label = b"noisemesh 1 fresh exchange"
    noise = HandshakeState(
        "Noise_KKpsk0_25519_ChaChaPoly_SHA256",
        initiator=False,
        prologue=b"\0\0\0\x1a" + label + b"\0\0\0\x20" + h,
        s=other.local_static_private,
        rs=other.remote_static,
        psks=(one.export(),),
    )
    initiator = FreshInitiator(one, session_id=258, random_bytes=seeded("f"))
    assert noise.read_message(initiator.message_1()) == b"\0\0\0\0\0\0\1\2"
    result = initiator.read_message_2(noise.write_message(b"\0\0\0\0\0\0\2\1"))
    assert result.remote_session_id == 513
    assert result.split_keys == noise.export_split_keys()


def test_a_fresh_exchange_needs_its_own_parent(established, side, seeded):
    """The same peers' other session is another parent: nothing opens."""
    initiator, responder = side(Initiator, ALICE), side(Responder, BOB)
    run(initiator, responder)
    message = FreshInitiator(
        initiator.established, session_id=1, random_bytes=seeded("f")
    ).message_1()
    with pytest.raises(DecryptionFailed):
        FreshResponder(established[1], session_id=2, random_bytes=seeded("g")).read_message_1(
            message
        )


@pytest.mark.parametrize("part", ["handshake_hash", "split_keys", "remote_static"])
def test_a_fresh_exchange_is_bound_to_all_of_its_parent(established, seeded, part):
    """Another transcript, other keys or another static key: each alone is noticed."""
    other = {
        "handshake_hash": bytes(32),
        "split_keys": (bytes(32), bytes(32)),
        "remote_static": MALLORY.delegation.static_key,
    }
    parent = dataclasses.replace(established[1], **{part: other[part]})
    message = FreshInitiator(established[0], session_id=1, random_bytes=seeded("f")).message_1()
    responder = FreshResponder(parent, session_id=2, random_bytes=seeded("g"))
    with pytest.raises(DecryptionFailed):
        responder.read_message_1(message)


def test_tampering_leaves_a_fresh_exchange_usable(established, seeded):
    """For each byte the tampered message fails, then the genuine one is read."""
    initiator = FreshInitiator(established[0], session_id=1, random_bytes=seeded("f"))
    responder = FreshResponder(established[1], session_id=2, random_bytes=seeded("g"))
    message_1 = initiator.message_1()
    for at in range(len(message_1)):
        with pytest.raises((DecryptionFailed, MalformedMessage)):
            responder.read_message_1(
                message_1[:at] + bytes((message_1[at] ^ 1,)) + message_1[at + 1 :]
            )
    responder.read_message_1(message_1)
    message_2 = responder.message_2()
    for at in range(len(message_2)):
        with pytest.raises((DecryptionFailed, MalformedMessage)):
            initiator.read_message_2(
                message_2[:at] + bytes((message_2[at] ^ 1,)) + message_2[at + 1 :]
            )
    initiator.read_message_2(message_2)
    assert initiator.established.export() == responder.established.export()


def test_a_fresh_message_reflected_does_not_open(established, seeded):
    """Our own first message is not the peer's, although both know the same secrets."""
    message = FreshInitiator(established[0], session_id=1, random_bytes=seeded("f")).message_1()
    mirror = FreshResponder(established[0], session_id=2, random_bytes=seeded("g"))
    with pytest.raises(DecryptionFailed):
        mirror.read_message_1(message)


@pytest.mark.parametrize("payload", [b"", bytes(8), b"\1" * 7, b"\1" * 9])
def test_a_fresh_exchange_carries_a_session_id_and_nothing_else(established, seeded, payload):
    """A peer's other payload is malformed, in either message; a genuine one follows."""
    lying = FreshInitiator(established[0], session_id=1, random_bytes=seeded("l"))
    responder = FreshResponder(established[1], session_id=2, random_bytes=seeded("g"))
    with pytest.raises(MalformedMessage):
        responder.read_message_1(lying._noise.write_message(payload))
    initiator = FreshInitiator(established[0], session_id=1, random_bytes=seeded("f"))
    message_1 = initiator.message_1()
    liar = FreshResponder(established[1], session_id=2, random_bytes=seeded("h"))
    liar.read_message_1(message_1)
    with pytest.raises(MalformedMessage):
        initiator.read_message_2(liar._noise.write_message(payload))
    responder.read_message_1(message_1)
    initiator.read_message_2(responder.message_2())


def test_a_fresh_exchange_keeps_its_turns(established, seeded):
    """Nothing is established early, and no step is taken twice."""
    initiator = FreshInitiator(established[0], session_id=1, random_bytes=seeded("f"))
    responder = FreshResponder(established[1], session_id=2, random_bytes=seeded("g"))
    message_1 = initiator.message_1()
    for wrong in (
        initiator.message_1,
        responder.message_2,
        lambda: initiator.established,
        lambda: responder.established,
    ):
        with pytest.raises(WrongTurn):
            wrong()
    responder.read_message_1(message_1)
    message_2 = responder.message_2()
    initiator.read_message_2(message_2)
    for wrong in (
        responder.message_2,
        lambda: responder.read_message_1(message_1),
        lambda: initiator.read_message_2(message_2),
    ):
        with pytest.raises(WrongTurn):
            wrong()
    for session_id in (0, -1, 2**64):
        with pytest.raises(InvalidPayload):
            FreshInitiator(established[0], session_id=session_id, random_bytes=seeded("h"))
