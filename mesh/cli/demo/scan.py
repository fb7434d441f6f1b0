"""Looking for plaintext in recorded bytes: the marker, and verbatim pieces of what was sent."""

from collections.abc import Iterable, Set
from dataclasses import dataclass

# So long a run of a text is never in random bytes by chance.
WINDOW_BYTES = 24


@dataclass(frozen=True, slots=True)
class Findings:
    """`markers`: how often the marker was seen. `pieces`: how many verbatim pieces."""

    scanned_bytes: int
    markers: int
    pieces: int

    @property
    def nothing(self) -> bool:
        """Whether no plaintext was seen."""
        return self.markers == 0 and self.pieces == 0

    def __add__(self, other: "Findings") -> "Findings":
        return Findings(
            self.scanned_bytes + other.scanned_bytes,
            self.markers + other.markers,
            self.pieces + other.pieces,
        )

    def __str__(self) -> str:
        return (
            f"in {self.scanned_bytes:,} bytes the marker {self.markers} times, "
            f"{self.pieces:,} verbatim pieces of {WINDOW_BYTES} bytes"
        )


def windows(pieces: Iterable[bytes]) -> frozenset[bytes]:
    """What to look for: pieces of text laid end to end, each of `WINDOW_BYTES`.

    Those that hold a zero byte are left out: clear heads of other protocols are full of zeros.
    """
    return frozenset(
        window
        for piece in pieces
        for start in range(0, len(piece) - WINDOW_BYTES + 1, WINDOW_BYTES)
        if b"\0" not in (window := piece[start : start + WINDOW_BYTES])
    )


def scan(capture: bytes | bytearray, marker: bytes, wanted: Set[bytes]) -> Findings:
    """Look at every offset of the capture. `marker` is not empty."""
    capture = bytes(capture)
    ends = range(WINDOW_BYTES, len(capture) + 1)
    pieces = sum(capture[end - WINDOW_BYTES : end] in wanted for end in ends)
    return Findings(len(capture), capture.count(marker), pieces)
