"""What leaves for one peer: batches and control runs, sealed on the session that is sent on.

Also what is sent again for want of an answer: unacknowledged batches and probes for credit.
"""

from typing import TYPE_CHECKING

from mesh import constants
from mesh.delivery.delivery import Delivery
from mesh.engine.events import RoomAvailable
from mesh.limits import RESEND_BURST_BATCHES
from mesh.model import Route, Transmit
from mesh.session.deadlines import Repeat
from mesh.session.session import Session, SessionEnded
from mesh.session.states import State
from mesh.wire import messages
from mesh.wire.cbor import dumps
from mesh.wire.messages import encode_head, encode_packed_run

if TYPE_CHECKING:
    from mesh.engine.association import Association

# Resent in vain so often, the path itself is doubted.
_RESENT_BEFORE_DOUBT = 2


class Sending:
    """The outbound half of one association."""

    def __init__(self, association: "Association") -> None:
        self._association = association
        self._resend: Repeat | None = None
        self._resent = 0
        self._probe: Repeat | None = None

    # -- batches

    def flush(self) -> None:
        """Close the open batch and send what can be sent."""
        association = self._association
        if association.delivery is not None:
            association.delivery.outgoing.close_batch()
            self.send_unsent()
            if association.delivery.outgoing.starved and self._probe is None:
                context = association.context
                context.agenda.at(context.now.elapsed, association)

    def send_unsent(self) -> None:
        """Seal every batch that waits, chunks of large messages among them.

        Those that find no session or route go on waiting: this is called again when a session is
        confirmed, and when a route is verified.
        """
        association = self._association
        delivery, session = association.delivery, association.sessions.current
        route = association.routes.best
        context = association.context
        now = context.now.elapsed
        if delivery is None:
            return
        outgoing = delivery.outgoing
        if outgoing.has_large and outgoing.put_chunks():
            # A large message may have left whole: whoever stands behind it goes on.
            context.events.append(RoomAvailable(delivery))
        if not outgoing.unsent:
            return
        if session is None or route is None or not session.may_send(now):
            return
        incoming = delivery.incoming
        try:
            for batch in outgoing.take_unsent():
                head = encode_head(batch.number, *incoming.numbers(), batch.run_count)
                frame = session.seal(head + batch.runs, batch.bulk)
                context.transmits.append(Transmit(route, frame))
                outgoing.sent(batch, now)
                incoming.told()
        except SessionEnded:
            context.counters["sessions.exhausted"] += 1
        association.liveness.on_asked(now)
        if self._resend is None:
            self._resend = association.liveness.resend_timer(now)
        # What is due then says what else is: an answer that does not come, at the latest.
        context.agenda.at(min(self._resend.at, now + constants.ANSWER_TIMEOUT_SECONDS), association)

    def send_grants(self) -> None:
        """Tell the peer for which of its large messages there is room now."""
        delivery = self._association.delivery
        if delivery is None or not delivery.incoming.assembly.grants_due:
            return
        due = delivery.incoming.assembly.grants_due
        while due and delivery.outgoing.offer(messages.GRANT, "", dumps(due[0])) is not None:
            due.pop(0)
        self.flush()

    def send_all_again(self) -> None:
        """A new path or session: whatever is unacknowledged may have died with the old one."""
        delivery = self._association.delivery
        if delivery is not None:
            self._resend = None
            delivery.outgoing.send_all_again()
            self.send_unsent()
            self.ask_for_gap()

    def ask_for_gap(self) -> None:
        """Batches that arrived early wait for others: name those, if there is a way to the peer."""
        association = self._association
        delivery, session = association.delivery, association.sessions.current
        gap = delivery.incoming.gap if delivery is not None else None
        if gap is not None and session is not None:
            self.control(session, messages.GAP, list(gap))

    def on_delivered(self, now: float) -> None:
        """Something was acknowledged: the clock for the others starts anew."""
        self._resent = 0
        delivery = self._association.delivery
        waiting = delivery is not None and delivery.outgoing.unacknowledged
        self._resend = self._association.liveness.resend_timer(now) if waiting else None

    def on_room(self, delivery: Delivery) -> None:
        """There may be room for what waits, here and in the program."""
        outgoing = delivery.outgoing
        if delivery.incoming.assembly.grants_due:
            self.send_grants()
        if outgoing.has_large:
            self.send_unsent()
        context = self._association.context
        if outgoing.awaited:
            outgoing.awaited = False
            context.events.append(RoomAvailable(delivery))
        # Whoever is told may find too little of it: then a probe has to begin.
        context.agenda.at(context.now.elapsed + constants.PROBE_AFTER_SECONDS, self._association)

    def stop(self) -> None:
        """The delivery has ended."""
        self._resend = self._probe = None

    # -- control

    def control(
        self, session: Session, kind: int | None, item: object = None, *, route: Route | None = None
    ) -> bool:
        """Send one control run, or (kind None) only the numbers of the head.

        By `route`, else the one that is sent on. False when there is no way.
        """
        association = self._association
        route = route or association.routes.best
        if route is None:
            return False
        try:
            frame = self.seal_control(session, kind, item)
        except SessionEnded:
            return False
        association.context.transmits.append(Transmit(route, frame))
        return True

    def answer(
        self, session: Session, kind: int | None, item: object = None, *, route: Route | None = None
    ) -> bool:
        """Like `control`, for what was asked on `session`: one that only receives has an heir."""
        if session.state is not State.CONFIRMED:
            session = self._association.sessions.current or session
        return self.control(session, kind, item, route=route)

    def seal_control(
        self, session: Session, kind: int | None, item: object = None
    ) -> bytes | bytearray:
        """The frame of one control run, or (kind None) of the head's numbers alone.

        Raises SessionEnded.
        """
        incoming = self._association.delivery_for(session).incoming
        runs = b"" if kind is None else encode_packed_run(kind, "", [dumps(item)])
        head = encode_head(0, *incoming.numbers(), 1 if runs else 0)
        frame = session.seal(head + runs)
        incoming.told()
        return frame

    # -- time

    def advance(self, now: float) -> None:
        """Send what is due: numbers that the peer waits for, and what it did not answer."""
        association = self._association
        self.send_grants()
        delivery, session = association.delivery, association.sessions.current
        if delivery is None or session is None:
            return
        self._probe_for_room(delivery, session, now)
        outgoing = delivery.outgoing
        if self._resend is not None and outgoing.unacknowledged and self._resend.due(now):
            self._resent += 1
            if self._resent >= _RESENT_BEFORE_DOUBT:
                self._resent = 0
                association.doubt_route()
            first = next(iter(outgoing.unacknowledged))
            association.context.counters["sent.batches_again"] += outgoing.send_again(
                first, first + RESEND_BURST_BATCHES - 1
            )
        self.send_unsent()
        if delivery.incoming.due <= now:
            self.control(session, None)

    def _probe_for_room(self, delivery: Delivery, session: Session, now: float) -> None:
        if not delivery.outgoing.starved:
            self._probe = None
        elif self._probe is None:
            self._probe = Repeat(
                now, first=constants.PROBE_AFTER_SECONDS, longest=constants.PROBE_MAX_SECONDS
            )
        elif self._probe.due(now):
            self.control(session, messages.PROBE)

    def deadlines(self) -> list[float]:
        """When batches or probes are repeated, or numbers are owed to the peer."""
        delivery = self._association.delivery
        if delivery is None:
            return []
        repeats = [repeat.at for repeat in (self._resend, self._probe) if repeat is not None]
        return [delivery.incoming.due, *repeats]
