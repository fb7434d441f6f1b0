"""Pump: everything goes into the engine, everything comes out, and nothing is overlooked."""

import asyncio
import socket
from collections import deque
from math import inf
from types import SimpleNamespace

import pytest

from mailboxes import turns
from mesh.errors import MessageTooLarge
from mesh.io.notices import Connected
from mesh.model import Now, Origin, Route, Transmit
from mesh.runtime import pump as pump_module
from mesh.runtime.busy_poll import TURNS
from mesh.runtime.pump import Pump
from virtual_time import in_virtual_time, pass_time

pytestmark = pytest.mark.usefixtures("quiet_loop")

ROUTE = Route(dialled=1)
ORIGIN = Origin(ROUTE, "127.0.0.1")
DELIVERY = object()


class Engine:
    """Notes what it is told, and gives out what a test has put in."""

    def __init__(self, log):
        self.log = log
        self.deadline = inf
        self.output = SimpleNamespace(transmits=[], events=[])
        self.broken = False

    def receive(self, frame, origin, now):
        self.log.append(("receive", frame))
        if frame == b"broken":
            raise KeyError(frame)
        self.output.events.append(frame)

    def advance(self, now):
        self.log.append(("advance", now.elapsed))
        self.deadline = inf
        if self.broken:
            raise KeyError("advance")

    def flush(self, delivery, now):
        self.output.transmits.append(Transmit(ROUTE, b"flushed"))

    def send_closed(self, delivery, now):
        self.output.transmits.append(Transmit(ROUTE, b"closed"))

    def finished(self, delivery, batch, now):
        self.log.append(("finished", batch))

    def refused(self, transmit, now):
        self.log.append(("refused", transmit.frame))

    def transmits(self):
        taken, self.output.transmits = self.output.transmits, []
        return taken

    def events(self):
        taken, self.output.events = self.output.events, []
        return taken

    def next_deadline(self):
        return self.deadline


class Transport:
    """Notes what is sent; `silenced`: ports whose input a send has swallowed."""

    def __init__(self, log):
        self.log = log
        self.silenced = []
        self.refuse = set()

    def send(self, route, frame):
        self.log.append(("send", frame))
        if frame == b"large":
            raise MessageTooLarge("over the limit")
        if frame == b"odd":
            raise OSError("odd")
        return frame not in self.refuse

    def overlooked(self):
        taken, self.silenced = self.silenced, []
        return taken


class Port:
    """Frames and notices that wait to be drained."""

    tells_notices = True

    def __init__(self, *frames):
        self.waiting = deque(frames)
        self.told = []
        self.drains = 0

    def drain(self, budget):
        self.drains += 1
        count = min(budget, len(self.waiting))
        frames = [(ORIGIN, self.waiting.popleft()) for _ in range(count)]
        return frames, count == budget

    def notices(self):
        taken, self.told = self.told, []
        return taken


class House:
    """A pump with fakes around it. `react`: what a test does about an event."""

    def __init__(self):
        self.log = []
        self.react = lambda event: None
        self.engine = Engine(self.log)
        self.transport = Transport(self.log)
        loop = asyncio.get_running_loop()
        self.pump = Pump(self.engine, lambda: Now(loop.time(), 0.0), self._on_event)
        self.pump.attach(self.transport, self._on_notice)

    def _on_event(self, event):
        self.log.append(("event", event))
        self.react(event)

    def _on_notice(self, notice):
        self.log.append(("notice", notice))
        if notice == "broken":
            raise KeyError(notice)

    def of(self, kind):
        """What the log says of one kind."""
        return [what for logged, what in self.log if logged == kind]


async def test_frames_leave_before_events_are_told():
    """A slow reaction never delays a handshake's answer."""
    house = House()
    house.engine.output.transmits.append(Transmit(ROUTE, b"answer"))
    house.engine.output.events += ["one", "two"]
    house.pump.run()
    assert house.log == [("send", b"answer"), ("event", "one"), ("event", "two")]


async def test_what_an_event_causes_leaves_too():
    """Frames and events that come of an event, until there is nothing more."""
    house = House()

    def react(event):
        if event < 3:
            house.engine.output.events.append(event + 1)
            house.engine.output.transmits.append(Transmit(ROUTE, b"%d" % event))

    house.react = react
    house.engine.output.events.append(0)
    house.pump.run()
    assert house.of("event") == [0, 1, 2, 3]
    assert house.of("send") == [b"0", b"1", b"2"]


async def test_an_event_whose_reaction_sends_does_not_begin_anew():
    """Its frame leaves at once; the next event waits for its turn."""
    house = House()

    def react(event):
        if event == "one":
            house.engine.output.events.append("three")
            house.pump.flush(DELIVERY)
            house.pump.send_closed(DELIVERY)
            house.log.append(("event", "end of one"))

    house.react = react
    house.engine.output.events += ["one", "two"]
    house.pump.run()
    assert house.log == [
        ("event", "one"),
        ("send", b"flushed"),
        ("send", b"closed"),
        ("event", "end of one"),
        ("event", "two"),
        ("event", "three"),
    ]


