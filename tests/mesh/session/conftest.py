"""Both ends of a session, made from the result of an exchange that is not run."""

from collections.abc import Callable

import pytest

from handshake.established import Established
from handshake.identity import Identity
from mesh.session.deadlines import Lifetime
from mesh.session.session import Session

ALICE, BOB = Identity(b"a" * 32), Identity(b"b" * 32)


@pytest.fixture
def pair() -> Callable[..., tuple[Session, Session]]:
    """Make alice's (who began) and bob's end; keywords replace what a session would be given."""

    def make(suite: str = "ChaChaPoly", **changes: object) -> tuple[Session, Session]:
        secrets = (b"1" * 32, b"2" * 32)
        ours = Established(True, BOB.id, b"h" * 32, b"s" * 32, b"t" * 32, 11, 22, secrets)
        theirs = Established(False, ALICE.id, b"h" * 32, b"t" * 32, b"s" * 32, 22, 11, secrets)
        given = {
            "suite": suite,
            "peer_instance": b"instance of peer",
            "generation": 1,
            "epoch": 0,
            "lifetime": Lifetime.begin(0.0, rekey_after=120.0, initiator=True, round_trip=0.5),
            "chain_began": 0.0,
        } | changes
        return Session(ours, own_id=ALICE.id, **given), Session(theirs, own_id=BOB.id, **given)

    return make
