"""Identities nobody can borrow: each sentence about the exchange of identities, and its test.

"Initiator" and "responder" name who reads the lie; where a test runs for both, it stands once.
Tests without a file stand here; "attacks" is `test_authentication_attacks`, "engine" is
`tests/mesh/engine/test_identity_exchange`.

    payload lifted into another session   both       test_a_payload_lifted_whole_...
                                                     attacks: ..._of_another_exchange_...
    proof missing, empty, cut, tampered   both       test_a_proof_that_is_not_whole_...
    proof by another identity             both       test_a_proof_by_another_identity_...
    delegation expired, not yet valid     both       attacks: ..._of_another_day_...
    delegation for another mesh           both       attacks: ..._for_another_mesh_...
    delegation for another key            both       attacks: ..._that_was_never_delegated_...
    delegation by another identity        both       attacks: ..._by_somebody_else_...
    unknown key share, a relay            both       test_a_relay_lets_both_agree_or_nobody
                                                     attacks: ..._towards_somebody_else_...
                                                     engine: ..._relay_...
    impersonation by our static key       both       test_our_static_key_does_not_make_...
      the same inside a session           both       test_our_static_key_begins_no_fresh_...
    impersonation by the mesh secret      both       test_the_mesh_secret_makes_nobody_...
    impersonation by the peer's static    both       attacks: test_a_stolen_static_key_alone_...
                                                     test_a_proof_for_another_exchange_...
                                                     test_bobs_words_through_...
    reflection of each own message        both       test_no_message_of_ours_comes_back_...
    ourselves                             both       attacks: test_ourselves_..., test_our_own_...
    downgrade of the prologue             both       test_another_prologue_...
    downgrade of version and suites       both       engine: ..._downgrade_..., ..._clear_field_...
    pin different                         initiator  test_authentication: test_a_pin_...
                                                     (a responder has no pin: it decides by trust)
    low-order keys in any message         both       test_a_low_order_key_...
"""

import dataclasses
import itertools

import pytest

from exchanges import ALICE, BOB, MALLORY, MESH, NOON, Insider, packed, parts_of, run
from handshake.authentication import (
    FreshInitiator,
    FreshResponder,
    Initiator,
    Responder,
    mesh_psk,
)
from handshake.constants import DHLEN, UNKNOWN_ID, Reason
from handshake.errors import (
    DecryptionFailed,
    HandshakeError,
    MalformedMessage,
    Refused,
    WrongTurn,
)
from handshake.handshake_state import KeyPair
from handshake.primitives import Aead
from unusable_keys import LOW_ORDER_X25519

SECRET = b"a secret of 32 bytes for a mesh."


@pytest.fixture(params=["initiator", "responder"])
def liar(request):
    """The role of whoever lies; alice has the other one."""
    return request.param.encode()


@pytest.fixture
def honest(side, liar):
    """Make alice in the role that listens to the liar."""
    return lambda **changes: side(
        Responder if liar == b"initiator" else Initiator, ALICE, **changes
    )


def addressee(role):
    """Whom a proof of that role is made for, when alice is to believe it."""
    return ALICE.identity.id if role == b"initiator" else UNKNOWN_ID


def refusal(honest, insider, make):
    """What alice says to a lie that reached her sealed; she has nothing afterwards."""
    with pytest.raises(Refused) as caught:
        insider.speak(honest, make)
    with pytest.raises(WrongTurn):
        _ = honest.established
    return caught.value


def said_to_mallory(side, role):
    """What bob says, in that role, to mallory: a payload she has every right to read."""
    other = b"responder" if role == b"initiator" else b"initiator"
    mallory = Insider(other, MALLORY.static_private)
    if role == b"responder":
        bob = side(Responder, BOB)
        bob.read_message_1(mallory.noise.write_message())
        return mallory.noise.read_message(bob.message_2())
    bob = side(Initiator, BOB)
    mallory.noise.read_message(bob.message_1())
    answer = mallory.noise.write_message(
        lambda h: packed(mallory.payload(MALLORY.identity, MALLORY.delegation, h, UNKNOWN_ID))
    )
    bob.read_message_2(answer, NOON)
    return mallory.noise.read_message(bob.message_3())


