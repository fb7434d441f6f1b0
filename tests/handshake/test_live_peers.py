"""Two libraries that others wrote and we, in both roles: handshakes, then transport both ways."""

import pytest

from handshake.patterns import parse_protocol_name
from handshakes import one_side
from noise_names import COMMON, FEW_SUITES, HANDSHAKES, SUITES, protocol_name
from noise_peers import PEERS

PEER = pytest.mark.parametrize("peer", PEERS, ids=lambda peer: peer.package)
ROLE = pytest.mark.parametrize("role", [0, 1], ids=["it begins", "we begin"])


def finish(ours, theirs, *, we_write):
    """Run a handshake to its end; hashes are equal."""
    while not ours.finished:
        if we_write:
            assert theirs.read(ours.write_message(b"from us")) == b"from us"
        else:
            assert ours.read_message(theirs.write(b"from it")) == b"from it"
        we_write = not we_write
    assert ours.handshake_hash == theirs.handshake_hash


def talk(ours, theirs, our_role, *, one_way, rekeys):
    """Three messages each way with a rekey before the last; one way only where there is one."""
    ciphers = ours.split()
    for number in range(3):
        if number == 2 and rekeys:
            for cipher in ciphers:
                cipher.rekey()
            for sending in (True, False):
                if not one_way or sending is (our_role == 1):
                    theirs.rekey(sending=sending)
        text = b"transport %d" % number
        if not one_way or our_role == 0:
            assert theirs.open(ciphers[our_role].encrypt_with_ad(b"", text)) == text
        if not one_way or our_role == 1:
            assert ciphers[1 - our_role].decrypt_with_ad(b"", theirs.seal(text)) == text


def meet(peer, handshake, suite, role, random_bytes):
    """One handshake with a peer that has `role`, and what follows."""
    name = protocol_name(handshake, suite)
    try:
        ours, theirs = one_side(name, 1 - role, random_bytes), peer.connect(name, role)
        finish(ours, theirs, we_write=role == 1)
        one_way = parse_protocol_name(name).pattern.one_way
        talk(ours, theirs, 1 - role, one_way=one_way, rekeys=peer.rekeys)
    except Exception as error:
        error.add_note(name)
        raise


@PEER
@ROLE
@pytest.mark.parametrize("suite", SUITES)
def test_common_handshakes_in_every_suite(peer, role, suite, random_bytes):
    """Either side begins; both end with one hash and open each other's transport messages."""
    for handshake in COMMON:
        meet(peer, handshake, suite, role, random_bytes)


@PEER
@ROLE
@pytest.mark.parametrize(
    "suite",
    [FEW_SUITES[0], *(pytest.param(suite, marks=pytest.mark.slow) for suite in FEW_SUITES[1:])],
)
def test_every_handshake_that_the_peer_knows(peer, role, suite, random_bytes):
    """Deferred patterns, each psk modifier and several at once, in two suites with all ciphers."""
    known = [handshake for handshake in HANDSHAKES if peer.speaks(handshake)]
    for handshake in known:
        meet(peer, handshake, suite, role, random_bytes)
    assert len(known) == {"noiseprotocol": 87, "dissononce": 202}[peer.package]


@PEER
def test_what_is_left_out_is_unknown_to_the_peer(peer):
    """No handshake is excluded that the peer can speak after all."""
    for handshake in HANDSHAKES:
        if not peer.speaks(handshake):
            with pytest.raises(Exception, match=r"[Uu]nknown|[Uu]nsupported|not modifiable"):
                peer.connect(protocol_name(handshake, FEW_SUITES[0]), 0)


@PEER
def test_a_peer_with_another_psk_is_noticed(peer, random_bytes):
    """Both sides' checks are real: with a wrong psk the handshake does not finish."""
    name = protocol_name("NNpsk0", FEW_SUITES[0])
    ours = one_side(name, 0, random_bytes, psks=(b"another psk".ljust(32, b"."),))
    with pytest.raises(Exception, match=r".*") as caught:
        peer.connect(name, 1).read(ours.write_message())
    assert type(caught.value).__name__ in {"InvalidTag", "DecryptFailedException"}
