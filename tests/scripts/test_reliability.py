"""`scripts/reliability`: what it counts, what it prints, and a short run of both measurements."""

import json
import os
import subprocess
from array import array

import pytest

from benchmarks.process import PeerFailed
from endurance import __main__ as command
from endurance.__main__ import main
from endurance.cutter import Cut
from endurance.runs import report, silences
from endurance.sides import Ear, Heard, body_of, peak_bytes


def test_an_ear_hears_all_that_goes_wrong():
    """A message again, one that was overtaken, one that was changed, and one that is none."""
    ear = Ear()
    for number in (0, 1, 1, 4, 3):
        ear.hear(body_of(number, 7.0, 64))
    ear.hear(body_of(5, 7.0, 64)[:-1] + b"x")
    ear.hear(b"short")
    heard = ear.heard()
    assert (heard.messages, heard.duplicates, heard.out_of_order, heard.damaged) == (4, 1, 1, 2)
    assert list(heard.sent) == [7.0] * 4
    assert sorted(heard.handled) == list(heard.handled)


def test_a_silence_lasts_until_a_message_sent_after_the_cut_is_handled():
    """What was under way at the cut does not end it; after the last message there is none."""
    heard = Heard(3, 0, 0, 0, array("d", [1.0, 2.0, 3.0]), array("d", [1.1, 2.9, 3.1]))
    cuts = [Cut(1.05, False, 1), Cut(2.5, True, 1), Cut(3.05, True, 1)]
    assert silences(cuts, heard) == pytest.approx([1.85, 0.6])


def test_the_peak_is_what_was_held_at_once():
    """It grows with what is held, and does not fall again."""
    before = peak_bytes()
    held = bytearray(64 << 20)
    for place in range(0, len(held), 4096):
        held[place] = 1
    assert peak_bytes() >= before
    del held
    assert peak_bytes() >= 64 << 20


@pytest.mark.slow
def test_a_short_run_loses_nothing(capsys):
    """Two processes, a relay that cuts: figures for programs, and success."""
    arguments = ["--only", "cuts", "--messages", "500", "--rate", "1000", "--seed", "7"]
    assert main([*arguments, "--shortest-ms", "20", "--longest-ms", "120", "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    [found] = printed["cuts"]
    assert (found["messages"], found["seed"]) == (500, 7)
    assert found["losses"] == found["duplicates"] == found["out_of_order"] == 0
    assert found["cuts"] >= found["in_traffic"] >= 1
    assert found["longest_silence"] >= found["median_silence"] > 0
    assert printed["memory"] == []


@pytest.mark.slow
def test_a_stalled_handler_is_measured(capsys, monkeypatch):
    """What the sender could send is bounded by the window; both peaks are told."""
    monkeypatch.setattr(command, "HELD_SIZES", (65_536,))
    assert main(["--only", "memory", "--json"]) == 0
    [held] = json.loads(capsys.readouterr().out)["memory"]
    assert 0 < held["messages"] * held["size"] <= 4 << 20
    assert held["sender_peak"] > held["sender_growth"] >= 0
    assert held["receiver_peak"] > held["receiver_growth"] >= 0


@pytest.mark.slow
def test_the_command_prints_tables(root):
    """In its own environment, from anywhere: both tables."""
    done = subprocess.run(
        [root / "scripts" / "reliability", "--messages", "2000"],
        cwd="/",
        env=os.environ | {"PYTHONPATH": "nowhere"},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "lost                           0\n" in done.stdout
    assert "A handler that does not return" in done.stdout


def test_what_was_lost_fails_the_run(capsys, monkeypatch):
    """The table says what, and the exit status that something was."""
    monkeypatch.setattr(command, "survive_cuts", lossy)
    assert main(["--only", "cuts"]) == 1
    assert "lost                           2\n" in capsys.readouterr().out


async def lossy(plan):
    """A run in which one message each way never came."""
    short = Heard(plan.messages - 1, 0, 0, 0, array("d"), array("d"))
    return report(plan, [], [short, short], [{}, {}])


def test_what_could_not_be_measured_is_said(capsys, monkeypatch):
    """A node that fails is named, and nothing is printed as a figure."""

    async def fails(_plan):
        raise PeerFailed("noisemesh's sender has ended with code 7")

    monkeypatch.setattr(command, "survive_cuts", fails)
    assert main(["--only", "cuts"]) == 1
    told = capsys.readouterr()
    assert told.out == ""
    assert "ended with code 7" in told.err


@pytest.mark.parametrize(
    "arguments",
    [["--messages", "0"], ["--size", "15"], ["--shortest-ms", "9", "--longest-ms", "8"]],
)
def test_wrong_usage_is_refused(arguments):
    """Nothing to send, no room for a number, a shortest pause over the longest."""
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
