"""Who is who: peers by id, sessions by the id that frames carry."""

from handshake.constants import Reason
from handshake.identity import NodeId
from mesh.engine import events
from mesh.engine.association import Association
from mesh.engine.context import Context
from mesh.engine.handshaking import Handshaking
from mesh.engine.terms import Limits
from mesh.model import Route
from mesh.session.session import Session


class Directory:
    """All associations of one engine, and the ways between its rooms."""

    def __init__(self, context: Context) -> None:
        self.context = context
        self.associations: dict[NodeId, Association] = {}
        self.sessions: dict[int, tuple[Association, Session]] = {}
        self.handshaking = Handshaking(context, self)

    def association(self, peer_id: NodeId, limits: Limits) -> Association:
        """The association with a trusted peer, made when it is new; `limits` as it just said."""
        association = self.associations.get(peer_id)
        if association is None:
            association = Association(peer_id, self.context, self, limits)
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
        association.context.events.append(events.PeerClosed(association.peer_id, reason))
        association.end_delivery(f"closed here: {reason.value}")
        association.end_all_sessions()
