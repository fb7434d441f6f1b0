"""A whole node without I/O: bytes, wishes and time in; frames to send and events out.

    engine.receive(frame, origin, now)       a part arrived
    engine.connect(route, now, ...)          a connection we dialled is there
    engine.lost(route, now)                  a connection is gone
    engine.refused(transmit, now)            a frame could not be put on its route
    engine.outgoing(peer)                    where messages to a peer are queued
    engine.flush(peer, now)                  send what is queued
    engine.finished(delivery, batch, now)    the handler of a run is done
    engine.advance(now)                      time has passed
    engine.transmits(), engine.events()      what came of it: take both after every input
    engine.next_deadline()                   when to call `advance` at the latest

Nothing here touches a socket, a clock or randomness of its own.
"""

from collections.abc import Callable
from typing import Protocol

from handshake.constants import Reason
from handshake.errors import DecryptionFailed
from handshake.identity import Identity, NodeId
from handshake.primitives import Aead
from mesh import constants
from mesh.counters import Counters
from mesh.delivery.delivery import Delivery
from mesh.delivery.outgoing import Outgoing
from mesh.engine.association import Association
from mesh.engine.context import Context
from mesh.engine.dial import Dial
from mesh.engine.directory import Directory
from mesh.engine.events import Event
from mesh.engine.settings import Settings
from mesh.errors import MalformedFrame
from mesh.model import Now, Origin, Route, Transmit
from mesh.trust.policy import Policy
from mesh.wire import frames


class Output(Protocol):
    """What came of an input, for a look that costs no call; `Engine` has the methods to take it."""

    transmits: list[Transmit]
    events: list[Event]


