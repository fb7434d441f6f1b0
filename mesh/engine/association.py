"""Everything this node has with one peer: sessions, routes, delivery, deadlines.

Inbound half first (`on_frame` and what it calls), then sessions and deliveries, routes, and time
(`advance`). Control runs are answered in `control_runs`, renewals in `renewal`; what is sent leaves
through `sending`.
"""

from math import inf
from typing import TYPE_CHECKING

from handshake.constants import Reason
from handshake.identity import NodeId
from mesh import constants
from mesh.delivery.delivery import Delivery
from mesh.engine import control_runs, events, large_messages
from mesh.engine.context import Context
from mesh.engine.liveness import CONNECTED, Liveness
from mesh.engine.renewal import Renewal
from mesh.engine.resume import Memory, Resume
from mesh.engine.routes import RoutesOfPeer
from mesh.engine.sending import Sending
from mesh.engine.sessions_of_peer import SessionsOfPeer
from mesh.engine.terms import Limits
from mesh.model import Route
from mesh.session.deadlines import Repeat
from mesh.session.session import Session
from mesh.session.states import State, Trigger
from mesh.wire import messages
from mesh.wire.frames import DataHeader
from mesh.wire.messages import Body

if TYPE_CHECKING:
    from mesh.engine.directory import Directory


