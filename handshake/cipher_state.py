"""CipherState of Noise, section 5.1: a key and the counter it has reached.

Touches nothing but `primitives`. The wire's data frames use `primitives.Aead` with explicit
counters instead; this one serves the handshake and in-order transports.
"""

from typing import Self

from handshake.constants import KEY_BYTES, REKEY_COUNTER
from handshake.errors import NonceExhausted
from handshake.primitives import Aead, HoldsSecret


class CipherState(HoldsSecret):
    """A key, or none yet, and its counter; `key` has 32 bytes."""

    __slots__ = ("_aead", "_counter", "_suite")

    def __init__(self, suite: str, key: bytes | None = None) -> None:
        self._suite = suite
        self._aead: Aead | None = None if key is None else Aead(suite, key)
        self._counter = 0

    @property
    def has_key(self) -> bool:
        """Whether there is a key; without one, plaintext passes as it is."""
        return self._aead is not None

    @property
    def counter(self) -> int:
        """The counter that the next call uses (Noise's n)."""
        return self._counter

    def set_nonce(self, counter: int) -> None:
        """Go on at `counter`; for transports whose messages arrive out of order."""
        self._counter = counter

    def initialize_key(self, key: bytes) -> None:
        """Take another key and start at counter zero."""
        self._aead = Aead(self._suite, key)
        self._counter = 0

    def encrypt_with_ad(self, ad: bytes, plaintext: bytes) -> bytes:
        """Seal `plaintext` with `ad` beside it; the counter moves by one.

        Raises NonceExhausted when the counter has reached 2^64 - 1, which is reserved.
        """
        if self._aead is None:
            return plaintext
        sealed = self._aead.seal(self._next_counter(), ad, plaintext)
        self._counter += 1
        return sealed

    def decrypt_with_ad(self, ad: bytes, ciphertext: bytes) -> bytes:
        """Open `ciphertext`; the counter moves by one only when it opened.

        Raises DecryptionFailed, after which nothing has changed, or NonceExhausted.
        """
        if self._aead is None:
            return ciphertext
        opened = self._aead.open(self._next_counter(), ad, ciphertext)
        self._counter += 1
        return opened

    def rekey(self) -> None:
        """Replace the key by a one-way function of it; the counter stays (section 4.2, REKEY).

        Without a key nothing happens.
        """
        if self._aead is not None:
            key = self._aead.seal(REKEY_COUNTER, b"", bytes(KEY_BYTES))[:KEY_BYTES]
            self._aead = Aead(self._suite, key)

    def duplicate(self) -> Self:
        """A second state at the same place: only one of the two may seal from here on."""
        other = type(self)(self._suite)
        other._aead = self._aead
        other._counter = self._counter
        return other

    def _next_counter(self) -> int:
        if self._counter >= REKEY_COUNTER:
            raise NonceExhausted("the key has reached its last counter")
        return self._counter
