"""Verbs that ask the running node about its peers, or have it talk to one."""

import sys
from collections.abc import Iterator
from typing import Any

import click

from mesh.cli.bodies import read_body, reply_text
from mesh.cli.failures import Exit, Failure
from mesh.cli.invocation import Invocation, Seconds, verb

SEND_SECONDS = 10.0
PING_SECONDS = 5.0
# What the node may take beside the time that was asked for.
GRACE_SECONDS = 10.0

_BODY_HELP = """\
BODY is JSON if it parses as JSON, else text; none is null, "-" reads standard input. One that
begins with a dash stands after "--".
"""


def add_to(group: click.Group) -> None:
    """Give the group these verbs."""
    for function in (status, peers, ping, call, send):
        verb(group)(function)


def status(invocation: Invocation) -> None:
    """Say what the running node is, whom it knows and what it counted."""
    found = invocation.ask("status")
    uptime = _duration(found["uptime_seconds"])
    lines = [
        f"{found['name']} is up for {uptime}, process {found['process']}",
        f"id         {found['id']}",
        f"home       {found['home']}",
        f"mesh       {found['mesh']}",
        *(f"endpoint   {endpoint}" for endpoint in found["endpoints"]),
        *_peer_lines(found),
        "counters",
        *(f"  {name}  {number}" for name, number in found["counters"].items()),
    ]
    invocation.show(found, "\n".join(lines))


def peers(invocation: Invocation) -> None:
    """List peers: connected, trusted but absent, and strangers with what would trust them."""
    found = invocation.ask("peers")
    invocation.show(found, "\n".join(_peer_lines(found)))


@click.argument("peer")
@click.option("-c", "count", default=1, type=click.IntRange(1), help="How often; 1 by default.")
@click.option("--timeout", type=Seconds, default=PING_SECONDS, help="Seconds; 5 by default.")
def ping(invocation: Invocation, peer: str, count: int, timeout: float) -> None:
    """Time the sealed round trip to PEER, a name from the trust list or an id."""
    for _ in range(count):
        arguments = {"peer": peer, "timeout": timeout}
        found = invocation.ask("ping", arguments, timeout + GRACE_SECONDS)
        invocation.show(found, f"{found['peer']}: {_milliseconds(found['round_trip_seconds'])}")


@click.argument("peer")
@click.argument("subject")
@click.argument("body", required=False)
@click.option("--bytes", "raw", is_flag=True, help="BODY, and a reply that is bytes, as they are.")
@click.option("--timeout", type=Seconds, help="Seconds; what the node's configuration says.")
def call(
    invocation: Invocation,
    peer: str,
    subject: str,
    body: str | None,
    raw: bool,
    timeout: float | None,
) -> None:
    value = read_body(body, sys.stdin.buffer, raw=raw)
    reply = invocation.ask(
        "call",
        {"peer": peer, "subject": subject, "body": value, "timeout": timeout},
        None if timeout is None else timeout + GRACE_SECONDS,
    )
    if raw and isinstance(reply, bytes) and not invocation.json:
        sys.stdout.buffer.write(reply)
        sys.stdout.buffer.flush()
    else:
        invocation.show(reply, reply_text(reply))


call.__doc__ = f"""Ask PEER and print its reply: text as it is, all else as JSON.

    {_BODY_HELP}"""


@click.argument("peer")
@click.argument("subject")
@click.argument("body", required=False)
@click.option("--bytes", "raw", is_flag=True, help="Send BODY as bytes.")
@click.option(
    "--handled", is_flag=True, help="Wait until the peer is done with it, handler or none."
)
@click.option("--timeout", type=Seconds, default=SEND_SECONDS, help="Seconds; 10 by default.")
def send(
    invocation: Invocation,
    peer: str,
    subject: str,
    body: str | None,
    raw: bool,
    handled: bool,
    timeout: float,
) -> None:
    value = read_body(body, sys.stdin.buffer, raw=raw)
    arguments = {"peer": peer, "subject": subject, "body": value}
    arguments |= {"timeout": timeout, "handled": handled}
    sent = invocation.ask("send", arguments, timeout + GRACE_SECONDS)
    name, standing = sent["peer"], sent["standing"]
    if standing == "queued":
        raise Failure(
            Exit.QUEUED,
            "Queued",
            f"{name} has not confirmed the message within {timeout:g} s; it is queued, and the "
            "running node goes on trying",
        )
    if handled and standing != "handled":
        raise Failure(
            Exit.TIMEOUT,
            "NotHandled",
            f"{name} has the message, but its handler has not returned within {timeout:g} s",
        )
    invocation.show(sent, f"{name} is done with it" if handled else f"delivered to {name}")


