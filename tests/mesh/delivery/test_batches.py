"""What is kept of a batch: the bytes it was given, and runs as the peer reads them."""

import pytest

from deliveries import frame_of
from mesh.delivery.batches import Batch, OpenRun
from mesh.wire.cbor import dumps
from mesh.wire.messages import TELL, encode_run, unpacked


@pytest.mark.parametrize("bulk", [None, b"", b"beside", memoryview(b"a view")[2:]])
def test_what_is_kept_of_a_batch_is_its_runs_and_its_bulk(bulk):
    """Both count, to the byte; a batch that never left has no time."""
    batch = Batch(1, b"runs", 1, bulk, 100, object())
    assert batch.size == len(b"runs") + len(bulk or b"")
    assert (batch.sent_at, batch.attempts, batch.chunk) == (None, 0, False)


def test_a_batch_of_a_chunk_says_so():
    """It is told from others when it is acknowledged; nobody need wait for a receipt of it."""
    batch = Batch(1, b"runs", 1, memoryview(b"chunk"), 0, None, chunk=True)
    assert (batch.chunk, batch.receipt) == (True, None)


@pytest.mark.parametrize(
    ("raw", "bodies", "arrive"),
    [(True, [b"1", b"", b"3"], [b"1", b"", b"3"]), (False, [dumps(1), dumps("x")], [1, "x"])],
)
def test_an_open_run_is_what_arrives(raw, bodies, arrive):
    """Bodies that are byte strings and encoded ones, in the order in which they joined."""
    run = OpenRun(TELL, "log", raw, None)
    run.bodies += bodies
    body = frame_of(Batch(1, run.encode(), 1, None, 0, object())).body()
    ((kind, subject, items),) = body.runs
    assert (kind, subject, unpacked(items)) == (TELL, "log", arrive)


def test_a_raw_run_is_not_packed():
    """It is encoded in one pass, without a copy of each body."""
    run = OpenRun(TELL, "log", True, None)
    run.bodies.append(b"x")
    assert run.encode() == encode_run(TELL, "log", [b"x"])
