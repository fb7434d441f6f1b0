"""What insiders may try: they know the psk, have keys, and say whatever they like.

And what a message 1 makes a responder compute, from within and from without.
"""

from collections import Counter
from functools import partial

import pytest

from exchanges import ALICE, BOB, DAY, MALLORY, MESH, Insider, credentials
from handshake import primitives
from handshake.authentication import (
    Initiator,
    Responder,
)
from handshake.constants import UNKNOWN_ID, Reason
from handshake.errors import (
    DecryptionFailed,
    Refused,
    WrongTurn,
)


@pytest.fixture(params=["initiator", "responder"])
def attack(request, side):
    """An insider in either role against an honest alice in the other one.

    Gives a function that runs a lie and returns the refusal; afterwards alice must have nothing.
    """
    role = request.param.encode()
    addressee = ALICE.identity.id if role == b"initiator" else UNKNOWN_ID

    def run_lie(make, static=MALLORY.static_private):
        insider = Insider(role, static)
        honest = side(Responder if role == b"initiator" else Initiator, ALICE)
        with pytest.raises(Refused) as caught:
            insider.speak(honest, lambda h: make(insider, h, addressee))
        with pytest.raises(WrongTurn):
            _ = honest.established
        return caught.value

    run_lie.role = role
    return run_lie


def test_an_insider_that_tells_the_truth_is_believed(side):
    """The lies below fail for what is wrong in them and nothing else."""
    for role, kind in ((b"initiator", Responder), (b"responder", Initiator)):
        insider = Insider(role, MALLORY.static_private)
        peer = ALICE.identity.id if role == b"initiator" else UNKNOWN_ID
        claim = insider.speak(
            side(kind, ALICE),
            lambda h, insider=insider, peer=peer: insider.payload(
                MALLORY.identity, MALLORY.delegation, h, peer
            ),
        )
        assert claim.peer_id == MALLORY.identity.id


def test_a_lifted_payload_proves_nothing(attack):
    """Bob's id and delegation, seen elsewhere, with a proof by anybody else."""

    def lie(insider, h, peer):
        theirs = insider.payload(MALLORY.identity, BOB.delegation, h, peer)
        return theirs | {"id": bytes(BOB.identity.id)}

    refusal = attack(lie)
    assert (refusal.reason, refusal.peer_id) == (Reason.BAD_PROOF, None)
    assert refusal.established is None


def test_a_proof_of_another_exchange_proves_nothing(attack):
    """Bob's genuine proof, made for another h, replayed whole in this exchange."""

    def lie(insider, h, peer):
        return insider.payload(BOB.identity, BOB.delegation, b"h" * 32, peer, None, b"b" * 32)

    assert attack(lie).reason is Reason.BAD_PROOF


def test_a_proof_for_another_static_key_proves_nothing(attack):
    """Bob signs this very h for his own static key, but the exchange ran through another one."""

    def lie(insider, h, peer):
        return insider.payload(BOB.identity, BOB.delegation, h, peer, static=BOB.static_private)

    assert attack(lie).reason is Reason.BAD_PROOF


def test_a_reflected_proof_proves_nothing(attack):
    """A proof made for the other role is none for this one."""

    def lie(insider, h, peer):
        other = b"responder" if insider.role == b"initiator" else b"initiator"
        return insider.payload(MALLORY.identity, MALLORY.delegation, h, peer, role=other)

    assert attack(lie).reason is Reason.BAD_PROOF


def test_a_proof_towards_somebody_else_proves_nothing(attack):
    """Unknown key share: who meant to speak with bob is not taken to speak with alice."""

    def lie(insider, h, peer):
        return insider.payload(MALLORY.identity, MALLORY.delegation, h, BOB.identity.id)

    assert attack(lie).reason is Reason.BAD_PROOF


def test_a_static_key_of_another_identity_is_a_bad_delegation(attack):
    """Who proves itself through a key must have been given that key."""

    def lie(insider, h, peer):
        return insider.payload(MALLORY.identity, BOB.delegation, h, peer)

    refusal = attack(lie)
    assert (refusal.reason, refusal.peer_id) == (Reason.BAD_DELEGATION, MALLORY.identity.id)


def test_a_static_key_that_was_never_delegated_is_refused(attack):
    """An honest delegation for one key does not cover the key that this exchange ran through."""

    def lie(insider, h, peer):
        return insider.payload(MALLORY.identity, MALLORY.delegation, h, peer)

    refusal = attack(lie, static=b"another key".ljust(32))
    assert (refusal.reason, refusal.peer_id) == (Reason.BAD_DELEGATION, MALLORY.identity.id)


