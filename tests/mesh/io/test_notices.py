"""What a caller is told of a connection."""

import pytest

from mesh.io.notices import Change, Connected, Lost, Retrying, Watch
from mesh.model import Route

GREETED, GREETING_FAILED, DISCONNECTED, RETRIED = (
    Change.GREETED,
    Change.GREETING_FAILED,
    Change.DISCONNECTED,
    Change.RETRIED,
)
ROUTE = Route(dialled=3)
NOBODY = "nobody accepts connections there"
UNFINISHED = "what accepts connections there does not finish ZeroMQ's greeting"
FOREIGN = "what answers there does not speak ZeroMQ"
CUT = "the connection broke, or the other side closed it"


@pytest.mark.parametrize(
    ("changes", "notices"),
    [
        ([GREETED], [Connected(ROUTE)]),
        ([RETRIED, RETRIED], [Retrying(ROUTE, NOBODY, 7), Retrying(ROUTE, NOBODY, 7)]),
        ([RETRIED, GREETED], [Retrying(ROUTE, NOBODY, 7), Connected(ROUTE)]),
        ([GREETING_FAILED, DISCONNECTED, RETRIED], [Retrying(ROUTE, UNFINISHED, 7)]),
        (
            [GREETING_FAILED, DISCONNECTED, RETRIED, RETRIED],
            [Retrying(ROUTE, UNFINISHED, 7), Retrying(ROUTE, NOBODY, 7)],
        ),
        (
            [GREETING_FAILED, DISCONNECTED, RETRIED, DISCONNECTED],
            [Retrying(ROUTE, UNFINISHED, 7), Lost(ROUTE, FOREIGN)],
        ),
        ([DISCONNECTED], [Lost(ROUTE, FOREIGN)]),
        ([GREETED, DISCONNECTED], [Connected(ROUTE), Lost(ROUTE, CUT)]),
        (
            [GREETED, DISCONNECTED, RETRIED, GREETED, DISCONNECTED],
            [Connected(ROUTE), Lost(ROUTE, CUT)],
        ),
    ],
)
def test_changes_become_notices(changes, notices):
    """A connection is told of in order, with its reason, and not at all once it is lost."""
    watch = Watch(ROUTE)
    assert [notice for change in changes if (notice := watch.see(change, 7))] == notices
    assert watch.lost == any(isinstance(notice, Lost) for notice in notices)
