"""The reader hands out files until keys were renewed often enough."""

import asyncio
import hashlib

import pytest

from mesh.cli.demo.reader import PIECE_BYTES


@pytest.fixture
async def reader(company, dial):
    """A reader with two workers and an index, connected."""
    members = {
        name: await company(role, name)
        for role, name in (
            ("reader", "reader"),
            ("worker", "worker-1"),
            ("worker", "worker-2"),
            ("index", "index"),
        )
    }
    for worker in ("worker-1", "worker-2"):
        await dial(members["reader"], members[worker])
        await dial(members[worker], members["index"])
    await dial(members["reader"], members["index"])
    return members["reader"]


@pytest.fixture
def shares(tmp_path):
    """Files for two workers: one of three pieces; one of few bytes, and an empty one."""
    contents = {0: b"a b " * (PIECE_BYTES // 2), 1: b"c d", 2: b""}
    for number, content in contents.items():
        (tmp_path / f"{number}.txt").write_bytes(content + b"!" * (number == 0))
    paths = [(number, str(tmp_path / f"{number}.txt")) for number in contents]
    return {"worker-1": paths[:1], "worker-2": paths[1:]}


async def test_every_round_is_handled_and_the_same(reader, shares, patiently):
    """It goes round until every working link was renewed, and reports what it sent."""
    report = await patiently(reader.work(shares, 1, 15.0))
    rounds = report["rounds"]
    assert all(closed["same"] and closed["files"] == 3 for closed in rounds)
    assert report["pieces"] == {"worker-1": 3 * len(rounds), "worker-2": 2 * len(rounds)}
    assert report["bytes"] == {
        "worker-1": (2 * PIECE_BYTES + 1) * len(rounds),
        "worker-2": 3 * len(rounds),
    }
    assert set(report["renewed"]) == {
        "reader-worker-1",
        "reader-worker-2",
        "worker-1-index",
        "worker-2-index",
    }
    assert min(report["renewed"].values()) >= 1
    assert report["digests"][2] == hashlib.sha256(b"").hexdigest()
    told = [line for line in reader.told if line["news"] == "round"]
    assert [line["round"] for line in told] == list(range(1, len(rounds) + 1))


async def test_the_time_is_bounded(reader, shares, patiently):
    """Without the wished-for renewals it stops when the time is over, after a whole round."""
    report = await patiently(reader.work(shares, 1000, 0.0))
    assert len(report["rounds"]) == 1


async def test_a_file_that_is_gone_is_an_error(reader, shares, tmp_path):
    """What cannot be read fails the order."""
    (tmp_path / "1.txt").unlink()
    with pytest.raises(FileNotFoundError):
        await asyncio.wait_for(reader.work(shares, 1, 5.0), 20)


async def test_a_worker_without_files_is_in_order(reader, shares, patiently):
    """A share may be empty: fewer files than workers."""
    report = await patiently(reader.work({**shares, "worker-2": []}, 0, 0.0))
    assert report["pieces"]["worker-2"] == 0
    assert report["rounds"][0]["tallies"]["worker-2"]["pieces"] == 0
