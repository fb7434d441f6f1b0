"""What a relay may do with frames that it cannot open: each is an `Alter`, and counts what it did.

It sees lengths, directions and the clear header, and nothing else.
"""

from random import Random

from endurance.relay import Torn
from handshake.constants import TAG_BYTES
from mesh.wire import frames
from mesh.wire.messages import encode_head

NUMBERS_ALONE_BYTES = frames.DATA_HEADER_BYTES + len(encode_head(0, 0, [0], 0, 0)) + TAG_BYTES
"""What a frame takes that carries nothing but acknowledgements and credit."""
_REMEMBERED_FRAMES = 256


def is_data(body: bytes) -> bool:
    """Whether a frame carries messages or control, and no handshake."""
    return len(body) > frames.DATA_HEADER_BYTES and body[1] in (frames.DATA, frames.BULK)


class _Chance:
    """Strikes now and then, `share` of the times: never rarely by accident, never in step."""

    def __init__(self, dice: Random, share: float) -> None:
        self._dice = dice
        self._longest = max(1, round(2 / share) - 1)
        self._left = self._next()

    def strikes(self) -> bool:
        """Whether it is this time."""
        self._left -= 1
        if self._left:
            return False
        self._left = self._next()
        return True

    def _next(self) -> int:
        return self._dice.randint(1, self._longest)


class Record:
    """Every frame that came, with its direction."""

    def __init__(self) -> None:
        self.frames: list[tuple[str, bytes]] = []

    def __call__(self, towards: str, body: bytes) -> list[bytes | Torn]:
        self.frames.append((towards, body))
        return [body]


class Flip:
    """One bit of the sealed body is turned, in a `share` of the data frames."""

    def __init__(self, dice: Random, share: float) -> None:
        self.count = 0
        self._dice = dice
        self._chance = _Chance(dice, share)

    def __call__(self, _towards: str, body: bytes) -> list[bytes | Torn]:
        if not is_data(body) or not self._chance.strikes():
            return [body]
        self.count += 1
        changed = bytearray(body)
        place = self._dice.randrange(frames.DATA_HEADER_BYTES, len(body))
        changed[place] ^= 1 << self._dice.randrange(8)
        return [bytes(changed)]


class Tear:
    """A connection ends in the middle of a part, in a `share` of the data frames."""

    def __init__(self, dice: Random, share: float) -> None:
        self.count = 0
        self._dice = dice
        self._chance = _Chance(dice, share)

    def __call__(self, _towards: str, body: bytes) -> list[bytes | Torn]:
        if not is_data(body) or not self._chance.strikes():
            return [body]
        self.count += 1
        return [Torn(body, self._dice.randrange(1, len(body)))]


class Replay:
    """Behind a `share` of the frames comes one again that passed before, handshakes too.

    It is of the same direction, and may have come by a connection that is gone.
    """

    def __init__(self, dice: Random, share: float) -> None:
        self.count = 0
        self._dice = dice
        self._chance = _Chance(dice, share)
        self._passed: dict[str, list[bytes]] = {}

    def __call__(self, towards: str, body: bytes) -> list[bytes | Torn]:
        passed = self._passed.setdefault(towards, [])
        forwarded: list[bytes | Torn] = [body]
        if passed and self._chance.strikes():
            self.count += 1
            forwarded.append(self._dice.choice(passed))
        if len(passed) < _REMEMBERED_FRAMES:
            passed.append(body)
        else:
            passed[self._dice.randrange(len(passed))] = body
        return forwarded


class DropShort:
    """While `on`, data frames of at most `most_bytes` vanish, both ways: those with numbers alone.

    `most_bytes`: what such a frame takes; what carries anything beside is longer.
    """

    def __init__(self, most_bytes: int) -> None:
        self.on = False
        self.count = 0
        self._most_bytes = most_bytes

    def __call__(self, _towards: str, body: bytes) -> list[bytes | Torn]:
        if self.on and is_data(body) and len(body) <= self._most_bytes:
            self.count += 1
            return []
        return [body]


class Ration:
    """Of the data frames of at least `least_bytes` so many pass as are `left`; others vanish."""

    def __init__(self, least_bytes: int, left: int = 0) -> None:
        self.left = left
        self.refused = 0
        self._least_bytes = least_bytes

    def __call__(self, _towards: str, body: bytes) -> list[bytes | Torn]:
        if not is_data(body) or len(body) < self._least_bytes:
            return [body]
        if self.left:
            self.left -= 1
            return [body]
        self.refused += 1
        return []
