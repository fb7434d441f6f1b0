"""Both sides of any Noise protocol, and how to run them."""

import hashlib

from handshake.handshake_state import HandshakeState
from handshake.patterns import parse_protocol_name
from handshake.primitives import x25519_public

STATICS = (b"i" * 32, b"r" * 32)
PROLOGUE = b"prologue"


def psks_of(name, first=0):
    """As many pre-shared keys as a protocol takes, all different."""
    count = parse_protocol_name(name).pattern.psk_count
    return tuple(
        hashlib.sha256(b"psk %d" % number).digest() for number in range(first, first + count)
    )


def keys_of(name, role):
    """Our static private key and the peer's static public one, each None where it is not given."""
    pattern = parse_protocol_name(name).pattern
    known = (pattern.initiator_knows, pattern.responder_knows)[1 - role]
    return (
        STATICS[role] if pattern.uses_static[role] else None,
        x25519_public(STATICS[1 - role]) if "s" in known else None,
    )


def one_side(name, role, random_bytes, **changes):
    """One side, with exactly the keys that its pattern wants; keywords replace what it is given."""
    s, rs = keys_of(name, role)
    given = {
        "initiator": role == 0,
        "prologue": PROLOGUE,
        "s": s,
        "rs": rs,
        "psks": psks_of(name),
        "random_bytes": random_bytes,
    }
    return HandshakeState(name, **(given | changes))


def pair(name, random_bytes, **changes):
    """Both sides of a protocol, the initiator first."""
    return [one_side(name, role, random_bytes, **changes) for role in (0, 1)]


def turns(sides):
    """Writer and reader of each message that is left."""
    writer, reader = sides
    while not writer.finished:
        yield writer, reader
        writer, reader = reader, writer


def run(sides):
    """Finish a handshake and give its messages."""
    messages = []
    for writer, reader in turns(sides):
        messages.append(writer.write_message(b"payload"))
        assert reader.read_message(messages[-1]) == b"payload"
    return messages
