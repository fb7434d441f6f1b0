"""Files and functions are short, and tests are written as the house writes them."""

import pytest

from house_rules import (
    MOST_LINES_IN_A_FILE,
    MOST_LINES_IN_A_FUNCTION,
    has_short_functions,
    hides_nothing_from_coverage,
    is_short_enough,
    never_sleeps,
    says_what_it_is,
    states_its_promises,
)


@pytest.mark.parametrize(
    "rule", [is_short_enough, has_short_functions, says_what_it_is, hides_nothing_from_coverage]
)
def test_every_file_keeps_the_rules_of_form(rule, everything, complaints):
    """No file is too long, has too long a function, is unexplained or hides lines."""
    assert complaints(rule, everything) == ""


@pytest.mark.parametrize("rule", [never_sleeps, states_its_promises])
def test_every_test_keeps_the_rules_of_tests(rule, tests, complaints):
    """No test sleeps, and each says what it promises."""
    assert complaints(rule, tests) == ""


def test_a_long_file_is_found():
    """The limit of a file holds at the limit and bites one line past it."""
    assert is_short_enough("a.py", "x = 1\n" * MOST_LINES_IN_A_FILE) == []
    assert is_short_enough("a.py", "x = 1\n" * (MOST_LINES_IN_A_FILE + 1))


@pytest.mark.parametrize("head", ["def f():", "async def f():"])
def test_a_long_function_is_found(head):
    """The limit of a function holds at the limit and bites one line past it."""
    body = "\n    x = 1"
    assert has_short_functions("a.py", head + body * (MOST_LINES_IN_A_FUNCTION - 1)) == []
    assert has_short_functions("a.py", head + body * MOST_LINES_IN_A_FUNCTION)


def test_a_long_method_is_found():
    """The limit of a function holds for methods, decorated and nested ones."""
    method = "class C:\n    @property\n    def f(self):" + "\n        x = 1" * 80
    assert "f: 81 lines" in has_short_functions("a.py", method)[0]


def test_a_file_without_docstring_is_found():
    """A file says what it is, and so does an empty one that makes a folder a package."""
    assert says_what_it_is("mesh/wire/cbor.py", "import struct")
    assert says_what_it_is("mesh/wire/cbor.py", '"""Bytes to values."""') == []
    assert says_what_it_is("mesh/wire/__init__.py", "")


def test_a_line_hidden_from_coverage_is_found():
    """No comment excuses a line from its tests."""
    assert hides_nothing_from_coverage("a.py", "x = 1  # pragma: " + "no cover")
    assert hides_nothing_from_coverage("a.py", "x = 1  # pragma: " + "no branch")


@pytest.mark.parametrize(
    "text",
    [
        "import time\ntime.sleep(1)",
        "import asyncio\nasync def f():\n    await asyncio.sleep(0.1)",
        "from time import sleep\nsleep(1)",
        "from asyncio import sleep as pause\nasync def f():\n    await pause(1)",
        "import asyncio\nasyncio.sleep(delay=2)",
        "import time\ntime.sleep(moment)",
        "import time as clock\nclock.sleep(-1)",
    ],
)
def test_a_sleeping_test_is_found(text):
    """The rule bites on each way of sleeping."""
    assert never_sleeps("tests/test_a.py", text)


@pytest.mark.parametrize("text", ["await asyncio.sleep(0)", "asyncio.sleep(0.0)", "time.sleep(0)"])
def test_giving_way_is_allowed(text):
    """sleep(0) waits for no time."""
    assert never_sleeps("tests/test_a.py", text) == []


@pytest.mark.parametrize(
    "text",
    [
        "def test_a():\n    assert a",
        "async def test_a():\n    assert a",
        "class TestA:\n    def test_a(self):\n        assert a",
    ],
)
def test_a_test_without_promise_is_found(text):
    """The rule bites on functions, coroutines and methods."""
    assert states_its_promises("tests/test_a.py", text)


def test_a_test_with_promise_is_allowed():
    """A docstring is enough; helpers need none."""
    text = 'def test_a():\n    """A promise."""\n\ndef helper():\n    return 1'
    assert states_its_promises("tests/test_a.py", text) == []