class Engine:
    """One node's protocol. `random_bytes`, `new_receipt` and `new_aead` as in `Context`."""

    def __init__(
        self,
        identity: Identity,
        settings: Settings,
        policy: Policy,
        *,
        random_bytes: Callable[[int], bytes],
        new_receipt: Callable[[], object] = object,
        new_aead: Callable[[str, bytes], Aead] = Aead,
        counters: Counters | None = None,
    ) -> None:
        self.counters = Counters() if counters is None else counters
        self._context = Context(
            identity, settings, policy, self.counters, random_bytes, new_receipt, new_aead
        )
        self.output: Output = self._context
        self._directory = Directory(self._context)
        self._handshaking = self._directory.handshaking

    @property
    def id(self) -> NodeId:
        """Our identity."""
        return self._context.identity.id

    # -- inputs

    def receive(self, frame: bytes | memoryview, origin: Origin, now: Now) -> None:
        """A part arrived at one of our sockets. Whatever is wrong with it is counted."""
        self._context.now = now
        counters = self.counters
        try:
            kind = frame[1] if len(frame) > 1 else 0
            if kind in frames.HANDSHAKE_TYPES:
                self._handshaking.receive(frame, origin)
            elif kind == frames.REFUSAL:
                self._handshaking.on_refusal(frame)
            else:
                header = frames.parse_data_header(frame)
                found = self._directory.sessions.get(header.receiver_session)
                if found is None:
                    counters["dropped.unknown_session"] += 1
                    return
                association, session = found
                association.on_frame(session, header, frame, origin.route)
                counters["received.frames"] += 1
                counters["received.bytes"] += len(frame)
        except DecryptionFailed:
            counters["dropped.forged"] += 1
        except MalformedFrame:
            counters["dropped.malformed"] += 1

    def connect(
        self, route: Route, now: Now, *, pin: NodeId | None = None, led_to: NodeId | None = None
    ) -> None:
        """A connection we dialled is there: prove who we are on it, and who answers.

        `pin`: the only identity to accept. `led_to`: who answered there before; if a session with
        that peer lives, a sealed `hello` comes first and a handshake only if it is not answered.
        """
        self._context.now = now
        dial = Dial(self._handshaking, route, pin)
        self._handshaking.dials[route] = dial
        answered_before = pin or led_to
        known = self._directory.associations.get(answered_before) if answered_before else None
        greeted = known is not None and known.hello(route)
        dial.begin_at(now.elapsed + (constants.HELLO_TIMEOUT_SECONDS if greeted else 0.0))
        self._context.agenda.advance(now.elapsed)

    def lost(self, route: Route, now: Now) -> None:
        """A connection is gone, or nobody listens to a return path any more."""
        self._context.now = now
        self._handshaking.lose(route)
        for association in self._directory.associations.values():
            association.lose(route)

    def refused(self, transmit: Transmit, now: Now) -> None:
        """A frame found no way: it is discarded, what it carried is sealed again later.

        A return path that refuses is gone; a connection of our own is only full.
        """
        self.counters["sent.refused"] += 1
        if not transmit.route.dialled:
            self.lost(transmit.route, now)

    def finished(self, delivery: Delivery, batch: int, now: Now) -> None:
        """The handler of one run of this batch is done with all its messages."""
        incoming = delivery.incoming
        incoming.finished_run(batch, now.elapsed)
        association = self._directory.associations.get(delivery.peer_id)
        if association is not None and association.delivery is delivery:
            self._context.agenda.at(incoming.due, association)

    def flush(self, delivery: Delivery, now: Now) -> None:
        """Send what is queued for this peer, if there is a way."""
        association = self._directory.associations.get(delivery.peer_id)
        if association is not None and association.delivery is delivery:
            self._context.now = now
            association.sending.flush()

    def send_closed(self, delivery: Delivery, now: Now) -> None:
        """Send the batches that are full, and leave the open one open."""
        association = self._directory.associations.get(delivery.peer_id)
        if association is not None and association.delivery is delivery:
            self._context.now = now
            association.sending.send_unsent()

    def ping(self, peer_id: NodeId, now: Now) -> int | None:
        """Ask a peer for a sign of life; `PongReceived` carries the token. None: no way there."""
        self._context.now = now
        association = self._directory.associations.get(peer_id)
        return None if association is None else association.ping()

    def trust_changed(self, now: Now) -> None:
        """The policy has changed: peers that are not allowed any more are told and dropped.

        What there was with them is forgotten after ten minutes, as a silent peer's delivery is.
        """
        self._context.now = now
        self._directory.trust_changed()

    def close(self, now: Now) -> list[NodeId]:
        """Say goodbye to everybody; whose answer (`PeerClosed`) is worth waiting for."""
        self._context.now = now
        self._context.closing = True
        self._handshaking.close()
        return [
            association.peer_id
            for association in self._directory.associations.values()
            if association.say_close(Reason.CLOSED)
        ]

    def advance(self, now: Now) -> None:
        """Do everything that is due."""
        self._context.now = now
        self._context.agenda.advance(now.elapsed)

    # -- outputs

    def transmits(self) -> list[Transmit]:
        """The frames to send, in order; they are the caller's now."""
        taken = self._context.transmits
        self._context.transmits = []
        return taken

    def events(self) -> list[Event]:
        """What happened, in order; the caller's now."""
        taken = self._context.events
        self._context.events = []
        return taken

    def next_deadline(self) -> float:
        """Elapsed seconds at which `advance` is due; `inf` for never."""
        return self._context.agenda.next_at

    # -- questions

    def outgoing(self, peer_id: NodeId) -> Outgoing | None:
        """Where messages to a peer are queued; None when there is no delivery with it."""
        association = self._directory.associations.get(peer_id)
        if association is None or association.delivery is None:
            return None
        return association.delivery.outgoing

    def association(self, peer_id: NodeId) -> Association | None:
        """What there is with one peer, to be looked at."""
        return self._directory.associations.get(peer_id)

    def associations(self) -> list[Association]:
        """What there is with every peer, to be looked at."""
        return list(self._directory.associations.values())
