"""Who a node is: an Ed25519 identity, the node id that is its public key, and delegations.

The X25519 static key of the handshake is a separate key of a shorter life; the identity says
by a `Delegation` that it may speak for it. Nothing here touches a clock, a file or randomness:
the time and the random bytes are handed in.
"""

import base64
import binascii
import struct
from collections.abc import Callable
from typing import NamedTuple, Self

from handshake import primitives
from handshake.constants import (
    CLOCK_TOLERANCE_SECONDS,
    DHLEN,
    ID_BYTES,
    ID_CHECKSUM_BYTES,
    ID_TEXT_CHARS,
    LABEL_DELEGATION,
    LABEL_ID_CHECKSUM,
    MAX_SECONDS,
    MESH_ID_BYTES,
    SEED_BYTES,
    SHORT_ID_CHARS,
    Reason,
)
from handshake.errors import InvalidKey, Refused
from handshake.primitives import SigningKey, length_prefixed, require_length
from handshake.secret import HoldsSecret, Secret

# What is signed, but for its parts: these have fixed lengths, so what lies between them is fixed.
_BEFORE_KEY = length_prefixed(LABEL_DELEGATION) + struct.pack(">L", DHLEN)
_TIMES = struct.Struct(">LQLQL")


class NodeId(bytes):
    """A node's id: its 32-byte Ed25519 public key, equal to and hashed like those bytes.

    `str` is the one text form: 56 characters of lower-case base32 over the key and 3 bytes of
    checksum. Raises InvalidKey for a key that nobody may use.
    """

    __slots__ = ()

    def __new__(cls, key: bytes) -> Self:
        primitives.check_ed25519_public(key)
        return super().__new__(cls, key)

    def __str__(self) -> str:
        return base64.b32encode(self + _checksum(self)).decode().lower()

    def __repr__(self) -> str:
        return f"NodeId('{self}')"

    @property
    def short(self) -> str:
        """The first 8 characters of the text: for people to tell apart, never to decide by."""
        return str(self)[:SHORT_ID_CHARS]

    @classmethod
    def parse(cls, text: str) -> Self:
        """The id of a text in either case; raises InvalidKey for anything else."""
        if len(text) != ID_TEXT_CHARS or not text.isascii():
            raise InvalidKey(f"a node id has {ID_TEXT_CHARS} characters")
        try:
            raw = base64.b32decode(text.upper())
        except binascii.Error:
            raise InvalidKey("a node id is written in the letters a-z and the digits 2-7") from None
        key, checksum = raw[:ID_BYTES], raw[ID_BYTES:]
        if checksum != _checksum(key):
            raise InvalidKey("the checksum of the node id does not match: a letter is wrong")
        return cls(key)


def _checksum(key: bytes) -> bytes:
    return primitives.SHA256.hash(LABEL_ID_CHECKSUM + key)[:ID_CHECKSUM_BYTES]


class Delegation(NamedTuple):
    """An identity's statement that a static X25519 key speaks for it in one mesh, for a while.

    `static_key` has 32 bytes; `not_before` and `not_after` are seconds since the epoch;
    `signature` (64 bytes) covers them and the mesh id (docs/SPEC.md, section 3.4).
    """

    static_key: bytes
    not_before: int
    not_after: int
    signature: bytes

    def verify(
        self,
        signer: NodeId,
        mesh_id: bytes,
        wall: float,
        tolerance_seconds: float = CLOCK_TOLERANCE_SECONDS,
    ) -> None:
        """Raise Refused unless `signer` signed this for `mesh_id` and it is valid at `wall`.

        `wall` is seconds since the epoch. The reason is BAD_DELEGATION or, for an honest one at
        another time, CLOCK.
        """
        text = _delegation_text(self.static_key, self.not_before, self.not_after, mesh_id)
        if not primitives.ed25519_verify(signer, text, self.signature):
            raise Refused(Reason.BAD_DELEGATION, signer, "the delegation's signature does not hold")
        earliest = self.not_before - tolerance_seconds
        latest = self.not_after + tolerance_seconds
        # Written so that a time that is not a number is refused too.
        if not earliest <= wall <= latest:
            side = "begins later" if wall < earliest else "has ended"
            raise Refused(Reason.CLOCK, signer, f"the delegation {side} by our clock")


class Identity(HoldsSecret):
    """The long-lived secret of a node. `seed` has 32 random bytes; raises InvalidKey otherwise."""

    __slots__ = ("_id", "_key")

    def __init__(self, seed: bytes) -> None:
        seed = Secret.of(seed)
        self._key = SigningKey(seed)
        self._id = NodeId(self._key.public)

    def __repr__(self) -> str:
        # A traceback shows the object of a construction that failed, too.
        return f"<Identity {self._id}>" if hasattr(self, "_id") else super().__repr__()

    @property
    def id(self) -> NodeId:
        """The node id: what others know this identity by."""
        return self._id

    @classmethod
    def generate(cls, random_bytes: Callable[[int], bytes]) -> Self:
        """A new identity from `random_bytes(32)`."""
        return cls(Secret.of(random_bytes(SEED_BYTES)))

    def sign(self, message: bytes) -> bytes:
        """The 64-byte signature of `message`, which must begin with a label of its purpose."""
        return self._key.sign(message)

    def delegate(
        self, static_public: bytes, not_before: int, not_after: int, mesh_id: bytes
    ) -> Delegation:
        """Let the X25519 key `static_public` speak for us in `mesh_id` between two times.

        Times are whole seconds since the epoch. Raises InvalidKey for a key nobody may use, a
        mesh id that is not 32 bytes, or times in the wrong order.
        """
        primitives.check_x25519_public(static_public)
        require_length("a mesh id", mesh_id, MESH_ID_BYTES)
        if not (_is_second(not_before) and _is_second(not_after) and not_before <= not_after):
            raise InvalidKey("a delegation's times must be whole seconds, the earlier one first")
        text = _delegation_text(static_public, not_before, not_after, mesh_id)
        return Delegation(static_public, not_before, not_after, self.sign(text))

    def export_seed(self) -> Secret:
        """The secret itself. Whoever reads it is this node for ever: for sealed key files only."""
        return self._key.seed


def _is_second(value: object) -> bool:
    return type(value) is int and 0 <= value <= MAX_SECONDS


def _delegation_text(static_key: bytes, not_before: int, not_after: int, mesh_id: bytes) -> bytes:
    times = _TIMES.pack(8, not_before, 8, not_after, MESH_ID_BYTES)
    return b"".join((_BEFORE_KEY, static_key, times, mesh_id))
