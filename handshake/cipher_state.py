"""CipherState of Noise, section 5.1: a key and the counter it has reached.

Touches nothing but `primitives`. The wire's data frames use `primitives.Aead` with explicit
counters instead; this one serves the handshake and in-order transports.
"""

from typing import Self

from handshake.constants import KEY_BYTES, MAX_MESSAGE_BYTES, REKEY_COUNTER, TAG_BYTES
from handshake.errors import InvalidPayload, MalformedMessage, NonceExhausted
from handshake.primitives import Aead, require_length
from handshake.secret import HoldsSecret, Secret

_EXHAUSTED = "the key has reached its last counter"


class CipherState(HoldsSecret):
    """A key, or none yet, and its counter; `key` has 32 bytes.

    The AEAD is made when it is first used: a handshake mixes keys that never seal anything.
    """

    __slots__ = ("_aead", "_counter", "_key", "_suite")

    def __init__(self, suite: str, key: bytes | None = None) -> None:
        key = None if key is None else Secret.of(key)
        self._suite = suite
        self._aead: Aead | None = None
        self._key: Secret | None = None
        self._counter = 0
        if key is not None:
            self.initialize_key(key)

    @property
    def has_key(self) -> bool:
        """Whether there is a key; without one, plaintext passes as it is."""
        return self._key is not None

    @property
    def counter(self) -> int:
        """The counter that the next call uses (Noise's n)."""
        return self._counter

    def set_nonce(self, counter: int) -> None:
        """Go on at `counter`; for transports whose messages arrive out of order.

        Raises NonceExhausted unless it is a whole number from 0 to 2^64 - 1.
        """
        if type(counter) is not int or not 0 <= counter <= REKEY_COUNTER:
            raise NonceExhausted("no such counter")
        self._counter = counter

    def initialize_key(self, key: bytes) -> None:
        """Take another key and start at counter zero."""
        key = Secret.of(key)
        require_length("a cipher's key", key, KEY_BYTES)
        self.take(key)

    def take(self, output: Secret) -> None:
        """`initialize_key` with an output of HKDF, which is long enough."""
        self._key = output if len(output) == KEY_BYTES else cipher_key(output)
        self._aead = None
        self._counter = 0

    def encrypt_with_ad(self, ad: bytes, plaintext: bytes) -> bytes:
        """Seal `plaintext` with `ad` beside it; the counter moves by one.

        Raises NonceExhausted when the counter has reached 2^64 - 1, which is reserved, and
        InvalidPayload when the result would be longer than 65,535 bytes (section 3).
        """
        if self._key is None:
            return plaintext
        if len(plaintext) > MAX_MESSAGE_BYTES - TAG_BYTES:
            raise InvalidPayload(f"a Noise message has at most {MAX_MESSAGE_BYTES} bytes")
        if self._counter >= REKEY_COUNTER:
            raise NonceExhausted(_EXHAUSTED)
        if self._aead is None:
            self._aead = Aead(self._suite, self._key)
        sealed = self._aead.seal(self._counter, ad, plaintext)
        self._counter += 1
        return sealed

    def decrypt_with_ad(self, ad: bytes, ciphertext: bytes) -> bytes:
        """Open `ciphertext`; the counter moves by one only when it opened.

        Raises DecryptionFailed, MalformedMessage for more than 65,535 bytes, or NonceExhausted;
        nothing has changed then.
        """
        if self._key is None:
            return ciphertext
        if len(ciphertext) > MAX_MESSAGE_BYTES:
            raise MalformedMessage(f"a Noise message has at most {MAX_MESSAGE_BYTES} bytes")
        if self._counter >= REKEY_COUNTER:
            raise NonceExhausted(_EXHAUSTED)
        if self._aead is None:
            self._aead = Aead(self._suite, self._key)
        opened = self._aead.open(self._counter, ad, ciphertext)
        self._counter += 1
        return opened

    def rekey(self) -> None:
        """Replace the key by a one-way function of it; the counter stays (section 4.2, REKEY).

        Without a key nothing happens.
        """
        if self._key is not None:
            aead = Aead(self._suite, self._key)
            sealed = Secret(aead.seal(REKEY_COUNTER, b"", bytes(KEY_BYTES)))
            self._key = Secret(sealed[:KEY_BYTES])
            self._aead = None

    def duplicate(self) -> Self:
        """A second state at the same place: only one of the two may seal from here on."""
        other = object.__new__(type(self))
        other._suite = self._suite
        other._key = self._key
        other._aead = self._aead
        other._counter = self._counter
        return other


def cipher_key(output: Secret) -> Secret:
    """The key of a cipher: of an output of HKDF with 64 bytes the first 32 (section 5.2)."""
    return output if len(output) == KEY_BYTES else Secret(output[:KEY_BYTES])
