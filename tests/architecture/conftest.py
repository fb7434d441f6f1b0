"""The text of every file of the project, for the rules to read."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from architecture import nodes_of
from mirrors import PACKAGES, python_files

Rule = Callable[[str, str], list[str]]


def _texts(root: Path, *tops: str) -> dict[str, str]:
    return {path: (root / path).read_text(encoding="utf-8") for path in python_files(*tops)}


@pytest.fixture(scope="package", autouse=True)
def _trees() -> Iterator[None]:
    """Syntax trees are kept from rule to rule, and forgotten after the last."""
    yield
    nodes_of.cache_clear()


@pytest.fixture(scope="session")
def sources(root: Path) -> Mapping[str, str]:
    """Path and text of each source file."""
    return _texts(root, *PACKAGES)


@pytest.fixture(scope="session")
def tests(root: Path) -> Mapping[str, str]:
    """Path and text of each file under tests/."""
    return _texts(root, "tests")


@pytest.fixture(scope="session")
def everything(root: Path, sources: Mapping[str, str], tests: Mapping[str, str]) -> dict[str, str]:
    """Path and text of each Python file of the project."""
    return {**sources, **tests, **_texts(root, "scripts")}


@pytest.fixture(scope="session")
def complaints() -> Callable[[Rule, Mapping[str, str]], str]:
    """Apply a rule to files: its complaints, one a line. No file at all is a complaint too."""

    def apply(rule: Rule, files: Mapping[str, str]) -> str:
        if not files:
            return "no files were read"
        return "\n".join(line for path, text in files.items() for line in rule(path, text))

    return apply
