"""The result of an exchange: the same secrets on both sides, and none of them shown."""

import copy
import pickle

import pytest

from exchanges import ALICE, BOB, run
from handshake.authentication import Initiator, Responder
from handshake.errors import InvalidPayload, InvalidProtocolName, WrongTurn
from handshake.established import check_session_id, finished
from handshake.primitives import Aead, derive_key, x25519_public


def test_both_sides_end_with_the_same_secrets(established):
    """What one sends under the other receives under, whichever suite; exports agree."""
    ours, theirs = established
    assert (ours.initiator, theirs.initiator) == (True, False)
    assert (ours.peer_id, theirs.peer_id) == (BOB.identity.id, ALICE.identity.id)
    assert ours.handshake_hash == theirs.handshake_hash
    assert ours.remote_session_id == theirs.local_session_id
    assert theirs.remote_session_id == ours.local_session_id
    assert ours.remote_static == x25519_public(theirs.local_static_private)
    assert ours.export() == theirs.export()
    keys = set()
    for suite in ("ChaChaPoly", "AESGCM"):
        send, receive = ours.traffic_keys(suite)
        assert (receive, send) == theirs.traffic_keys(suite)
        assert Aead(suite, send).open(0, b"", Aead(suite, send).seal(0, b"", b"x")) == b"x"
        keys |= {send, receive}
    assert len(keys | {ours.export(), *ours.split_keys}) == 7
    with pytest.raises(InvalidProtocolName):
        ours.traffic_keys("AEGIS")


def test_two_exchanges_share_no_key(side):
    """The same nodes get other keys each time."""
    results = []
    for _ in range(2):
        initiator, responder = side(Initiator, ALICE), side(Responder, BOB)
        run(initiator, responder)
        results.append(initiator.established)
    first, second = results
    assert first.handshake_hash != second.handshake_hash
    assert not set(first.traffic_keys("AESGCM")) & set(second.traffic_keys("AESGCM"))
    assert first.export() != second.export()


def test_keys_are_derived_as_specified(established):
    """HKDF-SHA256 over label, direction, suite and h, each behind its length in four bytes."""

    def info(*parts):
        return b"".join(len(part).to_bytes(4, "big") + part for part in parts)

    ours = established[0]
    h, (first, second) = ours.handshake_hash, ours.split_keys
    label = b"noisemesh 1 traffic"
    assert ours.traffic_keys("AESGCM") == (
        derive_key(first, info(label, b"initiator to responder", b"AESGCM", h)),
        derive_key(second, info(label, b"responder to initiator", b"AESGCM", h)),
    )
    assert ours.export() == derive_key(first + second, info(b"noisemesh 1 export", h))


@pytest.mark.parametrize("session_id", [-1, 0, 2**64])
def test_a_session_id_fits_eight_bytes_and_is_not_zero(session_id):
    """Zero stands for none on the wire; both ends of the range are ids."""
    with pytest.raises(InvalidPayload):
        check_session_id(session_id)
    assert [check_session_id(edge) for edge in (1, 2**64 - 1)] == [1, 2**64 - 1]


def test_a_result_is_given_only_when_there_is_one():
    """Asking early is WrongTurn; the result itself is passed through."""
    with pytest.raises(WrongTurn):
        finished(None)
    assert finished(b"") == b""


def test_a_result_shows_no_secret(established):
    """It prints its type alone and is neither pickled nor copied."""
    assert repr(established[0]) == "<Established>"
    for leak in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError):
            leak(established[0])
