"""The mutually authenticated exchange: from two identities to an `Established` one.

`Initiator` and `Responder` run Noise_XXpsk0 and prove, inside its payloads, which identity speaks
through the static key. Nothing here touches a clock or a socket: time and randomness are handed
in. A failed read changes nothing, so a forged message cannot keep the genuine one from being read
later.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from handshake.constants import (
    LABEL_MESH_ID,
    LABEL_MESH_PSK,
    MESH_ID_BYTES,
    MESH_SECRET_BYTES,
    ROLE_INITIATOR,
    ROLE_RESPONDER,
    UNKNOWN_ID,
    WIRE_PROTOCOL,
    Reason,
)
from handshake.errors import (
    InvalidKey,
    MalformedMessage,
    Refused,
    WrongTurn,
)
from handshake.established import Established, check_session_id, finished
from handshake.fresh_exchange import FreshInitiator, FreshResponder
from handshake.handshake_state import HandshakeState, KeyPair
from handshake.identity import Delegation, Identity, NodeId
from handshake.payload import pack_payload, proof_text, read_payload
from handshake.primitives import (
    SHA256,
    derive_key,
    ed25519_verify,
    length_prefixed,
    require_length,
)
from handshake.secret import HoldsSecret, Secret

__all__ = [
    "Claim",
    "Credentials",
    "Established",
    "FreshInitiator",
    "FreshResponder",
    "Initiator",
    "Responder",
    "mesh_id",
    "mesh_psk",
]


def mesh_id(name: str) -> bytes:
    """The 32-byte id of the mesh of that name: public, and the same for everybody."""
    return SHA256.hash(length_prefixed(LABEL_MESH_ID, name.encode()))


def mesh_psk(mesh_id: bytes, mesh_secret: bytes | None) -> bytes:
    """The 32-byte psk of message 1: knowing it is what makes a caller no stranger.

    `mesh_secret` is 32 random bytes or None for an open mesh, whose psk anybody who guesses the
    name can compute. Raises InvalidKey for another length.
    """
    if mesh_secret is not None:
        mesh_secret = Secret.of(mesh_secret)
    require_length("a mesh id", mesh_id, MESH_ID_BYTES)
    if mesh_secret is None:
        return derive_key(mesh_id, LABEL_MESH_PSK)
    require_length("a mesh secret", mesh_secret, MESH_SECRET_BYTES)
    return derive_key(Secret(mesh_id + mesh_secret), LABEL_MESH_PSK)


@dataclass(frozen=True, slots=True, repr=False, eq=False, init=False)
class Credentials(HoldsSecret):
    """What a node proves itself with: its identity and a static X25519 key delegated by it.

    Raises InvalidKey when `delegation` is for another key than that of `static_private`.
    """

    identity: Identity
    static_keys: KeyPair
    delegation: Delegation

    def __init__(self, identity: Identity, static_private: bytes, delegation: Delegation) -> None:
        static_private = Secret.of(static_private)
        static_keys = KeyPair.of(static_private)
        if static_keys.public != delegation.static_key:
            raise InvalidKey("the delegation is for another static key")
        object.__setattr__(self, "identity", identity)
        object.__setattr__(self, "static_keys", static_keys)
        object.__setattr__(self, "delegation", delegation)

    @property
    def static_private(self) -> Secret:
        """The private half of the static key."""
        return self.static_keys.private


class Claim(NamedTuple):
    """What a peer proved (its id and static key) and what it said beside it.

    `session_id` is the number to send to it under; `terms` are the bytes behind all this in its
    payload, authentic but not looked at here.
    """

    peer_id: NodeId
    static_key: bytes
    session_id: int
    terms: bytes


class _Side(HoldsSecret):
    """What both roles of the wire's exchange share: the Noise state, our payload, the checks."""

    __slots__ = (
        "_claim",
        "_credentials",
        "_established",
        "_mesh_id",
        "_noise",
        "_session_id",
    )
    _role: bytes
    _peer_role: bytes

    def __init__(
        self,
        credentials: Credentials,
        *,
        mesh_id: bytes,
        psk: bytes,
        prologue: bytes,
        session_id: int,
        random_bytes: Callable[[int], bytes],
    ) -> None:
        psk = Secret.of(psk)
        require_length("a mesh id", mesh_id, MESH_ID_BYTES)
        self._credentials = credentials
        self._mesh_id = mesh_id
        self._session_id = check_session_id(session_id)
        self._noise = HandshakeState(
            WIRE_PROTOCOL,
            initiator=self._role == ROLE_INITIATOR,
            prologue=prologue,
            s=credentials.static_keys,
            psks=(psk,),
            random_bytes=random_bytes,
        )
        self._claim: Claim | None = None
        self._established: Established | None = None

    @property
    def established(self) -> Established:
        """The result; raises WrongTurn before our last step succeeded."""
        return finished(self._established)

    def _expect(self, message_number: int) -> None:
        """Noise knows whose turn it is; which of our steps that is, it cannot know."""
        if self._noise.message_number != message_number:
            raise WrongTurn(f"message {self._noise.message_number + 1} comes next")

    def _payload(self, payload_hash: bytes, peer_id: bytes, terms: bytes) -> bytes:
        identity = self._credentials.identity
        delegation = self._credentials.delegation
        text = proof_text(self._role, payload_hash, delegation.static_key, peer_id)
        proof = identity.sign(text)
        return pack_payload(identity.id, self._session_id, delegation, proof, terms)

    def _read_claim(
        self, payload: bytes, noise: HandshakeState, wall: float, our_id_or_unknown: bytes
    ) -> Claim:
        """Check the payload of a message that `noise` has just read; raises Refused.

        The proof comes first: only who has proved itself is told more than that it failed.
        """
        static_key = _static_of(noise)
        said = read_payload(payload, static_key)
        text = proof_text(self._peer_role, noise.payload_hash, static_key, our_id_or_unknown)
        if not ed25519_verify(said.peer_id, text, said.proof):
            raise Refused(Reason.BAD_PROOF, None, f"for the id {said.peer_id}")
        claim = Claim(said.peer_id, static_key, said.session_id, said.terms)
        try:
            self._accept(claim, said.delegation, wall)
        except Refused as refusal:
            if noise.finished:
                # These keys may seal the refusal, so this exchange must never yield them again.
                refusal.established = self._result(claim, noise)
                self._noise = noise
            raise
        return claim

    def _accept(self, claim: Claim, delegation: Delegation, wall: float) -> None:
        delegation.verify(claim.peer_id, self._mesh_id, wall)
        ours = self._credentials
        if claim.peer_id == ours.identity.id or claim.static_key == ours.delegation.static_key:
            raise Refused(Reason.OURSELVES, claim.peer_id, "the other end is this identity")

    def _result(self, claim: Claim, noise: HandshakeState) -> Established:
        return Established(
            initiator=self._role == ROLE_INITIATOR,
            peer_id=claim.peer_id,
            handshake_hash=noise.handshake_hash,
            local_static_private=self._credentials.static_private,
            remote_static=claim.static_key,
            local_session_id=self._session_id,
            remote_session_id=claim.session_id,
            split_keys=noise.export_split_keys(),
        )


