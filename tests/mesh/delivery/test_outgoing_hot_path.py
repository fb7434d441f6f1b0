"""The short way for direct messages: what `Node.send` may do without asking."""

import pytest

from deliveries import WINDOW, Direction
from mesh.limits import BULK_BYTES, MESSAGE_BUDGET_BYTES
from mesh.wire.cbor import dumps
from mesh.wire.messages import NESTED_REQUESTS, REPLY, REQUEST, TELL, unpacked


@pytest.fixture
def direction():
    """A sender with much room."""
    return Direction(window=1 << 24)


def test_the_hot_path_is_that_of_the_open_run(direction):
    """`raw_subject` names a run of bytes bodies told to a handler, `packed_subject` another.

    Requests and replies are added by `join` alone.
    """
    outgoing = direction.outgoing
    with pytest.raises(RuntimeError, match="no run is open"):
        outgoing.append(b"nothing is open yet")
    steps = [
        ((TELL, "log", b"x", True), ("log", None), False),
        ((TELL, "log", b"\xf6", False), (None, "log"), True),
        ((TELL, "log", b"x", True), ("log", None), False),
        ((REQUEST, "log", b"\xf6", False), (None, None), True),
        ((TELL, "log", b"x", True), ("log", None), False),
        ((REPLY, "log", b"\xf6", False), (None, None), True),
        ((NESTED_REQUESTS[0], "log", b"\xf6", False), (None, None), False),
        ((TELL, "log", b"\xf6", False), (None, "log"), True),
    ]
    for (kind, subject, body, raw), hot, joins in steps:
        outgoing.offer(kind, subject, body, raw=raw)
        assert (outgoing.raw_subject, outgoing.packed_subject) == hot
        assert (outgoing.join(kind, subject, body) is outgoing.receipt) is joins
    outgoing.close_batch()
    assert (outgoing.raw_subject, outgoing.packed_subject) == (None, None)
    assert outgoing.budget == 0
    assert outgoing.join(TELL, "log", b"\xf6") is None
    with pytest.raises(RuntimeError):
        outgoing.append(b"too late")


def test_bytes_join_the_open_run_of_bytes(direction):
    """As they do on the hot path, and not where another run is open or they do not fit."""
    outgoing = direction.outgoing
    assert outgoing.join_raw("log", b"nothing is open") is None
    receipt = outgoing.offer(TELL, "log", b"1", raw=True)
    budget = outgoing.budget
    assert outgoing.join_raw("log", b"2") is receipt
    assert budget - outgoing.budget == 1 + MESSAGE_BUDGET_BYTES
    assert outgoing.join_raw("other", b"3") is None
    assert outgoing.join_raw("log", bytes(BULK_BYTES)) is None
    outgoing.budget = MESSAGE_BUDGET_BYTES
    assert outgoing.join_raw("log", b"4") is None
    assert outgoing.join_raw("log", b"") is receipt
    outgoing.offer(TELL, "log", b"\xf6")
    assert outgoing.join_raw("log", b"5") is None
    runs = direction.flush()[0].body().runs
    assert unpacked(runs[0][2]) == [b"1", b"2", b""]


def test_encoded_messages_join_the_open_run(direction):
    """While they fit; what does not, and what may be above a limit, has to be offered."""
    outgoing = direction.outgoing
    receipt = outgoing.offer(TELL, "log", b"\x01")
    assert outgoing.join(TELL, "log", b"\x02") is receipt
    assert outgoing.join(TELL, "log", dumps(b"x" * BULK_BYTES)) is None
    assert outgoing.join(TELL, "other", b"\x02") is None
    assert outgoing.join(REPLY, "log", b"\x02") is None
    more = 0
    while outgoing.budget >= 70:
        assert outgoing.join(TELL, "log", b"\x03") is receipt
        more += 1
    assert outgoing.join(TELL, "log", dumps("x" * 10)) is None
    ((kind, subject, bodies),) = direction.flush()[0].body().runs
    assert (kind, subject) == (TELL, "log")
    assert unpacked(bodies) == [1, 2] + [3] * more


def test_who_waits_is_not_overtaken_on_the_hot_path():
    """When a message found no room, the next one of its subject has to ask as well."""
    direction = Direction(window=WINDOW)
    outgoing = direction.outgoing
    assert direction.tell("log", bytes(5_000))
    assert outgoing.offer(TELL, "log", bytes(WINDOW), raw=True) is None
    assert outgoing.raw_subject is None
    assert outgoing.open_runs
    assert outgoing.offer(TELL, "log", b"y", raw=True) is not None
    assert outgoing.raw_subject == "log"
    assert outgoing.offer(TELL, "log", b"\xf6") is not None
    assert outgoing.offer(TELL, "log", bytes(WINDOW)) is None
    assert outgoing.packed_subject is None