async def test_an_event_that_cannot_be_dealt_with_costs_no_other(caplog):
    """It is logged, and the pump goes on."""
    house = House()

    def react(event):
        if event == "bad":
            raise ValueError(event)

    house.react = react
    house.engine.output.events += ["bad", "good"]
    house.pump.run()
    assert house.of("event") == ["bad", "good"]
    assert "an event could not be dispatched: str" in caplog.text
    house.pump.flush(DELIVERY)
    assert house.of("send") == [b"flushed"]


async def test_an_event_that_ends_the_program_leaves_the_pump_usable():
    """SystemExit passes, and whoever cleans up can still send."""
    house = House()

    def react(event):
        raise SystemExit

    house.react = react
    house.engine.output.events.append("bad")
    with pytest.raises(SystemExit):
        house.pump.run()
    house.engine.output.events.append("next")
    house.react = lambda event: None
    house.pump.run()
    assert house.of("event") == ["bad", "next"]


@pytest.mark.parametrize("frame", [b"large", b"odd"])
async def test_a_frame_that_cannot_be_sent_costs_no_other(caplog, frame):
    """Whatever the transport raises is logged; it is the engine's to try again."""
    house = House()
    house.engine.output.transmits += [Transmit(ROUTE, frame), Transmit(ROUTE, b"good")]
    house.engine.output.events.append("event")
    house.pump.run()
    assert house.of("send") == [frame, b"good"]
    assert house.of("event") == ["event"]
    assert "a frame could not be sent by dialled #1" in caplog.text


async def test_a_refused_frame_is_given_back():
    """The engine seals its batch again; what that causes leaves in the same round."""
    house = House()
    house.transport.refuse.add(b"full")
    house.engine.output.transmits += [Transmit(ROUTE, b"full"), Transmit(ROUTE, b"good")]
    house.pump.run()
    assert house.log == [("send", b"full"), ("refused", b"full"), ("send", b"good")]


async def test_a_drain_stops_at_its_budget_and_goes_on_in_the_next_turn():
    """A descriptor tells once: what is left must be looked at again, and others get their turn."""
    house = House()
    count = 3 * pump_module._DRAIN_BUDGET_FRAMES + 5
    port = Port(*[b"%d" % number for number in range(count)])
    house.pump._look_again(port)
    house.pump._look_again(port)
    seen = []
    while port.waiting:
        await asyncio.sleep(0)
        seen.append(len(house.of("receive")))
    await turns()
    assert len(house.of("event")) == count
    assert port.drains == 4
    assert seen[0] == pump_module._DRAIN_BUDGET_FRAMES


async def test_input_that_arrives_while_sending_is_not_overlooked():
    """A send swallows the descriptor's news."""
    house = House()
    port = Port(b"while sending")
    house.transport.silenced.append(port)
    house.pump.flush(DELIVERY)
    assert house.of("receive") == []
    await turns()
    assert house.of("receive") == [b"while sending"]


async def test_a_frame_that_cannot_be_dealt_with_costs_no_other(caplog):
    """Nor the notices and events that came with it."""
    house = House()
    port = Port(b"broken", b"good")
    port.told += ["broken", Connected(ROUTE)]
    house.pump._look_again(port)
    await turns()
    assert house.of("receive") == [b"broken", b"good"]
    assert house.of("notice") == ["broken", Connected(ROUTE)]
    assert house.of("event") == [b"good"]
    assert "a frame could not be dealt with" in caplog.text
    assert "a notice could not be dealt with" in caplog.text


async def test_a_conversation_is_waited_for_awake():
    """Whatever comes counts as an answer or ends it, by how many frames come at once."""
    house = House()
    poll = house.pump.busy_poll
    for _ in range(TURNS):
        assert not poll.in_conversation
        poll.expect()
        house.pump._on_readable(Port(b"answer"))
    assert poll.in_conversation
    house.pump._on_readable(Port())
    assert poll.in_conversation
    poll.expect()
    house.pump._on_readable(Port(b"one", b"two"))
    assert not poll.in_conversation


async def test_a_pump_that_stops_stays_awake_for_nobody():
    """Its conversation is over."""
    house = House()
    poll = house.pump.busy_poll
    for _ in range(TURNS):
        poll.expect()
        house.pump._on_readable(Port(b"answer"))
    house.pump.stop()
    assert not poll.in_conversation


async def test_a_watched_descriptor_is_drained():
    """When it stirs, and once at first: what came before it was watched."""
    house = House()
    ours, theirs = socket.socketpair()
    with ours, theirs:
        port = Port(b"early")
        house.pump.watch(ours.fileno(), port)
        await turns()
        assert house.of("receive") == [b"early"]
        port.waiting.append(b"late")
        stirred = asyncio.Event()
        house.react = lambda event: (ours.recv(1), stirred.set())
        theirs.send(b"!")
        await asyncio.wait_for(stirred.wait(), 10)
        assert house.of("receive") == [b"early", b"late"]
        house.pump.unwatch(ours.fileno())


