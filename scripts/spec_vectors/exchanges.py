"""Vectors of sections 6, 7 and 8: whole exchanges, with every secret of both sides."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from handshake.authentication import (
    Established,
    FreshInitiator,
    FreshResponder,
    Initiator,
    Responder,
    mesh_id,
    mesh_psk,
)
from handshake.constants import LABEL_FRESH, SUITES, Reason
from handshake.errors import Refused
from handshake.primitives import Aead, length_prefixed, x25519_public
from mesh.engine import terms
from mesh.engine.resume import Resume
from mesh.engine.settings import Settings
from mesh.wire import frames
from mesh.wire.cbor import dumps
from spec_vectors.material import NOON, Person, number, octets, shown

Lie = Callable[[bytes], bytes]


def patched(place: int, value: bytes) -> Lie:
    """Puts `value` into a payload at `place`, over what stands there."""
    return lambda payload: payload[:place] + value + payload[place + len(value) :]


class _Recorded:
    """A side that remembers its payload, and may change it (`lie`) before it is sealed."""

    payload = b""
    lie: Lie | None = None

    def _payload(self, payload_hash: bytes, peer_id: bytes, said: bytes) -> bytes:
        made: bytes = super()._payload(payload_hash, peer_id, said)  # type: ignore[misc]
        self.payload = made if self.lie is None else self.lie(made)
        return self.payload


class _Initiator(_Recorded, Initiator):
    pass


class _Responder(_Recorded, Responder):
    pass


@dataclass
class Plan:
    """One exchange that shall be made."""

    name: str
    mesh: str
    secret: bytes | None = None
    suites: tuple[list[str], list[str]] = (["ChaChaPoly"], ["ChaChaPoly"])
    generation: int = 0
    resume: Resume = field(default_factory=lambda: terms.FIRST_MEETING)
    delegation_mesh: str | None = None
    lie: Lie | None = None
    wall: int = NOON


class Exchange:
    """An exchange of alice, who begins, with bob; as far as it comes."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.mesh_id = mesh_id(plan.mesh)
        self.psk = mesh_psk(self.mesh_id, plan.secret)
        self.alice, self.bob = Person("alice", self.mesh_id), Person("bob", self.mesh_id)
        self.alice_session = number(f"{plan.name}: alice session")
        self.bob_session = number(f"{plan.name}: bob session")
        self.prologue = frames.prologue(self.mesh_id, self.alice_session)
        self.messages: list[dict[str, object]] = []
        self.fresh: list[Fresh] = []
        self.refused: Refused | None = None
        self._run()
        self.vector = self._vector()

    def _settings(self, person: Person) -> Settings:
        suites = self.plan.suites[0 if person is self.alice else 1]
        return Settings(instance=person.instance, suites=tuple(suites))

    def _run(self) -> None:
        plan = self.plan
        lied_mesh = mesh_id(plan.delegation_mesh) if plan.delegation_mesh else None
        self.initiator = _Initiator(
            self.alice.credentials(lied_mesh),
            mesh_id=self.mesh_id,
            psk=self.psk,
            prologue=self.prologue,
            session_id=self.alice_session,
            random_bytes=lambda _: octets(f"{plan.name}: alice ephemeral"),
        )
        self.responder = _Responder(
            self.bob.credentials(),
            mesh_id=self.mesh_id,
            psk=self.psk,
            prologue=self.prologue,
            session_id=self.bob_session,
            random_bytes=lambda _: octets(f"{plan.name}: bob ephemeral"),
        )
        self.initiator.lie = plan.lie
        noise = self.initiator.message_1()
        self._note(frames.MESSAGE_1, 0, self.alice_session, noise)
        self.responder.read_message_1(noise)
        noise = self.responder.message_2(terms.ours(self._settings(self.bob)))
        self._note(frames.MESSAGE_2, self.alice_session, self.bob_session, noise)
        self.initiator.read_message_2(noise, NOON)
        said = terms.ours(self._settings(self.alice), plan.generation, plan.resume)
        noise = self.initiator.message_3(said)
        self._note(frames.MESSAGE_3, self.bob_session, self.alice_session, noise)
        self._finish(noise)

    def _finish(self, noise: bytes) -> None:
        try:
            claim = self.responder.read_message_3(noise, self.plan.wall)
            self.their_terms = terms.read(claim.peer_id, claim.terms, at_the_end=True)
        except Refused as refusal:
            self.refused = refusal
            if refusal.established is None and refusal.peer_id is not None:
                refusal.established = self.responder.established

    def _note(self, kind: int, receiver: int, sender: int, noise: bytes) -> None:
        side = self.responder if kind == frames.MESSAGE_2 else self.initiator
        self.messages.append(
            {
                "frame": frames.pack_handshake(kind, receiver, sender, noise).hex(),
                "payload_hash": side._noise.payload_hash.hex(),
                "payload": side.payload.hex(),
                "says": shown(_told(side.payload)) if side.payload else None,
            }
        )

    @property
    def suite(self) -> str:
        """The suite that both compute."""
        return terms.suite(self._settings(self.bob), self.their_terms)

    def renew(self, initiated_by: str) -> "Fresh":
        """A fresh exchange inside the newest session."""
        parents = (
            (self.fresh[-1].alice, self.fresh[-1].bob)
            if self.fresh
            else (self.initiator.established, self.responder.established)
        )
        name = f"{self.plan.name}: fresh {len(self.fresh) + 1}"
        made = Fresh(name, initiated_by, *parents)
        self.fresh.append(made)
        self.vector["fresh"] = [fresh.vector for fresh in self.fresh]
        return made

    def _vector(self) -> dict[str, object]:
        plan = self.plan
        common: dict[str, object] = {
            "name": plan.name,
            "mesh": plan.mesh,
            "mesh_secret": None if plan.secret is None else plan.secret.hex(),
            "psk": self.psk.hex(),
            "now": plan.wall,
            "initiator": self._side(self.alice),
            "responder": self._side(self.bob),
            "prologue": self.prologue.hex(),
            "messages": self.messages,
        }
        if self.refused is not None:
            return {**common, **_refusal(self.refused)}
        established = self.responder.established
        return {
            **common,
            "suite": self.suite,
            **keys(established),
            "refusal": _refusal_of(established, Reason.NOT_TRUSTED),
            "fresh": [],
        }

    def _side(self, person: Person) -> dict[str, object]:
        ephemeral = octets(f"{self.plan.name}: {person.name} ephemeral")
        session = self.alice_session if person is self.alice else self.bob_session
        return {
            **person.vector(),
            "ephemeral_private": ephemeral.hex(),
            "ephemeral_public": x25519_public(ephemeral).hex(),
            "session_id": f"{session:016x}",
        }