class Association:
    """One peer, from the first proof of its identity until it is forgotten.

    `limits`: what its first handshake said of its window and messages. `memory`: the epochs of
    deliveries with it that are over.
    """

    def __init__(
        self,
        peer_id: NodeId,
        context: Context,
        directory: "Directory",
        limits: Limits,
        memory: Memory,
    ) -> None:
        self.peer_id = peer_id
        self.context = context
        self.sessions = SessionsOfPeer()
        self.routes = RoutesOfPeer(self._on_way)
        self.sending = Sending(self)
        self.renewal = Renewal(self)
        self.liveness = Liveness(context.now.elapsed)
        self.delivery: Delivery | None = None
        self.scheduled = inf
        self.closing = False
        self._last_route: Route | None = None
        # By session: where the exchange that made it goes on, and the route it has proved.
        self._agreed: dict[int, tuple[Resume, Route | None]] = {}
        self._candidates: dict[tuple[bytes, int], Delivery] = {}
        self.limits = limits
        self.directory = directory
        self.memory = memory
        self._handshake_retry: Repeat | None = None

    @property
    def in_use(self) -> bool:
        """Whether there is a session or a delivery."""
        return bool(self.sessions.by_id) or self.delivery is not None

    # -- inbound

    def on_frame(
        self, session: Session, header: DataHeader, frame: bytes | memoryview, route: Route
    ) -> None:
        """A data frame for one of our sessions.

        Raises DecryptionFailed or MalformedFrame, and has changed nothing then but, for a frame
        whose tag held, the replay window.
        """
        opened = session.open(header, frame)
        if opened is None:
            # A welcome comes again when it came late, as every message of an exchange does.
            again = header.counter == 0 and session.was_welcomed
            name = "received.repeated_welcomes" if again else "dropped.replayed"
            self.context.counters[name] += 1
            return
        body = messages.decode_body(*opened)
        now = self.context.now.elapsed
        self.liveness.on_received(now)
        if self.liveness.presence is not CONNECTED:
            self._tell_presence(now)
        if session.awaits_welcome:
            control_runs.on_first_answer(self, session, body)
            self.context.agenda.at(now, self)
            return
        if session.state is State.UNCONFIRMED and not self.confirm(session):
            return
        session.confirming_ping = None
        if body.batch:
            self._on_batch(session, body, now)
        else:
            self._on_control(session, body, route)
        if route is not self._last_route:
            self._on_other_route(session, route)
        if self.delivery is not None:
            self.context.agenda.at(self.delivery.incoming.due, self)

    def _on_batch(self, session: Session, body: Body, now: float) -> None:
        delivery = self.delivery
        if delivery is None or self.closing or not self.belongs(session, delivery):
            self.context.counters["dropped.other_delivery"] += 1
            return
        incoming = delivery.incoming
        emit = self.context.events.append
        for batch in incoming.accept(body, now):
            for kind, subject, bodies in batch.runs:
                if kind in large_messages.KINDS:
                    large_messages.on_run(self, delivery, batch.batch, kind, subject, bodies)
                else:
                    emit(events.RunReceived(delivery, batch.batch, kind, subject, bodies))
        self._on_head(delivery, body)
        if incoming.held and incoming.gap is not None:
            self.sending.answer(session, messages.GAP, list(incoming.gap))

    def _on_control(self, session: Session, body: Body, route: Route) -> None:
        delivery = self.delivery
        if delivery is not None and self.belongs(session, delivery):
            self._on_head(delivery, body)
        for kind, _subject, items in body.runs:
            for item in items:
                control_runs.on_item(self, session, kind, item, route)

    def _on_head(self, delivery: Delivery, body: Body) -> None:
        """Acknowledgements and credit; cheap when nothing is new."""
        outgoing = delivery.outgoing
        if not outgoing.is_news(body.acknowledged, body.handled, body.credit):
            return
        delivered = outgoing.acknowledge(body.acknowledged) if outgoing.unacknowledged else None
        if delivered:
            self._deliver(delivered)
        handled = outgoing.on_handled(body.handled) if outgoing.credit.unhandled else None
        if handled:
            self.context.events.append(events.Handled(handled))
        more_credit = body.credit > outgoing.credit.limit and outgoing.on_credit(body.credit)
        if more_credit or delivered or handled:
            self.sending.on_room(delivery)

    def _deliver(self, receipts: list[object]) -> None:
        """The peer has these batches. Chunks before the last one have no receipt."""
        if receipts:
            self.sending.on_delivered(self.context.now.elapsed)
            told = [receipt for receipt in receipts if receipt is not None]
            self.context.events.append(events.Delivered(told))

    @staticmethod
    def belongs(session: Session, delivery: Delivery) -> bool:
        """Whether batches, acknowledgements and credit on this session are this delivery's."""
        return session.peer_instance == delivery.peer_instance and session.epoch == delivery.epoch

    def _on_other_route(self, session: Session, route: Route) -> None:
        """A frame opened that came by another path than the one before it (see `routes`)."""
        if route in self.routes:
            self._last_route = route
        elif session.state is not State.ENDED:
            self._ask(messages.CHALLENGE, session, route)

    def _ask(self, kind: int, session: Session, route: Route) -> bool:
        """Ask the peer to answer a token on this path. Whether anything was sent."""
        context = self.context
        token = self.routes.challenge(route, context.random_id(), context.now.elapsed)
        return token is not None and self.sending.answer(session, kind, token, route=route)

    # -- sessions and deliveries

    def resume_for(self, instance: bytes) -> Resume:
        """What we say about continuing with this instance of the peer."""
        delivery = self.delivery
        if delivery is not None and delivery.peer_instance == instance:
            return Resume(delivery.epoch, delivery.incoming.next)
        return Resume(self.memory.epoch_for(instance), 1)

    def add_session(self, session: Session) -> None:
        """A new session, unconfirmed."""
        for dropped in self.sessions.add(session):
            self._forgotten(dropped)
        self.directory.add_session(self, session)
        if self._handshake_retry is None:
            # It has a handshake's time to be confirmed before we begin one of our own.
            self._handshake_retry = Repeat(
                self.context.now.elapsed, first=constants.HANDSHAKE_TIMEOUT_SECONDS
            )
        self.context.agenda.at(self.context.now.elapsed, self)

    def delivery_for(self, session: Session) -> Delivery:
        """The delivery a session belongs to, made if it is not there yet."""
        delivery = self.delivery
        if delivery is not None and self.belongs(session, delivery):
            return delivery
        key = (session.peer_instance, session.epoch)
        candidate = self._candidates.get(key)
        if candidate is None:
            candidate = self._candidates[key] = self.context.new_delivery(
                self.peer_id, session.peer_instance, session.epoch, self.limits
            )
        return candidate

    def confirm(self, session: Session) -> bool:
        """The first frame was opened on a session: the peer has its keys.

        False when it belongs to a delivery that has ended on both sides: it is dropped.
        """
        context = self.context
        now = context.now.elapsed
        if self._outdated(session):
            self.end_session(session, Trigger.CLOSED)
            return False
        session.on_opened()
        resume, route = self._agreed.pop(session.local_id, (None, None))
        self.adopt(session)
        self.sessions.on_confirmed(now)
        self.directory.finish_handshake(session)
        delivery, delivered = self.delivery, []
        if resume is not None and delivery is not None:
            delivered = delivery.outgoing.acknowledge(resume.next - 1)
            self._deliver(delivered)
            delivery.outgoing.send_all_again()
        self._handshake_retry = None
        self.renewal.on_confirmed(session)
        context.counters["sessions.renewed" if session.fresh else "sessions.established"] += 1
        context.events.append(
            events.SessionConfirmed(
                self.peer_id,
                session.generation,
                session.fresh,
                session.established.initiator,
                session.suite,
            )
        )
        if route is not None:
            self.verify(route)
        self.sending.send_unsent()
        if delivery is not None and delivered:
            # The peer's numbers say nothing new any more, so no other frame would tell of it.
            self.sending.on_room(delivery)
        return True

    def _outdated(self, session: Session) -> bool:
        delivery = self.delivery
        if delivery is None or delivery.peer_instance != session.peer_instance:
            return False
        return session.epoch < delivery.epoch

    def adopt(self, session: Session) -> None:
        """Continue with the delivery that a confirmed session names; end the one before it."""
        delivery = self.delivery_for(session)
        before = self.delivery
        if delivery is before:
            return
        # Also of one that was never connected: it may be dead, and its last words still under way.
        self._supersede(session.peer_instance)
        if before is not None and before.peer_instance != delivery.peer_instance:
            self.routes.clear()
            self._last_route = None
            self.end_delivery("the peer has restarted", restarted=True)
        elif before is not None:
            self.end_delivery("the peer had forgotten us")
        self.delivery = delivery
        self._candidates.clear()
        for old in list(self.sessions.by_id.values()):
            if self._outdated(old):
                self.end_session(old, Trigger.CLOSED)
        # A node that closes has said goodbye on this very session, though it was not confirmed yet.
        self.closing = self.context.closing
        self.context.events.append(events.PeerConnected(self.peer_id, delivery))
        self.context.agenda.at(self.context.now.elapsed + constants.PING_AFTER_SECONDS, self)

    def _supersede(self, instance: bytes) -> None:
        """Drop the sessions of the peer's other instances, and tell them wherever they may be."""
        for old in [s for s in self.sessions.by_id.values() if s.peer_instance != instance]:
            if old is self.sessions.current:
                for route in self.routes:
                    self.sending.control(old, messages.CLOSE, Reason.SUPERSEDED.value, route=route)
            self.end_session(old, Trigger.CLOSED)

    def expect(self, session: Session, agreed: Resume, route: Route | None) -> None:
        """An exchange has agreed on where the delivery goes on: when the session is confirmed.

        `route`: the one it has proved to lead to the peer. To which instance of it we send is not
        changed by a handshake message alone.
        """
        self._agreed[session.local_id] = agreed, route
        delivery = self.delivery
        if route and (delivery is None or delivery.peer_instance == session.peer_instance):
            self.verify(route)

    def hello(self, route: Route) -> bool:
        """Announce a new connection on the session that is sent on. False without one."""
        session = self.sessions.current
        greeted = session is not None and self._ask(messages.HELLO, session, route)
        return greeted and self.renewal.greet(route)

    def on_superseded(self) -> None:
        """Another instance with our identity took our place at this peer."""
        self.context.events.append(events.Superseded(self.peer_id))
        self.closing = True
        self.end_delivery("another instance of this node has taken over")
        self.end_all_sessions()

    def ping(self) -> int | None:
        """The token of a ping that was sent now; None when there is no way."""
        session = self.sessions.current
        if session is None:
            return None
        token = self.liveness.ping(self.context.now.elapsed)
        return token if self.sending.control(session, messages.PING, token) else None

    def say_close(self, reason: Reason) -> bool:
        """Tell the peer that no more will come; what it sends now is not accepted any more."""
        self.closing = True
        session = self.sessions.current or self.sessions.newest_answered()
        return session is not None and self.sending.control(session, messages.CLOSE, reason.value)

    def on_refused(self, reason: Reason) -> None:
        """The peer has proved itself and refuses us: what was still under way to it fails."""
        if not self.in_use:
            return
        self.context.events.append(events.PeerClosed(self.peer_id, reason))
        self.end_delivery(f"the peer refuses this node: {reason.value}")
        self.end_all_sessions()

    def on_closed(self, reason: Reason, *, final: bool) -> None:
        """The peer will not accept any more. `final`: nor what it has not acknowledged by now."""
        closed = events.PeerClosed(self.peer_id, reason)
        # What we said first it has only answered.
        why = "this node has closed" if self.closing else closed.text
        if not self.closing:
            self.say_close(Reason.CLOSED)
        self.context.events.append(closed)
        self.end_delivery(why, surely=final)
        self.end_all_sessions()

    def end_session(self, session: Session, trigger: Trigger) -> None:
        """Forget a session and its keys."""
        self.sessions.end(session, trigger)
        self._forgotten(session)

    def _forgotten(self, session: Session) -> None:
        self._agreed.pop(session.local_id, None)
        of = session.peer_instance, session.epoch
        if not any((s.peer_instance, s.epoch) == of for s in self.sessions.by_id.values()):
            self._candidates.pop(of, None)
        self.directory.forget_session(session)

    def end_delivery(self, reason: str, *, surely: bool = False, restarted: bool = False) -> None:
        """The peer's instance is gone, or will never answer: everything unfinished fails.

        `surely`: it has told us what it got, so that the rest was not delivered. `restarted`:
        another instance of the peer has taken over.
        """
        delivery, self.delivery = self.delivery, None
        if delivery is None:
            return
        self.sending.stop()
        self.memory.forget(delivery)
        failed = delivery.outgoing.fail_all(surely=surely)
        self.context.events.append(events.DeliveryEnded(delivery, failed, reason, restarted))

    def forget(self) -> None:
        """Ten minutes of silence: the next meeting begins a new epoch."""
        self.end_delivery("the peer has not been heard of for ten minutes")
        self.end_all_sessions()

    def end_all_sessions(self) -> None:
        """Forget all keys shared with this peer."""
        for session in list(self.sessions.by_id.values()):
            self.end_session(session, Trigger.CLOSED)
        self.renewal.stop()

    # -- routes

    def route_of(self, session: Session) -> Route | None:
        """The route of the exchange we began that made this session, while it is not over."""
        return self.directory.route_of(session)

    def verify(self, route: Route) -> None:
        """The path leads to the peer; what an old path may have lost is sent again.

        A known path that has proved itself once more is the most recently verified one.
        """
        known = route in self.routes
        changed = self.routes.verify(route)
        if route.dialled and not known:
            self.directory.authenticated(route, self.peer_id)
        if changed:
            self.sending.send_all_again()
            self.renewal.on_new_path()

    def doubt_route(self) -> None:
        """What we send stays unanswered while frames come by another verified path: take that.

        Whoever ferried one challenge could otherwise keep the way back to himself for ever. The
        path that is left has to prove itself again before it is sent on.
        """
        best, heard_by = self.routes.best, self._last_route
        if best is None or heard_by is None or heard_by == best or heard_by not in self.routes:
            return
        self.context.counters["routes.doubted"] += 1
        self.routes.remove(best)
        self.routes.verify(heard_by)
        self.sending.send_all_again()

    def lose(self, route: Route) -> None:
        """The connection is gone."""
        self._last_route = None
        if self.routes.remove(route) and self.routes.best is not None:
            self.sending.send_all_again()

    def give_up(self, route: Route) -> None:
        """An exchange on this route was refused, and it is not tried again there."""
        if self.routes.remove(route):
            self._last_route = None
            self.sending.send_all_again()

    def _on_way(self, found: bool) -> None:
        kind = events.RouteFound if found else events.RouteWanted
        self.context.events.append(kind(self.peer_id))

    # -- time

    def advance(self, now: float) -> float:
        """Do what is due; the next deadline."""
        for session in self.sessions.expire(now):
            self._forgotten(session)
        self._repeat_confirming_pings(now)
        self.renewal.advance(now)
        self.sending.advance(now)
        self._advance_liveness(now)
        self._advance_handshake(now)
        return self.next_deadline(now)

    def _repeat_confirming_pings(self, now: float) -> None:
        current = self.sessions.current
        for session in list(self.sessions.by_id.values()):
            repeat = session.confirming_ping
            if current is not None and current.preference() < session.preference():
                session.confirming_ping = None
            elif repeat is not None and repeat.due(now):
                self.sending.control(session, messages.PING, self.liveness.ping(now))

    def _advance_liveness(self, now: float) -> None:
        liveness, session = self.liveness, self.sessions.current
        if session is not None and liveness.ping_due(now):
            self.sending.control(session, messages.PING, liveness.ping(now))
        self._tell_presence(now)
        if self.delivery is not None and liveness.forgotten(now):
            self.forget()

    def _tell_presence(self, now: float) -> None:
        presence = self.liveness.presence_change(now) if self.delivery is not None else None
        if presence is not None:
            self.context.events.append(events.PresenceChanged(self.peer_id, presence))

    def _advance_handshake(self, now: float) -> None:
        """Begin an XX exchange when there is a way to the peer but no session that answers."""
        route = self.routes.best
        session = self.sessions.current
        doubted = (
            session is None
            or not session.may_send(now)
            or self.liveness.unanswered(now)
            or self.renewal.chain_is_old(session, now)
        )
        if route is None or self.closing or not doubted:
            self._handshake_retry = None
            return
        if self._handshake_retry is None:
            self._handshake_retry = Repeat(now, first=constants.RETRY_AFTER_SECONDS)
        elif not self._handshake_retry.due(now):
            return
        self.directory.begin_handshake(route, self.peer_id)

    def next_deadline(self, now: float) -> float:
        """When `advance` has to be called next; what is due at `now` has been done."""
        deadlines = [
            *self.sessions.deadlines(),
            *self.renewal.deadlines(),
            *self.sending.deadlines(),
        ]
        if self.sessions.current is not None or self.delivery is not None:
            deadlines += self.liveness.deadlines()
        if self._handshake_retry is not None:
            deadlines.append(self._handshake_retry.at)
        return min((deadline for deadline in deadlines if deadline > now), default=inf)
