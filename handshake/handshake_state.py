"""HandshakeState of Noise, section 5.3: one run of a handshake pattern, for either side.

The one default that reaches outside is `os.urandom` for ephemeral keys; everything else is handed
in. Each message is worked out on a duplicate of what changes, which takes the original's place
after the last check: a failed message leaves the state as it was.
"""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Self

from handshake.cipher_state import CipherState
from handshake.constants import DHLEN, MAX_MESSAGE_BYTES, PSK_BYTES, REKEY_COUNTER, TAG_BYTES
from handshake.errors import InvalidKey, InvalidPayload, MalformedMessage, WrongTurn
from handshake.patterns import Tokens, parse_protocol_name
from handshake.primitives import (
    check_x25519_public,
    require_length,
    x25519,
    x25519_public,
)
from handshake.secret import HoldsSecret, Secret
from handshake.symmetric_state import SymmetricState

Payload = bytes | Callable[[bytes], bytes]


@dataclass(frozen=True, slots=True, repr=False, eq=False, init=False)
class KeyPair(HoldsSecret):
    """An X25519 key pair, 32 bytes each; raises InvalidKey for other lengths.

    Made from both halves, it spares computing the public one; they must belong together.
    """

    private: Secret
    public: bytes

    def __init__(self, private: bytes, public: bytes) -> None:
        private = Secret.of(private)
        require_length("an X25519 private key", private, DHLEN)
        require_length("an X25519 public key", public, DHLEN)
        object.__setattr__(self, "private", private)
        object.__setattr__(self, "public", public)

    @classmethod
    def of(cls, private: bytes) -> Self:
        """The pair of a private key; raises InvalidKey unless it has 32 bytes."""
        private = Secret.of(private)
        return cls(private, x25519_public(private))


class _Progress(HoldsSecret):
    """Everything that a message changes; replaced as a whole once the message is done."""

    __slots__ = ("e", "message_number", "payload_hash", "psks_used", "re", "rs", "symmetric")

    def __init__(
        self, symmetric: SymmetricState, e: KeyPair | None, rs: bytes | None, re: bytes | None
    ) -> None:
        self.symmetric = symmetric
        self.e = e
        self.rs = rs
        self.re = re
        self.message_number = 0
        self.psks_used = 0
        self.payload_hash: bytes | None = None

    def duplicate(self) -> "_Progress":
        other = object.__new__(_Progress)
        other.symmetric = self.symmetric.duplicate()
        other.e = self.e
        other.rs = self.rs
        other.re = self.re
        other.message_number = self.message_number
        other.psks_used = self.psks_used
        other.payload_hash = self.payload_hash
        return other


