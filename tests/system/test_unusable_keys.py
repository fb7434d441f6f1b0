"""Keys that nobody may use, refused at every door a key comes in by.

Under a key of small order signatures are forged, two spellings of one key would be two names, and
under a low-order X25519 key everybody has the same secret. `support/unusable_keys` computes all of
them from the curve; here each is carried to each door:

    the key itself                  test_no_unusable_key_is_an_id, test_no_low_order_key_is_...
    key file                        test_a_key_file_...
    configuration, three ways       test_no_configuration_...
    trust list on disk              test_a_trust_list_...
    `mesh trust allow`, `deny`      test_the_command_...
    node.trust, Node.connect, ...   test_a_running_node_...
    handshake payload, both roles   test_no_handshake_...
    keys inside handshake messages  tests/handshake/test_identity_exchange
"""

import os
from pathlib import Path

import pytest
from click.testing import CliRunner
from nacl import bindings as sodium

from exchanges import ALICE, DAY, MALLORY, MESH, NOON, PSK, Insider
from handshake import primitives
from handshake.authentication import Initiator, Responder
from handshake.constants import UNKNOWN_ID, Reason
from handshake.errors import InvalidKey, Refused
from handshake.identity import Delegation, Identity, NodeId, _delegation_text
from mesh import NotTrusted, UnknownPeer
from mesh.cli.command import mesh as command
from mesh.errors import InvalidConfiguration
from mesh.home import keys
from mesh.home.configuration import Configuration
from mesh.home.files import write_private
from mesh.home.trust_store import TrustStore
from unusable_keys import (
    LOW_ORDER_X25519,
    NO_POINT_ED25519,
    NOT_CANONICAL_ED25519,
    SMALL_ORDER_ED25519,
    UNUSABLE_ED25519,
    P,
    id_text,
    x_of,
)

GOOD = Identity(b"g" * 32).id
TEXTS = [id_text(key) for key in UNUSABLE_ED25519]


# -- the lists are complete, and right


