"""The handlers of a node: who answers which subject, and how they want to be called."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from mesh.constants import SUBJECT_MAX_BYTES
from mesh.errors import InvalidConfiguration, InvalidMessage
from mesh.model import Peer

AnyHandler = Callable[..., Any]
F = TypeVar("F", bound=AnyHandler)


@dataclass(frozen=True, slots=True, eq=False)
class Handler:
    """A function that takes `body`, and `peer=` if it asks for it.

    `suspends`: an `async def`; else it runs in a thread. `concurrency`: how many messages of one
    peer it may handle at a time; more than one gives up their order.
    """

    subject: str
    function: AnyHandler
    wants_peer: bool
    suspends: bool
    concurrency: int = 1

    def bind(self, peer: Peer) -> Callable[[Any], Any]:
        """The function as one of the body alone."""
        function = self.function
        if not self.wants_peer:
            return function
        # Half the price of a `partial`: Python calls its own functions without leaving its loop.
        return lambda body: function(body, peer=peer)


def describe(subject: str, function: AnyHandler, concurrency: int = 1) -> Handler:
    """How a function wants to be called. Raises InvalidConfiguration when it cannot be one."""
    check_subject(subject)
    if inspect.isasyncgenfunction(function) or inspect.isgeneratorfunction(function):
        raise InvalidConfiguration(f"the handler of {subject!r} is a generator; handlers return")
    if type(concurrency) is not int or concurrency < 1:
        raise InvalidConfiguration(f"concurrency of {subject!r} is a number from 1 up")
    wants_peer = _wants_peer(subject, function)
    return Handler(subject, function, wants_peer, _suspends(function), concurrency)


def check_failure_listener(function: AnyHandler) -> None:
    """Raises InvalidConfiguration unless it can be called with a peer and an error, and returns."""
    if not callable(function):
        raise InvalidConfiguration(f"on_failure: {function!r:.80} cannot be called")
    if inspect.isasyncgenfunction(function) or inspect.isgeneratorfunction(function):
        raise InvalidConfiguration("on_failure: a function that yields is a generator, never run")
    if _suspends(function):
        raise InvalidConfiguration(
            "on_failure takes a plain function: nobody would await it; "
            "one that has to wait begins a task of its own"
        )
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):
        return  # written in C, and silent about what it takes
    try:
        signature.bind(None, None)
    except TypeError:
        raise InvalidConfiguration(
            f"on_failure: the function takes {signature}, not a peer and an error"
        ) from None


def _suspends(function: AnyHandler) -> bool:
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(
        getattr(function, "__call__", None)  # noqa: B004  an object may have an async __call__
    )


def _wants_peer(subject: str, function: AnyHandler) -> bool:
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):
        raise InvalidConfiguration(f"the handler of {subject!r} has no signature") from None
    parameters = signature.parameters.values()
    wants_peer = "peer" in signature.parameters or any(
        parameter.kind is parameter.VAR_KEYWORD for parameter in parameters
    )
    try:
        signature.bind(None, **({"peer": None} if wants_peer else {}))
    except TypeError:
        raise InvalidConfiguration(
            f"the handler of {subject!r} takes {signature}, not a body and perhaps peer="
        ) from None
    return wants_peer


def check_subject(subject: str) -> None:
    """Raises InvalidMessage: a subject is 1 to 255 bytes of text."""
    try:
        size = len(subject.encode()) if isinstance(subject, str) else 0
    except UnicodeEncodeError:
        size = 0
    if not 0 < size <= SUBJECT_MAX_BYTES:
        raise InvalidMessage(
            f"a subject is text of 1 to {SUBJECT_MAX_BYTES} bytes, not {subject!r:.80}"
        )


class Handlers:
    """All of them. Both tables may grow while the node runs."""

    def __init__(self) -> None:
        self.tells: dict[str, Handler] = {}
        self.services: dict[str, Handler] = {}

    def on(self, subject: str, concurrency: int = 1) -> Callable[[F], F]:
        """Decorator: direct messages of this subject."""
        return self._register(self.tells, subject, concurrency)

    def serve(self, subject: str) -> Callable[[F], F]:
        """Decorator: requests of this subject; what it returns is the reply."""
        return self._register(self.services, subject, 1)

    def _register(
        self, table: dict[str, Handler], subject: str, concurrency: int
    ) -> Callable[[F], F]:
        def register(function: F) -> F:
            handler = describe(subject, function, concurrency)
            if subject in table:
                raise InvalidConfiguration(f"{subject!r} has a handler already")
            table[subject] = handler
            return function

        return register
