"""The account: what happens, line by line as it happens, and the verdicts at the end."""

import json
import os
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from io import TextIOWrapper
from typing import Any, TextIO

from mesh.cli.demo.checks import NOT_REACHED, Check

_ACTOR_WIDTH = 9


class Story:
    """Lines on `stream`, each with the seconds since the beginning."""

    def __init__(self, stream: TextIO, clock: Callable[[], float] = time.monotonic) -> None:
        self._stream = stream
        self._clock = clock
        self._began = clock()
        self._rekeyed: dict[str, int] = {}
        if isinstance(stream, TextIOWrapper):
            # A name that the terminal's alphabet lacks must not end the demonstration.
            stream.reconfigure(errors="backslashreplace")

    @property
    def seconds(self) -> float:
        """Since the beginning."""
        return self._clock() - self._began

    def say(self, about: str, text: str) -> None:
        """One line, at once."""
        print(
            f"{self.seconds:5.1f} s  {about:<{_ACTOR_WIDTH}} {text}", file=self._stream, flush=True
        )

    def rekeyed(self, link: str, generation: int) -> None:
        """A link has new keys; told with others by the next `tell_rekeyed`."""
        self._rekeyed[link] = generation

    def tell_rekeyed(self) -> None:
        """One line for all links that were renewed since the last one."""
        if self._rekeyed:
            links = ", ".join(f"{link} #{number}" for link, number in self._rekeyed.items())
            self.say("rekey", f"fresh keys while working: {links}")
            self._rekeyed.clear()

    def conclude(self, checks: Sequence[Check]) -> None:
        """The verdicts, and how many held."""
        print("", file=self._stream)
        for check in checks:
            verdict = "ok" if check.held else "-" if check.detail == NOT_REACHED else "FAILED"
            print(f"  {verdict:<6}  {check.name:<19} {check.detail}", file=self._stream)
        held = sum(check.held for check in checks)
        everything = "Everything held" if held == len(checks) else "NOT everything held"
        text = f"\n{everything}: {held} of {len(checks)} checks, in {self.seconds:.1f} s."
        print(text, file=self._stream, flush=True)


def document(checks: Iterable[Check], seconds: float, facts: dict[str, Any]) -> str:
    """The same for programs: one JSON document."""
    told = [check._asdict() for check in checks]
    ok = all(check["held"] for check in told)
    return json.dumps({"ok": ok, "seconds": round(seconds, 3), **facts, "checks": told}, indent=2)


def silence() -> None:
    """Nobody reads standard output any more: let what is still printed go nowhere."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
