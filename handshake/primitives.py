"""The cryptographic primitives, and the only door to PyNaCl and `cryptography`.

X25519, Ed25519, Argon2id and secret boxes are libsodium's (it refuses signatures under
small-order keys, which other libraries accept); the two AEADs, several times cheaper a call, and
HKDF are those of `cryptography`; hashes come from the standard library. Functions of bytes only: no
randomness, clock or file is touched. libsodium reads fixed lengths without looking, so every
length is checked here first.
"""

import hashlib
import struct
import unicodedata
from collections.abc import Callable
from functools import lru_cache
from typing import Protocol

import nacl.bindings as sodium
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from nacl.exceptions import BadSignatureError, CryptoError
from nacl.exceptions import RuntimeError as SodiumError

from handshake.constants import (
    DHLEN,
    ID_BYTES,
    KEY_BYTES,
    PASSPHRASE_SALT_BYTES,
    SECRET_BOX_NONCE_BYTES,
    SEED_BYTES,
    SIGNATURE_BYTES,
    TAG_BYTES,
)
from handshake.errors import DecryptionFailed, InvalidKey, InvalidProtocolName, NonceExhausted
from handshake.secret import HoldsSecret, Secret

Buffer = bytes | bytearray | memoryview

# The check of a point costs as much as a signature, and peers come back: some 200 bytes each.
_POINTS_REMEMBERED = 4096

_LENGTH = struct.Struct(">L").pack

_FIELD_PRIME = 2**255 - 19
# The u-coordinates of order 1, 2, 4 and 8 on the curve and its twist; with any of them X25519
# gives zero whatever the other key is (RFC 7748, section 6.1).
_LOW_ORDER_U = frozenset(
    {
        0,
        1,
        _FIELD_PRIME - 1,
        325606250916557431795983626356110631294008115727848805560023387167927233504,
        39382357235489614581723060781553021112529911719440698176882885853963445705823,
    }
)
# All their encodings: two have a second one beside the reduced, and X25519 ignores the top bit.
_LOW_ORDER_ENCODINGS = frozenset(
    (u + top_bit).to_bytes(DHLEN, "little")
    for u in _LOW_ORDER_U | {_FIELD_PRIME, _FIELD_PRIME + 1}
    for top_bit in (0, 2**255)
)


def require_length(what: str, value: bytes, length: int) -> None:
    """Raise InvalidKey unless `value` is exactly `length` bytes."""
    if not isinstance(value, bytes) or len(value) != length:
        raise InvalidKey(f"{what} must be {length} bytes")


def length_prefixed(*parts: bytes) -> bytes:
    """Join `parts`, each behind its length in 4 big-endian bytes: no two lists join alike."""
    return b"".join([_LENGTH(len(part)) + part for part in parts])


def check_x25519_public(public: bytes) -> None:
    """Raise InvalidKey for a public key of the wrong length or of low order, without any DH."""
    require_length("an X25519 public key", public, DHLEN)
    if public in _LOW_ORDER_ENCODINGS:
        raise InvalidKey("an X25519 public key of low order")


def x25519(private: bytes, public: bytes) -> Secret:
    """The 32-byte shared secret of a private and a public key (RFC 7748).

    Raises InvalidKey for a wrong length and for a low-order public key, whose result would be
    zero (Noise, section 12.1, permits the check).
    """
    private = Secret.of(private)
    # `require_length`, without two calls for each DH.
    if len(private) != DHLEN or not isinstance(public, bytes) or len(public) != DHLEN:
        raise InvalidKey(f"X25519 keys must be {DHLEN} bytes")
    try:
        return Secret(sodium.crypto_scalarmult(private, public))
    except SodiumError:
        raise InvalidKey("an X25519 public key of low order") from None


def x25519_public(private: bytes) -> bytes:
    """The public key of a 32-byte private key; any 32 bytes are one."""
    private = Secret.of(private)
    require_length("an X25519 private key", private, DHLEN)
    return sodium.crypto_scalarmult_base(private)


class SigningKey(HoldsSecret):
    """An Ed25519 key pair (RFC 8032, section 5.1.5), worked out once from its 32-byte seed.

    Both halves come from the seed and never from a caller: signing under a public key that is not
    the seed's own gives the seed away. Raises InvalidKey for a seed of another length.
    """

    __slots__ = ("_expanded", "public", "seed")

    def __init__(self, seed: bytes) -> None:
        self.seed = seed = Secret.of(seed)
        require_length("an Ed25519 seed", seed, SEED_BYTES)
        self.public, expanded = sodium.crypto_sign_seed_keypair(seed)
        self._expanded = Secret(expanded)

    def sign(self, message: bytes) -> bytes:
        """The 64-byte signature of `message`."""
        return sodium.crypto_sign(message, self._expanded)[:SIGNATURE_BYTES]


