"""What the tests of the engine share: worlds of two nodes, and eyes that see sealed frames."""

import pytest

from handshake.identity import Identity
from mesh.counters import Counters
from mesh.engine import events
from mesh.engine.context import Context
from mesh.engine.sending import Sending
from mesh.engine.settings import Settings
from mesh.model import Now
from mesh.testing.network import World
from mesh.trust.policy import Policy


class Pair:
    """Alice, who dialled, and bob, in a world of their own."""

    def __init__(self, seed=1, *, latency=0.001, trust=True, alice=None, bob=None, **settings):
        self.world = World(seed, latency=latency)
        self.alice = self.world.node("alice", **(settings | (alice or {})))
        self.bob = self.world.node("bob", **(settings | (bob or {})))
        self.route = None
        if trust:
            self.world.trust_each_other()

    def meet(self):
        """Alice dials, and both are connected."""
        self.route = self.world.dial(self.alice, self.bob)
        assert self.world.run(10, until=self.connected)
        self.world.run(0.2)
        return self

    def connected(self):
        return bool(self.alice.saw(events.PeerConnected) and self.bob.saw(events.PeerConnected))

    @property
    def to_bob(self):
        """What alice has with bob."""
        return self.alice.engine.association(self.bob.id)

    @property
    def to_alice(self):
        """What bob has with alice."""
        return self.bob.engine.association(self.alice.id)

    def same_session(self):
        """Whether both send on one session."""
        ours, theirs = self.to_bob.sessions.current, self.to_alice.sessions.current
        return bool(ours and theirs) and ours.preference() == theirs.preference()

    def talk(self, count=3):
        """Both send so many messages; gives the bodies."""
        bodies = [b"%d" % number for number in range(count)]
        for body in bodies:
            self.world.send(self.alice, self.bob, "talk", body)
            self.world.send(self.bob, self.alice, "talk", body)
        return bodies

    def counts(self, name):
        """A counter of both nodes."""
        return self.alice.engine.counters[name], self.bob.engine.counters[name]


@pytest.fixture
def pair():
    """Make two nodes that have not met yet."""
    return Pair


@pytest.fixture
def met():
    """Two nodes that have met."""
    return Pair().meet()


def bodies_of(node):
    """What a node's handlers got."""
    return [body for _, _, body in node.messages]


@pytest.fixture
def bodies():
    """What a node's handlers got."""
    return bodies_of


@pytest.fixture
def kinds(monkeypatch):
    """Which control kind a sealed frame carries: filled as frames are sealed."""
    seen = {}
    seal = Sending.seal_control

    def spy(self, session, kind, item=None):
        frame = seal(self, session, kind, item)
        seen[bytes(frame)] = kind
        return frame

    monkeypatch.setattr(Sending, "seal_control", spy)
    return seen


@pytest.fixture
def context():
    """A context of its own, at noon."""
    return Context(
        Identity(b"i" * 32),
        Settings(instance=b"n" * 16),
        Policy(),
        Counters(),
        lambda length: bytes(range(1, length + 1)),
        object,
        now=Now(100.0, 1_000_000.0),
    )
