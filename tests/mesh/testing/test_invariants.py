"""Each limit and duty bites, and leaves alone what keeps it."""

from types import SimpleNamespace

import pytest

from mesh.constants import DEPTH_MAX, LARGE_CLASSES, UNFINISHED_BATCHES
from mesh.engine import events
from mesh.model import Origin, Route
from mesh.testing.clock import Violation
from mesh.testing.invariants import (
    MOST_SESSIONS,
    Duties,
    Genuine,
    Limits,
    check_event,
)
from mesh.wire import messages

LIMITS = Limits(frames_change=False)


def grow(thing, count):
    """Fill a dictionary or list with entries that nobody looks at."""
    if isinstance(thing, list):
        thing.extend([(0.0, 0, None)] * count)
    else:
        thing.update({-number: SimpleNamespace(state=None) for number in range(1, count + 1)})


@pytest.mark.parametrize(
    ("where", "most", "rule"),
    [
        (lambda p, a: p.engine._handshaking.half_opens.responding, 128, "answering"),
        (lambda p, a: p.engine._handshaking.half_opens.initiating, 8, "begun"),
        (lambda p, a: p.engine._context.agenda._heap, 4000, "agenda"),
        (lambda p, a: a.routes._verified, 8, "routes"),
        (lambda p, a: a.routes._challenges, 8, "challenges"),
        (lambda p, a: a._candidates, 5, "may begin"),
        (lambda p, a: a.delivery.outgoing.unacknowledged, 256, "unacknowledged"),
        (lambda p, a: a.delivery.outgoing.credit.unhandled, UNFINISHED_BATCHES, "unhandled"),
        (lambda p, a: a.delivery.incoming.held, 256, "held"),
        (lambda p, a: a.delivery.incoming._unfinished, UNFINISHED_BATCHES, "unfinished"),
        (lambda p, a: a.delivery.outgoing.lanes.under_way, 24, "large messages"),
    ],
)
def test_memory_is_bounded(met, where, most, rule):
    """One more than the limit is found, wherever it is kept."""
    process, association = met.process("ann"), met.association("ann", "bob")
    LIMITS.check(process)
    grow(where(process, association), most + 1)
    with pytest.raises(Violation, match=rule):
        LIMITS.check(process)


def test_bytes_and_credit_are_bounded(met):
    """What is kept for a peer, and what may be sent to it."""
    process, outgoing = met.process("ann"), met.association("ann", "bob").delivery.outgoing
    outgoing._unacknowledged_bytes = 10_000_000
    with pytest.raises(Violation, match="bytes kept"):
        LIMITS.check(process)
    outgoing._unacknowledged_bytes = 0
    for depth in range(DEPTH_MAX + 1):
        outgoing.credit._used[depth] += 10_000_000
        with pytest.raises(Violation, match=f"overdrew .* at depth {depth}"):
            LIMITS.check(process)
        outgoing.credit._used[depth] -= 10_000_000
    LIMITS.check(process)


def test_room_for_large_messages_is_bounded(met):
    """One of each class may be promised, and not a byte more."""
    process, incoming = met.process("ann"), met.association("ann", "bob").delivery.incoming
    most = LARGE_CLASSES * process.settings.max_message_bytes
    incoming.assembly._granted_bytes = most
    LIMITS.check(process)
    incoming.assembly._granted_bytes += 1
    with pytest.raises(Violation, match="promised"):
        LIMITS.check(process)


def test_sessions_are_few_and_known(met):
    """Unconfirmed ones, all together, and each by its id."""
    process, association = met.process("ann"), met.association("ann", "bob")
    sessions = association.sessions.by_id
    session = next(iter(sessions.values()))
    grow(sessions, 3)
    with pytest.raises(Violation, match="known by id"):
        LIMITS.check(process)
    grow(sessions, MOST_SESSIONS)
    with pytest.raises(Violation, match="sessions of a peer"):
        LIMITS.check(process)
    unconfirmed = SimpleNamespace(state=type(session.state).UNCONFIRMED)
    sessions.update({-number: unconfirmed for number in range(1, 7)})
    with pytest.raises(Violation, match="unconfirmed sessions"):
        LIMITS.check(process)


