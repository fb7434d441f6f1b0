"""Node ids, identities and delegations."""

import base64
import copy
import hashlib
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handshake import primitives
from handshake.constants import LABEL_DELEGATION, LABEL_ID_CHECKSUM, Reason
from handshake.errors import InvalidKey, Refused
from handshake.identity import Delegation, Identity, NodeId

SEED = bytes(range(32))
STATIC = primitives.x25519_public(b"\7" * 32)
MESH = b"m" * 32
IDENTITY = Identity(SEED)
DELEGATION = IDENTITY.delegate(STATIC, 10_000, 20_000, MESH)


def test_an_id_is_its_key():
    """It equals, hashes and sorts like the 32 bytes it is."""
    key = primitives.SigningKey(SEED).public
    assert IDENTITY.id == key
    assert {key: "found"}[IDENTITY.id] == "found"
    assert len(IDENTITY.id) == 32
    assert pickle.loads(pickle.dumps(IDENTITY.id)) == IDENTITY.id
    assert type(copy.deepcopy(IDENTITY.id)) is NodeId


def test_the_text_of_an_id_is_base32_of_key_and_checksum():
    """56 lower-case characters, as the docstring says, and repr holds them."""
    text = str(IDENTITY.id)
    checksum = hashlib.sha256(LABEL_ID_CHECKSUM + IDENTITY.id).digest()[:3]
    assert text == base64.b32encode(IDENTITY.id + checksum).decode().lower()
    assert len(text) == 56
    assert repr(IDENTITY.id) == f"NodeId('{text}')"
    assert f"{IDENTITY.id}" == text
    assert IDENTITY.id.short == text[:8]


@given(st.binary(min_size=32, max_size=32))
def test_every_id_parses_from_its_text(seed):
    """Text and id go both ways, in either case of the letters."""
    node_id = Identity(seed).id
    assert NodeId.parse(str(node_id)) == node_id
    assert NodeId.parse(str(node_id).upper()) == node_id


@pytest.mark.parametrize("at", range(56))
def test_one_wrong_letter_is_noticed(at):
    """The checksum catches each single change of this id."""
    text = str(IDENTITY.id)
    wrong = "a" if text[at] != "a" else "b"
    with pytest.raises(InvalidKey):
        NodeId.parse(text[:at] + wrong + text[at + 1 :])


@given(st.text(max_size=60) | st.text(min_size=56, max_size=56))
def test_any_other_text_is_an_invalid_key(text):
    """Whatever is typed gives an id or InvalidKey, and nothing else."""
    with pytest.raises(InvalidKey):
        NodeId.parse(text)


def test_the_text_of_a_small_order_key_is_refused():
    """A right checksum does not make a key usable."""
    key = bytes(32)
    checksum = hashlib.sha256(LABEL_ID_CHECKSUM + key).digest()[:3]
    with pytest.raises(InvalidKey):
        NodeId.parse(base64.b32encode(key + checksum).decode())


@pytest.mark.parametrize("key", [b"", bytes(31), bytes(33), bytes(32), b"\1" + bytes(31)])
def test_no_id_is_made_of_a_key_nobody_may_use(key):
    """Another length or a small order is no identity."""
    with pytest.raises(InvalidKey):
        NodeId(key)


def test_an_identity_comes_from_its_seed():
    """The same seed is the same node; `generate` draws 32 bytes; other lengths are refused."""
    assert Identity(SEED).id == IDENTITY.id
    assert IDENTITY.export_seed() == SEED
    assert Identity.generate(lambda length: SEED[:length]).id == IDENTITY.id
    with pytest.raises(InvalidKey):
        Identity(SEED[:31])


def test_an_identity_shows_its_id_and_never_its_seed():
    """Neither repr nor vars, pickle or copy gives the secret away."""
    assert str(IDENTITY.id) in repr(IDENTITY)
    assert SEED.hex() not in repr(IDENTITY)
    assert repr(SEED) not in repr(IDENTITY)
    assert not hasattr(IDENTITY, "__dict__")
    for leak in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError):
            leak(IDENTITY)


def test_a_signature_is_that_of_the_id():
    """Others verify with the id alone."""
    assert primitives.ed25519_verify(IDENTITY.id, b"label text", IDENTITY.sign(b"label text"))


@pytest.mark.parametrize("wall", [10_000 - 600, 10_000, 15_000.5, 20_000, 20_000 + 600])
def test_a_delegation_holds_for_its_time(wall):
    """Between its times, and ten minutes around them, it is accepted."""
    DELEGATION.verify(IDENTITY.id, MESH, wall)


@pytest.mark.parametrize("wall", [10_000 - 600.5, 0, 20_000 + 600.5, float("inf"), float("nan")])
def test_a_delegation_at_another_time_is_a_matter_of_clocks(wall):
    """Outside its times the reason is the clock, and names who signed."""
    with pytest.raises(Refused) as caught:
        DELEGATION.verify(IDENTITY.id, MESH, wall)
    assert caught.value.reason is Reason.CLOCK
    assert caught.value.peer_id == IDENTITY.id


def test_the_tolerance_is_the_callers():
    """With none the edges are exact."""
    DELEGATION.verify(IDENTITY.id, MESH, 20_000, tolerance_seconds=0)
    with pytest.raises(Refused):
        DELEGATION.verify(IDENTITY.id, MESH, 20_001, tolerance_seconds=0)


@pytest.mark.parametrize(
    "delegation",
    [
        Delegation(STATIC, 9_999, 20_000, DELEGATION.signature),
        Delegation(STATIC, 10_000, 20_001, DELEGATION.signature),
        Delegation(primitives.x25519_public(SEED), 10_000, 20_000, DELEGATION.signature),
        Delegation(STATIC, 10_000, 20_000, bytes(64)),
        Identity(bytes(32)).delegate(STATIC, 10_000, 20_000, MESH),
        IDENTITY.delegate(STATIC, 10_000, 20_000, b"o" * 32),
    ],
)
def test_what_the_identity_did_not_sign_is_a_bad_delegation(delegation):
    """Each part is signed: times, key, signer and the mesh, which is not carried."""
    with pytest.raises(Refused) as caught:
        delegation.verify(IDENTITY.id, MESH, 15_000)
    assert caught.value.reason is Reason.BAD_DELEGATION


@pytest.mark.parametrize(("not_before", "not_after"), [(0, 0), (10_000, 20_000), (0, 2**63 - 1)])
def test_what_a_delegation_signs_is_that_of_the_specification(not_before, not_after):
    """Label, key, both times in eight bytes and mesh, each behind its length."""
    text = primitives.length_prefixed(
        LABEL_DELEGATION,
        STATIC,
        not_before.to_bytes(8, "big"),
        not_after.to_bytes(8, "big"),
        MESH,
    )
    delegation = IDENTITY.delegate(STATIC, not_before, not_after, MESH)
    assert delegation.signature == IDENTITY.sign(text)


@pytest.mark.parametrize(
    ("static", "before", "after", "mesh"),
    [
        (bytes(32), 1, 2, MESH),
        (STATIC[:31], 1, 2, MESH),
        (STATIC, 2, 1, MESH),
        (STATIC, -1, 1, MESH),
        (STATIC, 1, 2**63, MESH),
        (STATIC, 1.5, 2, MESH),
        (STATIC, 1, 2, MESH[:31]),
    ],
)
def test_nothing_senseless_is_delegated(static, before, after, mesh):
    """A key nobody may use, times in the wrong order, or a mesh id of another length."""
    with pytest.raises(InvalidKey):
        IDENTITY.delegate(static, before, after, mesh)
