"""What the rooms of one engine share: settings, trust, randomness handed in, and its output."""

from collections.abc import Callable
from dataclasses import dataclass, field

from handshake.authentication import Credentials
from handshake.constants import CLOCK_TOLERANCE_SECONDS
from handshake.identity import Identity, NodeId
from handshake.primitives import Aead, x25519_public
from mesh.counters import Counters
from mesh.delivery.delivery import Delivery
from mesh.delivery.incoming import Incoming
from mesh.delivery.outgoing import Outgoing
from mesh.engine.agenda import Agenda
from mesh.engine.events import Event
from mesh.engine.settings import Settings
from mesh.engine.terms import Limits
from mesh.limits import DELEGATION_SECONDS, STATIC_KEY_SECONDS
from mesh.model import Now, Transmit
from mesh.trust.policy import Policy

_BEFORE_TIME = Now(0.0, 0.0)


@dataclass(slots=True)
class Context:
    """`random_bytes(n)`: n unpredictable bytes. `new_receipt()`: the owner's delivery object.

    `new_aead(suite, key)`: what seals and opens frames under one key.
    """

    identity: Identity
    settings: Settings
    policy: Policy
    counters: Counters
    random_bytes: Callable[[int], bytes]
    new_receipt: Callable[[], object]
    new_aead: Callable[[str, bytes], Aead] = Aead
    agenda: Agenda = field(default_factory=Agenda)
    transmits: list[Transmit] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    now: Now = _BEFORE_TIME
    closing: bool = False
    _credentials: Credentials | None = field(default=None, repr=False)
    _credentials_made: Now = _BEFORE_TIME

    def random_id(self) -> int:
        """A session id or token: 64 random bits, never zero."""
        return int.from_bytes(self.random_bytes(8), "big") or 1

    def new_delivery(
        self, peer_id: NodeId, instance: bytes, epoch: int, limits: Limits
    ) -> Delivery:
        """The delivery with an instance of a peer; `limits`: what that peer said of itself."""
        settings = self.settings
        outgoing = Outgoing(
            self.new_receipt,
            window_bytes=limits.window_bytes,
            max_message_bytes=min(limits.max_message_bytes, settings.max_message_bytes),
            kept_bytes=settings.window_bytes,
        )
        incoming = Incoming(
            window_bytes=settings.window_bytes,
            kept_bytes=limits.window_bytes,
            large_bytes=settings.max_message_bytes,
            counters=self.counters,
        )
        return Delivery(peer_id, instance, epoch, outgoing, incoming)

    def credentials(self) -> Credentials:
        """Our identity and the X25519 key it delegates; the key is made anew every day."""
        made = self._credentials
        if made is None or not self._credentials_are_young():
            wall = self.now.wall
            private = self.random_bytes(32)
            delegation = self.identity.delegate(
                x25519_public(private),
                # Valid at peers whose clock is behind ours, too.
                max(0, int(wall) - CLOCK_TOLERANCE_SECONDS),
                int(wall + DELEGATION_SECONDS),
                self.settings.mesh_id,
            )
            made = self._credentials = Credentials(self.identity, private, delegation)
            self._credentials_made = self.now
        return made

    def _credentials_are_young(self) -> bool:
        """By both clocks: the wall's judges delegations, and it may be set back a little each day.

        A chain of sessions lives for a day of elapsed time. By the wall's clock alone the same key
        would begin the next one.
        """
        made, now = self._credentials_made, self.now
        by_wall = 0 <= now.wall - made.wall < STATIC_KEY_SECONDS
        return by_wall and now.elapsed - made.elapsed < STATIC_KEY_SECONDS
