"""Numbers and labels of the handshake: those of Noise (revision 34) and those of our own exchange.

The module holds data only. Every label is used for one purpose, so a signature or a key made for
one can never be taken for another; a new version of the wire gets new labels.
"""

from enum import StrEnum

# Noise, sections 3, 12 and 5.1.
DHLEN = 32
KEY_BYTES = 32
PSK_BYTES = 32
TAG_BYTES = 16
MAX_MESSAGE_BYTES = 65_535
REKEY_COUNTER = 2**64 - 1

SUITES = ("ChaChaPoly", "AESGCM")

# Ed25519, RFC 8032.
SEED_BYTES = 32
ID_BYTES = 32
SIGNATURE_BYTES = 64

ID_CHECKSUM_BYTES = 3
ID_TEXT_CHARS = 56
SHORT_ID_CHARS = 8

MESH_ID_BYTES = 32
MESH_SECRET_BYTES = 32
SESSION_ID_BYTES = 8
# Time stamps travel as CBOR integers and are signed as 8 bytes; a sign bit is left alone.
MAX_SECONDS = 2**63 - 1

# Clocks of laptops drift by minutes, seldom by more. Little beside the 48 hours for which a node's
# delegation is valid, of a static key that is renewed every 24.
CLOCK_TOLERANCE_SECONDS = 600

# Argon2id through libsodium; secret boxes are XSalsa20-Poly1305.
PASSPHRASE_SALT_BYTES = 16
SECRET_BOX_NONCE_BYTES = 24

WIRE_PROTOCOL = "Noise_XXpsk0_25519_ChaChaPoly_SHA256"
FRESH_PROTOCOL = "Noise_KKpsk0_25519_ChaChaPoly_SHA256"

LABEL_ID_CHECKSUM = b"noisemesh 1 id checksum"
LABEL_DELEGATION = b"noisemesh 1 delegation"
LABEL_PROOF = b"noisemesh 1 proof"
LABEL_MESH_ID = b"noisemesh 1 mesh id"
LABEL_MESH_PSK = b"noisemesh 1 mesh psk"
LABEL_TRAFFIC = b"noisemesh 1 traffic"
LABEL_EXPORT = b"noisemesh 1 export"
LABEL_FRESH = b"noisemesh 1 fresh exchange"

ROLE_INITIATOR = b"initiator"
ROLE_RESPONDER = b"responder"
DIRECTION_INITIATOR_TO_RESPONDER = b"initiator to responder"
DIRECTION_RESPONDER_TO_INITIATOR = b"responder to initiator"

# Stands for the peer's id in the proof of message 2, whose sender cannot know it yet.
UNKNOWN_ID = bytes(ID_BYTES)


class Reason(StrEnum):
    """Why a peer was refused or a session closed: the only explanation that crosses the wire."""

    NOT_TRUSTED = "not trusted"
    """The peer proved who it is, and nobody allowed it."""

    REVOKED = "revoked"
    """The peer proved who it is, and our trust list denies it."""

    CLOCK = "clock"
    """The delegation of the static key is not valid yet or any more by our clock."""

    VERSION = "version"
    """No version of the wire is spoken by both."""

    SUPERSEDED = "superseded"
    """A newer instance of the same identity has taken over."""

    WRONG_PEER = "wrong peer"
    """Another identity answered than the one that was asked for (the pin)."""

    OURSELVES = "ourselves"
    """The other end holds our own identity or our own static key."""

    BAD_PROOF = "bad proof"
    """The signature that binds the identity to this exchange does not hold."""

    BAD_DELEGATION = "bad delegation"
    """The identity did not delegate the static key that this exchange used."""

    MALFORMED = "malformed"
    """What was said is not what both ends must agree on."""

    BUSY = "busy"
    """A limit on half-open exchanges or sessions was reached."""

    CLOSED = "closed"
    """The node was closed by its owner."""
