"""Two nodes of which one tells the other a large message between small ones."""

import asyncio
import hashlib
from typing import Any, NamedTuple

from endurance.sides import Side

SMALL_BEFORE, SMALL_BESIDE, SMALL_AFTER = 10, 50, 10


def versions() -> dict[str, str]:
    """Nothing that a report needs."""
    return {}


class Word(NamedTuple):
    """A message as its handler saw it."""

    subject: str
    size: int
    digest: str


class Listener(Side):
    """Notes what it is told under "x" and "y"."""

    async def listen(self) -> None:
        """From now on."""
        self._words: list[Word] = []
        for subject in ("x", "y"):
            self.node.on(subject)(self._noting(subject))

    def _noting(self, subject: str) -> Any:
        async def note(body: bytes) -> None:
            self._words.append(Word(subject, len(body), hashlib.sha256(body).hexdigest()))

        return note

    async def story(self) -> list[Word]:
        """All of it, in order."""
        return self._words


class Teller(Side):
    """Makes the large body first, so that what it holds is known before it is sent."""

    async def make(self, size: int) -> str:
        """A body of which no part is like another: its digest."""
        self._body = hashlib.shake_128(b"a gigabyte").digest(size)
        return hashlib.sha256(self._body).hexdigest()

    async def tell(self) -> int:
        """Small ones on x, the large one, behind it small ones again; small ones on y meanwhile.

        How many of those on y were handled before the large one was.
        """
        send = self.node.send
        for number in range(SMALL_BEFORE):
            await send("other", "x", b"%d" % number)
        large = asyncio.create_task(self._handled("x", [self._body]))
        await asyncio.sleep(0)
        after = [b"%d" % (SMALL_BEFORE + number) for number in range(SMALL_AFTER)]
        behind = asyncio.create_task(self._handled("x", after))
        in_time = 0
        for number in range(SMALL_BESIDE):
            await self._handled("y", [b"%d" % number])
            in_time += not large.done()
        await large
        await behind
        return in_time

    async def _handled(self, subject: str, bodies: list[bytes]) -> None:
        for body in bodies:
            receipt = await self.node.send("other", subject, body)
        await receipt.handled()
