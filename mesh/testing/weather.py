"""What a network does to frames between two nodes, in one direction."""

from dataclasses import dataclass
from random import Random

# A frame that takes a way of its own arrives so much later at most.
LONGEST_DETOUR_SECONDS = 1.5


@dataclass(slots=True)
class Weather:
    """Chances are from 0 to 1, times in seconds.

    `latency`, `jitter`: a frame takes the first and up to the second more, in order. `late`: chance
    to take up to `late_by` longer and be overtaken. `closed`: nothing passes (a partition).
    """

    latency: float = 0.001
    jitter: float = 0.0
    loss: float = 0.0
    repeats: float = 0.0
    late: float = 0.0
    late_by: float = LONGEST_DETOUR_SECONDS
    corrupts: float = 0.0
    truncates: float = 0.0
    closed: bool = False

    @property
    def harmless(self) -> bool:
        """Whether every frame arrives once, whole and in order."""
        return not (self.loss or self.repeats or self.late or self.corrupts or self.truncates)

    def calm(self) -> None:
        """From now on every frame arrives once, whole and in order."""
        self.loss = self.repeats = self.late = self.corrupts = self.truncates = 0.0
        self.jitter = 0.0
        self.closed = False

    def copies(self, frame: bytes, random: Random) -> list[tuple[bytes, str]]:
        """What becomes of a frame: the copies that arrive, each with a word about it."""
        if self.harmless:
            return [(frame, "")]
        copies = [(frame, "")] * (1 + (random.random() < self.repeats))
        return [copy for frame, note in copies for copy in self._changed(frame, note, random)]

    def _changed(self, frame: bytes, note: str, random: Random) -> list[tuple[bytes, str]]:
        if random.random() < self.loss:
            return []
        if random.random() < self.corrupts:
            at = random.randrange(len(frame) if random.random() < 0.5 else min(20, len(frame)))
            changed = bytearray(frame)
            changed[at] ^= 1 << random.randrange(8)
            return [(bytes(changed), "corrupt")]
        if random.random() < self.truncates:
            return [(frame[: random.randrange(len(frame))], "truncated")]
        return [(frame, note)]

    def takes(self, random: Random) -> tuple[float, bool]:
        """How long a copy is under way, and whether it may be overtaken."""
        if self.late and random.random() < self.late:
            return self.latency + random.random() * self.late_by, True
        return self.latency + random.random() * self.jitter, False
