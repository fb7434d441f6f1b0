"""What messages 2 and 3 of the wire's exchange carry, and what a proof in them signs.

A payload is a head of fixed length (docs/SPEC.md, section 6.4) and, behind it, the terms: bytes
that pass through untouched. Nothing is believed here, only well-formed.
"""

import struct
from typing import NamedTuple

from handshake.constants import (
    ID_BYTES,
    LABEL_PROOF,
    MAX_SECONDS,
    ROLE_INITIATOR,
    ROLE_RESPONDER,
    WIRE_PROTOCOL,
    Reason,
)
from handshake.errors import InvalidKey, Refused
from handshake.identity import Delegation, NodeId
from handshake.primitives import length_prefixed

# id, session id, not before, not after, signature of the delegation, proof.
_HEAD = struct.Struct(">32sQQQ64s64s")
# What a proof begins with, up to the length of h; h, the static key and the peer's id have one.
_LENGTH = struct.pack(">L", ID_BYTES)
_PROOF_OF = {
    role: length_prefixed(LABEL_PROOF, role, WIRE_PROTOCOL.encode()) + _LENGTH
    for role in (ROLE_INITIATOR, ROLE_RESPONDER)
}


class Said(NamedTuple):
    """The payload of message 2 or 3 (section 6.4.1), well-formed and not believed yet."""

    peer_id: NodeId
    session_id: int
    delegation: Delegation
    proof: bytes
    terms: bytes


def pack_payload(
    node_id: NodeId, session_id: int, delegation: Delegation, proof: bytes, terms: bytes
) -> bytes:
    """The payload of section 6.4.1. The delegated key is not in it: the exchange shows it."""
    _, not_before, not_after, signature = delegation
    return _HEAD.pack(node_id, session_id, not_before, not_after, signature, proof) + terms


def read_payload(payload: bytes, static_key: bytes) -> Said:
    """The payload taken apart, of a peer whose static key is that of the exchange.

    Raises Refused (MALFORMED) for bytes that are none.
    """
    try:
        key, session_id, not_before, not_after, signature, proof = _HEAD.unpack_from(payload)
        peer_id = NodeId(key)
    except struct.error:
        raise Refused(Reason.MALFORMED, None, "the payload ends within its head") from None
    except InvalidKey:
        raise Refused(Reason.MALFORMED, None, "an id that nobody may use") from None
    if session_id == 0:
        raise Refused(Reason.MALFORMED, None, "session id zero stands for none")
    if not_before > MAX_SECONDS or not_after > MAX_SECONDS:
        raise Refused(Reason.MALFORMED, None, "a delegation at no time")
    delegation = Delegation(static_key, not_before, not_after, signature)
    return Said(peer_id, session_id, delegation, proof, payload[_HEAD.size :])


def proof_text(role: bytes, payload_hash: bytes, static_key: bytes, peer_id: bytes) -> bytes:
    """What a proof signs (section 6.5.1): this role, exchange and key, towards that peer."""
    return b"".join((_PROOF_OF[role], payload_hash, _LENGTH, static_key, _LENGTH, peer_id))
