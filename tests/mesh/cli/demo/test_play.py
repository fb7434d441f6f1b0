"""The play with real nodes in this process: what it shows, and what an ill relay does to it."""

import io
from collections import Counter

import pytest

from mesh.cli.demo.alone import Alone, count
from mesh.cli.demo.checks import judge
from mesh.cli.demo.folder import TextFile, survey
from mesh.cli.demo.play import LINKS, RELAYED, ROLES, WORKERS, Plan, Play, brief, questions, shares
from mesh.cli.demo.relay import Relay
from mesh.cli.demo.story import Story
from mesh.cli.demo.troupe import ChildFailed


class Liar(Relay):
    """Changes the last byte of a large piece of what it passes on, once."""

    lied = False

    def passing(self, data, *, forward):
        data = super().passing(data, forward=forward)
        if forward and len(data) > 2000 and not self.lied:
            self.lied = True
            return data[:-1] + bytes([data[-1] ^ 1])
        return data


@pytest.fixture
def performance(texts, tmp_path, local_start, patiently):
    """Perform the play on the small folder; the evidence and the story."""

    async def perform(**changes):
        stream = io.StringIO()
        fields = {"rekey_after_seconds": 0.5, "renewals": 2, "start": local_start, **changes}
        play = Play(survey(texts), Story(stream), Plan(**fields))
        scratch = tmp_path / "scratch"
        scratch.mkdir()
        try:
            await patiently(play.perform(scratch))
        finally:
            await play.end()
        return play.evidence, stream.getvalue()

    return perform


async def test_everything_holds(performance):
    """Seven nodes count a folder as one process does, rekey meanwhile, and leak nothing."""
    evidence, story = await performance()
    assert [check for check in judge(evidence) if not check.held] == []
    assert len(evidence.pids) == len(ROLES)
    assert len(evidence.proofs) == len(LINKS)
    for told in ("made its key", "the recording relay", "knocks", "round 1", "fresh keys", "query"):
        assert told in story


@pytest.mark.slow
async def test_changed_bytes_are_found(performance):
    """A relay that changes one byte fails the performance, though every piece arrives."""
    evidence, _ = await performance(relay=Liar)
    failed = {check.name for check in judge(evidence) if not check.held}
    assert failed
    assert failed <= {"nothing suspicious", "relay recorded", "no handshake again"}


async def test_a_dead_node_ends_the_play(performance, local_start):
    """When a process dies before it is ready, the play ends with its last words."""

    async def start(role, name, home, rekey_after_seconds, on_news):
        if name == "index":
            home.parent.joinpath(name).write_text("no folder, so no home")
        return await local_start(role, name, home, rekey_after_seconds, on_news)

    with pytest.raises(ExceptionGroup) as caught:
        await performance(start=start)
    assert caught.group_contains(ChildFailed, match="index died with exit status 1")


async def test_the_time_is_limited(performance):
    """A play that takes too long is broken off."""
    with pytest.raises(TimeoutError):
        await performance(limit_seconds=0.01)


def test_shares_are_even_and_complete():
    """Every file goes to one worker; the marker's goes over the relay, whatever its size."""
    files = [TextFile(number, "", "", size) for number, size in enumerate([9, 1, 1, 8, 7, 2, 5])]
    dealt = shares(files)
    assert sorted(file.number for share in dealt.values() for file in share) == list(range(7))
    assert dealt[RELAYED][0].number == 6
    loads = [sum(file.size for file in dealt[worker][worker == RELAYED :]) for worker in WORKERS]
    assert max(loads) - min(loads) <= 2


def test_questions_cover_frequent_rare_and_absent_words(texts):
    """Queries ask for words of all kinds, the marker among them, with the answers counted alone."""
    counted = count(survey(texts).files)
    asked = questions(counted, "marker")
    about = [word for service, word, _ in asked if service == "how_often"]
    assert about[0] == "the"
    assert {"marker", "marker_absent"} <= set(about)
    assert ("how_often", "the", 400) in asked
    assert ("files_with", "marker", []) in asked
    assert asked[-1][2][0] == ["the", 400]


def test_questions_are_not_repeated():
    """A folder of one word has fewer questions."""
    asked = questions(Alone(total=Counter(x=1)), "x")
    assert [word for service, word, _ in asked if service == "how_often"] == ["x", "x_absent"]


def test_answers_are_brief():
    """A number, a number of files, or the first few of a ranking."""
    assert brief(3) == "3"
    assert brief([]) == "0 files"
    assert brief([1, 2]) == "2 files"
    assert brief([[str(number), 1] for number in range(10)]) == "0 1, 1 1, 2 1, 3 1, 4 1"
