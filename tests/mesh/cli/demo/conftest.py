"""Nodes of the demonstration in this process: real nodes on the loopback, no child processes."""

import asyncio
import contextlib
import itertools
import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from mesh.cli.demo.child import LINE_MAX_BYTES, ROLES
from mesh.cli.demo.member import Member
from mesh.cli.demo.troupe import Child

PATIENCE_SECONDS = 20


class LocalProcess:
    """Looks like a process to `Child`, and runs a member's life as a task of this one."""

    def __init__(self, make: Callable[..., Member], pid: int) -> None:
        self.pid = pid
        self.status = 0
        self.stdin = self
        self.stdout = asyncio.StreamReader(limit=LINE_MAX_BYTES)
        self.stderr = asyncio.StreamReader()
        self._orders = asyncio.StreamReader(limit=LINE_MAX_BYTES)
        self._task = asyncio.create_task(self._live(make))

    def _tell(self, line: dict[str, Any]) -> None:
        self.stdout.feed_data(json.dumps(line).encode() + b"\n")

    async def _live(self, make: Callable[..., Member]) -> None:
        try:
            await make(self._tell).live(self._orders)
        except Exception as error:
            self.status = 1
            self.stderr.feed_data(repr(error).encode())
        finally:
            self.stdout.feed_eof()
            self.stderr.feed_eof()

    def write(self, data: bytes) -> None:
        """Take orders."""
        self._orders.feed_data(data)

    def close(self) -> None:
        """No more orders."""
        self._orders.feed_eof()

    async def wait(self) -> int:
        """The exit status, once it has ended."""
        await asyncio.wait([self._task])
        return self.status

    def terminate(self) -> None:
        """End at once."""
        self.status = -15
        self._task.cancel()

    kill = terminate


@pytest.fixture
def local_start():
    """What starts a node's process, for a plan: here, within this process."""
    pids = itertools.count(1001)

    async def start(role, name, home, rekey_after_seconds, on_news):
        def make(tell):
            return ROLES[role](name, home, tell, rekey_after_seconds=rekey_after_seconds)

        return Child(name, LocalProcess(make, next(pids)), on_news)

    return start


@pytest.fixture
async def company(tmp_path: Path) -> AsyncIterator[Callable[..., Any]]:
    """Starts members by role and name; everybody trusts everybody. What each told: `.told`."""
    members: list[Member] = []
    async with contextlib.AsyncExitStack() as stack:

        async def join(role: str, name: str) -> Member:
            told: list[dict[str, Any]] = []
            member = ROLES[role](name, tmp_path / name, told.append, rekey_after_seconds=0.5)
            member.told = told
            await stack.enter_async_context(member.node)
            for other in members:
                await other.trust(str(member.node.id), name)
                await member.trust(str(other.node.id), other.node.name)
            members.append(member)
            return member

        yield join


@pytest.fixture
def dial():
    """Connects two members, both ways known."""

    async def connect(one: Member, other: Member) -> None:
        await one.dial(other.node.endpoints[0], str(other.node.id))
        await other.wait_for(str(one.node.id))

    return connect


@pytest.fixture
def patiently():
    """Waits for something that has to happen, at most for a while."""

    async def wait(awaitable):
        return await asyncio.wait_for(awaitable, PATIENCE_SECONDS)

    return wait


@pytest.fixture
def texts(tmp_path: Path) -> Path:
    """A small folder of text files."""
    folder = tmp_path / "texts"
    (folder / "below").mkdir(parents=True)
    (folder / "one.txt").write_text("The quick brown fox jumps over the lazy dog. " * 200)
    (folder / "two.txt").write_text("A dog is a dog, and no fox is one.\n" * 50)
    (folder / "below" / "three.txt").write_text("Straße und Straßen, ΣΑΣ und Ärger\n" * 20)
    (folder / "empty.txt").write_text("")
    return folder
