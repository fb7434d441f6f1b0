"""`scripts/simulate`: many worlds, planted faults that they find, and exact replays."""

import os
import subprocess
from math import inf

import pytest

from mesh.delivery.incoming import Incoming
from mesh.testing.simulation import simulate
from worlds import many
from worlds.__main__ import main
from worlds.mutants import MUTANTS, caught_by, planted


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", MUTANTS)
def test_every_planted_fault_is_found(name):
    """In far fewer worlds than the five hundred that are allowed."""
    found = caught_by(name, range(200), simulate)
    assert found is not None


def test_a_fault_is_planted_for_a_while_only():
    """The engine is as before, even after a violation; an unknown fault is refused."""
    genuine = vars(Incoming)["accept"]
    with pytest.raises(RuntimeError), planted("no duplicate check"):
        assert vars(Incoming)["accept"] is not genuine
        raise RuntimeError
    assert vars(Incoming)["accept"] is genuine
    with pytest.raises(KeyError), planted("no such fault"):
        pass


@pytest.mark.slow
def test_a_fault_is_found_and_one_that_is_none_is_not(monkeypatch, capsys):
    """By the seed and the rule; a fault that no world finds fails the run."""
    assert main(["--mutants", "--jobs", "1", "--only", "credit returned short by a byte"]) == 0
    assert "found after 1 worlds, by: all credit returns" in capsys.readouterr().out
    monkeypatch.setitem(MUTANTS, "nothing", ())
    assert main(["--mutants", "--jobs", "1", "--seeds", "2", "--only", "nothing"]) == 1
    assert "nothing: NOT FOUND in 2 worlds" in capsys.readouterr().out


@pytest.mark.slow
def test_who_stops_early_waits_for_the_worlds_at_work_alone():
    """And not for the hundred thousand that were asked for."""
    tallies = many.run_on(2, range(100_000), within=inf)
    assert next(tallies).worlds > 0
    tallies.close()


def test_a_run_counts_its_worlds(capsys):
    """And what they took; with several processes, too."""
    assert main(["--seeds", "3", "--jobs", "1"]) == 0
    assert capsys.readouterr().out.startswith("3 worlds, ")
    assert main(["--seeds", "3", "--jobs", "1", "--minutes", "0"]) == 1
    assert capsys.readouterr().out.startswith("0 worlds, ")


def test_a_violation_is_named_by_its_seed_and_can_be_replayed(capsys):
    """The first one, with the command that draws it."""
    with planted("credit returned short by a byte"):
        assert main(["--from", "5", "--seeds", "1", "--jobs", "1"]) == 1
        said = capsys.readouterr().out
        assert "seed 5: all credit returns" in said
        assert "replay one: scripts/simulate --seed 5" in said
        assert main(["--seed", "5", "--last", "3"]) == 1
        lines = capsys.readouterr().out.splitlines()
        assert lines[0].startswith("   seconds")
        assert "VIOLATION all credit returns" in lines[3]
        assert lines[-1].startswith("violated: all credit returns")
    assert main(["--seed", "5", "--last", "3"]) == 0
    assert capsys.readouterr().out.endswith("no violation\n")


def test_a_planted_fault_that_is_unknown_is_answered_with_those_there_are(capsys):
    """Their names are words that nobody can guess."""
    with pytest.raises(SystemExit):
        main(["--mutants", "--only", "nothing"])
    said = capsys.readouterr().err
    assert "no planted fault is called nothing. There are:" in said
    assert all(f"\n  {name}\n" in said for name in MUTANTS)


@pytest.mark.parametrize("arguments", [["--seeds", "0"], ["--jobs", "0"], ["--only", "nothing"]])
def test_wrong_usage_is_refused(arguments, capsys):
    """Nothing to run, and faults that do not exist."""
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_command_runs_in_its_own_environment(root):
    """From anywhere, with several processes."""
    done = subprocess.run(
        [root / "scripts" / "simulate", "--seeds", "30", "--jobs", "2"],
        cwd="/",
        env=os.environ | {"PYTHONPATH": "nowhere"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("30 worlds, ")
