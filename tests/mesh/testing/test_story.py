"""The picture of a world, and its hash."""

from mesh.model import Origin, Route
from mesh.testing.story import Story
from mesh.testing.tape import Tape
from mesh.testing.wire import Flight

FRAME = b"\x01\x01rest"
NAMES = ("ann", "bob", "cid")


class Named:
    """A station that does nothing."""

    def __init__(self, name):
        self.name = name


ANN, BOB = Named("ann"), Named("bob")


def flight(note="", lost=False):
    made = Flight(FRAME, Origin(Route(dialled=1), "somewhere"), BOB, False, note)
    made.lost = lost
    return made


def story(draws=True):
    return Story(lambda: 1.5, Tape(), draws=draws)


def test_a_frame_is_an_arrow_from_lane_to_lane():
    """With the moment, what it is, and in either direction."""
    told = story()
    told.on_frame(ANN, "bob", FRAME, [flight()], "")
    told.on_frame(BOB, "ann", FRAME, [flight()], "")
    told.on_frame(ANN, "cid", FRAME, [flight()], "")
    head, *lines = told.picture(NAMES)
    assert head.split() == ["seconds", *NAMES]
    assert lines[0].endswith("  message 1")
    assert "o---------->|           |" in lines[0]
    assert "|<----------o           |" in lines[1]
    assert "o---------------------->|" in lines[2], lines[2]
    assert all(line.startswith("    1.5000") for line in lines)


def test_what_became_of_a_frame_is_told():
    """Lost, refused, repeated, late, or dead with its connection: that is known only later."""
    told = story()
    dying = flight()
    told.on_frame(ANN, "bob", FRAME, [], "")
    told.on_frame(ANN, "", FRAME, [], "refused")
    told.on_frame(ANN, "bob", FRAME, [flight(), flight("corrupt")], "")
    told.on_frame(BOB, "ann", FRAME, [dying], "")
    dying.lost, dying.fate = True, "died with its connection"
    lost, refused, repeated, dead = told.picture(NAMES)[1:]
    assert "o----------x|" in lost
    assert lost.endswith("[lost]")
    assert "o-x" in refused
    assert refused.endswith("[refused]")
    assert repeated.endswith("[repeated]  [corrupt]")
    assert "|x----------o" in dead
    assert dead.endswith("[died with its connection]")


def test_words_stand_between_the_arrows():
    """All lanes pass by; only the last lines are shown if that is wished."""
    told = story()
    told.on_frame(ANN, "bob", FRAME, [flight()], "")
    told.tell("bob crashes")
    assert told.picture(NAMES)[-1].endswith("|           |           |       * bob crashes")
    assert len(told.picture(NAMES)) == 3
    assert len(told.picture(NAMES, last=1)) == 2


def test_the_trace_depends_on_everything_and_costs_no_picture():
    """Drawn or not it is the same; another frame, fate or word makes another."""

    def trace(frame=FRAME, note="", word="", draws=False):
        told = story(draws)
        told.on_frame(ANN, "bob", frame, [], note)
        told.tell(word)
        assert told.frames == 1
        assert len(told.picture(NAMES)) == (3 if draws else 1)
        return told.trace

    assert trace() == trace(draws=True)
    assert len({trace(), trace(b"\x01\x02"), trace(note="refused"), trace(word="x")}) == 4
