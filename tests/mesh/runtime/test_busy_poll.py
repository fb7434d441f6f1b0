"""BusyPoll: where requests and replies take turns the loop stays awake, and nowhere else."""

import asyncio

import pytest

from mesh.io import system
from mesh.model import Now
from mesh.runtime.busy_poll import NEAR_SECONDS, TURNS, BusyPoll

pytestmark = pytest.mark.usefixtures("quiet_loop")


class Clock:
    """A clock that stands until it is moved, and counts who looks at it."""

    def __init__(self):
        self.elapsed = 100.0
        self.looks = 0

    def __call__(self):
        self.looks += 1
        return Now(self.elapsed, 0.0)

    def pass_by(self, seconds):
        """Move it. This moment."""
        self.elapsed += seconds
        return Now(self.elapsed, 0.0)


class Table:
    """A busy poll and its clock."""

    def __init__(self):
        self.clock = Clock()
        self.poll = BusyPoll(self.clock)

    def take_turns(self, turns=TURNS, seconds=NEAR_SECONDS / 2, frames=1):
        """So many answers, each after so long and in so many frames."""
        for _ in range(turns):
            self.poll.expect()
            self.poll.came(frames, self.clock.pass_by(seconds))

    async def rounds(self, turns=5):
        """How often the loop went round for it in so many turns."""
        looks = self.clock.looks
        for _ in range(turns):
            await asyncio.sleep(0)
        return self.clock.looks - looks


async def conversation():
    """A table where a conversation is under way and the loop rests."""
    table = Table()
    table.take_turns()
    await table.rounds()
    return table


async def test_after_some_turns_an_answer_is_waited_for_awake():
    """Once in each turn of the loop, not more often."""
    table = await conversation()
    assert table.poll.in_conversation
    table.poll.expect()
    table.poll.expect()
    assert await table.rounds(5) == 5
    assert await table.rounds(50) == 50


async def test_whoever_waits_for_the_processor_goes_first(monkeypatch):
    """In every round: where all processors are taken, an answer needs one to come."""
    given = []
    monkeypatch.setattr(system, "give_way", lambda: given.append(1))
    table = await conversation()
    table.poll.expect()
    assert await table.rounds(7) == len(given) == 7


async def test_the_first_answers_are_waited_for_asleep():
    """One request and its reply are no conversation yet."""
    table = Table()
    table.take_turns(TURNS - 1)
    table.poll.expect()
    assert not table.poll.in_conversation
    assert await table.rounds() == 0


async def test_nobody_is_awake_when_the_answer_has_come():
    """Whoever does not go on speaking costs nothing."""
    table = await conversation()
    table.poll.expect()
    assert await table.rounds() > 0
    table.poll.came(1, table.clock.pass_by(NEAR_SECONDS / 2))
    assert await table.rounds() == 0


async def test_an_answer_that_does_not_come_is_not_waited_for_longer():
    """Nor is the next one: that it stayed away was not near."""
    table = await conversation()
    table.poll.expect()
    table.clock.pass_by(NEAR_SECONDS)
    await table.rounds()
    assert await table.rounds() == 0
    table.poll.came(1, table.clock.pass_by(1.0))
    table.poll.expect()
    assert not table.poll.in_conversation
    assert await table.rounds() == 0


async def test_the_next_request_is_waited_for_from_its_own_moment():
    """One circle goes on; it ends when the last answer is not near any more."""
    table = await conversation()
    table.poll.expect()
    await table.rounds()
    table.take_turns(1, NEAR_SECONDS * 3 / 4)
    table.poll.expect()
    table.clock.pass_by(NEAR_SECONDS * 3 / 4)
    assert await table.rounds(5) == 5
    table.clock.pass_by(NEAR_SECONDS / 2)
    await table.rounds()
    assert await table.rounds() == 0


@pytest.mark.parametrize(
    ("seconds", "frames"),
    [(NEAR_SECONDS * 2, 1), (NEAR_SECONDS / 2, 2)],
    ids=["late", "several frames at once"],
)
async def test_what_is_no_lone_near_answer_ends_a_conversation(seconds, frames):
    """It takes all its turns to begin anew."""
    table = await conversation()
    table.take_turns(1, seconds, frames)
    assert not table.poll.in_conversation
    table.take_turns(TURNS - 1)
    assert not table.poll.in_conversation
    table.take_turns(1)
    assert table.poll.in_conversation


async def test_what_nobody_expected_ends_a_conversation():
    """There is other traffic, whose processor it would be."""
    table = await conversation()
    table.poll.came(1, table.clock.pass_by(0.0))
    assert not table.poll.in_conversation


async def test_a_node_that_ends_stays_awake_for_nobody():
    """What its loop does then is not held up."""
    table = await conversation()
    table.poll.expect()
    table.poll.stop()
    await table.rounds()
    assert await table.rounds() == 0
    assert not table.poll.in_conversation
