"""Renewing the session that is sent on by a fresh exchange: new keys, the same two identities.

Two KK messages travel as control runs on the parent. Whoever completes the exchange pings on the
new session until a frame arrives there; until then both sides go on with the parent.
"""

from typing import TYPE_CHECKING

from handshake.authentication import Established, FreshInitiator, FreshResponder
from handshake.errors import HandshakeError
from mesh import constants
from mesh.model import Route
from mesh.session.deadlines import Lifetime, Repeat
from mesh.session.session import Session
from mesh.session.states import State
from mesh.wire import messages

if TYPE_CHECKING:
    from mesh.engine.association import Association


class Renewal:
    """The fresh exchanges of one association: the one we began, and answers we gave."""

    def __init__(self, association: "Association") -> None:
        self._association = association
        self._parent: Session | None = None
        self._initiator: FreshInitiator | None = None
        self._message_1 = b""
        self._repeat = Repeat(0.0)
        self._answers: dict[int, tuple[bytes, bytes]] = {}
        # The session whose heir was made and waits to be confirmed, and until when we wait too.
        self._parent_of_heir: Session | None = None
        self._patient_until = 0.0

    # -- as initiator

    def advance(self, now: float) -> None:
        """Begin an exchange that is due, or repeat its first message."""
        current = self._association.sessions.current
        if self._parent is not None and self._parent is not current:
            self.stop()
        if current is None or not self.due(current, now):
            return
        if self._parent is None:
            if now >= self._patience(current):
                self._begin(current, now)
        elif self._repeat.due(now):
            self._association.sending.control(current, messages.FRESH_1, self._message_1)

    def due(self, session: Session, now: float) -> bool:
        """Whether this session is to be renewed by a fresh exchange."""
        return session.wants_renewal(now) and not self.chain_is_old(session, now)

    def chain_is_old(self, session: Session, now: float) -> bool:
        """Whether identities have to be proved again: a chain of sessions lives for a day."""
        return now >= session.chain_began + constants.SESSION_CHAIN_SECONDS

    def _patience(self, session: Session) -> float:
        """Until when we begin nothing, because the heir of this session is being confirmed."""
        return self._patient_until if session is self._parent_of_heir else 0.0

    def stop(self) -> None:
        """Give up the exchange we began."""
        self._parent = self._initiator = None

    def _begin(self, parent: Session, now: float) -> None:
        context = self._association.context
        self._initiator = FreshInitiator(
            parent.established, session_id=context.random_id(), random_bytes=context.random_bytes
        )
        self._parent = parent
        self._message_1 = self._initiator.message_1()
        self._repeat = Repeat(now)
        context.counters["rekeys.begun"] += 1
        self._association.sending.control(parent, messages.FRESH_1, self._message_1)

    def on_message_2(self, parent: Session, message: object) -> None:
        """The answer to our first message: the exchange is complete on our side."""
        if parent is not self._parent or self._initiator is None or type(message) is not bytes:
            return
        association = self._association
        try:
            established = self._initiator.read_message_2(message)
        except HandshakeError:
            association.context.counters["rekeys.refused"] += 1
            return
        self.stop()
        session = self._add(parent, established)
        now = association.context.now.elapsed
        session.confirming_ping = Repeat(now)
        association.sending.control(session, messages.PING, association.liveness.ping(now))

    # -- as responder

    def on_message_1(self, parent: Session, message: object, route: Route) -> None:
        """The peer renews `parent`; a repeated message is answered from cache, by its route."""
        association = self._association
        now = association.context.now.elapsed
        if parent.state is not State.CONFIRMED or type(message) is not bytes:
            return
        if self.chain_is_old(parent, now):
            return
        answered = self._answers.get(parent.local_id)
        if answered is not None and answered[0] == message:
            association.sending.control(parent, messages.FRESH_2, answered[1], route=route)
            return
        context = association.context
        responder = FreshResponder(
            parent.established, session_id=context.random_id(), random_bytes=context.random_bytes
        )
        try:
            responder.read_message_1(message)
        except HandshakeError:
            context.counters["rekeys.refused"] += 1
            return
        message_2 = responder.message_2()
        self._answers[parent.local_id] = (message, message_2)
        self._add(parent, responder.established)
        association.sending.control(parent, messages.FRESH_2, message_2, route=route)

    # -- both

    def on_new_path(self) -> None:
        """What an exchange said last may have died with the old path: say it again at once.

        The pauses of its repeats had grown while there was no way to the peer.
        """
        association = self._association
        sending, sessions = association.sending, association.sessions
        now = association.context.now.elapsed
        if self._parent is not None and self._parent is sessions.current:
            self._repeat = Repeat(now)
            sending.control(self._parent, messages.FRESH_1, self._message_1)
        for session in self._unconfirmed():
            session.confirming_ping = Repeat(now)
            sending.control(session, messages.PING, association.liveness.ping(now))

    def greet(self, route: Route) -> bool:
        """Repeat a `hello` on each session that waits to be confirmed: True, as it was said.

        The peer may have taken that one, and be done with the older one that we send on.
        """
        association = self._association
        token = association.routes.token(route)
        for session in self._unconfirmed():
            association.sending.control(session, messages.HELLO, token, route=route)
        return True

    def _unconfirmed(self) -> list[Session]:
        """Sessions that are complete on our side, and on which no frame has come."""
        sessions = self._association.sessions.by_id.values()
        return [session for session in sessions if session.confirming_ping is not None]

    def on_confirmed(self, session: Session) -> None:
        """A session was confirmed: answers on older ones are not needed any more."""
        if session is self._association.sessions.current:
            self._answers.clear()

    def deadlines(self) -> list[float]:
        """When to begin or repeat, and when identities have to be proved again."""
        current = self._association.sessions.current
        if current is None:
            return []
        begin = max(current.lifetime.renew_at, self._patience(current))
        following = begin if self._parent is None else self._repeat.at
        return [following, current.chain_began + constants.SESSION_CHAIN_SECONDS]

    def _add(self, parent: Session, established: Established) -> Session:
        association = self._association
        context = association.context
        session = Session(
            established,
            own_id=context.identity.id,
            suite=parent.suite,
            peer_instance=parent.peer_instance,
            generation=parent.generation + 1,
            epoch=parent.epoch,
            lifetime=Lifetime.begin(
                context.now.elapsed,
                rekey_after=context.settings.rekey_after_seconds,
                initiator=established.initiator,
                round_trip=association.liveness.round_trip,
            ),
            chain_began=parent.chain_began,
            fresh=True,
            new_aead=context.new_aead,
        )
        association.add_session(session)
        self._parent_of_heir = parent
        self._patient_until = context.now.elapsed + constants.HANDSHAKE_TIMEOUT_SECONDS
        return session
