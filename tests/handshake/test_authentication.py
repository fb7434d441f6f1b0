"""The authenticated exchange of two honest sides, and what changes nothing."""

import copy
import pickle

import pytest

from exchanges import (
    ALICE,
    BOB,
    DAY,
    MALLORY,
    MESH,
    NOON,
    PSK,
    Insider,
    run,
)
from handshake import authentication
from handshake.authentication import (
    Credentials,
    Established,
    FreshInitiator,
    FreshResponder,
    Initiator,
    Responder,
    mesh_psk,
)
from handshake.constants import UNKNOWN_ID, WIRE_PROTOCOL, Reason
from handshake.errors import (
    DecryptionFailed,
    InvalidKey,
    InvalidPayload,
    MalformedMessage,
    Refused,
    WrongTurn,
)
from handshake.handshake_state import HandshakeState


def test_two_honest_nodes_prove_who_they_are(side):
    """Each learns the other's id, static key, session id and terms."""
    initiator = side(Initiator, ALICE, session_id=11)
    responder = side(Responder, BOB, session_id=22)
    about_bob, about_alice = run(initiator, responder, b"of alice", b"of bob")
    assert about_bob.peer_id == BOB.identity.id
    assert about_bob.static_key == BOB.delegation.static_key
    assert (about_bob.session_id, about_bob.terms) == (22, b"of bob")
    assert about_alice.peer_id == ALICE.identity.id
    assert about_alice.static_key == ALICE.delegation.static_key
    assert (about_alice.session_id, about_alice.terms) == (11, b"of alice")


def test_nothing_is_established_before_the_last_step(side):
    """The result is not there before the peer has proved itself, nor are steps twice."""
    initiator, responder = side(Initiator, ALICE), side(Responder, BOB)
    message_1 = initiator.message_1()
    for wrong in (
        initiator.message_1,
        initiator.message_3,
        responder.message_2,
        lambda: responder.read_message_3(message_1, NOON),
        lambda: responder.read_message_3(b"", NOON),
        lambda: initiator.established,
        lambda: responder.established,
    ):
        with pytest.raises(WrongTurn):
            wrong()
    responder.read_message_1(message_1)
    message_2 = responder.message_2()
    initiator.read_message_2(message_2, NOON)
    for wrong in (
        initiator.message_1,
        lambda: responder.read_message_1(message_1),
        responder.message_2,
        lambda: initiator.read_message_2(message_2, NOON),
        lambda: initiator.established,
        lambda: responder.established,
    ):
        with pytest.raises(WrongTurn):
            wrong()
    message_3 = initiator.message_3()
    responder.read_message_3(message_3, NOON)
    assert initiator.established.export() == responder.established.export()
    for wrong in (initiator.message_3, lambda: responder.read_message_3(message_3, NOON)):
        with pytest.raises(WrongTurn):
            wrong()


@pytest.mark.parametrize(
    "changes",
    [
        {"psk": mesh_psk(MESH, b"s" * 32)},
        {"psk": mesh_psk(authentication.mesh_id("other"), None)},
        {"prologue": b"other"},
    ],
)
def test_a_stranger_is_noticed_in_message_1(side, changes):
    """Without the mesh's psk and prologue nothing opens, and a genuine caller is served next."""
    responder = side(Responder, BOB)
    with pytest.raises(DecryptionFailed):
        responder.read_message_1(side(Initiator, MALLORY, **changes).message_1())
    run(side(Initiator, ALICE), responder)
    assert responder.established.peer_id == ALICE.identity.id


def test_tampering_leaves_both_sides_usable(side):
    """For each message and byte: the tampered one fails, then the genuine one is read."""
    initiator, responder = side(Initiator, ALICE), side(Responder, BOB)

    def tampered(message):
        for at in range(len(message)):
            yield message[:at] + bytes((message[at] ^ 0x20,)) + message[at + 1 :]
        yield from (b"", message[:31], message[:-1], message + b"\0", b"\xff" * 65_536)

    message_1 = initiator.message_1()
    for bad in tampered(message_1):
        with pytest.raises((DecryptionFailed, MalformedMessage)):
            responder.read_message_1(bad)
    responder.read_message_1(message_1)
    message_2 = responder.message_2()
    for bad in tampered(message_2):
        with pytest.raises((DecryptionFailed, MalformedMessage)):
            initiator.read_message_2(bad, NOON)
    initiator.read_message_2(message_2, NOON)
    message_3 = initiator.message_3()
    for bad in tampered(message_3):
        with pytest.raises((DecryptionFailed, MalformedMessage)):
            responder.read_message_3(bad, NOON)
    responder.read_message_3(message_3, NOON)
    assert initiator.established.export() == responder.established.export()


