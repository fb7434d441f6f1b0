"""How deep in calls a task is: a call made while a message or request is handled goes one deeper.

Two nodes whose handlers call each other would wait for each other's room for ever if all calls
shared it. So each depth has room and places of its own, and a chain of calls ends at
`constants.DEPTH_MAX`.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from mesh import constants
from mesh.errors import Denied


class Handling:
    """A message or request of this depth at its handler. `over`: nobody waits for it any more.

    Tasks that a handler leaves behind inherit the context it ran in; once it has returned, what
    they call is inside of nothing.
    """

    __slots__ = ("depth", "over")

    def __init__(self, depth: int) -> None:
        self.depth = depth
        self.over = False


_handling: ContextVar[Handling | None] = ContextVar("noisemesh handling", default=None)


def begin(depth: int) -> Handling:
    """From here on this task, and those it starts, handle something of this depth."""
    handling = Handling(depth)
    _handling.set(handling)
    return handling


@contextmanager
def outside() -> Iterator[None]:
    """What is called here is inside of nothing, in whosever context the pump happens to run."""
    token = _handling.set(None)
    try:
        yield
    finally:
        _handling.reset(token)


def depth_of_call() -> int:
    """The depth of a call made here: 0 outside of all handlers. Raises Denied when too deep."""
    handling = _handling.get()
    if handling is None or handling.over:
        return 0
    if handling.depth >= constants.DEPTH_MAX:
        raise Denied(f"calls go at most {constants.DEPTH_MAX} deep inside each other")
    return handling.depth + 1
