"""The rest of docs/SPEC.md as far as bytes go: ids, frames, keys, payloads, bodies.

Written from that page: imports nothing of the project. Comments name its paragraphs.
"""

import base64
import hashlib
import struct
from collections.abc import Callable
from typing import Any, NamedTuple

import nacl.bindings as sodium
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from nacl.exceptions import BadSignatureError

from spec_cbor import NotTaken, decode, encode
from spec_noise import XX, NotOpened, unseal

MESSAGES, DATA, BULK, REFUSAL = (1, 2, 3), 4, 5, 6
# 11.4.1
DEPTH_OF = {1: 0, 2: 0, 5: 1, 6: 2, 7: 3, 8: 4}
SEVERAL = -1


class Refused(Exception):
    """It has to be refused: `stage` as in `refused.json`, or the reason of 6.9.4 as `detail`."""

    def __init__(self, stage: str, detail: str = "") -> None:
        super().__init__(stage, detail)
        self.stage, self.detail = stage, detail


# -- 1.1, 3


def lp(*parts: bytes) -> bytes:
    """1.1.2"""
    return b"".join(struct.pack(">I", len(part)) + part for part in parts)


def derive(secret: bytes, info: bytes) -> bytes:
    """1.1.3"""
    return HKDF(SHA256(), 32, salt=None, info=info).derive(secret)


def id_text(key: bytes) -> str:
    """3.2.1"""
    checksum = hashlib.sha256(b"noisemesh 1 id checksum" + key).digest()[:3]
    return base64.b32encode(key + checksum).decode().lower()


def id_of_text(text: str) -> bytes:
    """3.2.2; raises ValueError."""
    if len(text) != 56:
        raise ValueError("another length")
    key = base64.b32decode(text.upper())[:32]
    if id_text(key) != text.lower() or not usable_id(key):
        raise ValueError("another checksum")
    return key


def usable_id(key: bytes) -> bool:
    """3.1.2"""
    return len(key) == 32 and bool(sodium.crypto_core_ed25519_is_valid_point(key))


def signed(key: bytes, text: bytes, signature: bytes) -> bool:
    """Whether a signature holds."""
    try:
        sodium.crypto_sign_open(signature + text, key)
    except BadSignatureError:
        return False
    return True


def sign(seed: bytes, text: bytes) -> bytes:
    """The signature of a text."""
    return sodium.crypto_sign(text, sodium.crypto_sign_seed_keypair(seed)[1])[:64]


def mesh_id(name: str) -> bytes:
    """3.3.1"""
    return hashlib.sha256(lp(b"noisemesh 1 mesh id", name.encode())).digest()


def mesh_psk(mesh: bytes, secret: bytes | None) -> bytes:
    """3.3.2"""
    return derive(mesh + (secret or b""), b"noisemesh 1 mesh psk")


def delegation_text(static_key: bytes, not_before: int, not_after: int, mesh: bytes) -> bytes:
    """3.4.2"""
    times = struct.pack(">Q", not_before), struct.pack(">Q", not_after)
    return lp(b"noisemesh 1 delegation", static_key, *times, mesh)


# -- 4


class Frame(NamedTuple):
    """A frame taken apart; `number` is sender_session or counter."""

    type: int
    flags: int
    receiver_session: int
    number: int
    psk_id: bytes
    header: bytes
    rest: bytes


def take_apart(frame: bytes) -> Frame:
    """4.1 to 4.5"""
    if len(frame) < 20 or frame[0] != 1 or frame[1] not in {*MESSAGES, DATA, BULK, REFUSAL}:
        raise Refused("header")
    kind, flags, receiver, number = struct.unpack(">xBHQQ", frame[:20])
    if kind in MESSAGES:
        if not 28 < len(frame) <= 4096 or not number or (receiver == 0) != (kind == 1):
            raise Refused("header")
        if flags or (kind != 1 and frame[20:28] != bytes(8)):
            raise Refused("header")
        return Frame(kind, flags, receiver, number, frame[20:28], frame[:28], frame[28:])
    sealed = len(frame) - 20
    if kind == BULK:
        good = 16 <= flags <= sealed - 16
    else:
        good = flags == 0 and sealed >= 16 and (kind == DATA or number == 0)
    if not good:
        raise Refused("header")
    return Frame(kind, flags, receiver, number, b"", frame[:20], frame[20:])


def pack_handshake(kind: int, receiver: int, sender: int, noise: bytes) -> bytes:
    """4.2.1"""
    return struct.pack(">BBHQQ8x", 1, kind, 0, receiver, sender) + noise


