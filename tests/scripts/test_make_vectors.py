"""`scripts/make_vectors` writes the vectors where it is told to."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
WRAPPER = ROOT / "scripts" / "make_vectors"


def _run(*command: str | Path) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join(map(str, (ROOT, ROOT / "scripts")))
    return subprocess.run(
        command,
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_it_writes_every_file(tmp_path: Path) -> None:
    """A directory that does not exist is made, and holds the very files that are stored."""
    there = tmp_path / "new" / "vectors"
    done = _run(sys.executable, "-m", "spec_vectors", there)
    assert (done.returncode, done.stderr) == (0, "")
    stored = {path.name: path.read_bytes() for path in (ROOT / "tests" / "vectors").iterdir()}
    assert {path.name: path.read_bytes() for path in there.iterdir()} == stored
    assert done.stdout.count("\n") == len(stored)


def test_it_says_how_it_is_used() -> None:
    """--help explains, and another option is an error of usage."""
    assert "tests/vectors" in _run(WRAPPER, "--help").stdout
    done = _run(WRAPPER, "--no-such-option")
    assert done.returncode == 2
    assert "--no-such-option" in done.stderr
