"""The account is readable, and a document for programs."""

import io
import json
import os
import subprocess
import sys

from mesh.cli.demo.checks import NOT_REACHED, Check
from mesh.cli.demo.story import Story, document

GOOD = Check("counts", True, "all as counted alone")
BAD = Check("no plaintext", False, "the marker 1 times")


class Clock:
    """A clock that is set."""

    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


def told(story_of):
    """What a story that is told by `story_of` says."""
    stream, clock = io.StringIO(), Clock()
    story_of(Story(stream, clock), clock)
    return stream.getvalue()


def test_a_line_begins_with_its_time():
    """Seconds since the beginning, what it is about, and the text."""

    def tell(story, clock):
        clock.now += 1.25
        story.say("key", "made")

    assert told(tell) == "  1.2 s  key       made\n"


def test_fresh_keys_are_told_together():
    """Renewals since the last line make one line; without any there is none."""

    def tell(story, _clock):
        story.tell_rekeyed()
        story.rekeyed("a-b", 2)
        story.rekeyed("a-b", 3)
        story.rekeyed("a-c", 2)
        story.tell_rekeyed()
        story.tell_rekeyed()

    (line,) = told(tell).splitlines()
    assert line.endswith("fresh keys while working: a-b #3, a-c #2")


def test_the_conclusion_names_what_failed():
    """Each check has its verdict; what was not reached is told apart."""
    lost = Check("queries", False, NOT_REACHED)
    text = told(lambda story, _clock: story.conclude([GOOD, BAD, lost]))
    lines = [line.split() for line in text.splitlines() if line.startswith("  ")]
    assert [line[0] for line in lines] == ["ok", "FAILED", "-"]
    assert text.endswith("NOT everything held: 1 of 3 checks, in 0.0 s.\n")
    assert "\nEverything held: 1 of 1" in told(lambda story, _clock: story.conclude([GOOD]))


def test_the_document_says_the_same():
    """JSON with every check, its verdict, and the facts handed in."""
    read = json.loads(document([GOOD, BAD], 1.23456, {"folder": "x"}))
    assert (read["ok"], read["seconds"], read["folder"]) == (False, 1.235, "x")
    assert read["checks"][1] == {"name": BAD.name, "held": False, "detail": BAD.detail}
    assert json.loads(document([GOOD], 1, {}))["ok"]


def test_what_a_terminal_cannot_show_is_escaped():
    """A stream with a small alphabet is no reason to fail."""
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding="ascii")
    Story(stream, Clock()).say("query", "Ärger")
    assert b"\\xc4rger" in raw.getvalue()


def test_silence_lets_the_rest_go_nowhere():
    """After it, printing to a standard output that nobody reads does no harm."""
    program = "from mesh.cli.demo.story import silence\nsilence()\nprint('x' * 100_000)"
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(
        [sys.executable, "-c", program],
        stdout=writing,
        stderr=subprocess.PIPE,
        timeout=60,
        check=False,
    )
    os.close(writing)
    assert (done.returncode, done.stderr) == (0, b"")
