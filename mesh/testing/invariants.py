"""What must be true of every process at every step, and what it must not leave undone.

Looks into engines where nothing public says how much they keep. Each check raises `Violation`.
"""

from collections import defaultdict
from math import inf

from mesh import constants
from mesh.delivery.delivery import Delivery
from mesh.engine import events
from mesh.engine.association import Association
from mesh.limits import (
    FRAME_BUDGET_BYTES,
    HALF_OPEN_PER_ADDRESS,
    ROUTES_PER_PEER,
    UNCONFIRMED_PER_PEER,
)
from mesh.session.states import State
from mesh.testing.clock import Violation
from mesh.testing.process import Process
from mesh.testing.tape import Tape
from mesh.wire import frames, messages

# Retired sessions live for two intervals, so few of them at a time, even while handshakes cross.
MOST_SESSIONS = 16
# An agenda has an entry for each thing with deadlines, and some that are out of date.
_MOST_AGENDA_ENTRIES = 4000
# Exchanges that a few nodes can have begun and answered in five seconds.
_DEPTHS = range(constants.DEPTH_MAX + 1)
_MOST_HALF_OPEN = HALF_OPEN_PER_ADDRESS * 8
_MOST_BEGUN = 8

# What no honest peer makes another one count, whatever the network does.
_NEVER_COUNTED = (
    "dropped.over_credit",
    "dropped.too_early",
    "ignored.unknown_kind",
    "rekeys.refused",
)
# What only a network that changes frames makes a node count.
_COUNTED_FOR_CHANGES = (
    "dropped.forged",
    "dropped.malformed",
    "handshakes.forged",
    "handshakes.other_mesh",
)

# A gap is asked for at once, a starved sender probes every 2 s at the latest; one probe may fall
# into the moment in which there is no way.
_ASKS_WITHIN_SECONDS = 0.3
_PROBES_WITHIN_SECONDS = 2 * constants.PROBE_MAX_SECONDS + 0.3


class Limits:
    """No step leaves more in memory than is allowed, nor counts what cannot be."""

    def __init__(self, *, frames_change: bool) -> None:
        self._never = _NEVER_COUNTED + (() if frames_change else _COUNTED_FOR_CHANGES)

    def check(self, process: Process) -> None:
        """Look at one process."""
        engine = process.engine
        counters = engine.counters
        for name in self._never:
            if counters.get(name):
                raise Violation("among honest nodes nothing is wrong", f"{process} counts {name}")
        half_opens = engine._handshaking.half_opens
        known = 0
        for association in engine.associations():
            known += len(association.sessions.by_id)
            self._check_association(process, association)
        if known != len(engine._directory.sessions):
            raise Violation("sessions are known by id", f"{process}: {known}")
        if len(half_opens.responding) > _MOST_HALF_OPEN:
            _too_many(process, "half-open, answering", len(half_opens.responding))
        if len(half_opens.initiating) > _MOST_BEGUN:
            _too_many(process, "half-open, begun", len(half_opens.initiating))
        if len(engine._context.agenda._heap) > _MOST_AGENDA_ENTRIES:
            _too_many(process, "entries of the agenda", len(engine._context.agenda._heap))

    def _check_association(self, process: Process, association: Association) -> None:
        sessions, routes = association.sessions.by_id, association.routes
        if len(sessions) > UNCONFIRMED_PER_PEER:
            unconfirmed = [s for s in sessions.values() if s.state is State.UNCONFIRMED]
            if len(unconfirmed) > UNCONFIRMED_PER_PEER:
                _too_many(process, "unconfirmed sessions", len(unconfirmed))
            if len(sessions) > MOST_SESSIONS:
                _too_many(process, "sessions of a peer", len(sessions))
        if max(len(routes), len(routes._challenges)) > ROUTES_PER_PEER:
            _too_many(process, "routes and challenges", len(routes) + len(routes._challenges))
        if len(association._candidates) > UNCONFIRMED_PER_PEER + 1:
            _too_many(process, "deliveries that may begin", len(association._candidates))
        if association.delivery is not None:
            self._check_delivery(process, association.delivery)

    def _check_delivery(self, process: Process, delivery: Delivery) -> None:
        outgoing, incoming = delivery.outgoing, delivery.incoming
        if len(outgoing.unacknowledged) > constants.UNACKNOWLEDGED_BATCHES:
            _too_many(process, "unacknowledged", len(outgoing.unacknowledged))
        # One batch always finds room.
        room = process.settings.window_bytes + FRAME_BUDGET_BYTES + constants.WHOLE_MAX_BYTES
        if outgoing._unacknowledged_bytes > room:
            _too_many(process, "bytes kept", outgoing._unacknowledged_bytes)
        if len(outgoing.credit.unhandled) > constants.UNFINISHED_BATCHES:
            _too_many(process, "unhandled", len(outgoing.credit.unhandled))
        if len(outgoing.lanes) > constants.LARGE_CLASSES * constants.LARGE_PER_CLASS:
            _too_many(process, "large messages on their way out", len(outgoing.lanes))
        # One of each class is granted room in any case.
        most = process.settings.max_message_bytes * constants.LARGE_CLASSES
        if incoming.assembly.promised_bytes > most:
            _too_many(process, "bytes promised", incoming.assembly.promised_bytes)
        if len(incoming.held) > constants.HELD_BATCHES:
            _too_many(process, "held", len(incoming.held))
        if len(incoming._unfinished) > constants.UNFINISHED_BATCHES:
            _too_many(process, "unfinished", len(incoming._unfinished))
        for depth, left in enumerate(map(outgoing.credit.left, _DEPTHS)):
            if left < 0:
                overdrawn = f"{process} overdrew {-left} at depth {depth}"
                raise Violation("credit is kept to", overdrawn)


