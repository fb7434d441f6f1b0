"""A node in a process of its own, run by commands: one JSON list a line in, one answer a line out.

Run as a program it is the node; imported it is the other end of the pipe.
"""

import asyncio
import hashlib
import json
import os
import sys
import time
from collections import defaultdict
from itertools import count
from pathlib import Path
from typing import Any, Self

from mesh import Node, Peer
from nodes import Ticker, digest_of, numbered
from speech import SUBJECTS, word

_ROOT = Path(__file__).resolve().parent.parent.parent
_PATIENCE_SECONDS = 60.0
# Talking is steady, so that there is traffic at every moment of a fault, and little at each.
_WORDS_A_BREATH = 20
_BREATH_SECONDS = 0.01


class NodeFailed(Exception):
    """The command raised there; `kind` is the name of the error's type."""

    def __init__(self, kind: str, text: str) -> None:
        super().__init__(f"{kind}: {text}")
        self.kind = kind
        self.text = text


class OtherNode:
    """The process. `id`, `endpoint`: of its node, once it has started."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.name = "other"
        self.id = ""
        self.endpoint = ""

    @classmethod
    async def begin(cls, *prefix: str, **fields: Any) -> Self:
        """Start a process; `fields` are keywords of its Node. Raises NodeFailed.

        `prefix`: a command that runs the one given to it, in another namespace for instance.
        """
        process = await asyncio.create_subprocess_exec(
            *prefix,
            sys.executable,
            __file__,
            json.dumps(fields),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            cwd=_ROOT,
            env={**os.environ, "PYTHONPATH": str(_ROOT)},
        )
        other = cls(process)
        other.name = fields.get("name", other.name)
        try:
            other.id, other.endpoint = await other._answer()
        except BaseException:
            await other.end()
            raise
        return other

    async def ask(self, verb: str, *arguments: Any) -> Any:
        """Run a command there: its answer. Raises NodeFailed."""
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps([verb, *arguments]).encode() + b"\n")
        return await self._answer()

    async def later(self, verb: str, *arguments: Any) -> "Later":
        """Begin a command there that may take long; others can be asked meanwhile."""
        return Later(self, await self.ask("begin", verb, *arguments))

    async def _answer(self) -> Any:
        assert self.process.stdout is not None
        line = await asyncio.wait_for(self.process.stdout.readline(), _PATIENCE_SECONDS)
        if not line:
            raise NodeFailed("EOFError", "the process has ended")
        answer = json.loads(line)
        if "error" in answer:
            raise NodeFailed(*answer["error"])
        return answer["ok"]

    async def end(self, *, kill: bool = False) -> int:
        """End the process: by closing its input, or (`kill`) at once. Its exit status."""
        if self.process.returncode is None and kill:
            self.process.kill()
        assert self.process.stdin is not None
        self.process.stdin.close()
        try:
            return await asyncio.wait_for(self.process.wait(), _PATIENCE_SECONDS)
        except TimeoutError:
            self.process.kill()
            raise


class Later:
    """A command that was begun."""

    def __init__(self, other: OtherNode, number: int) -> None:
        self._other = other
        self._number = number

    async def done(self) -> bool:
        """Whether it has ended."""
        return bool(await self._other.ask("ended", self._number))

    async def outcome(self) -> Any:
        """What it comes to, when it has. Raises NodeFailed."""
        return await self._other.ask("outcome", self._number)

    async def seconds(self) -> float:
        """How long it took."""
        return float(await self._other.ask("seconds", self._number))


class _Tally:
    """How many messages came, and one hash of their bodies in order."""

    def __init__(self) -> None:
        self.count = 0
        self.hash = hashlib.sha256()

    def add(self, body: bytes) -> None:
        self.count += 1
        self.hash.update(body)


class _Commands:
    """The verbs; each is a method."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._tallies: dict[tuple[str, str], _Tally] = defaultdict(_Tally)
        self._begun: list[asyncio.Task[Any]] = []
        self._seconds: dict[int, float] = {}
        self._hushed = asyncio.Event()
        for subject in (*SUBJECTS, "parcel"):
            self._listen(subject)

        @node.serve("echo")
        async def echo(body: Any) -> Any:
            return body

        @node.serve("die")
        async def die(_body: Any) -> None:
            os._exit(9)

    def _listen(self, subject: str) -> None:
        @self._node.on(subject)
        async def note(body: Any, *, peer: Peer) -> None:
            self._tallies[peer.name, subject].add(body)

    async def begin(self, verb: str, *arguments: Any) -> int:
        """Run a command in a task of its own: the number to ask for its outcome."""
        number, began = len(self._begun), time.monotonic()
        task = asyncio.create_task(getattr(self, verb)(*arguments))
        task.add_done_callback(lambda _: self._seconds.update({number: time.monotonic() - began}))
        self._begun.append(task)
        return number

    async def ended(self, number: int) -> bool:
        """Whether a command that was begun has ended."""
        return self._begun[number].done()

    async def outcome(self, number: int) -> Any:
        """Wait for a command that was begun: its answer."""
        return await self._begun[number]

    async def seconds(self, number: int) -> float:
        """How long a command took that has ended."""
        return self._seconds[number]

    async def allow(self, peer_id: str, name: str) -> None:
        """Trust a peer."""
        self._node.trust.allow(peer_id, name=name)

    async def connect(self, endpoint: str, peer_id: str, timeout: float | None = None) -> str:
        """Dial a peer: its name."""
        return (await self._node.connect(endpoint, id=peer_id, timeout=timeout)).name

    async def wait_for(self, peer: str, timeout: float) -> str:
        """Wait for a peer that dials: its name."""
        return (await self._node.wait_for(peer, timeout=timeout)).name

    async def ping(self, peer: str, timeout: float) -> float:
        """A round trip to a peer."""
        return await self._node.ping(peer, timeout=timeout)

    async def presence(self, peer: str) -> str:
        """What is known of a peer at this moment."""
        return self._node.presence(peer).value

    async def call(self, peer: str, subject: str, body: Any, timeout: float | None = None) -> Any:
        """Ask a peer."""
        return await self._node.call(peer, subject, body, timeout=timeout)

    async def deliver(self, peer: str, count: int, size: int) -> None:
        """Send so many parcels, waiting for room, and wait until the peer has them."""
        for body in numbered(count, size):
            receipt = await self._node.send(peer, "parcel", body)
        await receipt.delivered()

    async def crowded(self, peer: str) -> bool:
        """Whether somebody waits for room for a message to a peer."""
        running = self._node.running
        return bool(running.dispatch.mailboxes[(await self._node.peer(peer)).id]._lines)

    async def sessions(self, peer: str) -> int:
        """How many sessions there are with a peer whose keys are not forgotten."""
        association = self._node.running.engine.association((await self._node.peer(peer)).id)
        return 0 if association is None else len(association.sessions.by_id)

    async def talk(self, peer: str) -> int:
        """Send to a peer until `hush`, and wait until all is handled there: how many messages."""
        receipts = set()
        ticker = Ticker(_BREATH_SECONDS)
        for number in count():
            subject, body = word(self._node.name, peer, number)
            receipts.add(await self._node.send(peer, subject, body))
            if number % _WORDS_A_BREATH == 0:
                if self._hushed.is_set():
                    break
                await ticker.next()
        ticker.stop()
        for receipt in receipts:
            await receipt.handled()
        return number + 1

    async def hush(self) -> None:
        """Talk no more."""
        self._hushed.set()

    async def tally(self, peer: str, subject: str = "log") -> list[Any]:
        """How many messages of a subject came from a peer, and one hash of their bodies."""
        tally = self._tallies[peer, subject]
        return [tally.count, tally.hash.hexdigest()]

    async def anew(self) -> None:
        """Close the node and start it again: another run with the same identity."""
        await self._node.close()
        await self._node.start()

    async def close(self) -> None:
        """Close the node."""
        await self._node.close()

    async def recite(self, peer: str, count: int, share: int, seconds: float) -> str:
        """Tell a peer numbered messages, `share` a tick: one hash of their bodies in order.

        Waits for the peer first.
        """
        await self._node.wait_for(peer)
        bodies = numbered(count)
        ticker = Ticker(seconds)
        for number, body in enumerate(bodies, 1):
            receipt = await self._node.send(peer, "log", body)
            if number % share == 0:
                await ticker.next()
        ticker.stop()
        await receipt.handled()
        return digest_of(bodies)

    async def counters(self) -> dict[str, int]:
        """The node's counters."""
        return self._node.counters()


async def _serve(fields: dict[str, Any]) -> None:
    node = Node(**{"name": "other", "home": ":memory:", **fields})
    commands = _Commands(node)
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    async with node:
        _say({"ok": [str(node.id), (node.endpoints or [""])[0]]})
        while line := await reader.readline():
            verb, *arguments = json.loads(line)
            try:
                _say({"ok": await getattr(commands, verb)(*arguments)})
            except Exception as error:
                _say({"error": [type(error).__name__, str(error)]})


def _say(answer: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


def _main() -> None:
    try:
        asyncio.run(_serve(json.loads(sys.argv[1])))
    except Exception as error:
        _say({"error": [type(error).__name__, str(error)]})


if __name__ == "__main__":
    _main()
