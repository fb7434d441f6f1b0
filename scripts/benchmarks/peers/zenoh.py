"""eclipse-zenoh over one TLS link, both sides with certificates.

Two peers that connect directly, with scouting by multicast and gossip off, so that nothing else
happens, and with shared memory off, by which bodies from 3 KiB would go round TLS and loopback.
Publications are reliable and wait when there is no room (`BLOCK`, or zenoh drops them);
they go through a declared publisher, batched (not express), which is what its documentation
advises for many small messages. Subscriber and queryable hand over through a large FIFO channel
that a thread of ours empties: measured 1.5 to 2 times as fast as callbacks. What blocks runs in
plain threads: the library has no asyncio.

Calls are queries, through a declared querier; a call's reply is waited for in the order of the
calls, since a channel for each costs a tenth of a callback for each. Sessions are those of a
client, which looks for nobody (a peer waits 100 ms for others when it opens). Round trips in
`ZenohPubSub` are two publications, express, as zenoh measures its latency.
"""

import json
import socket
import threading
from collections import deque
from importlib.metadata import version
from time import monotonic, perf_counter, sleep
from typing import Any

import cbor2
import zenoh

from benchmarks.certificates import ADDRESS, Papers, make_certificates
from benchmarks.peers import Facts
from benchmarks.peers.asyncio_sides import CountingFromThreads
from benchmarks.peers.threads import streaming
from benchmarks.workloads import Workload

_DATA, _MANY, _ECHO, _PING, _PONG = (
    "bench/data",
    "bench/many",
    "bench/echo",
    "bench/ping",
    "bench/pong",
)
_ROOM = 100_000
_PATIENCE_SECONDS = 10.0


def versions() -> dict[str, str]:
    """What this peer is made of."""
    return {"eclipse-zenoh": version("eclipse-zenoh"), "cbor2": version("cbor2")}


def _configuration(
    papers: Papers, side: str, *endpoints: str, mode: str = "peer"
) -> "zenoh.Config":
    """`side`: "listen" or "connect"; the other one of the two is nowhere."""
    links = {"listen": {"endpoints": []}, side: {"endpoints": endpoints}}
    tls = {
        "root_ca_certificate": papers.authority,
        f"{side}_certificate": papers.certificate,
        f"{side}_private_key": papers.key,
        "enable_mtls": True,
    }
    off = {"enabled": False}
    return zenoh.Config.from_json5(
        json.dumps(
            {
                "mode": mode,
                **links,
                "scouting": {"multicast": off, "gossip": off},
                "transport": {"link": {"tls": tls}, "shared_memory": off},
            }
        )
    )


def _listen(papers: Papers) -> tuple[Any, str]:
    """A session and its endpoint. It does not tell which port it was given, so it is told one."""
    with socket.create_server((ADDRESS, 0)) as probe:
        endpoint = f"tls/{ADDRESS}:{probe.getsockname()[1]}"
    return zenoh.open(_configuration(papers, "listen", endpoint)), endpoint


def _publisher(session: "zenoh.Session", key: str, *, express: bool = False) -> Any:
    return session.declare_publisher(
        key,
        congestion_control=zenoh.CongestionControl.BLOCK,
        reliability=zenoh.Reliability.RELIABLE,
        express=express,
    )


class ZenohReceiver(CountingFromThreads):
    """A thread for what is published and one for queries."""

    def __init__(self) -> None:
        super().__init__()
        self._papers = make_certificates()
        self._others: list[Any] = []

    async def start(self) -> Facts:
        """Open. What a sender must know to reach and to prove us."""
        self._session, endpoint = _listen(self._papers.receiver)
        self._subscribe(self._session, _DATA)
        queries = self._session.declare_queryable(
            _ECHO, zenoh.handlers.FifoChannel(_ROOM), complete=True
        )
        threading.Thread(target=self._echo, args=(queries,), daemon=True).start()
        self._pong = _publisher(self._session, _PONG, express=True)
        pings = self._session.declare_subscriber(_PING, zenoh.handlers.FifoChannel(_ROOM))
        threading.Thread(target=self._play, args=(pings,), daemon=True).start()
        return {"endpoint": endpoint, "papers": tuple(self._papers.sender)}

    def _subscribe(self, session: "zenoh.Session", key: str) -> None:
        arrivals = session.declare_subscriber(key, zenoh.handlers.FifoChannel(_ROOM))
        threading.Thread(target=self._handle, args=(arrivals,), daemon=True).start()

    def _handle(self, arrivals: Any) -> None:
        for sample in arrivals:
            body = sample.payload.to_bytes()
            self.add(cbor2.loads(body) if self.as_dict else body)

    def _echo(self, queries: Any) -> None:
        for query in queries:
            with query:
                self.called()
                query.reply(_ECHO, query.payload)

    def _play(self, pings: Any) -> None:
        for sample in pings:
            self.called()
            self._pong.put(sample.payload)

    async def allow(self, sender: Facts) -> None:
        """Whoever has a certificate of our authority may enter."""

    async def open_many(self, number: int) -> list[Facts]:
        """As many sessions more, each with a listener and a subscriber."""
        facts = []
        for _ in range(number):
            session, endpoint = _listen(self._papers.receiver)
            self._subscribe(session, _MANY)
            self._others.append(session)
            facts.append({"endpoint": endpoint})
        return facts

    async def close(self) -> None:
        """Close every session."""
        for session in (self._session, *self._others):
            session.close()


