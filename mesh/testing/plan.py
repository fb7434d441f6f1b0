"""What a world is like: its nodes, its network and its faults, all drawn from the seed."""

from dataclasses import dataclass, field
from random import Random

NAMES = ("ann", "bob", "cid", "dan", "eve")
_HOW_MANY = (2, 2, 2, 2, 2, 3, 3, 3, 4, 5)

FAULTS = (
    "cut",
    "crash",
    "freeze",
    "partition",
    "close",
    "copy",
    "clock",
    "quarrel",
    "silence",
    "weather",
)


@dataclass
class Plan:
    """`wishes`: who dials whom, and whether by identity. `faults`: how often each happens.

    `rekey_after`, `chaos` and `pause` (mean time between two acts of a program) are in seconds,
    `window` in bytes.
    """

    names: tuple[str, ...]
    wishes: list[tuple[str, str, bool]]
    rekey_after: float
    window: int
    suites: tuple[str, ...]
    chaos: float
    pause: float
    fault_every: float
    faults: dict[str, float]
    drift: float
    latency: float
    jitter: float
    loss: float = 0.0
    repeats: float = 0.0
    late: float = 0.0
    corrupts: float = 0.0
    truncates: float = 0.0
    late_by: float = 1.5
    notices: tuple[float | None, ...] = field(default=(0.0,))

    @property
    def frames_change(self) -> bool:
        """Whether the network alters frames."""
        return bool(self.corrupts or self.truncates)

    @classmethod
    def draw(cls, random: Random) -> "Plan":
        """A world's plan; half of the chances are zero, so that each fault is seen alone, too."""
        names = NAMES[: random.choice(_HOW_MANY)]
        rekey_after = random.choice((1.0, 1.0, 2.0, 5.0, 30.0, 120.0))
        few = len(names) <= 3
        return cls(
            names=names,
            wishes=_wishes(names, random),
            rekey_after=rekey_after,
            window=random.choice((64, 64, 128, 256)) * 1024,
            suites=random.choice((("ChaChaPoly",), ("AESGCM", "ChaChaPoly"))),
            chaos=random.uniform(4.0, 16.0 if few else 8.0),
            pause=random.choice((0.2, 0.5, 1.0)) * len(names),
            fault_every=random.choice((0.5, 1.5, 4.0)),
            faults=_faults(random, silence=len(names) == 2 or rekey_after > 20),
            drift=random.choice((0.0, 0.0, 0.001, 0.01)),
            latency=random.choice((0.0005, 0.005, 0.03, 0.1)),
            jitter=random.choice((0.0, 0.001, 0.05)),
            **{
                chance: random.choice((0.0, 0.0, 0.02, 0.15))
                for chance in ("loss", "repeats", "late", "corrupts")
            },
            truncates=random.choice((0.0, 0.0, 0.0, 0.03)),
            late_by=random.choice((0.1, 1.5, 1.5)),
            notices=random.choice(((0.0,), (0.0, 5.0), (2.0, 8.0), (0.0, 3.0, 8.0, None))),
        )


def _wishes(names: tuple[str, ...], random: Random) -> list[tuple[str, str, bool]]:
    """Everybody is dialled by somebody; about half of the pairs from both sides."""
    wishes = []
    for at, one in enumerate(names):
        for other in names[at + 1 :]:
            if len(names) > 3 and at and random.random() < 0.3:
                continue
            ways = random.choice(([(one, other)], [(other, one)], [(one, other), (other, one)]))
            wishes += [(caller, called, random.random() < 0.5) for caller, called in ways]
    return wishes


def _faults(random: Random, *, silence: bool) -> dict[str, float]:
    """Weights; the first three are what happens most in real life.

    `silence` takes ten minutes, too long to watch others renew their keys every second.
    """
    weights = {name: random.choice((0.0, 0.0, 1.0)) for name in FAULTS}
    for name in FAULTS[:3]:
        weights[name] = random.choice((0.0, 1.0, 3.0))
    weights["silence"] *= 0.1 if silence else 0.0
    return weights
