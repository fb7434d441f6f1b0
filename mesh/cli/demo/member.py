"""What every node of the demonstration has in common: it lives in a process of its own and obeys.

Orders come as lines of JSON, answers and news leave as such:

    {"do": "dial", "order": 3, "endpoint": "tcp://...", "id": "..."}
    {"order": 3, "result": {...}}     or    {"order": 3, "error": "NotTrusted: ..."}
    {"news": "flow", ...}

Only ids, endpoints and numbers travel so; what the nodes say to each other goes through the mesh.
The end of the orders ends the node, so that no process outlives the one that started it.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from mesh import Node, NodeId

MESH_NAME = "noisemesh-demo"
# A node that waits for one that died does not wait longer.
CLOSE_SECONDS = 2.0
_LOOK_SECONDS = 0.1

Tell = Callable[[dict[str, Any]], None]
Order = Callable[..., Awaitable[dict[str, Any] | None]]


class Member:
    """One node, named `name`, its key and trust list in `home`. `tell`: says one line.

    Subclasses register their handlers on `node` and add to `orders`.
    """

    def __init__(self, name: str, home: Path, tell: Tell, *, rekey_after_seconds: float) -> None:
        self.tell = tell
        self.node = Node(
            name,
            home=home,
            listen="tcp://127.0.0.1:0",
            connect=[],
            mesh=MESH_NAME,
            rekey_after_seconds=rekey_after_seconds,
            close_timeout_seconds=CLOSE_SECONDS,
        )
        self.orders: dict[str, Order] = {
            "trust": self.trust,
            "dial": self.dial,
            "wait_for": self.wait_for,
            "report": self.report,
        }
        self._dialled: dict[str, int] = {}

    # -- living

    async def live(self, orders: asyncio.StreamReader) -> None:
        """Start the node, say who it is, obey until told to stop or nobody orders any more."""
        async with self.node:
            endpoint = self.node.endpoints[0]
            self.tell({"news": "ready", "id": str(self.node.id), "endpoint": endpoint})
            at_work = {asyncio.create_task(self._watch())}
            try:
                while line := await orders.readline():
                    order = json.loads(line)
                    if order["do"] == "stop":
                        break
                    task = asyncio.create_task(self._carry_out(order))
                    at_work.add(task)
                    task.add_done_callback(at_work.discard)
            finally:
                for task in at_work:
                    task.cancel()
                await asyncio.gather(*at_work, return_exceptions=True)
        self.tell({"news": "stopped"})

    async def _carry_out(self, order: dict[str, Any]) -> None:
        number = order.pop("order")
        try:
            result = await self.orders[order.pop("do")](**order)
        except Exception as error:
            self.tell({"order": number, "error": f"{type(error).__name__}: {error}"})
        else:
            self.tell({"order": number, "result": result or {}})

    async def _watch(self) -> None:
        """Tell of every fresh exchange on a link that this node dialled."""
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            for peer, known in self._dialled.items():
                generation = self.generation(peer)
                if generation > known:
                    self._dialled[peer] = generation
                    self.tell({"news": "rekeyed", "peer": peer, "generation": generation})

    # -- orders

    async def trust(self, id: str, name: str) -> None:
        """Believe exactly this identity."""
        self.node.trust.allow(id, name)

    async def dial(self, endpoint: str, id: str) -> dict[str, Any]:
        """Dial; only this identity may answer. What was proved."""
        peer = await self.node.connect(endpoint, id=id)
        self._dialled[peer.name] = self.generation(peer.name)
        return self.link(peer.id)

    async def wait_for(self, id: str) -> dict[str, Any]:
        """Wait until this identity has dialled us and proved itself. What was proved."""
        return self.link((await self.node.wait_for(id)).id)

    async def report(self) -> dict[str, Any]:
        """What was counted since the start."""
        return {"counters": self.node.counters()}

    # -- questions

    def link(self, peer: NodeId) -> dict[str, Any]:
        """The session with a peer that is sent on now."""
        association = self.node.running.engine.association(peer)
        session = association.sessions.current if association is not None else None
        if session is None:
            return {"id": str(peer), "generation": 0, "suite": "none"}
        return {"id": str(peer), "generation": session.generation, "suite": session.suite}

    def generation(self, name: str) -> int:
        """Which session with a peer, by petname, is sent on now: 1 is the first; 0: none."""
        for peer in self.node.peers:
            if peer.name == name:
                return int(self.link(peer.id)["generation"])
        return 0