_HEAD = (
    ("id", 32, bytes),
    ("session_id", 8, int.from_bytes),
    ("not_before", 8, int.from_bytes),
    ("not_after", 8, int.from_bytes),
    ("signature", 64, bytes),
    ("proof", 64, bytes),
)
_TERMS = (
    ("instance", 16, bytes),
    *((name, 8, int.from_bytes) for name in ("window", "message", "generation", "epoch", "next")),
    *((name, 1, int.from_bytes) for name in ("oldest", "newest", "suites")),
)


def _told(payload: bytes) -> dict[str, object]:
    """A payload by the tables of 6.4.1 and 6.6.1; terms that are not whole stay bytes."""
    said, rest = _fields(_HEAD, payload)
    whole = len(rest) >= sum(length for _, length, _ in _TERMS)
    return {**said, "terms": _fields(_TERMS, rest)[0] if whole else rest}


def _fields(
    table: Iterable[tuple[str, int, Callable[[bytes], object]]], data: bytes
) -> tuple[dict[str, object], bytes]:
    said = {}
    for name, length, value in table:
        said[name], data = value(data[:length]), data[length:]
    return said, data


class Fresh:
    """A fresh exchange between the same two; `alice` and `bob` are its results."""

    def __init__(self, name: str, initiated_by: str, alice: Established, bob: Established) -> None:
        self.initiated_by = initiated_by
        parents = {"alice": alice, "bob": bob}
        other = "bob" if initiated_by == "alice" else "alice"
        ephemeral = {who: octets(f"{name}: {who} ephemeral") for who in parents}
        session = {who: number(f"{name}: {who} session") for who in parents}
        initiator = FreshInitiator(
            parents[initiated_by],
            session_id=session[initiated_by],
            random_bytes=lambda _: ephemeral[initiated_by],
        )
        responder = FreshResponder(
            parents[other], session_id=session[other], random_bytes=lambda _: ephemeral[other]
        )
        self.message_1 = initiator.message_1()
        responder.read_message_1(self.message_1)
        self.message_2 = responder.message_2()
        initiator.read_message_2(self.message_2)
        results = {initiated_by: initiator.established, other: responder.established}
        self.alice, self.bob = results["alice"], results["bob"]
        self.vector = {
            "initiator_in_parent": initiated_by == "alice",
            "psk": alice.export().hex(),
            "prologue": length_prefixed(LABEL_FRESH, alice.handshake_hash).hex(),
            "initiator": {
                "ephemeral_private": ephemeral[initiated_by].hex(),
                "session_id": f"{session[initiated_by]:016x}",
            },
            "responder": {
                "ephemeral_private": ephemeral[other].hex(),
                "session_id": f"{session[other]:016x}",
            },
            "messages": [self.message_1.hex(), self.message_2.hex()],
            **keys(self.alice),
        }


