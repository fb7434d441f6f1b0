"""What one ZeroMQ part holds: a clear header, then a handshake message or a sealed body.

All numbers are big-endian. Nothing here knows a key: a header is believed only after what follows
it was opened, with the header as associated data.
"""

import struct
from typing import Final, NamedTuple

from handshake.constants import MESH_ID_BYTES, TAG_BYTES, WIRE_PROTOCOL
from handshake.primitives import Aead
from mesh.constants import VERSION
from mesh.errors import MalformedFrame

MESSAGE_1: Final = 1
MESSAGE_2: Final = 2
MESSAGE_3: Final = 3
DATA: Final = 4
BULK: Final = 5
REFUSAL: Final = 6
HANDSHAKE_TYPES: Final = frozenset({MESSAGE_1, MESSAGE_2, MESSAGE_3})

DATA_HEADER: Final = struct.Struct(">BBHQQ")
"""version, type, flags, receiver_session, counter. The sealed body follows.

In a `BULK` frame flags is the length in bytes of the sealed array that follows the header; the
body that follows the array is sealed apart, under the next counter.
"""
DATA_HEADER_BYTES: Final = DATA_HEADER.size

HANDSHAKE_HEADER: Final = struct.Struct(">BBHQQ8s")
"""version, type, flags, receiver_session, sender_session, psk_id. The Noise message follows."""
HANDSHAKE_HEADER_BYTES: Final = HANDSHAKE_HEADER.size
HANDSHAKE_MAX_BYTES: Final = 4096
"""Three times what the largest honest one needs; strangers may send no more before they prove."""

MESH_PSK_ID: Final = bytes(8)
LABEL_PROLOGUE: Final = b"noisemesh 1 prologue"


class HandshakeFrame(NamedTuple):
    """A handshake message and the clear fields before it.

    `receiver_session` is zero in message 1; `psk_id` names the key message 1 uses, zero for the
    mesh's own. `flags` means nothing yet: zero when sent, and refused otherwise.
    """

    type: int
    flags: int
    receiver_session: int
    sender_session: int
    psk_id: bytes
    noise: bytes


class DataHeader(NamedTuple):
    """The clear header of a data frame; `array_bytes` is 0 unless the frame is a `BULK` one."""

    type: int
    receiver_session: int
    counter: int
    array_bytes: int


def pack_handshake(
    frame_type: int,
    receiver_session: int,
    sender_session: int,
    noise: bytes,
    psk_id: bytes = MESH_PSK_ID,
    flags: int = 0,
) -> bytes:
    """Put the clear fields before a Noise message."""
    header = HANDSHAKE_HEADER.pack(
        VERSION, frame_type, flags, receiver_session, sender_session, psk_id
    )
    return header + noise


def parse_handshake(frame: bytes | bytearray | memoryview) -> HandshakeFrame:
    """Take a handshake frame apart.

    Raises `MalformedFrame` for a wrong length, another version, a type that is no handshake
    message's, a missing sender session, a receiver session in message 1 or none in the others,
    flags, and the id of a psk in messages 2 and 3.
    """
    if not HANDSHAKE_HEADER_BYTES < len(frame) <= HANDSHAKE_MAX_BYTES:
        raise MalformedFrame("a handshake frame of impossible length")
    version, kind, flags, receiver, sender, psk_id = HANDSHAKE_HEADER.unpack_from(frame)
    if version != VERSION:
        raise MalformedFrame("another version of the wire")
    if kind not in HANDSHAKE_TYPES:
        raise MalformedFrame("not a handshake frame")
    if not sender or bool(receiver) == (kind == MESSAGE_1):
        raise MalformedFrame("session ids that do not fit the handshake message")
    if flags or (psk_id != MESH_PSK_ID and kind != MESSAGE_1):
        raise MalformedFrame("clear fields that mean nothing here")
    noise = bytes(frame[HANDSHAKE_HEADER_BYTES:])
    return HandshakeFrame(kind, flags, receiver, sender, psk_id, noise)


def parse_data_header(frame: bytes | bytearray | memoryview) -> DataHeader:
    """Read the header of a data frame and check its lengths, before any key is looked up.

    Raises `MalformedFrame` for another version or type, flags on a `DATA` frame, and where no
    sealed body (a tag at least; in a `BULK` frame an array and a body) can follow.
    """
    try:
        version, kind, flags, receiver, counter = DATA_HEADER.unpack_from(frame)
    except struct.error:
        raise MalformedFrame("shorter than the header of a data frame") from None
    if version != VERSION:
        raise MalformedFrame("another version of the wire")
    sealed_bytes = len(frame) - DATA_HEADER_BYTES
    if kind in {DATA, REFUSAL}:
        if flags or sealed_bytes < TAG_BYTES:
            raise MalformedFrame("a data frame with flags, or without a sealed body")
        if kind == REFUSAL and counter:
            raise MalformedFrame("a refusal under another counter than zero")
    elif kind == BULK:
        if not TAG_BYTES <= flags <= sealed_bytes - TAG_BYTES:
            raise MalformedFrame("a bulk frame without room for its array and its body")
    else:
        raise MalformedFrame("not a data frame")
    return DataHeader(kind, receiver, counter, flags)


def prologue(
    mesh_id: bytes, sender_session: int, psk_id: bytes = MESH_PSK_ID, flags: int = 0
) -> bytes:
    """What both sides must have seen alike before message 1 opens.

    label ‖ mesh id ‖ header of message 1 (which holds the version) ‖ pattern: every part but the
    last has a fixed length. `sender_session`, `psk_id` and `flags` are message 1's.
    """
    if len(mesh_id) != MESH_ID_BYTES:
        raise ValueError(f"a mesh id has {MESH_ID_BYTES} bytes, not {len(mesh_id)}")
    header = HANDSHAKE_HEADER.pack(VERSION, MESSAGE_1, flags, 0, sender_session, psk_id)
    return LABEL_PROLOGUE + mesh_id + header + WIRE_PROTOCOL.encode()


def pack_refusal(aead: Aead, receiver_session: int, reason: bytes) -> bytes:
    """The responder's last word in an exchange it refuses: why, sealed under counter 0."""
    header = DATA_HEADER.pack(VERSION, REFUSAL, 0, receiver_session, 0)
    return header + aead.seal(0, header, reason)


def open_refusal(aead: Aead, frame: bytes | bytearray | memoryview) -> bytes:
    """The encoded reason. Raises DecryptionFailed."""
    return aead.open(0, bytes(frame[:DATA_HEADER_BYTES]), frame[DATA_HEADER_BYTES:])