class Receiver:
    """The receiving half of a session (4.6, 7.3, 9.4.3, 9.5)."""

    def __init__(self, suite: str, key: bytes) -> None:
        self.suite, self.key = suite, key
        self._opened: set[int] = set()

    def open(self, frame: bytes) -> tuple[bytes, bytes | None]:
        """The plaintext, and the bulk body if there is one."""
        taken = take_apart(frame)
        counters = [taken.number] if taken.type == DATA else [taken.number, taken.number + 1]
        if max(counters) >= 8_388_608 or not self._opened.isdisjoint(counters):
            raise Refused("counter")
        ends = [len(taken.rest)] if taken.type == DATA else [taken.flags, len(taken.rest)]
        parts, begin = [], 0
        for counter, end in zip(counters, ends, strict=True):
            try:
                part = unseal(self.suite, self.key, counter, taken.header, taken.rest[begin:end])
            except NotOpened:
                raise Refused("tag") from None
            parts.append(part)
            begin = end
        self._opened.update(counters)
        return parts[0], parts[1] if len(parts) > 1 else None


# -- 6


def prologue(mesh: bytes, header_of_message_1: bytes) -> bytes:
    """6.2.1"""
    return b"noisemesh 1 prologue" + mesh + header_of_message_1 + XX.encode()


def proof_text(role: str, h: bytes, static_key: bytes, peer: bytes) -> bytes:
    """6.5.1"""
    return lp(b"noisemesh 1 proof", role.encode(), XX.encode(), h, static_key, peer)


class Payload(NamedTuple):
    """6.4.1, checked for its form alone."""

    id: bytes
    session_id: int
    not_before: int
    not_after: int
    signature: bytes
    proof: bytes
    terms: bytes


def read_payload(data: bytes) -> Payload:
    """Step 2 of 6.7.1"""
    if len(data) < 184:
        raise Refused("payload", "malformed")
    numbers = [int.from_bytes(data[at : at + 8], "big") for at in (32, 40, 48)]
    said = Payload(data[:32], *numbers, data[56:120], data[120:184], data[184:])
    last = (1 << 63) - 1
    if not usable_id(said.id) or not said.session_id or max(said.not_before, said.not_after) > last:
        raise Refused("payload", "malformed")
    return said


class Terms(NamedTuple):
    """6.6.1"""

    instance: bytes
    window: int
    message: int
    generation: int
    epoch: int
    next: int
    oldest: int
    newest: int
    suites: int


TERMS = struct.Struct(">16sQQQQQBBB")


def read_terms(data: bytes, *, last: bool) -> Terms:
    """Steps 11 to 13 of 6.7.1; `last`: they came with message 3."""
    if len(data) < 59:
        raise Refused("reason", "malformed")
    said, most = Terms(*TERMS.unpack(data[:59])), 1 << 62
    if not said.oldest <= 1 <= said.newest or not said.suites & 1:
        raise Refused("reason", "version")
    if not 65_536 <= said.window < most:
        raise Refused("reason", "malformed")
    if last and (max(said.generation, said.epoch, said.next) >= most or said.next == 0):
        raise Refused("reason", "malformed")
    return said


class Checks(NamedTuple):
    """What a reader of message 2 or 3 knows beside it."""

    peer_role: str
    h: bytes
    static_key: bytes
    peer: bytes
    """What stands for us in the peer's proof: our id, or 32 zero bytes in message 2."""
    mesh: bytes
    now: int
    last: bool


def check(said: Payload, known: Checks) -> Terms:
    """Steps 3 to 5 and 11 to 13 of 6.7.1."""
    text = proof_text(known.peer_role, known.h, known.static_key, known.peer)
    if not signed(said.id, text, said.proof):
        raise Refused("reason", "bad proof")
    text = delegation_text(known.static_key, said.not_before, said.not_after, known.mesh)
    if not signed(said.id, text, said.signature):
        raise Refused("reason", "bad delegation")
    if not said.not_before - 600 <= known.now <= said.not_after + 600:
        raise Refused("reason", "clock")
    return read_terms(said.terms, last=known.last)


SUITE_BITS = {"ChaChaPoly": 1, "AESGCM": 2}


def suite_of(ours: int, theirs: int) -> str:
    """7.1.1"""
    return "AESGCM" if ours & theirs & 2 else "ChaChaPoly"


# -- 7


def traffic_key(key: bytes, direction: str, suite: str, h: bytes) -> bytes:
    """7.2.1"""
    return derive(key, lp(b"noisemesh 1 traffic", direction.encode(), suite.encode(), h))


def export(keys: tuple[bytes, bytes], h: bytes) -> bytes:
    """7.4.1"""
    return derive(keys[0] + keys[1], lp(b"noisemesh 1 export", h))


# -- 10


class Run(NamedTuple):
    """10.3; `messages` decodes what was packed and raises Refused."""

    kind: int
    subject: str
    count: int
    messages: Callable[[], list[Any]]


class Body(NamedTuple):
    """10.1; `depth` is that of 11.4.1, None without credited runs, or SEVERAL."""

    batch: int
    acknowledged: int
    handled: list[Any]
    credit: int
    runs: list[Run]
    depth: int | None
    cost: int


