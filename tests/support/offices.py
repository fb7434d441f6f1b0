"""A dispatch without a pump: events are put in, and what became of the runs is noted."""

import asyncio

from mailboxes import PEER_ID, make_delivery, turns
from mesh.counters import Counters
from mesh.engine import events
from mesh.engine.events import RunReceived
from mesh.runtime.dispatch import Dispatch
from mesh.runtime.handlers import Handlers
from mesh.runtime.threads import Threads
from mesh.trust.policy import Policy


class Pump:
    """Only notes what is finished; whatever is sent has left."""

    def __init__(self, office):
        self.office = office

    def finished(self, _delivery, batch):
        """The run of that batch."""
        self.office.finished.append(batch)

    @property
    def busy_poll(self):
        """Stands there as well."""
        return self

    def expect(self):
        """Nobody stays awake here."""

    def flush(self, delivery):
        """Close the batch, as if it had left."""
        delivery.outgoing.close_batch()

    send_closed = flush


class Office:
    """A dispatch, its handlers, and what became of the runs it was given."""

    def __init__(self):
        self.counters = Counters()
        self.handlers = Handlers()
        self.policy = Policy()
        self.policy.allow(PEER_ID, "bob", ("worker",))
        self.finished = []
        self.threads = Threads(1)
        self.dispatch = Dispatch(
            self.handlers, self.policy, self.counters, self.threads, max_concurrent_calls=4
        )
        self.dispatch.attach(Pump(self))
        self.delivery = make_delivery()

    def see(self, *seen):
        """Events, in order."""
        for event in seen:
            if type(event) in self.dispatch.reactions:
                self.dispatch.reactions[type(event)](event)

    def connect(self, delivery=None):
        """A peer has connected; how it is reached."""
        self.delivery = delivery or self.delivery
        self.see(events.PeerConnected(self.delivery.peer_id, self.delivery))
        return self.dispatch.mailboxes[self.delivery.peer_id]

    def run(self, kind, *bodies, subject="log", batch=1):
        """A run of this peer."""
        return RunReceived(self.delivery, batch, kind, subject, list(bodies))

    def end(self, reason="the peer has restarted", failed=(), *, restarted=True):
        """Its delivery has ended."""
        self.see(events.DeliveryEnded(self.delivery, list(failed), reason, restarted))

    async def stop(self):
        """End it; no task may be left."""
        await self.dispatch.stop()
        await turns()
        self.threads.stop()
        assert asyncio.all_tasks() == {asyncio.current_task()}
