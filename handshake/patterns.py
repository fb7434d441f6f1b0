"""The handshake patterns of Noise, revision 34, as data; and how a protocol name picks one.

Sections 7 (patterns), 8 (names), 9 (psk), 10 (fallback) and 18.1 (deferred patterns). A pattern
is written as Noise does: pre-messages before the ellipsis, then one line a message,
initiator and responder in turn.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from functools import lru_cache

from handshake import primitives
from handshake.constants import SUITES
from handshake.errors import InvalidProtocolName
from handshake.primitives import Hash

Tokens = tuple[str, ...]


_SWAPPED = {"es": "se", "se": "es"}


def _swapped(messages: Iterable[Tokens]) -> tuple[Tokens, ...]:
    """The same messages with the keys of initiator and responder in each other's place."""
    return tuple(tuple(_SWAPPED.get(token, token) for token in tokens) for tokens in messages)


@dataclass(frozen=True, slots=True)
class Pattern:
    """What both sides know beforehand, and the tokens of each message in turn."""

    initiator_knows: Tokens
    responder_knows: Tokens
    messages: tuple[Tokens, ...]
    """Message 0 is the initiator's, message 1 the responder's, and so on.

    `initiator_knows` names the public keys *of* the initiator that the responder has beforehand,
    `responder_knows` those of the responder (the pre-messages, section 7.1).
    """

    psk_count: int = field(init=False)
    """How many pre-shared keys the messages use."""

    uses_static: tuple[bool, bool] = field(init=False)
    """Whether the initiator and the responder have a static key of their own."""

    ours_first: tuple[tuple[Tokens, ...], tuple[Tokens, ...]] = field(init=False)
    """The messages as the initiator and as the responder see them.

    In Noise the first letter of a DH is the initiator's key; here it is one's own.
    """

    def __post_init__(self) -> None:
        psk_count = sum(tokens.count("psk") for tokens in self.messages)
        known = (self.initiator_knows, self.responder_knows)
        uses_static = tuple(
            any("s" in tokens for tokens in (known[role], *self.messages[role::2]))
            for role in (0, 1)
        )
        object.__setattr__(self, "psk_count", psk_count)
        object.__setattr__(self, "uses_static", uses_static)
        object.__setattr__(self, "ours_first", (self.messages, _swapped(self.messages)))

    @property
    def one_way(self) -> bool:
        """Whether only the initiator ever speaks (section 7.4).

        The second cipher of its `split` is used up from the beginning.
        """
        return len(self.messages) == 1


@dataclass(frozen=True, slots=True)
class Protocol:
    """A protocol name taken apart (section 8): pattern with its modifiers, cipher and hash."""

    name: str
    pattern: Pattern
    suite: str
    hash: Hash

    first_hash: bytes = field(init=False)
    """h and ck before anything was mixed in: the name, padded or hashed (section 5.2)."""

    def __post_init__(self) -> None:
        name = self.name.encode("ascii")
        short = len(name) <= self.hash.HASHLEN
        first_hash = name.ljust(self.hash.HASHLEN, b"\0") if short else self.hash.hash(name)
        object.__setattr__(self, "first_hash", first_hash)


_HASHES = {
    "SHA256": primitives.SHA256,
    "SHA512": primitives.SHA512,
    "BLAKE2s": primitives.BLAKE2s,
    "BLAKE2b": primitives.BLAKE2b,
}

