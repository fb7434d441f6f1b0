"""What the tests of the handshake share: randomness from a seed, and both sides of an exchange."""

import hashlib
from collections.abc import Callable

import pytest

from exchanges import ALICE, BOB, MESH, PSK, run
from handshake.authentication import Initiator, Responder


class SeededBytes:
    """Random bytes that are the same in every run; `asked` counts how often they were drawn."""

    def __init__(self, seed: str) -> None:
        self._seed = seed
        self.asked = 0

    def __call__(self, length: int) -> bytes:
        self.asked += 1
        return hashlib.shake_256(f"{self._seed} {self.asked}".encode()).digest(length)


@pytest.fixture
def seeded() -> Callable[[str], SeededBytes]:
    """Make a source of random bytes from a seed."""
    return SeededBytes


@pytest.fixture
def random_bytes() -> SeededBytes:
    """A source of random bytes for tests that need one."""
    return SeededBytes("handshake")


@pytest.fixture
def side(seeded):
    """Make a side; keywords replace what it would be given."""
    made = []

    def make(kind, who, **changes):
        made.append(who)
        given = {
            "mesh_id": MESH,
            "psk": PSK,
            "prologue": b"prologue",
            "session_id": 1000 + len(made),
            "random_bytes": seeded(f"side {len(made)}"),
        }
        return kind(who, **(given | changes))

    return make


@pytest.fixture
def established(side):
    """Both results of an exchange between alice (initiator) and bob."""
    initiator, responder = side(Initiator, ALICE), side(Responder, BOB)
    run(initiator, responder)
    return initiator.established, responder.established