def test_a_payload_lifted_whole_proves_nothing(side, liar, honest):
    """What bob told mallory herself, repeated to alice to the byte."""
    lifted = said_to_mallory(side, liar)
    assert parts_of(lifted)["id"] == BOB.identity.id
    said = refusal(honest(), Insider(liar, MALLORY.static_private), lambda h: lifted)
    assert (said.reason, said.peer_id) == (Reason.BAD_PROOF, None)


def test_a_proof_for_another_exchange_proves_nothing_even_through_the_same_key(liar, honest):
    """Bob signed it, for this role, peer and key, and the thief holds the key: only h differs."""
    insider = Insider(liar, BOB.static_private)

    def lie(_h):
        return insider.payload(BOB.identity, BOB.delegation, b"h" * 32, addressee(liar))

    said = refusal(honest(), insider, lie)
    assert (said.reason, said.peer_id) == (Reason.BAD_PROOF, None)


def test_bobs_words_through_bobs_stolen_key_prove_nothing(side, liar, honest):
    """What bob told mallory, repeated to alice by mallory, who has also stolen his static key."""
    lifted = said_to_mallory(side, liar)
    said = refusal(honest(), Insider(liar, BOB.static_private), lambda h: lifted)
    assert (said.reason, said.peer_id) == (Reason.BAD_PROOF, None)


@pytest.mark.parametrize(
    ("what", "terms", "reason"),
    [
        ("missing", b"", Reason.MALFORMED),
        ("missing", bytes(63), Reason.MALFORMED),
        ("missing", bytes(64), Reason.BAD_PROOF),
        ("cut", b"", Reason.MALFORMED),
        ("cut", b"terms", Reason.BAD_PROOF),
        ("late", b"terms", Reason.BAD_PROOF),
        ("zero", b"terms", Reason.BAD_PROOF),
    ],
)
def test_a_proof_that_is_not_whole_proves_nothing(liar, honest, what, terms, reason):
    """Without 64 bytes where it belongs nobody is named; with 64 others the proof is bad."""
    insider = Insider(liar, MALLORY.static_private)

    def lie(h):
        said = insider.payload(MALLORY.identity, MALLORY.delegation, h, addressee(liar))
        proof = said["proof"]
        instead = {"missing": b"", "cut": proof[:63], "late": b"\0" + proof, "zero": bytes(64)}
        return said | {"proof": instead[what], "terms": terms}

    said = refusal(honest(), insider, lie)
    assert (said.reason, said.peer_id) == (reason, None)


@pytest.mark.parametrize("place", [0, 31, 32, 63])
def test_a_proof_that_was_changed_proves_nothing(liar, honest, place):
    """In either half of the signature, at its ends."""
    insider = Insider(liar, MALLORY.static_private)

    def lie(h):
        said = insider.payload(MALLORY.identity, MALLORY.delegation, h, addressee(liar))
        changed = bytearray(said["proof"])
        changed[place] ^= 1
        return said | {"proof": bytes(changed)}

    assert refusal(honest(), insider, lie).reason is Reason.BAD_PROOF


def test_a_proof_by_another_identity_proves_nothing(liar, honest):
    """Everything is bob's own and for this exchange, but mallory signed it."""
    insider = Insider(liar, BOB.static_private)

    def lie(h):
        said = insider.payload(MALLORY.identity, BOB.delegation, h, addressee(liar))
        return said | {"id": bytes(BOB.identity.id)}

    said = refusal(honest(), insider, lie)
    assert (said.reason, said.peer_id) == (Reason.BAD_PROOF, None)


# -- a relay between two honest sides