def _too_many(process: Process, what: str, count: int) -> None:
    raise Violation("memory is bounded", f"{process} has {count} {what}")


class Genuine:
    """A frame that arrives whole for the first time is never taken for a repeated one."""

    def __init__(self, tape: Tape) -> None:
        self._tape = tape
        self._arrived: set[bytes] = set()

    def check(self, process: Process, frame: bytes, intact: bool, repeats: int) -> None:
        """A frame was received, and made the engine count `repeats`."""
        if not intact or self._tape.read(frame) is None:
            return
        header = frame[: frames.DATA_HEADER_BYTES]
        if header in self._arrived:
            return
        self._arrived.add(header)
        if repeats and not _awaits_welcome(process, frame):
            what = self._tape.describe(frame)
            raise Violation("a genuine frame opens once", f"{process} took for a repeat: {what}")


def _awaits_welcome(process: Process, frame: bytes) -> bool:
    local_id = frames.parse_data_header(frame).receiver_session
    sessions = (association.sessions.by_id.get(local_id) for association in associations(process))
    found = next((session for session in sessions if session is not None), None)
    return found is None or found.awaits_welcome


def associations(process: Process) -> list[Association]:
    """What a process has with each peer."""
    return process.engine.associations()


class Duties:
    """What a process must do soon after a fact, on a way that works for all it knows."""

    def __init__(self) -> None:
        self._asked: dict[tuple[Process, str, int], float] = defaultdict(lambda: -1.0)
        self._since: dict[tuple[Process, Delivery, str], float] = {}

    def sent(self, process: Process, to: str, kind: int, now: float) -> None:
        """A process has sent a control run of this kind."""
        if kind in (messages.GAP, messages.PROBE):
            self._asked[process, to, kind] = now

    def check(self, process: Process, association: Association, to: str, now: float) -> None:
        """Look whether something is overdue: call this a few times a second."""
        delivery, session = association.delivery, association.sessions.current
        if delivery is None:
            return
        ready = (
            session is not None
            and association.routes.best is not None
            and session.may_send(process.now().elapsed)
        )
        for kind, needed, seconds in (
            (messages.GAP, delivery.incoming.gap is not None, _ASKS_WITHIN_SECONDS),
            (messages.PROBE, delivery.outgoing.starved, _PROBES_WITHIN_SECONDS),
        ):
            what = "a gap is asked for" if kind == messages.GAP else "a starved sender probes"
            key = process, delivery, what
            if not needed:
                self._since.pop(key, None)
                continue
            if not ready or process.frozen:
                # Asked in vain, or not at all: a gap that opened by then is not judged any more.
                self._since[key] = inf if kind == messages.GAP else now
                continue
            since = self._since.setdefault(key, now)
            # One that was refused went nobody knows where.
            last = max(self._asked[process, to, kind], self._asked[process, "", kind])
            # The gap may have been asked for just before it was first seen here.
            begun = since - _ASKS_WITHIN_SECONDS if kind == messages.GAP else now - seconds
            if now - since > seconds and last < begun:
                raise Violation(what, f"{process} has not asked {to} for {now - since:.1f} s")


def check_event(process: Process, event: events.Event, newest: Process) -> None:
    """Nobody is superseded but by a run of his own that came after him."""
    if isinstance(event, events.Superseded) and process is newest:
        raise Violation("only a newer run supersedes", f"{process} is the newest, and superseded")
