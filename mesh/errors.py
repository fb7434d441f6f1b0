"""Every error noisemesh raises, and whose fault it is.

    MeshError
    ├── InvalidConfiguration            caller   a setting, name or key file that cannot be used
    │   └── HomeInUse                   caller   a node runs on this home already
    ├── InvalidMessage                  caller   the value cannot be carried
    │   └── MessageTooLarge             caller   over the limit of this node or of the peer
    ├── NodeClosed                      caller   the node is not running (any more)
    ├── WrongThread (RuntimeError)      caller   it was called outside the thread of its loop
    ├── AmbiguousName                   caller   another peer has that name already
    ├── BufferFull                      network  `post` found no room
    ├── PeerUnreachable                 network  no connection, or nobody answered
    │   └── UnknownPeer                 caller   nobody of that name is known
    ├── NotTrusted                      policy   one side does not trust the other
    │   ├── WrongPeer                   policy   somebody else answered than the one asked for
    │   └── Denied                      policy   the peer may not do that
    ├── DeliveryFailed                  peer     the message ended without an acknowledgement
    │   └── PeerRestarted               peer     the instance it was sent to is gone
    ├── CallFailed                      peer     the handler raised
    ├── CallTimeout (TimeoutError)      peer     no reply in time
    ├── WaitTimeout (TimeoutError)      peer     what was waited for did not come in time
    ├── NoHandler                       peer     it has no service of that subject
    └── MalformedFrame                  peer     bytes that are not what this wire says

`fault` names the side to look at first. A peer is told a reason code, never the text of an error.
"""

from typing import ClassVar, Literal

Fault = Literal["caller", "peer", "network", "policy", "ours"]
Outcome = Literal["not_delivered", "unknown"]


class MeshError(Exception):
    """Root of everything that noisemesh raises on purpose."""

    fault: ClassVar[Fault] = "ours"


class InvalidConfiguration(MeshError, ValueError):
    """A setting, name, file or key cannot be used as it is; the text says which and why."""

    fault = "caller"


class HomeInUse(InvalidConfiguration):
    """The home has a node that runs: in another process, in this one, or this very node."""


class InvalidMessage(MeshError, ValueError):
    """The value cannot be carried: it would not arrive as it was sent."""

    fault = "caller"


class MessageTooLarge(InvalidMessage):
    """The encoded message is over the limit of this node or of the peer."""


class NodeClosed(MeshError):
    """The node was never started or is closed."""

    fault = "caller"


class WrongThread(MeshError, RuntimeError):
    """A node was called from another thread than that of its event loop; nothing was done."""

    fault = "caller"


class AmbiguousName(MeshError):
    """The name that a peer was to get is the name of another one already."""

    fault = "caller"


class BufferFull(MeshError):
    """`post` never waits, and there was no room."""

    fault = "network"


class PeerUnreachable(MeshError):
    """There is no connection to the peer, or nobody answered in time."""

    fault: ClassVar[Fault] = "network"


class UnknownPeer(PeerUnreachable):
    """No peer of that name is trusted or connected."""

    fault = "caller"


class NotTrusted(MeshError):
    """One side does not trust the other; the text holds the command that would change it."""

    fault = "policy"


class WrongPeer(NotTrusted):
    """The endpoint was answered by another identity than the one asked for."""


class Denied(NotTrusted):
    """The peer proved itself, but may not do that."""


class DeliveryFailed(MeshError):
    """A message ended without an acknowledgement.

    `outcome` is "not_delivered" when the peer surely never handled it, "unknown" when it may have.
    """

    fault = "peer"

    def __init__(self, text: str, outcome: Outcome = "unknown") -> None:
        super().__init__(text)
        self.outcome: Outcome = outcome

    @property
    def fate(self) -> str:
        """What `outcome` means, in words for people."""
        surely = self.outcome == "not_delivered"
        return "it was not delivered" if surely else "it may have been handled"


class PeerRestarted(DeliveryFailed):
    """The instance of the peer that the message was sent to is gone."""


class CallFailed(MeshError):
    """The handler at the peer raised.

    `kind` is the name of its exception's type, `text` what it said; no traceback crosses the wire.
    """

    fault = "peer"

    def __init__(self, kind: str, text: str) -> None:
        super().__init__(kind, text)
        self.kind = kind
        self.text = text

    def __str__(self) -> str:
        return f"{self.kind}: {self.text}" if self.text else self.kind


class CallTimeout(MeshError, TimeoutError):
    """No reply came within the call's timeout; the handler was told to stop."""

    fault = "peer"


class WaitTimeout(MeshError, TimeoutError):
    """The peer did not come to what was waited for, in time."""

    fault = "peer"


class NoHandler(MeshError):
    """Nobody at the peer serves that subject."""

    fault = "peer"


class MalformedFrame(MeshError, ValueError):
    """Bytes from a peer are not what this wire says."""

    fault = "peer"