def read_body(plaintext: bytes, bulk: bytes | None = None) -> Body:
    """10.1 to 10.4, and the depth and cost of 11.4.1"""
    try:
        array = decode(plaintext, 3)
    except NotTaken:
        raise Refused("body") from None
    if not isinstance(array, list) or len(array) < 4:
        raise Refused("body")
    head = _head(array)
    if plaintext[: len(head)] != head:
        raise Refused("body")
    batch, acknowledged, handled, credit, *raw_runs = array
    runs = [_run(run, batch) for run in raw_runs]
    if len(runs) > (1024 if batch else 1) or sum(run.count for run in runs) > 4096:
        raise Refused("body")
    if bulk is not None:
        if len(runs) != 1 or runs[0].kind not in {*DEPTH_OF, 3, 11}:
            raise Refused("body")
        if not isinstance(raw_runs[0][2], bytes):
            raise Refused("body")
        runs = [_with_bulk(runs[0], bulk)]
    depth, cost = None, 0
    depths = {DEPTH_OF[run.kind] for run in runs if run.kind in DEPTH_OF}
    if depths:
        depth = depths.pop() if len(depths) == 1 else SEVERAL
        octets = len(plaintext) - len(head) + len(bulk or b"")
        cost = octets + 48 * sum(run.count for run in runs)
    return Body(batch, acknowledged, handled, credit, runs, depth, cost)


def _head(array: list[Any]) -> bytes:
    """What the head has to be (10.2)."""
    batch, acknowledged, handled, credit = array[:4]
    if not isinstance(handled, list) or not 1 <= len(handled) <= 1793:
        raise Refused("body")
    up_to, *ranges = handled
    written = struct.pack(">BH", 0x99, len(array)) + _wide(batch) + _wide(acknowledged)
    written += struct.pack(">BH", 0x99, len(handled)) + _wide(up_to)
    below = up_to
    for pair in ranges:
        if not isinstance(pair, list) or len(pair) != 2:
            raise Refused("body")
        written += b"\x82" + _wide(pair[0]) + _wide(pair[1])
        if not below < pair[0] <= pair[1]:
            raise Refused("body")
        below = pair[1]
    return written + _wide(credit)


def _wide(number: object) -> bytes:
    if type(number) is not int or number < 0:
        raise Refused("body")
    return b"\x1b" + struct.pack(">Q", number)


def _run(run: object, batch: int) -> Run:
    match run:
        case [int(kind), str(subject), list(content)] if type(kind) is int:
            if not all(isinstance(message, bytes) for message in content):
                raise Refused("body")
            made = Run(kind, subject, len(content), lambda: content)
        case [int(kind), str(subject), bytes(packed)] if type(kind) is int:
            made = Run(kind, subject, _packed_count(packed), lambda: _unpacked(packed))
        case _:
            raise Refused("body")
    if not 1 <= made.kind <= 255 or (made.kind >= 64) != (batch == 0) or not made.count:
        raise Refused("body")
    if len(made.subject.encode()) > 255:
        raise Refused("body")
    if batch == 0:
        if made.count > 1:
            raise Refused("body")
        try:
            made.messages()
        except Refused:
            raise Refused("body") from None
    return made


def _packed_count(packed: bytes) -> int:
    """10.3.3"""
    widths = {0x98: 1, 0x99: 2, 0x9A: 4}
    if packed[:1] and 0x80 <= packed[0] < 0x98:
        return packed[0] - 0x80
    if packed[:1] and packed[0] in widths and len(packed) > widths[packed[0]]:
        return int.from_bytes(packed[1 : 1 + widths[packed[0]]], "big")
    raise Refused("body")


def _unpacked(packed: bytes) -> list[Any]:
    """10.3.4"""
    try:
        value = decode(packed, 66)
    except NotTaken:
        raise Refused("content") from None
    assert isinstance(value, list)
    return value


def _with_bulk(run: Run, bulk: bytes) -> Run:
    """10.4.1"""

    def messages() -> list[Any]:
        made, rest = run.messages(), bulk
        items = [[message] for message in made] if run.kind == 1 else made
        for item in items:
            length = item[-1] if isinstance(item, list) and item else None
            if type(length) is not int or not 0 <= length <= len(rest):
                raise Refused("content")
            item[-1], rest = rest[:length], rest[length:]
        if rest:
            raise Refused("content")
        return [item[0] for item in items] if run.kind == 1 else made

    return run._replace(messages=messages)


def write_body(batch: int, numbers: tuple[int, int, int], runs: list[bytes]) -> bytes:
    """A body with the numbers acknowledged, handled up to and credit, and encoded runs."""
    acknowledged, handled, credit = numbers
    head = struct.pack(">BH", 0x99, 4 + len(runs)) + _wide(batch) + _wide(acknowledged)
    head += struct.pack(">BH", 0x99, 1) + _wide(handled) + _wide(credit)
    return head + b"".join(runs)


def packed_run(kind: int, subject: str, items: list[Any]) -> bytes:
    """10.3.2"""
    return encode([kind, subject, encode(items)])
