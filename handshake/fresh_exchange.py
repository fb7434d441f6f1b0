"""New keys for a session that exists: Noise_KKpsk0 with the statics and a psk of the parent.

Both sides know each other from the parent, so a payload carries a session id and nothing else.
Randomness is handed in; a failed read changes nothing.
"""

from collections.abc import Callable

from handshake.constants import FRESH_PROTOCOL, LABEL_FRESH, SESSION_ID_BYTES
from handshake.errors import MalformedMessage
from handshake.established import Established, check_session_id, finished
from handshake.handshake_state import HandshakeState
from handshake.primitives import length_prefixed
from handshake.secret import HoldsSecret


class _FreshSide(HoldsSecret):
    """What both roles of a fresh exchange share; the parent session has proved all identities."""

    __slots__ = ("_established", "_noise", "_parent", "_remote_session_id", "_session_id")
    _initiator: bool

    def __init__(
        self, parent: Established, *, session_id: int, random_bytes: Callable[[int], bytes]
    ) -> None:
        self._parent = parent
        self._session_id = check_session_id(session_id)
        self._noise = HandshakeState(
            FRESH_PROTOCOL,
            initiator=self._initiator,
            prologue=length_prefixed(LABEL_FRESH, parent.handshake_hash),
            s=parent.local_static_private,
            rs=parent.remote_static,
            psks=(parent.export(),),
            random_bytes=random_bytes,
        )
        self._remote_session_id = 0
        self._established: Established | None = None

    @property
    def established(self) -> Established:
        """The result; raises WrongTurn before our last step succeeded."""
        return finished(self._established)

    def _write(self) -> bytes:
        return self._noise.write_message(self._session_id.to_bytes(SESSION_ID_BYTES, "big"))

    def _read(self, noise: bytes) -> None:
        payload, after = self._noise.after_reading(noise)
        self._remote_session_id = _fresh_session_id(payload)
        self._noise = after

    def _establish(self) -> Established:
        self._established = Established(
            initiator=self._initiator,
            peer_id=self._parent.peer_id,
            handshake_hash=self._noise.handshake_hash,
            local_static_private=self._parent.local_static_private,
            remote_static=self._parent.remote_static,
            local_session_id=self._session_id,
            remote_session_id=self._remote_session_id,
            split_keys=self._noise.export_split_keys(),
        )
        return self._established


class FreshInitiator(_FreshSide):
    """The side that begins a fresh exchange inside `parent`, whichever role it had there.

    `session_id` (1 to 2^64 - 1) is the new number we want to be sent to under. Raises
    InvalidPayload when it is out of range.
    """

    __slots__ = ()
    _initiator = True

    def message_1(self) -> bytes:
        """The first message, once."""
        return self._write()

    def read_message_2(self, noise: bytes) -> Established:
        """The result; raises DecryptionFailed or MalformedMessage and has changed nothing then."""
        self._read(noise)
        return self._establish()


class FreshResponder(_FreshSide):
    """The side that answers a fresh exchange inside `parent`. Arguments as `FreshInitiator`."""

    __slots__ = ()
    _initiator = False

    def read_message_1(self, noise: bytes) -> None:
        """Raises DecryptionFailed or MalformedMessage, after which nothing has changed."""
        self._read(noise)

    def message_2(self) -> bytes:
        """The second message, once; `established` is there afterwards."""
        message = self._write()
        self._establish()
        return message


def _fresh_session_id(payload: bytes) -> int:
    session_id = int.from_bytes(payload, "big")
    if len(payload) != SESSION_ID_BYTES or session_id == 0:
        raise MalformedMessage("the payload of a fresh exchange is a session id")
    return session_id
