"""A dialled connection: handshakes until one succeeds, more and more slowly."""

from math import inf
from types import SimpleNamespace

import pytest

from mesh.engine.agenda import Agenda
from mesh.engine.dial import Dial
from mesh.model import Route

ROUTE = Route(dialled=1)


class Owner:
    """Counts the handshakes that are begun; `willing`: whether one may be."""

    def __init__(self):
        self.context = SimpleNamespace(agenda=Agenda())
        self.begun = []
        self.willing = True

    def begin(self, route, pin):
        self.begun.append((route, pin))
        return self.willing


@pytest.fixture
def owner():
    return Owner()


def test_a_handshake_begins_when_it_is_due(owner):
    """With the pin that was asked for, and once."""
    dial = Dial(owner, ROUTE, "pin")
    dial.begin_at(5.0)
    owner.context.agenda.advance(4.9)
    assert owner.begun == []
    owner.context.agenda.advance(5.0)
    owner.context.agenda.advance(100.0)
    assert owner.begun == [(ROUTE, "pin")]


def test_when_it_may_not_begin_it_waits(owner):
    """Another exchange with that peer is under way: half a second later again."""
    owner.willing = False
    dial = Dial(owner, ROUTE, None)
    dial.begin_at(5.0)
    assert dial.advance(5.0) == 5.5
    owner.willing = True
    assert dial.advance(5.5) == inf
    assert len(owner.begun) == 2


def test_failures_are_followed_by_longer_and_longer_pauses(owner):
    """Half a second, doubling to five seconds, however long each attempt took."""
    dial = Dial(owner, ROUTE, None)
    now, pauses = 0.0, []
    for _ in range(6):
        dial.on_failed(now)
        following = owner.context.agenda.next_at
        pauses.append(following - now)
        owner.context.agenda.advance(following)
        now = following + 5.0
    assert pauses == pytest.approx([0.5, 1.0, 2.0, 4.0, 5.0, 5.0])


def test_a_stopped_dial_does_nothing(owner):
    """The route is authenticated, refused or gone."""
    dial = Dial(owner, ROUTE, None)
    dial.begin_at(5.0)
    dial.stop()
    owner.context.agenda.advance(10.0)
    assert owner.begun == []