send.__doc__ = f"""Send PEER a direct message and wait until it is delivered.

    {_BODY_HELP}"""


def _peer_lines(found: dict[str, Any]) -> Iterator[str]:
    """Peers, strangers and vain dialling as a person reads them."""
    yield "peers" if found["peers"] else "peers      none"
    for peer in found["peers"]:
        parts = [peer["name"] or "(no name)", _presence(peer, _is_dialled(peer, found))]
        if peer["roles"]:
            parts.append(f"roles {', '.join(peer['roles'])}")
        if peer["generation"] is not None:
            parts.append(f"{peer['suite']}, generation {peer['generation']}")
        if peer["round_trip_seconds"] is not None:
            parts.append(_milliseconds(peer["round_trip_seconds"]))
        parts.extend(peer["endpoints"])
        yield "  " + "  ".join(parts)
        yield f"    {peer['id']}"
    if found["strangers"]:
        yield "strangers"
    for stranger in found["strangers"]:
        yield f"  {stranger['id']}"
        endpoints = [wish["endpoint"] for wish in found["dialling"] if _is_of(wish, stranger)]
        whence = _whence(stranger["address"], endpoints)
        yield f"    {stranger['reason']}, {whence}; to trust it:"
        yield f"    {stranger['command']}"
    vain = [
        wish
        for wish in found["dialling"]
        if not any(_is_of(wish, stranger) for stranger in found["strangers"])
    ]
    if vain:
        yield "dialling in vain"
    for wish in vain:
        known = wish["endpoint"] in wish["trouble"]
        yield f"  {wish['trouble']}" if known else f"  {wish['endpoint']}: {wish['trouble']}"


def _is_of(wish: dict[str, Any], stranger: dict[str, Any]) -> bool:
    """Whether dialling is in vain because of this stranger: it is listed once, as a stranger."""
    return stranger["command"] in wish["trouble"]


def _whence(address: str, endpoints: list[str]) -> str:
    said = [] if address.startswith("dialled ") else [f"from {address}"]
    if endpoints or not said:
        said.append(" ".join(["where this node dialled", *endpoints]))
    return " and ".join(said)


def _is_dialled(peer: dict[str, Any], found: dict[str, Any]) -> bool:
    """Whether this node asks that peer again: it knows an endpoint that led to it."""
    return bool(peer["endpoints"]) or any(
        str(peer["id"]) in wish["trouble"] for wish in found["dialling"]
    )


def _presence(peer: dict[str, Any], dialled: bool) -> str:
    said = [str(peer["presence"])]
    if peer["silent_seconds"] is not None and peer["silent_seconds"] >= 1:
        said.append(f"last heard {_duration(peer['silent_seconds'])} ago")
    if peer["refusal"]:
        again = " (asked again every 15 s; `mesh ping` asks at once)" if dialled else ""
        said.append(f"refuses this node: {peer['refusal']}{again}")
    return ", ".join(said)


def _milliseconds(seconds: float) -> str:
    return f"{seconds * 1000:.2f} ms"


def _duration(seconds: float) -> str:
    whole = int(seconds)
    days, hours, minutes = whole // 86_400, whole // 3600 % 24, whole // 60 % 60
    parts = [(days, "d"), (hours, "h"), (minutes, "min"), (whole % 60, "s")]
    said = [f"{number} {unit}" for number, unit in parts if number][:2]
    return " ".join(said) or "0 s"
