"""The primitives give what their specifications say and refuse what nobody may use."""

import copy
import hashlib
import json
import pickle
import struct

import nacl.bindings as sodium
import pytest
from hypothesis import given
from hypothesis import strategies as st
from nacl.exceptions import UnavailableError

from handshake import primitives
from handshake.errors import DecryptionFailed, InvalidKey, InvalidProtocolName, NonceExhausted
from handshake.primitives import Aead

P = 2**255 - 19
ORDER_8 = 325606250916557431795983626356110631294008115727848805560023387167927233504
LOW_ORDER = [
    number.to_bytes(32, "little")
    for number in (0, 1, P - 1, P, P + 1, ORDER_8, ORDER_8 + 2**255, P + 2**255)
]
SUITES = ["ChaChaPoly", "AESGCM"]
KEY = bytes(range(32))


def wycheproof(vectors, name):
    """All cases of a file, each with its group."""
    groups = json.loads((vectors / "wycheproof" / f"{name}_test.json").read_text())["testGroups"]
    return [(group, case) for group in groups for case in group["tests"]]


def test_x25519_gives_what_wycheproof_expects(vectors):
    """Each of its key pairs agrees, and a zero result is refused."""
    cases = wycheproof(vectors, "x25519")
    done = 0
    for _, case in cases:
        private, public, shared = (
            bytes.fromhex(case[key]) for key in ("private", "public", "shared")
        )
        if shared == bytes(32) or len(public) != 32:
            with pytest.raises(InvalidKey):
                primitives.x25519(private, public)
        else:
            assert case["result"] != "invalid"
            assert primitives.x25519(private, public) == shared, case["tcId"]
        done += 1
    assert done == len(cases) == 518


def test_the_cheap_check_refuses_exactly_what_the_dh_refuses(vectors):
    """A public key that passes `check_x25519_public` never fails later, and the reverse."""
    for _, case in wycheproof(vectors, "x25519"):
        public = bytes.fromhex(case["public"])
        if bytes.fromhex(case["shared"]) == bytes(32):
            with pytest.raises(InvalidKey):
                primitives.check_x25519_public(public)
        else:
            primitives.check_x25519_public(public)


@pytest.mark.parametrize("public", LOW_ORDER)
def test_low_order_keys_are_refused(public):
    """Each encoding of a low-order u-coordinate is refused, with and without a DH."""
    with pytest.raises(InvalidKey):
        primitives.x25519(KEY, public)
    with pytest.raises(InvalidKey):
        primitives.check_x25519_public(public)


def test_x25519_is_that_of_rfc_7748():
    """The iterated vector of section 5.2, after one and after a thousand rounds."""
    k = u = b"\x09" + bytes(31)
    results = {}
    for number in range(1, 1001):
        k, u = primitives.x25519(k, u), k
        results[number] = k.hex()
    assert results[1] == "422c8e7a6227d7bca1350b3e2bb7279f7897b87bb6854b783c60e80311ae3079"
    assert results[1000] == "684cf59ba83309552800ef566f2f4d3c1c3887c49360e3875f2eb94d99532c51"


def test_two_sides_agree():
    """Each private key and the other's public key give one secret."""
    a, b = b"a" * 32, b"b" * 32
    assert primitives.x25519(a, primitives.x25519_public(b)) == primitives.x25519(
        b, primitives.x25519_public(a)
    )


@pytest.mark.parametrize("length", [0, 31, 33])
def test_keys_of_another_length_are_refused(length):
    """libsodium would read past a short key, so no length but the right one gets there."""
    wrong = bytes(length)
    public = primitives.x25519_public(KEY)
    for call in (
        lambda: primitives.x25519(wrong, public),
        lambda: primitives.x25519(KEY, wrong),
        lambda: primitives.x25519_public(wrong),
        lambda: primitives.check_x25519_public(wrong),
        lambda: primitives.SigningKey(wrong).public,
        lambda: primitives.check_ed25519_public(wrong),
        lambda: Aead("AESGCM", wrong),
        lambda: primitives.secret_box_seal(wrong, b"", bytes(24)),
        lambda: primitives.secret_box_seal(KEY, b"", wrong),
        lambda: primitives.secret_box_open(wrong, bytes(40)),
        lambda: primitives.passphrase_key("x", wrong, 1, 8192),
    ):
        with pytest.raises(InvalidKey):
            call()


