"""One side of a peer in a process of its own, and the pair of them.

Processes are spawned, asked one thing at a time over a pipe, and ended by their own id. Each
answer has a deadline; a process that overran it says where it stood and ends by itself, even if
whoever started it is gone.
"""

import asyncio
import contextlib
import faulthandler
import importlib
import multiprocessing
import os
import signal
import sys
import tempfile
from multiprocessing.connection import Connection, wait
from pathlib import Path
from time import monotonic, perf_counter, process_time
from typing import Any, NamedTuple, Self

from benchmarks.hot_spots import Spot, Watch, watching
from benchmarks.peers import Loop, NotHere, Peer

_END_SECONDS = 3.0
_START_SECONDS = 30.0
# A process that is late says so itself; one that cannot is given up a little later, and one that
# was not ended by then ends by itself.
_GRACE_SECONDS = 2.0


class PeerFailed(Exception):
    """A peer could not be measured; the text says why."""


class PeerAbsent(PeerFailed):
    """What a peer needs is not on this machine."""


class Order(NamedTuple):
    """What a process is asked: a method of its side, or one of "open", "cpu_seconds",
    "memory_bytes", "stop".
    """

    method: str
    arguments: tuple[Any, ...]
    watch: Watch
    seconds: float


class Answer(NamedTuple):
    """What it answers. `error`: empty when all went well. `absent`: what it needs is not here.

    `began`: when the method was called, by the clock that all processes of a machine share.
    """

    value: Any = None
    spots: tuple[Spot, ...] = ()
    error: str = ""
    absent: bool = False
    began: float = 0.0


# -- inside the process


def main(connection: Connection, module: str, name: str, uvloop: bool, scratch: str | None) -> None:
    """Build a side and do what is asked until told to stop, or until nobody asks any more.

    `scratch`: a folder for temporary files, which whoever started us removes, or the usual one.
    """
    tempfile.tempdir = scratch
    # Whoever is interrupted at the terminal is the one who started us, and ends us.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for variable in [name for name in os.environ if name.startswith("MESH_")]:
        del os.environ[variable]
    factory = None
    if uvloop:
        try:
            factory = importlib.import_module("uvloop").new_event_loop
        except ImportError as error:
            connection.recv()
            connection.send(Answer(error=f"{type(error).__name__}: {error}", absent=True))
            return
    with asyncio.Runner(loop_factory=factory) as runner, contextlib.suppress(EOFError):
        runner.run(_serve(connection, module, name))


async def _serve(connection: Connection, module: str, name: str) -> None:
    side: Any = None
    news = asyncio.Event()
    asyncio.get_running_loop().add_reader(connection.fileno(), news.set)
    while True:
        # The reader may have called for an order that was taken already: `recv` would block.
        while not connection.poll():
            news.clear()
            await news.wait()
        order: Order = connection.recv()
        if order.method == "stop":
            break
        faulthandler.dump_traceback_later(order.seconds + 2 * _GRACE_SECONDS, exit=True)
        try:
            if order.method == "open":
                home = importlib.import_module(module)
                side = getattr(home, name)()
                answer = Answer((await side.start(), home.versions()))
            elif order.method == "cpu_seconds":
                answer = Answer(process_time())
            elif order.method == "memory_bytes":
                answer = Answer(memory_bytes())
            else:
                answer = await _obey(side, order)
        except Exception as error:
            spoken = isinstance(error, PeerFailed | NotHere)
            text = f"{'' if spoken else f'{type(error).__name__}: '}{error}"
            answer = Answer(error=text, absent=isinstance(error, NotHere | ImportError))
        faulthandler.cancel_dump_traceback_later()
        connection.send(answer)
    if side is not None:
        faulthandler.dump_traceback_later(_END_SECONDS, exit=True)
        await side.close()
        faulthandler.cancel_dump_traceback_later()


async def _obey(side: Any, order: Order) -> Answer:
    method = getattr(side, order.method)
    spots: list[Spot] = []
    began = perf_counter()
    with watching(order.watch, spots):
        try:
            value = await asyncio.wait_for(method(*order.arguments), order.seconds)
        except TimeoutError as error:
            raise PeerFailed(f"{order.method} was not done within {order.seconds:g} s") from error
    return Answer(value, tuple(spots), began=began)


