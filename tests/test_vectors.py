"""The vectors of docs/SPEC.md: made anew they are the same, and another implementation agrees.

What replays them (`spec_cbor`, `spec_noise`, `spec_wire`) was written from that page alone.
"""

import ast
import json
import struct
from pathlib import Path
from typing import Any

import pytest

import spec_cbor
import spec_large
import spec_noise
import spec_peer
import spec_wire
from spec_noise import KK, XX, Handshake, NotOpened, public
from spec_vectors import files
from spec_wire import Checks, Receiver, Refused

ROOT = Path(__file__).resolve().parent.parent
STORED = ROOT / "tests" / "vectors"


def _load(name: str) -> Any:
    return json.loads((STORED / name).read_text(encoding="ascii"))


def _named(cases: list[dict[str, Any]]) -> list[Any]:
    return [pytest.param(case, id=case["name"]) for case in cases]


IDENTITIES = _load("identities.json")
EXCHANGES = _load("exchanges.json")["exchanges"]
CONVERSATIONS = _load("frames.json")["conversations"]
STORIES = _load("large.json")["stories"]
REFUSED = _load("refused.json")


def octets(text: str) -> bytes:
    """Bytes of hexadecimal text."""
    return bytes.fromhex(text)


def shown(value: Any) -> Any:
    """A value as section 18 writes it in JSON."""
    if isinstance(value, bytes):
        return {"bytes": value.hex()}
    if isinstance(value, float):
        return {"float": struct.pack(">d", value).hex()}
    if isinstance(value, dict):
        return {"map": [[shown(key), shown(item)] for key, item in value.items()]}
    if isinstance(value, list):
        return [shown(item) for item in value]
    if type(value) is int and abs(value) >= 1 << 53:
        return {"int": str(value)}
    return value


# -- the files


def test_made_anew_the_vectors_are_the_same() -> None:
    """`scripts/make_vectors` gives the stored files byte for byte, and no others are there."""
    made = files()
    stored = {path.name: path.read_text(encoding="ascii") for path in STORED.iterdir()}
    assert sorted(made) == sorted(stored)
    assert [name for name in made if made[name] != stored[name]] == []


