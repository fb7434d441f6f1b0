"""The play itself, act by act: keys, introductions, a stranger, work, queries, a look at the wire.

The conductor is no node. It hands ids and endpoints from one process to another, carries the
bytes of one link through a relay that records them, and counts the same words alone.
"""

import asyncio
import secrets
import string
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from mesh.cli.demo import alone
from mesh.cli.demo.checks import Answer, Evidence, Proof, Wire
from mesh.cli.demo.folder import Folder, TextFile
from mesh.cli.demo.relay import Relay, record_plain_run
from mesh.cli.demo.scan import scan, windows
from mesh.cli.demo.story import Story
from mesh.cli.demo.troupe import Child, start_child

WORKERS = ("worker-1", "worker-2", "worker-3")
RELAYED = WORKERS[0]
ROLES = {
    "reader": "reader",
    **dict.fromkeys(WORKERS, "worker"),
    "index": "index",
    "asker": "asker",
    "stranger": "asker",
}
# Who dials whom. The stranger is on nobody's list.
LINKS = (
    *(("reader", worker) for worker in WORKERS),
    *((worker, "index") for worker in WORKERS),
    ("reader", "index"),
    ("asker", "index"),
)
_MARKER_CHARACTERS = 32
_TICK_SECONDS = 0.7


class Start(Protocol):
    """Starts the process of one node: `start_child`, or what a test has instead."""

    async def __call__(
        self,
        role: str,
        name: str,
        home: Path,
        rekey_after_seconds: float,
        on_news: Callable[[Child, dict[str, Any]], None],
    ) -> Child: ...


@dataclass(frozen=True, slots=True)
class Plan:
    """How much is shown. `renewals`: wanted of each working link; durations in seconds.

    `relay`: made with the address that it passes connections on to.
    """

    rekey_after_seconds: float = 0.7
    renewals: int = 3
    work_seconds: float = 10.0
    limit_seconds: float = 60.0
    relay: Callable[[tuple[str, int]], Relay] = Relay
    start: Start = start_child


