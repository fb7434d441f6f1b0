"""Each source file has its test file, and that file alone covers it."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import coverage
import pytest

from mirrors import Verdict, judge, lines_inside_functions, mirror_of, needs_mirror


def test_every_source_file_has_its_test_file(sources, root):
    """A source file with a function in it is mirrored under tests/."""
    missing = [
        f"{path} has no {mirror_of(path)}"
        for path, text in sources.items()
        if needs_mirror(path, text) and not (root / mirror_of(path)).is_file()
    ]
    assert sources
    assert "\n".join(missing) == ""


def test_the_mirror_of_a_file():
    """Names of test files follow from names of source files."""
    assert mirror_of("mesh/wire/cbor.py") == "tests/mesh/wire/test_cbor.py"
    assert mirror_of("handshake/patterns.py") == "tests/handshake/test_patterns.py"


@pytest.mark.parametrize(
    ("path", "text", "needed"),
    [
        ("mesh/wire/cbor.py", "def f():\n    return 1", True),
        ("mesh/wire/cbor.py", "class C:\n    async def f(self):\n        pass", True),
        ("mesh/constants.py", "A = 1\nclass Reason(StrEnum):\n    B = 'b'", False),
        (
            "mesh/wire/kinds.py",
            "class P(Protocol):\n    def f(self) -> int:\n        'Say.'",
            False,
        ),
        ("mesh/wire/kinds.py", "class P(Protocol):\n    def f(self) -> int: ...", False),
        ("mesh/wire/__init__.py", "def f():\n    return 1", False),
        ("mesh/__main__.py", "def f():\n    return 1", False),
    ],
)
def test_who_needs_a_mirror(path, text, needed):
    """Only a function with a body needs tests of its own; doors need none."""
    assert needs_mirror(path, text) is needed


def test_lines_inside_functions():
    """Signatures and class bodies run on import; bodies, nested ones too, do not."""
    text = (
        "class C:\n    x = 1\n    def f(\n        self,\n    ):\n        if x:\n            y()\n"
    )
    assert lines_inside_functions(text) == {6, 7}


def test_a_file_is_enough_at_the_limit():
    """85 of 100 branches are enough and 84 are not; lines without branches count too."""
    verdict = Verdict("a.py", 100, 85, 100, 85, ())
    assert verdict.enough
    assert not verdict._replace(branches_reached=84).enough
    assert not verdict._replace(lines_reached=84).enough
    assert Verdict("a.py", 0, 0, 0, 0, ()).enough


@pytest.fixture
def world(tmp_path: Path) -> Path:
    """A source file with two branches, each reached by another test file."""
    for place in ("mesh", "tests/mesh"):
        (tmp_path / place).mkdir(parents=True)
    (tmp_path / "mesh" / "__init__.py").touch()
    (tmp_path / "mesh" / "sign.py").write_text(
        "def sign(number):\n"
        "    if number < 0:\n"
        "        return 'minus'\n"
        "    if number > 0:\n"
        "        return 'plus'\n"
        "    return 'nought'\n"
    )
    (tmp_path / "run.py").write_text(
        "import coverage\n"
        "run = coverage.Coverage(data_file='data', branch=True, source=['mesh'])\n"
        "run.start()\n"
        "run.switch_context('tests/mesh/test_other.py')\n"
        "from mesh.sign import sign\n"
        "sign(-1)\n"
        "run.switch_context('tests/mesh/test_sign.py')\n"
        "sign(1)\n"
        "run.stop()\n"
        "run.save()\n"
    )
    subprocess.run([sys.executable, "run.py"], cwd=tmp_path, check=True, timeout=60)
    return tmp_path


@pytest.fixture
def data(world: Path) -> Iterator[coverage.CoverageData]:
    """What coverage recorded of that run."""
    data = coverage.CoverageData(str(world / "data"))
    data.read()
    yield data
    data.close(force=True)


def test_only_the_mirror_counts(world, data):
    """A branch that another test file reached is not covered; importing by another one is."""
    (verdict,) = judge(data, ["mesh/sign.py"], root=world)
    assert (verdict.branches, verdict.branches_reached) == (4, 2)
    assert (verdict.lines, verdict.lines_reached) == (6, 4)
    assert verdict.missing == (2, 3, 4, 6)
    assert not verdict.enough


def test_a_file_that_no_test_imported_is_not_covered(world, data):
    """A source file without any data is judged, not forgotten."""
    (world / "mesh" / "lonely.py").write_text("def f():\n    return 1\n")
    (verdict,) = judge(data, ["mesh/lonely.py"], root=world)
    assert (verdict.lines, verdict.lines_reached) == (2, 0)
    assert not verdict.enough
