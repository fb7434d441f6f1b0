"""What the two sides of a handshake say about themselves, and what follows from both."""

import struct
from typing import NamedTuple

from handshake.constants import Reason
from handshake.errors import Refused
from handshake.identity import NodeId
from mesh import constants
from mesh.engine.resume import Resume
from mesh.engine.settings import Settings

PREFERRED_SUITE = "AESGCM"
COMMON_SUITE = "ChaChaPoly"
FIRST_MEETING = Resume(0, 1)
_LARGEST = 1 << 62

# Instance, window, largest message; generation, epoch, next; oldest and newest version; suites.
_LAYOUT = struct.Struct(">16s5QBBB")
SUITE_BITS = {COMMON_SUITE: 1, PREFERRED_SUITE: 2}


class Limits(NamedTuple):
    """A peer's window for us, and its largest message, in bytes."""

    window_bytes: int
    max_message_bytes: int


class Terms(NamedTuple):
    """A peer's terms, checked. `generation` and `resume` come with message 3 only."""

    instance: bytes
    suites: tuple[str, ...]
    limits: Limits
    generation: int = 0
    resume: Resume = FIRST_MEETING


def ours(settings: Settings, generation: int = 0, resume: Resume = FIRST_MEETING) -> bytes:
    """What we say in messages 2 and 3 (docs/SPEC.md, section 6.6).

    `generation` and `resume` are for message 3: by then we know whom we speak to.
    """
    return _LAYOUT.pack(
        settings.instance,
        settings.window_bytes,
        settings.max_message_bytes,
        generation,
        *resume,
        constants.VERSION,
        constants.VERSION,
        sum({SUITE_BITS[suite] for suite in settings.suites}),
    )


def read(peer_id: NodeId, said: bytes, *, at_the_end: bool) -> Terms:
    """Check a peer's terms. Raises Refused (malformed, or no common version or suite)."""
    if len(said) < _LAYOUT.size:
        raise Refused(Reason.MALFORMED, peer_id, "terms that end early")
    instance, window, message, generation, epoch, following, oldest, newest, suites = (
        _LAYOUT.unpack_from(said)
    )
    # First: what another version means by the rest is not known here.
    if not oldest <= constants.VERSION <= newest:
        raise Refused(Reason.VERSION, peer_id, f"it speaks versions {oldest} to {newest}")
    if not suites & SUITE_BITS[COMMON_SUITE]:
        raise Refused(Reason.VERSION, peer_id, "every node offers ChaChaPoly")
    if not constants.WINDOW_MIN_BYTES <= window < _LARGEST:
        raise Refused(Reason.MALFORMED, peer_id, f"a window of {window} bytes")
    if at_the_end:
        if generation >= _LARGEST or epoch >= _LARGEST or not 0 < following < _LARGEST:
            raise Refused(Reason.MALFORMED, peer_id, "a generation or resume beyond all counting")
        resume = Resume(epoch, following)
    else:
        generation, resume = 0, FIRST_MEETING
    offered = tuple([suite for suite, bit in SUITE_BITS.items() if suites & bit])
    return Terms(instance, offered, Limits(window, message), generation, resume)


def suite(settings: Settings, terms: Terms) -> str:
    """The AEAD both sides compute: AES-256-GCM where both offer it."""
    both = PREFERRED_SUITE in settings.suites and PREFERRED_SUITE in terms.suites
    return PREFERRED_SUITE if both else COMMON_SUITE


def reason_of(value: object) -> Reason:
    """The reason a peer gave; one that this version does not know is just the end."""
    try:
        return Reason(str(value))
    except ValueError:
        return Reason.CLOSED
