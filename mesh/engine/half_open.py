"""Handshakes that have not ended yet, and the limits on them.

A first message that does not open (another mesh, or no knowledge of its secret) costs hashes and
one tag, and leaves nothing. One that opens costs a half-open record, an ephemeral key, two DH and a
signature; in an open mesh that is any stranger who guesses the name. So there are at most a few of
them an address and a bounded number in all, each for five seconds. Every message is answered from
cache when it is repeated, so that a lost answer costs nothing but time.
"""

from math import inf
from typing import TYPE_CHECKING

from handshake.authentication import Initiator, Responder
from handshake.identity import NodeId
from mesh import constants
from mesh.limits import HALF_OPEN_LOCAL, HALF_OPEN_PER_ADDRESS, HALF_OPEN_TOTAL
from mesh.model import Route, Transmit
from mesh.session.deadlines import Repeat
from mesh.session.session import Session

if TYPE_CHECKING:
    from mesh.engine.handshaking import Handshaking

_LOCAL = "local"


class Initiating:
    """An exchange we began on `route`; `pin`: whom we expect, if we know."""

    def __init__(
        self,
        owner: "Handshaking",
        session_id: int,
        route: Route,
        pin: NodeId | None,
        initiator: Initiator,
        frame: bytes,
        now: float,
    ) -> None:
        self.session_id = session_id
        self.route = route
        self.pin = pin
        self.initiator = initiator
        self.frame = frame
        self.session: Session | None = None
        self.scheduled = inf
        self._owner = owner
        self._repeat = Repeat(now)
        self._ends_at = now + constants.HANDSHAKE_TIMEOUT_SECONDS
        self._over = False

    def proceed(self, session: Session, frame: bytes, now: float) -> None:
        """Message 2 was accepted: message 3 is repeated from now until the welcome."""
        self.session = session
        self.frame = frame
        self._repeat = Repeat(now)

    def stop(self) -> None:
        """It has ended one way or another."""
        self._over = True

    def advance(self, now: float) -> float:
        """Repeat our last message, or give up."""
        if self._over:
            return inf
        if now >= self._ends_at:
            self._owner.on_timeout(self)
            return inf
        if self._repeat.due(now):
            self._owner.context.transmits.append(Transmit(self.route, self.frame))
        return min(self._repeat.at, self._ends_at)


class Responding:
    """An exchange that somebody at `address` began. `answer`: our last frame, from cache.

    `route`: the only way that our answer went, or None once it went by several: whoever shows that
    he has it may have it by any of them then.
    """

    def __init__(
        self,
        owner: "Handshaking",
        session_id: int,
        address: str,
        route: Route,
        message_1: bytes,
        responder: Responder,
        answer: bytes,
        now: float,
    ) -> None:
        self.session_id = session_id
        self.address = address
        self.route: Route | None = route
        self.message_1 = message_1
        self.responder = responder
        self.answer = answer
        self.counts = True
        self.message_3: bytes | None = None
        self.final_answer: bytes | bytearray = b""
        self.scheduled = inf
        self._owner = owner
        self._ends_at = now + constants.HANDSHAKE_TIMEOUT_SECONDS

    def advance(self, now: float) -> float:
        """End after five seconds, finished or not."""
        if now < self._ends_at:
            return self._ends_at
        self._owner.half_opens.end_responding(self)
        return inf


class HalfOpens:
    """All of them, by what the frames that belong to them carry."""

    def __init__(self) -> None:
        self.initiating: dict[int, Initiating] = {}
        self.responding: dict[int, Responding] = {}
        self._by_message_1: dict[bytes, Responding] = {}
        self._by_source: dict[str, int] = {}
        self._strangers = 0

    def room_for(self, address: str) -> bool:
        """Whether one more stranger from this address may begin."""
        if self._strangers >= HALF_OPEN_TOTAL:
            return False
        source = _source(address)
        limit = HALF_OPEN_LOCAL if source == _LOCAL else HALF_OPEN_PER_ADDRESS
        return self._by_source.get(source, 0) < limit

    def begin_responding(self, half_open: Responding) -> None:
        """Remember one that we answer."""
        self.responding[half_open.session_id] = half_open
        self._by_message_1[half_open.message_1] = half_open
        source = _source(half_open.address)
        self._by_source[source] = self._by_source.get(source, 0) + 1
        self._strangers += 1

    def settle(self, half_open: Responding) -> None:
        """Its peer proved itself and is trusted: kept for its cached answer, it counts no more."""
        if not half_open.counts:
            return
        half_open.counts = False
        self._strangers -= 1
        source = _source(half_open.address)
        self._by_source[source] -= 1
        if not self._by_source[source]:
            del self._by_source[source]

    def end_responding(self, half_open: Responding) -> None:
        """Forget it."""
        self.settle(half_open)
        del self.responding[half_open.session_id]
        del self._by_message_1[half_open.message_1]

    def repeated(self, message_1: bytes) -> Responding | None:
        """The half-open that this very first message began already."""
        return self._by_message_1.get(message_1)

    def begun_with(self, peer_id: NodeId) -> bool:
        """Whether we are in the middle of a handshake with this peer as its initiator."""
        return any(
            half_open.pin == peer_id
            or (half_open.session is not None and half_open.session.peer_id == peer_id)
            for half_open in self.initiating.values()
        )

    def begun_on(self, route: Route) -> bool:
        """Whether we are in the middle of a handshake on this route."""
        return any(half_open.route == route for half_open in self.initiating.values())


def is_local(address: str) -> bool:
    """Whether a program on this machine speaks: loopback, ipc, inproc."""
    return address in {"ipc", "::1", ""} or address.startswith("127.")


def _source(address: str) -> str:
    """Whom to count a stranger for: all programs on this machine share one generous limit."""
    return _LOCAL if is_local(address) else address