def test_some_things_are_never_counted_and_some_only_where_frames_change(met):
    """An honest peer overdraws no credit; a good network forges nothing."""
    process = met.process("ann")
    process.engine.counters["dropped.forged"] += 1
    Limits(frames_change=True).check(process)
    with pytest.raises(Violation, match=r"dropped\.forged"):
        LIMITS.check(process)
    process.engine.counters["dropped.over_credit"] += 1
    with pytest.raises(Violation, match="over_credit"):
        Limits(frames_change=True).check(process)


def test_a_genuine_frame_is_no_repeat(met):
    """The first copy that comes whole; later ones, changed ones and strangers' may be."""
    world, bob = met.world, met.process("bob")
    sent = []
    watch = world.wire.watch
    world.wire.watch = lambda *what: sent.append(what[2]) or watch(*what)
    met.office("ann", "bob").tell("log", 1)
    met.process("ann").pump()
    frame = sent[0]
    genuine = Genuine(world.tape)
    genuine.check(bob, frame, intact=False, repeats=1)
    genuine.check(bob, b"strange" * 5, intact=True, repeats=1)
    with pytest.raises(Violation, match="took for a repeat"):
        genuine.check(bob, frame, intact=True, repeats=1)
    genuine.check(bob, frame, intact=True, repeats=1)
    waiting = Genuine(world.tape)
    session = met.association("bob", "ann").sessions.current
    session.awaits_welcome = True
    waiting.check(bob, frame, intact=True, repeats=1)
    ended = Genuine(world.tape)
    met.association("bob", "ann").end_all_sessions()
    ended.check(bob, frame, intact=True, repeats=1)
    Genuine(world.tape).check(bob, frame, intact=True, repeats=0)


def starve(association):
    association.delivery.outgoing.starved = True


def leave_a_gap(association):
    incoming = association.delivery.incoming
    incoming.held[incoming.next + 1] = None


@pytest.mark.parametrize(
    ("fault", "kind", "rule"),
    [(starve, messages.PROBE, "starved"), (leave_a_gap, messages.GAP, "gap")],
)
def test_who_does_not_ask_is_found(met, fault, kind, rule):
    """After a while, unless he has asked, is frozen, has no way, or does not need to any more."""
    process, association = met.process("ann"), met.association("ann", "bob")

    def watch(duties, *, sent=None):
        for quarter in range(40):
            now = quarter / 4
            if sent is not None and quarter % 8 == 1:
                duties.sent(process, sent, kind, now)
            duties.check(process, association, "bob", now)

    watch(Duties())
    fault(association)
    with pytest.raises(Violation, match=rule):
        watch(Duties())
    watch(Duties(), sent="bob")
    watch(Duties(), sent="")
    process.freeze()
    watch(Duties())
    process.frozen = False
    best, association.routes.best = association.routes.best, None
    watch(Duties())
    association.routes.best = best
    duties = Duties()
    duties.sent(process, "bob", messages.PING, 0.0)
    association.end_delivery("over")
    watch(duties)


def test_the_newest_run_is_superseded_by_nobody(met):
    """Older ones may be told; other events are nobody's fault."""
    ann, bob = met.process("ann"), met.process("bob")
    event = events.Superseded(bob.id)
    check_event(ann, event, newest=bob)
    check_event(ann, events.RouteWanted(bob.id), newest=ann)
    with pytest.raises(Violation, match="is the newest"):
        check_event(ann, event, newest=ann)


def test_a_stranger_breaks_nothing(met):
    """Junk is counted where frames may change."""
    ann = met.process("ann")
    ann.engine.receive(b"junk", Origin(Route(routing_id=b"x"), "somewhere"), ann.now())
    with pytest.raises(Violation, match="malformed"):
        LIMITS.check(ann)
