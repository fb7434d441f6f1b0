"""`mesh up`: a node in the foreground, until it is told to stop. `mesh stop` tells it."""

import asyncio
import logging
import os
import shlex
import signal
import sys
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import click

from mesh.cli.bodies import shown
from mesh.cli.failures import Exit, Failure
from mesh.cli.home_verbs import ask_passphrase, configured_passphrase, make
from mesh.cli.invocation import Invocation, Seconds, verb
from mesh.errors import HomeInUse
from mesh.home import keys
from mesh.home.home import Home
from mesh.model import Peer

if TYPE_CHECKING:
    from mesh.node import Node

STOP_SECONDS = 10.0
# Another command may have the home's lock for a moment.
_PATIENCE_SECONDS = 1.0
_AGAIN_SECONDS = 0.05


def add_to(group: click.Group) -> None:
    """Give the group these verbs."""
    verb(group)(up)
    verb(group)(stop)


@click.option("--name", help="What the node calls itself.")
@click.option(
    "--listen",
    multiple=True,
    metavar="ENDPOINT",
    help="Where to listen, for instance tcp://0.0.0.0:7447; by default tcp://127.0.0.1:0.",
)
@click.option("--connect", multiple=True, metavar="[ID@]ENDPOINT", help="A peer to dial.")
@click.option(
    "--print", "printed", multiple=True, metavar="SUBJECT", help="Print messages of this subject."
)
@click.option(
    "--echo", "echoed", multiple=True, metavar="SUBJECT", help="Answer calls of this subject."
)
def up(
    invocation: Invocation,
    name: str | None,
    listen: tuple[str, ...],
    connect: tuple[str, ...],
    printed: tuple[str, ...],
    echoed: tuple[str, ...],
) -> None:
    """Run this home's node until Ctrl-C or SIGTERM; a second Ctrl-C ends it at once.

    A home that is not there yet is made first. --print, --echo, --listen and --connect may be
    repeated; everything else is set in the home's config.toml or by MESH_ variables.
    """
    from mesh.node import Node  # which brings in everything, and other verbs need little

    invocation.log(logging.INFO)
    home = invocation.home
    node = Node(
        _prepare(home, name),
        home=home.path if home.path is not None else ":memory:",
        listen=list(listen) or None,
        connect=list(connect) or None,
        passphrase=_passphrase(home),
    )
    asyncio.run(_run(node, _Voice(invocation), printed, echoed))


@click.option(
    "--timeout", type=Seconds, default=STOP_SECONDS, help="Seconds to wait for it; 10 by default."
)
def stop(invocation: Invocation, timeout: float) -> None:
    """End the node that runs on this home, and wait until it has ended.

    It delivers what is queued and says goodbye, within its close_timeout_seconds. A node inside a
    program that does more than run it is ended by that program: denied.
    """
    stopped = invocation.ask("stop")
    give_up_at = time.monotonic() + timeout
    while not _is_free(invocation.home):
        if time.monotonic() >= give_up_at:
            raise Failure(
                Exit.TIMEOUT,
                "StillClosing",
                f"process {stopped['process']} has not ended its node within {timeout:g} s; "
                "it was told to",
            )
        time.sleep(_AGAIN_SECONDS)
    invocation.show(stopped, f"process {stopped['process']} has ended its node")


def _is_free(home: Home) -> bool:
    try:
        with home:
            return True
    except HomeInUse:
        return False


def _prepare(home: Home, name: str | None) -> str | None:
    """Make a home that is not there, under this name. The name to start under, if any."""
    if home.path is None or home.key_file is None or os.path.lexists(home.key_file):
        return name
    with home:
        configured = os.path.lexists(home.path / "config.toml")
        make(home, None if configured else name, configured_passphrase(home))
    return name if configured else None


def _passphrase(home: Home) -> str | None:
    """Asked for where the key needs one and neither a variable nor config.toml holds it."""
    if home.key_file is None or configured_passphrase(home) is not None:
        return None
    return ask_passphrase("Passphrase") if keys.is_sealed(home.key_file) else None


