"""Calls: shapes of requests and replies as peers may send them, and which calls still wait."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh import limits
from mesh.errors import BufferFull, CallFailed, Denied, MalformedFrame, NoHandler
from mesh.exchange import calls
from mesh.exchange.calls import (
    PendingCalls,
    decode_cancel,
    decode_item,
    describe_failure,
    error_of,
)
from mesh.wire import cbor, messages

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 2**64) | st.floats() | st.text() | st.binary(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)


def test_requests_and_replies_arrive_as_they_were_sent():
    """Both numbers and the body are untouched."""
    item = cbor.loads(messages.encode_request(7, 1500, {"a": [1]}))
    assert decode_item(item) == (7, 1500, {"a": [1]})
    item = cbor.loads(messages.encode_reply(2**64 - 1, messages.REPLY_OK, b"x"))
    assert decode_item(item) == (2**64 - 1, 0, b"x")
    assert decode_cancel(cbor.loads(cbor.dumps(2**64 - 1))) == 2**64 - 1


@pytest.mark.parametrize(
    "item",
    [
        *(None, 5, "abc", {"a": 1, "b": 2, "c": 3}, (1, 2, 3)),
        *([], [1, 2], [1, 2, None, 4]),
        *([True, 1, None], [1, False, None], [1.0, 1, None], ["1", 1, None]),
        *([-1, 1, None], [1, -1, None], [[], 1, None]),
    ],
)
def test_anything_else_is_malformed(item):
    """Wrong shapes, truth values for numbers, and negative ones are the peer's fault."""
    with pytest.raises(MalformedFrame):
        decode_item(item)


@pytest.mark.parametrize("item", [None, True, -1, 1.0, "1", [1], {}])
def test_a_cancelled_call_is_a_number(item):
    """What could not even be looked up is refused."""
    with pytest.raises(MalformedFrame):
        decode_cancel(item)


@given(VALUES)
def test_whatever_is_decoded_gives_a_value_or_the_documented_error(value):
    """Any value a peer can send, as an item or as a reply's body, is understood or malformed."""
    for decode in (decode_item, decode_cancel):
        try:
            decode(value)
        except MalformedFrame:
            pass
    for status in range(8):
        assert len(str(error_of(status, value, "count", "bob"))) < 5_000


class UnreadableError(Exception):
    """An error that cannot even say what it is."""

    def __str__(self) -> str:
        raise RuntimeError("no text")


@pytest.mark.parametrize(
    ("error", "described"),
    [
        (ValueError("no such number"), ["ValueError", "no such number"]),
        (KeyError(), ["KeyError", ""]),
        (ValueError("x" * 5_000), ["ValueError", "x" * 2_000]),
        (FileNotFoundError("caf\udce9"), ["FileNotFoundError", "caf\\udce9"]),
        (ValueError("\ud800" * 3_000), ["ValueError", ("\\ud800" * 400)[:2_000]]),
        (UnreadableError(), ["UnreadableError", "its text cannot be read"]),
        (type("N" * 3_000, (Exception,), {})("x"), ["N" * 2_000, "x"]),
        (CallFailed("KeyError", "'x'"), ["KeyError", "'x'"]),
    ],
)
def test_a_failure_can_always_be_described(error, described):
    """Type and text, cut to a length, in something that can be carried whatever the error does."""
    assert describe_failure(error) == described
    assert cbor.loads(messages.encode_reply(1, 1, describe_failure(error)))[2] == described


def test_each_status_is_the_error_it_stands_for():
    """The caller sees what happened over there, and the subject it asked for."""
    failed = error_of(messages.REPLY_FAILED, ["KeyError", "'x'"], "count", "bob")
    assert isinstance(failed, CallFailed)
    assert (failed.kind, failed.text) == ("KeyError", "'x'")
    assert isinstance(error_of(messages.REPLY_NO_HANDLER, None, "count", "bob"), NoHandler)
    nobody = str(error_of(messages.REPLY_NO_HANDLER, None, "count", "bob"))
    assert nobody == "bob has no service 'count'"
    assert isinstance(error_of(messages.REPLY_DENIED, None, "count", "bob"), Denied)
    for status, body, text in (
        (messages.REPLY_CANCELLED, None, "Cancelled: the handler was cancelled"),
        (messages.REPLY_NOT_CARRIED, "a set", "InvalidMessage: a set"),
        (messages.REPLY_NOT_CARRIED, [1], "InvalidMessage: the reply could not be carried"),
        (99, None, "Unknown: reply status 99"),
    ):
        error = error_of(status, body, "count", "bob")
        assert isinstance(error, CallFailed)
        assert str(error) == text


@pytest.mark.parametrize("body", [None, [], ["one"], ["a", 1], [b"a", "b"], ["a", "b", "c"], "ab"])
def test_a_failure_without_its_text_is_still_a_failure(body):
    """A peer that breaks the shape of a failure gets no text of its own into ours."""
    error = error_of(messages.REPLY_FAILED, body, "count", "bob")
    assert str(error) == "Unknown: the peer did not say what failed"


def test_texts_of_a_peer_are_cut():
    """As long as we would have sent them, and no longer."""
    long = "x" * 100_000
    failed = error_of(messages.REPLY_FAILED, [long, long], "count", "bob")
    assert isinstance(failed, CallFailed)
    assert (len(failed.kind), len(failed.text)) == (2_000, 2_000)
    assert len(str(error_of(messages.REPLY_NOT_CARRIED, long, "count", "bob"))) < 2_100


def test_a_call_is_taken_once_by_its_number():
    """Numbers are never used again, so a late reply finds nobody."""
    pending: PendingCalls[str] = PendingCalls()
    first, second = pending.open("first"), pending.open("second")
    assert first != second
    assert len(pending) == 2
    assert pending.take(second) == "second"
    assert pending.take(second) is None
    assert pending.take(0) is None
    third = pending.open("third")
    assert third not in {first, second}
    assert pending.take_all() == ["first", "third"]
    assert len(pending) == 0
    assert pending.take(first) is None
    assert pending.take_all() == []


def test_calls_that_wait_are_bounded(monkeypatch):
    """At the limit the next one is refused, and fits as soon as one is answered."""
    assert limits.CALLS_PER_PEER == calls.CALLS_PER_PEER
    monkeypatch.setattr(calls, "CALLS_PER_PEER", 3)
    pending: PendingCalls[int] = PendingCalls()
    numbers = [pending.open(n) for n in range(3)]
    with pytest.raises(BufferFull):
        pending.open(3)
    assert pending.take(numbers[0]) == 0
    assert pending.open(3) not in numbers
