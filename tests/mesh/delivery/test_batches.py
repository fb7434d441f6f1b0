"""What is kept of a batch: the bytes it was given, and runs as the peer reads them."""

import pytest

from deliveries import frame_of
from mesh.constants import SUBJECT_MAX_BYTES
from mesh.delivery.batches import Batch, OpenRun, fits_beside_calls, holds_tells, run_charge
from mesh.errors import InvalidMessage
from mesh.limits import BESIDE_CALLS_BYTES
from mesh.wire.cbor import dumps
from mesh.wire.messages import REPLY, TELL, encode_run, unpacked


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


@pytest.mark.parametrize("subject", ["", "log", "état", "x" * SUBJECT_MAX_BYTES])
@pytest.mark.parametrize("raw", [True, False])
def test_a_run_never_costs_more_than_it_is_charged(subject, raw):
    """Beside its messages, each of which is charged for its own head."""
    run = OpenRun(TELL, subject, raw, None)
    run.bodies += [b"\xf6"] * 4000
    assert len(run.encode()) - 4000 - 4000 * raw <= run_charge(subject)


@pytest.mark.parametrize("bad", ["x" * (SUBJECT_MAX_BYTES + 1), "\xff" * 128, "half \ud800"])
def test_a_subject_that_cannot_be_carried_is_refused(bad):
    """In bytes, not in characters."""
    with pytest.raises(InvalidMessage):
        run_charge(bad)


def test_bodies_beside_the_array_are_no_part_of_the_run():
    """What is encoded are their lengths."""
    run = OpenRun(TELL, "log", False, [b"one", b""])
    run.bodies += [dumps(3), dumps(0)]
    body = frame_of(Batch(1, run.encode(), 1, b"".join(run.beside), 0, object())).body()
    ((_, _, items),) = body.runs
    assert unpacked(items) == [b"one", b""]


@pytest.mark.parametrize(
    ("tells", "others", "opened", "charge", "fits"),
    [
        ([], [5 * BESIDE_CALLS_BYTES] * 9, None, 5 * BESIDE_CALLS_BYTES, True),
        ([5 * BESIDE_CALLS_BYTES], [], None, 5 * BESIDE_CALLS_BYTES, True),
        ([10, 10], [], None, BESIDE_CALLS_BYTES - 20, True),
        ([10, 10], [], None, BESIDE_CALLS_BYTES - 19, False),
        ([10], [BESIDE_CALLS_BYTES], 10, BESIDE_CALLS_BYTES - 20, True),
        ([10], [], 10, BESIDE_CALLS_BYTES - 19, False),
    ],
)
def test_what_is_under_way_beside_calls_is_counted_by_direct_messages(
    tells, others, opened, charge, fits
):
    """Two of any size, or so many bytes; of other batches as many as there may be."""
    batches = []
    for told, sizes in ((True, tells), (False, others)):
        for size in sizes:
            batch = Batch(len(batches) + 1, b"", 1, memoryview(bytes(size)), 0, None)
            batch.tells = told
            batches.append(batch)
    assert fits_beside_calls(batches, opened, charge) is fits
    runs = [OpenRun(REPLY, "", False, None), OpenRun(TELL, "log", True, None)]
    assert [holds_tells(runs[:1]), holds_tells(runs)] == [False, True]
