"""SymmetricState of Noise, section 5.2: the chaining key and the transcript's hash.

Touches nothing but `primitives`. The names are those of Noise: ck, h, mix, split.
"""

from typing import Self

from handshake.cipher_state import CipherState, cipher_key
from handshake.patterns import Protocol
from handshake.primitives import hkdf
from handshake.secret import HoldsSecret, Secret


class SymmetricState(HoldsSecret):
    """What both sides of a handshake have in common so far."""

    __slots__ = ("_chaining_key", "_cipher", "_hash", "_suite", "handshake_hash")

    handshake_hash: bytes
    """h: the hash of all that both sides have said so far, HASHLEN bytes."""

    def __init__(self, protocol: Protocol) -> None:
        self._hash = protocol.hash
        self._suite = protocol.suite
        self.handshake_hash = protocol.first_hash
        self._chaining_key = Secret(protocol.first_hash)
        self._cipher = CipherState(protocol.suite)

    @property
    def has_key(self) -> bool:
        """Whether what comes next is sealed."""
        return self._cipher.has_key

    def mix_key(self, input_key_material: bytes) -> None:
        """MixKey: chain a secret in and take a new key from it."""
        self._chaining_key, key = hkdf(self._chaining_key, input_key_material, 2, self._hash)
        self._cipher.take(key)

    def mix_hash(self, data: bytes) -> None:
        """MixHash: add `data` to the transcript."""
        self.handshake_hash = self._hash.hash(self.handshake_hash + data)

    def mix_key_and_hash(self, input_key_material: bytes) -> None:
        """MixKeyAndHash: chain a pre-shared key in, which the transcript commits to as well."""
        self._chaining_key, hashed, key = hkdf(
            self._chaining_key, input_key_material, 3, self._hash
        )
        self.mix_hash(hashed)
        self._cipher.take(key)

    def encrypt_and_hash(self, plaintext: bytes) -> bytes:
        """Seal `plaintext` under the transcript (or pass it, without a key) and add the result."""
        sealed = self._cipher.encrypt_with_ad(self.handshake_hash, plaintext)
        self.mix_hash(sealed)
        return sealed

    def decrypt_and_hash(self, sealed: bytes) -> bytes:
        """Undo `encrypt_and_hash`; raises DecryptionFailed, after which nothing has changed."""
        opened = self._cipher.decrypt_with_ad(self.handshake_hash, sealed)
        self.mix_hash(sealed)
        return opened

    def split(self) -> tuple[CipherState, CipherState]:
        """Split: the two transport ciphers, initiator to responder first."""
        first, second = self.export_split_keys()
        return CipherState(self._suite, first), CipherState(self._suite, second)

    def export_split_keys(self) -> tuple[Secret, Secret]:
        """The raw 32-byte keys that `split` would use, in its order: secrets, to derive from."""
        first, second = hkdf(self._chaining_key, b"", 2, self._hash)
        return cipher_key(first), cipher_key(second)

    def duplicate(self) -> Self:
        """A second state at the same place, to try something on."""
        other = object.__new__(type(self))
        other._hash = self._hash
        other._suite = self._suite
        other.handshake_hash = self.handshake_hash
        other._chaining_key = self._chaining_key
        other._cipher = self._cipher.duplicate()
        return other
