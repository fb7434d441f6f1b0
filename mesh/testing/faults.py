"""What goes wrong in a simulated world, and how it is put right again."""

from collections.abc import Callable
from functools import partial
from math import ceil
from random import Random
from typing import TYPE_CHECKING

from mesh import constants
from mesh.limits import STATIC_KEY_SECONDS
from mesh.model import Origin, Route
from mesh.testing.weather import Weather
from mesh.wire.frames import MESSAGE_3

if TYPE_CHECKING:
    from mesh.testing.plan import Plan
    from mesh.testing.process import Process
    from mesh.testing.simulation import Simulation

# The longest that anybody is away before he comes back, but for one who is forgotten meanwhile.
_LONGEST_ABSENCE_SECONDS = 12.0
_FORGOTTEN_SECONDS = constants.DELIVERY_KEPT_SECONDS + 20.0
# A node that has crashed and begins again may crash at once.
_DIES_SPEAKING = 0.3
_CRASHES_AGAIN = 0.4
_LONGEST_HELD_SECONDS = 2.0
# A thief is faster than the network, and knows what is worth it.
_OVERTAKEN = 0.2
# Nobody but a thief keeps more frames than that.
_FRAMES_COPIED = 200


class Faults:
    """Makes one thing after the other go wrong, until `stop`."""

    def __init__(self, world: "Simulation", plan: "Plan", random: Random) -> None:
        self.on = True
        self.copied: list[tuple[str, bytes]] = []
        self.happened: set[str] = set()
        self._world = world
        self._plan = plan
        self._random = random
        self._thieves = 0
        self._quiet_until = 0.0
        self._doomed: set[str] = set()
        self._acts: dict[str, Callable[[], None]] = {
            "cut": self._cut,
            "crash": self._crash,
            "freeze": self._freeze,
            "partition": self._partition,
            "close": self._close,
            "copy": self._copy,
            "clock": self._clock,
            "quarrel": self._quarrel,
            "silence": self._silence,
            "weather": self._change_weather,
        }

    def begin(self) -> None:
        """From now on, at random times."""
        for one in self._plan.names:
            for other in self._plan.names:
                self._set_weather(self._world.wire.weather(one, other))
        if any(self._plan.faults.values()):
            self._next()

    def _next(self) -> None:
        self._world.timeline.after(
            self._random.expovariate(1 / self._plan.fault_every), self._something
        )

    def _something(self) -> None:
        if not self.on:
            return
        if self._world.timeline.now >= self._quiet_until:
            kinds, weights = zip(*self._plan.faults.items(), strict=True)
            if any(weights):
                kind = self._random.choices(kinds, weights)[0]
                self.happened.add(kind)
                self._acts[kind]()
        self._next()

    def pause(self, seconds: float) -> None:
        """Nothing else goes wrong for a while."""
        self._quiet_until = self._world.timeline.now + seconds

    def stop(self) -> None:
        """Nothing more goes wrong; what has is put right, but for late notices of cuts."""
        self.on = False
        wire = self._world.wire
        for one in self._plan.names:
            for other in self._plan.names:
                wire.weather(one, other).calm()
        for process in self._world.processes.values():
            process.clock.wall_error = 0.0
        for process in self._world.living():
            if process.frozen:
                self._thaw(process)
        wire.moves_again()

    def told_after(self) -> float | None:
        """How long a dialler believes in a connection that was cut."""
        longest = self._random.choice(self._plan.notices)
        return longest if not longest else self._random.uniform(min(longest, 2.0), longest)

    # -- the network

    def _set_weather(self, weather: Weather) -> None:
        plan = self._plan
        weather.latency, weather.jitter = plan.latency, plan.jitter
        weather.loss, weather.repeats = plan.loss, plan.repeats
        weather.late, weather.late_by = plan.late, plan.late_by
        weather.corrupts, weather.truncates = plan.corrupts, plan.truncates

    def _change_weather(self) -> None:
        """One direction is much worse, or fine, for a while."""
        one, other = self._random.sample(self._plan.names, 2)
        weather = self._world.wire.weather(one, other)
        if self._random.random() < 0.5:
            weather.calm()
        else:
            weather.loss = 0.5
            self._after_a_while(lambda: self._set_weather(weather) if self.on else None)

    def _cut(self) -> None:
        standing = self._world.wire.standing()
        if standing:
            link = self._random.choice(standing)
            self._world.say(f"the connection {link.dialler.name} -> {link.name} is cut")
            self._world.wire.cut(
                link,
                told_after=self.told_after(),
                keeps=self._random.randrange(4),
                held=self._held(),
                notices_after=self._random.choice((0.0, 0.0, self._random.uniform(0, 6))),
            )

    def _partition(self) -> None:
        one, other = self._random.sample(self._plan.names, 2)
        ways = self._random.choice(([(one, other)], [(one, other), (other, one)]))
        self._world.say(f"nothing passes {' and '.join('->'.join(way) for way in ways)}")
        for way in ways:
            self._world.wire.close(*way)
        self._after_a_while(lambda: self._heal(ways))

    def _heal(self, ways: list[tuple[str, str]]) -> None:
        for way in ways:
            self._world.wire.weather(*way).closed = False
        self._world.say(f"frames pass {' and '.join('->'.join(way) for way in ways)}")
        self._world.wire.moves_again()

    def _silence(self) -> None:
        """So long that one side, or both, forget the other. Once in a world."""
        self._plan.faults["silence"] = 0.0
        one, other = self._random.sample(self._plan.names, 2)
        ways = [(one, other), (other, one)]
        self._world.say(f"{one} and {other} are apart for ten minutes")
        for way in ways:
            self._world.wire.close(*way)
        self._world.skip(_FORGOTTEN_SECONDS)
        self._world.timeline.after(_FORGOTTEN_SECONDS, lambda: self._heal(ways))

    def _copy(self) -> None:
        """A thief repeats frames of others by a connection of his own."""
        self._thieves += 1
        for name, frame in self._random.sample(self.copied, min(3, len(self.copied))):
            self._repeat(name, frame)

    def _repeat(self, name: str, frame: bytes) -> None:
        route = Route(routing_id=b"thief" + self._thieves.to_bytes(2, "big"))
        process = self._world.processes[name]
        if process.alive and not process.frozen:
            self._world.say(f"a thief repeats a frame to {name}")
            self._world.wire.steal(process, route)
            process.arrive(frame, Origin(route, "host of a thief"), intact=True)

    def overhear(self, sender: str, to: str, frame: bytes) -> None:
        """A frame was sent: a thief may keep a copy, and a doomed node dies of message 3."""
        if sender in self._doomed and frame[1] == MESSAGE_3:
            self._doomed.discard(sender)
            soon = self._random.random() * self._plan.latency
            self._world.timeline.after(soon, partial(self._die_speaking, sender))
        if self._plan.faults["copy"] and self.on:
            if frame[1] == MESSAGE_3 and self._random.random() < _OVERTAKEN:
                soon = self._random.random() * self._plan.latency
                self._world.timeline.after(soon, partial(self._repeat, to, frame))
            if len(self.copied) >= _FRAMES_COPIED:
                self.copied.pop(self._random.randrange(_FRAMES_COPIED))
            self.copied.append((to, frame))

    # -- the nodes

    def _someone(self) -> "Process | None":
        ready = [p for p in self._world.living() if not p.frozen and not p.closing]
        return self._random.choice(ready) if ready else None

    def _crash(self) -> None:
        process = self._someone()
        if process is not None:
            self._kill(process)

    def _kill(self, process: "Process") -> None:
        world, random = self._world, self._random
        world.kill(process, "crashes", keeps=random.randrange(6), held=self._held())
        pause = random.choice((0.05, 0.5, random.uniform(0.2, 5.0)))
        world.timeline.after(pause, partial(world.give_birth, process.name))
        if random.random() < _DIES_SPEAKING:
            self._doomed.add(process.name)
        elif random.random() < _CRASHES_AGAIN:
            # In the middle of its first handshakes.
            soon = pause + random.random() * (0.02 + 6 * self._plan.latency)
            world.timeline.after(soon, partial(self._crash_again, process.name))

    def _crash_again(self, name: str) -> None:
        process = self._world.processes[name]
        if self.on and process.alive and not process.frozen and not process.closing:
            self._kill(process)

    def _die_speaking(self, name: str) -> None:
        """Its proof of identity arrives when its next run has been heard of for long."""
        world, process = self._world, self._world.processes[name]
        if self.on and process.alive and not process.frozen and not process.closing:
            held = self._random.uniform(_LONGEST_HELD_SECONDS / 4, _LONGEST_HELD_SECONDS)
            world.kill(process, "dies speaking", keeps=1000, held=held)
            world.timeline.after(0.05, partial(world.give_birth, name))

    def _held(self) -> float:
        """For how long what a cut connection still carried is kept by somebody in between."""
        return self._random.choice((0.0, 0.0, self._random.random() * _LONGEST_HELD_SECONDS))

    def _close(self) -> None:
        process = self._someone()
        if process is not None:
            self._world.close(process)

    def _freeze(self) -> None:
        process = self._someone()
        if process is None:
            return
        self._world.say(f"{process} is frozen")
        process.freeze()
        self._world.wire.froze(process)
        self._after_a_while(lambda: self._thaw(process))

    def _thaw(self, process: "Process") -> None:
        if not process.frozen or not process.alive:
            return
        self._world.say(f"{process} goes on")
        process.thaw()
        if process.engine.next_deadline() <= process.now().elapsed and self._random.random() < 0.5:
            process.wake()
        self._world.wire.moves_again()

    def _clock(self) -> None:
        """A wall clock jumps, or a day passes on all of them: static keys are made anew."""
        process = self._someone()
        if process is None:
            return
        if self._random.random() < 0.3:
            self._world.say("every wall clock moves on by a day")
            for each in self._world.living():
                each.clock.wall_error += ceil(STATIC_KEY_SECONDS)
            return
        error = self._random.choice((-300.0, 300.0, -4000.0, 4000.0, STATIC_KEY_SECONDS))
        self._world.say(f"the wall clock of {process} jumps by {error:g} s")
        process.clock.wall_error += error
        self._after_a_while(lambda: setattr(process.clock, "wall_error", 0.0))

    def _quarrel(self) -> None:
        """One node does not trust another any more, for a while."""
        one, other = self._random.sample(self._plan.names, 2)
        self._world.say(f"{one} does not trust {other} any more")
        policy, other_id = self._world.policies[one], self._world.identities[other].id
        if self._random.random() < 0.5:
            policy.deny(other_id)
        else:
            policy.forget(other_id)
        self._world.trust_changed(one)
        self._world.quarrels.append((one, other))
        self._after_a_while(lambda: self._world.make_up(one, other))

    def _after_a_while(self, action: Callable[[], None]) -> None:
        seconds = self._random.choice((0.5, 2.0, _LONGEST_ABSENCE_SECONDS)) * self._random.random()
        self._world.timeline.after(seconds, action)
