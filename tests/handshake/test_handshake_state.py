"""HandshakeState: its turns, its keys, its limits, and what a peer may do wrong."""

import pickle

import pytest

from handshake.errors import (
    DecryptionFailed,
    HandshakeError,
    InvalidKey,
    InvalidPayload,
    InvalidProtocolName,
    MalformedMessage,
    NonceExhausted,
    WrongTurn,
)
from handshake.handshake_state import HandshakeState, KeyPair
from handshake.patterns import PATTERNS
from handshake.primitives import x25519_public
from handshakes import STATICS, pair, run, turns

PSK = b"p" * 32
LOW_ORDER = bytes(32)


@pytest.mark.parametrize("base", PATTERNS)
def test_every_pattern_finishes(base, random_bytes):
    """Both sides end with one hash, equal keys and each other's static key where there is one."""
    sides = pair(f"Noise_{base}_25519_ChaChaPoly_SHA256", random_bytes)
    run(sides)
    assert sides[0].handshake_hash == sides[1].handshake_hash
    assert sides[0].export_split_keys() == sides[1].export_split_keys()
    for role in (0, 1):
        if sides[role].remote_static is not None:
            assert sides[role].remote_static == x25519_public(STATICS[1 - role])


def test_a_clear_message_that_was_changed_ends_the_next_one(random_bytes):
    """What NN's first message cannot show, the transcript does: the answer does not open."""
    initiator, responder = pair("Noise_NN_25519_AESGCM_SHA256", random_bytes)
    message = initiator.write_message(b"payload")
    assert responder.read_message(message[:-1] + b"D") == b"payloaD"
    with pytest.raises(DecryptionFailed):
        initiator.read_message(responder.write_message())


@pytest.mark.parametrize("base", ["XX", "XXpsk0", "IK"])
def test_a_low_order_ephemeral_is_refused_at_once(base, random_bytes):
    """The reader refuses it, so its own next message cannot fail for the peer's key."""
    initiator, responder = pair(f"Noise_{base}_25519_AESGCM_SHA256", random_bytes)
    message = initiator.write_message()
    with pytest.raises(MalformedMessage):
        responder.read_message(LOW_ORDER + message[32:])
    responder.read_message(message)
    initiator.read_message(responder.write_message())


def test_a_low_order_static_key_is_refused(random_bytes):
    """A peer that authenticates with a key anyone could use is turned away, and nothing changed."""
    initiator, responder = pair("Noise_IX_25519_AESGCM_SHA256", random_bytes)
    message = initiator.write_message()
    with pytest.raises(MalformedMessage):
        responder.read_message(message[:32] + LOW_ORDER)
    assert responder.remote_static is None
    responder.read_message(message)
    assert responder.remote_static == x25519_public(STATICS[0])


def test_another_psk_is_noticed_in_the_first_message(random_bytes):
    """XXpsk0: a stranger's first message does not open."""
    name = "Noise_XXpsk0_25519_ChaChaPoly_SHA256"
    message = pair(name, random_bytes, psks=(PSK,))[0].write_message()
    with pytest.raises(DecryptionFailed):
        pair(name, random_bytes)[1].read_message(message)


def test_another_prologue_is_noticed(random_bytes):
    """What both sides must agree on is part of the transcript."""
    name = "Noise_NNpsk0_25519_ChaChaPoly_SHA256"
    ours = HandshakeState(name, initiator=True, psks=(PSK,), random_bytes=random_bytes)
    theirs = HandshakeState(name, initiator=False, prologue=b"x", psks=(PSK,))
    with pytest.raises(DecryptionFailed):
        theirs.read_message(ours.write_message())


def test_a_payload_may_be_made_from_h(random_bytes):
    """The callable is called once, with what `payload_hash` is on both sides."""
    for writer, reader in turns(pair("Noise_XXpsk0_25519_ChaChaPoly_SHA256", random_bytes)):
        seen = []
        message = writer.write_message(lambda h, seen=seen: seen.append(h) or b"made " + h)
        payload = reader.read_message(message)
        assert payload == b"made " + seen[0]
        assert seen == [writer.payload_hash] == [reader.payload_hash]


def test_payload_hash_is_h_before_the_payload(random_bytes):
    """It covers the tokens of its message and not the payload; before any message there is none."""
    first, second = (pair("Noise_NN_25519_AESGCM_SHA256", random_bytes)[0] for _ in range(2))
    with pytest.raises(WrongTurn):
        _ = first.payload_hash
    initiator, responder = pair("Noise_NN_25519_AESGCM_SHA256", random_bytes)
    message = initiator.write_message(b"one")
    responder.read_message(message[:-3] + b"two")
    assert initiator.payload_hash == responder.payload_hash
    assert second.write_message() != message