class ZenohSender:
    """Publishes and queries from the main thread, which has nothing else to do."""

    def __init__(self) -> None:
        self._sessions: list[Any] = []

    async def start(self) -> Facts:
        """Nothing is open before the listener is known."""
        return {}

    async def connect(self, receiver: Facts) -> None:
        """Dial; returns when the subscriber and the queryable are known here."""
        self._papers, self._endpoint = Papers(*receiver["papers"]), receiver["endpoint"]
        session = zenoh.open(_configuration(self._papers, "connect", self._endpoint))
        self._sessions.append(session)
        self._data = _publisher(session, _DATA)
        self._echo = self._querier(session)
        self._ping = _publisher(session, _PING, express=True)
        self._pongs = session.declare_subscriber(_PONG, zenoh.handlers.FifoChannel(_ROOM))
        for declared in (self._data, self._echo, self._ping):
            _wait(lambda declared=declared: declared.matching_status.matching)

    @staticmethod
    def _querier(session: "zenoh.Session") -> Any:
        return session.declare_querier(
            _ECHO,
            consolidation=zenoh.ConsolidationMode.NONE,
            congestion_control=zenoh.CongestionControl.BLOCK,
        )

    async def send(self, workload: Workload) -> None:
        """Publish every body."""
        self._publish(self._data, workload)

    def _publish(self, publisher: Any, workload: Workload) -> None:
        put, body = publisher.put, workload.body
        if workload.as_dict:
            for _ in range(workload.count):
                put(cbor2.dumps(body))
        else:
            for _ in range(workload.count):
                put(body)

    async def ask(self, workload: Workload) -> list[float]:
        """Query one at a time. Seconds of each."""
        get, body = self._echo.get, workload.body
        seconds = []
        for _ in range(workload.count):
            began = perf_counter()
            get(payload=body).recv().ok.payload.to_bytes()
            seconds.append(perf_counter() - began)
        return seconds

    async def ask_many(self, workload: Workload) -> float:
        """Query with many in flight: a new query for each reply."""
        get, body = self._echo.get, workload.body
        began = perf_counter()
        waiting = deque(get(payload=body) for _ in range(workload.in_flight))
        for _ in range(workload.count - workload.in_flight):
            waiting.popleft().recv().ok.payload.to_bytes()
            waiting.append(get(payload=body))
        for replies in waiting:
            replies.recv().ok.payload.to_bytes()
        return perf_counter() - began

    async def ask_beside(self, workload: Workload) -> list[float]:
        """Query one at a time beside a thread that publishes. Seconds of each query."""
        with streaming(self._data.put, workload.bulk_body):
            return await self.ask(workload)

    async def open_sessions(self, workload: Workload) -> float:
        """Open, query, close."""
        endpoint = self._endpoint
        began = perf_counter()
        for _ in range(workload.count):
            configuration = _configuration(self._papers, "connect", endpoint, mode="client")
            with zenoh.open(configuration) as session:
                reply: Any
                (reply,) = session.get(_ECHO, payload=workload.body)
                reply.ok.payload.to_bytes()
        return perf_counter() - began

    async def connect_many(self, receivers: list[Facts]) -> None:
        """A session that is linked to each of them, and one publisher for all."""
        endpoints = [facts["endpoint"] for facts in receivers]
        session = zenoh.open(_configuration(self._papers, "connect", *endpoints))
        self._sessions.append(session)
        self._many = _publisher(session, _MANY)
        _wait(lambda: len(list(session.info.peers_zid())) == len(receivers))
        _wait(lambda: self._many.matching_status.matching)

    async def send_to_all(self, workload: Workload) -> None:
        """Publish every body once."""
        self._publish(self._many, workload)

    async def close(self) -> None:
        """Close every session."""
        for session in self._sessions:
            session.close()


class ZenohPubSubReceiver(ZenohReceiver):
    """The same: it answers pings in any case."""


class ZenohPubSubSender(ZenohSender):
    """Round trips as two publications."""

    async def ask(self, workload: Workload) -> list[float]:
        """Publish and wait for what is published in return. Seconds of each."""
        put, body = self._ping.put, workload.body
        receive: Any = self._pongs.recv
        seconds = []
        for _ in range(workload.count):
            began = perf_counter()
            put(body)
            receive().payload.to_bytes()
            seconds.append(perf_counter() - began)
        return seconds


def _wait(condition: Any) -> None:
    """The library tells of what it has found when asked, and wakes nobody."""
    deadline = monotonic() + _PATIENCE_SECONDS
    while not condition():
        if monotonic() > deadline:
            raise TimeoutError("the other side's declarations did not come")
        sleep(0.01)
