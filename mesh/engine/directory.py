"""Who is who: peers by id, sessions by the id that frames carry."""

from math import inf

from handshake.constants import Reason
from handshake.identity import NodeId
from mesh import constants
from mesh.engine import events
from mesh.engine.association import Association
from mesh.engine.context import Context
from mesh.engine.handshaking import Handshaking
from mesh.engine.resume import Memory
from mesh.engine.terms import Limits
from mesh.limits import FORGOTTEN_REMEMBERED
from mesh.model import Route
from mesh.session.session import Session
from mesh.trust.policy import Decision


class _Leaving:
    """A peer that is not trusted any more, until what there was with it is forgotten.

    Its one deadline is set with the agenda by whoever makes it.
    """

    def __init__(self, directory: "Directory", peer_id: NodeId) -> None:
        self.scheduled = inf
        self._directory = directory
        self._peer_id = peer_id

    def advance(self, _now: float) -> float:
        """It is time to forget it."""
        self._directory.left(self, self._peer_id)
        return inf


class Directory:
    """All associations of one engine, and the ways between its rooms."""

    def __init__(self, context: Context) -> None:
        self.context = context
        self.associations: dict[NodeId, Association] = {}
        self.sessions: dict[int, tuple[Association, Session]] = {}
        self.handshaking = Handshaking(context, self)
        self._leaving: dict[NodeId, _Leaving] = {}
        self._memories: dict[NodeId, Memory] = {}

    def association(self, peer_id: NodeId, limits: Limits) -> Association:
        """The association with a trusted peer, made when it is new; `limits` as it just said."""
        association = self.associations.get(peer_id)
        if association is None:
            memory = self._memories.pop(peer_id, None)
            if memory is None:
                memory = Memory()
            association = Association(peer_id, self.context, self, limits, memory)
            self.associations[peer_id] = association
        association.limits = limits
        return association

    def has_place_for(self, peer_id: NodeId) -> bool:
        """Whether this peer has a session already, or may still have one (`max_peers`)."""
        with_sessions = {association.peer_id for association, _ in self.sessions.values()}
        with_sessions.add(peer_id)
        return len(with_sessions) <= self.context.settings.max_peers

    def add_session(self, association: Association, session: Session) -> None:
        """Frames with this session's id belong to it from now on."""
        self.sessions[session.local_id] = (association, session)

    def forget_session(self, session: Session) -> None:
        """They do not any more."""
        self.sessions.pop(session.local_id, None)
        self.handshaking.abandon(session)

    def route_of(self, session: Session) -> Route | None:
        """The route of the exchange we began that made this session, while it is not over."""
        return self.handshaking.route_of(session)

    def begin_handshake(self, route: Route, peer_id: NodeId) -> None:
        """Begin an XX exchange with a peer we know."""
        self.handshaking.begin(route, peer_id)

    def finish_handshake(self, session: Session) -> None:
        """The exchange that made this session has ended well."""
        self.handshaking.finish(session)

    def route_failed(self, route: Route, peer_id: NodeId) -> None:
        """An exchange with this peer was refused: whatever else is sent to it goes elsewhere."""
        association = self.associations.get(peer_id)
        if association is not None:
            association.give_up(route)

    def authenticated(self, route: Route, peer_id: NodeId) -> None:
        """A connection we dialled leads to this peer."""
        dial = self.handshaking.dials.pop(route, None)
        if dial is not None:
            dial.stop()
        self.context.events.append(events.RouteAuthenticated(route, peer_id))

    def drop(self, association: Association, reason: Reason) -> None:
        """End everything with a peer now: say why, fail what waits, forget the keys."""
        association.say_close(reason)
        closed = events.PeerClosed(association.peer_id, reason, by_us=True)
        association.context.events.append(closed)
        association.end_delivery(closed.text)
        association.end_all_sessions()

    # -- peers that come and go

    def trust_changed(self) -> None:
        """Peers that are not allowed any more are told and dropped, and forgotten in a while."""
        context = self.context
        for peer_id, association in self.associations.items():
            decision = context.policy.decide(peer_id)
            if decision is Decision.ALLOWED:
                self._leaving.pop(peer_id, None)
                continue
            if association.in_use:
                denied = decision is Decision.DENIED
                self.drop(association, Reason.REVOKED if denied else Reason.NOT_TRUSTED)
            if peer_id not in self._leaving:
                leaving = self._leaving[peer_id] = _Leaving(self, peer_id)
                context.agenda.at(context.now.elapsed + constants.DELIVERY_KEPT_SECONDS, leaving)

    def left(self, leaving: _Leaving, peer_id: NodeId) -> None:
        """The time of a peer that left is over, unless it has come back meanwhile."""
        if self._leaving.get(peer_id) is leaving:
            del self._leaving[peer_id]
            self.forget(peer_id)

    def forget(self, peer_id: NodeId) -> None:
        """Keep of this peer only which epochs are behind us; not while it is trusted or in use."""
        association = self.associations.get(peer_id)
        if association is None or association.in_use:
            return
        if self.context.policy.decide(peer_id) is Decision.ALLOWED:
            return
        del self.associations[peer_id]
        if len(association.memory):
            self._memories[peer_id] = association.memory
        if len(self._memories) > FORGOTTEN_REMEMBERED:
            del self._memories[next(iter(self._memories))]
