"""A dialer among a transport and a pump that only take notes."""

import asyncio
from random import Random

from handshake.identity import Identity
from mesh.engine import events
from mesh.io import endpoints
from mesh.io.notices import Connected, Lost
from mesh.model import Now, Route
from mesh.runtime.dialer import Dialer
from virtual_time import pass_time

ENDPOINT = "tcp://127.0.0.1:4000"
BOB, CAROL = (Identity(bytes([number]) * 32).id for number in (1, 2))
US = Identity(bytes([3]) * 32).id


class Notes:
    """A transport, a pump and an engine in one: what was asked of them, in order."""

    def __init__(self):
        self.id = US
        self.engine = self
        self.asked = []
        self.runs = 0
        self.failing = None
        self.routes = 0
        self.paces = []

    def dial(self, endpoint, pace):
        endpoints.check_dial(endpoint)
        self.paces.append(pace)
        if self.failing is not None:
            raise self.failing
        self.routes += 1
        self.asked.append(("dial", self.routes))
        return Route(dialled=self.routes)

    def hang_up(self, route):
        self.asked.append(("hang up", route.dialled))

    def lost(self, route, now):
        self.asked.append(("lost", route.dialled))

    def connect(self, route, now, *, pin, led_to):
        self.asked.append(("connect", route.dialled, pin, led_to))

    def clock(self):
        return Now(1.0, 2.0)

    def run(self):
        self.runs += 1


class Stage:
    """A dialer among its notes. `seed`: of its jitter."""

    def __init__(self, seed=1):
        self.notes = Notes()
        self.dialer = Dialer(self.notes, self.notes, lambda who: f"trust {who}", Random(seed))
        self._loop = asyncio.get_running_loop()

    @property
    def route(self):
        """The newest connection."""
        return Route(dialled=self.notes.routes)

    @property
    def dialled(self):
        """How many connections were opened."""
        return self.notes.routes

    def connects(self, pin=None, timeout=10.0, endpoint=ENDPOINT):
        """Somebody calls `connect`."""
        return asyncio.create_task(self.dialer.connect(endpoint, pin, timeout))

    def stands(self, peer_id=BOB):
        """The newest connection is there, and leads to a peer."""
        self.dialer.on_notice(Connected(self.route))
        self.dialer.on_authenticated(events.RouteAuthenticated(self.route, peer_id))

    def is_lost(self, reason="it broke"):
        """The newest connection is over."""
        self.dialer.on_notice(Lost(self.route, reason))

    def fails(self, reason, peer_id=BOB, by_peer=False):
        """Somebody refused somebody on the newest connection."""
        self.dialer.on_failed(events.ConnectFailed(self.route, peer_id, reason, by_peer))

    async def connected(self, pin=None):
        """Connect, once and for all."""
        task = self.connects(pin)
        await pass_time(0)
        self.stands()
        assert await task == BOB

    async def until_dialled(self, count):
        """Virtual seconds until so many connections were opened."""
        began = self._loop.time()
        async with asyncio.timeout(1000):
            while self.dialled < count:
                await pass_time(0.01)
        return self._loop.time() - began
