"""A network with ROUTER's and DEALER's habits."""

from random import Random

import pytest

from mesh.model import Route
from mesh.testing.clock import Timeline
from mesh.testing.wire import HIGH_WATER_FRAMES, Wire


class Station:
    """Remembers what it hears."""

    def __init__(self, name):
        self.name = name
        self.alive = True
        self.frozen = False
        self.heard = []
        self.news = []

    def arrive(self, frame, origin, intact):
        self.heard.append((frame, origin.route, intact))

    def connected(self, route):
        self.news.append(("connected", route))

    def lost(self, route):
        self.news.append(("lost", route))

    @property
    def frames(self):
        return [frame for frame, _, _ in self.heard]


class Lan:
    """Ann, who has dialled bob."""

    def __init__(self, seed=1):
        self.timeline = Timeline()
        self.wire = Wire(self.timeline, Random(seed))
        self.notes = []
        self.wire.watch = lambda _s, to, frame, flights, note: self.notes.append(note)
        self.ann, self.bob = Station("ann"), Station("bob")
        self.wire.listen(self.ann)
        self.wire.listen(self.bob)
        self.route = self.wire.dial(self.ann, "bob")
        self.run(1)

    @property
    def link(self):
        return self.wire.links[0]

    def run(self, seconds):
        end = self.timeline.now + seconds
        while self.timeline.next() <= end:
            self.timeline.now = self.timeline.next()
            self.timeline.pop()()
        self.timeline.now = end

    def say(self, *texts, back=None):
        station, route = (self.bob, back) if back else (self.ann, self.route)
        return [self.wire.send(station, route, text) for text in texts]


@pytest.fixture
def lan():
    return Lan()


def test_a_connection_carries_frames_both_ways_in_order(lan):
    """The dialler is told that it stands; the other side knows a return path."""
    assert lan.ann.news == [("connected", lan.route)]
    lan.wire.weather("ann", "bob").jitter = 0.5
    assert lan.say(b"1", b"2", b"3") == [True] * 3
    lan.run(1)
    assert lan.bob.frames == [b"1", b"2", b"3"]
    back = lan.bob.heard[0][1]
    assert back.routing_id
    assert lan.say(b"4", back=back) == [True]
    lan.run(1)
    assert lan.ann.heard == [(b"4", lan.route, True)]


def test_dialling_goes_on_until_somebody_listens(lan):
    """Nobody there, dead, frozen or out of reach: it is tried again; what is sent waits."""
    route = lan.wire.dial(lan.ann, "cid")
    assert lan.wire.send(lan.ann, route, b"early")
    lan.run(1)
    cid = Station("cid")
    cid.frozen = True
    lan.wire.listen(cid)
    lan.run(5)
    cid.frozen = False
    lan.wire.close("cid", "ann")
    lan.run(5)
    assert lan.ann.news == [("connected", lan.route)]
    lan.wire.weather("cid", "ann").closed = False
    lan.run(6)
    assert lan.ann.news[1:] == [("connected", route)]
    assert cid.frames == [b"early"]


def test_who_hangs_up_is_told_nothing_more(lan):
    """Neither that it stands nor that it is lost; and the other side is refused."""
    lan.say(b"1")
    lan.run(1)
    back = lan.bob.heard[0][1]
    soon = lan.wire.dial(lan.ann, "bob")
    lan.wire.send(lan.bob, back, b"too late")
    lan.wire.hang_up(lan.ann, soon)
    lan.wire.hang_up(lan.ann, lan.route)
    lan.wire.hang_up(lan.ann, lan.route)
    lan.run(10)
    assert lan.ann.news == [("connected", lan.route)]
    assert lan.ann.heard == []
    assert lan.say(b"2", back=back) == [False]
    assert lan.say(b"2") == [False]
    assert lan.wire.standing() == []


def test_a_cut_keeps_the_first_frames_and_goes_on_under_a_new_routing_id(lan):
    """Until the dialler is told; what it sent meanwhile waited."""
    lan.say(b"1", b"2", b"3")
    back = lan.link.back
    lan.wire.cut(lan.link, told_after=5.0, keeps=1)
    lan.say(b"4")
    lan.wire.cut(lan.link, told_after=5.0, keeps=1)
    lan.run(1)
    assert lan.bob.frames == [b"1", b"4"]
    assert [route == back for _, route, _ in lan.bob.heard] == [True, False]
    assert lan.say(b"x", back=back) == [False]
    lan.run(5)
    assert lan.ann.news[1:] == [("lost", lan.route)]


