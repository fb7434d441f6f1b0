"""The tree of errors: drawn as it is, with a fault for each, under one root."""

import inspect
import pickle
import re
from typing import get_args

import pytest

import mesh.errors
from mesh.errors import CallFailed, DeliveryFailed, Fault, MeshError, PeerRestarted

CLASSES = [
    each
    for each in vars(mesh.errors).values()
    if inspect.isclass(each) and issubclass(each, MeshError)
]
LINE = re.compile(r"^ {4}(?P<indent>[ │]*)[├└]── (?P<name>\w+)(?: \(\w+\))? +(?P<fault>\w+)", re.M)


def drawn() -> dict[str, tuple[str, str]]:
    """Name to (name of the parent, fault), as the docstring draws the tree."""
    tree: dict[str, tuple[str, str]] = {}
    parents = ["MeshError"]
    for match in LINE.finditer(mesh.errors.__doc__ or ""):
        depth = len(match["indent"]) // 4 + 1
        tree[match["name"]] = (parents[depth - 1], match["fault"])
        parents[depth:] = [match["name"]]
    return tree


def test_the_drawing_is_the_tree() -> None:
    """Every class stands in the docstring under its base and with its fault, and no other does."""
    actual = {
        each.__name__: (each.__bases__[0].__name__, each.fault)
        for each in CLASSES
        if each is not MeshError
    }
    assert drawn() == actual


@pytest.mark.parametrize("error", CLASSES, ids=lambda each: each.__name__)
def test_every_error_says_whose_fault_it_is(error: type[MeshError]) -> None:
    """One of the known sides, and a docstring for people."""
    assert error.fault in get_args(Fault)
    assert inspect.getdoc(error)


@pytest.mark.parametrize("error", CLASSES, ids=lambda each: each.__name__)
def test_every_error_keeps_its_text(error: type[MeshError]) -> None:
    """The text a caller gave is what is printed, and it is caught as a MeshError."""
    raised = CallFailed("ValueError", "why") if error is CallFailed else error("why")
    assert "why" in str(raised)
    assert isinstance(raised, MeshError)


@pytest.mark.parametrize(
    ("error", "builtin"),
    [
        (mesh.errors.CallTimeout, TimeoutError),
        (mesh.errors.WaitTimeout, TimeoutError),
        (mesh.errors.WrongThread, RuntimeError),
        (mesh.errors.InvalidConfiguration, ValueError),
        (mesh.errors.InvalidMessage, ValueError),
        (mesh.errors.MalformedFrame, ValueError),
    ],
)
def test_errors_that_python_has_a_word_for(
    error: type[Exception], builtin: type[Exception]
) -> None:
    """`except TimeoutError` and `except ValueError` work too."""
    with pytest.raises(builtin):
        raise error("text")


def test_a_failed_delivery_says_what_is_known() -> None:
    """The outcome is unknown unless somebody knows better."""
    assert DeliveryFailed("gone").outcome == "unknown"
    assert DeliveryFailed("gone", "not_delivered").outcome == "not_delivered"
    restarted = PeerRestarted("gone", outcome="not_delivered")
    assert restarted.outcome == "not_delivered"
    assert isinstance(restarted, DeliveryFailed)
    assert str(restarted) == "gone"


def test_a_failed_call_says_what_the_handler_said() -> None:
    """The kind and the text are apart, and together in what is printed."""
    failed = CallFailed("KeyError", "'a'")
    assert (failed.kind, failed.text, str(failed)) == ("KeyError", "'a'", "KeyError: 'a'")
    assert str(CallFailed("KeyError", "")) == "KeyError"


@pytest.mark.parametrize("error", CLASSES, ids=lambda each: each.__name__)
def test_errors_cross_a_process_boundary(error: type[MeshError]) -> None:
    """A worker process can hand them on: they survive pickling with all they hold."""
    raised = CallFailed("ValueError", "why") if error is CallFailed else error("why")
    if isinstance(raised, DeliveryFailed):
        raised.outcome = "not_delivered"
    again = pickle.loads(pickle.dumps(raised))
    assert type(again) is error
    assert str(again) == str(raised)
    assert vars(again) == vars(raised)


def test_an_outcome_has_words_for_people() -> None:
    """Only what surely never reached a handler is called not delivered."""
    assert DeliveryFailed("gone", "not_delivered").fate == "it was not delivered"
    assert DeliveryFailed("gone").fate == "it may have been handled"
