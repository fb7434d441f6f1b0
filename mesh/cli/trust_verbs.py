"""`mesh trust`: whom the node believes. Through the running node, or on the home if none runs."""

import time
from typing import Any

import click

from handshake.errors import InvalidKey
from handshake.identity import NodeId
from mesh.cli.home_verbs import key_file_of
from mesh.cli.invocation import Invocation, VerbGroup, shared_options, verb
from mesh.errors import HomeInUse, NodeClosed
from mesh.home import keys
from mesh.runtime.trust_verbs import TrustVerbs
from mesh.runtime.trustees import Trust
from mesh.trust.policy import Policy

# A node that is starting or ending has the home's lock, and answers nobody.
_PATIENCE_SECONDS = 3.0
_AGAIN_SECONDS = 0.05


class _Id(click.ParamType[str]):
    """A node id; anything else is a usage error."""

    name = "id"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        try:
            return str(NodeId.parse(value))
        except InvalidKey as error:
            self.fail(f"{value[:80]!r} is no node id ({error}); `mesh id` prints one", param, ctx)


def add_to(group: click.Group) -> None:
    """Give the group these verbs."""

    @group.group(cls=VerbGroup, invoke_without_command=True)
    @shared_options
    @click.pass_context
    def trust(ctx: click.Context) -> None:
        """Whom this node believes: nobody, at first. Changes take effect at once."""
        if ctx.invoked_subcommand is None:
            click.echo(ctx.get_help())

    verb(trust, "allow")(allow)
    verb(trust, "deny")(deny)
    verb(trust, "forget")(forget)
    verb(trust, "list")(list_)
    verb(trust, "reload")(reload)


@click.argument("id", type=_Id())
@click.option("--name", help="What you call it from now on; stays what it was otherwise.")
@click.option("--role", "roles", multiple=True, help="One of its roles; may be repeated.")
def allow(invocation: Invocation, id: str, name: str | None, roles: tuple[str, ...]) -> None:
    """Trust the node with this ID, which its `mesh id` prints."""
    entry = _ask(invocation, "trust-allow", {"id": id, "name": name, "roles": list(roles) or None})
    called = f" as {entry['name']}" if entry["name"] else ""
    roles_said = f", roles {', '.join(entry['roles'])}" if entry["roles"] else ""
    invocation.show(entry, f"trusted{called}{roles_said}: {entry['id']}")


@click.argument("peer")
def deny(invocation: Invocation, peer: str) -> None:
    """Refuse PEER, a name or an id; a session with it ends at once."""
    entry = _ask(invocation, "trust-deny", {"peer": peer})
    invocation.show(entry, f"denied: {_called(entry)}")


@click.argument("peer")
def forget(invocation: Invocation, peer: str) -> None:
    """Strike PEER, a name or an id, from the list; a session with it ends at once."""
    found = _ask(invocation, "trust-forget", {"peer": peer})
    said = "forgotten" if found["forgotten"] else "was not on the list"
    invocation.show(found, f"{said}: {found['id']}")


def list_(invocation: Invocation) -> None:
    """Print the list."""
    _show_entries(invocation, _ask(invocation, "trust-list", {}), "")


def reload(invocation: Invocation) -> None:
    """Read the list from disk again, after it was edited by hand."""
    _show_entries(invocation, _ask(invocation, "trust-reload", {}), "the list was read again\n")


def _show_entries(invocation: Invocation, entries: list[dict[str, Any]], heading: str) -> None:
    lines = [
        "  ".join(
            [
                "allowed" if entry["allowed"] else "denied ",
                entry["id"],
                entry["name"] or "(no name)",
                *entry["roles"],
            ]
        )
        for entry in entries
    ]
    command = invocation.command("trust allow ID --name NAME")
    nobody = f"nobody is trusted yet; to trust a node: {command}"
    invocation.show(entries, heading + ("\n".join(lines) or nobody))


def _called(entry: dict[str, Any]) -> str:
    return f"{entry['name']}, {entry['id']}" if entry["name"] else str(entry["id"])


def _ask(invocation: Invocation, name: str, arguments: dict[str, Any]) -> Any:
    """Through the running node, else on the home itself; never both, never past its lock."""
    give_up_at = time.monotonic() + _PATIENCE_SECONDS
    while True:
        try:
            return invocation.ask(name, arguments)
        except NodeClosed:
            pass
        try:
            return _on_home(invocation, name, arguments)
        except HomeInUse:
            if time.monotonic() >= give_up_at:
                raise
        time.sleep(_AGAIN_SECONDS)


def _on_home(invocation: Invocation, name: str, arguments: dict[str, Any]) -> Any:
    own_id = keys.load_id(key_file_of(invocation))
    policy = Policy()
    trust = Trust(policy, invocation.home)
    trust.load()
    return TrustVerbs(policy, trust, own_id).verbs[name](arguments)
