"""A whole peer written from docs/SPEC.md alone, as small as one that talks can be.

It imports nothing of the project. It knows no time: what has to be repeated or to end, a test says.
Comments name the paragraphs that a step obeys.
"""

from collections.abc import Callable, Iterable
from hashlib import shake_256
from struct import pack, unpack
from typing import Any

import nacl.bindings as sodium

import spec_wire as wire
from spec_cbor import decode
from spec_large import GRANT, KINDS, Arrivals, Departures
from spec_noise import KK, XX, Handshake, public, seal

TELL, REQUEST, REPLY, CANCEL = 1, 2, 3, 4
NESTED_REQUESTS = (5, 6, 7, 8)
PING, PONG, WELCOME, CLOSE, GAP, HELLO = 64, 65, 66, 67, 68, 69
HELLO_ANSWER, CHALLENGE, CHALLENGE_ANSWER, FRESH_1, FRESH_2, PROBE = 70, 71, 72, 73, 74, 75
ECHOES = {PING: PONG, HELLO: HELLO_ANSWER, CHALLENGE: CHALLENGE_ANSWER}
WINDOW, MESSAGE = 65_536, 60_000
NESTED_WINDOW, NESTED_BATCHES = 65_536, 32


class Session:
    """7, 9.5: keys of one exchange, and the counters of both directions."""

    def __init__(self, noise: Handshake, suite: str, ids: tuple[int, int], generation: int) -> None:
        self.noise, self.suite, self.generation = noise, suite, generation
        self.local_id, self.remote_id = ids
        self.keys, self.h = noise.split(), noise.h
        ours = 0 if noise.initiator else 1
        directions = ("initiator to responder", "responder to initiator")
        traffic = [
            wire.traffic_key(key, direction, suite, self.h)
            for key, direction in zip(self.keys, directions, strict=True)
        ]
        self._send_key = traffic[ours]
        self.receiver = wire.Receiver(suite, traffic[1 - ours])
        self.counter = 0
        self.confirmed = False

    def seal(self, body: bytes, bulk: bytes | None = None) -> bytes:
        """4.3, 4.4"""
        length = 0 if bulk is None else len(body) + 16
        header = pack(">BBHQQ", 1, 4 if bulk is None else 5, length, self.remote_id, self.counter)
        sealed = b""
        for part in [body] if bulk is None else [body, bulk]:
            sealed += seal(self.suite, self._send_key, self.counter, header, part)
            self.counter += 1
        return header + sealed


