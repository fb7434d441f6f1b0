"""docs/SPEC.md as data: its numbered paragraphs, and the tables that follow a line `Table:`."""

import re
from fractions import Fraction
from pathlib import Path

PAGE = Path(__file__).resolve().parents[2] / "docs" / "SPEC.md"

Row = dict[str, str]

_NUMBER = re.compile(r"\*\*(\d+\.\d+\.\d+)\*\* ")


def text() -> str:
    """The whole page."""
    return PAGE.read_text(encoding="utf-8")


def tables(page: str) -> dict[str, list[Row]]:
    """Every table by the name its `Table:` line gives it; the cells of a row by column."""
    found: dict[str, list[Row]] = {}
    for block in re.findall(r"^Table: (.+)\n\n((?:\|.*\n)+)", page, re.MULTILINE):
        name, lines = block
        head, _, *rows = [_cells(line) for line in lines.splitlines()]
        assert name not in found, f"two tables are called {name}"
        found[name] = [dict(zip(head, row, strict=True)) for row in rows]
    return found


def _cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip("|").split("|")]


def code(cell: str) -> str:
    """What stands between the backticks of a cell that is nothing else."""
    found = re.fullmatch(r"`([^`]+)`", cell)
    assert found, f"not a single word in backticks: {cell!r}"
    return found[1]


def number(cell: str) -> Fraction:
    """A value: 8192, 0.25 or 13/12."""
    return Fraction(cell)


def paragraphs(page: str) -> list[str]:
    """Numbers of all requirements, in order."""
    return _NUMBER.findall(page)


def blocks(page: str) -> list[str]:
    """Paragraphs of prose: no headings, tables, lists of links or drawings."""
    prose = re.sub(r"```.*?```", "", page, flags=re.DOTALL)
    return [
        block
        for block in re.split(r"\n\s*\n", prose)
        if block.strip() and not block.lstrip().startswith(("#", "|", "- ", "Table:"))
    ]
