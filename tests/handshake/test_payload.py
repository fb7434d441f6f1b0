"""What messages 2 and 3 carry: read strictly, and signed for one use only."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exchanges import CanonicalCodec
from handshake.constants import Reason
from handshake.errors import InvalidPayload, Refused
from handshake.identity import Identity
from handshake.payload import Said, check_terms, proof_text, read_payload
from handshake.primitives import x25519_public

IDENTITY = Identity(bytes(range(32)))
DELEGATION = IDENTITY.delegate(x25519_public(b"s" * 32), 1, 2, bytes(32))
GENUINE = {
    "id": bytes(IDENTITY.id),
    "delegation": DELEGATION.to_value(),
    "proof": b"p" * 64,
    "session_id": (7).to_bytes(8, "big"),
    "versions": [1],
}


CODEC = CanonicalCodec()


def test_a_payload_is_taken_apart():
    """Its own entries are typed, all others are terms and pass through."""
    assert read_payload(CODEC, CODEC.dumps(GENUINE)) == Said(
        peer_id=IDENTITY.id,
        delegation=DELEGATION,
        proof=b"p" * 64,
        session_id=7,
        terms={"versions": [1]},
    )


@pytest.mark.parametrize(
    "value",
    [
        None,
        [],
        {},
        {**GENUINE, 1: "key"},
        {**GENUINE, "id": bytes(32)},
        {**GENUINE, "id": str(IDENTITY.id)},
        {**GENUINE, "id": IDENTITY.id[:31]},
        {**GENUINE, "proof": b"p" * 63},
        {**GENUINE, "proof": None},
        {**GENUINE, "session_id": 7},
        {**GENUINE, "session_id": bytes(8)},
        {**GENUINE, "session_id": b"\1" * 9},
        {**GENUINE, "delegation": None},
        {**GENUINE, "delegation": [1, 2, 3, 4]},
        *[
            {k: v for k, v in GENUINE.items() if k != left}
            for left in GENUINE
            if left != "versions"
        ],
    ],
)
def test_any_other_form_is_malformed(value):
    """Missing, misshapen or unusable: one reason, and nobody is named."""
    with pytest.raises(Refused) as caught:
        read_payload(CODEC, CODEC.dumps(value))
    assert caught.value.reason is Reason.MALFORMED
    assert caught.value.peer_id is None


@given(st.binary(max_size=80))
def test_any_bytes_are_a_payload_or_malformed(data):
    """Whatever the codec refuses with a ValueError is the peer's fault and nothing else."""
    with pytest.raises(Refused) as caught:
        read_payload(CODEC, data)
    assert caught.value.reason is Reason.MALFORMED


def test_a_proof_is_for_one_role_exchange_key_and_peer():
    """Changing any part changes what is signed, and parts cannot flow into each other."""
    texts = {
        proof_text(b"initiator", b"h" * 32, b"s" * 32, b"p" * 32),
        proof_text(b"responder", b"h" * 32, b"s" * 32, b"p" * 32),
        proof_text(b"initiator", b"H" * 32, b"s" * 32, b"p" * 32),
        proof_text(b"initiator", b"h" * 32, b"S" * 32, b"p" * 32),
        proof_text(b"initiator", b"h" * 32, b"s" * 32, b"P" * 32),
        proof_text(b"initiatorh", b"h" * 31, b"s" * 32, b"p" * 32),
    }
    assert len(texts) == 6


@pytest.mark.parametrize(
    "terms", [{"id": 1}, {"proof": 1}, {"session_id": 1}, {"delegation": 1}, {1: 2}]
)
def test_our_terms_leave_the_exchanges_names_alone(terms):
    """A term that would take the place of an entry of the exchange is our own caller's fault."""
    with pytest.raises(InvalidPayload):
        check_terms(terms)
    check_terms({"versions": 1, "ID": 2})
