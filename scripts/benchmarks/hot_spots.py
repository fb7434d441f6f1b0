"""Where a process spends its time: by function (cProfile) or by line (samples).

cProfile adds its own cost to every call, so it tells which functions are called too often. The
sampler costs next to nothing and names lines: every few milliseconds of CPU a signal looks where
the main thread stands; time in C counts for the line that called it, time of other threads for
the line that the main thread stood on meanwhile.
"""

import contextlib
import cProfile
import pstats
import signal
from collections import Counter
from collections.abc import Iterator
from enum import Enum
from pathlib import Path
from time import process_time
from types import FrameType
from typing import Any, NamedTuple

_TICK_SECONDS = 0.001
_MOST = 60
# Where an event loop has nothing to do.
_WAITING = ("'select.epoll' objects>", "'select.kqueue' objects>", "'select.poll' objects>")


class Watch(Enum):
    """What to look at while a process works."""

    NOTHING = "nothing"
    FUNCTIONS = "functions"
    LINES = "lines"


class Spot(NamedTuple):
    """A function or a line. `share`: of the time spent at work, 0 to 1. `calls`: 0 for a line."""

    where: str
    function: str
    share: float
    seconds: float
    calls: int = 0


@contextlib.contextmanager
def watching(watch: Watch, spots: list[Spot]) -> Iterator[None]:
    """Watch this thread and leave what was found, hottest first, in `spots`."""
    if watch is Watch.FUNCTIONS:
        profile = cProfile.Profile()
        profile.enable()
        try:
            yield
        finally:
            profile.disable()
            spots.extend(_functions(profile))
    elif watch is Watch.LINES:
        samples: Counter[tuple[str, int, str]] = Counter()
        previous = signal.signal(signal.SIGPROF, _sampler(samples))
        began = process_time()
        signal.setitimer(signal.ITIMER_PROF, _TICK_SECONDS, _TICK_SECONDS)
        try:
            yield
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0)
            signal.signal(signal.SIGPROF, previous)
            spots.extend(_lines(samples, process_time() - began))
    else:
        yield


def _functions(profile: cProfile.Profile) -> Iterator[Spot]:
    # `stats` is there in every version, though the published types do not know it.
    table: dict[Any, Any] = vars(pstats.Stats(profile))["stats"]
    waiting = [key for key in table if key[2].endswith(_WAITING)]
    idle = sum(table.pop(key)[2] for key in waiting)
    whole = sum(row[2] for row in table.values()) or 1.0
    calls = sum(row[1] for row in table.values())
    yield Spot("", f"everything; besides, it waited {idle:.3f} s", 1.0, whole, calls)
    hottest = sorted(table.items(), key=lambda item: -item[1][2])[:_MOST]
    for (file, line, function), (_, calls, own, *_) in hottest:
        where = "" if file == "~" else f"{_short(file)}:{line}"
        yield Spot(where, function, own / whole, own, calls)


def _sampler(samples: Counter[tuple[str, int, str]]) -> Any:
    def look(_: int, frame: FrameType | None) -> None:
        if frame is not None:
            code = frame.f_code
            samples[code.co_filename, frame.f_lineno, code.co_qualname] += 1

    return look


def _lines(samples: Counter[tuple[str, int, str]], cpu: float) -> Iterator[Spot]:
    # The system ticks more slowly than asked where it likes, so time is shared out by samples.
    whole = samples.total() or 1
    for (file, line, function), count in samples.most_common(_MOST):
        yield Spot(f"{_short(file)}:{line}", function, count / whole, cpu * count / whole)


def _short(file: str) -> str:
    """The last three parts of a path: enough to find it, and the same on every machine."""
    return "/".join(Path(file).parts[-3:])


def table_of(title: str, spots: list[Spot], most: int) -> str:
    """Hottest first, as a table for the terminal."""
    rows = [title]
    for spot in spots[:most]:
        calls = f"{spot.calls:>9,}" if spot.calls else " " * 9
        name = f"{spot.where}  {spot.function}" if spot.where else spot.function
        rows.append(f"  {spot.share:6.1%} {spot.seconds:7.3f} s {calls}  {name}")
    return "\n".join(rows)
