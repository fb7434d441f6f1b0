"""A worker counts what arrives in order, passes its counts on and answers where a word is."""

import pytest

from mesh import CallFailed


@pytest.fixture
async def trio(company, dial):
    """A sender, a worker and an index, connected."""
    sender, worker, index = [
        await company(role, name)
        for role, name in (("asker", "sender"), ("worker", "worker-1"), ("index", "index"))
    ]
    await dial(sender, worker)
    await dial(worker, index)
    return sender.node, worker, index


def piece(file, number, data, *, last=False):
    """One piece of a file, in round 1."""
    return {"round": 1, "file": file, "piece": number, "data": data, "last": last}


async def test_a_file_in_pieces_is_counted_and_passed_on(trio, patiently):
    """Words cut by a piece's end are whole; the index has them when `finish` answers."""
    sender, _, index = trio
    for message in (piece(7, 0, b"one tw"), piece(7, 1, b"o two"), piece(7, 2, b"", last=True)):
        receipt = await sender.send("worker-1", "piece", message)
    await patiently(receipt.handled())
    tally = await sender.call("worker-1", "finish", None)
    assert (tally["pieces"], tally["bytes"], tally["files"], tally["unfinished"]) == (3, 11, 1, 0)
    assert tally["generation"] >= tally["first_generation"] >= 1
    assert (await index.close_round(1))["words"] == 3
    assert await index.how_often("two") == 2


async def test_it_knows_where_a_word_is(trio, patiently):
    """Numbers of files that hold a word; none for one that is nowhere."""
    sender, _, _ = trio
    for number, data in ((1, b"fox and dog"), (2, b"dog")):
        receipt = await sender.send("worker-1", "piece", piece(number, 0, data, last=True))
    await patiently(receipt.handled())
    assert await sender.call("worker-1", "where", "dog") == [1, 2]
    assert await sender.call("worker-1", "where", "fox") == [1]
    assert await sender.call("worker-1", "where", "cat") == []


async def test_a_large_file_is_passed_on_in_parts(trio, patiently):
    """More words than one message carries arrive all the same, as one file."""
    sender, _, index = trio
    data = " ".join(f"word_number_{number}" for number in range(4000)).encode()
    receipt = await sender.send("worker-1", "piece", piece(1, 0, data, last=True))
    await patiently(receipt.handled())
    await sender.call("worker-1", "finish", None)
    closed = await index.close_round(1)
    assert (closed["files"], closed["distinct"]) == (1, 4000)


async def test_a_piece_out_of_order_is_refused(trio, patiently):
    """A piece that is not the next one of its file fails loudly and counts for nothing."""
    sender, worker, _ = trio
    receipt = await sender.send("worker-1", "piece", piece(1, 1, b"late", last=True))
    await patiently(receipt.handled())
    assert worker.node.counters()["handlers.raised"] == 1
    assert (await sender.call("worker-1", "finish", None))["pieces"] == 0


async def test_a_question_that_makes_no_sense_fails_at_the_caller(trio, patiently):
    """A call that the worker cannot answer fails at the caller, and the worker lives on."""
    sender, _, _ = trio
    receipt = await sender.send("worker-1", "piece", piece(1, 0, b"x", last=True))
    await patiently(receipt.handled())
    with pytest.raises(CallFailed):
        await sender.call("worker-1", "where", ["no", "word"])
    assert await sender.call("worker-1", "where", "x") == [1]
