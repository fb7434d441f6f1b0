"""Every error of the handshake, and whose fault it is.

    HandshakeError
    ├── InvalidProtocolName (ValueError)   caller   a name that is no protocol we speak
    ├── InvalidKey (ValueError)            caller   a key nobody may use: length, order, encoding
    ├── InvalidPayload (ValueError)        caller   a payload that cannot be sent
    ├── WrongTurn                          caller   a step taken out of order, or twice
    ├── NonceExhausted                     ours     a key sealed or opened all it may
    ├── MalformedMessage (ValueError)      peer     too short, too long, or an unusable key in it
    ├── DecryptionFailed                   peer     one thing, and no reason is given
    └── Refused                            peer     opened, understood, and not accepted

Nothing here touches anything: the module only names failures. A peer is told a `Reason` and
never the text of an error.
"""

from typing import TYPE_CHECKING, ClassVar, Literal

from handshake.constants import Reason

if TYPE_CHECKING:
    from handshake.established import Established
    from handshake.identity import NodeId

Fault = Literal["caller", "peer", "ours"]


class HandshakeError(Exception):
    """Root of everything that `handshake` raises on purpose; `fault` names the side to look at."""

    fault: ClassVar[Fault] = "ours"


class InvalidProtocolName(HandshakeError, ValueError):
    """The name is not that of a Noise protocol (or a cipher suite) that is spoken here."""

    fault = "caller"


class InvalidKey(HandshakeError, ValueError):
    """Nobody may use this key: wrong length, low or small order, or not its one encoding."""

    fault = "caller"


class InvalidPayload(HandshakeError, ValueError):
    """Our own side asked to send a payload that is too long or uses a reserved name."""

    fault = "caller"


class WrongTurn(HandshakeError):
    """A step was asked for out of order, or a second time; the state is what it was."""

    fault = "caller"


class NonceExhausted(HandshakeError):
    """The counter of a key has reached its end; only another key can go on."""

    fault = "ours"


class MalformedMessage(HandshakeError, ValueError):
    """The peer's message is too short or too long, or holds a key nobody may use."""

    fault = "peer"


class DecryptionFailed(HandshakeError):
    """Something did not open. Wrong key, changed bytes, other data: no difference is shown."""

    fault = "peer"


class Refused(HandshakeError):
    """A message was opened and understood, and its sender is not accepted.

    `reason` is for logs, counters and (once the peer has proved itself) the peer; `peer_id` is
    the identity the refusal is about, None while nobody has proved one; `detail` is for our log
    alone. `established` is set when the exchange itself was complete and is over now: its keys may
    seal one message that tells the peer the reason, and nothing else.
    """

    fault = "peer"

    def __init__(
        self,
        reason: Reason,
        peer_id: "NodeId | None" = None,
        detail: str = "",
        established: "Established | None" = None,
    ) -> None:
        super().__init__(reason, peer_id, detail)
        self.reason = reason
        self.peer_id = peer_id
        self.detail = detail
        self.established = established

    def __str__(self) -> str:
        return f"{self.reason}: {self.detail}" if self.detail else str(self.reason)
