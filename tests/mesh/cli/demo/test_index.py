"""The index adds up, compares rounds and answers queries."""

import pytest


@pytest.fixture
async def index(company):
    """An index that is connected to nobody."""
    return await company("index", "index")


def counts(file, words, *, number=1, last=True):
    """One message of counts."""
    return {"round": number, "file": file, "counts": words, "last": last}


async def test_counts_add_up_when_the_round_is_closed(index):
    """Parts and files add up; only whole files are counted as such."""
    await index.on_counts(counts(1, {"a": 1, "b": 2}, last=False))
    await index.on_counts(counts(1, {"c": 1}))
    await index.on_counts(counts(2, {"a": 4}))
    assert await index.how_often("a") == 0
    assert await index.close_round(1) == {"files": 2, "words": 8, "distinct": 3, "same": True}
    assert [await index.how_often(word) for word in "abcd"] == [5, 2, 1, 0]
    assert await index.top(2) == [("a", 5), ("b", 2)]


async def test_a_later_round_must_come_out_the_same(index):
    """The same counts are the same; another count or a round without any is not."""
    for number, words in ((1, {"a": 1}), (2, {"a": 1}), (3, {"a": 2})):
        await index.on_counts(counts(1, words, number=number))
    assert [(await index.close_round(number))["same"] for number in (1, 2, 3, 4)] == [
        True,
        True,
        False,
        False,
    ]


async def test_the_table_comes_page_by_page(index):
    """Pages in the order of letters, each following the last word of the one before."""
    words = {f"{'w' * 400}{number:03}": number + 1 for number in range(500)}
    await index.on_counts(counts(1, words))
    await index.close_round(1)
    first = await index.table("")
    assert 100 < len(first) < 500
    seen = dict(first)
    while page := await index.table(max(seen)):
        seen.update(page)
    assert seen == words


async def test_the_workers_are_asked_where_a_word_is(company, dial):
    """Numbers of files come from all workers, sorted; others are not asked."""
    index, asker = await company("index", "index"), await company("asker", "asker")
    await dial(asker, index)
    for number, (name, file) in enumerate((("worker-1", 7), ("worker-2", 3))):
        worker = await company("worker", name)
        await dial(worker, index)
        await dial(asker, worker)
        message = {"round": 1, "file": file, "piece": 0, "data": b"fox", "last": True}
        await (await asker.node.send(name, "piece", message)).handled()
        assert await asker.node.call("index", "files_with", "fox") == [[7], [3, 7]][number]
