"""HandshakeState against others' vectors, a live peer, and everything a peer may do wrong."""

import json
import pickle
from itertools import product

import pytest
from noise.connection import Keypair, NoiseConnection

from handshake.errors import (
    DecryptionFailed,
    HandshakeError,
    InvalidKey,
    InvalidPayload,
    InvalidProtocolName,
    MalformedMessage,
    WrongTurn,
)
from handshake.handshake_state import HandshakeState, KeyPair
from handshake.patterns import PATTERNS, parse_protocol_name
from handshake.primitives import x25519_public

SUITES = [
    f"25519_{cipher}_{function}"
    for cipher, function in product(
        ["ChaChaPoly", "AESGCM"], ["SHA256", "SHA512", "BLAKE2s", "BLAKE2b"]
    )
]
STATICS = (b"i" * 32, b"r" * 32)
PSK = b"p" * 32
LOW_ORDER = bytes(32)


def pair(name, random_bytes, *, psk=PSK):
    """Both sides of a protocol, each with exactly the keys that its pattern wants."""
    pattern = parse_protocol_name(name).pattern
    sides = []
    for role in (0, 1):
        knows = (pattern.initiator_knows, pattern.responder_knows)
        sends = [token for tokens in pattern.messages[role::2] for token in tokens]
        sides.append(
            HandshakeState(
                name,
                initiator=role == 0,
                prologue=b"prologue",
                s=STATICS[role] if "s" in (*knows[role], *sends) else None,
                rs=x25519_public(STATICS[1 - role]) if "s" in knows[1 - role] else None,
                psks=(psk,) * pattern.psk_count,
                random_bytes=random_bytes,
            )
        )
    return sides


def turns(sides):
    """Writer and reader of each message that is left."""
    writer, reader = sides
    while not writer.finished:
        yield writer, reader
        writer, reader = reader, writer


def run(sides):
    """Finish a handshake and give its messages."""
    messages = []
    for writer, reader in turns(sides):
        messages.append(writer.write_message(b"payload"))
        assert reader.read_message(messages[-1]) == b"payload"
    return messages


def unhex(vector, key):
    """A field of a vector, None when it is not there."""
    return bytes.fromhex(vector[key]) if key in vector else None


def side_of(vector, role):
    """One side as a vector describes it."""
    return HandshakeState(
        vector["protocol_name"],
        initiator=role == "init",
        prologue=unhex(vector, f"{role}_prologue"),
        s=unhex(vector, f"{role}_static"),
        e=unhex(vector, f"{role}_ephemeral"),
        rs=unhex(vector, f"{role}_remote_static"),
        psks=[bytes.fromhex(psk) for psk in vector.get(f"{role}_psks", [])],
    )


def check_vector(vector):
    """Every message of a vector, of the handshake and of the transport, both ways."""
    initiator, responder = side_of(vector, "init"), side_of(vector, "resp")
    one_way = parse_protocol_name(vector["protocol_name"]).pattern.one_way
    messages = [
        (bytes.fromhex(message["payload"]), bytes.fromhex(message["ciphertext"]))
        for message in vector["messages"]
    ]
    rest = iter(messages)
    for writer, reader in turns((initiator, responder)):
        payload, expected = next(rest)
        assert writer.write_message(payload) == expected
        assert reader.read_message(expected) == payload
    h = bytes.fromhex(vector["handshake_hash"])
    assert initiator.handshake_hash == responder.handshake_hash == h
    ours, theirs = initiator.split(), responder.split()
    number = 0 if one_way else len(parse_protocol_name(vector["protocol_name"]).pattern.messages)
    for payload, expected in rest:
        direction = 0 if one_way else number % 2
        sender, receiver = (ours, theirs) if direction == 0 else (theirs, ours)
        assert sender[direction].encrypt_with_ad(b"", payload) == expected
        assert receiver[direction].decrypt_with_ad(b"", expected) == payload
        number += 1


