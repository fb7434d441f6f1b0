"""What the two sides of a handshake say about themselves, and what follows from both."""

from dataclasses import dataclass
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


class Limits(NamedTuple):
    """A peer's window for us, and its largest message, in bytes."""

    window_bytes: int
    max_message_bytes: int


@dataclass(frozen=True, slots=True)
class Terms:
    """A peer's terms, checked. `generation` and `resume` come with message 3 only."""

    instance: bytes
    suites: tuple[str, ...]
    limits: Limits
    generation: int = 0
    resume: Resume = FIRST_MEETING


def ours(settings: Settings) -> dict[str, object]:
    """What we say in messages 2 and 3."""
    return {
        "instance": settings.instance,
        "versions": [constants.VERSION],
        "suites": list(settings.suites),
        "limits": {"window": settings.window_bytes, "message": settings.max_message_bytes},
    }


def ours_at_the_end(generation: int, resume: Resume) -> dict[str, object]:
    """What message 3 adds: by then we know whom we speak to."""
    return {"generation": generation, "resume": list(resume)}


def read(peer_id: NodeId, terms: dict[str, object], *, at_the_end: bool) -> Terms:
    """Check a peer's terms. Raises Refused (malformed, or no common version or suite)."""
    match terms:
        case {
            "instance": bytes(instance),
            "versions": [*versions],
            "suites": [*suites],
            "limits": {"window": int(window), "message": int(message)},
        } if (
            len(instance) == constants.INSTANCE_BYTES
            and constants.WINDOW_MIN_BYTES <= window < _LARGEST
        ):
            pass
        case _:
            raise Refused(Reason.MALFORMED, peer_id, "not the terms that this wire knows")
    # True and 1.0 equal 1, and are no versions.
    if not any(type(version) is int and version == constants.VERSION for version in versions):
        raise Refused(Reason.VERSION, peer_id, f"it speaks {versions!r:.80}")
    checked = Terms(
        instance,
        tuple(suite for suite in suites if isinstance(suite, str)),
        Limits(window, max(0, message)),
    )
    if COMMON_SUITE not in checked.suites:
        raise Refused(Reason.VERSION, peer_id, "every node offers ChaChaPoly")
    return _at_the_end(peer_id, terms, checked) if at_the_end else checked


def _at_the_end(peer_id: NodeId, terms: dict[str, object], checked: Terms) -> Terms:
    match terms:
        case {"generation": int(generation), "resume": [int(epoch), int(following)]} if (
            0 <= generation < _LARGEST and 0 <= epoch < _LARGEST and 0 < following < _LARGEST
        ):
            resume = Resume(epoch, following)
            return Terms(checked.instance, checked.suites, checked.limits, generation, resume)
    raise Refused(Reason.MALFORMED, peer_id, "message 3 without generation and resume")


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
