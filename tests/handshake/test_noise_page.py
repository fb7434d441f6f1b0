"""What docs/reference/noise.md shows is what the tests run."""

import subprocess
import sys

import noise_page


def test_the_evidence_is_that_of_the_tests():
    """The table is what the script writes: run tests/support/noise_page.py after a change."""
    page = noise_page.PAGE.read_text(encoding="utf-8")
    assert noise_page.with_evidence(page) == page
    assert page.count("| `XX` |") == 1


def test_the_example_runs(tmp_path, root):
    """A complete XX between two objects, as it stands in the page, in some 25 lines."""
    lines = [line for line in noise_page.example().splitlines() if line]
    assert len(lines) <= 25
    done = subprocess.run(
        [sys.executable, "-c", noise_page.example()],
        cwd=tmp_path,
        env={"PYTHONPATH": str(root)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stderr == ""
    assert done.stdout.splitlines() == [
        "forged, and nothing has changed",
        'b"alice\'s certificate"',
        "bob knows alice's key: True",
        "b'hello, bob'",
        "b'hello, alice'",
    ]


def test_the_example_knows_no_mesh():
    """The package works alone: importing all of it imports nothing of `mesh`."""
    code = (
        "import sys\n"
        "import handshake.authentication, handshake.handshake_state\n"
        "assert not [name for name in sys.modules if name.split('.')[0] == 'mesh']\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
