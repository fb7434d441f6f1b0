"""What the operating system gives a node: clocks, and room for its sockets.

The one room that reads a clock for the pure rooms; it asks the system, changes nothing but this
process's own settings, and never touches the network.
"""

import ctypes
import os
import sys
import time
from collections.abc import Callable
from functools import partial

from mesh.model import Now

FILE_LIMIT_WANTED = 65_536
"""Open files asked for at most: more than a mesh on one machine needs. Hard limits of a billion
exist, and programs that close every possible descriptor before they start take minutes there."""

# Larger than any frame.
_KEPT_BLOCK_BYTES = 4 * 1024 * 1024

_CLOCK_OF_SYSTEM = {"linux": "CLOCK_BOOTTIME", "darwin": "CLOCK_MONOTONIC"}


def _elapsed_clock() -> Callable[[], float]:
    """The clock of this system that never jumps and, where one exists, counts suspend."""
    name = _CLOCK_OF_SYSTEM.get(sys.platform)
    return partial(time.clock_gettime, getattr(time, name)) if name else time.monotonic


_elapsed = _elapsed_clock()
# What `Now(...)` calls in the end: it is asked several times a frame.
_new_now: Callable[[type[Now], tuple[float, float]], Now] = tuple.__new__


def now() -> Now:
    """This moment: `elapsed` in seconds since some start, `wall` in seconds since 1970.

    On Linux `elapsed` is CLOCK_BOOTTIME and on macOS CLOCK_MONOTONIC, which go on while the
    machine is suspended; `time.monotonic` stops there on both, and so would every deadline.
    """
    return _new_now(Now, (_elapsed(), time.time()))


def give_way() -> None:
    """Let whoever waits for this processor have it first; at once where nobody does."""
    if sys.platform == "win32":
        time.sleep(0)
    else:
        os.sched_yield()


def raise_file_limit() -> int:
    """Raise the soft limit of open files towards the hard one; return the limit now in force.

    Each connection takes one to three descriptors, and at the limit ZeroMQ's own thread spins
    at full load until some close. Never lowers the limit and never fails: where the system
    refuses, or knows no such limit (Windows), what was in force stays. 0 means unknown.
    """
    if sys.platform == "win32":
        return 0
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return FILE_LIMIT_WANTED
    ceiling = FILE_LIMIT_WANTED if hard == resource.RLIM_INFINITY else min(hard, FILE_LIMIT_WANTED)
    if soft >= ceiling:
        return soft
    # macOS says the hard limit is infinite, yet takes no more than its OPEN_MAX of 10,240.
    for wanted in (ceiling, min(ceiling, 10_240)):
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        except (ValueError, OSError):
            continue
        return wanted
    return soft


def keep_freed_memory() -> None:
    """Let the allocator of C keep what a frame took for the next one.

    glibc maps every block of 128 KiB and more anew, and each page of it costs the system more than
    sealing what it holds, until so large a block was freed once: then it takes as much from its
    heap, and gives back no less than twice that from its end. So up to 8 MiB stay with the process.
    No page of this block is ever touched; other allocators are as they were.
    """
    bytes(_KEPT_BLOCK_BYTES)


def seed_c_random() -> None:
    """Give C's `rand()` an unpredictable start.

    libzmq counts a ROUTER's routing ids up from `rand()` and never seeds it (its issue 4633), so
    they are the same in every process. A stranger may claim any routing id; claiming the one
    that is given out next makes libzmq abort the process.
    """
    if sys.platform != "win32":
        ctypes.CDLL(None).srand(int.from_bytes(os.urandom(4), "big"))


def has_fast_aes(cpu_info: str = "/proc/cpuinfo") -> bool:
    """Whether AES runs in hardware here, which makes AES-256-GCM the faster suite.

    Linux says so in `cpu_info`; every Mac that runs this Python has it. Elsewhere unknown: no.
    """
    if sys.platform == "darwin":
        return True
    try:
        with open(cpu_info, encoding="ascii", errors="replace") as file:
            words = file.read(65_536).lower().split()
    except OSError:
        return False
    return "aes" in words
