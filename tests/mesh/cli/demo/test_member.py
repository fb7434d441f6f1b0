"""A member obeys orders, tells what it does, and ends with its orders."""

import asyncio
import json

import pytest

from mesh.cli.demo.member import Member


class Told(list):
    """What a member told; `until` waits for a line that holds these entries."""

    def __init__(self):
        super().__init__()
        self._news = asyncio.Event()

    def __call__(self, line):
        self.append(json.loads(json.dumps(line)))
        self._news.set()

    async def until(self, **entries):
        while True:
            for line in self:
                if entries.items() <= line.items():
                    return line
            self._news.clear()
            await asyncio.wait_for(self._news.wait(), 20)


class Life:
    """A member alive: its orders and what it told."""

    def __init__(self, name, home):
        self.orders = asyncio.StreamReader()
        self.told = Told()
        self.member = Member(name, home, self.told, rekey_after_seconds=0.5)
        self.task = asyncio.create_task(self.member.live(self.orders))

    def order(self, **order):
        self.orders.feed_data(json.dumps(order).encode() + b"\n")

    async def end(self):
        self.orders.feed_eof()
        await asyncio.wait_for(self.task, 20)


@pytest.fixture
async def alive(tmp_path):
    """Makes members that live; all end with the test."""
    lives = []

    def begin(name):
        lives.append(Life(name, tmp_path / name))
        return lives[-1]

    yield begin
    await asyncio.gather(*(life.end() for life in lives if not life.task.done()))


async def meet(one, other):
    """Introduce two lives: each trusts the other, one dials. What each saw."""
    first, second = [await life.told.until(news="ready") for life in (one, other)]
    one.order(do="trust", order=1, id=second["id"], name=other.member.node.name)
    other.order(do="trust", order=1, id=first["id"], name=one.member.node.name)
    await one.told.until(order=1)
    await other.told.until(order=1)
    one.order(do="dial", order=2, endpoint=second["endpoint"], id=second["id"])
    other.order(do="wait_for", order=2, id=first["id"])
    return [(await life.told.until(order=2))["result"] for life in (one, other)]


async def test_it_says_who_it_is_and_stops_when_told(alive, tmp_path):
    """A key is made in the given home, its id and endpoint are told, `stop` ends it in order."""
    life = alive("ada")
    ready = await life.told.until(news="ready")
    assert len(ready["id"]) == 56
    assert ready["endpoint"].startswith("tcp://127.0.0.1:")
    assert (tmp_path / "ada" / "identity.toml").exists()
    life.order(do="stop")
    await asyncio.wait_for(life.task, 20)
    assert life.told[-1] == {"news": "stopped"}


async def test_the_end_of_its_orders_ends_it(alive):
    """A member whose conductor died does not live on."""
    life = alive("ada")
    await life.told.until(news="ready")
    await life.end()
    assert life.told[-1] == {"news": "stopped"}


async def test_two_prove_themselves_to_each_other(alive):
    """Both ends see the other's id, one suite and the first generation."""
    one, other = alive("one"), alive("other")
    out, back = await meet(one, other)
    assert out["id"] == str(other.member.node.id)
    assert back["id"] == str(one.member.node.id)
    assert out["suite"] == back["suite"] in ("AESGCM", "ChaChaPoly")
    assert out["generation"] >= 1
    assert back["generation"] >= 1


async def test_fresh_keys_are_told_by_the_one_who_dialled(alive):
    """Each renewal of a link is told, with its generation."""
    one, other = alive("one"), alive("other")
    await meet(one, other)
    line = await one.told.until(news="rekeyed", peer="other")
    assert line["generation"] >= 2
    one.order(do="report", order=3)
    report = (await one.told.until(order=3))["result"]
    assert report["counters"]["sessions.renewed"] >= 1
    assert not any(line.get("news") == "rekeyed" for line in other.told)


async def test_an_order_that_fails_is_answered(alive):
    """The answer names the error; the member lives on."""
    life = alive("ada")
    ready = await life.told.until(news="ready")
    life.order(do="trust", order=1, id="nonsense", name="eve")
    assert (await life.told.until(order=1))["error"].startswith("InvalidConfiguration: ")
    life.order(do="fly", order=2)
    assert (await life.told.until(order=2))["error"].startswith("KeyError")
    life.order(do="report", order=3)
    assert (await life.told.until(order=3))["result"]["counters"] == {}
    assert life.member.link(life.member.node.id) == {
        "id": ready["id"],
        "generation": 0,
        "suite": "none",
    }
    assert life.member.generation("nobody") == 0