def test_ed25519_verifies_what_wycheproof_expects(vectors):
    """Valid signatures verify; forged, malleable and misshapen ones do not."""
    cases = wycheproof(vectors, "ed25519")
    done = 0
    for group, case in cases:
        public, message, signature = (
            bytes.fromhex(text) for text in (group["publicKey"]["pk"], case["msg"], case["sig"])
        )
        expected = case["result"] == "valid"
        assert primitives.ed25519_verify(public, message, signature) is expected, case["tcId"]
        done += 1
    assert done == len(cases) == 151


def test_a_signature_holds_for_its_message_alone():
    """Sign and verify agree; another message, key or length does not verify."""
    public = primitives.SigningKey(KEY).public
    signature = primitives.SigningKey(KEY).sign(b"message")
    assert len(signature) == 64
    assert primitives.ed25519_verify(public, b"message", signature)
    assert not primitives.ed25519_verify(public, b"massage", signature)
    assert not primitives.ed25519_verify(
        primitives.SigningKey(bytes(32)).public, b"message", signature
    )
    assert not primitives.ed25519_verify(public, b"message", signature[:63])
    assert not primitives.ed25519_verify(public[:31], b"message", signature)


def test_a_small_order_key_verifies_nothing():
    """The signature R = A = neutral, S = 0 satisfies the bare equation; it is refused."""
    neutral = b"\1" + bytes(31)
    assert not primitives.ed25519_verify(neutral, b"anything", neutral + bytes(32))


@pytest.mark.parametrize(
    "key",
    [
        bytes(32),
        b"\1" + bytes(31),
        b"\1" + bytes(30) + b"\x80",
        (P - 1).to_bytes(32, "little"),
        P.to_bytes(32, "little"),
        (P + 1).to_bytes(32, "little"),
        bytes.fromhex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05"),
        b"\2" + bytes(31),
    ],
)
def test_ed25519_keys_nobody_may_use_are_refused(key):
    """Small order, another encoding of it, or no point at all: none becomes an identity."""
    with pytest.raises(InvalidKey):
        primitives.check_ed25519_public(key)


def test_an_ed25519_key_of_mixed_order_is_refused():
    """An honest key plus a point of order two would be a second name for its holder."""
    honest = primitives.SigningKey(KEY).public
    primitives.check_ed25519_public(honest)
    order_two = (P - 1).to_bytes(32, "little")
    with pytest.raises(InvalidKey):
        primitives.check_ed25519_public(sodium.crypto_core_ed25519_add(honest, order_two))


@pytest.mark.parametrize("function", ["sha256", "sha512", "blake2s", "blake2b"])
def test_hashes_are_those_of_the_standard_library(function):
    """Digest, its length, and HKDF from HMAC by its definition in RFC 2104."""
    ours = {
        "sha256": primitives.SHA256,
        "sha512": primitives.SHA512,
        "blake2s": primitives.BLAKE2s,
        "blake2b": primitives.BLAKE2b,
    }[function]
    theirs = getattr(hashlib, function)
    assert ours.hash(b"abc") == theirs(b"abc").digest()
    assert theirs().digest_size == ours.HASHLEN
    assert function in repr(ours)

    def hmac(key, data):
        padded = key.ljust(theirs().block_size, b"\0")
        inner = theirs(bytes(byte ^ 0x36 for byte in padded) + data).digest()
        return theirs(bytes(byte ^ 0x5C for byte in padded) + inner).digest()

    for ikm in (b"", b"k" * 20, bytes(200)):
        secret = hmac(b"c" * ours.HASHLEN, ikm)
        first = hmac(secret, b"\1")
        second = hmac(secret, first + b"\2")
        third = hmac(secret, second + b"\3")
        assert primitives.hkdf(b"c" * ours.HASHLEN, ikm, 2, ours) == (first, second)
        assert primitives.hkdf(b"c" * ours.HASHLEN, ikm, 3, ours) == (first, second, third)


def test_derive_key_is_rfc_5869():
    """Test case 3 of RFC 5869: no salt, no info, 42 bytes."""
    expected = (
        "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8"
    )
    assert primitives.derive_key(b"\x0b" * 22, b"", 42).hex() == expected


def test_derived_keys_differ_by_purpose():
    """Another info or secret gives another key; a shorter one is the beginning of a longer."""
    key = primitives.derive_key(KEY, b"one")
    assert len(key) == 32
    assert key != primitives.derive_key(KEY, b"two")
    assert key != primitives.derive_key(bytes(32), b"one")
    assert primitives.derive_key(KEY, b"one", 100)[:32] == key


