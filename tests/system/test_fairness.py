"""The program's own loop stays alive beside a node that works hard.

Time is what this thread had of the processor: how much others take of it is no fault of the node.
"""

from itertools import pairwise

from nodes import Journal, Ticker, join, numbered


def check_ticks(ticker, frames):
    """No gap is as long as a fifth of it all, and a quarter of the ticks come that fit.

    One fits into each period, and beside a frame, if that takes longer (a tracer may be at work);
    a turn of the loop may hold two frames, as both nodes live in it.
    """
    worked = ticker.worked[-1] - ticker.worked[0]
    gaps = [later - earlier for earlier, later in pairwise(ticker.worked)]
    assert len(gaps) >= min(worked / ticker.seconds, frames) / 4
    assert max(gaps) < worked / 5


async def test_a_tight_send_loop_leaves_time_to_others(start_node):
    """A 10 ms ticker ticks at least a quarter of its times beside 300,000 sends in a row.

    The windows take all of them, so that no want of room makes the sender wait.
    """
    alice, bob = [await start_node(name, window_bytes=1 << 26) for name in ("alice", "bob")]
    journal = Journal(bob)
    await join(alice, bob)
    bodies = numbered(100_000)
    ticker = Ticker(0.01)
    await ticker.next()
    for _ in range(3):
        for body in bodies:
            receipt = await alice.send("bob", "log", body)
    await receipt.handled()
    await ticker.next()
    ticker.stop()
    check_ticks(ticker, bob.counters()["received.frames"])
    assert len(journal.bodies) == 300_000


async def test_large_bodies_leave_time_to_others(alice, bob):
    """The same beside 200 bodies of 1 MiB."""
    journal = Journal(bob)
    await join(alice, bob)
    body = bytes(1 << 20)
    ticker = Ticker(0.01)
    await ticker.next()
    for _ in range(200):
        receipt = await alice.send("bob", "log", body)
    await receipt.handled()
    await ticker.next()
    ticker.stop()
    check_ticks(ticker, bob.counters()["received.frames"])
    assert len(journal.bodies) == 200