class HandshakeState(HoldsSecret):
    """One side of one handshake.

    `s` and `e` are our private static and ephemeral keys, `rs` and `re` the peer's public ones,
    32 bytes each; `s` may be a `KeyPair` too, when the public half is known already. `psks` holds
    one 32-byte key for each psk token, in order. Give exactly the keys that the pattern wants
    beforehand; `e` otherwise only for testing, since an ephemeral key that
    is used twice ends forward secrecy. `random_bytes(32)` makes the ephemeral key.

    Raises InvalidProtocolName, or InvalidKey for a key that is missing, superfluous or unusable.
    """

    __slots__ = (
        "_initiator",
        "_messages",
        "_progress",
        "_protocol",
        "_psks",
        "_random_bytes",
        "_s",
        "_was_split",
    )

    def __init__(
        self,
        protocol_name: str,
        *,
        initiator: bool,
        prologue: bytes = b"",
        s: bytes | KeyPair | None = None,
        e: bytes | None = None,
        rs: bytes | None = None,
        re: bytes | None = None,
        psks: Sequence[bytes] = (),
        random_bytes: Callable[[int], bytes] = os.urandom,
    ) -> None:
        # First of all, so that no error on the way shows a key in its traceback.
        s, e, psks = _hidden(s), None if e is None else Secret.of(e), tuple(map(Secret.of, psks))
        self._protocol = parse_protocol_name(protocol_name)
        self._messages = self._protocol.pattern.ours_first[0 if initiator else 1]
        self._initiator = initiator
        self._random_bytes = random_bytes
        self._psks = psks
        self._s = KeyPair.of(s) if isinstance(s, Secret) else s
        self._was_split = False
        ephemeral = None if e is None else KeyPair.of(e)
        symmetric = SymmetricState(self._protocol)
        self._progress = _Progress(symmetric, ephemeral, rs, re)
        self._require_keys()
        symmetric.mix_hash(prologue)
        self._mix_pre_messages()

    def __repr__(self) -> str:
        if not hasattr(self, "_progress"):
            # A traceback shows the object of a construction that failed, too.
            return super().__repr__()
        role = "initiator" if self._initiator else "responder"
        number = self._progress.message_number
        return f"<HandshakeState {self._protocol.name} {role} before message {number}>"

    @property
    def finished(self) -> bool:
        """Whether all messages of the pattern were written and read."""
        return self._progress.message_number == len(self._messages)

    @property
    def message_number(self) -> int:
        """The number of the message that comes next, from zero."""
        return self._progress.message_number

    @property
    def handshake_hash(self) -> bytes:
        """h of the finished handshake, the same on both sides (channel binding, section 11.2).

        Raises WrongTurn before.
        """
        self._require_finished()
        return self._progress.symmetric.handshake_hash

    @property
    def payload_hash(self) -> bytes:
        """h as it stood right before the payload of the latest message was sealed or opened.

        Raises WrongTurn before the first message.
        """
        if self._progress.payload_hash is None:
            raise WrongTurn("no message was written or read yet")
        return self._progress.payload_hash

    @property
    def remote_static(self) -> bytes | None:
        """The peer's static public key, as far as it is known."""
        return self._progress.rs

    def write_message(self, payload: Payload = b"") -> bytes:
        """The next message, carrying `payload`: bytes, or a callable that makes them from h.

        The callable is called once, after the message's tokens, with the h that `payload_hash`
        has on both sides; when it raises, nothing has changed. Raises WrongTurn when it is not
        our turn, InvalidPayload when the payload is not bytes or the message longer than 65,535
        of them.
        """
        tokens = self._tokens_of_turn(writing=True)
        draft = self._progress.duplicate()
        symmetric = draft.symmetric
        parts = []
        for token in tokens:
            if token == "e":
                parts.append(self._write_ephemeral(draft))
            elif token == "s":
                assert self._s is not None
                parts.append(symmetric.encrypt_and_hash(self._s.public))
            else:
                self._mix_secret(draft, token)
        draft.payload_hash = symmetric.handshake_hash
        body = payload(draft.payload_hash) if callable(payload) else payload
        if not isinstance(body, bytes):
            raise InvalidPayload("a payload is bytes")
        parts.append(symmetric.encrypt_and_hash(body))
        message = b"".join(parts)
        if len(message) > MAX_MESSAGE_BYTES:
            raise InvalidPayload(f"a handshake message has at most {MAX_MESSAGE_BYTES} bytes")
        draft.message_number += 1
        self._progress = draft
        return message

    def read_message(self, message: bytes) -> bytes:
        """Read the peer's next message and return its payload.

        Raises WrongTurn when it is not the peer's turn, MalformedMessage for a wrong length or a
        low-order key, DecryptionFailed; nothing has changed then, and the genuine message can
        still be read.
        """
        payload, progress = self._read(message)
        self._progress = progress
        return payload

    def after_reading(self, message: bytes) -> tuple[bytes, Self]:
        """The payload, and a second state in which `message` was read; this one stays as it is.

        For deciding by the payload before committing to it. Go on with one of the two only:
        writing from both would seal twice under one key and counter. Raises as `read_message`.
        """
        payload, progress = self._read(message)
        other = object.__new__(type(self))
        other._protocol = self._protocol
        other._initiator = self._initiator
        other._messages = self._messages
        other._random_bytes = self._random_bytes
        other._psks = self._psks
        other._s = self._s
        other._was_split = False
        other._progress = progress
        return payload, other

    def split(self) -> tuple[CipherState, CipherState]:
        """The transport ciphers: initiator to responder, responder to initiator.

        Once only: a second pair would start at the same counters. After a one-way pattern nobody
        may use the second cipher (section 7.4), so it comes used up: it raises NonceExhausted.
        Raises WrongTurn before the handshake finished or the second time.
        """
        self._require_finished()
        if self._was_split:
            raise WrongTurn("the handshake was split already")
        self._was_split = True
        first, second = self._progress.symmetric.split()
        if self._protocol.pattern.one_way:
            second.set_nonce(REKEY_COUNTER)
        return first, second

    def export_split_keys(self) -> tuple[Secret, Secret]:
        """The raw keys of `split`, in its order: secrets, to derive other keys from and drop.

        Raises WrongTurn before the handshake finished.
        """
        self._require_finished()
        return self._progress.symmetric.export_split_keys()

    def _require_keys(self) -> None:
        pattern, progress = self._protocol.pattern, self._progress
        ours, theirs = pattern.initiator_knows, pattern.responder_knows
        if not self._initiator:
            ours, theirs = theirs, ours
        if pattern.uses_static[0 if self._initiator else 1] != (self._s is not None):
            raise InvalidKey("our static key is given exactly where the pattern uses it")
        if ("s" in theirs) != (progress.rs is not None):
            raise InvalidKey("the peer's static key is given exactly where it is known beforehand")
        if "e" in ours and progress.e is None:
            raise InvalidKey("this pattern knows our ephemeral key beforehand: it must be given")
        if ("e" in theirs) != (progress.re is not None):
            raise InvalidKey("the peer's ephemeral key is given exactly where it is known before")
        for public in (progress.rs, progress.re):
            if public is not None:
                check_x25519_public(public)
        if len(self._psks) != pattern.psk_count:
            raise InvalidKey(f"this pattern takes {pattern.psk_count} pre-shared keys")
        for psk in self._psks:
            require_length("a pre-shared key", psk, PSK_BYTES)

    def _mix_pre_messages(self) -> None:
        """Both sides mix the keys known beforehand, the initiator's first (section 5.3)."""
        pattern, progress = self._protocol.pattern, self._progress
        tokens = pattern.initiator_knows + pattern.responder_knows
        if not tokens:
            return
        e = None if progress.e is None else progress.e.public
        s = None if self._s is None else self._s.public
        ours = {"e": e, "s": s}
        theirs = {"e": progress.re, "s": progress.rs}
        of_initiator, of_responder = (ours, theirs) if self._initiator else (theirs, ours)
        known = [of_initiator[token] for token in pattern.initiator_knows]
        known += [of_responder[token] for token in pattern.responder_knows]
        for token, public in zip(tokens, known, strict=True):
            assert public is not None
            self._mix_public(progress.symmetric, token, public)

    def _tokens_of_turn(self, *, writing: bool) -> Tokens:
        """The tokens of the message that comes next; a DH has our own key's letter first."""
        number = self._progress.message_number
        if number == len(self._messages):
            raise WrongTurn("the handshake is finished")
        if (number % 2 == 0) == (self._initiator == writing):
            return self._messages[number]
        raise WrongTurn("it is the peer's turn" if writing else "it is our turn")

    def _require_finished(self) -> None:
        if not self.finished:
            raise WrongTurn("the handshake is not finished")

    def _write_ephemeral(self, draft: _Progress) -> bytes:
        if draft.e is None:
            draft.e = KeyPair.of(self._random_bytes(DHLEN))
        self._mix_public(draft.symmetric, "e", draft.e.public)
        return draft.e.public

    def _read(self, message: bytes) -> tuple[bytes, _Progress]:
        tokens = self._tokens_of_turn(writing=False)
        if len(message) > MAX_MESSAGE_BYTES:
            raise MalformedMessage(f"a handshake message has at most {MAX_MESSAGE_BYTES} bytes")
        draft = self._progress.duplicate()
        symmetric = draft.symmetric
        rest = bytes(message)
        try:
            for token in tokens:
                if token == "e":
                    rest = self._read_ephemeral(draft, rest)
                elif token == "s":
                    rest = self._read_static(draft, rest)
                else:
                    self._mix_secret(draft, token)
        except InvalidKey as error:
            raise MalformedMessage(str(error)) from None
        if len(rest) < TAG_BYTES and symmetric.has_key:
            raise MalformedMessage("the message ends within its payload")
        draft.payload_hash = symmetric.handshake_hash
        payload = symmetric.decrypt_and_hash(rest)
        draft.message_number += 1
        return payload, draft

    def _read_ephemeral(self, draft: _Progress, rest: bytes) -> bytes:
        """Take the key from the front of what is left of a message, and return what follows."""
        draft.re = public = rest[:DHLEN]
        if len(public) < DHLEN:
            raise MalformedMessage(_ENDS_IN_KEY)
        # Checked at once, so that our own next message cannot fail for the peer's key.
        check_x25519_public(public)
        self._mix_public(draft.symmetric, "e", public)
        return rest[DHLEN:]

    def _read_static(self, draft: _Progress, rest: bytes) -> bytes:
        length = DHLEN + TAG_BYTES if draft.symmetric.has_key else DHLEN
        if len(rest) < length:
            raise MalformedMessage(_ENDS_IN_KEY)
        draft.rs = draft.symmetric.decrypt_and_hash(rest[:length])
        check_x25519_public(draft.rs)
        return rest[length:]

    def _mix_public(self, symmetric: SymmetricState, token: str, public: bytes) -> None:
        """A clear public key; with psks, an ephemeral one is also chained in (section 9.2)."""
        symmetric.mix_hash(public)
        if token == "e" and self._psks:
            symmetric.mix_key(public)

    def _mix_secret(self, draft: _Progress, token: str) -> None:
        """A token that sends nothing: psk, or a DH of our key and theirs, in this order."""
        if token == "psk":
            draft.symmetric.mix_key_and_hash(self._psks[draft.psks_used])
            draft.psks_used += 1
            return
        ours = draft.e if token[0] == "e" else self._s
        theirs = draft.re if token[1] == "e" else draft.rs
        # The checks at construction and the pattern's order have made sure of both.
        assert ours is not None
        assert theirs is not None
        draft.symmetric.mix_key(x25519(ours.private, theirs))


_ENDS_IN_KEY = "the message ends within a public key"


def _hidden(s: bytes | KeyPair | None) -> Secret | KeyPair | None:
    return s if s is None or isinstance(s, KeyPair) else Secret.of(s)
