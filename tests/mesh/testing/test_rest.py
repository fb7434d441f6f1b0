"""A world at rest: whatever heals, hurries or forgets is found."""

import pytest

from mesh.constants import ANSWER_TIMEOUT_SECONDS
from mesh.engine.renewal import Renewal
from mesh.testing.clock import Violation
from mesh.testing.pairs import Pair
from mesh.testing.rest import Rest


def rest_of(stage):
    return Rest(stage.world, [Pair(stage.process("ann"), stage.process("bob"))])


@pytest.mark.parametrize("rekey_after", [1.0, 120.0])
def test_a_healthy_world_is_at_rest(stage, rekey_after):
    """Whether keys are renewed meanwhile or not."""
    rest_of(stage(rekey_after=rekey_after).meet()).judge()


def test_a_renewal_that_never_completes_is_found(stage, monkeypatch):
    """By its time, even where no handshake has healed it yet."""
    monkeypatch.setattr(Renewal, "on_message_2", lambda *_: None)
    with pytest.raises(Violation, match=r"keys are renewed in time|healed"):
        rest_of(stage(rekey_after=5.0).meet()).judge()


def test_healing_is_found(met):
    """Something is sent again, though nothing was lost."""
    met.world.timeline.after(
        6.0, lambda: met.process("ann").engine.counters.update(["sent.batches_again"])
    )
    with pytest.raises(Violation, match=r"1 sent\.batches_again"):
        rest_of(met).judge()


def test_too_many_frames_are_found(met):
    """A loop of pings is no rest."""
    ann, bob = met.process("ann"), met.world.identities["bob"].id

    def ping():
        ann.do(lambda: ann.engine.ping(bob, ann.now()) and None)
        met.world.timeline.after(0.05, ping)

    met.world.timeline.after(5.0, ping)
    with pytest.raises(Violation, match="little is sent"):
        rest_of(met).judge()


def test_credit_that_does_not_return_is_found(met):
    """A single byte; and a delivery that is not there."""
    met.association("bob", "ann").delivery.incoming._accepted += 1
    with pytest.raises(Violation, match="all credit returns"):
        rest_of(met).judge()
    met.association("bob", "ann").delivery.incoming._accepted -= 1
    met.association("bob", "ann").delivery.outgoing.credit._used[3] += 1
    with pytest.raises(Violation, match="all credit returns"):
        rest_of(met).judge()
    met.association("bob", "ann").delivery.outgoing.credit._used[3] -= 1
    met.association("bob", "ann").delivery.incoming.assembly._granted_bytes += 1
    with pytest.raises(Violation, match="room for large messages returns"):
        rest_of(met).judge()
    met.association("bob", "ann").delivery = None
    with pytest.raises(Violation, match="stays together"):
        rest_of(met).judge()


def test_every_second_world_rests_for_longer_than_an_answer_is_waited_for(stage):
    """There what heals itself after a long while is found as well."""
    for seed, waits in ((2, True), (3, False)):
        each = stage(seed=seed).meet()
        began = each.world.timeline.now
        rest_of(each).judge()
        assert (each.world.timeline.now - began > ANSWER_TIMEOUT_SECONDS + 4.0) is waits


def test_who_falls_apart_is_found(met):
    """Though nothing else is wrong."""
    met.world.timeline.after(
        7.0, lambda: setattr(met.association("ann", "bob").routes, "best", None)
    )
    with pytest.raises(Violation, match="stays together"):
        rest_of(met).judge()