class Relay:
    """Mallory, between alice (initiator) and bob; she knows the psk and has keys of her own.

    What she does with each message: `forward` it; `change` one bit; `replay` that of an earlier
    exchange of the two; `replace` it by her own, in an exchange of her own with either side; or
    `lift`: the same, but what she says in it is what the other side has just said to her.
    """

    def __init__(self, side, earlier):
        self.alice, self.bob = side(Initiator, ALICE), side(Responder, BOB)
        self._to_alice = Insider(b"responder", MALLORY.static_private)
        self._to_bob = Insider(b"initiator", MALLORY.static_private)
        self._earlier = earlier
        self._heard = b""

    def carry(self, actions):
        """The three messages, each treated as its action says; whoever minds gives up."""
        try:
            message = self._listen(self._to_alice, self.alice.message_1())
            self.bob.read_message_1(self._treat(0, actions[0], message, self._own_1))
            message = self._listen(self._to_bob, self.bob.message_2())
            self.alice.read_message_2(self._treat(1, actions[1], message, self._own_2), NOON)
            message = self._listen(self._to_alice, self.alice.message_3())
            self.bob.read_message_3(self._treat(2, actions[2], message, self._own_3), NOON)
        except HandshakeError:
            pass

    def _listen(self, leg, message):
        """What was said to mallory herself she reads; the rest she only holds."""
        try:
            self._heard = leg.noise.read_message(message)
        except HandshakeError:
            self._heard = b""
        return message

    def _treat(self, number, action, message, own):
        if action in {"replace", "lift"}:
            return own(self._heard if action == "lift" else b"")
        if action == "replay":
            return self._earlier[number]
        if action == "change":
            return message[:-1] + bytes((message[-1] ^ 1,))
        return message

    def _own_1(self, _heard=b""):
        return self._to_bob.noise.write_message()

    def _own_2(self, heard=b""):
        return self._write(self._to_alice, UNKNOWN_ID, heard)

    def _own_3(self, heard=b""):
        return self._write(self._to_bob, BOB.identity.id, heard)

    @staticmethod
    def _write(leg, peer_id, heard):
        def said(h):
            honest = leg.payload(MALLORY.identity, MALLORY.delegation, h, peer_id)
            return heard or packed(honest)

        return leg.noise.write_message(said)

    def believed(self):
        """What each side believes once bob's first sealed frame has been passed on."""
        ours, theirs = result_of(self.alice), result_of(self.bob)
        if theirs is None:
            return None, None
        frame = Aead("ChaChaPoly", theirs.traffic_keys("ChaChaPoly")[0]).seal(0, b"", b"welcome")
        if ours is not None:
            try:
                Aead("ChaChaPoly", ours.traffic_keys("ChaChaPoly")[1]).open(0, b"", frame)
            except DecryptionFailed:
                ours = None
        return ours, theirs


def result_of(one):
    """What a side has in the end, if anything."""
    try:
        return one.established
    except WrongTurn:
        return None


def earlier_exchange(side):
    """The messages of an exchange of alice and bob that succeeded."""
    alice, bob = side(Initiator, ALICE), side(Responder, BOB)
    messages = [alice.message_1()]
    bob.read_message_1(messages[0])
    messages.append(bob.message_2())
    alice.read_message_2(messages[1], NOON)
    messages.append(alice.message_3())
    bob.read_message_3(messages[2], NOON)
    return messages


ACTIONS = ("forward", "change", "replay", "replace", "lift")


@pytest.mark.parametrize("actions", list(itertools.product(ACTIONS, repeat=3)), ids="-".join)
def test_a_relay_lets_both_agree_or_nobody(side, actions):
    """Alice and bob have one exchange with each other's ids, or neither believes in the other."""
    relay = Relay(side, earlier_exchange(side))
    relay.carry(actions)
    about_bob, about_alice = relay.believed()
    ours = about_bob is not None and about_bob.peer_id == BOB.identity.id
    theirs = about_alice is not None and about_alice.peer_id == ALICE.identity.id
    assert ours == theirs == (actions == ("forward",) * 3)
    if ours:
        assert about_bob.handshake_hash == about_alice.handshake_hash
        assert about_bob.export() == about_alice.export()
        assert about_bob.remote_session_id == about_alice.local_session_id
        assert about_bob.local_session_id == about_alice.remote_session_id
    for one in (about_bob, about_alice):
        known = {BOB.identity.id, ALICE.identity.id} if ours else {MALLORY.identity.id}
        assert one is None or one.peer_id in known


