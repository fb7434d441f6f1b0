"""A peer whose process is stopped in the middle of it all, and goes on later."""

import asyncio
import signal
from contextlib import contextmanager

import pytest

from nodes import Journal, Ticker, digest_of, numbered, until

MESSAGES, SHARE, SECONDS = 4000, 20, 0.01


@pytest.fixture
def begin(start_node, start_process):
    """Start both, connect them, and let both talk."""

    async def begin(**fields):
        alice, other = await start_node("alice", **fields), await start_process(**fields)
        conversation = Conversation(alice, other)
        await conversation.begin()
        return conversation

    return begin


class Conversation:
    """Alice and a node in another process, which tell each other all they have at a pace."""

    def __init__(self, alice, other):
        self.alice = alice
        self.other = other
        self._journal = Journal(alice)
        self._bodies = numbered(MESSAGES)

    async def begin(self):
        """Introduce them, connect them, and let them talk until some of it has come."""
        self.alice.trust.allow(self.other.id, name="other")
        await self.other.ask("allow", str(self.alice.id), "alice")
        await self.alice.connect(self.other.endpoint, id=self.other.id)
        self._heard = asyncio.create_task(
            self.other.ask("recite", "alice", MESSAGES, SHARE, SECONDS)
        )
        self._told = asyncio.create_task(self._tell())
        await self._journal.until(MESSAGES // 10)

    async def _tell(self):
        ticker = Ticker(SECONDS)
        for number, body in enumerate(self._bodies, 1):
            receipt = await self.alice.send("other", "log", body)
            if number % SHARE == 0:
                await ticker.next()
        ticker.stop()
        await receipt.handled()

    @contextmanager
    def frozen(self):
        """The other's process stands still meanwhile; both have more to say."""
        assert not self._told.done()
        self._delivery = self.association.delivery
        self.other.process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self.other.process.send_signal(signal.SIGCONT)

    @property
    def association(self):
        """What alice has with the other."""
        return self.alice.running.engine.association(self.peer_id)

    @property
    def peer_id(self):
        """The other's id, as alice knows it."""
        return self.alice.trust.list()[0].id

    @property
    def presence(self):
        """What alice's engine says of the other's silence, whatever its connections."""
        return self.association.liveness.presence

    async def end(self):
        """Everything came, both ways: once, in order, unchanged, and by the delivery of before."""
        await self._told
        said = await self._heard
        assert digest_of(self._journal.bodies) == said
        assert len(self._journal.bodies) == MESSAGES
        assert await self.other.ask("tally", "alice") == [MESSAGES, digest_of(self._bodies)]
        await until(lambda: self.presence == "connected")
        assert self.association.delivery is self._delivery

    async def counted(self, name):
        """A counter of both."""
        counters = self.alice.counters(), await self.other.ask("counters")
        return [each.get(name, 0) for each in counters]


@pytest.mark.slow
async def test_a_peer_that_is_frozen_for_ten_seconds_is_unresponsive_and_comes_back(begin):
    """To the engine: for a program its connection has been given up before that.

    Then messages flow on, and nothing was lost.
    """
    talk = await begin()
    with talk.frozen():
        silent = talk.alice.wait_for_presence("other", "no connection", "unresponsive", "lost")
        assert await silent == "no connection"
        await until(lambda: talk.presence == "unresponsive")
    await talk.end()


@pytest.mark.slow
async def test_a_peer_that_is_frozen_over_several_rekeys_comes_back(begin):
    """Keys were due three times while it stood still: they are renewed, by the same session."""
    talk = await begin(rekey_after_seconds=1.0)
    ticker = Ticker(1.0)
    with talk.frozen():
        for _ in range(3):
            await ticker.next()
    ticker.stop()
    await talk.end()
    before = min(await talk.counted("sessions.renewed"))
    await until(lambda: talk.alice.counters()["sessions.renewed"] > before)
    assert await talk.counted("sessions.established") == [1, 1]


@pytest.mark.slow
async def test_a_peer_that_is_frozen_until_all_keys_have_ended_comes_back(begin):
    """No session is left: identities are proved anew, and the delivery goes on where it was."""
    talk = await begin(rekey_after_seconds=0.5)
    with talk.frozen():
        await until(lambda: talk.association.sessions.current is None)
    await talk.end()
    assert min(await talk.counted("sessions.established")) >= 2