def memory_bytes() -> int:
    """What this process holds of the machine's memory; where the system does not say, the most
    that it ever held.
    """
    pages = Path("/proc/self/statm")
    if pages.exists():
        return int(pages.read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")
    import resource

    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024


# -- beside it


class Process:
    """A running side, seen from where it was started."""

    def __init__(self, peer: Peer, side: str, *, uvloop: bool, scratch: str | None = None) -> None:
        context = multiprocessing.get_context("spawn")
        self.connection, theirs = context.Pipe()
        self._title = f"{peer.name}'s {side}"
        self.seconds = _START_SECONDS
        on_uvloop = peer.loop is Loop.UVLOOP or (uvloop and peer.loop is Loop.ASYNCIO)
        arguments = (theirs, peer.module, getattr(peer, side), on_uvloop, scratch)
        self._process = context.Process(target=main, args=arguments, daemon=True)
        self._process.start()
        theirs.close()

    def order(self, method: str, *arguments: Any, watch: Watch = Watch.NOTHING) -> None:
        """Ask for something; `answer` brings the result."""
        with contextlib.suppress(OSError):
            self.connection.send(Order(method, arguments, watch, self.seconds))

    def answer(self) -> Answer:
        """Take the answer that has come. Raises PeerFailed for one that tells of a failure."""
        try:
            answer: Answer = self.connection.recv()
        except (EOFError, OSError):
            self._process.join(_END_SECONDS)
            code = self._process.exitcode
            raise PeerFailed(f"{self._title} has ended with code {code}") from None
        if answer.error:
            raise (PeerAbsent if answer.absent else PeerFailed)(f"{self._title}: {answer.error}")
        return answer

    def ask(self, method: str, *arguments: Any) -> Any:
        """Ask and wait. Raises PeerFailed."""
        self.order(method, *arguments)
        return together(self)[0].value

    def end(self) -> None:
        """Ask it to stop, then make it."""
        with contextlib.suppress(OSError):
            self.connection.send(Order("stop", (), Watch.NOTHING, self.seconds))
        self._process.join(_END_SECONDS)
        for force in (self._process.terminate, self._process.kill):
            if self._process.is_alive():
                force()
                self._process.join(_END_SECONDS)
        self.connection.close()

    def __str__(self) -> str:
        return self._title


def together(*processes: Process) -> list[Answer]:
    """The answers of all, in their order. Raises PeerFailed as soon as one of them fails."""
    seconds = max(process.seconds for process in processes) + _GRACE_SECONDS
    deadline = monotonic() + seconds
    answers: dict[Process, Answer] = {}
    while missing := [process for process in processes if process not in answers]:
        ready = wait([process.connection for process in missing], deadline - monotonic())
        if not ready:
            raise PeerFailed(f"{missing[0]} gave no answer within {seconds:g} s")
        for process in missing:
            if process.connection in ready:
                answers[process] = process.answer()
    return [answers[process] for process in processes]


class Pair:
    """Sender and receiver of one peer, connected. `seconds`: the most that any order may take.

    Raises PeerFailed, with both processes ended.
    """

    def __init__(self, peer: Peer, *, uvloop: bool = False, seconds: float = 30.0) -> None:
        self.versions: dict[str, str] = {}
        self._many = 0
        self._scratch = tempfile.TemporaryDirectory(prefix="noisemesh-bench-")
        scratch = self._scratch.name
        self.receiver = Process(peer, "receiver", uvloop=uvloop, scratch=scratch)
        self.sender = Process(peer, "sender", uvloop=uvloop, scratch=scratch)
        try:
            self._join()
        except BaseException:
            self.end()
            raise
        self.receiver.seconds = self.sender.seconds = seconds

    def _join(self) -> None:
        self.receiver.order("open")
        self.sender.order("open")
        receiver, sender = together(self.receiver, self.sender)
        facts, self.versions = receiver.value
        self.receiver.ask("allow", sender.value[0])
        self.sender.ask("connect", facts)

    def connect_many(self, number: int) -> None:
        """Let the sender reach so many more receivers, once. Raises PeerFailed."""
        if self._many != number:
            self.sender.ask("connect_many", self.receiver.ask("open_many", number))
            self._many = number

    def end(self) -> None:
        """End both processes."""
        self.sender.end()
        self.receiver.end()
        self._scratch.cleanup()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.end()