@pytest.mark.parametrize("module", [spec_cbor, spec_noise, spec_wire, spec_large, spec_peer])
def test_the_other_implementation_is_another_one(module: Any) -> None:
    """What replays the vectors imports nothing of the project."""
    tree = ast.parse(Path(module.__file__).read_text(encoding="utf-8"))
    names = {alias.name for node in ast.walk(tree) for alias in getattr(node, "names", [])}
    names |= {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert names
    assert {name.partition(".")[0] for name in names} & {"mesh", "handshake", "cbor2"} == set()


# -- section 3


@pytest.mark.parametrize("case", _named(IDENTITIES["identities"]))
def test_ids_and_their_texts(case: dict[str, str]) -> None:
    """The id is the public key of the seed, and its text is read back in either case (3.1, 3.2)."""
    key = octets(case["id"])
    assert spec_wire.signed(key, b"text", spec_wire.sign(octets(case["seed"]), b"text"))
    assert spec_wire.id_text(key) == case["text"]
    assert spec_wire.id_of_text(case["text"].upper()) == key


@pytest.mark.parametrize("case", _named(IDENTITIES["refused_texts"]))
def test_texts_that_are_no_ids(case: dict[str, str]) -> None:
    """They are refused (3.2.2)."""
    with pytest.raises(ValueError):
        spec_wire.id_of_text(case["text"])


@pytest.mark.parametrize("case", _named(IDENTITIES["refused_ids"]))
def test_keys_that_are_no_ids(case: dict[str, str]) -> None:
    """They are refused (3.1.2)."""
    assert not spec_wire.usable_id(octets(case["id"]))


@pytest.mark.parametrize("case", IDENTITIES["meshes"])
def test_meshes(case: dict[str, Any]) -> None:
    """The mesh id follows from the name and the psk from it and the secret (3.3)."""
    secret = None if case["secret"] is None else octets(case["secret"])
    assert spec_wire.mesh_id(case["name"]).hex() == case["mesh_id"]
    assert spec_wire.mesh_psk(octets(case["mesh_id"]), secret).hex() == case["psk"]


@pytest.mark.parametrize("case", _named(IDENTITIES["delegations"]))
def test_delegations(case: dict[str, Any]) -> None:
    """The identity signs static key, times and mesh (3.4.2); Ed25519 has one signature."""
    static = public(octets(case["static_private"]))
    text = spec_wire.delegation_text(
        static, case["not_before"], case["not_after"], octets(case["mesh_id"])
    )
    assert text.hex() == case["signed"]
    assert spec_wire.sign(octets(case["seed"]), text).hex() == case["signature"]


# -- sections 6 to 8


def _sides(case: dict[str, Any]) -> tuple[Handshake, Handshake]:
    header = spec_wire.take_apart(octets(case["messages"][0]["frame"])).header
    prologue = spec_wire.prologue(spec_wire.mesh_id(case["mesh"]), header)
    assert prologue.hex() == case["prologue"]
    initiator, responder = (
        Handshake(
            XX,
            initiator=role == "initiator",
            prologue=prologue,
            psk=octets(case["psk"]),
            s=octets(case[role]["static_private"]),
            e=octets(case[role]["ephemeral_private"]),
        )
        for role in ("initiator", "responder")
    )
    return initiator, responder


def _exchange(case: dict[str, Any]) -> tuple[Handshake, Handshake, list[spec_wire.Payload]]:
    """Run it from both sides: what is written is what the vectors hold, and reads as told."""
    initiator, responder = _sides(case)
    payloads = []
    for number, message in enumerate(case["messages"], 1):
        writer, reader = (initiator, responder) if number != 2 else (responder, initiator)
        frame = spec_wire.take_apart(octets(message["frame"]))
        noise = writer.write(lambda _, told=message["payload"]: octets(told))
        packed = spec_wire.pack_handshake(number, frame.receiver_session, frame.number, noise)
        assert packed.hex() == message["frame"]
        payload = reader.read(frame.rest)
        assert payload.hex() == message["payload"]
        assert reader.payload_hash == writer.payload_hash == octets(message["payload_hash"])
        if number > 1:
            payloads.append(spec_wire.read_payload(payload))
            assert _shown_payload(payloads[-1]) == message["says"]
    assert initiator.h == responder.h
    return initiator, responder, payloads


def _shown_payload(said: spec_wire.Payload) -> Any:
    """By the names of 6.4.1 and 6.6.1; terms that are not whole stay bytes."""
    terms: Any = said.terms
    if len(terms) >= spec_wire.TERMS.size:
        terms = spec_wire.Terms(*spec_wire.TERMS.unpack_from(terms))._asdict()
    return shown({**said._asdict(), "terms": terms})


def _checks(case: dict[str, Any], reader: Handshake, last: bool) -> Checks:
    return Checks(
        peer_role="initiator" if last else "responder",
        h=reader.payload_hash,
        static_key=reader.rs,
        peer=octets(case["responder"]["id"]) if last else bytes(32),
        mesh=spec_wire.mesh_id(case["mesh"]),
        now=case["now"],
        last=last,
    )


@pytest.mark.parametrize("case", _named(EXCHANGES))
def test_whole_exchanges(case: dict[str, Any]) -> None:
    """Every byte of an exchange, its proofs and its keys follow from the page (6 and 7)."""
    secret = case["mesh_secret"]
    psk = spec_wire.mesh_psk(spec_wire.mesh_id(case["mesh"]), secret and octets(secret))
    assert psk.hex() == case["psk"]
    initiator, responder, (said, answered) = _exchange(case)
    terms = (
        spec_wire.check(said, _checks(case, initiator, False)._replace(h=_hash(case, 1))),
        spec_wire.check(answered, _checks(case, responder, True)),
    )
    for payload, theirs, role in zip(
        (said, answered), terms, ("responder", "initiator"), strict=True
    ):
        side = case[role]
        assert (payload.id.hex(), f"{payload.session_id:016x}") == (side["id"], side["session_id"])
        assert theirs.instance.hex() == side["instance"]
    assert spec_wire.suite_of(*(each.suites for each in terms)) == case["suite"]
    _check_keys(case, initiator)
    _check_keys(case, responder)


def _hash(case: dict[str, Any], message: int) -> bytes:
    return octets(case["messages"][message]["payload_hash"])


def _check_keys(case: dict[str, Any], side: Handshake) -> None:
    split = side.split()
    assert side.h.hex() == case["handshake_hash"]
    assert [key.hex() for key in split] == case["split_keys"]
    for suite, keys in case["traffic_keys"].items():
        for key, (direction, expected) in zip(split, keys.items(), strict=True):
            assert spec_wire.traffic_key(key, direction, suite, side.h).hex() == expected
    assert spec_wire.export(split, side.h).hex() == case["export"]


@pytest.mark.parametrize("case", _named(EXCHANGES))
def test_fresh_exchanges(case: dict[str, Any]) -> None:
    """Each renewal follows from its parent, whoever begins it (8)."""
    parent = case
    for fresh in case["fresh"]:
        roles = ("initiator", "responder")
        roles = roles if fresh["initiator_in_parent"] else roles[::-1]
        assert fresh["psk"] == parent["export"]
        prologue = spec_wire.lp(b"noisemesh 1 fresh exchange", octets(parent["handshake_hash"]))
        assert prologue.hex() == fresh["prologue"]
        sides = [
            Handshake(
                KK,
                initiator=index == 0,
                prologue=prologue,
                psk=octets(fresh["psk"]),
                s=octets(case[role]["static_private"]),
                e=octets(fresh[("initiator", "responder")[index]]["ephemeral_private"]),
                rs=octets(case[roles[1 - index]]["static_public"]),
            )
            for index, role in enumerate(roles)
        ]
        for number, message in enumerate(fresh["messages"]):
            writer, reader = sides[number], sides[1 - number]
            session_id = octets(fresh[("initiator", "responder")[number]]["session_id"])
            assert writer.write(lambda _, told=session_id: told).hex() == message
            assert len(octets(message)) == 56
            assert reader.read(octets(message)) == session_id
        for side in sides:
            _check_keys(fresh, side)
        parent = fresh


@pytest.mark.parametrize("case", _named(EXCHANGES + [r for r in REFUSED["reason"] if r["refusal"]]))
def test_refusals(case: dict[str, Any]) -> None:
    """The reason is sealed with the responder's key for ChaChaPoly under counter 0 (6.9.2)."""
    initiator, _, (_, answered) = _exchange(case)
    frame = spec_wire.take_apart(octets(case["refusal"]["frame"]))
    assert (frame.type, frame.number, frame.receiver_session) == (6, 0, answered.session_id)
    key = spec_wire.traffic_key(
        initiator.split()[1], "responder to initiator", "ChaChaPoly", initiator.h
    )
    reason = spec_noise.unseal("ChaChaPoly", key, 0, frame.header, frame.rest)
    assert spec_cbor.decode(reason) == case["refusal"]["reason"]


@pytest.mark.parametrize("case", _named(EXCHANGES))
def test_changed_messages_do_not_open(case: dict[str, Any]) -> None:
    """Any bit of message 1, clear fields included, matters (4.2.3, 6.2.1, 6.3.2)."""
    frame = octets(case["messages"][0]["frame"])
    with pytest.raises(spec_wire.Refused):
        spec_wire.take_apart(frame[:3] + b"\1" + frame[4:])
    for place in (12, 20, 28, 60, len(frame) - 1):
        changed = frame[:place] + bytes([frame[place] ^ 1]) + frame[place + 1 :]
        _, responder = _sides(case)
        taken = spec_wire.take_apart(changed)
        reader = Handshake(
            XX,
            initiator=False,
            prologue=spec_wire.prologue(spec_wire.mesh_id(case["mesh"]), taken.header),
            psk=octets(case["psk"]),
            s=responder.s,
            e=responder.e,
        )
        with pytest.raises(NotOpened):
            reader.read(taken.rest)


# -- sections 4 and 10 to 13


def _session_keys(talk: dict[str, Any]) -> dict[str, Any]:
    (case,) = [case for case in EXCHANGES if case["name"] == talk["exchange"]]
    holder = case if talk["fresh"] is None else case["fresh"][talk["fresh"]]
    return {"ids": holder, "keys": holder["traffic_keys"][talk["suite"]]}


@pytest.mark.parametrize("talk", _named(CONVERSATIONS))
def test_data_frames(talk: dict[str, Any]) -> None:
    """Every frame of a session opens once, under its key and counter, and says what is told."""
    session = _session_keys(talk)
    receivers = {
        speaker: Receiver(talk["suite"], octets(session["keys"][f"{speaker} to {hearer}"]))
        for speaker, hearer in (("initiator", "responder"), ("responder", "initiator"))
    }
    for case in talk["frames"]:
        receiver = receivers[case["from"]]
        hearer = "responder" if case["from"] == "initiator" else "initiator"
        frame = spec_wire.take_apart(octets(case["frame"]))
        assert f"{frame.receiver_session:016x}" == session["ids"][hearer]["session_id"]
        assert (receiver.key.hex(), frame.number) == (case["key"], case["counter"])
        plaintext, bulk = receiver.open(octets(case["frame"]))
        assert plaintext.hex() == case["plaintext"]
        assert (None if bulk is None else bulk.hex()) == case["bulk"]
        assert _says(spec_wire.read_body(plaintext, bulk)) == _without_names(case["says"])
        with pytest.raises(Refused, match="counter"):
            receiver.open(octets(case["frame"]))


def _says(body: spec_wire.Body) -> dict[str, Any]:
    return {
        "batch": body.batch,
        "acknowledged": shown(body.acknowledged),
        "handled": shown(body.handled),
        "credit": shown(body.credit),
        "depth": body.depth,
        "cost": body.cost,
        "runs": [[run.kind, run.subject, shown(run.messages())] for run in body.runs],
    }


def _without_names(says: dict[str, Any]) -> dict[str, Any]:
    return {**says, "runs": [[kind, *rest] for kind, _, *rest in says["runs"]]}


def test_every_kind_and_status_is_in_the_vectors() -> None:
    """No kind of section 10.3 and no status of 12.3 is left out."""
    runs = [
        run for talk in CONVERSATIONS for case in talk["frames"] for run in case["says"]["runs"]
    ]
    assert {run[0] for run in runs} == {*range(1, 13), *range(64, 76), 63, 200}
    assert {item[1] for run in runs if run[0] == 3 for item in run[3]} == {*range(6), 99}


@pytest.mark.parametrize("story", _named(STORIES))
def test_large_messages(story: dict[str, Any]) -> None:
    """After each batch the same lanes are granted and the same messages whole (12.6 to 12.10)."""
    arrivals = spec_large.Arrivals(story["room"])
    for step in story["steps"]:
        arrivals.grants.clear()
        if "handled" in step:
            arrivals.handled(step["handled"])
        else:
            bulk = None if step["bulk"] is None else octets(step["bulk"])
            body = spec_wire.read_body(octets(step["plaintext"]), bulk)
            (run,) = body.runs
            (item,) = run.messages()
            whole = arrivals.on_item(body.batch, run.kind, run.subject, item)
            assert (None if whole is None else shown([*whole])) == step["complete"]
        assert arrivals.grants == step["granted"]


def test_stories_of_large_messages_differ() -> None:
    """Among them something is granted at once, later and never, and whole in each form."""
    steps = [step for story in STORIES for step in story["steps"]]
    assert {len(step["granted"]) for step in steps} == {0, 1, 2}
    assert any(step["granted"] for step in steps if "handled" in step)
    kinds = {step["complete"][0] for step in steps if step.get("complete")}
    assert kinds == {1, 2, 3, 5, 8}


# -- what is refused


@pytest.mark.parametrize("case", _named(REFUSED["header"]))
def test_headers_that_are_refused(case: dict[str, str]) -> None:
    """Before any key is looked up (4)."""
    with pytest.raises(Refused, match="header"):
        spec_wire.take_apart(octets(case["frame"]))


@pytest.mark.parametrize("case", _named(REFUSED["counter"]))
def test_counters_that_are_refused(case: dict[str, Any]) -> None:
    """Each counter opens once, and none from the hard stop on (9.4.3, 9.5, 4.4.2)."""
    receiver = Receiver(case["suite"], octets(case["key"]))
    for step in case["frames"]:
        if step["opened"]:
            receiver.open(octets(step["frame"]))
        else:
            with pytest.raises(Refused, match="counter"):
                receiver.open(octets(step["frame"]))


@pytest.mark.parametrize("case", _named(REFUSED["tag"]))
def test_frames_that_do_not_open(case: dict[str, str]) -> None:
    """What was changed does not open (7.3)."""
    with pytest.raises(Refused, match="tag"):
        Receiver(case["suite"], octets(case["key"])).open(octets(case["frame"]))


@pytest.mark.parametrize("case", _named(REFUSED["body"]))
def test_bodies_that_are_refused(case: dict[str, Any]) -> None:
    """The whole body is dropped (10)."""
    bulk = None if case["bulk"] is None else octets(case["bulk"])
    with pytest.raises(Refused, match="body"):
        spec_wire.read_body(octets(case["plaintext"]), bulk)


@pytest.mark.parametrize("case", _named(REFUSED["content"]))
def test_contents_that_are_refused(case: dict[str, Any]) -> None:
    """The body is taken, and its run cannot be read (10.3.4, 10.4.1)."""
    bulk = None if case["bulk"] is None else octets(case["bulk"])
    (run,) = spec_wire.read_body(octets(case["plaintext"]), bulk).runs
    with pytest.raises(Refused, match="content"):
        run.messages()


@pytest.mark.parametrize("case", _named(REFUSED["room"]))
def test_batches_without_room_are_refused(case: dict[str, Any]) -> None:
    """The body is well-formed, and its batch is not accepted by anybody (11.2.3)."""
    body = spec_wire.read_body(octets(case["plaintext"]))
    assert body.depth == spec_wire.SEVERAL or (body.depth and body.cost > 65_536)


@pytest.mark.parametrize("case", _named(REFUSED["payload"]))
def test_payloads_that_are_refused(case: dict[str, str]) -> None:
    """Another form than that of 6.4.1 is malformed."""
    with pytest.raises(Refused, match="payload"):
        spec_wire.read_payload(octets(case["payload"]))


@pytest.mark.parametrize("case", _named(REFUSED["reason"]))
def test_peers_that_are_refused(case: dict[str, Any]) -> None:
    """The first check of 6.7.1 that fails decides the reason."""
    _, responder, (_, answered) = _exchange(case)
    with pytest.raises(Refused) as refused:
        spec_wire.check(answered, _checks(case, responder, True))
    assert refused.value.detail == case["reason"]
