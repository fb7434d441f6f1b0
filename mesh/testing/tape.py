"""What is sealed in a simulated world: every nonce watched, every frame known by what it says.

The engines get `WatchedAead` instead of `Aead`. It seals as any other, and notes what was sealed
under which header, so that whoever watches the wire can read along.
"""

from collections import defaultdict
from typing import NamedTuple

from handshake.primitives import Aead, Buffer
from mesh.testing.clock import Violation
from mesh.wire import frames, messages
from mesh.wire.messages import Body

_KINDS = {
    value: name.lower()
    for name, value in vars(messages).items()
    if name.isupper() and isinstance(value, int) and not name.startswith(("REPLY_", "_"))
    if not name.endswith("_MAX") and name != "FIRST_CONTROL"
}
_HANDSHAKES = {
    frames.MESSAGE_1: "message 1",
    frames.MESSAGE_2: "message 2",
    frames.MESSAGE_3: "message 3",
    frames.REFUSAL: "refusal",
}
# The batch number lies behind the array's head and its own first byte, in full width.
_BATCH = slice(4, 12)
_NOTHING = bytes(8)


class Sealed(NamedTuple):
    """What a data frame says. `kind`: of its control run, 0 for batches and bare numbers."""

    batch: int
    kind: int
    body: bytes

    def describe(self) -> str:
        """One line: what it carries, and the numbers in its head."""
        try:
            body = messages.decode_body(self.body)
        except Exception:
            return "something else"
        handled = ",".join(
            str(part) if isinstance(part, int) else f"{part[0]}-{part[1]}" for part in body.handled
        )
        numbers = f"ack {body.acknowledged} handled {handled} credit {body.credit}"
        return f"{_what(body)} ({numbers})"


def _what(body: Body) -> str:
    if not body.batch:
        return _control(body.runs[0]) if body.runs else "numbers"
    runs = ", ".join(
        f"{kind_name(kind)} {subject} ×{len(bodies)}".replace("  ", " ")
        for kind, subject, bodies in body.runs
    )
    return f"batch {body.batch}: {runs}"


def _control(run: list[object]) -> str:
    kind, _subject, items = run
    assert isinstance(kind, int)
    assert isinstance(items, list)
    item = items[0]
    shown = f" of {len(item)} bytes" if isinstance(item, bytes) else f" {item}"
    return f"{kind_name(kind)}{shown}"


def kind_name(kind: int) -> str:
    """The word for a kind of run."""
    depth = messages.DEPTHS.get(kind)
    if depth:
        return f"request at depth {depth}"
    return _KINDS.get(kind, f"kind {kind}").replace("_", " ")


class WatchedAead(Aead):
    """Seals and opens as `Aead` does; `tape` is told first."""

    __slots__ = ("_key", "_owner", "_tape")

    def __init__(self, tape: "Tape", owner: object, suite: str, key: bytes) -> None:
        super().__init__(suite, key)
        self._tape = tape
        self._owner = owner
        self._key = suite.encode() + key

    def seal(self, counter: int, ad: Buffer, plaintext: Buffer) -> bytes:
        self._tape.note(self._owner, self._key, counter, ad, plaintext)
        return super().seal(counter, ad, plaintext)

    def seal_into(self, counter: int, ad: Buffer, plaintext: Buffer, buffer: memoryview) -> int:
        self._tape.note(self._owner, self._key, counter, ad, plaintext)
        return super().seal_into(counter, ad, plaintext, buffer)


class Tape:
    """Everything that was sealed: no key seals twice under one counter, nor for two owners."""

    def __init__(self) -> None:
        self._used: dict[bytes, set[int]] = defaultdict(set)
        self._owners: dict[bytes, object] = {}
        self._sealed: dict[bytes, Sealed] = {}

    def aead(self, owner: object, suite: str, key: bytes) -> Aead:
        """An AEAD under watch, for one run of a node (`owner`)."""
        return WatchedAead(self, owner, suite, key)

    def note(self, owner: object, key: bytes, counter: int, ad: Buffer, plaintext: Buffer) -> None:
        """Something is about to be sealed. Raises Violation when its nonce was used before."""
        used = self._used[key]
        if counter in used:
            raise Violation("a nonce is used once", f"{owner} seals again under counter {counter}")
        if self._owners.setdefault(key, owner) is not owner:
            raise Violation("a key seals for one side", f"{owner} seals under another one's key")
        used.add(counter)
        header = bytes(ad)
        if header not in self._sealed and header[1] in (frames.DATA, frames.BULK):
            self._sealed[header] = _sealed(bytes(plaintext))

    def read(self, frame: bytes) -> Sealed | None:
        """What a frame says; None for handshake messages and what nobody here has sealed."""
        return self._sealed.get(frame[: frames.DATA_HEADER_BYTES])

    def describe(self, frame: bytes) -> str:
        """One line about a frame on the wire."""
        kind = frame[1] if len(frame) > 1 else 0
        if kind in _HANDSHAKES:
            return _HANDSHAKES[kind]
        sealed = self.read(frame)
        return sealed.describe() if sealed is not None else f"{len(frame)} unknown bytes"


def _sealed(plaintext: bytes) -> Sealed:
    batch = plaintext[_BATCH]
    kind = 0
    if batch == _NOTHING:
        try:
            runs = messages.decode_body(plaintext).runs
        except Exception:
            runs = []
        kind = runs[0][0] if runs else 0
    return Sealed(int.from_bytes(batch, "big"), kind, plaintext)
