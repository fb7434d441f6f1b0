"""An event loop whose clock jumps to the next timer: minutes pass in no time, and nobody sleeps.

Only for what does no I/O: a loop that has nothing to run takes the time until its next timer for
gone.
"""

import asyncio
import functools
import selectors
from collections.abc import Callable, Coroutine
from typing import Any

NEVER_SECONDS = 7 * 24 * 3600.0


class _Jumping(selectors.DefaultSelector):
    """Looks whether something is there, and lets the time pass that it was to wait."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 1000.0

    def select(self, timeout: float | None = None) -> list[Any]:
        ready = super().select(0)
        if not ready:
            if timeout is None:
                raise RuntimeError("the loop waits for ever: no timer is set")
            self.now += max(0.0, timeout)
        return ready


class VirtualLoop(asyncio.SelectorEventLoop):
    """A loop on virtual time."""

    def __init__(self) -> None:
        self._jumping = _Jumping()
        super().__init__(self._jumping)

    def time(self) -> float:
        """Seconds on the clock that jumps."""
        return self._jumping.now


def in_virtual_time(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """Decorator: run a coroutine of a test on virtual time."""

    @functools.wraps(test)
    def run(*arguments: Any, **keywords: Any) -> None:
        with asyncio.Runner(loop_factory=VirtualLoop) as runner:
            runner.run(test(*arguments, **keywords))

    return run


async def pass_time(seconds: float) -> None:
    """Let so much virtual time go by, and everything that is due in it happen."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualLoop), "real time passes by itself"
    over = loop.create_future()
    loop.call_later(seconds, over.set_result, None)
    await over
