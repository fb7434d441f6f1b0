"""Staying awake for an answer that is likely to come at once.

A thread that sleeps until its socket stirs pays for it when it wakes: the processor has left its
low state, or given the time to another virtual machine, and the caches hold other things. Of a
round trip between two processes that is up to half of the time. So where requests and replies take
turns and nothing else is under way, the event loop goes round without sleeping for a moment, as
network stacks do that poll instead of waiting for an interrupt. Everything else that the loop has
to do is done meanwhile, and whoever waits for this processor goes first: ZeroMQ's own threads are
among them, which bring the answer.
"""

import asyncio
from collections.abc import Callable

from mesh.io import system
from mesh.model import Now

NEAR_SECONDS = 0.001
"""An answer that took less is near."""
TURNS = 8
"""So many near answers in a row are a conversation, and the next one is waited for awake."""


class BusyPoll:
    """One node's. `clock`: this moment.

    A conversation ends with an answer that is not near and with whatever else arrives: staying
    awake in vain is paid once, and beside other traffic never.
    """

    def __init__(self, clock: Callable[[], Now]) -> None:
        self._clock = clock
        self._loop = asyncio.get_running_loop()
        self._turns = 0
        self._expecting = False
        self._going_round = False
        self._until = 0.0

    @property
    def in_conversation(self) -> bool:
        """Whether the next answer is waited for awake."""
        return self._turns >= TURNS

    def expect(self) -> None:
        """A request, or the last reply that was owed, leaves: an answer may come at once."""
        self._expecting = True
        self._until = self._clock().elapsed + NEAR_SECONDS
        if self._turns >= TURNS and not self._going_round:
            self._going_round = True
            self._loop.call_soon(self._go_round)

    def came(self, frames: int, now: Now) -> None:
        """So many frames came at once."""
        if self._expecting and frames == 1 and now.elapsed < self._until:
            self._turns += 1
        else:
            self._turns = 0
        self._expecting = False

    def stop(self) -> None:
        """Nobody stays awake any more."""
        self._expecting = False
        self._turns = 0

    def _go_round(self) -> None:
        system.give_way()
        if self._expecting and self._clock().elapsed < self._until:
            self._loop.call_soon(self._go_round)
        else:
            self._going_round = False
