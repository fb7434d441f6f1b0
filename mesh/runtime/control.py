"""What the `mesh` command asks a running node: its verbs, over the control socket of its home.

Each verb takes the arguments of one question and gives a value of plain dicts, lists and texts;
what goes wrong is a MeshError, which the command shows as it is.
"""

import asyncio
import logging
import os
import shlex
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Final

from handshake.identity import NodeId
from mesh.errors import (
    Denied,
    InvalidConfiguration,
    InvalidMessage,
    MeshError,
    NotTrusted,
    PeerUnreachable,
)
from mesh.home.home import Home
from mesh.io.control_socket import ControlSocket
from mesh.runtime.handlers import check_subject
from mesh.runtime.mailbox import Mailbox
from mesh.runtime.receipts import Receipt
from mesh.runtime.trust_verbs import TrustVerbs, text_of
from mesh.runtime.trustees import Trust
from mesh.trust.policy import Policy

if TYPE_CHECKING:
    from mesh.runtime.running import Running

logger = logging.getLogger("noisemesh")

Arguments = dict[str, Any]
Verb = Callable[[Arguments], Awaitable[object]]

# A peer that is being dialled is given this long before the verb says that it is not there.
_ARRIVAL_SECONDS: Final = 1.0
_PING_SECONDS: Final = 5.0
_SEND_SECONDS: Final = 10.0
_LONGEST_SECONDS: Final = 86_400.0
_UNREACHED: Final = "the command `mesh` cannot reach this node"