class Initiator(_Side):
    """The side that begins: message 1 out, 2 in, 3 out.

    `mesh_id`, `psk` and `prologue` are what both sides must agree on; `session_id` (1 to
    2^64 - 1) is the number we want to be sent to under. Raises InvalidKey for a wrong length,
    InvalidPayload for a session id out of range.
    """

    __slots__ = ()
    _role = ROLE_INITIATOR
    _peer_role = ROLE_RESPONDER

    def message_1(self) -> bytes:
        """Message 1: an ephemeral key and a tag that proves knowledge of the psk."""
        self._expect(0)
        return self._noise.write_message()

    def read_message_2(
        self, noise: bytes, wall: float, check: Callable[[Claim], None] | None = None
    ) -> Claim:
        """Read message 2 at `wall` (seconds since the epoch): who answered, proved.

        `check` may look at the claim (a pin, trust) and raise, which also changes nothing. Raises
        Refused, DecryptionFailed or MalformedMessage for the peer's faults; then a genuine
        message 2 can still be read. Raises WrongTurn after one was.
        """
        self._expect(1)
        payload, after = self._noise.after_reading(noise)
        claim = self._read_claim(payload, after, wall, UNKNOWN_ID)
        if check is not None:
            check(claim)
        self._noise = after
        self._claim = claim
        return claim

    def message_3(self, terms: bytes = b"") -> bytes:
        """Message 3, once: our own proof, for this peer, and whatever else we have to say.

        Raises WrongTurn before message 2 was read and the second time, InvalidPayload when `terms`
        are too long for a message.
        """
        claim = finished(self._claim)
        message = self._noise.write_message(lambda h: self._payload(h, claim.peer_id, terms))
        self._established = self._result(claim, self._noise)
        return message


class Responder(_Side):
    """The side that answers: message 1 in, 2 out, 3 in. Arguments and errors as `Initiator`."""

    __slots__ = ()
    _role = ROLE_RESPONDER
    _peer_role = ROLE_INITIATOR

    def read_message_1(self, noise: bytes) -> None:
        """Read message 1: its sender knows the psk, and nothing else is known of it.

        Whoever does not know it costs hashes and one tag: no DH comes before that.

        Raises DecryptionFailed or MalformedMessage, after which nothing has changed.
        """
        self._expect(0)
        payload, after = self._noise.after_reading(noise)
        if payload:
            raise MalformedMessage("the payload of message 1 is empty")
        self._noise = after

    def message_2(self, terms: bytes = b"") -> bytes:
        """Message 2, once: our proof, for a peer whose id is not known yet, and `terms`.

        Raises WrongTurn out of turn, InvalidPayload when `terms` are too long for a message.
        """
        self._expect(1)
        return self._noise.write_message(lambda h: self._payload(h, UNKNOWN_ID, terms))

    def read_message_3(self, noise: bytes, wall: float) -> Claim:
        """Read message 3 at `wall` (seconds since the epoch): who began, proved.

        Raises Refused, DecryptionFailed or MalformedMessage for the peer's faults; nothing has
        changed then, with one exception: a Refused whose peer had proved itself is final (WrongTurn
        from here on) and carries `established`, so that it can be told the reason under seal.
        """
        self._expect(2)
        payload, after = self._noise.after_reading(noise)
        claim = self._read_claim(payload, after, wall, self._credentials.identity.id)
        self._noise = after
        self._claim = claim
        self._established = self._result(claim, after)
        return claim


def _static_of(noise: HandshakeState) -> bytes:
    static_key = noise.remote_static
    assert static_key is not None
    return static_key