def test_the_relay_may_speak_for_herself(side):
    """The table above fails for what is wrong in it: her own whole exchange with bob is good."""
    relay = Relay(side, earlier_exchange(side))
    relay.alice.message_1()
    relay.bob.read_message_1(relay._own_1())
    relay._listen(relay._to_bob, relay.bob.message_2())
    assert relay.bob.read_message_3(relay._own_3(), NOON).peer_id == MALLORY.identity.id


# -- key-compromise impersonation


@pytest.mark.parametrize("private", [ALICE.static_private, MALLORY.static_private])
def test_our_static_key_does_not_make_its_thief_our_peer(side, liar, honest, private):
    """Who holds alice's static key and shows bob's public one cannot go on as bob."""
    shown = KeyPair(private, BOB.delegation.static_key)
    insider = Insider(liar, shown)
    lifted = said_to_mallory(side, liar)
    alice = honest()
    with pytest.raises(DecryptionFailed):
        insider.speak(alice, lambda h: lifted)
    with pytest.raises(WrongTurn):
        _ = alice.established


@pytest.mark.parametrize("delegated", [ALICE, BOB, MALLORY])
def test_our_static_key_does_not_make_its_thief_anybody(liar, honest, delegated):
    """Used as the thief's own, with bob's id and any delegation there is."""
    insider = Insider(liar, ALICE.static_private)

    def lie(h):
        said = insider.payload(MALLORY.identity, delegated.delegation, h, addressee(liar))
        return said | {"id": bytes(BOB.identity.id)}

    assert refusal(honest(), insider, lie).reason is Reason.BAD_PROOF


def test_the_mesh_secret_makes_nobody_a_peer(side, liar, honest):
    """It opens the door to the exchange, and no more: the proof is still bob's alone."""
    psk = mesh_psk(MESH, SECRET)
    run(side(Initiator, ALICE, psk=psk), side(Responder, BOB, psk=psk))
    insider = Insider(liar, MALLORY.static_private, psk=psk)

    def lie(h):
        said = insider.payload(MALLORY.identity, BOB.delegation, h, addressee(liar))
        return said | {"id": bytes(BOB.identity.id)}

    said = refusal(honest(psk=psk), insider, lie)
    assert (said.reason, said.peer_id) == (Reason.BAD_PROOF, None)


def test_our_static_key_begins_no_fresh_exchange(established, seeded):
    """Inside a session the thief of both static keys still lacks the session's own secret."""
    ours, theirs = established
    stolen = dataclasses.replace(theirs, split_keys=(bytes(32), bytes(32)))
    thief = FreshInitiator(stolen, session_id=5, random_bytes=seeded("f"))
    with pytest.raises(DecryptionFailed):
        FreshResponder(ours, session_id=6, random_bytes=seeded("g")).read_message_1(
            thief.message_1()
        )
    alice = FreshInitiator(ours, session_id=7, random_bytes=seeded("h"))
    asked = alice.message_1()
    with pytest.raises(DecryptionFailed):
        FreshResponder(stolen, session_id=8, random_bytes=seeded("i")).read_message_1(asked)
    guessed = dataclasses.replace(ours, split_keys=stolen.split_keys)
    blind = FreshResponder(stolen, session_id=9, random_bytes=seeded("j"))
    blind.read_message_1(
        FreshInitiator(guessed, session_id=5, random_bytes=seeded("k")).message_1()
    )
    with pytest.raises(DecryptionFailed):
        alice.read_message_2(blind.message_2())


# -- our own messages


