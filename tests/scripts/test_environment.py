"""Making an environment: what is wished for and cannot be installed is named and left out."""

from pathlib import Path

import pytest

import _environment

PROJECT = """
[project.optional-dependencies]
peers = ["one>=1", "two>=2", "three>=3"]
"""


class Pip:
    """Stands for every command that is run: fails for those that name what cannot be had."""

    def __init__(self, *unobtainable: str) -> None:
        self._unobtainable = unobtainable
        self.installed: list[str] = []

    def __call__(self, command: list[str | Path]) -> bytes | None:
        """What it says when it fails."""
        if "install" not in command:
            return None
        wanted = [str(word) for word in command[command.index("-e") + 1 :]]
        if any(name in word for name in self._unobtainable for word in wanted):
            return b"collecting\nno wheel for this machine\n"
        self.installed.append(" ".join(wanted))
        return None


@pytest.fixture
def project(tmp_path, monkeypatch) -> Path:
    """A project with an extra of three requirements, and an environment in it."""
    (tmp_path / "pyproject.toml").write_text(PROJECT, encoding="utf-8")
    (tmp_path / ".venv-bench").mkdir()
    monkeypatch.setattr(_environment, "ROOT", tmp_path)
    return tmp_path


def install(project: Path, monkeypatch, pip: Pip, wished: str = "peers") -> Pip:
    """Install as the bench does, with such a pip."""
    monkeypatch.setattr(_environment, "failure", pip)
    _environment.install(project / ".venv-bench", "bench", wished)
    return pip


def test_what_is_wished_for_is_installed_at_once(project, monkeypatch, capsys):
    """Where everything can be had, one command does it, and nothing is said to be missing."""
    assert install(project, monkeypatch, Pip()).installed == [".[bench,peers]"]
    assert "left out" not in capsys.readouterr().err


def test_what_cannot_be_had_is_left_out_by_name(project, monkeypatch, capsys):
    """The others are installed each by itself, beside our own requirements, which go on to hold."""
    pip = install(project, monkeypatch, Pip("two", "bench,peers"))
    assert pip.installed == [".[bench]", ".[bench] one>=1", ".[bench] three>=3"]
    said = capsys.readouterr().err
    assert "left out, since it cannot be installed: two>=2 no wheel for this machine" in said
    assert "three" not in said


def test_what_is_needed_must_be_had(project, monkeypatch):
    """Without our own requirements there is no environment."""
    with pytest.raises(SystemExit):
        install(project, monkeypatch, Pip("bench"))
    assert not list((project / ".venv-bench").glob("*.stamp"))


def test_nothing_is_installed_twice(project, monkeypatch):
    """Neither again nor tried again, until the project or the wish changes."""
    install(project, monkeypatch, Pip("two", "bench,peers"))
    assert install(project, monkeypatch, Pip()).installed == []
    assert install(project, monkeypatch, Pip(), wished="").installed == [".[bench]"]
