"""Handlers: what a function wants is known when it is registered, and wrong ones are refused."""

import functools

import pytest

from mailboxes import PEER_ID
from mesh.errors import InvalidConfiguration, InvalidMessage
from mesh.model import Peer
from mesh.runtime.handlers import Handlers, check_failure_listener, check_subject, describe

PEER = Peer(PEER_ID, "bob")


async def plain(body): ...


async def with_peer(body, *, peer): ...


async def with_anything(body, **more): ...


def in_a_thread(body, peer=None): ...


class CallableObject:
    """An object whose call suspends."""

    async def __call__(self, body): ...


class Holder:
    """Something with methods."""

    def method(self, body, *, peer):
        """Answer with what it was given."""
        return body, peer


@pytest.mark.parametrize(
    ("function", "wants_peer", "suspends"),
    [
        (plain, False, True),
        (with_peer, True, True),
        (with_anything, True, True),
        (in_a_thread, True, False),
        (CallableObject(), False, True),
        (functools.partial(with_peer), True, True),
        (Holder().method, True, False),
        (lambda body: body, False, False),
    ],
)
def test_how_a_function_wants_to_be_called(function, wants_peer, suspends):
    """Functions, methods, partials and objects are told apart by what they take and are."""
    handler = describe("s", function)
    assert (handler.wants_peer, handler.suspends) == (wants_peer, suspends)


def test_binding_hands_the_peer_to_those_who_want_it():
    """The bound handler is one of the body alone."""
    assert describe("s", Holder().method).bind(PEER)(7) == (7, PEER)
    assert describe("s", lambda body: [body]).bind(PEER)(7) == [7]


async def generator(body):
    """No handler: it yields."""
    yield body


def sync_generator(body):
    """No handler either."""
    yield body


def positional_peer(body, peer, /): ...


@pytest.mark.parametrize(
    "function",
    [
        generator,
        sync_generator,
        lambda: None,
        lambda body, more: None,
        lambda *, body: None,
        lambda peer: None,
        positional_peer,
        dict,
    ],
)
def test_what_cannot_be_a_handler_is_refused_when_it_is_registered(function):
    """Not with the first message."""
    with pytest.raises(InvalidConfiguration, match="'log'"):
        Handlers().on("log")(function)


class Failures:
    """Whatever takes a peer and an error."""

    def note(self, peer, error):
        """A method."""

    def __call__(self, peer, error):
        """An object that is called."""


@pytest.mark.parametrize(
    "function",
    [
        Failures().note,
        Failures(),
        print,
        functools.partial(Failures.note, None),
        lambda *both: None,
    ],
)
def test_what_can_be_told_of_failures(function):
    """Anything that is called with a peer and an error and returns."""
    check_failure_listener(function)


async def suspends(peer, error): ...


class CallableThatSuspends:
    """An object whose call suspends."""

    async def __call__(self, peer, error): ...


@pytest.mark.parametrize(
    ("function", "why"),
    [
        (suspends, "nobody would await it"),
        (functools.partial(suspends), "nobody would await it"),
        (CallableThatSuspends(), "nobody would await it"),
        (generator, "is a generator"),
        (sync_generator, "is a generator"),
        (lambda peer: None, r"takes \(peer\)"),
        (lambda peer, *, error: None, "not a peer and an error"),
        ("note", "cannot be called"),
        (None, "cannot be called"),
    ],
)
def test_what_cannot_be_told_of_failures_is_refused_when_it_is_registered(function, why):
    """Not with the first failure, when a coroutine would be dropped unawaited."""
    with pytest.raises(InvalidConfiguration, match=f"on_failure.*{why}"):
        check_failure_listener(function)


@pytest.mark.parametrize("concurrency", [0, -1, 1.5, True, "2"])
def test_concurrency_is_a_number_from_one_up(concurrency):
    """Anything else is refused."""
    with pytest.raises(InvalidConfiguration, match="concurrency"):
        Handlers().on("log", concurrency)(plain)


def test_a_subject_has_one_handler_of_each_kind():
    """A second one is refused; a message and a service of one name are two things."""
    handlers = Handlers()
    assert handlers.on("log")(plain) is plain
    handlers.serve("log")(plain)
    with pytest.raises(InvalidConfiguration, match="already"):
        handlers.on("log")(with_peer)
    assert handlers.tells["log"].function is plain
    assert handlers.services["log"].concurrency == 1


class Text(str):
    """Text, as an enumeration's members are."""

    __slots__ = ()


@pytest.mark.parametrize("subject", ["a", "x" * 255, "ü" * 127, Text("log")])
def test_subjects_that_can_be(subject):
    """1 to 255 bytes of text, members of a StrEnum included."""
    check_subject(subject)


@pytest.mark.parametrize("subject", ["", "x" * 256, "ü" * 128, b"log", None, "half \ud800"])
def test_subjects_that_cannot_be(subject):
    """Too long, empty, half a surrogate pair, or no text at all."""
    with pytest.raises(InvalidMessage, match="1 to 255"):
        check_subject(subject)
    with pytest.raises(InvalidMessage):
        describe(subject, plain)
