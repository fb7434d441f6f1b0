"""Cuts the connections of a relay again and again, at moments that a seed has chosen."""

import asyncio
from random import Random
from typing import NamedTuple, Self

from endurance.relay import Relay


class Cut(NamedTuple):
    """One cut. `at`: seconds of the loop's clock. `frames`: what the connection had carried."""

    at: float
    reset: bool
    frames: int


class Cutter:
    """While it is entered, a cut every `shortest` to `longest` seconds.

    `resets`: which share of them are RSTs, and no FINs. `cuts`: those that ended a connection.
    """

    def __init__(
        self,
        relay: Relay,
        dice: Random,
        *,
        shortest: float = 0.05,
        longest: float = 0.3,
        resets: float = 0.5,
    ) -> None:
        self.cuts: list[Cut] = []
        self._relay = relay
        self._dice = dice
        self._pauses = shortest, longest
        self._resets = resets
        self._task: asyncio.Task[None] | None = None

    @property
    def in_traffic(self) -> int:
        """How many ended a connection by which frames had passed both ways."""
        return sum(cut.frames > 0 for cut in self.cuts)

    async def __aenter__(self) -> Self:
        self._task = asyncio.get_running_loop().create_task(self._cut())
        return self

    async def __aexit__(self, *_failure: object) -> None:
        assert self._task is not None
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def _cut(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(self._dice.uniform(*self._pauses))
            reset = self._dice.random() < self._resets
            frames = self._relay.carried
            if self._relay.cut(reset=reset):
                self.cuts.append(Cut(loop.time(), reset, frames))
