"""What vectors are made of: keys from labels, never from chance; and values as JSON shows them."""

import hashlib
import struct
from dataclasses import dataclass

from handshake.authentication import Credentials
from handshake.identity import Identity
from handshake.primitives import x25519_public

NOON = 1_800_000_000
"""Seconds since 1970 at which every exchange of the vectors takes place."""
DAY = 86_400
NOT_BEFORE = NOON - 600
NOT_AFTER = NOON + 2 * DAY

_EXACT = 1 << 53


def octets(label: str, length: int = 32) -> bytes:
    """Bytes that look random and follow from a label."""
    return hashlib.shake_256(b"noisemesh vectors: " + label.encode()).digest(length)


def number(label: str) -> int:
    """A session id or token that follows from a label."""
    return int.from_bytes(octets(label, 8), "big")


@dataclass(frozen=True)
class Person:
    """A node of the vectors: who it is in one mesh, and the run it is in."""

    name: str
    mesh_id: bytes

    @property
    def identity(self) -> Identity:
        """Its long-lived key."""
        return Identity(octets(f"{self.name} seed"))

    @property
    def static_private(self) -> bytes:
        """Its key of the day."""
        return octets(f"{self.name} static")

    @property
    def instance(self) -> bytes:
        """This run of it."""
        return octets(f"{self.name} instance", 16)

    def credentials(self, mesh_id: bytes | None = None) -> Credentials:
        """Both keys and the delegation between them, for its own mesh or another one."""
        delegation = self.identity.delegate(
            x25519_public(self.static_private),
            NOT_BEFORE,
            NOT_AFTER,
            self.mesh_id if mesh_id is None else mesh_id,
        )
        return Credentials(self.identity, self.static_private, delegation)

    def vector(self) -> dict[str, object]:
        """What a second implementation needs to speak as this node."""
        return {
            "seed": self.identity.export_seed().hex(),
            "id": bytes(self.identity.id).hex(),
            "static_private": self.static_private.hex(),
            "static_public": x25519_public(self.static_private).hex(),
            "instance": self.instance.hex(),
        }


def shown(value: object) -> object:
    """A value of CBOR as JSON can show it without loss."""
    if isinstance(value, bytes | bytearray | memoryview):
        return {"bytes": bytes(value).hex()}
    if isinstance(value, float):
        return {"float": struct.pack(">d", value).hex()}
    if isinstance(value, dict):
        return {"map": [[shown(key), shown(item)] for key, item in value.items()]}
    if isinstance(value, list | tuple):
        return [shown(item) for item in value]
    if isinstance(value, int) and not isinstance(value, bool) and not -_EXACT < value < _EXACT:
        return {"int": str(value)}
    return value
