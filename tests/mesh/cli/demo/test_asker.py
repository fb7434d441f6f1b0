"""Those who ask: one is answered, one is refused."""

import pytest

from mesh.cli.demo.asker import Asker


@pytest.fixture
async def pair(company, dial):
    """An asker connected with an index that knows four hundred long words."""
    asker, index = await company("asker", "asker"), await company("index", "index")
    await dial(asker, index)
    words = {f"{'w' * 400}{number:03}": number + 1 for number in range(400)}
    await index.on_counts({"round": 1, "file": 0, "counts": words, "last": True})
    await index.close_round(1)
    return asker, index, words


async def test_a_query_is_answered(pair):
    """The answer of the index comes back as it was given."""
    asker, _, words = pair
    for word in (min(words), "absent"):
        assert await asker.ask("how_often", word) == {"answer": words.get(word, 0)}


async def test_the_whole_table_is_fetched(pair):
    """All pages make the whole result."""
    asker, _, words = pair
    assert await asker.table() == {"counts": words}


async def test_a_stranger_is_refused(pair, tmp_path):
    """One whom nobody trusts learns that it is refused, whom it may trust itself."""
    _, index, _ = pair
    stranger = Asker("stranger", tmp_path / "stranger", [].append, rekey_after_seconds=1.0)
    async with stranger.node:
        await stranger.trust(str(index.node.id), "index")
        outcome = await stranger.knock(index.node.endpoints[0], str(index.node.id))
    assert outcome["refused"] == "NotTrusted"


async def test_one_who_is_let_in_says_so(pair):
    """Knocking where one is trusted is not refused."""
    asker, index, _ = pair
    outcome = await asker.knock(index.node.endpoints[0], str(index.node.id))
    assert outcome == {"refused": "", "text": "let in"}
