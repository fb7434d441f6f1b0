"""The presence of every peer that was met, and whoever waits for news of it.

Events of the engine go through the tables of `presence`. A wait is for one peer; a watch hears of
all of them, and keeps for a slow reader no more than the latest of each.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from typing import Any, NamedTuple, Self

from handshake.identity import NodeId
from mesh import constants
from mesh.engine import events, liveness
from mesh.errors import InvalidConfiguration, NodeClosed, NotTrusted, WaitTimeout
from mesh.model import Peer
from mesh.runtime.presence import Presence, PresenceChange, State, Trigger

_TRIGGERS = {
    liveness.CONNECTED: Trigger.HEARD,
    liveness.UNRESPONSIVE: Trigger.SILENT,
    liveness.LOST: Trigger.GONE,
}
_NOT_TRUSTED = "it is not trusted any more"


class _Known(NamedTuple):
    """What was told last of a peer. Without arguments: what is told of one that was never met."""

    state: State = State()
    reason: str = ""


class _Wait:
    """Somebody waits for one of these. `allowed`: whether the peer was when last looked at."""

    def __init__(self, wanted: tuple[Presence, ...], allowed: bool) -> None:
        self.wanted = wanted
        self.allowed = allowed
        self.future: asyncio.Future[Presence] = asyncio.get_running_loop().create_future()

    def fail(self, error: Exception) -> None:
        """It cannot come any more."""
        if not self.future.done():
            self.future.set_exception(error)


class Changes:
    """What one watcher has not been told yet: iterate over it."""

    def __init__(self, peer_of: Callable[[NodeId], Peer]) -> None:
        self._peer_of = peer_of
        self._waiting: dict[NodeId, tuple[Presence, str]] = {}
        self._shown: set[NodeId] = set()
        self._news = asyncio.Event()
        self._ended = False

    def put(self, peer_id: NodeId, presence: Presence, reason: str) -> None:
        """In the place of older news of this peer, if they were not taken yet."""
        if presence is Presence.NOT_SEEN and peer_id not in self._shown:
            self._waiting.pop(peer_id, None)
            return
        self._waiting[peer_id] = presence, reason
        self._news.set()

    def end(self) -> None:
        """Nothing more comes; what is there may still be taken."""
        self._ended = True
        self._news.set()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> PresenceChange:
        while not self._waiting:
            if self._ended:
                raise StopAsyncIteration
            self._news.clear()
            await self._news.wait()
        peer_id = next(iter(self._waiting))
        presence, reason = self._waiting.pop(peer_id)
        if presence is Presence.NOT_SEEN:
            self._shown.discard(peer_id)
        else:
            self._shown.add(peer_id)
        return PresenceChange(self._peer_of(peer_id), presence, reason)


class Presences:
    """What this node knows of its peers, and who waits to hear of it.

    `is_allowed`: whether a peer is trusted: of others nothing is kept. `has_way`: whether there is
    a way to it. `peer_of`: the peer as the trust list names it. `reactions`: what to call for an
    event, by its type.
    """

    def __init__(
        self,
        *,
        is_allowed: Callable[[NodeId], bool],
        has_way: Callable[[NodeId], bool],
        peer_of: Callable[[NodeId], Peer],
    ) -> None:
        self._is_allowed = is_allowed
        self._has_way = has_way
        self._peer_of = peer_of
        self._known: dict[NodeId, _Known] = {}
        self._waits: dict[NodeId, list[_Wait]] = {}
        self._watches: set[Changes] = set()
        self._restarted: set[NodeId] = set()
        self._ended = False
        self.reactions: dict[type, Callable[[Any], None]] = {
            events.PeerConnected: self._on_connected,
            events.DeliveryEnded: self._on_delivery_ended,
            events.PresenceChanged: self._on_presence,
            events.RouteFound: self._on_found,
            events.RouteWanted: self._on_cut_off,
            events.PeerClosed: self._on_closed,
            events.Superseded: self._on_superseded,
        }

    # -- what moves them

    def _on_connected(self, event: events.PeerConnected) -> None:
        peer_id = event.peer_id
        restarted = peer_id in self._restarted
        self._restarted.discard(peer_id)
        # Ways may have been found before there was a session, or lost with the run before.
        way = Trigger.FOUND if self._has_way(peer_id) else Trigger.CUT
        reason = "the peer has restarted" if restarted else "a session has begun"
        self._move(peer_id, (way, Trigger.MET), reason)

    def _on_delivery_ended(self, event: events.DeliveryEnded) -> None:
        if event.restarted:
            self._restarted.add(event.delivery.peer_id)

    def _on_presence(self, event: events.PresenceChanged) -> None:
        self._move(event.peer_id, (_TRIGGERS[event.presence],), silence_of(event))

    def _on_found(self, event: events.RouteFound) -> None:
        self._move(event.peer_id, (Trigger.FOUND,), "there is a connection again")

    def _on_cut_off(self, event: events.RouteWanted) -> None:
        self._move(event.peer_id, (Trigger.CUT,), "the last connection is lost")

    def _on_closed(self, event: events.PeerClosed) -> None:
        self._move(event.peer_id, (Trigger.ENDED,), event.text)

    def _on_superseded(self, event: events.Superseded) -> None:
        reason = "another instance of this node has taken over"
        self._move(event.peer_id, (Trigger.ENDED,), reason)

    def trust_changed(self) -> None:
        """Of whom this node does not trust any more nothing is kept, and nobody waits for it."""
        for peer_id in [peer_id for peer_id in self._known if not self._is_allowed(peer_id)]:
            self._forget(peer_id)
        for peer_id, waits in self._waits.items():
            allowed = self._is_allowed(peer_id)
            for wait in waits:
                if wait.allowed and not allowed:
                    wait.fail(NotTrusted(f"{self._peer_of(peer_id)}: {_NOT_TRUSTED}"))
                wait.allowed = allowed

    def _move(self, peer_id: NodeId, triggers: Iterable[Trigger], reason: str) -> None:
        allowed = self._is_allowed(peer_id)
        if not allowed and peer_id not in self._known:
            return
        before = state = self._known.get(peer_id, _Known()).state
        for trigger in triggers:
            state = state.after(trigger)
        if state.standing is Presence.NOT_SEEN:
            return
        # Another run of a connected peer is news, though it is called the same.
        if state.presence is before.presence and Trigger.MET not in triggers:
            reason = self._known[peer_id].reason
            self._known[peer_id] = _Known(state, reason)
        else:
            self._known[peer_id] = _Known(state, reason)
            self._tell(peer_id, state.presence, reason)
        if not allowed:
            self._forget(peer_id)

    def _forget(self, peer_id: NodeId) -> None:
        if self._known[peer_id].state.standing is not Presence.CLOSED:
            self._tell(peer_id, Presence.CLOSED, _NOT_TRUSTED)
        del self._known[peer_id]
        self._tell(peer_id, Presence.NOT_SEEN, _NOT_TRUSTED)

    def _tell(self, peer_id: NodeId, presence: Presence, reason: str) -> None:
        for wait in self._waits.get(peer_id, ()):
            if presence in wait.wanted and not wait.future.done():
                wait.future.set_result(presence)
        for watch in self._watches:
            watch.put(peer_id, presence, reason)

    # -- who asks

    def of(self, peer_id: NodeId) -> Presence:
        """What is known of a peer at this moment."""
        return self._known.get(peer_id, _Known()).state.presence

    async def wait_for(
        self, peer_id: NodeId, wanted: tuple[Presence, ...], timeout: float | None
    ) -> Presence:
        """Which of these the peer is, as soon as it is one of them.

        Raises WaitTimeout after `timeout` seconds (None: never), NotTrusted when the peer is not
        trusted any more, NodeClosed.
        """
        self._check_open()
        if self.of(peer_id) in wanted:
            return self.of(peer_id)
        wait = _Wait(wanted, self._is_allowed(peer_id))
        waits = self._waits.setdefault(peer_id, [])
        waits.append(wait)
        try:
            return await asyncio.wait_for(wait.future, timeout)
        except TimeoutError:
            raise WaitTimeout(
                f"{self._peer_of(peer_id)} is {self.of(peer_id)}, and was not "
                f"{' or '.join(wanted)} within {timeout:g} s"
            ) from None
        finally:
            waits.remove(wait)
            if not waits:
                del self._waits[peer_id]

    @asynccontextmanager
    async def watch(self) -> AsyncIterator[Changes]:
        """Every change from now on, after what is known now. Raises NodeClosed."""
        self._check_open()
        changes = Changes(self._peer_of)
        for peer_id, known in self._known.items():
            changes.put(peer_id, known.state.presence, known.reason)
        self._watches.add(changes)
        try:
            yield changes
        finally:
            self._watches.discard(changes)
            changes.end()

    def end(self) -> None:
        """The node is closing: whoever waits is told, and watches end."""
        self._ended = True
        for wait in [wait for waits in self._waits.values() for wait in waits]:
            wait.fail(NodeClosed("the node is closing"))
        while self._watches:
            self._watches.pop().end()

    def _check_open(self) -> None:
        if self._ended:
            raise NodeClosed("the node is closing")


def silence_of(event: events.PresenceChanged) -> str:
    """What is new about a peer's silence, in words for people."""
    trigger = _TRIGGERS[event.presence]
    if trigger is Trigger.HEARD:
        return "it is heard again"
    silent = trigger is Trigger.SILENT
    limit = constants.UNRESPONSIVE_AFTER_SECONDS if silent else constants.LOST_AFTER_SECONDS
    return f"silent for {limit:g} s"


def presences_of(texts: Iterable[str]) -> tuple[Presence, ...]:
    """Texts as presences. Raises InvalidConfiguration for one that is none, or for nothing."""
    try:
        wanted = tuple(Presence(text) for text in texts)
    except ValueError as error:
        names = ", ".join(repr(presence.value) for presence in Presence)
        raise InvalidConfiguration(f"{error}; there are {names}") from None
    if not wanted:
        raise InvalidConfiguration("name at least one presence to wait for")
    return wanted
