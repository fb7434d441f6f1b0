"""Whoever waits for a presence, or watches all of them; events and trust are handed in."""

import asyncio
from types import SimpleNamespace

import pytest

from handshake.constants import Reason
from handshake.identity import Identity
from mesh.engine import events
from mesh.errors import InvalidConfiguration, NodeClosed, NotTrusted, WaitTimeout
from mesh.model import Peer
from mesh.runtime.presence import Presence
from mesh.runtime.watches import Presences, presences_of

BOB, CAROL, *OTHERS = (Identity(bytes([number]) * 32).id for number in range(1, 12))


class Desk:
    """The presences of a node that trusts everybody here, and ways that are there at once."""

    def __init__(self):
        self.allowed = {BOB, CAROL, *OTHERS}
        self.ways = {BOB, CAROL, *OTHERS}
        self.peers = {peer_id: Peer(peer_id, peer_id.short) for peer_id in self.allowed}
        self.presences = Presences(
            is_allowed=self.allowed.__contains__,
            has_way=self.ways.__contains__,
            peer_of=self.peers.__getitem__,
        )

    def tell(self, event):
        """News of the engine; those of other rooms change nothing here."""
        react = self.presences.reactions.get(type(event))
        if react is not None:
            react(event)

    def of(self, peer_id=BOB):
        return str(self.presences.of(peer_id))

    def meets(self, peer_id=BOB):
        self.tell(events.PeerConnected(peer_id, None))

    def restarts(self, peer_id=BOB):
        delivery = SimpleNamespace(peer_id=peer_id)
        self.tell(events.DeliveryEnded(delivery, [], "gone", restarted=True))
        self.meets(peer_id)

    def is_(self, presence, peer_id=BOB):
        self.tell(events.PresenceChanged(peer_id, presence))

    def cut(self, peer_id=BOB):
        self.ways.discard(peer_id)
        self.tell(events.RouteWanted(peer_id))

    def found(self, peer_id=BOB):
        self.ways.add(peer_id)
        self.tell(events.RouteFound(peer_id))

    def closes(self, reason=Reason.CLOSED, by_us=False, peer_id=BOB):
        self.tell(events.PeerClosed(peer_id, reason, by_us=by_us))

    def distrusts(self, peer_id=BOB):
        self.allowed.discard(peer_id)
        self.presences.trust_changed()

    def waits(self, *wanted, peer_id=BOB, timeout=None):
        """Somebody waits, from now on."""
        waiting = self.presences.wait_for(peer_id, presences_of(wanted), timeout)
        return asyncio.ensure_future(waiting)


@pytest.fixture
async def desk():
    """One of them."""
    return Desk()


async def turn():
    """Let everybody who can go on do so."""
    for _ in range(5):
        await asyncio.sleep(0)


async def read(changes):
    """All that is there to be read now."""
    found = []
    while changes._waiting:
        change = await anext(changes)
        found.append((change.peer.id, str(change.presence), change.reason))
    return found


# -- what moves them


async def test_every_event_moves_the_peer_it_names(desk):
    """And says why; nobody else is touched, and events of other rooms are nothing."""
    async with desk.presences.watch() as changes:
        for happens, presence, reason in (
            (desk.meets, "connected", "a session has begun"),
            (lambda: desk.is_("unresponsive"), "unresponsive", "silent for 10 s"),
            (lambda: desk.is_("lost"), "lost", "silent for 30 s"),
            (lambda: desk.is_("connected"), "connected", "it is heard again"),
            (desk.cut, "no connection", "the last connection is lost"),
            (desk.found, "connected", "there is a connection again"),
            (desk.restarts, "connected", "the peer has restarted"),
            (desk.meets, "connected", "a session has begun"),
            (desk.closes, "closed", "the peer has closed"),
            (desk.meets, "connected", "a session has begun"),
            (lambda: desk.closes(Reason.REVOKED), "closed", "the peer has closed: revoked"),
            (desk.meets, "connected", "a session has begun"),
            (lambda: desk.closes(Reason.CLOCK, True), "closed", "closed here: clock"),
        ):
            happens()
            assert desk.of() == presence
            assert await read(changes) == [(BOB, presence, reason)]
    desk.tell(events.PongReceived(BOB, 1, 0.1))
    assert desk.of(CAROL) == "not seen"


async def test_another_instance_of_this_node_ends_it(desk):
    """The peer speaks with the other one now."""
    desk.meets()
    desk.tell(events.Superseded(BOB))
    assert desk.of() == "closed"


