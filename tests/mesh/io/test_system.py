"""Clocks and limits of the system."""

import ctypes
import platform
import subprocess
import sys
import time

import pytest

from mesh.io import system

resource = pytest.importorskip("resource", reason="this system has no limits to raise")


@pytest.fixture
def limits(monkeypatch):
    """The limit of open files, as a pair that stands in for the system's."""
    state = {"limits": (256, 4096), "refused": set()}

    def change(_, wanted):
        if wanted[0] in state["refused"]:
            raise ValueError("not permitted")
        state["limits"] = wanted

    monkeypatch.setattr(resource, "getrlimit", lambda _: state["limits"])
    monkeypatch.setattr(resource, "setrlimit", change)
    return state


def test_now_is_read_from_both_clocks():
    """`elapsed` lies between two readings of its clock, `wall` between two of the calendar."""
    clock = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
    before = time.clock_gettime(clock), time.time()
    now = system.now()
    after = time.clock_gettime(clock), time.time()
    assert before[0] <= now.elapsed <= after[0]
    assert before[1] <= now.wall <= after[1]


@pytest.mark.parametrize(
    ("platform", "clock"),
    [("linux", "CLOCK_BOOTTIME"), ("darwin", "CLOCK_MONOTONIC")],
)
def test_elapsed_counts_suspend_where_the_system_can(monkeypatch, platform, clock):
    """Each system is asked for the clock that goes on while it is suspended."""
    monkeypatch.setattr(system.sys, "platform", platform)
    monkeypatch.setattr(time, clock, 1234, raising=False)
    monkeypatch.setattr(time, "clock_gettime", float)
    assert system._elapsed_clock()() == 1234.0


def test_elapsed_is_monotonic_elsewhere(monkeypatch):
    """A system without such a clock gives its monotonic one."""
    monkeypatch.setattr(system.sys, "platform", "win32")
    assert system._elapsed_clock() is time.monotonic


@pytest.mark.parametrize(
    ("platform", "asked"), [("linux", ["yield"]), ("darwin", ["yield"]), ("win32", [0])]
)
def test_giving_way_is_asked_of_the_system(monkeypatch, platform, asked):
    """Of the scheduler where it can be, and as Windows has it there."""
    said = []
    monkeypatch.setattr(sys, "platform", platform)
    monkeypatch.setattr(system.os, "sched_yield", lambda: said.append("yield"), raising=False)
    monkeypatch.setattr(system.time, "sleep", said.append)
    system.give_way()
    assert said == asked


def test_the_file_limit_is_raised_in_a_real_process():
    """A process with a small soft limit ends with a larger one, up to the hard limit."""
    program = (
        "import resource as r; from mesh.io.system import raise_file_limit as f;"
        "hard = r.getrlimit(r.RLIMIT_NOFILE)[1]; r.setrlimit(r.RLIMIT_NOFILE, (64, hard));"
        "print(f(), r.getrlimit(r.RLIMIT_NOFILE)[0])"
    )
    run = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True
    )
    told, real = map(int, run.stdout.split())
    assert told == real > 64


@pytest.mark.parametrize(
    ("soft", "hard", "expected"),
    [
        (256, 4096, 4096),
        (4096, 4096, 4096),
        (256, 10**9, system.FILE_LIMIT_WANTED),
        (256, resource.RLIM_INFINITY, system.FILE_LIMIT_WANTED),
        (100_000, 200_000, 100_000),
    ],
)
def test_the_file_limit_is_never_lowered_and_stays_sane(limits, soft, hard, expected):
    """It goes to the hard limit, at most to what a mesh needs, and never down."""
    limits["limits"] = (soft, hard)
    assert system.raise_file_limit() == expected
    assert limits["limits"] == (expected, hard)


def test_no_soft_limit_stays_none(limits):
    """A process without a limit is left alone, and a useful number is told."""
    limits["limits"] = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
    assert system.raise_file_limit() == system.FILE_LIMIT_WANTED
    assert limits["limits"][0] == resource.RLIM_INFINITY


def test_a_system_that_refuses_gets_a_smaller_wish(limits):
    """macOS takes no more than 10,240, whatever its hard limit says."""
    limits["limits"] = (256, resource.RLIM_INFINITY)
    limits["refused"] = {system.FILE_LIMIT_WANTED}
    assert system.raise_file_limit() == 10_240


def test_a_system_that_refuses_everything_is_no_error(limits):
    """What was in force stays in force."""
    limits["refused"] = {4096}
    assert system.raise_file_limit() == 256
    assert limits["limits"] == (256, 4096)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="this allocator has no such limit")
def test_freed_memory_is_kept_for_the_next_frames():
    """What a window of frames took costs no page faults when it is taken again."""
    program = (
        "import resource, sys\n"
        "from mesh.io import system\n"
        "if sys.argv[1:]: system.keep_freed_memory()\n"
        "def take(): [bytearray(512 << 10) for _ in range(8)]\n"
        "take()\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt\n"
        "for _ in range(20): take()\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)\n"
    )
    without, kept = (
        int(subprocess.check_output([sys.executable, "-c", program, *argument], timeout=60))
        for argument in ([], ["keep"])
    )
    assert kept < without / 10


def test_windows_has_no_such_limits(monkeypatch):
    """There, the limit is unknown and C's numbers are left alone."""
    monkeypatch.setattr(system.sys, "platform", "win32")
    monkeypatch.setattr(ctypes, "CDLL", None)
    assert system.raise_file_limit() == 0
    system.seed_c_random()


def test_c_random_numbers_start_anywhere():
    """After seeding, C's rand() does not go on from the seed that was set before."""
    c = ctypes.CDLL(None)
    rows = set()
    for _ in range(3):
        c.srand(1)
        system.seed_c_random()
        rows.add((c.rand(), c.rand()))
    assert len(rows) == 3


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("flags\t\t: fpu sse4_2 aes avx\n", True),
        ("Features\t: fp asimd AES pmull\n", True),
        ("flags\t\t: fpu vaes_not_quite\n", False),
        ("", False),
    ],
)
def test_fast_aes_is_read_from_the_processor(monkeypatch, tmp_path, text, expected):
    """The word must stand there as a word."""
    monkeypatch.setattr(system.sys, "platform", "linux")
    (tmp_path / "cpuinfo").write_text(text)
    assert system.has_fast_aes(str(tmp_path / "cpuinfo")) is expected


@pytest.mark.parametrize(("platform", "expected"), [("darwin", True), ("win32", False)])
def test_fast_aes_where_nothing_can_be_read(monkeypatch, tmp_path, platform, expected):
    """Every Mac has it; of a system that does not tell it is not assumed."""
    monkeypatch.setattr(system.sys, "platform", platform)
    assert system.has_fast_aes(str(tmp_path / "missing")) is expected