def test_a_delegation_by_somebody_else_is_bad(attack):
    """A stolen static key of bob's does not make a caller bob, nor bob's delegation its own."""

    def lie(insider, h, peer):
        return insider.payload(MALLORY.identity, BOB.delegation, h, peer)

    refusal = attack(lie, static=BOB.static_private)
    assert (refusal.reason, refusal.peer_id) == (Reason.BAD_DELEGATION, MALLORY.identity.id)


def test_a_stolen_static_key_alone_is_not_its_owner(attack):
    """Without the identity's seed the proof cannot be made."""

    def lie(insider, h, peer):
        theirs = insider.payload(MALLORY.identity, BOB.delegation, h, peer)
        return theirs | {"id": bytes(BOB.identity.id)}

    assert attack(lie, static=BOB.static_private).reason is Reason.BAD_PROOF


def test_a_delegation_for_another_mesh_is_bad(attack):
    """Members of one mesh are nobody in another, even with its psk."""
    elsewhere = credentials("mallory", mesh=b"e" * 32)

    def lie(insider, h, peer):
        return insider.payload(elsewhere.identity, elsewhere.delegation, h, peer)

    assert attack(lie).reason is Reason.BAD_DELEGATION


@pytest.mark.parametrize("start", [100_000, -DAY])
def test_a_delegation_of_another_day_is_refused_with_the_clock(attack, start):
    """Too early or too late: the peer proved itself, so it is named and can be told."""
    if start < 0:
        late = MALLORY.identity.delegate(MALLORY.delegation.static_key, 0, 1000, MESH)
    else:
        late = credentials("mallory", start=start).delegation

    refusal = attack(lambda insider, h, peer: insider.payload(MALLORY.identity, late, h, peer))
    assert (refusal.reason, refusal.peer_id) == (Reason.CLOCK, MALLORY.identity.id)
    # Only the responder has keys by then, to say so under seal.
    assert (refusal.established is not None) == (attack.role == b"initiator")


def test_ourselves_are_refused(attack):
    """Our own identity at the other end, properly proved, is a loop and not a peer."""

    def lie(insider, h, peer):
        return insider.payload(ALICE.identity, ALICE.delegation, h, peer)

    refusal = attack(lie, static=ALICE.static_private)
    assert (refusal.reason, refusal.peer_id) == (Reason.OURSELVES, ALICE.identity.id)


def test_our_own_identity_with_another_static_key_is_refused(attack):
    """A second run of this very identity is ourselves too."""
    twin = credentials("alice", static=b"twin".ljust(32))
    refusal = attack(
        lambda insider, h, peer: insider.payload(twin.identity, twin.delegation, h, peer),
        static=twin.static_private,
    )
    assert refusal.reason is Reason.OURSELVES


def test_our_own_static_key_under_another_identity_is_refused(attack):
    """Whoever holds our static key is either us or a thief."""
    thief = credentials("mallory", static=ALICE.static_private)
    refusal = attack(
        lambda insider, h, peer: insider.payload(thief.identity, thief.delegation, h, peer),
        static=ALICE.static_private,
    )
    assert refusal.reason is Reason.OURSELVES


@pytest.mark.parametrize("payload", [b"", b"text", bytes(183), bytes(184), b"\xff" * 500])
def test_a_misshapen_payload_is_malformed(attack, payload):
    """An insider's nonsense is refused without naming anybody."""
    refusal = attack(lambda insider, h, peer: payload)
    assert (refusal.reason, refusal.peer_id) == (Reason.MALFORMED, None)


def counting(monkeypatch):
    """Count every multiplication on the curve and every signature made from here on."""
    counted = Counter()

    def count(name, real, *given):
        counted[name] += 1
        return real(*given)

    for name in ("crypto_scalarmult", "crypto_scalarmult_base", "crypto_sign"):
        real = getattr(primitives.sodium, name)
        monkeypatch.setattr(primitives.sodium, name, partial(count, name, real))
    return counted


def test_who_does_not_know_the_psk_costs_no_dh(side, monkeypatch):
    """Making a responder and reading a message 1 under another psk needs hashes and one tag."""
    stranger = side(Initiator, MALLORY, psk=b"x" * 32).message_1()
    counted = counting(monkeypatch)
    responder = side(Responder, BOB)
    with pytest.raises(DecryptionFailed):
        responder.read_message_1(stranger)
    assert counted == {}


def test_who_knows_the_psk_costs_an_ephemeral_key_two_dh_and_a_signature(side, monkeypatch):
    """That is all an answered stranger makes us compute before it has proved anything."""
    message_1 = side(Initiator, ALICE).message_1()
    counted = counting(monkeypatch)
    responder = side(Responder, BOB)
    responder.read_message_1(message_1)
    assert counted == {}
    responder.message_2()
    assert counted == {"crypto_scalarmult_base": 1, "crypto_scalarmult": 2, "crypto_sign": 1}