@pytest.mark.parametrize("length", [0, -1, 8161])
def test_derive_key_refuses_lengths_hkdf_cannot_give(length):
    """One byte past HKDF's end, or none at all, is refused; the longest one is made."""
    with pytest.raises(InvalidKey):
        primitives.derive_key(KEY, b"", length)
    assert len(primitives.derive_key(KEY, b"", 8160)) == 8160


def test_hkdf_of_noise_is_the_expansion_of_rfc_5869_without_info():
    """With the chaining key as salt the outputs are one run of HKDF-Expand."""
    one, two, three = primitives.hkdf(bytes(32), KEY, 3, primitives.SHA256)
    assert one + two + three == primitives.derive_key(KEY, b"", 96)


@given(*[st.lists(st.binary(max_size=4), max_size=4)] * 2)
def test_length_prefixed_lists_never_join_alike(first, second):
    """Two lists of parts give the same bytes only when they are the same list."""
    joined = primitives.length_prefixed(*first), primitives.length_prefixed(*second)
    assert (joined[0] == joined[1]) == (first == second)


@pytest.mark.parametrize(
    ("suite", "name", "ours", "other_sizes"),
    [("ChaChaPoly", "chacha20_poly1305", 316, 9), ("AESGCM", "aes_gcm", 66, 250)],
)
def test_aeads_give_what_wycheproof_expects(vectors, suite, name, ours, other_sizes):
    """Each case with Noise's sizes seals and opens as it says, its nonce put in by hand."""
    done = skipped = 0
    for group, case in wycheproof(vectors, name):
        if (group["keySize"], group["ivSize"], group["tagSize"]) != (256, 96, 128):
            skipped += 1
            continue
        key, iv, ad, message, text, tag = (
            bytes.fromhex(case[part]) for part in ("key", "iv", "aad", "msg", "ct", "tag")
        )
        aead = Aead(suite, key)
        aead._nonce = lambda counter, iv=iv: iv
        if case["result"] == "valid":
            assert aead.seal(0, ad, message) == text + tag, case["tcId"]
            assert aead.open(0, ad, text + tag) == message, case["tcId"]
        else:
            with pytest.raises(DecryptionFailed):
                aead.open(0, ad, text + tag)
        done += 1
    assert (done, skipped) == (ours, other_sizes)


@given(st.binary(min_size=32, max_size=32), st.integers(0, 2**64 - 1), st.binary(), st.binary())
def test_chacha_is_byte_for_byte_that_of_libsodium(key, counter, ad, plaintext):
    """Two libraries and one nonce layout (little-endian) give one ciphertext."""
    nonce = bytes(4) + struct.pack("<Q", counter)
    theirs = sodium.crypto_aead_chacha20poly1305_ietf_encrypt(plaintext, ad, nonce, key)
    assert Aead("ChaChaPoly", key).seal(counter, ad, plaintext) == theirs


@given(st.binary(min_size=32, max_size=32), st.integers(0, 2**64 - 1), st.binary(), st.binary())
def test_aes_gcm_is_byte_for_byte_that_of_libsodium(key, counter, ad, plaintext):
    """The same for AES-256-GCM, whose counter is big-endian."""
    nonce = bytes(4) + struct.pack(">Q", counter)
    try:
        theirs = sodium.crypto_aead_aes256gcm_encrypt(plaintext, ad, nonce, key)
    except UnavailableError:
        pytest.skip("libsodium has AES-256-GCM only where the processor has AES")
    assert Aead("AESGCM", key).seal(counter, ad, plaintext) == theirs


@pytest.mark.parametrize("suite", SUITES)
@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_an_aead_takes_any_buffer(suite, kind):
    """Header, plaintext and sealed bytes may be slices of a larger buffer."""
    aead = Aead(suite, KEY)
    sealed = aead.seal(7, kind(b"header"), kind(b"body"))
    assert sealed == aead.seal(7, b"header", b"body")
    assert len(sealed) == 4 + 16
    assert aead.open(7, kind(b"header"), kind(sealed)) == b"body"


@pytest.mark.parametrize("suite", SUITES)
@pytest.mark.parametrize("size", [0, 1, 100])
def test_sealing_into_a_buffer_writes_only_what_it_says(suite, size):
    """The sealed bytes are those of `seal`, and the rest of the buffer is left alone."""
    aead = Aead(suite, KEY)
    buffer = bytearray(b"\xee" * 200)
    written = aead.seal_into(3, b"ad", b"x" * size, memoryview(buffer)[10:])
    assert written == size + 16
    assert bytes(buffer[10 : 10 + written]) == aead.seal(3, b"ad", b"x" * size)
    assert set(buffer[:10] + buffer[10 + written :]) == {0xEE}


