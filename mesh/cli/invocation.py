"""One call of the command: what its shared options said, the node it asks, what it prints."""

import asyncio
import logging
import os
import shlex
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import click

from mesh.cli.bodies import as_json
from mesh.errors import NodeClosed
from mesh.home.home import Home
from mesh.io.control_socket import ask

F = TypeVar("F", bound=Callable[..., Any])

ANSWER_SECONDS = 10.0
Seconds = click.FloatRange(min=0, max=86_400, min_open=True)


@dataclass
class Invocation:
    """`home_given`: the value of --home. Made by click for each call of the command."""

    home_given: str | None = None
    json: bool = False
    verbose: bool = False

    @property
    def home(self) -> Home:
        """The home that --home, MESH_HOME or the user's data folder names."""
        return Home.locate(self.home_given, os.environ)

    def command(self, rest: str) -> str:
        """A command line to copy: for the same home as this one."""
        if self.home_given is None:
            return f"mesh {rest}"
        return f"mesh --home {shlex.quote(self.home_given)} {rest}"

    def ask(
        self,
        verb: str,
        arguments: dict[str, Any] | None = None,
        timeout: float | None = ANSWER_SECONDS,
    ) -> Any:
        """The running node's answer. Raises NodeClosed when there is none, and what it raises."""
        home = self.home
        for path in home.control_paths():
            try:
                return asyncio.run(ask(path, verb, arguments, timeout))
            except NodeClosed as error:
                if path.exists():
                    # A node that is just closing, or a stale socket: the next place may know.
                    logging.getLogger("noisemesh").debug("%s", error)
        where = home.path or "a home in memory"
        refused = home.control_refusals()
        elsewhere = f" (not looked into: {'; '.join(refused)})" if refused else ""
        raise NodeClosed(
            f"no node is running on {where}; start one with: {self.command('up')}{elsewhere}"
        )

    def show(self, value: object, text: str) -> None:
        """Print a result on standard output: the value as JSON if asked for, else the text."""
        print(as_json(value) if self.json else text, flush=True)

    def log(self, level: int) -> None:
        """Logs go to standard error from `level` on, with --verbose all of them."""
        handler = logging.StreamHandler(sys.stderr)
        handler.setFormatter(_Formatter(self.verbose))
        logger = logging.getLogger("noisemesh")
        logger.handlers = [handler]
        logger.setLevel(logging.DEBUG if self.verbose else level)


class _Formatter(logging.Formatter):
    """One line a record; where an exception came from only with --verbose."""

    def __init__(self, verbose: bool) -> None:
        super().__init__("%(asctime)s %(levelname)-7s %(message)s", "%H:%M:%S")
        self._verbose = verbose

    def format(self, record: logging.LogRecord) -> str:
        if self._verbose or not record.exc_info:
            return super().format(record)
        error = record.exc_info[1]
        short = logging.makeLogRecord({**record.__dict__, "exc_info": None, "exc_text": None})
        return f"{super().format(short)}: {type(error).__name__}: {error}"


def shared_options(function: F) -> F:
    """--home, --json and --verbose, which may stand before the verb or after it."""
    for option in (
        click.option("--verbose", is_flag=True, help="Log everything, and say where errors arose."),
        click.option("--json", is_flag=True, help="Results and errors as JSON, one line each."),
        click.option(
            "--home", metavar="DIR", help="The node's folder; else MESH_HOME, else the user's data."
        ),
    ):
        function = option(function)
    return function


class _Verb(click.Command):
    """A command that takes the shared options out of its arguments before it is called."""

    def invoke(self, ctx: click.Context) -> Any:
        invocation = ctx.ensure_object(Invocation)
        take_shared(ctx, invocation)
        return super().invoke(ctx)


def take_shared(ctx: click.Context, invocation: Invocation) -> None:
    """What the shared options of this part of the command line say goes to the invocation."""
    home = ctx.params.pop("home", None)
    invocation.home_given = home if home is not None else invocation.home_given
    invocation.json |= ctx.params.pop("json", False)
    invocation.verbose |= ctx.params.pop("verbose", False)


class VerbGroup(click.Group):
    """Verbs under one word, as in `mesh trust allow`; takes the shared options behind the word."""

    def invoke(self, ctx: click.Context) -> Any:
        """Take them, then go on to the verb."""
        take_shared(ctx, ctx.ensure_object(Invocation))
        return super().invoke(ctx)


def verb(group: click.Group, name: str | None = None) -> Callable[[Callable[..., Any]], Any]:
    """Decorator: a verb of `group`, called with the Invocation first."""

    def register(function: Callable[..., Any]) -> click.Command:
        passed = shared_options(click.make_pass_decorator(Invocation, ensure=True)(function))
        command: click.Command = click.command(name or function.__name__, cls=_Verb)(passed)
        group.add_command(command)
        return command

    return register