def keys(established: Established) -> dict[str, object]:
    """Everything of section 7."""
    return {
        "handshake_hash": established.handshake_hash.hex(),
        "split_keys": [key.hex() for key in established.split_keys],
        "traffic_keys": {suite: _traffic(established, suite) for suite in SUITES},
        "export": established.export().hex(),
    }


def _traffic(established: Established, suite: str) -> dict[str, str]:
    pair = established.traffic_keys(suite)
    first, second = pair if established.initiator else pair[::-1]
    return {"initiator to responder": first.hex(), "responder to initiator": second.hex()}


def _refusal(refused: Refused) -> dict[str, object]:
    """Which reason message 3 was refused for, and the frame that says so, if any does."""
    answer = None
    if refused.established is not None:
        answer = _refusal_of(refused.established, refused.reason)
    return {"reason": refused.reason.value, "refusal": answer}


def _refusal_of(established: Established, reason: Reason) -> dict[str, str]:
    send_key, _ = established.traffic_keys(terms.COMMON_SUITE)
    frame = frames.pack_refusal(
        Aead(terms.COMMON_SUITE, send_key), established.remote_session_id, dumps(reason.value)
    )
    return {"reason": reason.value, "frame": frame.hex()}


def all_exchanges() -> list[Exchange]:
    """Those that come to a good end, each with two fresh exchanges, one begun by either side."""
    both = ["AESGCM", "ChaChaPoly"]
    plans = [
        Plan("open mesh", "default"),
        Plan(
            "mesh with a secret",
            "équipe",
            secret=octets("secret"),
            suites=(both, both),
            generation=3,
            resume=Resume(1, 18),
        ),
        Plan(
            "AES at one side, more versions, suites and terms",
            "team",
            suites=(both, ["ChaChaPoly"]),
            lie=lambda payload: patched(184 + 57, b"\xff\xff")(payload) + b"later",
        ),
    ]
    made = [Exchange(plan) for plan in plans]
    for exchange in made:
        exchange.renew("bob")
        exchange.renew("alice")
    return made
