"""The program's own loop stays alive beside a node that works hard.

Time is what this thread had of the processor: how much others take of it is no fault of the node.
"""

import time

from nodes import Journal, Ticker, join, numbered


def check_ticks(ticker, worked_seconds):
    """At least a third of the ticks that fit, and no gap as long as half of it all."""
    elapsed = ticker.times[-1] - ticker.times[0]
    assert len(ticker.times) >= worked_seconds / ticker.seconds / 3
    assert ticker.largest_gap < max(0.5, elapsed / 2)


async def test_a_tight_send_loop_leaves_time_to_others(alice, bob):
    """A 10 ms ticker ticks at least a third of its times beside 300,000 sends in a row."""
    journal = Journal(bob)
    await join(alice, bob)
    bodies = numbered(100_000)
    ticker = Ticker(0.01)
    await ticker.next()
    began = time.thread_time()
    for _ in range(3):
        for body in bodies:
            receipt = await alice.send("bob", "log", body)
    await receipt.handled()
    ticker.stop()
    check_ticks(ticker, time.thread_time() - began)
    assert len(journal.bodies) == 300_000


async def test_large_bodies_leave_time_to_others(alice, bob):
    """The same beside 200 bodies of 1 MiB."""
    journal = Journal(bob)
    await join(alice, bob)
    body = bytes(1 << 20)
    ticker = Ticker(0.01)
    await ticker.next()
    began = time.thread_time()
    for _ in range(200):
        receipt = await alice.send("bob", "log", body)
    await receipt.handled()
    ticker.stop()
    check_ticks(ticker, time.thread_time() - began)
    assert len(journal.bodies) == 200
