"""Vectors of sections 6, 7 and 8: whole exchanges, with every secret of both sides."""

from collections.abc import Callable
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
from mesh.wire.cbor import CANONICAL, canonical_loads, dumps
from spec_vectors.material import NOON, Person, number, octets, shown


class Recorder:
    """The canonical codec, with a memory; `lie` may change what is said before it is encoded."""

    def __init__(self, lie: Callable[[dict[str, object]], object] | None = None) -> None:
        self.payloads: list[bytes] = []
        self._lie = lie

    def dumps(self, value: object, /) -> bytes:
        """The encoding, which is remembered."""
        if self._lie is not None and isinstance(value, dict):
            value = self._lie(value)
        payload = CANONICAL.dumps(value)
        self.payloads.append(payload)
        return payload

    loads = staticmethod(CANONICAL.loads)


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
    versions: list[object] = field(default_factory=lambda: [1])
    lie: Callable[[dict[str, object]], object] | None = None
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
        self.codec, self.responder_codec = Recorder(plan.lie), Recorder()
        self.messages: list[dict[str, object]] = []
        self.fresh: list[Fresh] = []
        self.refused: Refused | None = None
        self._run()
        self.vector = self._vector()

    def _terms(self, person: Person, suites: list[str]) -> dict[str, object]:
        ours = terms.ours(Settings(instance=person.instance, suites=tuple(suites)))
        return {**ours, "versions": self.plan.versions if person.name == "alice" else [1]}

    def _run(self) -> None:
        plan = self.plan
        lied_mesh = mesh_id(plan.delegation_mesh) if plan.delegation_mesh else None
        self.initiator = Initiator(
            self.alice.credentials(lied_mesh),
            mesh_id=self.mesh_id,
            psk=self.psk,
            prologue=self.prologue,
            session_id=self.alice_session,
            terms=self._terms(self.alice, plan.suites[0]),
            codec=self.codec,
            random_bytes=lambda _: octets(f"{plan.name}: alice ephemeral"),
        )
        self.responder = Responder(
            self.bob.credentials(),
            mesh_id=self.mesh_id,
            psk=self.psk,
            prologue=self.prologue,
            session_id=self.bob_session,
            terms=self._terms(self.bob, plan.suites[1]),
            codec=self.responder_codec,
            random_bytes=lambda _: octets(f"{plan.name}: bob ephemeral"),
        )
        noise = self.initiator.message_1()
        self._note(frames.MESSAGE_1, 0, self.alice_session, noise, b"")
        self.responder.read_message_1(noise)
        noise = self.responder.message_2()
        told = self.responder_codec.payloads[-1]
        self._note(frames.MESSAGE_2, self.alice_session, self.bob_session, noise, told)
        self.initiator.read_message_2(noise, NOON)
        extra = terms.ours_at_the_end(plan.generation, plan.resume)
        noise = self.initiator.message_3(extra)
        self._note(
            frames.MESSAGE_3, self.bob_session, self.alice_session, noise, self.codec.payloads[-1]
        )
        self._finish(noise)

    def _finish(self, noise: bytes) -> None:
        try:
            claim = self.responder.read_message_3(noise, self.plan.wall)
            self.their_terms = terms.read(claim.peer_id, claim.terms, at_the_end=True)
        except Refused as refusal:
            self.refused = refusal
            if refusal.established is None and refusal.peer_id is not None:
                refusal.established = self.responder.established

    def _note(self, kind: int, receiver: int, sender: int, noise: bytes, payload: bytes) -> None:
        side = self.responder if kind == frames.MESSAGE_2 else self.initiator
        self.messages.append(
            {
                "frame": frames.pack_handshake(kind, receiver, sender, noise).hex(),
                "payload_hash": side._noise.payload_hash.hex(),
                "payload": payload.hex(),
                "says": shown(canonical_loads(payload)) if payload else None,
            }
        )

    @property
    def suite(self) -> str:
        """The suite that both compute."""
        settings = Settings(instance=self.bob.instance, suites=tuple(self.plan.suites[1]))
        return terms.suite(settings, self.their_terms)

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
        Plan("AES at one side", "team", suites=(both, ["ChaChaPoly"])),
    ]
    made = [Exchange(plan) for plan in plans]
    for exchange in made:
        exchange.renew("bob")
        exchange.renew("alice")
    return made
