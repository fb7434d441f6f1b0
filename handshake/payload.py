"""What messages 2 and 3 of the wire's exchange carry, and what a proof in them signs.

A payload is one canonical CBOR map with text keys: `id`, `delegation`, `proof`, `session_id`
and the terms, which pass through untouched. The codec is handed in; nothing is believed here,
only well-formed.
"""

from collections.abc import Mapping
from typing import NamedTuple, Protocol

from handshake.constants import (
    ID_BYTES,
    LABEL_PROOF,
    SESSION_ID_BYTES,
    SIGNATURE_BYTES,
    WIRE_PROTOCOL,
    Reason,
)
from handshake.errors import InvalidKey, InvalidPayload, Refused
from handshake.identity import Delegation, NodeId
from handshake.primitives import length_prefixed

RESERVED_TERMS = frozenset({"id", "delegation", "proof", "session_id"})
_PROTOCOL = WIRE_PROTOCOL.encode()


class Codec(Protocol):
    """Deterministic CBOR: one encoding for one value; `loads` raises ValueError for any other."""

    def dumps(self, value: object, /) -> bytes:
        """The one encoding of `value`."""

    def loads(self, data: bytes, /) -> object:
        """The value of exactly that encoding, or a ValueError."""


class Said(NamedTuple):
    """The payload of message 2 or 3, well-formed and not believed yet."""

    peer_id: NodeId
    delegation: Delegation
    proof: bytes
    session_id: int
    terms: dict[str, object]


def read_payload(codec: Codec, payload: bytes) -> Said:
    """The payload taken apart; raises Refused (MALFORMED) for any other bytes."""
    try:
        value = codec.loads(payload)
    except ValueError:
        raise Refused(Reason.MALFORMED, None, "the payload is not canonical CBOR") from None
    if not isinstance(value, dict) or not set(map(type, value)) <= {str}:
        raise Refused(Reason.MALFORMED, None, "the payload is not a map of text keys")
    try:
        peer_id = NodeId(_take(value, "id", ID_BYTES))
    except InvalidKey:
        raise Refused(Reason.MALFORMED, None, "an id that nobody may use") from None
    session_id = int.from_bytes(_take(value, "session_id", SESSION_ID_BYTES), "big")
    if session_id == 0:
        raise Refused(Reason.MALFORMED, None, "session id zero stands for none")
    delegation = Delegation.from_value(value.pop("delegation", None))
    proof = _take(value, "proof", SIGNATURE_BYTES)
    # What is left are the terms.
    return Said(peer_id, delegation, proof, session_id, value)


def _take(value: dict[str, object], key: str, length: int) -> bytes:
    entry = value.pop(key, None)
    if not isinstance(entry, bytes) or len(entry) != length:
        raise Refused(Reason.MALFORMED, None, f"{key} is not {length} bytes")
    return entry


def proof_text(role: bytes, payload_hash: bytes, static_key: bytes, peer_id: bytes) -> bytes:
    """What a proof signs: this role, in this exchange, through this key, towards that peer."""
    return length_prefixed(LABEL_PROOF, role, _PROTOCOL, payload_hash, static_key, peer_id)


def check_terms(terms: Mapping[str, object]) -> None:
    """Raise InvalidPayload for terms of ours that could not be told from the exchange's own."""
    if not set(map(type, terms)) <= {str} or not RESERVED_TERMS.isdisjoint(terms):
        raise InvalidPayload("terms have text keys other than those of the exchange itself")
