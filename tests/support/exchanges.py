"""Nodes and a liar for the tests of the handshake's exchanges."""

from handshake import authentication
from handshake.authentication import Credentials, mesh_psk
from handshake.constants import WIRE_PROTOCOL
from handshake.handshake_state import HandshakeState
from handshake.identity import Identity
from handshake.payload import pack_payload, proof_text, read_payload
from handshake.primitives import x25519_public

MESH = authentication.mesh_id("team")
PSK = mesh_psk(MESH, None)
NOON = 50_000.0
DAY = 86_400


def credentials(name, *, mesh=MESH, start=0, static=None):
    """A node of that name, delegated for the day from `start` on."""
    identity = Identity(f"{name} identity".encode().ljust(32, b"."))
    static = static or f"{name} static".encode().ljust(32, b".")
    delegation = identity.delegate(x25519_public(static), start, start + DAY, mesh)
    return Credentials(identity, static, delegation)


ALICE, BOB, MALLORY = credentials("alice"), credentials("bob"), credentials("mallory")


def run(initiator, responder, initiators_terms=b"", responders_terms=b""):
    """A whole exchange; gives both claims, the initiator's first."""
    responder.read_message_1(initiator.message_1())
    about_responder = initiator.read_message_2(responder.message_2(responders_terms), NOON)
    about_initiator = responder.read_message_3(initiator.message_3(initiators_terms), NOON)
    return about_responder, about_initiator


def packed(said):
    """The payload of what `Insider.payload` or `parts_of` gave, changed or not; bytes as they are.

    Integers must be whole; the lengths of the rest may be wrong, and are kept as they are.
    """
    if isinstance(said, bytes):
        return said
    times = b"".join(said[time].to_bytes(8, "big") for time in ("not_before", "not_after"))
    session_id = said["session_id"].to_bytes(8, "big")
    return said["id"] + session_id + times + said["signature"] + said["proof"] + said["terms"]


def parts_of(payload):
    """The parts of a payload by name, as `packed` takes them."""
    said = read_payload(payload, bytes(32))
    _, not_before, not_after, signature = said.delegation
    return {
        "id": bytes(said.peer_id),
        "session_id": said.session_id,
        "not_before": not_before,
        "not_after": not_after,
        "signature": signature,
        "proof": said.proof,
        "terms": said.terms,
    }


class Insider:
    """Somebody who knows the psk and has keys, but says in its payload whatever it likes.

    `static`: a private key, or a `KeyPair` whose halves need not belong together.
    """

    def __init__(self, role, static, psk=PSK):
        self.role = role
        self.static = static
        self.noise = HandshakeState(
            WIRE_PROTOCOL,
            initiator=role == b"initiator",
            prologue=b"prologue",
            s=static,
            psks=(psk,),
        )

    def payload(self, identity, delegation, h, peer_id, role=None, static=None):
        """A payload as an honest node would write it with these parts, by their names."""
        static_key = x25519_public(static or self.static)
        text = proof_text(role or self.role, h, static_key, peer_id)
        return parts_of(pack_payload(identity.id, 1, delegation, identity.sign(text), b"terms"))

    def speak(self, honest, make):
        """Run the exchange up to our proof, made by `make(h)`, and let `honest` read it."""
        if self.role == b"responder":
            self.noise.read_message(honest.message_1())
            message = self.noise.write_message(lambda h: packed(make(h)))
            return honest.read_message_2(message, NOON)
        honest.read_message_1(self.noise.write_message())
        self.noise.read_message(honest.message_2())
        message = self.noise.write_message(lambda h: packed(make(h)))
        return honest.read_message_3(message, NOON)
