"""SymmetricState: transcript and chaining key, by the formulas of Noise itself."""

import pickle

import pytest

from handshake.errors import DecryptionFailed
from handshake.patterns import parse_protocol_name
from handshake.primitives import Aead, hkdf
from handshake.symmetric_state import SymmetricState

SHORT = parse_protocol_name("Noise_XX_25519_AESGCM_SHA256")
LONG = parse_protocol_name("Noise_XXpsk3_25519_ChaChaPoly_SHA256")


@pytest.mark.parametrize("protocol", [SHORT, LONG])
def test_h_begins_with_the_protocol_name(protocol):
    """Section 5.2: padded with zeros when it fits the hash, hashed when it does not."""
    name = protocol.name.encode()
    expected = name.ljust(32, b"\0") if len(name) <= 32 else protocol.hash.hash(name)
    assert SymmetricState(protocol).handshake_hash == expected
    assert {len(SHORT.name) <= 32, len(LONG.name) <= 32} == {True, False}


def test_mix_hash_chains_what_was_said():
    """h becomes the hash of h and the data."""
    state = SymmetricState(SHORT)
    before = state.handshake_hash
    state.mix_hash(b"data")
    assert state.handshake_hash == SHORT.hash.hash(before + b"data")


@pytest.mark.parametrize("protocol", [SHORT, parse_protocol_name("Noise_NN_25519_AESGCM_SHA512")])
def test_mix_key_takes_the_first_32_bytes(protocol):
    """The cipher's key is the second output of HKDF, cut for the longer hashes."""
    state = SymmetricState(protocol)
    h = state.handshake_hash
    assert not state.has_key
    state.mix_key(b"secret")
    assert state.has_key
    _, key = hkdf(h, b"secret", 2, protocol.hash)
    sealed = state.encrypt_and_hash(b"text")
    assert sealed == Aead("AESGCM", key[:32]).seal(0, h, b"text")
    assert state.handshake_hash == protocol.hash.hash(h + sealed)


def test_mix_key_and_hash_binds_the_psk_to_the_transcript():
    """The second output goes into h, the third is the key."""
    state = SymmetricState(SHORT)
    before = state.handshake_hash
    state.mix_key_and_hash(b"psk")
    _, hashed, key = hkdf(before, b"psk", 3, SHORT.hash)
    h = SHORT.hash.hash(before + hashed)
    assert state.handshake_hash == h
    assert state.encrypt_and_hash(b"x") == Aead("AESGCM", key).seal(0, h, b"x")


def test_both_sides_keep_one_transcript():
    """What one seals the other opens, and h stays equal; without a key text passes."""
    sender, receiver = SymmetricState(LONG), SymmetricState(LONG)
    assert receiver.decrypt_and_hash(sender.encrypt_and_hash(b"clear")) == b"clear"
    for state in (sender, receiver):
        state.mix_key(b"secret")
    assert receiver.decrypt_and_hash(sender.encrypt_and_hash(b"sealed")) == b"sealed"
    assert sender.handshake_hash == receiver.handshake_hash


def test_a_failed_open_changes_nothing():
    """h and the counter stay, so the genuine text still opens."""
    sender, receiver = SymmetricState(LONG), SymmetricState(LONG)
    for state in (sender, receiver):
        state.mix_key(b"secret")
    sealed = sender.encrypt_and_hash(b"text")
    before = receiver.handshake_hash
    with pytest.raises(DecryptionFailed):
        receiver.decrypt_and_hash(sealed[:-1] + b"\0")
    assert receiver.handshake_hash == before
    assert receiver.decrypt_and_hash(sealed) == b"text"


def test_split_gives_a_cipher_for_each_direction():
    """Two different keys, those of `export_split_keys`, in order."""
    state = SymmetricState(SHORT)
    state.mix_key(b"secret")
    first, second = state.export_split_keys()
    assert first != second
    ciphers = state.split()
    for cipher, key in zip(ciphers, (first, second), strict=True):
        assert cipher.encrypt_with_ad(b"", b"x") == Aead("AESGCM", key).seal(0, b"", b"x")


def test_a_duplicate_goes_its_own_way():
    """Mixing into one of two states leaves the other."""
    state = SymmetricState(SHORT)
    state.mix_key(b"secret")
    h, keys = state.handshake_hash, state.export_split_keys()
    other = state.duplicate()
    other.encrypt_and_hash(b"x")
    other.mix_key(b"other")
    assert (state.handshake_hash, state.export_split_keys()) == (h, keys)
    assert other.export_split_keys() != keys
    assert state.encrypt_and_hash(b"x") != other.encrypt_and_hash(b"x")


def test_the_chaining_key_does_not_show():
    """Neither repr nor pickle gives it away."""
    state = SymmetricState(SHORT)
    assert repr(state) == "<SymmetricState>"
    with pytest.raises(TypeError):
        pickle.dumps(state)