def test_all_vectors_of_cacophony(vectors):
    """472 handshakes of another implementation, byte for byte: 59 patterns in 8 suites."""
    text = (vectors / "cacophony" / "cacophony.txt").read_text()
    wanted = [v for v in json.loads(text)["vectors"] if "_25519_" in v["protocol_name"]]
    assert len(wanted) == 472
    for vector in wanted:
        try:
            check_vector(vector)
        except Exception as error:
            error.add_note(vector["protocol_name"])
            raise


LIVE = [
    "N",
    "K",
    "X",
    *[a + b for a in "NKXI" for b in "NKX"],
    "XXpsk0",
    "KKpsk0",
    "XXpsk3",
    "Npsk0",
]


def live_peer(name, role):
    """The noiseprotocol package in the given role."""
    peer = NoiseConnection.from_name(name.encode())
    if role == 0:
        peer.set_as_initiator()
    else:
        peer.set_as_responder()
    pattern = parse_protocol_name(name).pattern
    peer.set_prologue(b"prologue")
    if pattern.psk_count:
        peer.set_psks(psks=[PSK] * pattern.psk_count)
    knows = (pattern.initiator_knows, pattern.responder_knows)
    sends = [token for tokens in pattern.messages[role::2] for token in tokens]
    if "s" in (*knows[role], *sends):
        peer.set_keypair_from_private_bytes(Keypair.STATIC, STATICS[role])
    if "s" in knows[1 - role]:
        public = x25519_public(STATICS[1 - role])
        peer.set_keypair_from_public_bytes(Keypair.REMOTE_STATIC, public)
    peer.start_handshake()
    return peer


@pytest.mark.parametrize("suite", SUITES)
@pytest.mark.parametrize("role", [0, 1])
def test_a_live_peer_is_understood(suite, role, random_bytes):
    """noiseprotocol and we finish every pattern it knows, in either role, and then talk."""
    for base in LIVE:
        name = f"Noise_{base}_{suite}"
        ours = pair(name, random_bytes)[1 - role]
        peer = live_peer(name, role)
        our_turn = role == 1
        while not ours.finished:
            if our_turn:
                assert peer.read_message(ours.write_message(b"from us")) == b"from us"
            else:
                assert ours.read_message(bytes(peer.write_message(b"from it"))) == b"from it"
            our_turn = not our_turn
        assert peer.handshake_finished
        assert ours.handshake_hash == peer.get_handshake_hash()
        if role == 1:
            sealed = ours.split()[0].encrypt_with_ad(b"", b"transport")
            assert peer.decrypt(sealed) == b"transport"
        else:
            sealed = peer.encrypt(b"transport")
            assert ours.split()[0].decrypt_with_ad(b"", sealed) == b"transport"


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


@pytest.mark.parametrize("base", ["NK", "XX", "XXpsk0", "KKpsk0", "IK", "X1X1", "NNpsk0+psk2", "X"])
def test_a_tampered_message_changes_nothing(base, random_bytes):
    """For every message and byte: the tampered one fails, then the genuine one is read."""
    name = f"Noise_{base}_25519_ChaChaPoly_SHA256"
    sides = pair(name, random_bytes)
    for writer, reader in turns(sides):
        message = writer.write_message(b"payload")
        # Before the first key the payload is clear: changed bytes are found one message later.
        sealed = len(message) >= 16 and message[-7:] != b"payload"
        for at in range(len(message)) if sealed else ():
            bad = message[:at] + bytes((message[at] ^ 0x40,)) + message[at + 1 :]
            with pytest.raises((DecryptionFailed, MalformedMessage)):
                reader.read_message(bad)
        for cut in (0, 1, 31, len(message) - 8):
            if cut < (len(message) if sealed else 32):
                with pytest.raises((DecryptionFailed, MalformedMessage)):
                    reader.read_message(message[:cut])
        assert reader.read_message(message) == b"payload"
    assert sides[0].handshake_hash == sides[1].handshake_hash


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


@pytest.mark.parametrize("psk", [b"q" * 32])
def test_another_psk_is_noticed_in_the_first_message(psk, random_bytes):
    """XXpsk0: a stranger's first message does not open."""
    name = "Noise_XXpsk0_25519_ChaChaPoly_SHA256"
    message = pair(name, random_bytes, psk=psk)[0].write_message()
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
