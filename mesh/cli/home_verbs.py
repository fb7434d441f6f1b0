"""Verbs about a home alone, for which no node need run: `init` and `id`."""

import os
import platform
import sys
from pathlib import Path

import click

from handshake.identity import NodeId
from mesh.cli.failures import Exit, Failure
from mesh.cli.invocation import Invocation, verb
from mesh.errors import InvalidConfiguration
from mesh.home import keys
from mesh.home.configuration import FILE_NAME, Configuration, template
from mesh.home.files import check_folder, write_private
from mesh.home.home import APPLICATION, Home

PASSPHRASE_VARIABLE = "MESH_PASSPHRASE"


def add_to(group: click.Group) -> None:
    """Give the group these verbs."""
    verb(group, "init")(init)
    verb(group, "id")(id_)


@click.option("--name", help="What the node calls itself; else the folder's or machine's name.")
@click.option(
    "--passphrase", is_flag=True, help=f"Seal the key; asked for, or from {PASSPHRASE_VARIABLE}."
)
def init(invocation: Invocation, name: str | None, passphrase: bool) -> None:
    """Make a home: the node's key and its configuration. Nothing is ever overwritten."""
    home = invocation.home
    if home.path is None:
        raise Failure(Exit.USAGE, "Usage", "a home in memory cannot be made: give --home a folder")
    _refuse_made(home)  # also while its node runs and has the lock
    secret = configured_passphrase(home)
    if passphrase and secret is None:
        secret = ask_passphrase("Passphrase for the new key", confirm=True)
    with home:
        node_id, name = make(home, name, secret)
    value = {"id": str(node_id), "name": name, "home": str(home.path), "sealed": secret is not None}
    text = f"{name} lives in {home.path}\nid  {node_id}\nstart it with:  "
    invocation.show(value, text + invocation.command("up"))


def id_(invocation: Invocation) -> None:
    """Print this node's id, which others trust it by."""
    node_id = keys.load_id(key_file_of(invocation))
    invocation.show({"id": str(node_id)}, str(node_id))


def key_file_of(invocation: Invocation) -> Path:
    """The key file of a home that has a node and is private, as its node would demand.

    Raises Failure (usage) for a home in memory, InvalidConfiguration for others that will not do.
    """
    home = invocation.home
    if home.path is None or home.key_file is None:
        raise Failure(Exit.USAGE, "Usage", "a home in memory keeps nothing: give --home a folder")
    if os.path.lexists(home.path):
        check_folder(home.path)
    if not os.path.lexists(home.key_file):
        raise InvalidConfiguration(
            f"there is no node in {home.path}; make one with: {invocation.command('init')}"
        )
    return home.key_file


def make(home: Home, name: str | None, passphrase: str | None) -> tuple[NodeId, str]:
    """Key and configuration of a new node: its id and name. The caller holds the home's lock.

    Raises InvalidConfiguration, with nothing changed, when there is one already.
    """
    assert home.path is not None
    assert home.key_file is not None
    _refuse_made(home)
    file = home.path / FILE_NAME
    if os.path.lexists(file):
        if name is not None:
            raise InvalidConfiguration(f"{file} exists and is left as it is; set the name in there")
        name = Configuration.load(home.path, os.environ).name
    else:
        name = Configuration(name=name).name if name is not None else usual_name(home.path)
        write_private(file, template(name).encode(), replace=False)
    return keys.create(home.key_file, passphrase=passphrase).id, name


def _refuse_made(home: Home) -> None:
    if home.key_file is not None and os.path.lexists(home.key_file):
        raise InvalidConfiguration(
            f"{home.path} is the home of a node already; it is left as it is"
        )


def usual_name(path: Path) -> str:
    """A name for who gives none: that of a folder chosen for it, else that of the machine."""
    for candidate in (path.name.strip("."), platform.node().partition(".")[0]):
        try:
            if candidate and candidate != APPLICATION:
                return Configuration(name=candidate).name
        except InvalidConfiguration:
            continue
    return Configuration().name


def configured_passphrase(home: Home) -> str | None:
    """The passphrase of MESH_PASSPHRASE or config.toml, as a node of this home would take it."""
    hidden = Configuration.load(home.path, os.environ).passphrase
    return None if hidden is None else hidden.reveal()


def ask_passphrase(
    question: str, *, confirm: bool = False, instead: str = f"set {PASSPHRASE_VARIABLE}"
) -> str:
    """A passphrase from the terminal, unseen. Raises Failure (usage) where there is none.

    `instead`: what to do without a terminal.
    """
    if not has_terminal():
        raise Failure(
            Exit.USAGE,
            "NoPassphrase",
            f"a passphrase is needed and there is no terminal to ask on; {instead}",
        )
    answer: str = click.prompt(
        question, hide_input=True, confirmation_prompt=confirm, err=True, type=str
    )
    return answer


def has_terminal() -> bool:
    """Whether somebody sits there who could be asked."""
    return sys.stdin.isatty()
