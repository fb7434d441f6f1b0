"""Control runs: what two engines say to each other beside messages. They ride in batch 0.

An item of an unknown kind is counted, one of another shape ignored: it was sealed by a peer
that proved itself, so it is a fault of its program and no attack by a stranger.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

from handshake.constants import Reason
from mesh import constants
from mesh.engine import events
from mesh.engine.resume import Resume
from mesh.engine.terms import reason_of
from mesh.errors import MalformedFrame
from mesh.model import Route
from mesh.session.deadlines import Repeat
from mesh.session.session import Session
from mesh.wire import messages
from mesh.wire.messages import Body

if TYPE_CHECKING:
    from mesh.engine.association import Association

_Answer = Callable[["Association", Session, object, Route], None]
_LARGEST = 1 << 62


def on_item(
    association: "Association", session: Session, kind: int, item: object, route: Route
) -> None:
    """Answer one control item that was opened on `session` and came by `route`."""
    answer = _ANSWERS.get(kind)
    if answer is None:
        association.context.counters["ignored.unknown_kind"] += 1
        return
    answer(association, session, item, route)


def on_first_answer(association: "Association", session: Session, body: Body) -> None:
    """Counter 0 on a session whose exchange we began. Raises MalformedFrame if it is no welcome.

    What it verifies is the path that message 3 took: it may have come by any other.
    """
    if body.batch or len(body.runs) != 1 or len(body.runs[0][2]) != 1:
        raise MalformedFrame("the first frame of a session is not a single answer")
    kind, _subject, (item,) = body.runs[0]
    if kind != messages.WELCOME:
        raise MalformedFrame("the first frame of a session is no welcome")
    generation, resume = _welcome(item)
    if resume.epoch < session.epoch or generation < session.generation:
        raise MalformedFrame("the welcome takes the smaller epoch or generation")
    session.generation = generation
    session.epoch = resume.epoch
    route = association.route_of(session)
    if route is not None:
        association.expect(session, resume, route)
    if association.confirm(session):
        now = association.context.now.elapsed
        session.confirming_ping = Repeat(now)
        association.sending.answer(
            session, messages.PING, association.liveness.ping(now), route=route
        )


def _welcome(item: object) -> tuple[int, Resume]:
    match item:
        case [int(generation), int(epoch), int(following)] if (
            0 < generation < _LARGEST and 0 <= epoch < _LARGEST and 0 < following < _LARGEST
        ):
            return generation, Resume(epoch, following)
    raise MalformedFrame("a welcome is not [generation, epoch, next]")


def _on_ping(association: "Association", session: Session, item: object, route: Route) -> None:
    _echo(association, session, messages.PONG, item, route)


def _echo(
    association: "Association", session: Session, kind: int, item: object, route: Route
) -> None:
    """Give a token back by the connection it came on; what is no token is not repeated."""
    if type(item) is int:
        association.sending.answer(session, kind, item, route=route)


def _on_pong(association: "Association", _session: Session, item: object, _route: Route) -> None:
    if not isinstance(item, int):
        return
    round_trip = association.liveness.on_pong(item, association.context.now.elapsed)
    if round_trip is not None:
        association.context.events.append(
            events.PongReceived(association.peer_id, item, round_trip)
        )


def _on_gap(association: "Association", session: Session, item: object, _route: Route) -> None:
    """Batches are missing at the peer; those that were just sent may still be under way."""
    delivery = association.delivery
    if delivery is None or not association.belongs(session, delivery):
        return
    match item:
        case [int(first), int(last)]:
            now = association.context.now.elapsed
            pause = max(constants.ACKNOWLEDGE_AFTER_SECONDS, association.liveness.round_trip)
            pause = min(pause, constants.RESEND_AFTER_SECONDS)
            again = delivery.outgoing.send_again(first, last, now=now, pause=pause)
            association.context.counters["sent.batches_again"] += again
            association.sending.send_unsent()


def _on_hello(association: "Association", session: Session, item: object, route: Route) -> None:
    """The peer has a new connection: the answer goes back by it."""
    _echo(association, session, messages.HELLO_ANSWER, item, route)


def _on_challenge(association: "Association", session: Session, item: object, route: Route) -> None:
    _echo(association, session, messages.CHALLENGE_ANSWER, item, route)


def _on_path_answer(
    association: "Association", _session: Session, item: object, route: Route
) -> None:
    """The token of a challenge or `hello`: the path it was sent on leads to the peer."""
    if association.routes.answers(route, item):
        association.verify(route)


def _on_fresh_1(association: "Association", session: Session, item: object, route: Route) -> None:
    association.renewal.on_message_1(session, item, route)


def _on_fresh_2(association: "Association", session: Session, item: object, _route: Route) -> None:
    association.renewal.on_message_2(session, item)


def _on_probe(association: "Association", session: Session, _item: object, route: Route) -> None:
    association.sending.answer(session, None, route=route)


def _on_close(association: "Association", session: Session, item: object, _route: Route) -> None:
    reason = reason_of(item)
    if reason is Reason.SUPERSEDED:
        association.on_superseded()
    else:
        # Said before identities were proved anew, it knows nothing of what was sent since.
        current = association.sessions.current
        final = current is None or current.chain_began == session.chain_began
        association.on_closed(reason, final=final)


def _ignore(_a: "Association", _session: Session, _item: object, _route: Route) -> None:
    """It comes too late to matter."""


_ANSWERS: dict[int, _Answer] = {
    messages.PING: _on_ping,
    messages.PONG: _on_pong,
    messages.GAP: _on_gap,
    messages.HELLO: _on_hello,
    messages.HELLO_ANSWER: _on_path_answer,
    messages.CHALLENGE: _on_challenge,
    messages.CHALLENGE_ANSWER: _on_path_answer,
    messages.FRESH_1: _on_fresh_1,
    messages.FRESH_2: _on_fresh_2,
    messages.PROBE: _on_probe,
    messages.CLOSE: _on_close,
    messages.WELCOME: _ignore,
}