def ed25519_verify(public: bytes, message: bytes, signature: bytes) -> bool:
    """Whether `signature` is that of `message` under `public`; never raises on a peer's bytes."""
    if len(public) != ID_BYTES or len(signature) != SIGNATURE_BYTES:
        return False
    try:
        sodium.crypto_sign_open(signature + message, public)
    except BadSignatureError:
        return False
    return True


def check_ed25519_public(key: bytes) -> None:
    """Raise InvalidKey unless `key` is the one encoding of a point of the prime-order group.

    So wrong lengths, small orders, mixed orders and non-canonical encodings all end here, and
    one identity has one node id.
    """
    require_length("an Ed25519 public key", key, ID_BYTES)
    if not _is_valid_point(bytes(key)):
        raise InvalidKey("an Ed25519 public key that nobody may use")


@lru_cache(maxsize=_POINTS_REMEMBERED)
def _is_valid_point(key: bytes) -> bool:
    return sodium.crypto_core_ed25519_is_valid_point(key)


class _Digest(Protocol):
    @property
    def digest_size(self) -> int: ...
    def digest(self) -> bytes: ...


class Hash:
    """One hash function of Noise (section 4.3), whose results have HASHLEN bytes.

    `algorithm` is what HKDF knows it by.
    """

    __slots__ = ("HASHLEN", "_new", "algorithm", "name")

    def __init__(
        self, name: str, new: Callable[[bytes], _Digest], algorithm: hashes.HashAlgorithm
    ) -> None:
        self.name = name
        self._new = new
        self.algorithm = algorithm
        self.HASHLEN = new(b"").digest_size

    def __repr__(self) -> str:
        return f"Hash({self.name!r})"

    def hash(self, data: bytes) -> bytes:
        """The HASHLEN-byte digest of `data`."""
        return self._new(data).digest()


SHA256 = Hash("sha256", hashlib.sha256, hashes.SHA256())
SHA512 = Hash("sha512", hashlib.sha512, hashes.SHA512())
BLAKE2s = Hash("blake2s", hashlib.blake2s, hashes.BLAKE2s(32))
BLAKE2b = Hash("blake2b", hashlib.blake2b, hashes.BLAKE2b(64))


def hkdf(chaining_key: bytes, ikm: bytes, outputs: int, function: Hash) -> tuple[Secret, ...]:
    """Noise's HKDF (section 4.3): `outputs` keys of HASHLEN bytes each, two or three.

    It is HKDF of RFC 5869 with the chaining key for a salt and no info.
    """
    length = function.HASHLEN
    key = Secret(HKDF(function.algorithm, outputs * length, chaining_key, None).derive(ikm))
    if outputs == 2:
        return Secret(key[:length]), Secret(key[length:])
    return Secret(key[:length]), Secret(key[length : 2 * length]), Secret(key[2 * length :])


def derive_key(secret: bytes, info: bytes, length: int = KEY_BYTES) -> Secret:
    """`length` bytes (at most 8,160) of HKDF-SHA256 over `secret` without salt (RFC 5869)."""
    secret = Secret.of(secret)
    if not 0 < length <= 255 * SHA256.HASHLEN:
        raise InvalidKey("a derived key must have 1 to 8,160 bytes")
    return Secret(HKDF(SHA256.algorithm, length, None, info).derive(secret))


_LITTLE_ENDIAN_NONCE = struct.Struct("<4xQ").pack
_BIG_ENDIAN_NONCE = struct.Struct(">4xQ").pack


