"""What messages 2 and 3 carry: read strictly, and signed for one use only."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exchanges import packed, parts_of
from handshake.constants import LABEL_PROOF, WIRE_PROTOCOL, Reason
from handshake.errors import Refused
from handshake.identity import Identity
from handshake.payload import Said, pack_payload, proof_text, read_payload
from handshake.primitives import length_prefixed, x25519_public

IDENTITY = Identity(bytes(range(32)))
STATIC = x25519_public(b"s" * 32)
DELEGATION = IDENTITY.delegate(STATIC, 1, 2, bytes(32))
GENUINE = pack_payload(IDENTITY.id, 7, DELEGATION, b"p" * 64, b"terms")
HEAD_BYTES = 184


def test_a_payload_is_taken_apart():
    """What was packed comes out typed; all that follows the head are terms, and pass through."""
    said = Said(
        peer_id=IDENTITY.id, session_id=7, delegation=DELEGATION, proof=b"p" * 64, terms=b"terms"
    )
    assert read_payload(GENUINE, STATIC) == said
    assert read_payload(GENUINE[:HEAD_BYTES], STATIC) == said._replace(terms=b"")


def test_the_layout_is_that_of_the_specification():
    """Each part at its place; the delegated key is not in it."""
    assert (
        b"".join(
            (
                IDENTITY.id,
                (7).to_bytes(8, "big"),
                (1).to_bytes(8, "big"),
                (2).to_bytes(8, "big"),
                DELEGATION.signature,
                b"p" * 64,
                b"terms",
            )
        )
        == GENUINE
    )
    assert STATIC not in GENUINE


def test_the_delegated_key_is_that_of_the_exchange():
    """Whatever key its sender had in mind: the signature decides."""
    said = read_payload(GENUINE, b"k" * 32)
    assert said.delegation == DELEGATION._replace(static_key=b"k" * 32)


@pytest.mark.parametrize(
    "changes",
    [
        {"id": bytes(32)},
        {"id": b"\1" + bytes(31)},
        {"id": (2**255 - 19 + 1).to_bytes(32, "little")},
        {"session_id": 0},
        {"not_before": 2**63},
        {"not_after": 2**63},
        {"not_after": 2**64 - 1},
    ],
)
def test_any_other_content_is_malformed(changes):
    """Unusable or out of range: one reason, and nobody is named."""
    with pytest.raises(Refused) as caught:
        read_payload(packed(parts_of(GENUINE) | changes), STATIC)
    assert caught.value.reason is Reason.MALFORMED
    assert caught.value.peer_id is None


@pytest.mark.parametrize("length", range(HEAD_BYTES))
def test_a_payload_that_ends_within_its_head_is_malformed(length):
    """At every length, the empty one included."""
    with pytest.raises(Refused) as caught:
        read_payload(GENUINE[:length], STATIC)
    assert caught.value.reason is Reason.MALFORMED
    assert caught.value.peer_id is None


@pytest.mark.parametrize("edge", [0, 2**63 - 1])
def test_times_reach_from_zero_to_the_largest(edge):
    """Both ends of the range are times."""
    changed = parts_of(GENUINE) | {"not_before": edge, "not_after": edge}
    said = read_payload(packed(changed), STATIC)
    assert (said.delegation.not_before, said.delegation.not_after) == (edge, edge)


def read_or_none(payload):
    """What is said, or None where it is malformed; nothing else may come of any bytes."""
    try:
        return read_payload(payload, STATIC)
    except Refused as refusal:
        return None if refusal.reason is Reason.MALFORMED else refusal


@given(st.binary(max_size=300))
def test_any_bytes_are_a_payload_or_malformed(data):
    """And a payload is nothing but the bytes it was read from."""
    said = read_or_none(data)
    assert said is None or pack_payload(*said) == data


@given(st.integers(0, len(GENUINE) - 1), st.integers(1, 255))
def test_one_changed_byte_gives_another_payload_or_none(place, change):
    """There are no two forms of one payload."""
    changed = bytearray(GENUINE)
    changed[place] ^= change
    said = read_or_none(bytes(changed))
    assert said is None or (pack_payload(*said) == changed and said != read_or_none(GENUINE))


@pytest.mark.parametrize("role", [b"initiator", b"responder"])
def test_what_a_proof_signs_is_that_of_the_specification(role):
    """Each part behind its length."""
    expected = length_prefixed(
        LABEL_PROOF, role, WIRE_PROTOCOL.encode(), b"h" * 32, b"s" * 32, b"p" * 32
    )
    assert proof_text(role, b"h" * 32, b"s" * 32, b"p" * 32) == expected


def test_a_proof_is_for_one_role_exchange_key_and_peer():
    """Changing any part changes what is signed."""
    texts = {
        proof_text(b"initiator", b"h" * 32, b"s" * 32, b"p" * 32),
        proof_text(b"responder", b"h" * 32, b"s" * 32, b"p" * 32),
        proof_text(b"initiator", b"H" * 32, b"s" * 32, b"p" * 32),
        proof_text(b"initiator", b"h" * 32, b"S" * 32, b"p" * 32),
        proof_text(b"initiator", b"h" * 32, b"s" * 32, b"P" * 32),
    }
    assert len(texts) == 5
