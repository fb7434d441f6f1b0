"""Terms: what both sides say, checked before it is believed."""

import pytest

from handshake.constants import Reason
from handshake.errors import Refused
from handshake.identity import Identity
from mesh.engine import terms
from mesh.engine.resume import Resume
from mesh.engine.settings import Settings
from said_terms import changed

PEER = Identity(b"p" * 32).id
SETTINGS = Settings(instance=b"i" * 16, suites=("AESGCM", "ChaChaPoly"))


def said(**changes):
    return changed(terms.ours(SETTINGS, 7, Resume(2, 9)), **changes)


def refusal(said, at_the_end=False):
    with pytest.raises(Refused) as refused:
        terms.read(PEER, said, at_the_end=at_the_end)
    assert refused.value.peer_id == PEER
    return refused.value.reason


def test_our_own_terms_are_understood():
    """What one side says the other reads; of what follows it takes no notice."""
    read = terms.read(PEER, terms.ours(SETTINGS) + b"of a later version", at_the_end=False)
    assert read.instance == SETTINGS.instance
    assert set(read.suites) == set(SETTINGS.suites)
    assert read.limits == (SETTINGS.window_bytes, SETTINGS.max_message_bytes)
    assert (read.generation, read.resume) == (0, Resume(0, 1))


def test_message_3_adds_generation_and_resume():
    """By then the initiator knows whom it speaks to; in message 2 they mean nothing."""
    read = terms.read(PEER, said(), at_the_end=True)
    assert (read.generation, read.resume) == (7, Resume(2, 9))
    read = terms.read(PEER, said(generation=1 << 63, epoch=1 << 63, next=0), at_the_end=False)
    assert (read.generation, read.resume) == (0, Resume(0, 1))


def test_a_suite_that_is_named_twice_is_offered_once():
    """Two of one are not the next one."""
    settings = Settings(instance=b"i" * 16, suites=("ChaChaPoly", "ChaChaPoly"))
    assert terms.read(PEER, terms.ours(settings), at_the_end=False).suites == ("ChaChaPoly",)


@pytest.mark.parametrize("length", range(59))
@pytest.mark.parametrize("at_the_end", [False, True])
def test_terms_that_end_early_are_refused(length, at_the_end):
    """At every length, and whatever the message."""
    assert refusal(said()[:length], at_the_end) is Reason.MALFORMED


@pytest.mark.parametrize("window", [0, 65_535, 1 << 62, (1 << 64) - 1])
def test_a_window_that_is_none_is_refused(window):
    """One too small for a frame, and one that leaves no room to count on."""
    assert refusal(said(window=window)) is Reason.MALFORMED


def test_the_edges_of_a_window_are_windows():
    """And any number is a largest message."""
    for window in (65_536, (1 << 62) - 1):
        for message in (0, (1 << 64) - 1):
            read = terms.read(PEER, said(window=window, message=message), at_the_end=False)
            assert read.limits == (window, message)


@pytest.mark.parametrize(
    "changes",
    [
        {"generation": 1 << 62},
        {"generation": (1 << 64) - 1},
        {"epoch": 1 << 62},
        {"next": 0},
        {"next": 1 << 62},
    ],
)
def test_message_3_without_a_sound_generation_and_resume_is_refused(changes):
    """Numbers that would leave no room to count on are not numbers of this wire."""
    assert refusal(said(**changes), at_the_end=True) is Reason.MALFORMED
    edge = (1 << 62) - 1
    read = terms.read(PEER, said(generation=edge, epoch=edge, next=edge), at_the_end=True)
    assert (read.generation, read.resume) == (edge, Resume(edge, edge))


@pytest.mark.parametrize(
    "changes",
    [
        {"oldest": 0, "newest": 0},
        {"oldest": 2, "newest": 3},
        {"oldest": 2, "newest": 0},
        {"suites": 0},
        {"suites": 2},
        {"suites": 0xFE},
    ],
)
def test_without_a_common_version_or_suite_there_is_no_session(changes):
    """Every node speaks version 1 and offers ChaCha20-Poly1305."""
    assert refusal(said(**changes)) is Reason.VERSION


def test_what_another_version_means_is_not_judged():
    """Its window may stand elsewhere: the reason is its version, which is in its place."""
    assert refusal(said(oldest=2, newest=9, window=0, next=0), True) is Reason.VERSION


def test_versions_and_suites_of_others_do_no_harm():
    """What a later version speaks beside ours is left alone."""
    read = terms.read(PEER, said(oldest=0, newest=255, suites=0xFF), at_the_end=False)
    assert set(read.suites) == {"ChaChaPoly", "AESGCM"}


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
