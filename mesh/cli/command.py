"""The command itself: its verbs, and what becomes of whatever goes wrong in one of them."""

import json
import os
import sys
import traceback
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import click

from mesh.cli import home_verbs, key_verbs, peer_verbs, trust_verbs, up
from mesh.cli.failures import Exit, describe
from mesh.cli.invocation import Invocation, shared_options, take_shared, verb


class Mesh(click.Group):
    """The group of all verbs; ends the process with one of the exit codes."""

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        **extra: Any,
    ) -> Any:
        """Run the command line. Ends with SystemExit, or returns the code if not standalone."""
        words = list(sys.argv[1:] if args is None else args)
        invocation = Invocation(json="--json" in words, verbose="--verbose" in words)
        extra["obj"] = invocation
        name = prog_name or "mesh"
        try:
            status = super().main(words, name, complete_var, standalone_mode=False, **extra)
            sys.stdout.flush()
        except Exception as error:
            status = _fail(error, invocation)
        except KeyboardInterrupt:
            status = Exit.INTERRUPTED
        code = int(status) if isinstance(status, int) else int(Exit.OK)
        if standalone_mode:
            sys.exit(code)
        return code

    def invoke(self, ctx: click.Context) -> Any:
        """Take the shared options that stand before the verb."""
        take_shared(ctx, ctx.ensure_object(Invocation))
        return super().invoke(ctx)


def _fail(error: Exception, invocation: Invocation) -> int:
    if isinstance(error, BrokenPipeError):
        # Whoever read our output has gone; Python must not try to flush it again at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return Exit.ERROR
    if isinstance(error, click.exceptions.Exit):
        return error.exit_code
    if isinstance(error, click.Abort):
        return Exit.INTERRUPTED
    code, described, line = describe(error)
    if invocation.verbose and not isinstance(error, click.UsageError):
        traceback.print_exception(error, file=sys.stderr)
    print(json.dumps(described) if invocation.json else line, file=sys.stderr)
    return code


@click.group(
    cls=Mesh,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Exit codes: 0 ok, 1 error, 2 usage, 3 unreachable or no node running, 4 not trusted, "
    "5 timeout, 6 denied, 7 queued but not delivered.",
)
@click.version_option(package_name="noisemesh", message="%(package)s %(version)s")
@shared_options
@click.pass_context
def mesh(ctx: click.Context) -> None:
    """Nodes that find each other, prove who they are and talk, with nothing in between.

    A first node:  mesh init, mesh up. In another terminal:  mesh status.
    """
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())


home_verbs.add_to(mesh)
up.add_to(mesh)
peer_verbs.add_to(mesh)
trust_verbs.add_to(mesh)
key_verbs.add_to(mesh)


@verb(mesh)
@click.argument("directory", required=False, type=click.Path(path_type=Path), metavar="[DIR]")
def demo(invocation: Invocation, directory: Path | None) -> int:
    """Show a mesh of several nodes at work on the texts of a folder."""
    conductor = import_module("mesh.cli.demo.conductor")
    return int(conductor.main(directory, invocation.json))
