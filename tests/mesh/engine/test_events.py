"""Events: what an end is called."""

import pytest

from handshake.constants import Reason
from handshake.identity import Identity
from mesh.engine.events import PeerClosed

PEER = Identity(bytes([1]) * 32).id


@pytest.mark.parametrize(
    ("reason", "by_us", "text"),
    [
        (Reason.CLOSED, False, "the peer has closed"),
        (Reason.CLOSED, True, "closed here"),
        (Reason.REVOKED, False, "the peer has closed: revoked"),
        (Reason.CLOCK, True, "closed here: clock"),
    ],
)
def test_an_end_says_who_has_closed_and_why(reason, by_us, text):
    """A reason that says no more than "closed" is left out."""
    assert PeerClosed(PEER, reason, by_us).text == text