async def test_a_peer_may_be_met_before_there_is_a_way(desk):
    """Whatever was told of ways before there was a session counts for nothing."""
    desk.found()
    assert desk.of() == "not seen"
    desk.cut()
    desk.meets()
    assert desk.of() == "no connection"
    desk.found()
    assert desk.of() == "connected"
    desk.ways.discard(BOB)
    desk.restarts()
    assert desk.of() == "no connection"


async def test_what_changes_nothing_is_not_told(desk):
    """Silence behind a lost connection, a second goodbye, a frame of one that was connected."""
    desk.meets()
    async with desk.presences.watch() as changes:
        await read(changes)
        desk.is_("connected")
        desk.found()
        assert await read(changes) == []
        desk.cut()
        desk.is_("unresponsive")
        assert len(await read(changes)) == 1
        desk.closes()
        desk.closes(Reason.REVOKED)
        desk.cut()
        assert await read(changes) == [(BOB, "closed", "the peer has closed")]


# -- waiting


async def test_what_is_so_already_is_not_waited_for(desk):
    """It is told at once, in no time."""
    assert await desk.waits("not seen", "lost", timeout=0) is Presence.NOT_SEEN
    desk.meets()
    assert await desk.waits("connected", timeout=0) is Presence.CONNECTED


async def test_a_wait_ends_with_what_has_come(desk):
    """One of several; however short a moment it lasts, and for everybody who waits."""
    desk.meets()
    waiting = [desk.waits("closed", "lost"), desk.waits("no connection"), desk.waits("lost")]
    other = desk.waits("lost", peer_id=CAROL)
    await turn()
    desk.cut()
    desk.found()
    desk.is_("lost")
    desk.is_("connected")
    assert await asyncio.gather(*waiting) == ["lost", "no connection", "lost"]
    assert not other.done()
    other.cancel()
    await turn()
    assert desk.presences._waits == {}


async def test_a_wait_ends_after_its_timeout(desk):
    """The error says what the peer is instead, and is a TimeoutError; nothing is left behind."""
    desk.meets()
    with pytest.raises(WaitTimeout) as caught:
        await desk.waits("lost", "closed", timeout=0.01)
    assert (
        str(caught.value) == f"{BOB.short} is connected, and was not lost or closed within 0.01 s"
    )
    assert isinstance(caught.value, TimeoutError)
    assert desk.presences._waits == {}


@pytest.mark.parametrize("met", [False, True])
async def test_a_wait_ends_when_the_peer_is_not_trusted_any_more(desk, met):
    """It would never come, whether the peer was ever met or not; others go on waiting."""
    if met:
        desk.meets()
    waiting, others = desk.waits("lost"), desk.waits("lost", peer_id=CAROL)
    await turn()
    desk.distrusts()
    with pytest.raises(NotTrusted, match="not trusted any more"):
        await waiting
    await turn()
    assert not others.done()
    others.cancel()


async def test_a_wait_for_the_end_of_a_peer_is_told_when_trust_ends_it(desk):
    """A peer that disappears is closed first, and then nothing is known of it."""
    desk.meets()
    waiting = [desk.waits("closed", "lost"), desk.waits("not seen")]
    await turn()
    desk.distrusts()
    assert await asyncio.gather(*waiting) == ["closed", "not seen"]


async def test_one_that_may_be_trusted_later_can_be_waited_for(desk):
    """Like `wait_for`, which does not ask who is trusted either."""
    desk.allowed.discard(BOB)
    waiting = desk.waits("connected")
    await turn()
    desk.presences.trust_changed()
    desk.allowed.add(BOB)
    desk.presences.trust_changed()
    desk.meets()
    assert await waiting == "connected"


@pytest.mark.parametrize(("texts", "words"), [(["gone"], "'gone'"), ([], "at least one")])
def test_a_wait_for_nothing_is_refused(texts, words):
    """A text that is no presence would never come; the error names those there are."""
    with pytest.raises(InvalidConfiguration, match=words):
        presences_of(texts)
    if texts:
        with pytest.raises(InvalidConfiguration, match="'not seen', 'connected', 'no connection'"):
            presences_of(texts)


# -- watching


async def test_a_watch_begins_with_what_is_known(desk):
    """Of everybody that was met, with its reason; nothing is told twice or missed in between."""
    desk.meets()
    desk.meets(CAROL)
    desk.closes(peer_id=CAROL)
    async with desk.presences.watch() as changes:
        desk.cut()
        assert await read(changes) == [
            (BOB, "no connection", "the last connection is lost"),
            (CAROL, "closed", "the peer has closed"),
        ]


