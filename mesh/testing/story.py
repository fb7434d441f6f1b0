"""What happened in a simulated world, frame by frame: a hash of it, and on wish a picture.

The picture is a sequence diagram in plain text: a lane for each node, a line for each frame at the
moment it was sent, and what became of it.
"""

from collections.abc import Callable, Sequence
from hashlib import blake2b

from mesh.testing.tape import Tape
from mesh.testing.wire import Flight, Station

_LANE = 12


class _Line:
    """One line of the picture; the fate of a frame may still be decided after it was sent."""

    __slots__ = ("flights", "moment", "receiver", "sender", "text")

    def __init__(
        self, moment: float, sender: str, receiver: str, text: str, flights: Sequence[Flight]
    ) -> None:
        self.moment = moment
        self.sender = sender
        self.receiver = receiver
        self.text = text
        self.flights = flights


class Story:
    """`now`: the true time. `draws`: whether lines are kept."""

    def __init__(self, now: Callable[[], float], tape: Tape, *, draws: bool) -> None:
        self.frames = 0
        self.draws = draws
        self._now = now
        self._tape = tape
        self._hash = blake2b(digest_size=16)
        self._lines: list[_Line] = []

    @property
    def trace(self) -> str:
        """The same for two worlds in which the same frames were sent at the same times."""
        return self._hash.hexdigest()

    def on_frame(
        self, sender: Station, to: str, frame: bytes, flights: list[Flight], note: str
    ) -> None:
        """A frame was handed to the network."""
        self.frames += 1
        now = self._now()
        self._hash.update(f"{now:.6f} {sender.name} {to} {len(flights)} {note} ".encode())
        self._hash.update(frame)
        if self.draws:
            text = self._tape.describe(frame)
            if not flights:
                text += f"  [{note or 'lost'}]"
            elif len(flights) > 1:
                text += "  [repeated]"
            self._lines.append(_Line(now, sender.name, to, text, flights))

    def tell(self, text: str) -> None:
        """Something else happened."""
        self._hash.update(text.encode())
        if self.draws:
            self._lines.append(_Line(self._now(), "", "", text, ()))

    def picture(self, names: Sequence[str], *, last: int | None = None) -> list[str]:
        """The lines, the nodes' lanes in the order of `names`; only the `last` ones if given."""
        lanes = {name: number * _LANE + _LANE // 2 for number, name in enumerate(names)}
        head = "   seconds  " + "".join(name.center(_LANE) for name in names)
        shown = self._lines if last is None else self._lines[-last:]
        return [head, *(_drawn(line, lanes) for line in shown)]


def _drawn(line: _Line, lanes: dict[str, int]) -> str:
    width = len(lanes) * _LANE
    row = [" "] * width
    for at in lanes.values():
        row[at] = "|"
    text = line.text
    if not line.sender:
        return f"{line.moment:10.4f}  {''.join(row)}  * {text}"
    start = lanes[line.sender]
    if line.receiver not in lanes:
        row[start : start + 3] = "o-x"
    else:
        end = lanes[line.receiver]
        step = 1 if end > start else -1
        row[start + step : end : step] = "-" * (abs(end - start) - 1)
        row[start] = "o"
        dead = not line.flights or all(flight.lost for flight in line.flights)
        row[end - step] = "x" if dead else ">" if step > 0 else "<"
    for flight in line.flights:
        if flight.fate:
            text += f"  [{flight.fate}]"
    return f"{line.moment:10.4f}  {''.join(row)}  {text}"
