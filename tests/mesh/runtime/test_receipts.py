"""Receipts: what `send` returns says how the message fares, whoever asks and whenever."""

import asyncio

import pytest

from mailboxes import turns
from mesh.errors import DeliveryFailed, PeerRestarted
from mesh.runtime.receipts import Receipt, Standing

pytestmark = pytest.mark.usefixtures("quiet_loop")


async def test_delivered_returns_at_once_when_it_is():
    """What has come far enough already is not waited for."""
    receipt = Receipt()
    receipt.advance(Standing.HANDLED)
    await receipt.delivered()
    await receipt.handled()


async def test_each_waiter_goes_on_at_its_own_standing():
    """Several wait for different things, and each is told of its own."""
    receipt = Receipt()
    delivered = [asyncio.create_task(receipt.delivered()) for _ in range(2)]
    handled = asyncio.create_task(receipt.handled())
    await turns()
    receipt.advance(Standing.DELIVERED)
    await asyncio.gather(*delivered)
    assert not handled.done()
    receipt.advance(Standing.HANDLED)
    await handled


async def test_the_standing_never_comes_back():
    """Handled is handled, though the news of the delivery come after it."""
    receipt = Receipt()
    receipt.advance(Standing.HANDLED)
    receipt.advance(Standing.DELIVERED)
    assert receipt.standing is Standing.HANDLED


async def test_handled_first_wakes_those_who_wait_for_delivered():
    """One step may skip another."""
    receipt = Receipt()
    waiting = asyncio.create_task(receipt.delivered())
    await turns()
    receipt.advance(Standing.HANDLED)
    await waiting


async def test_a_failure_is_told_to_everybody_who_waits():
    """Several waiters get the error, and `fail` says that somebody did."""
    receipt = Receipt()
    waiting = [asyncio.create_task(receipt.delivered()), asyncio.create_task(receipt.handled())]
    await turns()
    assert receipt.fail(PeerRestarted("bob is gone", "not_delivered"))
    for task in waiting:
        with pytest.raises(PeerRestarted) as raised:
            await task
        assert raised.value.outcome == "not_delivered"


async def test_a_failure_without_anybody_waiting_says_so():
    """`fail` says that nobody was told; whoever asks later is, each time."""
    receipt = Receipt()
    assert not receipt.fail(DeliveryFailed("gone"))
    for _ in range(2):
        with pytest.raises(DeliveryFailed):
            await receipt.delivered()


async def test_an_error_that_is_raised_again_keeps_no_old_traceback():
    """Asking a failed receipt a thousand times costs no memory."""
    receipt = Receipt()
    receipt.fail(DeliveryFailed("gone"))
    depths = []
    for _ in range(3):
        with pytest.raises(DeliveryFailed) as raised:
            await receipt.handled()
        depths.append(len(raised.traceback))
    assert len(set(depths)) == 1


async def test_what_was_delivered_stays_delivered_when_its_handling_fails():
    """The peer had the message; that its handler's end is unknown does not change that."""
    receipt = Receipt()
    receipt.advance(Standing.DELIVERED)
    receipt.fail(PeerRestarted("gone", "unknown"))
    await receipt.delivered()
    with pytest.raises(PeerRestarted):
        await receipt.handled()
    receipt.advance(Standing.HANDLED)
    assert receipt.standing is Standing.DELIVERED


async def test_what_was_handled_cannot_fail():
    """Nor is anything told twice."""
    receipt = Receipt()
    receipt.advance(Standing.HANDLED)
    assert not receipt.fail(DeliveryFailed("too late"))
    assert receipt.error is None
    await receipt.handled()


async def test_the_first_failure_counts():
    """A second one changes nothing."""
    receipt = Receipt()
    first = DeliveryFailed("first")
    receipt.fail(first)
    receipt.fail(DeliveryFailed("second"))
    assert receipt.error is first


async def test_a_cancelled_waiter_leaves_nothing_behind():
    """Asking with a timeout again and again does not make a receipt grow."""
    receipt = Receipt()
    other = asyncio.create_task(receipt.delivered())
    for _ in range(100):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0):
                await receipt.handled()
    assert receipt._waiters is not None
    assert len(receipt._waiters) == 1
    receipt.advance(Standing.DELIVERED)
    await other


async def test_a_waiter_cancelled_as_it_is_told_is_cancelled():
    """Neither the cancellation nor the result of others is lost."""
    receipt = Receipt()
    cancelled = asyncio.create_task(receipt.delivered())
    other = asyncio.create_task(receipt.delivered())
    await turns()
    receipt.fail(DeliveryFailed("gone"))
    cancelled.cancel()
    with pytest.raises(asyncio.CancelledError):
        await cancelled
    with pytest.raises(DeliveryFailed):
        await other


def test_a_receipt_that_has_ended_may_be_asked_in_any_loop():
    """A program that ran one loop after another still learns how a message ended."""
    handled, failed = Receipt(), Receipt()
    handled.advance(Standing.HANDLED)
    failed.fail(DeliveryFailed("gone"))

    async def ask() -> None:
        await handled.handled()
        with pytest.raises(DeliveryFailed):
            await failed.delivered()

    asyncio.run(ask())
    asyncio.run(ask())


def test_a_receipt_shows_how_it_stands():
    """Its text says how far it came, and whether it failed."""
    receipt = Receipt()
    assert repr(receipt) == "<Receipt queued>"
    receipt.advance(Standing.DELIVERED)
    receipt.fail(DeliveryFailed("gone"))
    assert repr(receipt) == "<Receipt delivered, failed>"