def test_the_lists_are_complete():
    """Eight points of small order in fourteen spellings, 38 y too large; 14 low-order u."""
    assert len(set(SMALL_ORDER_ED25519)) == 14
    assert len(set(NOT_CANONICAL_ED25519)) == 38
    assert len(set(SMALL_ORDER_ED25519) & set(NOT_CANONICAL_ED25519)) == 4
    assert len(set(LOW_ORDER_X25519)) == 14
    assert len(NO_POINT_ED25519) > 10
    tolerated = [y for y in range(2, P, P // 1000) if x_of(y) is not None]
    assert 400 < len(tolerated) < 600, "about half of all y are on the curve"


def test_small_order_is_what_the_list_says():
    """Adding such a point to itself eight times gives the neutral one; a good key's does not."""
    neutral = b"\1" + bytes(31)

    def eightfold(point):
        for _ in range(3):
            point = sodium.crypto_core_ed25519_add(point, point)
        return point

    for key in set(SMALL_ORDER_ED25519) - set(NOT_CANONICAL_ED25519):
        assert eightfold(key) == neutral
    assert eightfold(bytes(GOOD)) != neutral


@pytest.mark.parametrize("key", UNUSABLE_ED25519, ids=bytes.hex)
def test_no_unusable_key_is_an_id(key):
    """Neither as bytes nor as text with a checksum that fits."""
    with pytest.raises(InvalidKey):
        NodeId(key)
    for text in (id_text(key), id_text(key).upper()):
        with pytest.raises(InvalidKey, match="nobody may use"):
            NodeId.parse(text)


def test_the_text_of_a_good_key_is_made_alike():
    """So the texts above fail for their keys and not for their form."""
    assert id_text(bytes(GOOD)) == str(GOOD)
    assert NodeId.parse(id_text(bytes(GOOD))) == GOOD


@pytest.mark.parametrize("public", LOW_ORDER_X25519, ids=bytes.hex)
def test_no_low_order_key_is_agreed_with_or_delegated_to(public):
    """Refused with and without a DH; nobody's identity speaks for it."""
    with pytest.raises(InvalidKey):
        primitives.x25519(b"k" * 32, public)
    with pytest.raises(InvalidKey):
        primitives.check_x25519_public(public)
    with pytest.raises(InvalidKey):
        ALICE.identity.delegate(public, 0, 1, MESH)


# -- what lies on disk


def key_file(path: Path, text: str) -> Path:
    """A key file that a careful forger made for this id."""
    seed = Identity(b"g" * 32).export_seed()
    write_private(path, keys._render({"version": 1, "id": text, "seed": seed.hex()}))
    return path


def test_a_key_file_with_an_unusable_id_is_damaged(tmp_path):
    """Whatever else it holds; the same file with the id that belongs to it is good."""
    path = tmp_path / "identity.toml"
    for text in TEXTS:
        key_file(path, text)
        for read in (keys.load, keys.load_id):
            with pytest.raises(InvalidConfiguration, match="damaged"):
                read(path)
    assert keys.load(key_file(path, str(GOOD))).id == keys.load_id(path) == GOOD


def test_no_configuration_names_an_unusable_id(tmp_path):
    """As keyword, variable or key of config.toml; the error says which part is wrong."""
    for text in TEXTS:
        target = f"{text}@tcp://127.0.0.1:7001"
        write_private(tmp_path / "config.toml", f'connect = ["{target}"]\n'.encode())
        for home, environ, keywords in (
            (None, {}, {"connect": target}),
            (None, {"MESH_CONNECT": target}, {}),
            (tmp_path, {}, {}),
        ):
            with pytest.raises(InvalidConfiguration, match="before the @ is not a node id"):
                Configuration.load(home, environ, **keywords)
    assert Configuration.load(None, {}, connect=f"{GOOD}@tcp://127.0.0.1:7001").connect


def test_a_trust_list_with_an_unusable_id_is_refused(tmp_path):
    """The line is named, and nobody on the list is believed meanwhile."""
    path = tmp_path / "trust.toml"
    for text in TEXTS:
        write_private(path, f'[[peer]]\nid = "{text}"\nallowed = true\n'.encode())
        with pytest.raises(InvalidConfiguration, match="line 1, peer 1: its id cannot be used"):
            TrustStore(path).load()


# -- the command and the running node


def test_the_command_refuses_an_unusable_id(tmp_path, monkeypatch):
    """`mesh trust allow` is a usage error; `deny`, for which it is a name, finds no node there."""
    for variable in [name for name in os.environ if name.startswith("MESH_")]:
        monkeypatch.delenv(variable)
    home = tmp_path / "home"
    for text in TEXTS:
        told = CliRunner().invoke(command, ["--home", str(home), "trust", "allow", text])
        assert told.exit_code == 2
        assert "nobody may use" in told.stderr
        assert not home.exists()
        told = CliRunner().invoke(command, ["--home", str(home), "trust", "deny", text])
        assert told.exit_code == 1
        assert not home.exists()


async def test_a_running_node_takes_no_unusable_id(alice, bob):
    """To connect to, to wait for, to speak to, or to trust; the error says what is wrong."""
    for text in TEXTS:
        for refused in (
            alice.connect(bob.endpoints[0], id=text),
            alice.wait_for(text),
            alice.peer(text),
            alice.send(text, "log", b""),
            alice.call(text, "echo"),
            alice.ping(text),
        ):
            with pytest.raises(UnknownPeer, match="nobody may use"):
                await refused
        for refuse in (alice.trust.allow, alice.trust.deny):
            with pytest.raises((InvalidConfiguration, UnknownPeer), match="nobody may use"):
                refuse(text)
        with pytest.raises(InvalidConfiguration, match="nobody may use"):
            await alice.running.control.answer("trust-allow", {"id": text})
    for key in UNUSABLE_ED25519:
        with pytest.raises(UnknownPeer):
            await alice.connect(bob.endpoints[0], id=key)
    assert alice.trust.list() == []
    with pytest.raises(NotTrusted):
        await alice.connect(bob.endpoints[0], id=bob.id)


# -- the handshake


def listening_to(role: bytes) -> Initiator | Responder:
    """Alice in the role that listens to a liar of this one."""
    return (Responder if role == b"initiator" else Initiator)(
        ALICE,
        mesh_id=MESH,
        psk=PSK,
        prologue=b"prologue",
        session_id=1,
        random_bytes=os.urandom,
    )


def refusal_of(role: bytes, changes: dict[str, object]) -> Refused:
    """What alice says to a liar in this role whose payload is good but for these entries."""
    insider = Insider(role, MALLORY.static_private)
    peer = ALICE.identity.id if role == b"initiator" else UNKNOWN_ID
    with pytest.raises(Refused) as caught:
        insider.speak(
            listening_to(role),
            lambda h: insider.payload(MALLORY.identity, MALLORY.delegation, h, peer) | changes,
        )
    return caught.value


@pytest.mark.parametrize("role", [b"initiator", b"responder"])
@pytest.mark.parametrize("key", UNUSABLE_ED25519, ids=bytes.hex)
def test_no_handshake_is_had_with_an_unusable_id(role, key):
    """In the payload of message 2 or 3 it is malformed, before any signature is looked at."""
    assert refusal_of(role, {"id": key}).reason is Reason.MALFORMED


@pytest.mark.parametrize("role", [b"initiator", b"responder"])
@pytest.mark.parametrize("key", LOW_ORDER_X25519, ids=bytes.hex)
def test_no_handshake_is_had_through_a_delegated_low_order_key(role, key):
    """Its owner signed it, but no exchange ever runs through such a key."""
    text = _delegation_text(key, 0, DAY, MESH)
    delegation = Delegation(key, 0, DAY, MALLORY.identity.sign(text))
    delegation.verify(MALLORY.identity.id, MESH, NOON)
    refusal = refusal_of(
        role, {"not_before": 0, "not_after": DAY, "signature": delegation.signature}
    )
    assert refusal.reason is Reason.BAD_DELEGATION
