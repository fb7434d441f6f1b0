"""What the figures were measured on: without it they say nothing."""

import os
import platform
from pathlib import Path
from typing import NamedTuple


class Machine(NamedTuple):
    """`load_before`, `load_after`: processes that wanted to run, average of a minute."""

    cpu: str
    cores: int
    system: str
    python: str
    load_before: float
    load_after: float


def load() -> float:
    """The load average of the last minute."""
    return os.getloadavg()[0]


def describe(load_before: float) -> Machine:
    """This machine now, at the end of a run."""
    return Machine(
        _cpu(),
        _cores(),
        f"{platform.system()} {platform.release()}",
        platform.python_version(),
        load_before,
        load(),
    )


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _cpu() -> str:
    path = Path("/proc/cpuinfo")
    if path.exists():
        for line in path.read_text(encoding="utf-8").splitlines():
            name, _, value = line.partition(":")
            if name.strip() == "model name":
                return value.strip()
    return platform.processor() or platform.machine()
