"""What every test shares: the skip list, the test vectors, hypothesis' profiles.

A skipped test is named at the end of every run with its reason; `--require-all` turns it into a
failure of the run.
"""

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

pytest_plugins = ("mirrors", "pytester")
MOST_WORKERS = 8

ROOT = Path(__file__).resolve().parent.parent

# Deadlines and health checks measure the machine, not the code.
settings.register_profile(
    "noisemesh", deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True
)
settings.register_profile(
    "noisemesh-ci", settings.get_profile("noisemesh"), derandomize=True, database=None
)
THOROUGH = "noisemesh-ci" if os.environ.get("CI") else "noisemesh"
settings.load_profile(THOROUGH)
# Chosen with --hypothesis-profile by the run that a developer waits for.
settings.register_profile("noisemesh-quick", settings.get_profile(THOROUGH), max_examples=25)


class SkipList:
    """Remembers each skip and its reason; with `--require-all` a skip fails the run."""

    def __init__(self, required: bool) -> None:
        self.required = required
        self.skips: list[str] = []

    def _note(self, report: pytest.TestReport | pytest.CollectReport) -> None:
        if report.skipped and not hasattr(report, "wasxfail"):
            reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
            self.skips.append(f"{report.nodeid}: {str(reason).removeprefix('Skipped: ')}")

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Note a test that was skipped."""
        self._note(report)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Note a whole file that was skipped."""
        self._note(report)

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Fail the run for a skip where everything is required."""
        harmless = (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED)
        if self.skips and self.required and session.exitstatus in harmless:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """List the skips."""
        for skip in self.skips:
            terminalreporter.write_line(f"Skipped: {skip}", yellow=True)
        if self.skips and self.required:
            terminalreporter.write_line(
                f"--require-all: {len(self.skips)} skipped, so this run fails", red=True
            )


def pytest_addoption(parser: pytest.Parser) -> None:
    """Offer `--require-all`."""
    parser.addoption("--require-all", action="store_true", help="a skipped test fails the run")


def pytest_configure(config: pytest.Config) -> None:
    """Keep the skip list of this run."""
    config.pluginmanager.register(SkipList(bool(config.getoption("--require-all"))))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int | None:
    """What `-n auto` means: a process more than there are cores, for a third of a run is waiting.

    Each collects all tests, so that more than a few cost more than they gain.
    """
    if "PYTEST_XDIST_AUTO_NUM_WORKERS" in os.environ:
        return None
    affinity = getattr(os, "sched_getaffinity", None)
    cores = len(affinity(0)) if affinity else os.cpu_count() or 1
    return min(cores + 1, MOST_WORKERS)


@pytest.fixture(scope="session")
def root() -> Path:
    """The root of the project."""
    return ROOT


@pytest.fixture(scope="session")
def vectors() -> Path:
    """The directory of test vectors made by others: NOISEMESH_VECTORS, or ../shared/vectors."""
    named = os.environ.get("NOISEMESH_VECTORS")
    place = Path(named) if named else ROOT.parent / "shared" / "vectors"
    if not place.is_dir():
        pytest.skip(f"no test vectors in {place}: set NOISEMESH_VECTORS to their directory")
    return place
