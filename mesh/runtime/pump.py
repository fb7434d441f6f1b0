"""The one pump: sockets to engine, engine to sockets, events to dispatch, one timer.

Nothing else drives the engine. What is to be sent leaves before events are dispatched, so a slow
handler never delays a handshake. A descriptor tells of news once (see io/zmq_transport), so a
port is looked at again whenever a drain stopped at its budget and after every round of sending.
"""

import asyncio
import logging
from collections.abc import Callable
from math import inf

from mesh.delivery.delivery import Delivery
from mesh.engine.engine import Engine
from mesh.engine.events import Event
from mesh.io.notices import Notice
from mesh.io.zmq_transport import Port, Transport
from mesh.model import Now, Transmit
from mesh.runtime.busy_poll import BusyPoll

# Frames taken before others have their turn: the smallest may each be a thousand runs.
_DRAIN_BUDGET_FRAMES = 16
# So late is a timer only where something has blocked the loop, or the machine has slept.
_HELD_UP_SECONDS = 1.0

logger = logging.getLogger("noisemesh")


class Pump:
    """`clock`: this moment. `on_event`: where the engine's news go."""

    def __init__(
        self, engine: Engine, clock: Callable[[], Now], on_event: Callable[[Event], None]
    ) -> None:
        self.engine = engine
        self.clock = clock
        self.busy_poll = BusyPoll(clock)
        self._on_event = on_event
        self._on_notice: Callable[[Notice], None] = _ignore
        self._loop = asyncio.get_running_loop()
        self._transport: Transport | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = inf
        self._pumping = False
        self._reads_first = False
        self._again: set[Port] = set()

    def attach(self, transport: Transport, on_notice: Callable[[Notice], None]) -> None:
        """The transport that frames leave by, and where news of its connections go."""
        self._transport = transport
        self._on_notice = on_notice

    def watch(self, descriptor: int, port: Port) -> None:
        """A port was opened."""
        self._loop.add_reader(descriptor, self._on_readable, port)
        self._look_again(port)

    def unwatch(self, descriptor: int) -> None:
        """A port is about to be closed."""
        self._loop.remove_reader(descriptor)

    def stop(self) -> None:
        """No timer fires any more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._timer_at = -inf
        self._transport = None
        self.busy_poll.stop()

    # -- what drives it

    def _on_readable(self, port: Port) -> None:
        self._again.discard(port)
        frames, more = port.drain(_DRAIN_BUDGET_FRAMES)
        if frames:
            now = self.clock()
            self.busy_poll.came(len(frames), now)
            receive = self.engine.receive
            for origin, frame in frames:
                try:
                    receive(frame, origin, now)
                except Exception:
                    logger.exception("a frame could not be dealt with")
        if port.tells_notices:
            for notice in port.notices():
                try:
                    self._on_notice(notice)
                except Exception:
                    logger.exception("a notice could not be dealt with: %r", notice)
        if more:
            self._look_again(port)
        self.run()

    def _on_timer(self) -> None:
        self._timer_at = inf
        self._timer = None
        self._reads_first = False
        try:
            self.engine.advance(self.clock())
        except Exception:
            logger.exception("what is due could not be done")
        self.run()

    def flush(self, delivery: Delivery) -> None:
        """Send all that is queued for this peer."""
        self.engine.flush(delivery, self.clock())
        self.run()

    def send_closed(self, delivery: Delivery) -> None:
        """Send the batches that are full; the open one goes on filling."""
        self.engine.send_closed(delivery, self.clock())
        self.run()

    def finished(self, delivery: Delivery, batch: int) -> None:
        """The handler of a run is done; the peer is told soon."""
        now = self.clock()
        self.engine.finished(delivery, batch, now)
        if self._is_held_up(now):
            return
        deadline = self.engine.next_deadline()
        if deadline <= now.elapsed:
            self.engine.advance(now)
            self.run()
        elif deadline < self._timer_at:
            self._set_timer()

    def run(self) -> None:
        """Take everything out of the engine: frames first, then events, then the deadline."""
        output = self.engine.output
        if output.transmits:
            self._transmit()
        if self._pumping:
            return
        self._pumping = True
        try:
            while output.events:
                self._dispatch(self.engine.events())
                if output.transmits:
                    self._transmit()
        finally:
            self._pumping = False
        if self.engine.next_deadline() < self._timer_at:
            self._set_timer()

    # -- parts of it

    def _dispatch(self, events: list[Event]) -> None:
        on_event = self._on_event
        for event in events:
            try:
                on_event(event)
            except Exception:
                logger.exception("an event could not be dispatched: %s", type(event).__name__)

    def _transmit(self) -> None:
        transport = self._transport
        if transport is None:
            return
        engine = self.engine
        while engine.output.transmits:
            for route, frame in engine.transmits():
                try:
                    taken = transport.send(route, frame)
                except Exception:
                    logger.exception("a frame could not be sent by %s", route)
                    continue
                if not taken:
                    engine.refused(Transmit(route, frame), self.clock())
        for port in transport.overlooked():
            self._look_again(port)

    def _look_again(self, port: Port) -> None:
        if port not in self._again:
            self._again.add(port)
            self._loop.call_soon(self._on_readable, port)

    def _is_held_up(self, now: Now) -> bool:
        """Whether what is due waits for the next turn, in which input comes before timers.

        Peers have gone on talking meanwhile. Were they judged before that is read, they would have
        been silent for as long as this loop stood still.
        """
        timer, late = self._timer, now.elapsed - self._timer_at
        if timer is not None and late > _HELD_UP_SECONDS and not self._reads_first:
            timer.cancel()
            self._timer = self._loop.call_later(0.0, self._on_timer)
            self._reads_first = True
        return self._reads_first

    def _set_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer_at = deadline = self.engine.next_deadline()
        pause = max(0.0, deadline - self.clock().elapsed)
        self._timer = self._loop.call_later(pause, self._on_timer)


def _ignore(_notice: Notice) -> None:
    """Nothing was dialled yet."""
