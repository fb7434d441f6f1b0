"""The two Noise protocols of docs/SPEC.md, sections 6 to 8, and no others.

Written from that page and Noise, revision 34: imports nothing of the project. Names are Noise's.
"""

import hashlib
import hmac
import struct
from collections.abc import Callable

import nacl.bindings as sodium
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305

XX = "Noise_XXpsk0_25519_ChaChaPoly_SHA256"
KK = "Noise_KKpsk0_25519_ChaChaPoly_SHA256"
TOKENS = {
    XX: (("psk", "e"), ("e", "ee", "s", "es"), ("s", "se")),
    KK: (("psk", "e", "es", "ss"), ("e", "ee", "se")),
}


class NotOpened(Exception):
    """A tag does not hold, or a message cannot be what it should be."""


def public(private: bytes) -> bytes:
    """The X25519 public key of a private one."""
    return sodium.crypto_scalarmult_base(private)


def shared(private: bytes, of: bytes) -> bytes:
    """X25519; refuses keys of low order (3.1.3)."""
    try:
        return sodium.crypto_scalarmult(private, of)
    except RuntimeError:
        raise NotOpened("a key of low order") from None


def aead(suite: str, key: bytes, counter: int) -> tuple[AESGCM | ChaCha20Poly1305, bytes]:
    """The cipher and the nonce of 7.1."""
    if suite == "AESGCM":
        return AESGCM(key), struct.pack(">4xQ", counter)
    return ChaCha20Poly1305(key), struct.pack("<4xQ", counter)


def seal(suite: str, key: bytes, counter: int, header: bytes, plaintext: bytes) -> bytes:
    """Ciphertext and tag (7.3)."""
    cipher, nonce = aead(suite, key, counter)
    return cipher.encrypt(nonce, plaintext, header)


def unseal(suite: str, key: bytes, counter: int, header: bytes, sealed: bytes) -> bytes:
    """What was sealed; raises NotOpened."""
    cipher, nonce = aead(suite, key, counter)
    try:
        return cipher.decrypt(nonce, sealed, header)
    except InvalidTag:
        raise NotOpened("the tag does not hold") from None


def noise_hkdf(ck: bytes, ikm: bytes, outputs: int) -> list[bytes]:
    """HKDF of Noise, section 4.3."""
    temporary = hmac.digest(ck, ikm, "sha256")
    keys: list[bytes] = []
    for number in range(1, outputs + 1):
        last = keys[-1] if keys else b""
        keys.append(hmac.digest(temporary, last + bytes([number]), "sha256"))
    return keys


class Handshake:
    """One side of one exchange. `s`, `e`: private keys; `rs`: the peer's static key, for KK."""

    def __init__(
        self,
        protocol: str,
        *,
        initiator: bool,
        prologue: bytes,
        psk: bytes,
        s: bytes,
        e: bytes,
        rs: bytes = b"",
    ) -> None:
        self.initiator, self.psk, self.s, self.e, self.rs, self.re = initiator, psk, s, e, rs, b""
        self._coming = list(TOKENS[protocol])
        # The name is longer than a hash, so h begins as its hash.
        self.h = self.ck = hashlib.sha256(protocol.encode()).digest()
        self._key = b""
        self._n = 0
        self.payload_hash = b""
        self._mix_hash(prologue)
        if protocol == KK:
            ours, theirs = public(s), rs
            for static in (ours, theirs) if initiator else (theirs, ours):
                self._mix_hash(static)

    def _mix_hash(self, data: bytes) -> None:
        self.h = hashlib.sha256(self.h + data).digest()

    def _mix_key(self, secret: bytes) -> None:
        self.ck, self._key = noise_hkdf(self.ck, secret, 2)
        self._n = 0

    def _mix_psk(self) -> None:
        self.ck, hashed, key = noise_hkdf(self.ck, self.psk, 3)
        self._mix_hash(hashed)
        self._key, self._n = key, 0

    def _seal(self, plaintext: bytes) -> bytes:
        sealed = seal("ChaChaPoly", self._key, self._n, self.h, plaintext)
        self._n += 1
        self._mix_hash(sealed)
        return sealed

    def _open(self, sealed: bytes) -> bytes:
        if len(sealed) < 16:
            raise NotOpened("too short")
        opened = unseal("ChaChaPoly", self._key, self._n, self.h, sealed)
        self._n += 1
        self._mix_hash(sealed)
        return opened

    def _mix_dh(self, token: str) -> None:
        mine, its = token if self.initiator else token[::-1]
        private = {"e": self.e, "s": self.s}[mine]
        self._mix_key(shared(private, {"e": self.re, "s": self.rs}[its]))

    def write(self, payload: Callable[[bytes], bytes]) -> bytes:
        """The next message; `payload` is given h as it stands before it is encrypted (6.5.1)."""
        message = b""
        for token in self._coming.pop(0):
            if token == "psk":
                self._mix_psk()
            elif token == "e":
                message += public(self.e)
                self._mix_hash(public(self.e))
                self._mix_key(public(self.e))
            elif token == "s":
                message += self._seal(public(self.s))
            else:
                self._mix_dh(token)
        self.payload_hash = self.h
        return message + self._seal(payload(self.h))

    def read(self, message: bytes) -> bytes:
        """The payload of the peer's message; raises NotOpened and is of no use afterwards."""
        for token in self._coming.pop(0):
            if token == "psk":
                self._mix_psk()
            elif token == "e":
                self.re, message = message[:32], message[32:]
                self._mix_hash(self.re)
                self._mix_key(self.re)
            elif token == "s":
                self.rs, message = self._open(message[:48]), message[48:]
            else:
                self._mix_dh(token)
        self.payload_hash = self.h
        return self._open(message)

    def split(self) -> tuple[bytes, bytes]:
        """k1 and k2 of 7.2.1."""
        first, second = noise_hkdf(self.ck, b"", 2)
        return first, second
