"""The agenda: who is due is asked once, and nobody can make it spin."""

from math import inf

from mesh.engine.agenda import Agenda


class Owner:
    """Somebody with deadlines: each call of `advance` gives the next of a list."""

    def __init__(self, *following, ask=lambda _now: None):
        self.scheduled = inf
        self.asked = []
        self.following = list(following)
        self.ask = ask

    def advance(self, now):
        self.asked.append(now)
        self.ask(now)
        return self.following.pop(0) if self.following else inf


def test_an_owner_is_asked_when_it_is_due():
    """Not before its deadline, and again at the one it gives."""
    agenda, owner = Agenda(), Owner(9.0)
    assert agenda.next_at == inf
    agenda.at(5.0, owner)
    assert agenda.next_at == 5.0
    agenda.advance(4.9)
    assert owner.asked == []
    agenda.advance(5.0)
    assert (owner.asked, agenda.next_at) == ([5.0], 9.0)
    agenda.advance(10.0)
    assert (owner.asked, agenda.next_at) == ([5.0, 10.0], inf)


def test_a_later_wish_changes_nothing_and_an_earlier_one_counts():
    """The earliest deadline wins; entries left behind ask nobody."""
    agenda, owner = Agenda(), Owner()
    agenda.at(5.0, owner)
    agenda.at(7.0, owner)
    agenda.at(3.0, owner)
    assert agenda.next_at == 3.0
    agenda.advance(20.0)
    assert owner.asked == [20.0]


def test_owners_are_asked_in_the_order_of_their_deadlines():
    """Whoever is due first comes first; of two at one moment, who said so first."""
    agenda, order = Agenda(), []
    owners = [Owner(ask=lambda _now, n=n: order.append(n)) for n in range(3)]
    for number, when in ((0, 2.0), (1, 1.0), (2, 2.0)):
        agenda.at(when, owners[number])
    agenda.advance(3.0)
    assert order == [1, 0, 2]


def test_an_owner_that_stays_due_is_asked_once_at_one_moment():
    """A deadline in the past, given back or asked for, comes soon and never in a loop."""
    agenda = Agenda()
    owner = Owner(-1.0, ask=lambda now: agenda.at(now, owner))
    other = Owner(ask=lambda now: agenda.at(now - 1, owner))
    agenda.at(5.0, owner)
    agenda.at(5.0, other)
    agenda.advance(5.0)
    assert owner.asked == [5.0]
    assert 5.0 < agenda.next_at <= 5.01
    agenda.at(1.0, other)
    assert agenda.next_at == 1.0, "outside of `advance` now is now"
