"""Routes: our own connection first, else the latest return path; a path has to prove itself."""

from mesh.constants import REPEAT_AFTER_SECONDS
from mesh.engine.routes import RoutesOfPeer
from mesh.limits import ROUTES_PER_PEER
from mesh.model import Route

DIALLED, OTHER_DIALLED = Route(dialled=1), Route(dialled=2)
BACK, OTHER_BACK = Route(routing_id=b"a"), Route(routing_id=b"b")


def test_our_own_connection_is_preferred_while_it_lives():
    """Then the return path that was verified last; then nothing."""
    routes = RoutesOfPeer(lambda _: None)
    assert routes.verify(BACK)
    assert routes.verify(DIALLED)
    assert not routes.verify(OTHER_BACK)
    assert (routes.best, len(routes)) == (DIALLED, 3)
    assert set(routes) == {BACK, DIALLED, OTHER_BACK}
    assert routes.verify(OTHER_DIALLED)
    assert routes.remove(OTHER_DIALLED)
    assert routes.remove(DIALLED)
    assert routes.best == OTHER_BACK
    assert not routes.remove(BACK)
    assert routes.remove(OTHER_BACK)
    assert routes.best is None


def test_only_a_few_return_paths_are_remembered():
    """A peer that comes by path after path costs no memory."""
    routes = RoutesOfPeer(lambda _: None)
    paths = [Route(routing_id=bytes([n])) for n in range(ROUTES_PER_PEER + 1)]
    for path in paths:
        routes.verify(path)
    assert len(routes) == ROUTES_PER_PEER
    assert paths[0] not in routes
    assert routes.best == paths[-1]


def test_a_challenge_is_answered_by_its_own_token_on_its_own_path():
    """Another token, another path, or no challenge at all: no answer."""
    routes = RoutesOfPeer(lambda _: None)
    assert routes.challenge(BACK, 5, 0.0) == 5
    assert routes.challenge(DIALLED, 6, 0.0) == 6
    assert (routes.token(BACK), routes.token(OTHER_BACK)) == (5, None)
    assert routes.answers(BACK, 5)
    assert not routes.answers(BACK, 6)
    assert not routes.answers(OTHER_BACK, 5)
    assert not routes.answers(OTHER_BACK, None)
    routes.verify(BACK)
    assert not routes.answers(BACK, 5)


def test_a_challenge_that_may_be_lost_is_repeated_with_its_token():
    """Not while the answer may be under way; then the same token, so that either answer counts."""
    routes = RoutesOfPeer(lambda _: None)
    assert routes.challenge(BACK, 5, 0.0) == 5
    assert routes.challenge(BACK, 6, REPEAT_AFTER_SECONDS / 2) is None
    assert routes.challenge(BACK, 7, REPEAT_AFTER_SECONDS) == 5


def test_only_a_few_challenges_are_under_way():
    """Copies of frames by path after path cost no memory."""
    routes = RoutesOfPeer(lambda _: None)
    paths = [Route(routing_id=bytes([n])) for n in range(ROUTES_PER_PEER + 1)]
    for token, path in enumerate(paths):
        routes.challenge(path, token, 0.0)
    assert [routes.answers(path, token) for token, path in enumerate(paths)] == [False] + [
        True
    ] * ROUTES_PER_PEER


def test_all_paths_can_be_forgotten():
    """A new instance of the peer is elsewhere."""
    routes = RoutesOfPeer(lambda _: None)
    routes.verify(BACK)
    routes.challenge(DIALLED, 5, 0.0)
    routes.clear()
    assert (routes.best, len(routes), routes.answers(DIALLED, 5)) == (None, 0, False)


def test_the_first_way_and_the_end_of_the_last_one_are_told():
    """Ways in between are nobody's business; forgetting all at once is not told either."""
    told = []
    routes = RoutesOfPeer(told.append)
    routes.remove(BACK)
    for way in (BACK, OTHER_BACK, DIALLED):
        routes.verify(way)
    routes.remove(DIALLED)
    assert told == [True]
    routes.remove(BACK)
    routes.remove(OTHER_BACK)
    assert told == [True, False]
    routes.verify(DIALLED)
    routes.clear()
    assert told == [True, False, True]
    routes.verify(BACK)
    assert told == [True, False, True, True]