class Play:
    """One performance on `folder`; what it shows is kept in `evidence`."""

    def __init__(self, folder: Folder, story: Story, plan: Plan) -> None:
        self.evidence = Evidence(trouble="")
        self.ending = False
        self._folder = folder
        self._story = story
        self._plan = plan
        self._scratch = Path()
        self._cast: dict[str, Child] = {}
        self._shares: dict[str, list[TextFile]] = {}
        letters = string.ascii_lowercase + string.digits
        self._marker = "".join(secrets.choice(letters) for _ in range(_MARKER_CHARACTERS))

    async def perform(self, scratch: Path) -> None:
        """All acts. `scratch`: a private folder for the homes of the nodes and the marker.

        Raises ChildFailed, OSError or TimeoutError, perhaps in a group.
        """
        self._scratch = scratch
        async with asyncio.timeout(self._plan.limit_seconds), asyncio.TaskGroup() as group:
            files = self._plant_marker()
            counting = group.create_task(asyncio.to_thread(alone.count, files))
            await self._start(group)
            host, _, port = self._cast[RELAYED].endpoint.removeprefix("tcp://").rpartition(":")
            async with self._plan.relay((host, int(port))) as relay:
                try:
                    await self._introduce(relay.port)
                    await self._knock()
                    self.evidence.alone = await counting
                    await self._work(files)
                    await self._ask(self.evidence.alone)
                    await self._report()
                finally:
                    # While the relay stands: goodbyes have to pass it too.
                    await self.end()
            self._story.say("end", f"{len(self._cast)} nodes said goodbye")
            await self._inspect(relay)

    async def end(self) -> None:
        """End every process that lives; those that do not hear are killed. It says nothing, so
        that it works when nobody can be told any more."""
        self.ending = True
        alive = [name for name in self._cast if name not in self.evidence.statuses]
        statuses = await asyncio.gather(*(self._cast[name].end() for name in alive))
        self.evidence.statuses.update(zip(alive, statuses, strict=True))

    # -- acts

    def _plant_marker(self) -> list[TextFile]:
        """A file of our own with a random word, for the worker behind the relay."""
        path = self._scratch / "marker.txt"
        path.write_text(f"The marker of this run is {self._marker}\n", encoding="ascii")
        size = path.stat().st_size
        marker = TextFile(len(self._folder.files), str(path), "the marker", size)
        self._story.say("input", f"{self._folder.describe()}; and one file with a random marker")
        return [*self._folder.files, marker]

    async def _start(self, group: asyncio.TaskGroup) -> None:
        for name, role in ROLES.items():
            home = self._scratch / name
            rekey_after = self._plan.rekey_after_seconds
            child = await self._plan.start(role, name, home, rekey_after, self._on_news)
            self._cast[name] = child
            self.evidence.pids[name] = child.pid
            group.create_task(child.listen())
        for name, child in self._cast.items():
            await child.ready
            self.evidence.ids[name] = child.id
            what = f"{name} made its key {child.short_id}, listens on {child.endpoint}"
            self._story.say("key", f"{what}, process {child.pid}")

    async def _introduce(self, relay_port: int) -> None:
        """Pins on both sides, then everybody dials whom it needs."""
        for one, other in LINKS:
            await self._trust(one, other)
            await self._trust(other, one)
        await self._trust("stranger", WORKERS[1])
        via = {("reader", RELAYED): f"tcp://127.0.0.1:{relay_port}"}
        await asyncio.gather(
            *(self._link(one, other, via.get((one, other))) for one, other in LINKS)
        )
        self.evidence.links = {name: sum(name in link for link in LINKS) for name in self._cast}

    async def _trust(self, truster: str, trusted: str) -> None:
        await self._cast[truster].order("trust", id=self._cast[trusted].id, name=trusted)

    async def _link(self, one: str, other: str, via: str | None) -> None:
        dialler, acceptor = self._cast[one], self._cast[other]
        endpoint = via or acceptor.endpoint
        out = await dialler.order("dial", endpoint=endpoint, id=acceptor.id)
        back = await acceptor.order("wait_for", id=dialler.id)
        self.evidence.proofs.append(
            Proof(one, other, (dialler.id, acceptor.id), (out["id"], back["id"]))
        )
        way = f"{endpoint} (the recording relay)" if via else endpoint
        both = f"{one} proved {dialler.short_id} to {other}, {other} proved {acceptor.short_id}"
        keys = f"{out['suite']}, generation {out['generation']}"
        self._story.say("proof", f"{both} to {one}, through {way} ({keys})")

    async def _knock(self) -> None:
        stranger, door = self._cast["stranger"], self._cast[WORKERS[1]]
        outcome = await stranger.order("knock", endpoint=door.endpoint, id=door.id)
        self.evidence.stranger = outcome
        what = f"is refused: {outcome['refused']}" if outcome["refused"] else "IS LET IN"
        self._story.say("stranger", f"{stranger.short_id} knocks at {door.name} and {what}")

    async def _work(self, files: list[TextFile]) -> None:
        self._shares = shares(files)
        orders = {
            worker: [(file.number, file.path) for file in share]
            for worker, share in self._shares.items()
        }
        telling = asyncio.create_task(self._tell_rekeyed())
        try:
            self.evidence.work = await self._cast["reader"].order(
                "work",
                shares=orders,
                renewals=self._plan.renewals,
                seconds=self._plan.work_seconds,
                timeout=self._plan.limit_seconds,
            )
        finally:
            telling.cancel()
        self._story.tell_rekeyed()

    async def _tell_rekeyed(self) -> None:
        while True:
            await asyncio.sleep(_TICK_SECONDS)
            self._story.tell_rekeyed()

    async def _ask(self, counted: alone.Alone) -> None:
        asker = self._cast["asker"]
        for question, about, expected in questions(counted, self._marker):
            got = (await asker.order("ask", question=question, about=about))["answer"]
            asked = f"{question.replace('_', ' ')} {about!r}"
            self.evidence.answers.append(Answer(asked, got, expected))
            agreed = "as counted alone" if got == expected else f"ALONE: {brief(expected)}"
            self._story.say("query", f"{asked}? {brief(got)}, {agreed}")
        self.evidence.table = (await asker.order("table"))["counts"]

    async def _report(self) -> None:
        for name, child in self._cast.items():
            report = await child.order("report")
            self.evidence.counters[name] = report["counters"]

    async def _inspect(self, relay: Relay) -> None:
        """Look for the text in what the relay recorded, and in the same text sent in the clear."""
        texts = await asyncio.to_thread(_read_all, self._shares[RELAYED])
        plain = await record_plain_run(texts)
        marker, wanted = self._marker.encode(), windows(texts)
        captures = (relay.forward.data, relay.backward.data)
        there, back = [await asyncio.to_thread(scan, data, marker, wanted) for data in captures]
        control = await asyncio.to_thread(scan, plain.data, marker, wanted)
        sent = self.evidence.work["bytes"][RELAYED]
        self.evidence.wire = Wire(
            relay.connections, relay.forward.total, sent, there + back, control
        )
        self._story.say("wire", f"recorded through the relay: {there + back}")
        self._story.say("wire", f"the same text in the clear: {control}")

    # -- news

    def _on_news(self, child: Child, news: dict[str, Any]) -> None:
        if news["news"] == "rekeyed":
            self._story.rekeyed(f"{child.name}-{news['peer']}", news["generation"])
        elif news["news"] == "round":
            pieces = ", ".join(f"{number} to {name}" for name, number in news["pieces"].items())
            result = f"{news['words']:,} words, {news['distinct']:,} different, in the index"
            flow = f"round {news['round']}: {news['bytes']:,} bytes in pieces, {pieces}"
            self._story.say("flow", f"{flow}; {result}")


def _read_all(files: list[TextFile]) -> list[bytes]:
    return [Path(file.path).read_bytes() for file in files]


def shares(files: list[TextFile]) -> dict[str, list[TextFile]]:
    """The files by worker, about the same bytes for each; the last file goes over the relay."""
    dealt: dict[str, list[TextFile]] = {worker: [] for worker in WORKERS}
    load = dict.fromkeys(WORKERS, 0)
    dealt[RELAYED].append(files[-1])
    for file in sorted(files[:-1], key=lambda file: file.size, reverse=True):
        worker = min(WORKERS, key=load.__getitem__)
        dealt[worker].append(file)
        load[worker] += file.size
    return dealt


def questions(counted: alone.Alone, marker: str) -> list[tuple[str, object, object]]:
    """Queries to the index: service, argument, and the answer counted alone."""
    ranking = [word for word, _ in counted.top(len(counted.total))]
    words = list(dict.fromkeys([ranking[0], ranking[len(ranking) // 2], ranking[-1], marker]))
    absent = f"{marker}_absent"
    return [
        *(("how_often", word, counted.total[word]) for word in [*words, absent]),
        *(("files_with", word, counted.files_with(word)) for word in words),
        ("top", 10, [list(entry) for entry in counted.top(10)]),
    ]


def brief(answer: object) -> str:
    """An answer in a line for people."""
    if not isinstance(answer, list):
        return f"{answer}"
    if answer and isinstance(answer[0], list):
        return ", ".join(f"{word} {count}" for word, count in answer[:5])
    return f"{len(answer)} files"
