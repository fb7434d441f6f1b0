"""What a sender keeps of a batch: open runs while messages join, its bytes until acknowledged."""

from collections.abc import Iterable
from functools import lru_cache
from operator import attrgetter
from typing import Final

from mesh import constants
from mesh.errors import InvalidMessage
from mesh.limits import BESIDE_CALLS_BYTES
from mesh.wire.messages import TELL, encode_packed_run, encode_run

# A run is an array of kind (2 bytes at most), subject (a head of 2) and bodies (heads of 5 each for
# the array and for what packs it).
_RUN_HEAD_BYTES: Final = 16
# Each batch is looked at when it closes: this way no function of ours is called for it.
_kind_of: Final = attrgetter("kind")


class Batch:
    """One numbered batch: its encoded runs, and how its delivery stands.

    `bulk`: what travels beside its array. `chunk`: it carries a chunk of a large message.
    `receipt`: None where nobody is told how it fares. `size`: bytes that are kept until it is
    acknowledged. `tells`: it carries direct messages.
    """

    __slots__ = (
        "attempts",
        "bulk",
        "chunk",
        "cost",
        "number",
        "receipt",
        "run_count",
        "runs",
        "sent_at",
        "size",
        "tells",
    )

    def __init__(
        self,
        number: int,
        runs: bytes,
        run_count: int,
        bulk: bytes | memoryview | None,
        cost: int,
        receipt: object,
        *,
        chunk: bool = False,
    ) -> None:
        self.number = number
        self.runs = runs
        self.run_count = run_count
        self.bulk = bulk
        self.cost = cost
        self.receipt = receipt
        self.chunk = chunk
        self.sent_at: float | None = None
        self.attempts = 0
        self.tells = False
        self.size = len(runs) if bulk is None else len(runs) + len(bulk)


class OpenRun:
    """Neighbouring messages of one kind and subject, not yet encoded as a run.

    `raw`: its bodies are byte strings as the application gave them; else they are encoded.
    `beside`: byte strings of the bodies, which hold their lengths, that travel beside the array;
    None for a run in which nothing does.
    """

    __slots__ = ("beside", "bodies", "kind", "raw", "subject")

    def __init__(self, kind: int, subject: str, raw: bool, beside: list[bytes] | None) -> None:
        self.kind = kind
        self.subject = subject
        self.raw = raw
        self.beside = beside
        self.bodies: list[bytes] = []

    def encode(self) -> bytes:
        """The run as it stands in a batch."""
        encode = encode_run if self.raw else encode_packed_run
        return encode(self.kind, self.subject, self.bodies)


def holds_tells(runs: list[OpenRun]) -> bool:
    """Whether there are direct messages among them."""
    return TELL in map(_kind_of, runs)


def fits_beside_calls(batches: Iterable[Batch], opened: int | None, charge: int) -> bool:
    """Whether one more direct message may be under way while calls wait for their replies.

    `batches`: those under way. `opened`: bytes of the open one, None unless it `holds_tells`. Only
    direct messages are counted: their acknowledgements come, and other traffic may never end.
    """
    tells = [batch.size for batch in batches if batch.tells]
    if opened is not None:
        tells.append(opened)
    return len(tells) < 2 or sum(tells) + charge <= BESIDE_CALLS_BYTES


@lru_cache(maxsize=1024)
def run_charge(subject: str) -> int:
    """What a run of this subject costs at most beside its messages.

    Raises InvalidMessage for a subject that is too long or cannot be encoded.
    """
    try:
        size = len(subject.encode())
    except UnicodeEncodeError:
        raise InvalidMessage("a subject with half a surrogate pair is not text") from None
    if size > constants.SUBJECT_MAX_BYTES:
        raise InvalidMessage(
            f"a subject of {size} bytes, over {constants.SUBJECT_MAX_BYTES}: {subject[:40]!r}..."
        )
    return _RUN_HEAD_BYTES + size