class _Voice:
    """Writes whole lines to standard output, from any thread, until nobody reads them."""

    def __init__(self, invocation: Invocation) -> None:
        self.invocation = invocation
        self.on_unheard: Callable[[], object] = lambda: None
        self._lock = threading.Lock()

    def say(self, value: object, text: str) -> None:
        """One line of JSON, or the text."""
        with self._lock:
            try:
                self.invocation.show(value, text)
            except BrokenPipeError:
                os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
                self.on_unheard()

    def message(self, subject: str, body: object, peer: Peer) -> None:
        """A direct message that arrived."""
        value = {
            "event": "message",
            "peer": {"id": str(peer.id), "name": peer.name},
            "subject": subject,
            "body": body,
        }
        self.say(value, f"{peer}  {shown(subject)}  {shown(body)}")


def _serve(node: "Node", voice: _Voice, printed: tuple[str, ...], echoed: tuple[str, ...]) -> None:
    for subject in dict.fromkeys(printed):

        def print_it(body: Any, *, peer: Peer, subject: str = subject) -> None:
            voice.message(subject, body, peer)

        node.on(subject)(print_it)
    for subject in dict.fromkeys(echoed):

        async def answer(body: Any) -> Any:
            return body

        node.serve(subject)(answer)


async def _run(
    node: "Node", voice: _Voice, printed: tuple[str, ...], echoed: tuple[str, ...]
) -> None:
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()

    def on_interrupt() -> None:
        if stop.is_set():
            os._exit(Exit.INTERRUPTED)
        stop.set()

    loop.add_signal_handler(signal.SIGINT, on_interrupt)
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    voice.on_unheard = partial(loop.call_soon_threadsafe, stop.set)
    _serve(node, voice, printed, echoed)
    await _start(node)
    try:
        node.running.control.on_stop = stop.set
        _announce(node, voice, printed)
        await stop.wait()
    finally:
        await node.close()


async def _start(node: "Node") -> None:
    loop = asyncio.get_running_loop()
    give_up_at = loop.time() + _PATIENCE_SECONDS
    while True:
        try:
            return await node.start()
        except HomeInUse as error:
            if loop.time() >= give_up_at:
                raise Failure(Exit.ERROR, "HomeInUse", f"{error}: its node is up already") from None
        await asyncio.sleep(_AGAIN_SECONDS)


def _announce(node: "Node", voice: _Voice, printed: tuple[str, ...]) -> None:
    invocation = voice.invocation
    trust = f"mesh trust allow {node.id} --name {shlex.quote(node.name)}"
    reach = [f"mesh up --connect {node.id}@{_dialled(endpoint)}" for endpoint in node.endpoints]
    value = {
        "event": "up",
        "name": node.name,
        "id": str(node.id),
        "endpoints": node.endpoints,
        "process": os.getpid(),
        "trust_command": trust,
    }
    lines = [
        f"{node.name} is up",
        f"id         {node.id}",
        *(f"endpoint   {endpoint}" for endpoint in node.endpoints),
        f"a peer trusts this node with:   {trust}",
        *(f"and dials it with:              {command}" for command in reach),
    ]
    if not any(entry.allowed for entry in node.trust.list()):
        command = invocation.command("trust allow ID --name NAME")
        lines.append(f"this node trusts nobody yet:    {command}")
    if printed:
        lines.append(f"printing   {', '.join(map(shown, printed))}")
    voice.say(value, "\n".join(lines))


def _dialled(endpoint: str) -> str:
    """As another machine dials it: who listens everywhere is dialled by one of its addresses."""
    for everywhere in ("tcp://0.0.0.0:", "tcp://[::]:", "tcp://*:"):
        if endpoint.startswith(everywhere):
            return f"tcp://THIS_HOST:{endpoint.removeprefix(everywhere)}"
    return endpoint
