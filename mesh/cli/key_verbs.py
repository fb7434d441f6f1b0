"""`mesh keys`: the file that holds the node's secret key. No verb here ever shows the key.

All of them work on the file itself, whether a node runs or not: a node reads it once, when it
starts, and a new passphrase counts from its next start on.
"""

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from mesh.cli.home_verbs import (
    PASSPHRASE_VARIABLE,
    ask_passphrase,
    configured_passphrase,
    key_file_of,
)
from mesh.cli.invocation import Invocation, VerbGroup, shared_options, verb
from mesh.errors import InvalidConfiguration
from mesh.home import keys
from mesh.home.lock import HomeLock

# Held while the file is replaced; the home's own lock belongs to the node that may be running.
_LOCK_NAME = "identity.lock"


def add_to(group: click.Group) -> None:
    """Give the group these verbs."""

    @group.group("keys", cls=VerbGroup, invoke_without_command=True)
    @shared_options
    @click.pass_context
    def keys_(ctx: click.Context) -> None:
        """The node's key file: look at it, seal it, copy it. The key itself is never shown."""
        if ctx.invoked_subcommand is None:
            click.echo(ctx.get_help())

    verb(keys_, "show")(show)
    verb(keys_, "passphrase")(passphrase)
    verb(keys_, "backup")(backup)


def show(invocation: Invocation) -> None:
    """Print the id, the key file, and how it is protected."""
    path = key_file_of(invocation)
    found = keys.describe(path)
    mode = f"{stat.S_IMODE(path.stat().st_mode):04o}"
    value = {
        "id": str(found.id),
        "file": str(path),
        "mode": mode,
        "sealed": found.sealed,
        "created": found.created,
    }
    seal_it = f"no; seal it with: {invocation.command('keys passphrase')}"
    rows = [
        ("id", str(found.id)),
        ("file", str(path)),
        ("mode", mode),
        ("sealed", "with a passphrase" if found.sealed else seal_it),
        ("created", found.created or "unknown"),
    ]
    invocation.show(value, "\n".join(f"{name:<8} {text}" for name, text in rows))


@click.option("--remove", is_flag=True, help="Leave the key unsealed: whoever reads it has it.")
def passphrase(invocation: Invocation, remove: bool) -> None:
    """Set, change or remove the key file's passphrase.

    The one it has now comes from MESH_PASSPHRASE or config.toml, else it is asked for; so does the
    new one of a file that has none. Copies made before keep the passphrase they were sealed with.
    """
    path = key_file_of(invocation)
    configured = configured_passphrase(invocation.home)
    was_sealed = keys.is_sealed(path)
    old = (configured or ask_passphrase(f"Passphrase of {path}")) if was_sealed else None
    key = keys.open_key(path, passphrase=old)
    if remove:
        new = None
    elif configured is not None and not was_sealed:
        new = configured
    else:
        # The variable holds the old passphrase of a sealed file, so it cannot name the new one.
        instead = "do it in a terminal" if was_sealed else f"set {PASSPHRASE_VARIABLE}"
        new = ask_passphrase("New passphrase", confirm=True, instead=instead)
    changed = was_sealed or new is not None
    if changed:
        with _writing(path):
            keys.seal_again(path, key, new)
    value = {
        "id": str(key.identity.id),
        "file": str(path),
        "sealed": new is not None,
        "changed": changed,
    }
    invocation.show(value, _said(path, new is not None, changed))
    if configured is not None and configured != new:
        click.echo(
            "mesh: MESH_PASSPHRASE or config.toml still holds another passphrase: a node that "
            "starts with it is refused, change it there too",
            err=True,
        )


@click.argument("file", type=click.Path(path_type=Path))
def backup(invocation: Invocation, file: Path) -> None:
    """Write a sealed copy of the key to FILE, which must not exist.

    It is sealed with the key file's passphrase, or with one that is asked for (or stands in
    MESH_PASSPHRASE) where that has none. To put it back, copy it as identity.toml into an empty
    home of mode 0700.
    """
    path = key_file_of(invocation)
    if os.path.lexists(file):
        raise InvalidConfiguration(f"{file} exists already and is left as it is; name another file")
    secret = configured_passphrase(invocation.home)
    if keys.is_sealed(path):
        secret = secret or ask_passphrase(f"Passphrase of {path}")
        key = keys.open_key(path, passphrase=secret)
    else:
        key = keys.open_key(path)
        secret = secret or ask_passphrase("Passphrase for the copy", confirm=True)
    keys.write_copy(file, key, secret)
    value = {"id": str(key.identity.id), "file": str(file.absolute())}
    invocation.show(
        value,
        f"a sealed copy of the key of {key.identity.id} is in {file}\n"
        "keep its passphrase too: nothing else opens it",
    )


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    """Keeps other writers of the key file out."""
    lock = HomeLock(path.with_name(_LOCK_NAME))
    lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _said(path: Path, sealed: bool, changed: bool) -> str:
    if not changed:
        return f"{path} has no passphrase; nothing was changed"
    if not sealed:
        return f"{path} is not sealed any more: whoever reads it can speak as this node"
    return f"{path} is sealed with the new passphrase; a node needs it from its next start on"
