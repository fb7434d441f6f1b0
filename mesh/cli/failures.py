"""How a command ends when it fails: one line, and an exit code that scripts can rely on."""

from enum import IntEnum
from typing import Any

import click

from mesh.errors import (
    CallTimeout,
    DeliveryFailed,
    Denied,
    MeshError,
    NodeClosed,
    NotTrusted,
    PeerUnreachable,
    WaitTimeout,
)


class Exit(IntEnum):
    """The exit codes of `mesh`."""

    OK = 0
    ERROR = 1
    USAGE = 2
    UNREACHABLE = 3
    """No node is running on this home, or the peer is not connected."""
    NOT_TRUSTED = 4
    TIMEOUT = 5
    DENIED = 6
    QUEUED = 7
    """A message was queued, but is not known to have been delivered."""
    INTERRUPTED = 130


class Failure(Exception):
    """What a verb itself found to be wrong. `kind`: its name in JSON."""

    def __init__(self, code: Exit, kind: str, text: str) -> None:
        super().__init__(text)
        self.code = code
        self.kind = kind


# The first that fits: an error stands before those it is derived from.
_CODES: tuple[tuple[type[MeshError], Exit], ...] = (
    (Denied, Exit.DENIED),
    (NotTrusted, Exit.NOT_TRUSTED),
    (CallTimeout, Exit.TIMEOUT),
    (WaitTimeout, Exit.TIMEOUT),
    (PeerUnreachable, Exit.UNREACHABLE),
    (NodeClosed, Exit.UNREACHABLE),
)

# Whose fault: said where it is not the fault of whoever typed the command.
_AT = {"caller": "", "policy": "", "network": "network: ", "peer": "peer: ", "ours": "node: "}


def code_of(error: MeshError) -> Exit:
    """The exit code that stands for an error."""
    return next((code for kind, code in _CODES if isinstance(error, kind)), Exit.ERROR)


def describe(error: Exception) -> tuple[Exit, dict[str, Any], str]:
    """The exit code, the error as JSON and the line for people."""
    if isinstance(error, click.UsageError):
        path = error.ctx.command_path if error.ctx is not None else "mesh"
        text = f"{error.format_message().rstrip('.')}; {_hint(error)}see: {path} --help"
        return Exit.USAGE, _as_json("Usage", "caller", text, Exit.USAGE), f"mesh: {text}"
    if isinstance(error, Failure):
        text = str(error)
        return error.code, _as_json(error.kind, "caller", text, error.code), f"mesh: {text}"
    if isinstance(error, MeshError):
        code, text = code_of(error), str(error)
        described = _as_json(type(error).__name__, error.fault, text, code)
        if isinstance(error, DeliveryFailed):
            described["error"]["outcome"] = error.outcome
            text += f"; {error.fate}"
        return code, described, f"mesh: {_AT[error.fault]}{on_one_line(text)}"
    text = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    described = _as_json(type(error).__name__, "ours", text, Exit.ERROR)
    line = f"mesh: unexpected: {on_one_line(text)}; with --verbose it says where"
    return Exit.ERROR, described, line


def _hint(error: click.UsageError) -> str:
    """-5 is no option but a body, and only "--" can say so."""
    takes_body = error.ctx is not None and any(p.name == "body" for p in error.ctx.command.params)
    if takes_body and isinstance(error, click.NoSuchOption):
        return 'a BODY that begins with a dash stands after "--"; '
    return ""


def on_one_line(text: str) -> str:
    """Text as one line that cannot command a terminal: what does not print is escaped."""
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode()
        for character in text
    )


def _as_json(kind: str, fault: str, text: str, code: Exit) -> dict[str, Any]:
    return {"error": {"kind": kind, "fault": fault, "text": text, "exit_code": int(code)}}
