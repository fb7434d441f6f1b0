"""Vectors of section 3: ids and their texts, meshes, delegations."""

from handshake.authentication import mesh_id, mesh_psk
from handshake.constants import LABEL_DELEGATION
from handshake.errors import InvalidKey
from handshake.identity import Identity, NodeId
from handshake.primitives import length_prefixed
from spec_vectors.material import NOT_AFTER, NOT_BEFORE, Person, octets

MESHES = ("default", "team", "équipe", "m" * 255)
PEOPLE = ("alice", "bob", "carol")

_PRIME = 2**255 - 19


def vectors() -> dict[str, object]:
    """Everything of section 3."""
    return {
        "identities": [_identity(name) for name in PEOPLE],
        "refused_texts": _refused_texts(),
        "refused_ids": _refused_ids(),
        "meshes": [_mesh(name, secret) for name in MESHES for secret in (None, octets("secret"))],
        "delegations": [_delegation(name, "team") for name in PEOPLE],
    }


def _identity(name: str) -> dict[str, object]:
    identity = Person(name, b"").identity
    return {
        "name": name,
        "seed": identity.export_seed().hex(),
        "id": bytes(identity.id).hex(),
        "text": str(identity.id),
    }


def _refused_texts() -> list[dict[str, object]]:
    good = str(Identity(octets("alice seed")).id)
    wrong_letter = good[:10] + ("a" if good[10] != "a" else "b") + good[11:]
    texts = {
        "one letter is wrong": wrong_letter,
        "too short": good[:-1],
        "too long": good + "a",
        "padding": good[:-1] + "=",
        "a digit that base32 lacks": good[:-1] + "1",
        "two letters have changed places": good[1] + good[0] + good[2:],
    }
    for text in texts.values():
        _must_be_refused(text)
    return [{"name": name, "text": text} for name, text in texts.items()]


def _must_be_refused(text: str) -> None:
    try:
        NodeId.parse(text)
    except InvalidKey:
        return
    raise AssertionError(f"{text} is taken")


def _refused_ids() -> list[dict[str, object]]:
    good = bytes(Identity(octets("alice seed")).id)
    ids = {
        "the neutral element": (1).to_bytes(32, "little"),
        "order 2": (_PRIME - 1).to_bytes(32, "little"),
        "order 4": bytes(32),
        "not canonical: the neutral element plus the prime": (_PRIME + 1).to_bytes(32, "little"),
        "not on the curve": (2).to_bytes(32, "little"),
        "31 bytes": good[:31],
        "33 bytes": good + b"\0",
    }
    for name, key in ids.items():
        try:
            NodeId(key)
        except InvalidKey:
            continue
        raise AssertionError(f"{name} is taken")
    return [{"name": name, "id": key.hex()} for name, key in ids.items()]


def _mesh(name: str, secret: bytes | None) -> dict[str, object]:
    identifier = mesh_id(name)
    return {
        "name": name,
        "secret": None if secret is None else secret.hex(),
        "mesh_id": identifier.hex(),
        "psk": mesh_psk(identifier, secret).hex(),
    }


def _delegation(name: str, mesh: str) -> dict[str, object]:
    identifier = mesh_id(mesh)
    delegation = Person(name, identifier).credentials().delegation
    text = length_prefixed(
        LABEL_DELEGATION,
        delegation.static_key,
        NOT_BEFORE.to_bytes(8, "big"),
        NOT_AFTER.to_bytes(8, "big"),
        identifier,
    )
    return {
        "name": name,
        "mesh_id": identifier.hex(),
        **Person(name, identifier).vector(),
        "not_before": NOT_BEFORE,
        "not_after": NOT_AFTER,
        "signed": text.hex(),
        "signature": delegation.signature.hex(),
    }
