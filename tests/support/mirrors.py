"""Source files and their mirrored tests, and the check that each test file covers its source.

`mesh/wire/cbor.py` is mirrored by `tests/mesh/wire/test_cbor.py`. Under `coverage run -m pytest
--mirror-coverage=failures` (or `=table`) each branch is recorded together with the test file that
reached it, and a source file is judged by what its own test file reached. What runs while modules
are imported and tests are collected counts for everybody.
"""

import ast
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import coverage
import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("handshake", "mesh")
LEAST_PERCENT = 85
UNMIRRORED_NAMES = ("__init__.py", "__main__.py")

type_of_function = (ast.FunctionDef, ast.AsyncFunctionDef)


def python_files(*tops: str) -> list[str]:
    """Paths of the Python files under some directories, relative to the root, sorted."""
    return sorted(
        path.relative_to(ROOT).as_posix() for top in tops for path in (ROOT / top).rglob("*.py")
    )


def mirror_of(path: str) -> str:
    """The test file of a source file."""
    source = Path(path)
    return (Path("tests") / source.parent / f"test_{source.name}").as_posix()


def needs_mirror(path: str, text: str) -> bool:
    """Whether a source file holds anything to test: a function with a body.

    Constants, enumerations and protocols have none; `__init__.py` and `__main__.py` are doors.
    """
    if Path(path).name in UNMIRRORED_NAMES:
        return False
    functions = (n for n in ast.walk(ast.parse(text)) if isinstance(n, type_of_function))
    return any(not all(map(_says_nothing, function.body)) for function in functions)


def _says_nothing(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)


def lines_inside_functions(text: str) -> set[int]:
    """Numbers of the lines that run when a function is called, not when a module is imported."""
    lines: set[int] = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, type_of_function):
            lines.update(range(node.body[0].lineno, (node.end_lineno or node.lineno) + 1))
    return lines


class Verdict(NamedTuple):
    """How much of a source file its own test file reached."""

    source: str
    branches: int
    branches_reached: int
    lines: int
    lines_reached: int
    missing: tuple[int, ...]

    @property
    def branch_percent(self) -> float:
        """Branches reached, of 100."""
        return 100 * self.branches_reached / self.branches if self.branches else 100.0

    @property
    def percent(self) -> float:
        """Lines and branches reached together, of 100: the figure coverage itself reports."""
        whole = self.lines + self.branches
        return 100 * (self.lines_reached + self.branches_reached) / whole if whole else 100.0

    @property
    def enough(self) -> bool:
        """Whether both figures are high enough."""
        return min(self.branch_percent, self.percent) >= LEAST_PERCENT

    def __str__(self) -> str:
        missing = ", ".join(map(str, self.missing[:40])) + (" ..." if self.missing[40:] else "")
        return (
            f"{self.source}: branches {self.branch_percent:.0f} %"
            f" ({self.branches_reached} of {self.branches}), with lines {self.percent:.0f} %"
            + (f"; not reached, or not both ways: {missing}" if missing else "")
        )


def judge(data: coverage.CoverageData, sources: Iterable[str], root: Path = ROOT) -> list[Verdict]:
    """Judge source files by the data of a run whose contexts are paths of test files."""
    arcs = {}
    for source in sources:
        path = str((root / source).resolve())
        arcs[path] = set(_arcs_that_count(data, path, mirror_of(source)))
    alone = coverage.Coverage(data_file=None, branch=True, config_file=str(ROOT / "pyproject.toml"))
    alone.get_data().add_arcs(arcs)
    verdicts = [_verdict(alone, path, root.resolve()) for path in arcs]
    alone.get_data().close(force=True)
    return verdicts


def _arcs_that_count(
    data: coverage.CoverageData, path: str, mirror: str
) -> Iterator[tuple[int, int]]:
    """Jumps made by the mirror or during collection, and those of module level by anybody."""
    data.set_query_contexts(None)
    everybody = data.arcs(path) or []
    data.set_query_contexts(["^$", f"^{re.escape(mirror)}$"])
    yield from data.arcs(path) or []
    data.set_query_contexts(None)
    inside = lines_inside_functions(Path(path).read_text(encoding="utf-8"))
    for start, end in everybody:
        if (start if start > 0 else end) not in inside:
            yield start, end


def _verdict(alone: coverage.Coverage, path: str, root: Path) -> Verdict:
    _, lines, _, missing, _ = alone.analysis2(path)
    exits = alone.branch_stats(path)
    half = [line for line, (total, taken) in exits.items() if taken < total]
    return Verdict(
        source=Path(path).relative_to(root).as_posix(),
        branches=sum(total for total, _ in exits.values()),
        branches_reached=sum(taken for _, taken in exits.values()),
        lines=len(lines),
        lines_reached=len(lines) - len(missing),
        missing=tuple(sorted({*missing, *half})),
    )


class MirrorCoverage:
    """Tells coverage which test file is running; judges the source files at the end."""

    def __init__(self, config: pytest.Config) -> None:
        running = coverage.Coverage.current()
        if running is None:
            raise pytest.UsageError("--mirror-coverage needs `coverage run -m pytest`")
        self._coverage = running
        self._everything = config.args_source is not pytest.Config.ArgsSource.ARGS
        self._table = config.getoption("--mirror-coverage") == "table"
        self._context = ""
        self._collected: set[str] = set()
        self._verdicts: list[Verdict] = []

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Note which test files this run has."""
        self._collected = {item.nodeid.partition("::")[0] for item in session.items}

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        """Record under the name of the test file."""
        context = item.nodeid.partition("::")[0]
        if context != self._context:
            self._context = context
            self._coverage.switch_context(context)
        return (yield)

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Judge each source file; in a run of chosen tests, those whose mirror was among them."""
        sources = [
            path
            for path in python_files(*PACKAGES)
            if needs_mirror(path, (ROOT / path).read_text(encoding="utf-8"))
            and (self._everything or mirror_of(path) in self._collected)
        ]
        self._verdicts = judge(self._coverage.get_data(), sources)
        good = all(verdict.enough for verdict in self._verdicts)
        if not good and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Name the files that are not covered; the whole table where it was asked for."""
        good = [verdict for verdict in self._verdicts if verdict.enough]
        poor = [verdict for verdict in self._verdicts if not verdict.enough]
        if self._table:
            for verdict in good:
                terminalreporter.write_line(str(verdict))
        for verdict in poor:
            terminalreporter.write_line(f"Not covered: {verdict}", red=True)
        terminalreporter.write_line(
            f"{len(good)} of {len(self._verdicts)} source files are covered to {LEAST_PERCENT} %"
            " by their own test file"
        )


def pytest_addoption(parser: pytest.Parser) -> None:
    """Offer `--mirror-coverage`."""
    parser.addoption(
        "--mirror-coverage",
        choices=("failures", "table"),
        help="fail when a source file is not covered by its own test file",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Join the run where it was asked for."""
    if config.getoption("--mirror-coverage"):
        config.pluginmanager.register(MirrorCoverage(config))