def test_a_payload_that_raises_changes_nothing(random_bytes):
    """The same turn is still ours, and the ephemeral key of the failed attempt is forgotten."""
    initiator, responder = pair("Noise_XXpsk0_25519_ChaChaPoly_SHA256", random_bytes)

    def fails(h):
        raise RuntimeError("no payload")

    for writer, reader in turns((initiator, responder)):
        before = repr(writer)
        with pytest.raises(RuntimeError):
            writer.write_message(fails)
        assert repr(writer) == before
        assert reader.read_message(writer.write_message(b"x")) == b"x"
    assert initiator.handshake_hash == responder.handshake_hash
    assert random_bytes.asked == 4


def test_randomness_that_fails_changes_nothing():
    """A source that gives too little is an InvalidKey, and the turn is still ours."""
    given = [b"short", b"e" * 32]
    state = HandshakeState(
        "Noise_NN_25519_AESGCM_SHA256", initiator=True, random_bytes=lambda n: given.pop(0)
    )
    with pytest.raises(InvalidKey):
        state.write_message()
    assert state.write_message() == x25519_public(b"e" * 32)


def test_ephemeral_keys_come_from_the_system_unless_given():
    """Two states without a source never send the same key."""
    first, second = (HandshakeState("Noise_NN_25519_AESGCM_SHA256", initiator=True) for _ in "ab")
    assert first.write_message() != second.write_message()


def test_nobody_speaks_out_of_turn(random_bytes):
    """Each step at the wrong moment is WrongTurn and changes nothing."""
    initiator, responder = pair("Noise_NN_25519_AESGCM_SHA256", random_bytes)
    for wrong in (
        lambda: initiator.read_message(b""),
        responder.write_message,
        initiator.split,
        initiator.export_split_keys,
        lambda: initiator.handshake_hash,
    ):
        with pytest.raises(WrongTurn):
            wrong()
    run((initiator, responder))
    for wrong in (initiator.write_message, lambda: responder.read_message(b"")):
        with pytest.raises(WrongTurn):
            wrong()


def test_a_handshake_splits_once(random_bytes):
    """A second pair of ciphers would use the same counters again."""
    sides = pair("Noise_NN_25519_AESGCM_SHA256", random_bytes)
    run(sides)
    (send, receive), (their_receive, their_send) = (side.split() for side in sides)
    assert their_receive.decrypt_with_ad(b"", send.encrypt_with_ad(b"", b"to")) == b"to"
    assert receive.decrypt_with_ad(b"", their_send.encrypt_with_ad(b"", b"back")) == b"back"
    with pytest.raises(WrongTurn):
        sides[0].split()


def test_a_message_has_at_most_65535_bytes(random_bytes):
    """The longest payload passes both ways; one byte more is refused and changes nothing."""
    initiator, responder = pair("Noise_NN_25519_AESGCM_SHA256", random_bytes)
    room = 65_535 - 32
    with pytest.raises(InvalidPayload):
        initiator.write_message(bytes(room + 1))
    message = initiator.write_message(bytes(room))
    with pytest.raises(MalformedMessage):
        responder.read_message(message + b"\0")
    assert responder.read_message(message) == bytes(room)


@pytest.mark.parametrize("payload", [5, "text", None, lambda h: 5, bytearray])
def test_a_payload_is_bytes(payload, random_bytes):
    """Anything else is refused rather than turned into bytes, and changes nothing."""
    initiator, responder = pair("Noise_NN_25519_AESGCM_SHA256", random_bytes)
    with pytest.raises(InvalidPayload):
        initiator.write_message(payload)
    run((initiator, responder))


def test_reading_on_trial_leaves_the_state(random_bytes):
    """`after_reading` gives payload and a second state; the first can still read."""
    initiator, responder = pair("Noise_XXpsk0_25519_ChaChaPoly_SHA256", random_bytes)
    message = initiator.write_message(b"x")
    payload, after = responder.after_reading(message)
    assert payload == b"x"
    with pytest.raises(WrongTurn):
        responder.write_message()
    assert initiator.read_message(after.write_message(b"y")) == b"y"
    assert responder.read_message(message) == b"x"


def test_fallback_finishes_what_the_first_message_began(random_bytes):
    """XXfallback: the first speaker's ephemeral key is known, and the other side goes on."""
    name = "Noise_XXfallback_25519_ChaChaPoly_SHA256"
    e = b"e" * 32
    bob = HandshakeState(name, initiator=True, s=STATICS[0], re=x25519_public(e))
    alice = HandshakeState(name, initiator=False, s=STATICS[1], e=e)
    run((bob, alice))
    assert bob.handshake_hash == alice.handshake_hash
    assert alice.remote_static == x25519_public(STATICS[0])