class Control:
    """The verbs of one running node, and the socket they are asked through.

    `on_stop`: what the verb "stop" does; None for a node whose program ends it by itself.
    """

    def __init__(self, running: "Running", policy: Policy, trust: Trust) -> None:
        self.on_stop: Callable[[], None] | None = None
        self.command = "mesh"
        self._running = running
        self._policy = policy
        self._trust = TrustVerbs(policy, trust, running.engine.id)
        self._home: Home | None = None
        self._began = running.pump.clock()
        self._socket: ControlSocket | None = None
        self._verbs: dict[str, Verb] = {
            "status": self._status,
            "peers": self._peers,
            "counters": self._counters,
            "ping": self._ping,
            "call": self._call,
            "send": self._send,
            "stop": self._stop,
        }

    async def open(self, home: Home) -> None:
        """Listen where the command looks for this home's node; in memory nowhere.

        A node that cannot be asked works all the same, so a failure is only logged.
        """
        self._home = home
        self.command = _command(home)
        if home.path is None:
            return
        path, refused = home.control_place()
        for refusal in refused:
            logger.warning("the control socket is not put into a folder: %s", refusal)
        if path is None:
            logger.warning("%s: there is no folder for its socket", _UNREACHED)
            return
        control_socket = ControlSocket(path, self.answer)
        try:
            await control_socket.open()
        except InvalidConfiguration as error:
            logger.warning("%s: %s", _UNREACHED, error)
            return
        self._socket = control_socket

    async def close(self) -> None:
        """Answer nobody any more and remove the socket."""
        control_socket, self._socket = self._socket, None
        if control_socket is not None:
            await control_socket.close()

    async def answer(self, verb: str, arguments: Arguments) -> object:
        """The answer to one question. Raises InvalidMessage for a verb that does not exist."""
        function = self._verbs.get(verb)
        if function is not None:
            return await function(arguments)
        of_trust = self._trust.verbs.get(verb)
        if of_trust is None:
            raise InvalidMessage(f"this node knows no verb {verb[:40]!r}")
        return of_trust(arguments)

    def trust_command(self, peer_id: NodeId) -> str:
        """The command that would make this node trust that peer."""
        return f"{self.command} trust allow {peer_id}"

    # -- what there is

    async def _status(self, _arguments: Arguments) -> object:
        running = self._running
        home = self._home.path if self._home is not None else None
        now = running.pump.clock()
        return {
            "name": running.configuration.name,
            "id": str(running.engine.id),
            "home": str(home) if home is not None else None,
            "mesh": running.configuration.mesh,
            "endpoints": list(running.endpoints),
            "process": os.getpid(),
            "started": self._began.wall,
            "uptime_seconds": now.elapsed - self._began.elapsed,
            "peers": self._known_peers(),
            "strangers": self._strangers(),
            "dialling": self._dialling(),
            "counters": running.counters.snapshot(),
        }

    async def _peers(self, _arguments: Arguments) -> object:
        return {
            "peers": self._known_peers(),
            "strangers": self._strangers(),
            "dialling": self._dialling(),
        }

    async def _counters(self, _arguments: Arguments) -> object:
        return self._running.counters.snapshot()

    def _known_peers(self) -> list[Arguments]:
        """Whom there is or was a session with, then who is trusted and has not been seen."""
        ids = dict.fromkeys(self._running.dispatch.mailboxes)
        ids |= dict.fromkeys(entry.id for entry in self._policy.entries() if entry.allowed)
        return [self._describe(peer_id) for peer_id in ids]

    def _describe(self, peer_id: NodeId) -> Arguments:
        running = self._running
        peer = running.dispatch.peer(peer_id)
        described: Arguments = {
            "id": str(peer_id),
            "name": peer.name,
            "roles": list(peer.roles),
            "presence": running.presence.of(peer_id).value,
            "endpoints": running.dialer.endpoints_of(peer_id),
            "generation": None,
            "suite": None,
            "round_trip_seconds": None,
            "refusal": running.refusals.get(peer_id),
            "silent_seconds": None,
        }
        association = running.engine.association(peer_id)
        if association is not None and association.delivery is not None:
            silence = association.liveness.silence(running.pump.clock().elapsed)
            described["silent_seconds"] = silence
        session = association.sessions.current if association is not None else None
        if association is not None and session is not None:
            described |= {
                "generation": session.generation,
                "suite": session.suite,
                "round_trip_seconds": association.liveness.round_trip or None,
            }
        return described

    def _strangers(self) -> list[Arguments]:
        return [
            {
                "id": str(stranger.peer_id),
                "address": stranger.address,
                "reason": stranger.reason.value,
                "command": self.trust_command(stranger.peer_id),
            }
            for stranger in self._running.strangers.values()
        ]

    def _dialling(self) -> list[Arguments]:
        return [
            {"endpoint": endpoint, "trouble": trouble}
            for endpoint, led_to, trouble in self._running.dialer.wishes()
            if led_to is None or not self._running.has_way(led_to)
        ]

    # -- what is said

    async def _ping(self, arguments: Arguments) -> object:
        timeout = _seconds(arguments, "timeout", _PING_SECONDS)
        mailbox = await self._reach(text_of(arguments, "peer"), timeout)
        round_trip = await self._running.ping(mailbox.peer.id, timeout)
        return {"peer": str(mailbox.peer), "round_trip_seconds": round_trip}

    async def _call(self, arguments: Arguments) -> object:
        subject = _subject(arguments)
        configured = self._running.configuration.call_timeout_seconds
        timeout = _seconds(arguments, "timeout", configured)
        mailbox = await self._reach(text_of(arguments, "peer"), timeout)
        return await mailbox.call(subject, arguments.get("body"), timeout)

    async def _send(self, arguments: Arguments) -> object:
        """How far it came within the timeout: "queued", "delivered" or "handled"."""
        subject = _subject(arguments)
        timeout = _seconds(arguments, "timeout", _SEND_SECONDS)
        handled = arguments.get("handled") is True
        mailbox = await self._reach(text_of(arguments, "peer"), timeout)
        receipt: Receipt | None = None
        try:
            async with asyncio.timeout(timeout):
                receipt = await mailbox.tell(subject, arguments.get("body"))
                await (receipt.handled() if handled else receipt.delivered())
        except TimeoutError:
            if receipt is None:
                raise PeerUnreachable(
                    f"{mailbox.peer} had no room for the message within {timeout:g} s; "
                    "it was not sent"
                ) from None
        return {"peer": str(mailbox.peer), "standing": receipt.standing.name.lower()}

    async def _reach(self, text: str, timeout: float) -> Mailbox:
        """The way to a peer. Raises UnknownPeer, NotTrusted or PeerUnreachable, and says why."""
        running = self._running
        peer_id = self._policy.resolve(text)
        mailbox = running.dispatch.mailboxes.get(peer_id)
        if mailbox is None:
            self._check_trusted(peer_id)
            if peer_id in running.refusals:
                running.dialer.trust_changed()  # its owner may have thought better of it
            try:
                await running.wait_for(peer_id, min(timeout, _ARRIVAL_SECONDS))
            except PeerUnreachable:
                raise self._unreachable(peer_id) from None
            mailbox = running.dispatch.mailboxes[peer_id]
        return mailbox

    def _unreachable(self, peer_id: NodeId) -> MeshError:
        peer = self._running.dispatch.peer(peer_id)
        refusal = self._running.refusals.get(peer_id)
        if refusal is not None:
            us = self._running.engine.id
            return NotTrusted(
                f"{peer} refuses this node: {refusal}; "
                f"on its side, this would allow it: mesh trust allow {us}"
            )
        troubles = [f"{wish['endpoint']}: {wish['trouble']}" for wish in self._dialling()]
        if troubles:
            return PeerUnreachable(f"{peer} is not connected; dialling {'; '.join(troubles)}")
        return PeerUnreachable(
            f"{peer} is not connected, and this node dials nobody; one of the two has to: "
            f"mesh up --connect {peer_id}@ENDPOINT"
        )

    def _check_trusted(self, peer_id: NodeId) -> None:
        distrust = self._running.distrust_of(peer_id)
        if distrust is not None:
            raise distrust

    # -- the end

    async def _stop(self, _arguments: Arguments) -> object:
        if self.on_stop is None:
            raise Denied(
                "this node belongs to a program that ends it by itself; "
                f"end that program: process {os.getpid()}"
            )
        asyncio.get_running_loop().call_soon(self.on_stop)
        return {"process": os.getpid()}


def _subject(arguments: Arguments) -> str:
    subject = text_of(arguments, "subject")
    check_subject(subject)
    return subject


def _seconds(arguments: Arguments, name: str, default: float) -> float:
    """A duration that must be positive and at most a day. Raises InvalidMessage."""
    value = arguments.get(name)
    if value is None:
        return default
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InvalidMessage(f"{name!r} is a number of seconds")
    if not 0 < value <= _LONGEST_SECONDS:
        raise InvalidMessage(f"{name!r} is more than 0 and at most {_LONGEST_SECONDS:g} seconds")
    return float(value)


def _command(home: Home) -> str:
    """How the command is called for this home: `--home` only where it is not the usual one."""
    if home.path is None or home.path == Home.locate(None, {}).path:
        return "mesh"
    return f"mesh --home {shlex.quote(str(home.path))}"
