"""Endpoints as text: which ones can be used, and what a failure to use one means.

Touches the file system only where a Unix socket's file is about to be bound.
"""

import errno
import os
import re
import socket
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from mesh.errors import InvalidConfiguration, PeerUnreachable

_TCP = re.compile(r"tcp://(\[[0-9A-Za-z:.%]+\]|[^\s:/;\[\]]+):([0-9]{1,5}|\*)")
_FORM = 'expected "tcp://host:port" or "ipc://path"'

_MEANINGS = {
    errno.EADDRINUSE: "the address is in use",
    errno.EACCES: "permission denied",
    errno.EADDRNOTAVAIL: "this machine has no such address",
    errno.ENODEV: "this machine has no such address",
    errno.ENOENT: "the directory does not exist",
    errno.ENOTDIR: "the path leads through something that is not a directory",
    errno.ENAMETOOLONG: "the path is too long for a Unix socket (about 100 bytes)",
    errno.EINVAL: _FORM,
    errno.EMFILE: "this process has no socket or open file left",
    errno.ENFILE: "this machine has no open file left",
}


def unusable(verb: str, endpoint: str, code: int) -> InvalidConfiguration | PeerUnreachable:
    """The error that says why the system, with error number `code`, refused an endpoint."""
    text = f"cannot {verb} {endpoint}: {_MEANINGS.get(code) or os.strerror(code)}"
    if code in (errno.EMFILE, errno.ENFILE):
        return PeerUnreachable(text)
    return InvalidConfiguration(text)


def plain_address(address: str) -> str:
    """A peer's network address as limits and logs use it: the IP address, or "ipc"."""
    if address.startswith("localhost:"):
        return "ipc"
    return address.removeprefix("::ffff:")


def check_dial(endpoint: str) -> str:
    """Check an endpoint that shall be dialled; return the address or host name in it, or "ipc".

    Raises InvalidConfiguration.
    """
    if _ipc_path(endpoint) is not None:
        return "ipc"
    host, port = _tcp(endpoint)
    if host == "*" or port in ("*", "0"):
        raise InvalidConfiguration(f"cannot dial {endpoint}: it names no single host and port")
    return host.strip("[]")


def check_bind(endpoint: str) -> bool:
    """Check an endpoint that shall be bound; return whether it is one of IPv6.

    Raises InvalidConfiguration, also when a Unix socket's path holds something else: ZeroMQ
    would remove whatever it finds there, be it a file or the socket of a running node.
    """
    path = _ipc_path(endpoint)
    if path is None:
        host, _ = _tcp(endpoint)
        return host.startswith("[")
    if not path.startswith("@"):
        _check_replaceable(path, endpoint)
    return False


@contextmanager
def private_files(endpoint: str) -> Iterator[None]:
    """A socket file that `endpoint` needs and that is made inside is this user's alone at once.

    The umask is that of the whole process, so it is left alone where no file will be made.
    """
    if not endpoint.startswith("ipc://"):
        yield
        return
    before = os.umask(0o077)
    try:
        yield
    finally:
        os.umask(before)


def make_private(endpoint: str) -> None:
    """Give the socket file of a bound endpoint, if it has one, mode 0600."""
    path = endpoint.removeprefix("ipc://")
    if path != endpoint and not path.startswith("@"):
        os.chmod(path, 0o600)


def _tcp(endpoint: str) -> tuple[str, str]:
    match = _TCP.fullmatch(endpoint)
    if match is None:
        raise InvalidConfiguration(f"not an endpoint: {endpoint!r}; {_FORM}")
    host, port = match.groups()
    if port != "*" and int(port) > 65_535:
        raise InvalidConfiguration(f"not an endpoint: {endpoint!r}; ports end at 65535")
    return host, port.lstrip("0") or "0"


def _ipc_path(endpoint: str) -> str | None:
    path = endpoint.removeprefix("ipc://")
    if path == endpoint:
        return None
    if not path.strip("@*") or "\0" in path:
        raise InvalidConfiguration(f"not an endpoint: {endpoint!r}; it lacks a usable path")
    return path


def _check_replaceable(path: str, endpoint: str) -> None:
    try:
        mode = os.lstat(path).st_mode
    except OSError:
        return
    # Python on Windows knows no Unix sockets and cannot ask, so a file in the way is in the way.
    if not stat.S_ISSOCK(mode) or sys.platform == "win32":
        raise InvalidConfiguration(f"cannot listen on {endpoint}: a file lies there")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)
        try:
            probe.connect(path)
        except (ConnectionRefusedError, FileNotFoundError):
            return
        except OSError:
            pass
    raise InvalidConfiguration(f"cannot listen on {endpoint}: the address is in use")
