"""What the README shows is true."""

import re
import subprocess
import sys
from pathlib import Path

README = Path(__file__).parent.parent / "README.md"


def _example() -> str:
    (example,) = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)
    return str(example)


def test_the_example_runs_and_prints_the_reply(tmp_path: Path) -> None:
    """The embedding example works as it stands, in a folder that knows nothing of the checkout."""
    finished = subprocess.run(
        [sys.executable, "-c", _example()],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert finished.stderr == ""
    assert finished.stdout == "alice sent 4 words\n"
    assert finished.returncode == 0


def test_every_link_leads_to_a_file() -> None:
    """No relative link of the README points at nothing."""
    links = re.findall(r"\]\(([^)#]+)\)", README.read_text())

    assert links
    assert [link for link in links if not (README.parent / link).is_file()] == []
