"""A node in a process of its own, run by commands: one JSON list a line in, one answer a line out.

Run as a program it is the node; imported it is the other end of the pipe.
"""

import asyncio
import hashlib
import json
import os
import sys
from pathlib import Path
from typing import Any, Self

from mesh import Node
from nodes import Ticker, digest_of, numbered

_ROOT = Path(__file__).resolve().parent.parent.parent
_PATIENCE_SECONDS = 60.0


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
        self.id = ""
        self.endpoint = ""

    @classmethod
    async def begin(cls, **fields: Any) -> Self:
        """Start a process; `fields` are keywords of its Node. Raises NodeFailed."""
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            __file__,
            json.dumps(fields),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            cwd=_ROOT,
            env={**os.environ, "PYTHONPATH": str(_ROOT)},
        )
        other = cls(process)
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


class _Commands:
    """The verbs; each is a method."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._count = 0
        self._hash = hashlib.sha256()

        @node.on("log")
        async def log(body: Any) -> None:
            self._count += 1
            self._hash.update(body)

        @node.serve("echo")
        async def echo(body: Any) -> Any:
            return body

        @node.serve("die")
        async def die(_body: Any) -> None:
            os._exit(9)

    async def allow(self, peer_id: str, name: str) -> None:
        """Trust a peer."""
        self._node.trust.allow(peer_id, name=name)

    async def connect(self, endpoint: str, peer_id: str) -> str:
        """Dial a peer: its name."""
        return (await self._node.connect(endpoint, id=peer_id)).name

    async def call(self, peer: str, subject: str, body: Any) -> Any:
        """Ask a peer."""
        return await self._node.call(peer, subject, body)

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

    async def tally(self) -> list[Any]:
        """How many messages came, and one hash of their bodies in order."""
        return [self._count, self._hash.hexdigest()]

    async def counters(self) -> dict[str, int]:
        """The node's counters."""
        return self._node.counters()


async def _serve(fields: dict[str, Any]) -> None:
    node = Node("other", **{"home": ":memory:", **fields})
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