# Pre-messages stand in brackets, the initiator's first; a semicolon ends a message.
_TABLE = {
    # 7.4, one-way
    "N": "[ ][s] e es",
    "K": "[s][s] e es ss",
    "X": "[ ][s] e es s ss",
    # 7.5, interactive
    "NN": "[ ][ ] e; e ee",
    "NK": "[ ][s] e es; e ee",
    "NX": "[ ][ ] e; e ee s es",
    "KN": "[s][ ] e; e ee se",
    "KK": "[s][s] e es ss; e ee se",
    "KX": "[s][ ] e; e ee se s es",
    "XN": "[ ][ ] e; e ee; s se",
    "XK": "[ ][s] e es; e ee; s se",
    "XX": "[ ][ ] e; e ee s es; s se",
    "IN": "[ ][ ] e s; e ee se",
    "IK": "[ ][s] e es s ss; e ee se",
    "IX": "[ ][ ] e s; e ee se s es",
    # 18.1, deferred
    "NK1": "[ ][s] e; e ee es",
    "NX1": "[ ][ ] e; e ee s; es",
    "X1N": "[ ][ ] e; e ee; s; se",
    "X1K": "[ ][s] e es; e ee; s; se",
    "XK1": "[ ][s] e; e ee es; s se",
    "X1K1": "[ ][s] e; e ee es; s; se",
    "X1X": "[ ][ ] e; e ee s es; s; se",
    "XX1": "[ ][ ] e; e ee s; es s se",
    "X1X1": "[ ][ ] e; e ee s; es s; se",
    "K1N": "[s][ ] e; e ee; se",
    "K1K": "[s][s] e es; e ee; se",
    "KK1": "[s][s] e; e ee se es",
    "K1K1": "[s][s] e; e ee es; se",
    "K1X": "[s][ ] e; e ee s es; se",
    "KX1": "[s][ ] e; e ee se s; es",
    "K1X1": "[s][ ] e; e ee s; se es",
    "I1N": "[ ][ ] e s; e ee; se",
    "I1K": "[ ][s] e es s; e ee; se",
    "IK1": "[ ][s] e s; e ee se es",
    "I1K1": "[ ][s] e s; e ee es; se",
    "I1X": "[ ][ ] e s; e ee s es; se",
    "IX1": "[ ][ ] e s; e ee se s; es",
    "I1X1": "[ ][ ] e s; e ee s; se es",
}

_LINE = re.compile(r"\[(.*)\]\[(.*)\] (.*)")
_NAME = re.compile(r"Noise_([A-Z0-9]+)([a-z0-9+]*)_25519_([A-Za-z]+)_([A-Za-z0-9]+)", re.ASCII)
_PSK = re.compile(r"psk(0|[1-9][0-9]?)")


def _read(line: str) -> Pattern:
    found = _LINE.fullmatch(line)
    assert found is not None, line
    initiator, responder, messages = found.groups()
    return Pattern(
        tuple(initiator.split()),
        tuple(responder.split()),
        tuple(tuple(message.split()) for message in messages.split(";")),
    )


PATTERNS = {name: _read(line) for name, line in _TABLE.items()}


def _with_psk(pattern: Pattern, number: int) -> Pattern:
    """psk0 goes before the first token of all, pskN behind the last of message N (9.4)."""
    messages = list(pattern.messages)
    if number > len(messages):
        raise InvalidProtocolName(f"psk{number} is behind the last message")
    if number == 0:
        messages[0] = ("psk", *messages[0])
    else:
        messages[number - 1] = (*messages[number - 1], "psk")
    return replace(pattern, messages=tuple(messages))


def _with_fallback(pattern: Pattern) -> Pattern:
    """The first message becomes a pre-message, and its receiver the initiator (10.2)."""
    first, *rest = pattern.messages
    if not rest or not set(first) <= {"e", "s"}:
        raise InvalidProtocolName("fallback needs a first message of public keys alone")
    return Pattern(
        initiator_knows=pattern.responder_knows,
        responder_knows=(*pattern.initiator_knows, *first),
        messages=_swapped(rest),
    )


@lru_cache(maxsize=64)
def parse_protocol_name(name: str) -> Protocol:
    """The protocol of a name such as `Noise_XXpsk0_25519_ChaChaPoly_SHA256`.

    Modifiers are joined by `+` in alphabetical order, each once (section 8.1). Raises
    InvalidProtocolName for anything that is not spoken here.
    """
    found = _NAME.fullmatch(name)
    if found is None:
        raise InvalidProtocolName(f"not the name of a Noise protocol on 25519: {name!r}")
    base, modifiers, suite, hash_name = found.groups()
    if base not in PATTERNS or suite not in SUITES or hash_name not in _HASHES:
        raise InvalidProtocolName(f"no such pattern, cipher or hash: {name!r}")
    pattern = PATTERNS[base]
    given = modifiers.split("+") if modifiers else []
    if given != sorted(set(given)):
        raise InvalidProtocolName(f"modifiers come in alphabetical order, each once: {name!r}")
    for modifier in given:
        psk = _PSK.fullmatch(modifier)
        if psk is not None:
            pattern = _with_psk(pattern, int(psk[1]))
        elif modifier == "fallback":
            pattern = _with_fallback(pattern)
        else:
            raise InvalidProtocolName(f"no modifier {modifier!r}: {name!r}")
    return Protocol(name, pattern, suite, _HASHES[hash_name])