def test_nobody_may_ever_be_told_and_the_other_side_may_not_notice(lan):
    """Then the connection just goes on, and what bob sends is swallowed for a while."""
    lan.say(b"1")
    lan.run(1)
    back = lan.bob.heard[0][1]
    lan.wire.cut(lan.link, told_after=None, keeps=0, notices_after=2.0)
    assert lan.say(b"x", back=back) == [True]
    lan.run(3)
    assert lan.say(b"x", back=back) == [False]
    lan.run(20)
    assert lan.ann.news == [("connected", lan.route)]
    assert lan.ann.heard == []


def test_what_a_cut_connection_carried_may_be_held_by_somebody(lan):
    """It arrives long after."""
    lan.say(b"1")
    lan.wire.cut(lan.link, told_after=0.0, keeps=1, held=3.0)
    lan.run(2.9)
    assert lan.bob.frames == []
    lan.run(0.2)
    assert lan.bob.frames == [b"1"]


def test_after_a_reconnect_what_waited_may_be_reordered():
    """In some worlds it is, in others it is not."""
    orders = set()
    for seed in range(10):
        lan = Lan(seed)
        lan.wire.cut(lan.link, told_after=None, keeps=0)
        lan.say(b"1", b"2", b"3", b"4")
        lan.run(1)
        orders.add(tuple(lan.bob.frames))
    assert (b"1", b"2", b"3", b"4") in orders
    assert len(orders) > 1


def test_who_is_gone_has_no_connections(lan):
    """Those he dialled end at once, those who dialled him are told later."""
    other = lan.wire.dial(lan.bob, "ann")
    lan.run(1)
    lan.say(b"1")
    lan.bob.alive = False
    lan.wire.shut(lan.bob, told_after=lambda: 2.0, keeps=0, held=0.0)
    lan.run(1)
    assert lan.ann.news == [("connected", lan.route)]
    lan.run(2)
    assert lan.ann.news[1:] == [("lost", lan.route)]
    assert lan.bob.news == [("connected", other)]
    assert lan.bob.frames == []


def test_frames_for_the_dead_are_gone(lan):
    """What arrives after a death arrives nowhere, and the dead are told nothing."""
    lan.say(b"1")
    lan.bob.alive = False
    lan.run(1)
    assert lan.bob.frames == []
    lan.ann.alive = False
    lan.wire.cut(lan.link, told_after=1.0, keeps=0)
    lan.run(5)
    assert lan.ann.news == [("connected", lan.route)]


@pytest.mark.parametrize("what", ["closed", "frozen"])
def test_what_cannot_pass_waits_and_heartbeats_end_the_connection(lan, what):
    """Up to six seconds it is only late; then the connection is given up."""

    def stop():
        if what == "closed":
            lan.wire.close("ann", "bob")
        else:
            lan.bob.frozen = True
            lan.wire.froze(lan.bob)

    def go_on():
        lan.bob.frozen = False
        lan.wire.weather("ann", "bob").closed = False
        lan.wire.moves_again()

    stop()
    lan.say(b"1", b"2")
    lan.run(3)
    assert lan.bob.frames == []
    go_on()
    assert lan.bob.frames == [b"1", b"2"]
    lan.run(10)
    assert len(lan.ann.news) == 1
    stop()
    lan.say(b"3")
    lan.run(10)
    assert lan.ann.news[1:] == [("lost", lan.route)]
    go_on()
    lan.run(10)
    assert b"3" not in lan.bob.frames


def test_a_cut_settles_the_matter_of_heartbeats(lan):
    """Another connection is judged by its own."""
    lan.wire.close("ann", "bob")
    lan.run(1)
    lan.wire.cut(lan.link, told_after=None, keeps=0)
    lan.run(10)
    assert len(lan.ann.news) == 1


def test_more_than_the_high_water_mark_is_refused(lan):
    """As EAGAIN, while nothing moves."""
    lan.wire.close("ann", "bob")
    assert all(lan.say(*[b"x"] * HIGH_WATER_FRAMES))
    assert lan.say(b"x") == [False]
    assert lan.notes[-1] == "refused: full"


def test_a_thief_takes_everything(lan):
    """A return path that leads to him is never refused."""
    route = Route(routing_id=b"thief")
    assert lan.say(b"1", back=route) == [False]
    lan.wire.steal(lan.bob, route)
    assert lan.say(b"1", back=route) == [True]
    assert lan.notes == ["refused", "to a thief"]


def test_late_and_changed_frames_say_so(lan):
    """In what the story tells of them, and to whoever gets them."""
    weather = lan.wire.weather("ann", "bob")
    seen = []
    lan.wire.watch = lambda _s, _to, _frame, flights, _note: seen.extend(flights)
    weather.late = 1.0
    lan.say(b"1")
    weather.late, weather.corrupts = 0.0, 1.0
    lan.say(b"2")
    lan.run(3)
    assert [flight.fate[:7] for flight in seen] == ["late by", "corrupt"]
    assert [intact for _, _, intact in lan.bob.heard] == [False, True]
