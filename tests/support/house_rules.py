"""Rules about the shape of files and tests.

Each takes a path relative to the root and the text of that file, and returns complaints, one
line each.
"""

import ast
from collections.abc import Iterator
from pathlib import Path

from architecture import called_name

MOST_LINES_IN_A_FILE = 500
MOST_LINES_IN_A_FUNCTION = 70

AnyFunction = ast.FunctionDef | ast.AsyncFunctionDef


def functions_of(text: str) -> Iterator[AnyFunction]:
    """Every function and method of a file, nested ones too."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, AnyFunction):
            yield node


def is_short_enough(path: str, text: str) -> list[str]:
    """A file can be read at one sitting."""
    lines = len(text.splitlines())
    if lines <= MOST_LINES_IN_A_FILE:
        return []
    return [f"{path}:1: {lines} lines, and {MOST_LINES_IN_A_FILE} is the most"]


def has_short_functions(path: str, text: str) -> list[str]:
    """A function fits a screen, and certainly two."""
    complaints = []
    for function in functions_of(text):
        lines = (function.end_lineno or function.lineno) - function.lineno + 1
        if lines > MOST_LINES_IN_A_FUNCTION:
            limit = f"and {MOST_LINES_IN_A_FUNCTION} is the most"
            complaints.append(f"{path}:{function.lineno}: {function.name}: {lines} lines, {limit}")
    return complaints


def says_what_it_is(path: str, text: str) -> list[str]:
    """A file opens with a docstring; that of a package says what the room is and may touch."""
    if ast.get_docstring(ast.parse(text)):
        return []
    return [f"{path}:1: has no docstring that says what it is"]


def hides_nothing_from_coverage(path: str, text: str) -> list[str]:
    """No line is excused from being tested."""
    mark = "pragma: " + "no "
    return [
        f"{path}:{number}: hides a line from coverage"
        for number, line in enumerate(text.splitlines(), 1)
        if mark in line
    ]


def never_sleeps(path: str, text: str) -> list[str]:
    """A test waits for an event, never for time to pass; sleep(0) gives way and is allowed."""
    complaints = []
    tree = ast.parse(text)
    names = {"sleep"} | {
        alias.asname or alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
        if alias.name == "sleep"
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and called_name(node) in names:
            values = [*node.args, *(keyword.value for keyword in node.keywords)]
            if not values or not _is_zero(values[0]):
                complaints.append(f"{path}:{node.lineno}: sleeps: wait for an event instead")
    return complaints


def _is_zero(value: ast.expr) -> bool:
    return isinstance(value, ast.Constant) and value.value in (0, 0.0)


def states_its_promises(path: str, text: str) -> list[str]:
    """Each test's docstring states the promise it checks."""
    return [
        f"{path}:{function.lineno}: {function.name} does not say what it promises"
        for function in functions_of(text)
        if function.name.startswith("test_")
        and Path(path).name.startswith("test_")
        and not ast.get_docstring(function)
    ]
