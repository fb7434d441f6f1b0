"""Runs about large messages: what announces, grants, carries and abandons them.

They ride in numbered batches, so each arrives once and in order. An item of another shape is
counted: it was sealed by a peer that proved itself, and breaks nothing but its own message.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from mesh.delivery.assembly import Announced
from mesh.delivery.delivery import Delivery
from mesh.engine import events
from mesh.errors import MalformedFrame
from mesh.wire import messages
from mesh.wire.messages import Bodies

if TYPE_CHECKING:
    from mesh.engine.association import Association

_Reaction = Callable[["Association", Delivery, int, str, Any], bool]


def on_run(
    association: "Association",
    delivery: Delivery,
    batch: int,
    kind: int,
    subject: str,
    bodies: Bodies,
) -> None:
    """Act on a run of one of `KINDS`. It is finished at once, unless it completes a message."""
    react = _REACTIONS[kind]
    emitted = False
    try:
        if kind == messages.CHUNK and len(bodies) > 1:
            raise MalformedFrame("several chunks in one run")
        for item in messages.unpacked(bodies):
            emitted = react(association, delivery, batch, subject, item)
    except MalformedFrame:
        association.context.counters["dropped.malformed"] += 1
    if not emitted:
        delivery.incoming.finished_run(batch, association.context.now.elapsed)
    association.sending.send_grants()


def _on_large(
    _association: "Association", delivery: Delivery, _batch: int, subject: str, item: Any
) -> bool:
    match item:
        case [lane, kind, length, bytes(beside)] if type(lane) is type(kind) is type(length) is int:
            delivery.incoming.assembly.announce(Announced(lane, kind, subject, length, beside))
            return False
    raise MalformedFrame("not the announcement of a large message")


def _on_grant(
    association: "Association", delivery: Delivery, _batch: int, _subject: str, item: Any
) -> bool:
    if type(item) is not int:
        raise MalformedFrame("a large message is named by its number")
    delivery.outgoing.lanes.grant(item)
    association.sending.send_unsent()
    return False


def _on_chunk(
    association: "Association", delivery: Delivery, batch: int, _subject: str, item: Any
) -> bool:
    match item:
        case [lane, bytes(chunk)] if type(lane) is int:
            assembly = delivery.incoming.assembly
            whole = assembly.add(lane, chunk)
            if whole is None:
                return False
            bodies = assembly.take(whole, batch)
            association.context.events.append(
                events.RunReceived(delivery, batch, whole.kind, whole.subject, bodies)
            )
            return True
    raise MalformedFrame("a chunk is a number and a byte string")


def _on_abandon(
    _association: "Association", delivery: Delivery, _batch: int, _subject: str, item: Any
) -> bool:
    if type(item) is not int:
        raise MalformedFrame("a large message is named by its number")
    delivery.incoming.assembly.abandon(item)
    return False


_REACTIONS: dict[int, _Reaction] = {
    messages.LARGE: _on_large,
    messages.GRANT: _on_grant,
    messages.CHUNK: _on_chunk,
    messages.ABANDON: _on_abandon,
}
KINDS = frozenset(_REACTIONS)