KEYS = {"s": STATICS[0], "rs": x25519_public(STATICS[1]), "re": x25519_public(STATICS[1])}


@pytest.mark.parametrize(
    ("base", "given"),
    [
        ("XX", {}),
        ("XX", {"s": b"short"}),
        ("XX", {"s": STATICS[0], "rs": KEYS["rs"]}),
        ("XX", {"s": STATICS[0], "re": KEYS["re"]}),
        ("XX", {"s": STATICS[0], "e": b"short"}),
        ("NN", {"s": STATICS[0]}),
        ("NK", {}),
        ("NK", {"rs": LOW_ORDER}),
        ("NK", {"rs": b"short"}),
        ("NNpsk0", {}),
        ("NNpsk0", {"psks": (PSK, PSK)}),
        ("NNpsk0", {"psks": (b"short",)}),
        ("NN", {"psks": (PSK,)}),
        ("XXfallback", {"s": STATICS[0]}),
        ("XXfallback", {"s": STATICS[0], "re": LOW_ORDER}),
    ],
)
def test_keys_are_exactly_those_of_the_pattern(base, given):
    """A key that is missing, superfluous or unusable is refused before anything is sent."""
    with pytest.raises(InvalidKey):
        HandshakeState(f"Noise_{base}_25519_AESGCM_SHA256", initiator=True, **given)


def test_the_first_speaker_of_a_fallback_brings_its_ephemeral_key():
    """Its key was sent already, so it must be given."""
    with pytest.raises(InvalidKey):
        HandshakeState("Noise_XXfallback_25519_AESGCM_SHA256", initiator=False, s=STATICS[0])


@pytest.mark.parametrize("base", ["N", "K", "X", "Npsk0"])
def test_the_way_back_of_a_one_way_pattern_is_closed(base, random_bytes):
    """Section 7.4: only the initiator sends; the second cipher seals and opens nothing."""
    sides = pair(f"Noise_{base}_25519_AESGCM_SHA256", random_bytes)
    run(sides)
    (there, back), (their_there, their_back) = (side.split() for side in sides)
    assert their_there.decrypt_with_ad(b"", there.encrypt_with_ad(b"", b"to")) == b"to"
    for closed in (back, their_back):
        with pytest.raises(NonceExhausted):
            closed.encrypt_with_ad(b"", b"back")
        with pytest.raises(NonceExhausted):
            closed.decrypt_with_ad(b"", bytes(16))


def test_a_sealed_message_has_at_most_65535_bytes(random_bytes):
    """The limit counts the tags: the longest payload of XXpsk0's first message passes."""
    initiator, responder = pair("Noise_XXpsk0_25519_ChaChaPoly_SHA256", random_bytes)
    room = 65_535 - 32 - 16
    with pytest.raises(InvalidPayload):
        initiator.write_message(bytes(room + 1))
    with pytest.raises(InvalidPayload):
        initiator.write_message(bytes(70_000))
    message = initiator.write_message(bytes(room))
    assert len(message) == 65_535
    assert responder.read_message(message) == bytes(room)


def test_an_unknown_protocol_is_refused():
    """The name is checked first, and the error is one of the handshake's."""
    with pytest.raises(InvalidProtocolName) as caught:
        HandshakeState("Noise_ZZ_25519_AESGCM_SHA256", initiator=True)
    assert isinstance(caught.value, HandshakeError)


def test_no_key_shows(random_bytes):
    """repr names protocol, role and turn; neither states nor key pairs are pickled."""
    initiator, responder = pair("Noise_XXpsk0_25519_ChaChaPoly_SHA256", random_bytes)
    assert repr(initiator) == (
        "<HandshakeState Noise_XXpsk0_25519_ChaChaPoly_SHA256 initiator before message 0>"
    )
    assert "responder" in repr(responder)
    keys = KeyPair.of(STATICS[0])
    assert repr(keys) == "<KeyPair>"
    for secret in (initiator, keys):
        with pytest.raises(TypeError):
            pickle.dumps(secret)


def test_a_pair_stands_for_its_private_key():
    """With both halves given the messages are the same; halves of a wrong length are refused."""
    name = "Noise_X_25519_ChaChaPoly_SHA256"
    rs = x25519_public(STATICS[1])
    messages = [
        HandshakeState(name, initiator=True, s=s, e=b"e" * 32, rs=rs).write_message()
        for s in (STATICS[0], KeyPair(STATICS[0], x25519_public(STATICS[0])))
    ]
    assert messages[0] == messages[1]
    for halves in ((b"short", rs), (STATICS[0], b"short")):
        with pytest.raises(InvalidKey):
            KeyPair(*halves)