class SecondNode:
    """One node with one peer. `frames_out` is what it wants sent."""

    def __init__(
        self, name: str, mesh: str, now: int, suites: Iterable[str], run: str = "first"
    ) -> None:
        self._name, self._made, self._now = f"{name} {run}", 0, now
        self.seed = shake_256(name.encode()).digest(32)
        self.id = sodium.crypto_sign_seed_keypair(self.seed)[0]
        self.static, self.instance = self._octets(32), self._octets(16)
        self.mesh = wire.mesh_id(mesh)
        self.suites = sum(wire.SUITE_BITS[suite] for suite in suites)
        self.peer = b""
        self.frames_out: list[bytes] = []
        self.sessions: dict[int, Session] = {}
        self.got: list[tuple[int, str, Any]] = []
        self.control: list[tuple[int, Any]] = []
        self.bodies: list[wire.Body] = []
        self.refused_because = ""
        self._half_open: tuple[Handshake, int] | None = None
        self._renewal: tuple[Session, Handshake, int] | None = None
        self._remote_session = 0
        # 11.1, 11.3, 11.4: both directions of the delivery.
        self.epoch = -1
        self._enter(0)

    def _enter(self, epoch: int) -> None:
        """Another delivery begins (11.6.3)."""
        if epoch == self.epoch:
            return
        self.epoch = epoch
        self.next, self.credit_given, self.credit = 1, WINDOW, 0
        self.number, self.used = 0, 0
        self.unacknowledged: dict[int, tuple[list[bytes], bytes | None]] = {}
        self.handled_up_to = 0
        # By batch of depth 1 to 4 that is not handled: its depth and cost (11.4.5).
        self.nested: dict[int, tuple[int, int]] = {}
        self.arrivals, self.departures = Arrivals(MESSAGE), Departures(self.send)

    def _octets(self, length: int) -> bytes:
        self._made += 1
        return shake_256(f"{self._name} {self._made}".encode()).digest(length)

    def _session_id(self) -> int:
        return int.from_bytes(self._octets(8), "big")

    # -- section 6

    def _payload(self, role: str, session_id: int, peer: bytes, last: bool) -> Callable[..., bytes]:
        times = self._now - 600, self._now + 172_800
        text = wire.delegation_text(public(self.static), *times, self.mesh)
        head = self.id + pack(">QQQ", session_id, *times) + wire.sign(self.seed, text)
        known = (self._known, self.epoch, self.next) if last else (0, 0, 1)
        terms = wire.TERMS.pack(self.instance, WINDOW, MESSAGE, *known, 1, 1, self.suites)

        def payload(h: bytes) -> bytes:
            proof = wire.proof_text(role, h, public(self.static), peer)
            return head + wire.sign(self.seed, proof) + terms

        return payload

    def _noise(self, initiator: bool, header: bytes) -> Handshake:
        return Handshake(
            XX,
            initiator=initiator,
            prologue=wire.prologue(self.mesh, header),
            psk=wire.mesh_psk(self.mesh, None),
            s=self.static,
            e=self._octets(32),
        )

    def begin(self) -> None:
        """MESSAGE_1"""
        session_id = self._session_id()
        header = wire.pack_handshake(1, 0, session_id, b"")
        noise = self._noise(True, header)
        self._half_open = noise, session_id
        self.frames_out.append(header + noise.write(lambda _: b""))

    def _on_message_1(self, frame: wire.Frame) -> None:
        noise = self._noise(False, frame.header)
        assert noise.read(frame.rest) == b""
        session_id = self._session_id()
        message = noise.write(self._payload("responder", session_id, bytes(32), False))
        self._half_open = noise, session_id
        self.frames_out.append(wire.pack_handshake(2, frame.number, session_id, message))

    def _read(self, frame: wire.Frame, role: str) -> wire.Terms:
        assert self._half_open is not None
        noise = self._half_open[0]
        said = wire.read_payload(noise.read(frame.rest))
        last = role == "initiator"
        known = wire.Checks(
            role, noise.payload_hash, noise.rs, self.id if last else bytes(32), self.mesh,
            self._now, last,
        )  # fmt: skip
        terms = wire.check(said, known)
        self.peer, self._remote_session = said.id, said.session_id
        self._window = terms.window
        return terms

    def _on_message_2(self, frame: wire.Frame) -> None:
        assert self._half_open is not None
        noise, session_id = self._half_open
        said = self._read(frame, "responder")
        message = noise.write(self._payload("initiator", session_id, self.peer, True))
        self.frames_out.append(wire.pack_handshake(3, self._remote_session, session_id, message))
        self._add(noise, said, session_id, 0)

    def _on_message_3(self, frame: wire.Frame) -> None:
        assert self._half_open is not None
        noise, session_id = self._half_open
        said = self._read(frame, "initiator")
        # 6.8.1, 11.6.2
        generation = 1 + max(said.generation, self._known)
        session = self._add(noise, said, session_id, generation)
        self._resume(said.epoch, said.next)
        self._send_control(session, WELCOME, [generation, self.epoch, self.next])

    @property
    def _known(self) -> int:
        """9.3.1; this peer forgets no session."""
        return max([0, *(session.generation for session in self.sessions.values())])

    def _resume(self, epoch: int, following: int) -> None:
        """11.6.2 to 11.6.4; what the peer said of a smaller epoch is nothing."""
        said_of_ours = epoch >= self.epoch
        self._enter(max(epoch, self.epoch))
        self.credit = max(self.credit, self._window)
        self._acknowledge(following - 1 if said_of_ours else 0)

    def _add(self, noise: Handshake, said: wire.Terms, local: int, generation: int) -> Session:
        suite = wire.suite_of(self.suites, said.suites)
        session = Session(noise, suite, (local, self._remote_session), generation)
        self.sessions[local] = session
        return session

    def _on_refusal(self, frame: wire.Frame) -> None:
        """6.9.2, 6.9.3"""
        assert self._half_open is not None
        noise = self._half_open[0]
        key = wire.traffic_key(noise.split()[1], "responder to initiator", "ChaChaPoly", noise.h)
        opened = wire.unseal("ChaChaPoly", key, 0, frame.header, frame.rest)
        self.refused_because = decode(opened)
        self.sessions.clear()

    # -- section 8

    def renew(self) -> None:
        """FRESH_1 on the session that is sent on."""
        parent, session_id = self.current, self._session_id()
        noise = self._fresh(parent, True)
        self._renewal = parent, noise, session_id
        self._send_control(parent, FRESH_1, noise.write(lambda _: pack(">Q", session_id)))

    def _fresh(self, parent: Session, initiator: bool) -> Handshake:
        return Handshake(
            KK,
            initiator=initiator,
            prologue=wire.lp(b"noisemesh 1 fresh exchange", parent.h),
            psk=wire.export(parent.keys, parent.h),
            s=self.static,
            e=self._octets(32),
            rs=parent.noise.rs,
        )

    def _on_fresh_1(self, parent: Session, message: bytes) -> None:
        noise, session_id = self._fresh(parent, False), self._session_id()
        (remote,) = unpack(">Q", noise.read(message))
        answer = noise.write(lambda _: pack(">Q", session_id))
        session = Session(noise, parent.suite, (session_id, remote), parent.generation + 1)
        self.sessions[session_id] = session
        self._send_control(parent, FRESH_2, answer)

    def _on_fresh_2(self, parent: Session, message: bytes) -> None:
        assert self._renewal is not None
        begun, noise, session_id = self._renewal
        assert begun is parent
        (remote,) = unpack(">Q", noise.read(message))
        session = Session(noise, parent.suite, (session_id, remote), parent.generation + 1)
        self.sessions[session_id] = session
        self._send_control(session, PING, 1)

    # -- sections 9 to 13

    @property
    def current(self) -> Session:
        """9.3.2; this peer never has two of one generation."""
        confirmed = [session for session in self.sessions.values() if session.confirmed]
        return max(confirmed, key=lambda session: session.generation)

    def _numbers(self) -> tuple[int, int, int]:
        return self.next - 1, self.handled_up_to, self.credit_given

    def _send_control(self, session: Session, kind: int | None, item: Any = None) -> None:
        runs = [] if kind is None else [wire.packed_run(kind, "", [item])]
        self.frames_out.append(session.seal(wire.write_body(0, self._numbers(), runs)))

    def send(self, runs: list[bytes], bulk: bytes | None = None) -> None:
        """11.1, and 11.4.2: as a test is careful with its credit, there always is some."""
        self.number += 1
        self.unacknowledged[self.number] = runs, bulk
        body = wire.read_body(wire.write_body(self.number, self._numbers(), runs), bulk)
        if body.depth:
            self.nested[self.number] = body.depth, body.cost
            costs = [cost for depth, cost in self.nested.values() if depth == body.depth]
            assert sum(costs) <= NESTED_WINDOW
            assert len(costs) <= NESTED_BATCHES
        else:
            self.used += body.cost
        assert self.used <= self.credit
        self.send_again(self.number)

    def send_again(self, number: int) -> None:
        """11.1.1"""
        runs, bulk = self.unacknowledged[number]
        body = wire.write_body(number, self._numbers(), runs)
        self.frames_out.append(self.current.seal(body, bulk))

    def say(self, kind: int | None, item: Any = None) -> None:
        """One control item, or the numbers alone."""
        self._send_control(self.current, kind, item)

    def _send_all_again(self) -> None:
        """11.5.1; a renewal does not ask for it, and does not mind."""
        for number in self.unacknowledged:
            self.send_again(number)

    def receive(self, data: bytes) -> None:
        """Any frame of the peer."""
        frame = wire.take_apart(data)
        handlers = {1: self._on_message_1, 2: self._on_message_2, 3: self._on_message_3}
        if frame.type in handlers:
            handlers[frame.type](frame)
        elif frame.type == wire.REFUSAL:
            self._on_refusal(frame)
        else:
            session = self.sessions[frame.receiver_session]
            body = wire.read_body(*session.receiver.open(data))
            self._on_body(session, body)

    def _on_body(self, session: Session, body: wire.Body) -> None:
        if not session.confirmed and session.noise.initiator and not session.generation:
            # 6.8.3; a fresh session has a generation from its parent.
            ((kind, _, _, items),) = body.runs
            assert kind == WELCOME
            generation, epoch, following = items()[0]
            assert generation > self._known
            assert epoch >= self.epoch
            session.generation = generation
            session.confirmed = True
            self._resume(epoch, following)
            self._send_control(session, PING, 1)
            self._send_all_again()
            return
        if not session.confirmed:
            session.confirmed = True
            self._send_all_again()
        self.bodies.append(body)
        self._on_numbers(body)
        for kind, subject, _, items in body.runs:
            for item in items():
                if body.batch == 0:
                    self.control.append((kind, item))
                    self._on_control(session, kind, item)
                elif body.batch == self.next:
                    self._on_message(body.batch, kind, subject, item)
        if body.batch == self.next:
            assert body.depth != wire.SEVERAL
            self.next += 1
            self.handled_up_to = body.batch
            self.credit_given += 0 if body.depth else body.cost
            self.arrivals.handled(body.batch)
            self._send_control(self.current, None)
            grants, self.arrivals.grants = self.arrivals.grants, []
            if grants:
                self.send([wire.packed_run(GRANT, "", grants)])

    def _on_message(self, batch: int, kind: int, subject: str, item: Any) -> None:
        if kind == GRANT:
            self.departures.on_grant(item)
        elif kind in KINDS:
            whole = self.arrivals.on_item(batch, kind, subject, item)
            self.got += [] if whole is None else [whole]
        else:
            self.got.append((kind, subject, item))

    def _on_numbers(self, body: wire.Body) -> None:
        self.credit = max(self.credit, body.credit)
        self._acknowledge(body.acknowledged)
        up_to, *ranges = body.handled
        for number in list(self.nested):
            if number <= up_to or any(first <= number <= last for first, last in ranges):
                del self.nested[number]

    def _acknowledge(self, up_to: int) -> None:
        for number in [number for number in self.unacknowledged if number <= up_to]:
            del self.unacknowledged[number]

    def _on_control(self, session: Session, kind: int, item: Any) -> None:
        if kind in ECHOES:
            self._send_control(session, ECHOES[kind], item)
        elif kind == FRESH_1:
            self._on_fresh_1(session, item)
        elif kind == FRESH_2:
            self._on_fresh_2(session, item)
        elif kind == PROBE:
            self._send_control(session, None)
        elif kind == GAP:
            for number in range(item[0], item[1] + 1):
                self.send_again(number)