class Aead(HoldsSecret):
    """One AEAD under one 32-byte key; a counter is sealed under once, which the caller ensures.

    `suite` is "ChaChaPoly" or "AESGCM" in Noise's names, with Noise's nonces (section 12):
    4 zero bytes and the counter in 8, little-endian for the first and big-endian for the second.
    Raises InvalidProtocolName for another suite, InvalidKey for a key of another length.
    """

    __slots__ = ("_cipher", "_nonce")
    _cipher: AESGCM | ChaCha20Poly1305

    def __init__(self, suite: str, key: bytes) -> None:
        key = Secret.of(key)
        if len(key) != KEY_BYTES:
            raise InvalidKey(f"an AEAD key must be {KEY_BYTES} bytes")
        if suite == "ChaChaPoly":
            self._cipher = ChaCha20Poly1305(key)
            self._nonce = _LITTLE_ENDIAN_NONCE
        elif suite == "AESGCM":
            self._cipher = AESGCM(key)
            self._nonce = _BIG_ENDIAN_NONCE
        else:
            raise InvalidProtocolName(f"no cipher suite of the name {suite!r}")

    def seal(self, counter: int, ad: Buffer, plaintext: Buffer) -> bytes:
        """Seal `plaintext`; the result is 16 bytes longer.

        `ad` is authenticated beside it. Raises NonceExhausted for a counter outside 64 bits.
        """
        try:
            nonce = self._nonce(counter)
        except struct.error:
            raise NonceExhausted("the counter is outside 64 bits") from None
        return self._cipher.encrypt(nonce, plaintext, ad)

    def seal_into(self, counter: int, ad: Buffer, plaintext: Buffer, buffer: memoryview) -> int:
        """Seal into the start of `buffer` (of bytes) and return how many bytes were written.

        Raises NonceExhausted for a counter outside 64 bits, ValueError when `buffer` is shorter
        than the plaintext and its tag.
        """
        try:
            nonce = self._nonce(counter)
        except struct.error:
            raise NonceExhausted("the counter is outside 64 bits") from None
        end = len(plaintext) + TAG_BYTES
        return self._cipher.encrypt_into(nonce, plaintext, ad, buffer[:end])

    def open(self, counter: int, ad: Buffer, sealed: Buffer) -> bytes:
        """Open what was sealed with the same counter and `ad`.

        Raises DecryptionFailed whatever is wrong with it, NonceExhausted for a counter outside
        64 bits.
        """
        try:
            return self._cipher.decrypt(self._nonce(counter), sealed, ad)
        except InvalidTag:
            raise DecryptionFailed("it does not open") from None
        except struct.error:
            raise NonceExhausted("the counter is outside 64 bits") from None


def passphrase_key(passphrase: str | bytes, salt: bytes, ops: int, mem: int) -> Secret:
    """A 32-byte key from a passphrase by Argon2id (RFC 9106), as libsodium computes it.

    Text is taken in Unicode's NFC form as UTF-8, so that keyboards agree. `salt` has 16 bytes,
    `ops` counts passes, `mem` is bytes of memory. Raises InvalidKey for numbers that libsodium
    refuses, and for text that UTF-8 cannot hold.
    """
    if isinstance(passphrase, str):
        try:
            passphrase = unicodedata.normalize("NFC", passphrase).encode()
        except UnicodeEncodeError:
            del passphrase
            raise InvalidKey("a passphrase holds half a character") from None
    passphrase = Secret.of(passphrase)
    require_length("a salt", salt, PASSPHRASE_SALT_BYTES)
    try:
        return Secret(
            sodium.crypto_pwhash_alg(
                KEY_BYTES, passphrase, salt, ops, mem, sodium.crypto_pwhash_ALG_ARGON2ID13
            )
        )
    except CryptoError as error:
        raise InvalidKey("Argon2id refuses these limits") from error


def secret_box_seal(key: bytes, plaintext: bytes, nonce: bytes) -> bytes:
    """Nonce and box (XSalsa20-Poly1305) of `plaintext`: 40 bytes longer than it.

    The 24-byte nonce is random and used once under a key. Raises InvalidKey for a wrong length.
    """
    key, plaintext = Secret.of(key), Secret.of(plaintext)
    require_length("a secret box's key", key, KEY_BYTES)
    require_length("a secret box's nonce", nonce, SECRET_BOX_NONCE_BYTES)
    return nonce + sodium.crypto_secretbox(plaintext, nonce, key)


def secret_box_open(key: bytes, sealed: bytes) -> Secret:
    """What `secret_box_seal` sealed; raises DecryptionFailed whatever is wrong with it."""
    key = Secret.of(key)
    require_length("a secret box's key", key, KEY_BYTES)
    if len(sealed) < SECRET_BOX_NONCE_BYTES + TAG_BYTES:
        raise DecryptionFailed("it does not open")
    nonce, box = sealed[:SECRET_BOX_NONCE_BYTES], sealed[SECRET_BOX_NONCE_BYTES:]
    try:
        return Secret(sodium.crypto_secretbox_open(box, nonce, key))
    except CryptoError:
        raise DecryptionFailed("it does not open") from None
