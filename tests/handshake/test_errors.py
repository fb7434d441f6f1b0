"""Errors say whose fault they are, and a refusal explains itself."""

import inspect

import pytest

from handshake import errors
from handshake.constants import Reason
from handshake.errors import HandshakeError, Refused

CLASSES = [
    value
    for _, value in inspect.getmembers(errors, inspect.isclass)
    if issubclass(value, HandshakeError)
]


@pytest.mark.parametrize("kind", CLASSES)
def test_every_error_has_one_root_and_names_a_fault(kind):
    """Whoever catches the root catches all, and can ask each whose fault it is."""
    assert issubclass(kind, HandshakeError)
    assert kind.fault in {"caller", "peer", "ours"}
    assert kind.__doc__


@pytest.mark.parametrize("kind", CLASSES)
def test_the_tree_in_the_docstring_is_the_tree(kind):
    """The module's drawing names each error, with its fault beside it."""
    line = next(
        line for line in (errors.__doc__ or "").splitlines() if f"{kind.__name__} " in f"{line} "
    )
    assert kind is HandshakeError or f" {kind.fault} " in line


def test_a_refusal_says_its_reason_and_detail_to_us():
    """The text for our log holds both; without a detail it is the reason alone."""
    refusal = Refused(Reason.CLOCK, None, "begins later")
    assert (refusal.reason, refusal.peer_id, refusal.detail) == (Reason.CLOCK, None, "begins later")
    assert str(refusal) == "clock: begins later"
    assert str(Refused(Reason.BUSY)) == "busy"
    assert Refused(Reason.BUSY).established is None
