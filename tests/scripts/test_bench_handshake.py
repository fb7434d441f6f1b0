"""The benchmark of handshakes: a tiny run, and what its floor is made of."""

import json

import pytest

from benchmarks.__main__ import main
from benchmarks.floor import recording
from benchmarks.handshake_table import handshakes_as_json, handshakes_as_text
from benchmarks.handshakes import (
    EXCHANGE,
    FLOOR,
    OURS_XX,
    OURS_XX_PSK,
    THEIRS_XX,
    XX,
    HandshakeReport,
    exchange,
    ours,
)
from benchmarks.machine import describe, load
from handshake import primitives

OURS = (EXCHANGE, OURS_XX, OURS_XX_PSK)


def test_a_tiny_run_measures_every_contender(capsys):
    """The whole command gives each rate, each share of a floor, and the calls in it."""
    assert main(["handshake", "--json", "--rounds", "2", "--scale", "0.01"]) == 0
    report = json.loads(capsys.readouterr().out)
    rates = report["handshakes_per_second"]
    assert set(rates) == {*OURS, *(FLOOR + name for name in OURS), THEIRS_XX}
    for figures in (*rates.values(), *report["share_of_floor"].values()):
        assert 0 < figures["low"] <= figures["median"] <= figures["high"]
    assert len(report["beside_noiseprotocol"]["rounds"]) == 2
    assert {"noisemesh", "noiseprotocol", "PyNaCl", "cryptography"} <= set(report["versions"])


def test_the_table_says_what_was_measured(capsys):
    """Rates, shares and the calls of a floor stand in the text."""
    assert main(["handshake", "--rounds", "1", "--scale", "0.01"]) == 0
    text = capsys.readouterr().out
    assert text.index("Handshakes a second") < text.index("Share of the floor")
    for name in (*OURS, THEIRS_XX, "Ed25519 verify", "X25519"):
        assert name in text


def test_the_floor_is_what_the_specification_counts():
    """XX: three DHs and one ephemeral key a side, four seals; an exchange also signs and verifies.

    An exchange has two signatures (a proof each) and four to verify (with two delegations).
    """
    handshake = ours(XX)
    handshake()
    with recording() as recorder:
        handshake()
    counts = recorder.counts()
    assert (counts["X25519"], counts["X25519 of the base point"]) == (6, 2)
    assert (counts["AEAD seal"], counts["AEAD open"]) == (4, 4)
    # Three MixKey and the Split of each side.
    assert counts["HKDF"] == 2 * 4
    handshake = exchange()
    handshake()
    with recording() as recorder:
        handshake()
    counts = recorder.counts()
    assert (counts["Ed25519 sign"], counts["Ed25519 verify"]) == (2, 4)
    assert (counts["X25519"], counts["AEAD seal"], counts["AEAD open"]) == (6, 5, 5)


def test_recording_leaves_everything_as_it_was():
    """After the recording, and after one that failed, the primitives are the libraries' own."""
    names = ("sodium", "HKDF", "ChaCha20Poly1305", "AESGCM")
    before = [getattr(primitives, name) for name in names] + [primitives.SHA256._new]
    with pytest.raises(RuntimeError), recording():
        raise RuntimeError
    with recording() as recorder:
        exchange()()
    assert [getattr(primitives, name) for name in names] + [primitives.SHA256._new] == before
    recorder.replay()


def test_shares_are_of_the_same_round():
    """A slow round slows the floor as well, and does not move the share."""
    report = HandshakeReport(3)
    for name in OURS:
        report.rates[name] = [70.0, 7.0, 80.0]
        report.rates[FLOOR + name] = [100.0, 10.0, 100.0]
    report.rates[THEIRS_XX] = [35.0, 7.0, 20.0]
    assert report.shares(EXCHANGE) == [0.7, 0.7, 0.8]
    assert report.share(EXCHANGE) == 0.7
    here = describe(load())
    assert handshakes_as_json(report, here)["beside_noiseprotocol"]["median"] == 2.0
    assert "70% (70%–80%)" in handshakes_as_text(report, here)


@pytest.mark.parametrize("wrong", [["--only", "64B"], ["--uvloop"]])
def test_what_has_no_meaning_here_is_refused(wrong, capsys):
    """Peers, workloads and event loops belong to the other form of the command."""
    with pytest.raises(SystemExit) as stopped:
        main(["handshake", *wrong])
    assert stopped.value.code == 2
    assert "handshake:" in capsys.readouterr().err
