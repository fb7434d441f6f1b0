"""XX exchanges between instances that share no session: both roles, and dialled routes.

The initiator half (`begin`, `on_message_2`), the responder half (`on_message_1`,
`on_message_3`), then what both do with the result. Messages 2 and 3 prove who speaks; whoever
is not trusted then gets no session, and is told why once it has proved itself.
"""

from typing import TYPE_CHECKING

from handshake.authentication import Claim, Established, Initiator, Responder
from handshake.constants import Reason
from handshake.errors import DecryptionFailed, HandshakeError, Refused
from handshake.identity import NodeId
from mesh.engine import events, terms
from mesh.engine.context import Context
from mesh.engine.dial import Dial
from mesh.engine.half_open import HalfOpens, Initiating, Responding
from mesh.engine.resume import agree
from mesh.engine.terms import Terms
from mesh.model import Origin, Route, Transmit
from mesh.session.deadlines import Lifetime
from mesh.session.session import Session
from mesh.session.states import Trigger
from mesh.trust.policy import Decision
from mesh.wire import frames, messages
from mesh.wire.cbor import dumps, loads
from mesh.wire.frames import HandshakeFrame

if TYPE_CHECKING:
    from mesh.engine.directory import Directory


class Handshaking:
    """Every handshake that has not ended, and every route we dialled."""

    def __init__(self, context: Context, directory: "Directory") -> None:
        self.context = context
        self.half_opens = HalfOpens()
        self.dials: dict[Route, Dial] = {}
        self._directory = directory

    def receive(self, frame: bytes | memoryview, origin: Origin) -> None:
        """A handshake frame. Raises MalformedFrame; other faults are counted."""
        parsed = frames.parse_handshake(frame)
        try:
            if parsed.type == frames.MESSAGE_1:
                self._on_message_1(parsed, bytes(frame), origin)
            elif parsed.type == frames.MESSAGE_2:
                self._on_message_2(parsed, origin)
            else:
                self._on_message_3(parsed, origin)
        except Refused as refusal:
            self.context.counters[f"handshakes.refused.{refusal.reason.name.lower()}"] += 1
        except HandshakeError:
            self.context.counters["handshakes.forged"] += 1

    # -- as initiator

    def begin(self, route: Route, pin: NodeId | None) -> bool:
        """Send message 1 on `route`. False when an exchange with that peer is under way."""
        half_opens = self.half_opens
        if self.context.closing or half_opens.begun_on(route):
            return False
        if pin is not None and half_opens.begun_with(pin):
            return False
        context = self.context
        settings = context.settings
        session_id = context.random_id()
        initiator = Initiator(
            context.credentials(),
            mesh_id=settings.mesh_id,
            psk=settings.psk,
            prologue=frames.prologue(settings.mesh_id, session_id),
            session_id=session_id,
            random_bytes=context.random_bytes,
        )
        frame = frames.pack_handshake(frames.MESSAGE_1, 0, session_id, initiator.message_1())
        now = context.now.elapsed
        half_open = Initiating(self, session_id, route, pin, initiator, frame, now)
        half_opens.initiating[session_id] = half_open
        context.transmits.append(Transmit(route, frame))
        context.agenda.at(half_open.advance(now), half_open)
        context.counters["handshakes.begun"] += 1
        return True

    def _on_message_2(self, frame: HandshakeFrame, origin: Origin) -> None:
        """Only by the route that message 1 took: another one is no answer to it."""
        half_open = self.half_opens.initiating.get(frame.receiver_session)
        if half_open is None or half_open.route != origin.route:
            self.context.counters["dropped.unknown_handshake"] += 1
            return
        if half_open.session is not None:
            return
        checked: list[Terms] = []
        try:
            claim = half_open.initiator.read_message_2(
                frame.noise,
                self.context.now.wall,
                lambda claim: checked.append(self._check_responder(claim, half_open.pin)),
            )
        except Refused as refusal:
            if refusal.peer_id is not None:
                self._refuse(half_open, refusal)
            raise
        self._send_message_3(half_open, claim, checked[0])

    def _check_responder(self, claim: Claim, pin: NodeId | None) -> Terms:
        """Pin and trust, before anything is said about ourselves."""
        if pin is not None and claim.peer_id != pin:
            raise Refused(Reason.WRONG_PEER, claim.peer_id, f"{pin} was asked for")
        self._check_welcome(claim.peer_id)
        return terms.read(claim.peer_id, claim.terms, at_the_end=False)

    def _check_welcome(self, peer_id: NodeId) -> None:
        """Trust first: a stranger does not learn how many peers there are."""
        decision = self.context.policy.decide(peer_id)
        if decision is Decision.DENIED:
            raise Refused(Reason.REVOKED, peer_id)
        if decision is not Decision.ALLOWED:
            raise Refused(Reason.NOT_TRUSTED, peer_id)
        if not self._directory.has_place_for(peer_id):
            raise Refused(Reason.BUSY, peer_id, "max_peers have a session")

    def _send_message_3(self, half_open: Initiating, claim: Claim, their: Terms) -> None:
        context = self.context
        now = context.now.elapsed
        association = self._directory.association(claim.peer_id, their.limits)
        generation = association.sessions.known_generation
        resume = association.resume_for(their.instance)
        noise = half_open.initiator.message_3(terms.ours(context.settings, generation, resume))
        frame = frames.pack_handshake(
            frames.MESSAGE_3, claim.session_id, half_open.session_id, noise
        )
        session = self._session(
            half_open.initiator.established,
            their,
            generation=generation + 1,
            epoch=resume.epoch,
            awaits_welcome=True,
        )
        half_open.proceed(session, frame, now)
        association.add_session(session)
        context.transmits.append(Transmit(half_open.route, frame))
        context.agenda.at(half_open.advance(now), half_open)

    def _refuse(self, half_open: Initiating, refusal: Refused) -> None:
        """We refuse who answered: this route is not tried again."""
        self._end(half_open)
        peer_id = refusal.peer_id
        if peer_id is not None and refusal.reason in {Reason.NOT_TRUSTED, Reason.REVOKED}:
            self.context.events.append(
                events.StrangerRefused(peer_id, str(half_open.route), refusal.reason)
            )
        self._fail_route(half_open, peer_id, refusal.reason, by_peer=False)

    def on_timeout(self, half_open: Initiating) -> None:
        """Nobody answered in time: try again later, while the route is wanted."""
        self.context.counters["handshakes.unanswered"] += 1
        self._try_again(half_open)

    def abandon(self, session: Session) -> None:
        """The session that was to come of an exchange is not wanted any more."""
        half_open = self.half_opens.initiating.get(session.local_id)
        if half_open is not None:
            self._try_again(half_open)

    def _try_again(self, half_open: Initiating) -> None:
        self._end(half_open)
        dial = self.dials.get(half_open.route)
        if dial is not None:
            dial.on_failed(self.context.now.elapsed)

    def route_of(self, session: Session) -> Route | None:
        """The route of the exchange we began that made this session, while it is not over."""
        half_open = self.half_opens.initiating.get(session.local_id)
        return half_open.route if half_open is not None else None

    def finish(self, session: Session) -> None:
        """The welcome was opened."""
        half_open = self.half_opens.initiating.get(session.local_id)
        if half_open is not None:
            self._end(half_open)

    def on_refusal(self, frame: bytes | memoryview) -> None:
        """The responder, which has proved itself, says why it will not talk.

        Raises DecryptionFailed or MalformedFrame, and has changed nothing then.
        """
        half_open = self.half_opens.initiating.get(frames.parse_data_header(frame).receiver_session)
        if half_open is None or half_open.session is None:
            self.context.counters["dropped.unknown_handshake"] += 1
            return
        session = half_open.session
        _, receive_key = session.established.traffic_keys(terms.COMMON_SUITE)
        aead = self.context.new_aead(terms.COMMON_SUITE, receive_key)
        reason = terms.reason_of(loads(frames.open_refusal(aead, frame)))
        self._end(half_open)
        self.context.counters[f"handshakes.refused_by_peer.{reason.name.lower()}"] += 1
        found = self._directory.sessions.get(session.local_id)
        if found is not None:
            found[0].end_session(session, Trigger.CLOSED)
        self._fail_route(half_open, session.peer_id, reason, by_peer=True)
        if found is not None and reason in {Reason.NOT_TRUSTED, Reason.REVOKED}:
            found[0].on_refused(reason)

    def _end(self, half_open: Initiating) -> None:
        half_open.stop()
        del self.half_opens.initiating[half_open.session_id]

    def _fail_route(
        self, half_open: Initiating, peer_id: NodeId | None, reason: Reason, *, by_peer: bool
    ) -> None:
        route = half_open.route
        dial = self.dials.pop(route, None)
        if dial is not None:
            dial.stop()
        for expected in {peer_id, half_open.pin}:
            if expected is not None:
                self._directory.route_failed(route, expected)
        self.context.events.append(events.ConnectFailed(route, peer_id, reason, by_peer))

    def lose(self, route: Route) -> None:
        """A connection is gone: nothing is tried on it any more."""
        dial = self.dials.pop(route, None)
        if dial is not None:
            dial.stop()
        for half_open in [h for h in self.half_opens.initiating.values() if h.route == route]:
            self._end(half_open)

    def close(self) -> None:
        """Nothing is tried any more."""
        for route in [*self.dials, *(h.route for h in self.half_opens.initiating.values())]:
            self.lose(route)

    # -- as responder

    def _on_message_1(self, parsed: HandshakeFrame, frame: bytes, origin: Origin) -> None:
        context = self.context
        half_opens = self.half_opens
        repeated = half_opens.repeated(frame)
        if repeated is not None:
            if repeated.route != origin.route:
                repeated.route = None
            context.transmits.append(Transmit(origin.route, repeated.answer))
            return
        if context.closing:
            return
        if parsed.psk_id != frames.MESH_PSK_ID:
            context.counters["handshakes.unknown_psk"] += 1
            return
        if not half_opens.room_for(origin.address):
            context.counters["dropped.half_open_limit"] += 1
            return
        session_id = context.random_id()
        responder = self._responder(parsed, session_id)
        try:
            responder.read_message_1(parsed.noise)
        except DecryptionFailed:
            # Another mesh's name or secret; or forged, which nobody can tell from that.
            context.counters["handshakes.other_mesh"] += 1
            return
        noise = responder.message_2(terms.ours(context.settings))
        answer = frames.pack_handshake(frames.MESSAGE_2, parsed.sender_session, session_id, noise)
        now = context.now.elapsed
        half_open = Responding(
            self, session_id, origin.address, origin.route, frame, responder, answer, now
        )
        half_opens.begin_responding(half_open)
        context.agenda.at(half_open.advance(now), half_open)
        context.transmits.append(Transmit(origin.route, answer))

    def _responder(self, parsed: HandshakeFrame, session_id: int) -> Responder:
        context = self.context
        settings = context.settings
        return Responder(
            context.credentials(),
            mesh_id=settings.mesh_id,
            psk=settings.psk,
            prologue=frames.prologue(
                settings.mesh_id, parsed.sender_session, parsed.psk_id, parsed.flags
            ),
            session_id=session_id,
            random_bytes=context.random_bytes,
        )

    def _on_message_3(self, frame: HandshakeFrame, origin: Origin) -> None:
        context = self.context
        half_open = self.half_opens.responding.get(frame.receiver_session)
        if half_open is None or context.closing:
            context.counters["dropped.unknown_handshake"] += 1
            return
        if half_open.message_3 is not None:
            if half_open.message_3 == frame.noise and half_open.final_answer:
                context.transmits.append(Transmit(origin.route, half_open.final_answer))
            return
        try:
            claim = half_open.responder.read_message_3(frame.noise, context.now.wall)
            self._check_welcome(claim.peer_id)
            their = terms.read(claim.peer_id, claim.terms, at_the_end=True)
        except Refused as refusal:
            self._answer_refusal(half_open, frame, refusal, origin)
            raise
        half_open.message_3 = frame.noise
        self.half_opens.settle(half_open)
        self._welcome(half_open, claim, their, origin)

    def _welcome(self, half_open: Responding, claim: Claim, their: Terms, origin: Origin) -> None:
        """The initiator is who it says and may come in: the first sealed frame says how."""
        association = self._directory.association(claim.peer_id, their.limits)
        ours = association.resume_for(their.instance)
        agreed = agree(ours, their.resume)
        session = self._session(
            half_open.responder.established,
            their,
            generation=1 + max(association.sessions.known_generation, their.generation),
            epoch=agreed.epoch,
        )
        association.add_session(session)
        expected = ours.next if ours.epoch == agreed.epoch else 1
        answer = [session.generation, agreed.epoch, expected]
        half_open.final_answer = association.sending.seal_control(session, messages.WELCOME, answer)
        self.context.transmits.append(Transmit(origin.route, half_open.final_answer))
        # Whoever overheard message 3 can repeat it by a way of his own.
        proved = origin.route if half_open.route == origin.route else None
        association.expect(session, agreed, proved)

    def _answer_refusal(
        self, half_open: Responding, frame: HandshakeFrame, refusal: Refused, origin: Origin
    ) -> None:
        """Tell a peer that proved itself why it is refused; then nothing is kept of it."""
        established = refusal.established
        if established is None and refusal.peer_id is not None:
            established = half_open.responder.established
        if established is None or refusal.peer_id is None:
            return
        half_open.message_3 = frame.noise
        half_open.final_answer = self._refusal_frame(established, refusal.reason)
        self.context.transmits.append(Transmit(origin.route, half_open.final_answer))
        if refusal.reason in {Reason.NOT_TRUSTED, Reason.REVOKED}:
            self.context.events.append(
                events.StrangerRefused(refusal.peer_id, origin.address, refusal.reason)
            )

    # -- both

    def _session(
        self,
        established: Established,
        their: Terms,
        *,
        generation: int,
        epoch: int,
        awaits_welcome: bool = False,
    ) -> Session:
        context = self.context
        now = context.now.elapsed
        return Session(
            established,
            own_id=context.identity.id,
            suite=terms.suite(context.settings, their),
            peer_instance=their.instance,
            generation=generation,
            epoch=epoch,
            lifetime=Lifetime.begin(
                now,
                rekey_after=context.settings.rekey_after_seconds,
                initiator=established.initiator,
                round_trip=0.0,
            ),
            chain_began=now,
            awaits_welcome=awaits_welcome,
            new_aead=context.new_aead,
        )

    def _refusal_frame(self, established: Established, reason: Reason) -> bytes:
        """The reason, sealed by the keys of a session that never begins.

        The suite is the one every node has: what was refused may be the terms themselves.
        """
        send_key, _ = established.traffic_keys(terms.COMMON_SUITE)
        return frames.pack_refusal(
            self.context.new_aead(terms.COMMON_SUITE, send_key),
            established.remote_session_id,
            dumps(reason.value),
        )