def test_message_1_carries_nothing(side, random_bytes):
    """An insider who puts something into message 1 is refused; a genuine one follows."""
    noise = HandshakeState(
        WIRE_PROTOCOL, initiator=True, prologue=b"prologue", s=b"s" * 32, psks=(PSK,)
    )
    responder = side(Responder, BOB)
    with pytest.raises(MalformedMessage):
        responder.read_message_1(noise.write_message(b"early"))
    run(side(Initiator, ALICE), responder)


def test_a_refused_message_leaves_room_for_the_genuine_one(side):
    """A liar that answers first does not keep bob out, nor a liar that asks first alice."""
    initiator, responder = side(Initiator, ALICE), side(Responder, BOB)
    message_1 = initiator.message_1()
    liar = Insider(b"responder", MALLORY.static_private)
    liar.noise.read_message(message_1)
    lie = liar.noise.write_message(b"a lie")
    with pytest.raises(Refused):
        initiator.read_message_2(lie, NOON)
    responder.read_message_1(message_1)
    message_2 = responder.message_2()
    with pytest.raises(Refused) as caught:
        initiator.read_message_2(message_2, NOON + 10 * DAY)
    assert caught.value.reason is Reason.CLOCK
    initiator.read_message_2(message_2, NOON)
    responder.read_message_3(initiator.message_3(), NOON)
    assert initiator.established.export() == responder.established.export()


def test_a_refused_initiator_can_be_told_under_seal(side):
    """The keys that come with a refusal are those that the initiator has, and come once."""
    initiator, responder = side(Initiator, ALICE), side(Responder, BOB)
    responder.read_message_1(initiator.message_1())
    initiator.read_message_2(responder.message_2(), NOON)
    message_3 = initiator.message_3()
    with pytest.raises(Refused) as caught:
        responder.read_message_3(message_3, NOON + 10 * DAY)
    with pytest.raises(WrongTurn):
        responder.read_message_3(message_3, NOON)
    with pytest.raises(WrongTurn):
        _ = responder.established
    telling, _ = caught.value.established.traffic_keys("ChaChaPoly")
    assert telling == initiator.established.traffic_keys("ChaChaPoly")[1]


def test_a_pin_is_checked_before_anything_is_kept(side):
    """`check` sees the claim and may refuse it; the peer that was meant can still answer."""
    initiator = side(Initiator, ALICE)
    mallory, bob = side(Responder, MALLORY), side(Responder, BOB)
    message_1 = initiator.message_1()
    for responder in (mallory, bob):
        responder.read_message_1(message_1)

    def pinned(claim):
        if claim.peer_id != BOB.identity.id:
            raise Refused(Reason.WRONG_PEER, claim.peer_id)

    with pytest.raises(Refused) as caught:
        initiator.read_message_2(mallory.message_2(), NOON, pinned)
    assert caught.value.peer_id == MALLORY.identity.id
    initiator.read_message_2(bob.message_2(), NOON, pinned)
    assert bob.read_message_3(initiator.message_3(), NOON).peer_id == ALICE.identity.id


def test_messages_of_one_exchange_mean_nothing_in_another(side):
    """Replayed messages 2 and 3 do not open where other ephemeral keys are used."""
    first, first_bob = side(Initiator, ALICE), side(Responder, BOB)
    first_bob.read_message_1(first.message_1())
    old_2 = first_bob.message_2()
    first.read_message_2(old_2, NOON)
    old_3 = first.message_3()
    second, second_bob = side(Initiator, ALICE), side(Responder, BOB)
    second_bob.read_message_1(second.message_1())
    with pytest.raises(DecryptionFailed):
        second.read_message_2(old_2, NOON)
    second.read_message_2(second_bob.message_2(), NOON)
    with pytest.raises(DecryptionFailed):
        second_bob.read_message_3(old_3, NOON)
    second_bob.read_message_3(second.message_3(), NOON)


