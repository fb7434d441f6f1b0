"""Faults planted into the engine, one at a time: a world that cannot find them proves nothing.

Each is a small change to one rule, as somebody might make it by mistake.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from mesh.delivery.assembly import Assembly
from mesh.delivery.credit import Credit
from mesh.delivery.incoming import Incoming
from mesh.delivery.lanes import Lanes
from mesh.delivery.outgoing import Outgoing
from mesh.engine import handshaking
from mesh.engine.association import Association
from mesh.engine.handshaking import Handshaking
from mesh.engine.renewal import Renewal
from mesh.engine.resume import Resume
from mesh.engine.sending import Sending
from mesh.engine.sessions_of_peer import SessionsOfPeer
from mesh.session.replay_window import ReplayWindow
from mesh.session.session import Session
from mesh.session.states import State
from mesh.wire import messages

# Owner, attribute, and what stands there instead.
Patch = tuple[Any, str, Any]
# What an `Incoming` tells in the head of a frame.
Numbers = tuple[int, list[Any], int]

_accept = Incoming.accept
_begin = Incoming._begin
_finish = Incoming._finish
_numbers = Incoming.numbers
_open = Session.open
_add_session = Association.add_session
_welcome = Handshaking._welcome
_on_opened = Session.on_opened
_answer = Sending.answer
_fail_all = Outgoing.fail_all
_verify = Association.verify
_add = Assembly.add
_is_ready = Lanes._is_ready
_left = Credit.left


def _accept_again(self: Any, body: Any, now: float) -> list[Any]:
    """What was accepted before is dispatched again."""
    self.due = min(self.due, now)
    if body.batch < self.next:
        return [body] if body.batch in self._unfinished else []
    return list(_accept(self, body, now))


def _acknowledge_held(self: Any) -> Numbers:
    """Batches count as arrived before they are accepted."""
    _, handled, credit = _numbers(self)
    return max([self.next - 1, *self.held]), handled, credit


def _out_of_order(self: Any, body: Any, now: float) -> list[Any]:
    """An early batch is dispatched at once."""
    self.due = min(self.due, now)
    if body.batch in self._unfinished or body.batch < self.next:
        return []
    self.next = body.batch
    return [body] if _begin(self, body) else []


def _drop_unacknowledged(self: Any) -> int:
    self.unacknowledged.clear()
    self.unsent.clear()
    return 0


def _count_anew(self: Any) -> None:
    """A session that is confirmed begins to count again."""
    if self.state is State.UNCONFIRMED:
        self._next_counter = 0
    _on_opened(self)


def _verify_and_rewind(self: Any, route: Any) -> None:
    """After a new route the counter goes back by one."""
    for session in self.sessions.by_id.values():
        if session.state is State.CONFIRMED and session._next_counter > 1:
            session._next_counter -= 1
    _verify(self, route)


def _window_alone(self: Any) -> Numbers:
    """Credit is what the window was in the beginning."""
    acknowledged, handled, _ = _numbers(self)
    return acknowledged, handled, int(self._window)


def _lose_a_little_credit(self: Any, batch: int, depth: int, cost: int) -> None:
    _finish(self, batch, depth, max(0, cost - 1))


def _oldest_first(self: Any) -> tuple[int, bytes, bytes]:
    """The session that was there first is sent on."""
    return self.generation, bytes(self.initiator_id), self._handshake_hash


def _mark_before_the_tag(self: Any, header: Any, frame: Any) -> Any:
    window: ReplayWindow = self._window
    if self._open is not None and not self.awaits_welcome and window.check(header.counter):
        before = bytes(window._seen), window._next
        window.accept(header.counter)
        seen, following = bytearray(window._seen), window._next
        window._seen[:], window._next = before[0], before[1]
        try:
            return _open(self, header, frame)
        except Exception:
            window._seen[:], window._next = seen, following
            raise
    return _open(self, header, frame)


def _own_epoch(ours: Resume, theirs: Resume) -> Resume:
    """Whatever the other says, the delivery goes on as we see it."""
    return Resume(ours.epoch, theirs.next)


def _confirm_at_once(self: Any, session: Session) -> None:
    """A session is sent on before the peer has shown that it has its keys."""
    _add_session(self, session)
    if not session.awaits_welcome:
        self.confirm(session)


def _never_complete(_self: Any, _parent: Session, _message: object) -> None:
    """The answer to a fresh exchange is thrown away."""


def _own_id_first(self: Any) -> tuple[int, int]:
    """Ties go to the lower local id, which is another one at the other side."""
    return -self.generation, self.local_id


def _never_ask(self: Any, session: Session, kind: int | None, item: Any = None, **way: Any) -> bool:
    return kind != messages.GAP and _answer(self, session, kind, item, **way)


def _never_ask_later(_self: Any) -> None:
    """Nor when there is a way again."""


def _never_probe(_self: Any, _delivery: Any, _session: Any, _now: float) -> None:
    """Whoever has no room waits for news."""


def _supersede_early(self: Any, half_open: Any, claim: Any, their: Any, origin: Any) -> None:
    """Message 3 alone lets another instance take over."""
    association = self._directory.associations.get(claim.peer_id)
    delivery = association.delivery if association is not None else None
    if delivery is not None and delivery.peer_instance != their.instance:
        association._supersede(their.instance)
        association.end_delivery("superseded", restarted=True)
    _welcome(self, half_open, claim, their, origin)


def _come_by(self: Any, half_open: Any, claim: Any, their: Any, origin: Any) -> None:
    """Whatever way message 3 came by is believed."""
    half_open.route = origin.route
    _welcome(self, half_open, claim, their, origin)


def _surely(self: Any, *, surely: bool) -> Any:
    """What was sent and not acknowledged surely did not arrive."""
    return _fail_all(self, surely=surely or True)


def _forget_nothing(_self: Any, _now: float) -> list[Session]:
    """Sessions live for ever."""
    return []


def _trust_any_route(self: Any, session: Session, route: Any) -> None:
    """A frame that opens proves the way it came by."""
    if session.state is not State.ENDED:
        self.verify(route)


def _begin_at_once(_self: Any, _session: Session) -> float:
    """A renewal does not wait for its heir."""
    return 0.0


def _newest_first(self: Any, lane: int, chunk: bytes) -> Any:
    """Chunks are put together the wrong way round."""
    arriving = self._arriving.get(lane)
    if arriving is not None:
        before = arriving.content.getvalue()
        arriving.content.seek(0)
        announced = _add(self, lane, chunk)
        arriving.content.write(before)
        whole = len(before) + len(chunk) == arriving.announced.length
        return arriving.announced if whole else announced
    return _add(self, lane, chunk)


def _chunks_at_once(self: Any, lane: Any) -> bool:
    """Chunks do not wait until they are granted room."""
    lane.granted = True
    return _is_ready(self, lane)


def _keep_grants(self: Any) -> None:
    """The peer is not told for which of its large messages there is room."""
    delivery = self._association.delivery
    if delivery is not None:
        delivery.incoming.assembly.grants_due.clear()


def _room_of_the_window(self: Any, _depth: int) -> int:
    """Requests inside requests wait for the room that those hold."""
    return _left(self, 0)


def _nothing(_self: Any, _number: int) -> None:
    """Room that was granted does not return."""


def _handled_when_received(self: Any) -> Numbers:
    """What has arrived counts as handled."""
    acknowledged, _, credit = _numbers(self)
    return acknowledged, [acknowledged], credit


MUTANTS: dict[str, tuple[Patch, ...]] = {
    "no duplicate check": ((Incoming, "accept", _accept_again),),
    "acknowledged before accepted": ((Incoming, "numbers", _acknowledge_held),),
    "handled when received": ((Incoming, "numbers", _handled_when_received),),
    "batches accepted out of order": ((Incoming, "accept", _out_of_order),),
    "unacknowledged dropped on reconnect": ((Outgoing, "send_all_again", _drop_unacknowledged),),
    "counter begins anew when confirmed": ((Session, "on_opened", _count_anew),),
    "counter goes back with a new route": ((Association, "verify", _verify_and_rewind),),
    "credit not returned": ((Incoming, "numbers", _window_alone),),
    "credit returned short by a byte": ((Incoming, "_finish", _lose_a_little_credit),),
    "stale session preferred": ((Session, "preference", _oldest_first),),
    "window moved before the tag holds": ((Session, "open", _mark_before_the_tag),),
    "resume's epoch ignored": ((handshaking, "agree", _own_epoch),),
    "a session belongs to any delivery": (
        (Association, "belongs", staticmethod(lambda _session, _delivery: True)),
    ),
    "confirmation skipped": ((Association, "add_session", _confirm_at_once),),
    "renewal never completes": ((Renewal, "on_message_2", _never_complete),),
    "ties broken unlike": ((Session, "preference", _own_id_first),),
    "gap never asked": (
        (Sending, "answer", _never_ask),
        (Sending, "ask_for_gap", _never_ask_later),
    ),
    "starved sender never probes": ((Sending, "_probe_for_room", _never_probe),),
    "superseded on message 3 alone": ((Handshaking, "_welcome", _supersede_early),),
    "unknown outcome called not delivered": ((Outgoing, "fail_all", _surely),),
    "chunks put together backwards": ((Assembly, "add", _newest_first),),
    "chunks sent before they are granted room": ((Lanes, "_is_ready", _chunks_at_once),),
    "a large message is overtaken": ((Lanes, "holds", lambda _self, _subject: False),),
    "grants are not sent": ((Sending, "send_grants", _keep_grants),),
    "room of a handled message not returned": ((Assembly, "finished", _nothing),),
    "room of an abandoned message not returned": ((Assembly, "abandon", _nothing),),
    "calls inside calls share the window": ((Credit, "left", _room_of_the_window),),
    "sessions never expire": ((SessionsOfPeer, "expire", _forget_nothing),),
    "a renewal begins again at once": ((Renewal, "_patience", _begin_at_once),),
    "message 3 proves its own way": ((Handshaking, "_welcome", _come_by),),
    "any route is believed": ((Association, "_on_other_route", _trust_any_route),),
}


@contextmanager
def planted(name: str) -> Iterator[None]:
    """The engine with one fault. Raises KeyError for a name that stands for none."""
    genuine: list[Patch] = []
    for owner, attribute, instead in MUTANTS[name]:
        before = vars(owner)[attribute]
        genuine.append((owner, attribute, before))
        setattr(owner, attribute, instead)
    try:
        yield
    finally:
        for owner, attribute, before in genuine:
            setattr(owner, attribute, before)


def caught_by(name: str, seeds: range, run: Callable[[int], Any]) -> tuple[int, str] | None:
    """The first seed of whose world the fault is found, and which rule found it."""
    with planted(name):
        for seed in seeds:
            violation = run(seed).violation
            if violation is not None:
                return seed, violation.rule
    return None
