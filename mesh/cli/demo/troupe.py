"""The conductor's hold on its processes: start them, order them about, and end every one."""

import asyncio
import contextlib
import itertools
import json
import os
import sys
from collections import deque
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import mesh
from mesh.cli.demo.child import LINE_MAX_BYTES

_ORDER_SECONDS = 20.0
_STOP_SECONDS = 4.0
_TERMINATE_SECONDS = 2.0
_LAST_WORDS = 2
# Where installed packages lie: every Python of this environment looks there by itself.
_INSTALLED = ("site-packages", "dist-packages")

OnNews = Callable[["Child", dict[str, Any]], None]


class ChildFailed(Exception):
    """A process died, did not answer in time, or an order failed; the text says which and why."""


class Child:
    """One process that lives. `id`, `endpoint`: what it said of itself when it was ready."""

    def __init__(self, name: str, process: asyncio.subprocess.Process, on_news: OnNews) -> None:
        self.name = name
        self.id = ""
        self.endpoint = ""
        self.pid = process.pid
        self.stopping = False
        self.ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._process = process
        self._on_news = on_news
        self._orders: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._numbers = itertools.count(1)
        self._last_words: deque[str] = deque(maxlen=_LAST_WORDS)

    @property
    def short_id(self) -> str:
        """The beginning of its id, for people."""
        return f"{self.id[:8]}..."

    async def order(
        self, do: str, *, timeout: float = _ORDER_SECONDS, **arguments: Any
    ) -> dict[str, Any]:
        """Give an order and wait for its result. Raises ChildFailed."""
        number = next(self._numbers)
        future: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self._orders[number] = future
        try:
            self._write({"do": do, "order": number, **arguments})
            return await asyncio.wait_for(future, timeout)
        except TimeoutError:
            raise ChildFailed(f"{self.name} did not {do} within {timeout:g} s") from None
        finally:
            del self._orders[number]

    def _write(self, line: dict[str, Any]) -> None:
        if self._process.stdin is not None:
            self._process.stdin.write(json.dumps(line).encode() + b"\n")

    # -- listening

    async def listen(self) -> None:
        """Take what it says, until it ends. Raises ChildFailed when it should not have ended."""
        await asyncio.gather(self._hear(), self._overhear())
        status = await self._process.wait()
        if not self.stopping:
            words = "; ".join(self._last_words) or "nothing"
            raise ChildFailed(f"{self.name} died with exit status {status}; last said: {words}")

    async def _hear(self) -> None:
        stdout = self._process.stdout
        while stdout is not None and (line := await stdout.readline()):
            try:
                said = json.loads(line)
            except ValueError:
                raise ChildFailed(f"{self.name} said something that is not JSON") from None
            if "order" in said:
                self._on_answer(said)
            elif said["news"] == "ready":
                self.id, self.endpoint = said["id"], said["endpoint"]
                if not self.ready.done():
                    self.ready.set_result(None)
            else:
                self._on_news(self, said)

    def _on_answer(self, said: dict[str, Any]) -> None:
        future = self._orders.get(said["order"])
        if future is None or future.done():
            return
        if "error" in said:
            future.set_exception(ChildFailed(f"{self.name}: {said['error']}"))
        else:
            future.set_result(said["result"])

    async def _overhear(self) -> None:
        stderr = self._process.stderr
        while stderr is not None and (line := await stderr.readline()):
            self._last_words.append(line.decode("utf-8", "replace").strip())

    # -- ending

    async def end(self) -> int:
        """Ask it to stop, then insist. Its exit status; 0 when it stopped by itself in order."""
        self.stopping = True
        process = self._process
        with contextlib.suppress(OSError, RuntimeError):
            self._write({"do": "stop"})
            if process.stdin is not None:
                process.stdin.close()
        for insist, patience in (
            (process.terminate, _STOP_SECONDS),
            (process.kill, _TERMINATE_SECONDS),
        ):
            with contextlib.suppress(TimeoutError):
                return await asyncio.wait_for(process.wait(), patience)
            with contextlib.suppress(ProcessLookupError):
                insist()
        return await process.wait()


async def start_child(
    role: str, name: str, home: Path, rekey_after_seconds: float, on_news: OnNews
) -> Child:
    """Start the process of one node; `ready` is done when the node listens."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-P",  # nothing in the current folder takes the place of a module
        "-m",
        "mesh.cli.demo",
        role,
        name,
        os.fspath(home),
        str(rekey_after_seconds),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        limit=LINE_MAX_BYTES,
        env=environment(os.environ),
        # Signals of the terminal are for the conductor, who ends the others.
        start_new_session=True,
    )
    return Child(name, process, on_news)


def environment(environ: Mapping[str, str]) -> dict[str, str]:
    """Ours without settings of nodes, and with this very package to be found."""
    kept = {key: value for key, value in environ.items() if not key.startswith("MESH_")}
    ours = os.fspath(Path(mesh.__file__ or "").resolve().parent.parent)
    if os.path.basename(ours) not in _INSTALLED:
        kept["PYTHONPATH"] = os.pathsep.join(filter(None, [kept.get("PYTHONPATH"), ours]))
    return kept
