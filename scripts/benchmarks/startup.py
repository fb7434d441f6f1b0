"""A fresh process until it can be reached: time to import, time to ready, memory when idle.

A program that starts a peer is a few lines of text, run by a Python of its own, so that nothing
of the benchmark is in its memory or in its time. "Ready" counts from the moment the process was
asked for, so the interpreter's own start is in it.
"""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from time import perf_counter
from typing import NamedTuple

from benchmarks.peers import Peer
from benchmarks.process import PeerFailed

_SECONDS = 30


class _Program(NamedTuple):
    """What is imported, and what then opens a listener, inside a coroutine.

    `PAPERS`: certificate, key and authority, as paths.
    """

    imports: str
    opening: str


_PROGRAMS = {
    "noisemesh": _Program(
        "from mesh import Node",
        """
node = Node("idle", home=":memory:", listen="tcp://127.0.0.1:0")
await node.start()
""",
    ),
    "curve": _Program(
        "import zmq, zmq.auth.thread",
        """
context = zmq.Context()
guard = zmq.auth.thread.ThreadAuthenticator(context)
guard.start()
guard.configure_curve(domain="*", location=zmq.auth.CURVE_ALLOW_ANY)
socket = context.socket(zmq.ROUTER)
socket.curve_publickey, socket.curve_secretkey = zmq.curve_keypair()
socket.curve_server = True
socket.bind_to_random_port("tcp://127.0.0.1")
""",
    ),
    "tls": _Program(
        "import ssl",
        """
context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=PAPERS[2])
context.verify_mode = ssl.CERT_REQUIRED
context.load_cert_chain(PAPERS[0], PAPERS[1])
server = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0, ssl=context)
""",
    ),
    "zenoh": _Program(
        "import zenoh",
        """
configuration = zenoh.Config.from_json5(json.dumps({
    "mode": "peer",
    "listen": {"endpoints": ["tls/127.0.0.1:0"]},
    "scouting": {"multicast": {"enabled": False}, "gossip": {"enabled": False}},
    "transport": {"link": {"tls": {
        "listen_certificate": PAPERS[0],
        "listen_private_key": PAPERS[1],
        "root_ca_certificate": PAPERS[2],
        "enable_mtls": True,
    }}},
}))
session = zenoh.open(configuration)
""",
    ),
    "grpc": _Program(
        "import grpc.aio",
        """
certificate, key, authority = (open(path, "rb").read() for path in PAPERS)
server = grpc.aio.server()
server.add_secure_port("127.0.0.1:0", grpc.ssl_server_credentials(
    [(key, certificate)], root_certificates=authority, require_client_auth=True))
await server.start()
""",
    ),
}

# Who was started before: the first time files are read and compiled.
_KNOWN: set[str] = set()

_FRAME = """
import sys, time
began = time.perf_counter()
{imports}
imported = time.perf_counter()
import asyncio, json, os
from pathlib import Path
PAPERS = sys.argv[1:]
async def main():
{opening}
    ready = time.perf_counter()
    pages = Path("/proc/self/statm")
    memory = int(pages.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") if pages.exists() else 0
    print(json.dumps([imported - began, ready, memory]), flush=True)
    os._exit(0)
asyncio.run(main())
"""


def measure_start(peer: Peer, papers: Sequence[str]) -> dict[str, float]:
    """The figures of one fresh process, once its files are in memory. Raises PeerFailed.

    `papers`: files of a certificate, its key and the authority.
    """
    if peer.name not in _KNOWN:
        _KNOWN.add(peer.name)
        _start(peer, papers)
    return _start(peer, papers)


def _start(peer: Peer, papers: Sequence[str]) -> dict[str, float]:
    imports, opening = _PROGRAMS[peer.name]
    indented = "".join(f"    {line}\n" for line in opening.strip().splitlines())
    program = _FRAME.format(imports=imports, opening=indented)
    began = perf_counter()
    try:
        done = subprocess.run(
            [sys.executable, "-c", program, *papers],
            capture_output=True,
            text=True,
            timeout=_SECONDS,
            check=False,
            env=_environment(),
        )
    except subprocess.TimeoutExpired:
        raise PeerFailed(f"{peer.name} was not ready within {_SECONDS} s") from None
    if done.returncode:
        last = (done.stderr.strip().splitlines() or [""])[-1]
        raise PeerFailed(f"{peer.name} did not start: {last}")
    imported, ready, memory = json.loads(done.stdout)
    return {
        "import_ms": imported * 1e3,
        "ready_ms": (ready - began) * 1e3,
        "idle_mib": memory / 2**20,
    }


def _environment() -> dict[str, str]:
    """Ours, without what would change how a node or an interpreter starts."""
    unwanted = ("MESH_", "PYTHONDONTWRITEBYTECODE")
    return {name: value for name, value in os.environ.items() if not name.startswith(unwanted)}
