"""A leak is found, wherever it lies, and random bytes are none."""

import os

import pytest

from mesh.cli.demo.scan import WINDOW_BYTES, Findings, scan, windows

TEXT = b"It was a dark and stormy night; the rain fell in torrents, except at intervals."
MARKER = b"m4rk3r"


@pytest.mark.parametrize("offset", [0, 1, 7, 500, 1000])
def test_a_verbatim_piece_is_found_at_any_offset(offset):
    """A part of the text twice as long as a window less one is found wherever it was cut out."""
    noise = bytearray(os.urandom(1000))
    for start in (0, 5, 11):
        noise[offset:offset] = TEXT[start : start + 2 * WINDOW_BYTES - 1]
        assert scan(noise, MARKER, windows([TEXT])).pieces >= 1


def test_the_marker_is_found():
    """A capture that holds the marker is not without findings."""
    found = scan(b"??" + MARKER + b"??", MARKER, frozenset())
    assert found == Findings(10, 1, 0)
    assert not found.nothing


def test_sealed_bytes_show_nothing():
    """Random bytes of any length hold neither marker nor pieces."""
    for size in (0, 23, 24, 100_000):
        assert scan(os.urandom(size), b"a marker of 32 characters, words", windows([TEXT])).nothing


def test_pieces_are_laid_end_to_end():
    """Each piece gives its whole windows; a rest too short to be sure of gives none."""
    assert windows([TEXT[:WINDOW_BYTES], b"short"]) == {TEXT[:WINDOW_BYTES]}
    assert len(windows([TEXT])) == len(TEXT) // WINDOW_BYTES


def test_zeros_are_not_looked_for():
    """The clear head of a protocol is full of zeros, and no leak."""
    assert windows([bytes(100)]) == frozenset()


def test_findings_add_up():
    """Two directions together are one finding, told in one line."""
    both = Findings(10, 1, 0) + Findings(5, 0, 2)
    assert both == Findings(15, 1, 2)
    assert str(both) == "in 15 bytes the marker 1 times, 2 verbatim pieces of 24 bytes"