async def test_a_slow_reader_is_told_the_latest_of_each_peer(desk):
    """However much has happened: one change a peer, those first whose news waited longest."""
    async with desk.presences.watch() as changes:
        desk.meets(CAROL)
        for _ in range(1000):
            desk.restarts()
            desk.cut()
            desk.found()
        desk.closes(peer_id=CAROL)
        assert len(changes._waiting) == 2
        assert await read(changes) == [
            (CAROL, "closed", "the peer has closed"),
            (BOB, "connected", "there is a connection again"),
        ]


async def test_a_change_that_was_undone_is_told_all_the_same(desk):
    """That a reader is told the same again says that something has happened."""
    desk.meets()
    async with desk.presences.watch() as changes:
        await read(changes)
        desk.cut()
        desk.found()
        assert await read(changes) == [(BOB, "connected", "there is a connection again")]


async def test_several_watch_at_once_each_at_its_own_pace(desk):
    """One that reads nothing keeps nobody else from anything."""
    async with desk.presences.watch() as slow, desk.presences.watch() as quick:
        for happens, presence in ((desk.meets, "connected"), (desk.closes, "closed")):
            happens()
            assert [change[1] for change in await read(quick)] == [presence]
        assert [change[1] for change in await read(slow)] == ["closed"]
    assert desk.presences._watches == set()


async def test_a_reader_waits_for_news(desk):
    """Iterating suspends until something happens; one that is cancelled loses nothing."""
    async with desk.presences.watch() as changes:
        for _ in range(2):
            waiting = asyncio.ensure_future(anext(changes))
            await turn()
            assert not waiting.done()
            waiting.cancel()
            await turn()
        waiting = asyncio.ensure_future(anext(changes))
        await turn()
        desk.meets()
        assert (await waiting).peer is desk.peers[BOB]


async def test_a_peer_that_is_not_trusted_any_more_disappears(desk):
    """Whoever was told of it is told that nothing is known any more; late news are nothing."""
    desk.meets()
    async with desk.presences.watch() as knows, desk.presences.watch() as does_not:
        await read(knows)
        desk.distrusts()
        assert await read(knows) == [(BOB, "not seen", "it is not trusted any more")]
        assert await read(does_not) == []
        assert desk.of() == "not seen"
        for late in (desk.meets, desk.closes, desk.cut, lambda: desk.is_("lost")):
            late()
        assert await read(knows) == await read(does_not) == []


@pytest.mark.parametrize("by_us", [True, False])
async def test_the_goodbye_to_one_that_is_not_trusted_is_its_last_news(desk, by_us):
    """It is closed, for those who wait for that, and then forgotten."""
    desk.meets()
    async with desk.presences.watch() as changes:
        await read(changes)
        waiting = desk.waits("closed")
        await turn()
        desk.allowed.discard(BOB)
        desk.closes(Reason.REVOKED, by_us)
        assert await waiting == "closed"
        assert [change[1] for change in await read(changes)] == ["not seen"]
        assert desk.presences._known == {}


async def test_peers_that_come_and_go_cost_a_watcher_that_reads_nothing_no_memory(desk):
    """What it was never told of need not be taken back."""
    async with desk.presences.watch() as changes:
        for peer_id in OTHERS:
            desk.meets(peer_id)
            desk.distrusts(peer_id)
        assert changes._waiting == {}
        desk.allowed.update(OTHERS)
        for peer_id in OTHERS:
            desk.meets(peer_id)
            await read(changes)
            desk.distrusts(peer_id)
        await read(changes)
        assert changes._shown == set()


# -- the end


async def test_the_end_of_the_node_ends_everything(desk):
    """Waits with NodeClosed; watches after what was waiting to be read; nobody new begins."""
    desk.meets()
    waiting = desk.waits("lost")
    async with desk.presences.watch() as changes, desk.presences.watch() as read_already:
        await read(read_already)
        next_one = asyncio.ensure_future(anext(read_already, None))
        await turn()
        desk.presences.end()
        desk.closes()
        assert await next_one is None
        assert [str(change.presence) async for change in changes] == ["connected"]
        assert [change async for change in changes] == []
    with pytest.raises(NodeClosed):
        await waiting
    with pytest.raises(NodeClosed):
        await desk.waits("lost")
    with pytest.raises(NodeClosed):
        async with desk.presences.watch():
            pass


async def test_a_watch_ends_with_its_block(desk):
    """A task that still iterates stops, and what happens afterwards is not kept."""
    async with desk.presences.watch() as changes:
        reading = asyncio.ensure_future(read_all(changes))
        await turn()
    assert await reading == []
    desk.meets()
    assert changes._waiting == {}


async def read_all(changes):
    """All changes, until it ends."""
    return [change async for change in changes]