def test_our_own_messages_reflected_do_not_open(side):
    """Message 1 is no message 2, and message 2 no message 3."""
    initiator, responder = side(Initiator, ALICE), side(Responder, BOB)
    message_1 = initiator.message_1()
    with pytest.raises((DecryptionFailed, MalformedMessage)):
        initiator.read_message_2(message_1, NOON)
    responder.read_message_1(message_1)
    message_2 = responder.message_2()
    with pytest.raises((DecryptionFailed, MalformedMessage)):
        responder.read_message_3(message_2, NOON)
    initiator.read_message_2(message_2, NOON)
    responder.read_message_3(initiator.message_3(), NOON)


def test_terms_and_session_ids_are_checked(side):
    """What our own caller gets wrong is said before anything is sent, and changes nothing."""
    for session_id in (0, 2**64):
        with pytest.raises(InvalidPayload):
            side(Initiator, ALICE, session_id=session_id)
    with pytest.raises(InvalidKey):
        side(Initiator, ALICE, mesh_id=b"short")
    with pytest.raises(InvalidKey):
        side(Responder, BOB, psk=b"short")
    initiator, responder = side(Initiator, ALICE, session_id=2**64 - 1), side(Responder, BOB)
    responder.read_message_1(initiator.message_1())
    with pytest.raises(InvalidPayload):
        responder.message_2(bytes(65_536))
    initiator.read_message_2(responder.message_2(), NOON)
    with pytest.raises(InvalidPayload):
        initiator.message_3(bytes(65_536))
    with pytest.raises(WrongTurn):
        _ = initiator.established
    # 16 bytes of tag, twice; the static key; the head of the payload.
    most = bytes(65_535 - 2 * 16 - 32 - 184)
    with pytest.raises(InvalidPayload):
        initiator.message_3(most + b"\0")
    claim = responder.read_message_3(initiator.message_3(most), NOON)
    assert (claim.session_id, claim.terms) == (2**64 - 1, most)


def test_credentials_fit_together():
    """A delegation for another key than the private one is noticed at once."""
    with pytest.raises(InvalidKey):
        Credentials(BOB.identity, MALLORY.static_private, BOB.delegation)


def test_the_psk_depends_on_mesh_and_secret():
    """Other meshes and secrets have other psks; lengths are exact."""
    psks = {
        mesh_psk(MESH, None),
        mesh_psk(MESH, b"s" * 32),
        mesh_psk(MESH, bytes(32)),
        mesh_psk(authentication.mesh_id("other"), None),
    }
    assert len(psks) == 4
    assert {len(psk) for psk in psks} == {32}
    for mesh, secret in ((MESH[:31], None), (MESH, b"passphrase"), (MESH, b"")):
        with pytest.raises(InvalidKey):
            mesh_psk(mesh, secret)


def test_a_mesh_id_comes_from_its_name():
    """Public and the same for everybody, exact in every letter."""
    assert authentication.mesh_id("team") == MESH
    assert len(MESH) == 32
    assert authentication.mesh_id("Team") != MESH


def test_no_secret_shows(side, established, seeded):
    """Credentials, results and sides print their type alone and are neither pickled nor copied."""
    holders = [
        ALICE,
        established[0],
        side(Initiator, ALICE),
        side(Responder, BOB),
        FreshInitiator(established[0], session_id=1, random_bytes=seeded("f")),
        FreshResponder(established[1], session_id=2, random_bytes=seeded("g")),
    ]
    assert isinstance(established[0], Established)
    for holder in holders:
        assert repr(holder) == f"<{type(holder).__name__}>"
        assert not hasattr(holder, "__dict__")
        for leak in (pickle.dumps, copy.copy, copy.deepcopy):
            with pytest.raises(TypeError):
                leak(holder)


@pytest.mark.parametrize(
    ("proves", "delegates", "reason"),
    [
        (ALICE, MALLORY, Reason.BAD_PROOF),
        (MALLORY, BOB, Reason.BAD_DELEGATION),
        (BOB, BOB, Reason.OURSELVES),
    ],
)
def test_what_does_not_fit_together_is_refused(side, proves, delegates, reason):
    """A proof by somebody else, a delegation of another key, and our own identity."""
    key = MALLORY if reason is Reason.BAD_DELEGATION else delegates
    insider = Insider(b"responder", key.static_private)

    def lie(h):
        said = insider.payload(proves.identity, delegates.delegation, h, UNKNOWN_ID)
        return said | {"id": bytes(delegates.identity.id)} if reason is Reason.BAD_PROOF else said

    with pytest.raises(Refused) as caught:
        insider.speak(side(Initiator, BOB), lie)
    assert caught.value.reason is reason