def test_no_message_of_ours_comes_back_as_the_peers(side):
    """Each message of either role, given back to every reader of the side that wrote it."""
    alice, bob = side(Initiator, ALICE), side(Responder, BOB)
    message_1 = alice.message_1()
    bob.read_message_1(message_1)
    message_2 = bob.message_2()
    with pytest.raises((DecryptionFailed, MalformedMessage)):
        alice.read_message_2(message_1, NOON)
    with pytest.raises((DecryptionFailed, MalformedMessage)):
        bob.read_message_3(message_2, NOON)
    alice.read_message_2(message_2, NOON)
    message_3 = alice.message_3()
    for own, node in ((message_1, ALICE), (message_2, BOB), (message_3, ALICE)):
        other = side(Initiator, node)
        asked = other.message_1()
        with pytest.raises((DecryptionFailed, MalformedMessage)):
            other.read_message_2(own, NOON)
        answering = side(Responder, node)
        if own is not message_1:
            with pytest.raises((DecryptionFailed, MalformedMessage)):
                answering.read_message_1(own)
        answering.read_message_1(asked)
        answering.message_2()
        with pytest.raises((DecryptionFailed, MalformedMessage)):
            answering.read_message_3(own, NOON)
    assert bob.read_message_3(message_3, NOON).peer_id == ALICE.identity.id


def test_our_message_1_carried_back_to_us_ends_with_ourselves(side):
    """It opens at our own door, since we know the mesh; our answer to it is refused as ours."""
    alice, mirror = side(Initiator, ALICE), side(Responder, ALICE)
    mirror.read_message_1(alice.message_1())
    with pytest.raises(Refused) as caught:
        alice.read_message_2(mirror.message_2(), NOON)
    assert caught.value.reason is Reason.OURSELVES


def test_no_message_of_a_fresh_exchange_comes_back_as_the_peers(established, seeded):
    """The same inside a session, where both sides know the same secrets."""
    ours, theirs = established
    initiator = FreshInitiator(ours, session_id=1, random_bytes=seeded("f"))
    responder = FreshResponder(theirs, session_id=2, random_bytes=seeded("g"))
    message_1 = initiator.message_1()
    responder.read_message_1(message_1)
    message_2 = responder.message_2()
    for own, parent in ((message_1, ours), (message_2, theirs)):
        with pytest.raises((DecryptionFailed, MalformedMessage)):
            FreshResponder(parent, session_id=3, random_bytes=seeded("h")).read_message_1(own)
        again = FreshInitiator(parent, session_id=4, random_bytes=seeded("i"))
        again.message_1()
        with pytest.raises((DecryptionFailed, MalformedMessage)):
            again.read_message_2(own)
    with pytest.raises((DecryptionFailed, MalformedMessage)):
        initiator.read_message_2(message_1)
    initiator.read_message_2(message_2)


# -- what must be agreed on before anything is opened


def test_another_prologue_is_noticed_by_both(side, seeded):
    """A responder does not open message 1; an initiator does not open its answer."""
    theirs = side(Responder, BOB, prologue=b"downgraded")
    with pytest.raises(DecryptionFailed):
        theirs.read_message_1(side(Initiator, ALICE).message_1())
    alice = side(Initiator, ALICE, random_bytes=seeded("one key"))
    twin = side(Initiator, ALICE, random_bytes=seeded("one key"), prologue=b"downgraded")
    asked = twin.message_1()
    assert asked[:DHLEN] == alice.message_1()[:DHLEN]
    # As if somebody could make bob see another prologue than the one alice sent.
    theirs.read_message_1(asked)
    with pytest.raises(DecryptionFailed):
        alice.read_message_2(theirs.message_2(), NOON)


@pytest.mark.parametrize("low", LOW_ORDER_X25519, ids=bytes.hex)
def test_a_low_order_key_is_refused_in_every_message(liar, honest, low):
    """As ephemeral key, and as static key with a delegation for it."""
    alice, insider = honest(), Insider(liar, KeyPair(MALLORY.static_private, low))
    with pytest.raises(MalformedMessage):
        insider.speak(alice, lambda h: b"of no importance")
    with pytest.raises(WrongTurn):
        _ = alice.established
    alice = honest()
    with pytest.raises(MalformedMessage):
        if liar == b"initiator":
            alice.read_message_1(low + bytes(16))
        else:
            alice.message_1()
            alice.read_message_2(low + bytes(16), NOON)
