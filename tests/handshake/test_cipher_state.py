"""CipherState: a key, its counter, and what a failure leaves alone."""

import hashlib
import pickle

import pytest

from handshake.cipher_state import CipherState
from handshake.errors import (
    DecryptionFailed,
    InvalidKey,
    InvalidPayload,
    MalformedMessage,
    NonceExhausted,
)
from handshake.primitives import Aead

KEY = bytes(range(32))


@pytest.fixture(params=["ChaChaPoly", "AESGCM"])
def suite(request):
    """Either cipher suite."""
    return request.param


def test_without_a_key_text_passes_as_it_is(suite):
    """Section 5.1: no key, no change, no counter; a rekey is nothing either."""
    state = CipherState(suite)
    assert not state.has_key
    assert state.encrypt_with_ad(b"ad", b"text") == b"text"
    assert state.decrypt_with_ad(b"ad", b"text") == b"text"
    state.rekey()
    assert state.counter == 0
    assert not state.has_key


def test_each_message_moves_the_counter(suite):
    """The nonce is the number of the message, from zero."""
    sender, receiver = CipherState(suite, KEY), CipherState(suite, KEY)
    for number in range(3):
        sealed = sender.encrypt_with_ad(b"ad", b"text")
        assert sealed == Aead(suite, KEY).seal(number, b"ad", b"text")
        assert receiver.decrypt_with_ad(b"ad", sealed) == b"text"
    assert sender.counter == receiver.counter == 3


def test_a_failed_open_leaves_the_counter(suite):
    """After a forged message the genuine one still opens."""
    sealed = CipherState(suite, KEY).encrypt_with_ad(b"", b"text")
    receiver = CipherState(suite, KEY)
    with pytest.raises(DecryptionFailed):
        receiver.decrypt_with_ad(b"", bytes(len(sealed)))
    assert receiver.counter == 0
    assert receiver.decrypt_with_ad(b"", sealed) == b"text"


def test_the_last_counter_is_reserved(suite):
    """2^64 - 2 seals and opens, 2^64 - 1 does neither."""
    state = CipherState(suite, KEY)
    state.set_nonce(2**64 - 2)
    sealed = state.encrypt_with_ad(b"", b"x")
    assert state.counter == 2**64 - 1
    with pytest.raises(NonceExhausted):
        state.encrypt_with_ad(b"", b"x")
    with pytest.raises(NonceExhausted):
        state.decrypt_with_ad(b"", sealed)
    state.set_nonce(2**64 - 2)
    assert state.decrypt_with_ad(b"", sealed) == b"x"


@pytest.mark.parametrize("counter", [2**64, 2**64 + 1, -1, 1.5, "3", None, True])
def test_a_counter_outside_64_bits_seals_nothing(suite, counter):
    """Whatever a caller sets, no counter wraps around."""
    state = CipherState(suite, KEY)
    with pytest.raises(NonceExhausted):
        state.set_nonce(counter)
    assert state.counter == 0


def test_a_transport_message_has_at_most_65535_bytes(suite):
    """Section 3: the longest one passes; a byte more is refused by both sides at no counter."""
    sender, receiver = CipherState(suite, KEY), CipherState(suite, KEY)
    with pytest.raises(InvalidPayload):
        sender.encrypt_with_ad(b"", bytes(65_520))
    sealed = sender.encrypt_with_ad(b"", bytes(65_519))
    assert len(sealed) == 65_535
    with pytest.raises(MalformedMessage):
        receiver.decrypt_with_ad(b"", sealed + b"\0")
    assert receiver.decrypt_with_ad(b"", sealed) == bytes(65_519)


def test_a_thousand_forgeries_leave_the_genuine_one(suite):
    """Changed, cut, extended, foreign and random messages all fail, and the next one opens."""
    sender, receiver = CipherState(suite, KEY), CipherState(suite, KEY)
    assert receiver.decrypt_with_ad(b"ad", sender.encrypt_with_ad(b"ad", b"first")) == b"first"
    genuine = sender.encrypt_with_ad(b"ad", b"second message")
    foreign = CipherState(suite, bytes(32))
    shapes = (
        lambda number: genuine[: number % len(genuine)],
        lambda number: genuine + bytes(1 + number % 7),
        lambda number: foreign.encrypt_with_ad(b"ad", b"second message"),
        lambda number: hashlib.shake_128(b"%d" % number).digest(len(genuine)),
        lambda number: flipped(genuine, number),
    )
    forged = [shapes[number % len(shapes)](number) for number in range(1000)]
    assert genuine not in forged
    for message in forged:
        with pytest.raises(DecryptionFailed):
            receiver.decrypt_with_ad(b"ad", message)
    assert receiver.counter == 1
    assert receiver.decrypt_with_ad(b"ad", genuine) == b"second message"


def flipped(message, number):
    """The message with one bit changed, another one for each number."""
    bit = number % (8 * len(message))
    return (
        message[: bit // 8] + bytes((message[bit // 8] ^ 1 << bit % 8,)) + message[bit // 8 + 1 :]
    )


@pytest.mark.parametrize("length", [0, 31, 33])
def test_a_key_has_32_bytes(suite, length):
    """Another length is refused when the key is given, not when it is first used."""
    with pytest.raises(InvalidKey):
        CipherState(suite, bytes(length))
    with pytest.raises(InvalidKey):
        CipherState(suite).initialize_key(bytes(length))


def test_rekey_takes_the_key_of_section_4_2_and_keeps_the_counter(suite):
    """The new key is the first 32 bytes sealed over zeros under the reserved counter."""
    state = CipherState(suite, KEY)
    state.set_nonce(9)
    state.rekey()
    key = Aead(suite, KEY).seal(2**64 - 1, b"", bytes(32))[:32]
    assert state.counter == 9
    assert state.encrypt_with_ad(b"", b"x") == Aead(suite, key).seal(9, b"", b"x")


def test_another_key_starts_at_zero(suite):
    """`initialize_key` forgets the old counter with the old key."""
    state = CipherState(suite, KEY)
    state.set_nonce(9)
    state.initialize_key(bytes(32))
    assert state.counter == 0
    assert state.has_key
    assert state.encrypt_with_ad(b"", b"x") == Aead(suite, bytes(32)).seal(0, b"", b"x")


def test_a_duplicate_goes_its_own_way(suite):
    """What happens to one of two states does not happen to the other."""
    state = CipherState(suite, KEY)
    state.set_nonce(4)
    other = state.duplicate()
    other.encrypt_with_ad(b"", b"x")
    other.rekey()
    assert (state.counter, other.counter) == (4, 5)
    assert state.encrypt_with_ad(b"", b"x") == Aead(suite, KEY).seal(4, b"", b"x")


def test_the_key_does_not_show(suite):
    """Neither repr nor pickle gives it away."""
    state = CipherState(suite, KEY)
    assert repr(state) == "<CipherState>"
    with pytest.raises(TypeError):
        pickle.dumps(state)
