"""A gigabyte between small messages: nothing waits for it but its own subject."""

import hashlib

import pytest

from benchmarks.peers import Peer
from benchmarks.process import Process
from gigabyte_sides import SMALL_AFTER, SMALL_BEFORE, SMALL_BESIDE

GIB, MIB = 1 << 30, 1 << 20
# What a process may hold beside the one body: frames under way, buffers, the allocator's slack.
BESIDE_BYTES = 256 * MIB
SIDES = Peer("noisemesh", "gigabyte_sides", "Teller", "Listener", "two processes")


@pytest.fixture
def sides():
    """Both processes, connected; they end with the test."""
    teller, listener = [Process(SIDES, side, uvloop=False) for side in ("sender", "receiver")]
    try:
        for side in (teller, listener):
            side.ask("open")
        teller_id, _ = teller.ask("open_node", {"max_message_bytes": GIB})
        listener_id, endpoint = listener.ask("open_node", {"max_message_bytes": GIB})
        listener.ask("listen")
        listener.ask("allow", teller_id)
        teller.ask("allow", listener_id)
        teller.ask("connect", endpoint)
        yield teller, listener
    finally:
        teller.end()
        listener.end()


def small(numbers):
    """What their handler is to see of these."""
    bodies = [b"%d" % number for number in numbers]
    return [(len(body), hashlib.sha256(body).hexdigest()) for body in bodies]


@pytest.mark.slow
def test_a_gigabyte_holds_up_nothing_but_its_own_subject(sides):
    """Another subject goes on meanwhile, its own one behind it; once, in order, unchanged.

    Neither process ever holds the body twice.
    """
    teller, listener = sides
    teller.seconds = listener.seconds = 100.0
    digest = teller.ask("make", GIB)
    before = teller.ask("peak_bytes"), listener.ask("peak_bytes")
    assert teller.ask("tell") == SMALL_BESIDE
    after = teller.ask("peak_bytes"), listener.ask("peak_bytes")
    words = listener.ask("story")
    heard = {each: [(size, of) for on, size, of in words if on == each] for each in ("x", "y")}
    ahead = small(range(SMALL_BEFORE))
    behind = small(range(SMALL_BEFORE, SMALL_BEFORE + SMALL_AFTER))
    assert heard["x"] == [*ahead, (GIB, digest), *behind]
    assert heard["y"] == small(range(SMALL_BESIDE))
    assert after[0] - before[0] <= BESIDE_BYTES
    assert after[1] - before[1] <= GIB + BESIDE_BYTES
