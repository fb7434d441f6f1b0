"""Presence beside the engine it is told by: after any story, it says what is there."""

from random import Random

import pytest

from mesh.model import Peer
from mesh.runtime.watches import Presences
from mesh.testing.network import World


class Meeting:
    """Alice keeps dialling bob, who is cut off, silenced, restarted and distrusted at random."""

    def __init__(self, seed):
        self.random = Random(seed)
        self.world = World(seed)
        self.alice, self.bob = self.world.node("alice"), self.world.node("bob")
        self.world.trust_each_other()
        self.world.keep(self.alice, "bob")
        self.read = 0
        self.presences = Presences(
            is_allowed=lambda peer_id: bool(self.alice.policy.name_of(peer_id)),
            has_way=self.has_way,
            peer_of=Peer,
        )

    @property
    def there(self):
        """What alice has with bob."""
        return self.alice.engine.association(self.bob.id)

    def has_way(self, _peer_id):
        return self.there is not None and self.there.routes.best is not None

    def expected(self):
        """What the engine itself would say if it were asked."""
        if self.there is None or self.there.delivery is None:
            return None
        silent = self.there.liveness.presence
        cut_off = not self.has_way(None) and silent != "lost"
        return "no connection" if cut_off else silent

    def go_on(self, seconds):
        """Time passes, and what the engine told is read event by event."""
        self.world.run(seconds)
        told, self.read = self.alice.happened[self.read :], len(self.alice.happened)
        for event in told:
            if type(event) in self.presences.reactions:
                self.presences.reactions[type(event)](event)

    def something_happens(self):
        world, random = self.world, self.random
        match random.randrange(5):
            case 0:
                links = [link for link in world.links() if link[1].dialled]
                for node, route in links:
                    world.cut(node, route, notice=random.random() < 0.8)
            case 1:
                world.tamper = lambda *_: []
            case 2:
                world.crash(self.bob)
                self.go_on(random.choice([0.1, 12.0]))
                self.bob = world.node("bob")
                world.keep(self.alice, "bob")
            case 3:
                best = self.there.routes.best if self.there is not None else None
                if best is not None:
                    self.alice.engine.lost(best, world.now)
                    world.collect(self.alice)
            case _:
                world.tamper = lambda _sender, _receiver, frame: [frame]


@pytest.mark.parametrize("seed", range(12))
def test_after_any_story_it_says_what_is_there(seed):
    """Cuts, silence, other runs: what was told piece by piece amounts to what the engine knows."""
    meeting = Meeting(seed)
    compared = set()
    for _ in range(25):
        meeting.something_happens()
        meeting.go_on(meeting.random.choice([0.05, 1.0, 7.0, 13.0]))
        expected = meeting.expected()
        if expected is not None:
            assert meeting.presences.of(meeting.bob.id) == expected
            compared.add(expected)
    assert compared
