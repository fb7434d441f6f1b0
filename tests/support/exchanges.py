"""Nodes, a codec and a liar for the tests of the handshake's exchanges."""

import cbor2

from handshake import authentication
from handshake.authentication import Credentials, mesh_psk
from handshake.constants import WIRE_PROTOCOL
from handshake.handshake_state import HandshakeState
from handshake.identity import Identity
from handshake.payload import proof_text
from handshake.primitives import x25519_public

MESH = authentication.mesh_id("team")
PSK = mesh_psk(MESH, None)
NOON = 50_000.0
DAY = 86_400


class NotCanonical(ValueError):
    """What the codec of these tests raises."""


class CanonicalCodec:
    """Deterministic CBOR: what does not come back byte for byte is refused."""

    def dumps(self, value):
        return cbor2.dumps(value, canonical=True)

    def loads(self, data):
        try:
            value = cbor2.loads(data)
        except Exception:
            raise NotCanonical("not CBOR") from None
        if self.dumps(value) != data:
            raise NotCanonical("another encoding")
        return value


def credentials(name, *, mesh=MESH, start=0, static=None):
    """A node of that name, delegated for the day from `start` on."""
    identity = Identity(f"{name} identity".encode().ljust(32, b"."))
    static = static or f"{name} static".encode().ljust(32, b".")
    delegation = identity.delegate(x25519_public(static), start, start + DAY, mesh)
    return Credentials(identity, static, delegation)


ALICE, BOB, MALLORY = credentials("alice"), credentials("bob"), credentials("mallory")


def run(initiator, responder, extra=None):
    """A whole exchange; gives both claims, the initiator's first."""
    responder.read_message_1(initiator.message_1())
    about_responder = initiator.read_message_2(responder.message_2(), NOON)
    about_initiator = responder.read_message_3(initiator.message_3(extra), NOON)
    return about_responder, about_initiator


class Insider:
    """Somebody who knows the psk and has keys, but says in its payload whatever it likes.

    `static`: a private key, or a `KeyPair` whose halves need not belong together.
    """

    def __init__(self, role, static, codec=None, psk=PSK):
        self.role = role
        self.static = static
        self.codec = codec or CanonicalCodec()
        self.noise = HandshakeState(
            WIRE_PROTOCOL,
            initiator=role == b"initiator",
            prologue=b"prologue",
            s=static,
            psks=(psk,),
        )

    def payload(self, identity, delegation, h, peer_id, role=None, static=None):
        """A payload as an honest node would write it with these parts."""
        static_key = x25519_public(static or self.static)
        text = proof_text(role or self.role, h, static_key, peer_id)
        return {
            "id": bytes(identity.id),
            "delegation": delegation.to_value(),
            "proof": identity.sign(text),
            "session_id": b"\1" * 8,
        }

    def speak(self, honest, make):
        """Run the exchange up to our proof, made by `make(h)`, and let `honest` read it."""
        if self.role == b"responder":
            self.noise.read_message(honest.message_1())
            message = self.noise.write_message(lambda h: self.codec.dumps(make(h)))
            return honest.read_message_2(message, NOON)
        honest.read_message_1(self.noise.write_message())
        self.noise.read_message(honest.message_2())
        message = self.noise.write_message(lambda h: self.codec.dumps(make(h)))
        return honest.read_message_3(message, NOON)
