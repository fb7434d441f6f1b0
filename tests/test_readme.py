"""What the README shows is true."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import mesh
from mesh import Node
from mesh.runtime.trustees import Trust

README = Path(__file__).parent.parent / "README.md"
NODE = README.parent / "docs" / "reference" / "node.md"


def _run(example: str, folder: Path) -> str:
    """What it prints, in a folder that knows nothing of the checkout; it must not complain."""
    finished = subprocess.run(
        [sys.executable, "-c", example],
        cwd=folder,
        env={**os.environ, "XDG_RUNTIME_DIR": str(folder)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (finished.stderr, finished.returncode) == ("", 0)
    return finished.stdout


def _examples(page: Path) -> list[str]:
    return re.findall(r"```python\n(.*?)```", page.read_text(), re.DOTALL)


def test_the_example_runs_and_prints_the_reply(tmp_path: Path) -> None:
    """The embedding example works as it stands."""
    (example,) = _examples(README)
    assert _run(example, tmp_path) == "alice sent 4 words\n"


def test_the_examples_of_a_node_print_what_the_page_says(tmp_path: Path) -> None:
    """Each works as it stands, and prints the text block that follows it."""
    promised = re.findall(r"```text\n(.*?)```", NODE.read_text(), re.DOTALL)
    assert [_run(example, tmp_path) for example in _examples(NODE)] == promised
    assert promised


def test_the_page_of_a_node_names_its_whole_interface() -> None:
    """Every public method of `Node` and `node.trust`, every public error, and nothing made up."""
    page = NODE.read_text()
    members = {name for kind in (Node, Trust) for name in vars(kind) if name[0] != "_"}
    inner = {"running", "run_until_signal", "in_memory"}
    assert {name for name in members - inner if f"`{name}" not in page} == set()
    errors = {name for name in mesh.__all__ if issubclass(getattr(mesh, name), Exception)}
    table = set(re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE))
    assert errors - table == set()


@pytest.mark.parametrize("page", [README, NODE], ids=lambda page: page.name)
def test_every_link_leads_to_a_file(page: Path) -> None:
    """No relative link points at nothing."""
    links = re.findall(r"\]\(([^)#]+)\)", page.read_text())

    assert links
    assert [link for link in links if not (page.parent / link).is_file()] == []
