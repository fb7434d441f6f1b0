"""Two running nodes on loopback, in one loop, of which nothing is left in the end."""

import asyncio
from typing import Any, Self

from mesh import Node
from nodes import join


class Pair:
    """Alice and Bob, who trust each other; handlers are added before they meet.

    `fields`: keywords of both nodes.
    """

    def __init__(self, **fields: Any) -> None:
        fields = {"close_timeout_seconds": 2.0, **fields}
        self.alice = Node("alice", home=":memory:", **fields)
        self.bob = Node("bob", home=":memory:", **fields)

    async def __aenter__(self) -> Self:
        await self.alice.start()
        await self.bob.start()
        await join(self.alice, self.bob)
        return self

    async def __aexit__(self, *_: object) -> None:
        """Nothing is left when both have closed."""
        await asyncio.gather(self.alice.close(), self.bob.close())
        assert asyncio.all_tasks() == {asyncio.current_task()}
