"""nats-py through a nats-server of its own on loopback, mutual TLS on every connection.

A broker stands between, as NATS has it: what sender and receiver burn is shown, the server's own
work is not. Publications are gathered by the client and flushed when 2 MiB wait, its default. The
limits above which a slow subscriber loses messages or its connection are lifted on both sides of
the server. Calls have connections of their own, or they would wait behind whatever bulk the server
holds for the receiver; bulk beside calls is flushed every MiB. The server takes no body of more
than 1 MiB unless it is configured to.
"""

import json
import logging
import os
import shutil
import ssl
import subprocess
import tempfile
from importlib.metadata import version
from pathlib import Path
from time import monotonic, perf_counter, sleep
from typing import Any

import cbor2
import nats

from benchmarks.certificates import ADDRESS, Papers, make_certificates
from benchmarks.peers import Facts, NotHere
from benchmarks.peers.asyncio_sides import Calling, Counting
from benchmarks.workloads import MIB, Workload

_DATA, _MANY, _ECHO = "bench.data", "bench.many", "bench.echo"
_UNLIMITED = 1 << 40
# The client keeps its connection half open at its end, which asyncio remarks on each time.
logging.getLogger("asyncio").setLevel(logging.ERROR)
_START_SECONDS = 10.0

# The server ends when its standard input does, so it outlives nobody who has started it.
_TIED = '"$1" -c "$2" & read -r _; kill $!'

_CONFIGURATION = """
listen: "{address}:-1"
ports_file_dir: "{folder}"
max_payload: 1048576
max_pending: 1073741824
write_deadline: "60s"
tls {{
  cert_file: "{papers.certificate}"
  key_file: "{papers.key}"
  ca_file: "{papers.authority}"
  verify: true
}}
"""


def versions() -> dict[str, str]:
    """What this peer is made of."""
    said = subprocess.run([_server(), "--version"], capture_output=True, text=True, check=True)
    return {"nats-py": version("nats-py"), "nats-server": said.stdout.split()[-1].lstrip("v")}


def _server() -> str:
    """Where the server's program is. Raises NotHere."""
    # Debian puts it where only the administrator's shell looks.
    found = shutil.which("nats-server", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    if found is None:
        raise NotHere("nats-server is not installed (Debian and Ubuntu: apt install nats-server)")
    return found


class _Server:
    """A server that lives as long as this process."""

    def start(self, papers: Papers) -> int:
        """The port of it."""
        folder = Path(tempfile.mkdtemp(prefix="nats-"))
        configuration = folder / "nats.conf"
        configuration.write_text(
            _CONFIGURATION.format(address=ADDRESS, folder=folder, papers=papers), encoding="utf-8"
        )
        self._process = subprocess.Popen(
            ["sh", "-c", _TIED, "sh", _server(), configuration],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        deadline = monotonic() + _START_SECONDS
        while monotonic() < deadline:
            for path in folder.glob("*.ports"):
                if said := path.read_text(encoding="utf-8"):
                    (url,) = json.loads(said)["nats"]
                    return int(url.rsplit(":", 1)[1])
            sleep(0.02)
        raise TimeoutError("nats-server does not say where it listens")

    def end(self) -> None:
        """End it and wait for that."""
        self._process.communicate(b"\n")


async def _client(port: int, papers: Papers) -> Any:
    context = ssl.create_default_context(ssl.Purpose.SERVER_AUTH, cafile=papers.authority)
    context.load_cert_chain(papers.certificate, papers.key)
    return await nats.connect(
        f"tls://{ADDRESS}:{port}", tls=context, tls_hostname="localhost", allow_reconnect=False
    )


class NatsReceiver(Counting):
    """Starts the server; subscribes by callbacks."""

    def __init__(self) -> None:
        super().__init__()
        self._server = _Server()
        self._clients: list[Any] = []

    async def start(self) -> Facts:
        """Open. What a sender must know to reach and to prove us."""
        self._papers = make_certificates()
        self._port = self._server.start(self._papers.receiver)
        await self._subscribe(_DATA)
        calls = await _client(self._port, self._papers.receiver)
        self._clients.append(calls)
        await calls.subscribe(_ECHO, cb=self._echo)
        await calls.flush()
        return {"port": self._port, "papers": tuple(self._papers.sender)}

    async def _subscribe(self, subject: str) -> None:
        client = await _client(self._port, self._papers.receiver)
        self._clients.append(client)
        await client.subscribe(
            subject,
            cb=self._handle,
            pending_msgs_limit=_UNLIMITED,
            pending_bytes_limit=_UNLIMITED,
        )
        await client.flush()

    async def _handle(self, message: Any) -> None:
        self.add(cbor2.loads(message.data) if self.as_dict else message.data)

    async def _echo(self, message: Any) -> None:
        self.called()
        await message.respond(message.data)

    async def allow(self, sender: Facts) -> None:
        """Whoever has a certificate of our authority may enter."""

    async def open_many(self, number: int) -> list[Facts]:
        """As many subscribers, each with a connection."""
        for _ in range(number):
            await self._subscribe(_MANY)
        return [{}] * number

    async def close(self) -> None:
        """Leave, and end the server."""
        for client in self._clients:
            await client.close()
        self._server.end()


class NatsSender(Calling):
    """Publishes and asks."""

    async def start(self) -> Facts:
        """Nothing is open before the server is known."""
        return {}

    async def connect(self, receiver: Facts) -> None:
        """Reach the server."""
        self._port, self._papers = receiver["port"], Papers(*receiver["papers"])
        self._client = await _client(self._port, self._papers)
        self._calls = await _client(self._port, self._papers)

    async def send(self, workload: Workload) -> None:
        """Publish every body."""
        await self._send(_DATA, workload)

    async def _send(self, subject: str, workload: Workload) -> None:
        publish, body = self._client.publish, workload.body
        for _ in range(workload.count):
            await publish(subject, cbor2.dumps(body) if workload.as_dict else body)
        await self._client.flush(timeout=60)

    async def call(self, body: bytes) -> object:
        """One request, answered."""
        return await self._calls.request(_ECHO, body, timeout=30)

    async def put(self, body: bytes) -> None:
        """One body one way."""
        await self._client.publish(_DATA, body)
        if self._client.pending_data_size >= MIB:
            await self._client.flush()

    async def open_sessions(self, workload: Workload) -> float:
        """A connection for each."""
        began = perf_counter()
        for _ in range(workload.count):
            client = await _client(self._port, self._papers)
            await client.request(_ECHO, workload.body, timeout=30)
            await client.close()
        return perf_counter() - began

    async def connect_many(self, receivers: list[Facts]) -> None:
        """The server knows where they are."""

    async def send_to_all(self, workload: Workload) -> None:
        """Publish every body once."""
        await self._send(_MANY, workload)

    async def close(self) -> None:
        """Leave."""
        await self._client.close()
        await self._calls.close()
