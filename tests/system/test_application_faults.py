"""Mistakes of programs: each has its error or its counter, and the next message is handled."""

import datetime

import pytest

from mesh import CallFailed, InvalidMessage, MessageTooLarge, NoHandler, UnknownPeer
from nodes import Journal, join, undisturbed, until


@pytest.fixture(autouse=True)
async def joined(alice, bob):
    """Alice and Bob are connected."""
    await join(alice, bob)


async def test_a_message_over_the_limit_is_refused_before_it_is_sent(start_node, alice, carol):
    """Too large for the smaller of both limits: nothing leaves, and smaller ones go on."""
    limit = 2 * 1024 * 1024
    small = await start_node("small", max_message_bytes=limit)
    journal = Journal(small)
    await join(alice, small)
    async with undisturbed(carol, small):
        for send in (alice.send, alice.call):
            with pytest.raises(MessageTooLarge, match=str(limit)):
                await send("small", "log", bytes(limit + 1))
        with pytest.raises(MessageTooLarge):
            alice.post("small", "log", ["x" * limit])
        await (await alice.send("small", "log", bytes(limit))).handled()
    assert [len(body) for body in journal.bodies] == [limit]
    assert alice.counters()["sessions.established"] == 2


@pytest.mark.parametrize(
    "body",
    [datetime.datetime(2020, 1, 1), {1, 2}, {1: 2}, object(), 1 << 70, "\ud800"],
    ids=["datetime", "set", "int key", "object", "large int", "surrogate"],
)
async def test_a_value_that_cannot_be_carried_is_refused(alice, bob, carol, journal, body):
    """What CBOR could not give back equal raises where it is sent, and nothing leaves."""
    async with undisturbed(carol, bob):
        for send in (alice.send, alice.call):
            with pytest.raises(InvalidMessage):
                await send("bob", "log", body)
        await (await alice.send("bob", "log", "fine")).handled()
    assert journal.bodies == ["fine"]


async def test_a_call_nobody_serves_says_so(alice, bob, carol):
    """The caller gets NoHandler, with the subject in its text."""
    async with undisturbed(carol, bob):
        with pytest.raises(NoHandler, match="nonsense"):
            await alice.call("bob", "nonsense", 1)
    assert await alice.call("bob", "echo", 1) == 1


async def test_a_message_nobody_handles_is_counted(alice, bob, carol, journal):
    """It counts as handled, so that nobody waits for it, and is counted as dropped."""
    async with undisturbed(carol, bob):
        await (await alice.send("bob", "nonsense", 1)).handled()
        await (await alice.send("bob", "log", 2)).handled()
    assert bob.counters()["dropped.no_handler"] == 1
    assert journal.bodies == [2]


async def test_a_handler_that_raises_on_a_call_fails_that_call(alice, bob, carol):
    """The caller gets type and text of the error, and no line of the far side's program."""

    @bob.serve("divide")
    async def divide(body):
        return body[0] / body[1]

    async with undisturbed(carol, bob):
        with pytest.raises(CallFailed) as caught:
            await alice.call("bob", "divide", [1, 0])
        assert await alice.call("bob", "divide", [6, 3]) == 2
    assert (caught.value.kind, caught.value.text) == ("ZeroDivisionError", "division by zero")
    assert "Traceback" not in str(caught.value)
    assert ".py" not in str(caught.value)
    assert bob.counters()["handlers.raised"] == 1


async def test_a_handler_that_raises_on_a_message_is_counted(alice, bob, carol):
    """The messages after it are handled, in order."""
    handled = []

    @bob.on("picky")
    async def picky(body):
        if body % 3 == 0:
            raise ValueError(body)
        handled.append(body)

    async with undisturbed(carol, bob):
        for number in range(10):
            receipt = await alice.send("bob", "picky", number)
        await receipt.handled()
    await until(lambda: len(handled) == 6)
    assert handled == [1, 2, 4, 5, 7, 8]
    assert bob.counters()["handlers.raised"] == 4


async def test_a_reply_that_cannot_be_carried_fails_the_call(alice, bob, carol):
    """The caller learns that the far side answered with something that cannot travel."""

    @bob.serve("now")
    async def now(body):
        return datetime.datetime(2020, 1, 1)

    async with undisturbed(carol, bob):
        with pytest.raises(CallFailed, match="cannot be carried"):
            await alice.call("bob", "now")
    assert await alice.call("bob", "echo", 1) == 1


@pytest.mark.parametrize("subject", ["", "x" * 256, 7])
async def test_an_impossible_subject_is_refused(alice, subject):
    """A subject is 1 to 255 bytes of text."""
    for send in (alice.send, alice.call):
        with pytest.raises(InvalidMessage):
            await send("bob", subject, 1)


async def test_nobody_of_that_name_is_an_error(alice):
    """A petname that nobody bears, or something that names nobody."""
    for peer in ("zoe", b"bob", 7):
        with pytest.raises(UnknownPeer):
            await alice.send(peer, "log", 1)