@pytest.mark.parametrize("suite", SUITES)
def test_sealing_into_too_short_a_buffer_is_refused(suite):
    """One byte less than plaintext and tag is a ValueError, and exactly as many fit."""
    aead = Aead(suite, KEY)
    with pytest.raises(ValueError):
        aead.seal_into(0, b"", b"four", memoryview(bytearray(19)))
    assert aead.seal_into(0, b"", b"four", memoryview(bytearray(20))) == 20


@pytest.mark.parametrize("suite", SUITES)
def test_nothing_that_was_changed_opens(suite):
    """Each byte, the length, the counter, the associated data and the key are authenticated."""
    aead = Aead(suite, KEY)
    sealed = aead.seal(5, b"ad", b"body")
    changed = [
        sealed[:at] + bytes((sealed[at] ^ 1,)) + sealed[at + 1 :] for at in range(len(sealed))
    ]
    for bad in [*changed, sealed[:-1], sealed + b"\0", sealed[:15], b""]:
        with pytest.raises(DecryptionFailed):
            aead.open(5, b"ad", bad)
    for other, counter, ad in [
        (aead, 6, b"ad"),
        (aead, 5, b"da"),
        (Aead(suite, bytes(32)), 5, b"ad"),
    ]:
        with pytest.raises(DecryptionFailed):
            other.open(counter, ad, sealed)
    assert aead.open(5, b"ad", sealed) == b"body"


@pytest.mark.parametrize("suite", SUITES)
@pytest.mark.parametrize("counter", [-1, 2**64])
def test_a_counter_outside_64_bits_is_refused(suite, counter):
    """A counter never wraps around; the last one works."""
    aead = Aead(suite, KEY)
    for call in (
        lambda: aead.seal(counter, b"", b""),
        lambda: aead.open(counter, b"", bytes(16)),
        lambda: aead.seal_into(counter, b"", b"", memoryview(bytearray(16))),
    ):
        with pytest.raises(NonceExhausted):
            call()
    assert aead.open(2**64 - 1, b"", aead.seal(2**64 - 1, b"", b"x")) == b"x"


def test_another_suite_is_refused():
    """Only the two suites of Noise are spoken."""
    with pytest.raises(InvalidProtocolName):
        Aead("AES128", KEY)


@pytest.mark.parametrize("suite", SUITES)
def test_an_aead_neither_prints_nor_copies_its_key(suite):
    """Its repr is its type; pickling and copying fail."""
    aead = Aead(suite, KEY)
    assert repr(aead) == "<Aead>"
    for leak in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError):
            leak(aead)


def test_a_passphrase_key_is_argon2id_of_the_text():
    """Equal passphrases give equal keys however a keyboard composes them; salts separate them."""
    salt = bytes(16)
    key = primitives.passphrase_key("Zoë", salt, 1, 8192)
    expected = sodium.crypto_pwhash_alg(32, "Zoë".encode(), salt, 1, 8192, 2)
    assert key == expected
    assert primitives.passphrase_key("Zoe\u0308", salt, 1, 8192) == key
    assert primitives.passphrase_key("Zoë".encode(), salt, 1, 8192) == key
    assert primitives.passphrase_key("Zoë", b"\1" * 16, 1, 8192) != key


def test_argon2id_limits_that_libsodium_refuses_are_an_invalid_key():
    """A key file with absurd limits gives our error."""
    with pytest.raises(InvalidKey):
        primitives.passphrase_key("x", bytes(16), 0, 8192)


def test_a_secret_box_opens_with_its_key_alone():
    """What was sealed opens again; a changed byte, a cut or another key does not."""
    sealed = primitives.secret_box_seal(KEY, b"seed", b"n" * 24)
    assert len(sealed) == 24 + 16 + 4
    assert primitives.secret_box_open(KEY, sealed) == b"seed"
    for bad in (sealed[:-1], sealed[:39], b"", bytes((sealed[0] ^ 1,)) + sealed[1:]):
        with pytest.raises(DecryptionFailed):
            primitives.secret_box_open(KEY, bad)
    with pytest.raises(DecryptionFailed):
        primitives.secret_box_open(bytes(32), sealed)
