"""Terms: what both sides say, checked before it is believed."""

import pytest

from handshake.constants import Reason
from handshake.errors import Refused
from handshake.identity import Identity
from mesh.engine import terms
from mesh.engine.resume import Resume
from mesh.engine.settings import Settings

PEER = Identity(b"p" * 32).id
SETTINGS = Settings(instance=b"i" * 16, suites=("AESGCM", "ChaChaPoly"))


def said(**changes):
    return terms.ours(SETTINGS) | changes


def refusal(said, at_the_end=False):
    with pytest.raises(Refused) as refused:
        terms.read(PEER, said, at_the_end=at_the_end)
    assert refused.value.peer_id == PEER
    return refused.value.reason


def test_our_own_terms_are_understood():
    """What one side says the other reads."""
    read = terms.read(PEER, said(future="extension"), at_the_end=False)
    assert read.instance == SETTINGS.instance
    assert read.suites == SETTINGS.suites
    assert read.limits == (SETTINGS.window_bytes, SETTINGS.max_message_bytes)
    assert (read.generation, read.resume) == (0, Resume(0, 1))


def test_message_3_adds_generation_and_resume():
    """By then the initiator knows whom it speaks to."""
    whole = said() | terms.ours_at_the_end(7, Resume(2, 9))
    read = terms.read(PEER, whole, at_the_end=True)
    assert (read.generation, read.resume) == (7, Resume(2, 9))


@pytest.mark.parametrize(
    "changes",
    [
        {"instance": b"short"},
        {"instance": "i" * 16},
        {"versions": 1},
        {"suites": "ChaChaPoly"},
        {"limits": []},
        {"limits": {"window": 65_535, "message": 1}},
        {"limits": {"window": 1 << 62, "message": 1}},
        {"limits": {"window": 1 << 20}},
        {"limits": {"window": 1.5e6, "message": 1}},
    ],
)
def test_terms_of_another_form_are_refused(changes):
    """A window too small for one frame is no window either."""
    assert refusal(said(**changes)) is Reason.MALFORMED


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"generation": -1, "resume": [0, 1]},
        {"generation": 1 << 62, "resume": [0, 1]},
        {"generation": 1, "resume": [0, 0]},
        {"generation": 1, "resume": [-1, 1]},
        {"generation": 1, "resume": [0]},
        {"generation": 1, "resume": [0, 1 << 62]},
        {"generation": "1", "resume": [0, 1]},
    ],
)
def test_message_3_without_a_sound_generation_and_resume_is_refused(changes):
    """Numbers that would leave no room to count on are not numbers of this wire."""
    assert refusal(said(**changes), at_the_end=True) is Reason.MALFORMED


@pytest.mark.parametrize(
    "changes",
    [
        {"versions": []},
        {"versions": [2, "1"]},
        {"versions": [True, 1.0]},
        {"suites": []},
        {"suites": ["AESGCM", 5]},
    ],
)
def test_without_a_common_version_or_suite_there_is_no_session(changes):
    """Every node speaks version 1 and offers ChaCha20-Poly1305."""
    assert refusal(said(**changes)) is Reason.VERSION


@pytest.mark.parametrize(
    ("ours", "theirs", "suite"),
    [
        (("AESGCM", "ChaChaPoly"), ("ChaChaPoly", "AESGCM"), "AESGCM"),
        (("AESGCM", "ChaChaPoly"), ("ChaChaPoly",), "ChaChaPoly"),
        (("ChaChaPoly",), ("AESGCM", "ChaChaPoly"), "ChaChaPoly"),
    ],
)
def test_both_sides_compute_one_suite(ours, theirs, suite):
    """AES-256-GCM where both offer it, whatever the order."""
    ours, theirs = Settings(b"i" * 16, suites=ours), Settings(b"j" * 16, suites=theirs)
    for one, other in ((ours, theirs), (theirs, ours)):
        read = terms.read(PEER, terms.ours(other), at_the_end=False)
        assert terms.suite(one, read) == suite


@pytest.mark.parametrize(
    ("value", "reason"),
    [("revoked", Reason.REVOKED), ("of a later version", Reason.CLOSED), (5, Reason.CLOSED)],
)
def test_a_reason_nobody_knows_is_just_the_end(value, reason):
    """A later version may have more of them."""
    assert terms.reason_of(value) is reason
