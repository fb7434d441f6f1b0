"""The result of an exchange: who the peer is, and the secrets that keys are made of.

A finished exchange is a type of its own: what can seal does not exist before the peer is
authenticated. Nothing here touches anything but `primitives`.
"""

from dataclasses import dataclass
from typing import TypeVar

from handshake.constants import (
    DIRECTION_INITIATOR_TO_RESPONDER,
    DIRECTION_RESPONDER_TO_INITIATOR,
    LABEL_EXPORT,
    LABEL_TRAFFIC,
    SESSION_ID_BYTES,
    SUITES,
)
from handshake.errors import InvalidPayload, InvalidProtocolName, WrongTurn
from handshake.identity import NodeId
from handshake.primitives import derive_key, length_prefixed
from handshake.secret import HoldsSecret, Secret

_T = TypeVar("_T")


@dataclass(slots=True, repr=False, eq=False)
class Established(HoldsSecret):
    """A finished exchange with a peer that proved who it is: what keys are made of.

    `initiator` says whether we began this exchange, `handshake_hash` is the same on both sides.
    Nobody changes it; it is not frozen because that costs a call for each field.
    """

    initiator: bool
    peer_id: NodeId
    handshake_hash: bytes
    local_static_private: bytes
    remote_static: bytes
    local_session_id: int
    remote_session_id: int
    split_keys: tuple[bytes, bytes]

    def __post_init__(self) -> None:
        first, second = self.split_keys
        self.split_keys = (Secret.of(first), Secret.of(second))
        self.local_static_private = Secret.of(self.local_static_private)

    def traffic_keys(self, suite: str) -> tuple[bytes, bytes]:
        """Our 32-byte send and receive keys for "ChaChaPoly" or "AESGCM".

        Raises InvalidProtocolName for another suite.
        """
        if suite not in SUITES:
            raise InvalidProtocolName(f"no cipher suite of the name {suite!r}")
        first, second = (
            derive_key(
                key, length_prefixed(LABEL_TRAFFIC, direction, suite.encode(), self.handshake_hash)
            )
            for key, direction in zip(
                self.split_keys,
                (DIRECTION_INITIATOR_TO_RESPONDER, DIRECTION_RESPONDER_TO_INITIATOR),
                strict=True,
            )
        )
        return (first, second) if self.initiator else (second, first)

    def export(self) -> bytes:
        """The 32-byte psk of a fresh exchange inside this session, the same on both sides."""
        return derive_key(
            Secret(b"".join(self.split_keys)), length_prefixed(LABEL_EXPORT, self.handshake_hash)
        )


def check_session_id(session_id: int) -> int:
    """The session id itself; raises InvalidPayload unless it fits 8 bytes and is not zero."""
    if not 0 < session_id < 2 ** (8 * SESSION_ID_BYTES):
        raise InvalidPayload("a session id is between 1 and 2^64 - 1")
    return session_id


def finished(value: _T | None) -> _T:
    """The result of a step; raises WrongTurn while there is none."""
    if value is None:
        raise WrongTurn("the exchange has not come that far")
    return value