async def test_notices_go_nowhere_before_somebody_cares():
    """A pump that is not attached yet still takes input."""
    house = House()
    bare = Pump(house.engine, lambda: Now(0.0, 0.0), house._on_event)
    port = Port(b"frame")
    port.told.append(Connected(ROUTE))
    bare._on_readable(port)
    assert house.of("event") == [b"frame"]
    assert house.of("notice") == []


@in_virtual_time
async def test_time_is_told_to_the_engine_when_it_asked_for_it():
    """Once, and not before."""
    house = House()
    now = asyncio.get_running_loop().time()
    house.engine.deadline = now + 5
    house.pump.run()
    await pass_time(4.9)
    assert house.of("advance") == []
    await pass_time(5)
    assert house.of("advance") == [pytest.approx(now + 5)]


@in_virtual_time
async def test_an_earlier_deadline_moves_the_timer():
    """A later one is found out when the timer fires."""
    house = House()
    now = asyncio.get_running_loop().time()
    for deadline in (now + 5, now + 2, now + 9):
        house.engine.deadline = deadline
        house.pump.run()
    await pass_time(2.1)
    assert house.of("advance") == [pytest.approx(now + 2)]
    house.engine.deadline = now + 9
    house.pump.run()
    await pass_time(20)
    assert house.of("advance") == [pytest.approx(now + 2), pytest.approx(now + 9)]


@in_virtual_time
async def test_a_deadline_that_has_passed_is_due_at_once():
    """In the next turn, without anything else happening."""
    house = House()
    house.engine.deadline = asyncio.get_running_loop().time() - 100
    house.pump.run()
    assert house.of("advance") == []
    await turns()
    assert len(house.of("advance")) == 1


@in_virtual_time
async def test_the_timer_lives_on_when_the_engine_stumbles(caplog):
    """One thing that cannot be done must not stop the clock for ever."""
    house = House()
    house.engine.broken = True
    house.engine.deadline = asyncio.get_running_loop().time() + 1
    house.pump.run()
    await pass_time(2)
    assert "what is due could not be done" in caplog.text
    house.engine.deadline = asyncio.get_running_loop().time() + 1
    house.pump.run()
    await pass_time(2)
    assert len(house.of("advance")) == 2


@in_virtual_time
async def test_a_finished_run_is_told_soon_or_at_once():
    """As the engine wants it."""
    house = House()
    now = asyncio.get_running_loop().time()
    house.engine.deadline = now + 0.02
    house.pump.finished(DELIVERY, 1)
    assert house.of("advance") == []
    await pass_time(0.03)
    assert len(house.of("advance")) == 1
    house.engine.deadline = now
    house.engine.output.transmits.append(Transmit(ROUTE, b"numbers"))
    house.pump.finished(DELIVERY, 2)
    assert len(house.of("advance")) == 2
    assert house.of("send") == [b"numbers"]
    assert house.of("finished") == [1, 2]


async def test_what_came_while_the_loop_was_blocked_is_read_before_silence_is_judged():
    """However many runs are finished by whatever blocked it: nobody was silent."""
    house = House()
    now = asyncio.get_running_loop().time()
    house.engine.deadline = now + 5
    house.pump.run()
    ours, theirs = socket.socketpair()
    with ours, theirs:
        port = Port()
        house.pump.watch(ours.fileno(), port)
        await turns()
        house.react = lambda event: ours.recv(1)
        port.waiting.append(b"pong")
        theirs.send(b"!")
        house.pump.clock = lambda: Now(now + 20, 0.0)
        house.pump.finished(DELIVERY, 1)
        house.pump.finished(DELIVERY, 2)
        assert house.of("advance") == []
        await turns()
        house.pump.unwatch(ours.fileno())
    assert [what for what, _ in house.log if what in ("receive", "advance")] == [
        "receive",
        "advance",
    ]


@in_virtual_time
async def test_nothing_happens_after_the_end():
    """No timer fires, nothing is sent, and input that was on its way does no harm."""
    house = House()
    now = asyncio.get_running_loop().time()
    house.engine.deadline = now + 1
    house.pump.run()
    port = Port(b"late")
    house.pump._look_again(port)
    house.pump.stop()
    house.pump.flush(DELIVERY)
    house.pump.finished(DELIVERY, 1)
    await pass_time(5)
    assert house.of("send") == house.of("advance") == []
    Pump(house.engine, lambda: Now(0.0, 0.0), house._on_event).stop()


async def test_the_end_may_come_while_it_runs():
    """An event whose reaction stops the pump is the last that sends."""
    house = House()

    def react(event):
        house.engine.output.transmits.append(Transmit(ROUTE, b"too late"))
        house.pump.stop()

    house.react = react
    house.engine.output.events += ["one", "two"]
    house.engine.output.transmits.append(Transmit(ROUTE, b"in time"))
    house.pump.run()
    assert house.of("event") == ["one", "two"]
    assert house.of("send") == [b"in time"]
