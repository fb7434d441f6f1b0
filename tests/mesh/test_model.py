"""The values that every room speaks of."""

import dataclasses

import pytest

from handshake.identity import Identity
from mesh.model import Now, Origin, Peer, Route, Transmit

ALICE = Identity(bytes([1]) * 32).id
BOB = Identity(bytes([2]) * 32).id


def test_a_moment_has_two_clocks() -> None:
    """They are told apart by name."""
    now = Now(elapsed=1.5, wall=1_700_000_000.0)
    assert (now.elapsed, now.wall) == (1.5, 1_700_000_000.0)


def test_a_peer_is_a_dictionary_key() -> None:
    """By object: the same object finds its value, and an equal-looking one is another peer."""
    peer, other = Peer(ALICE, "alice", ("worker",)), Peer(ALICE, "alice", ("worker",))
    seen = {peer: 1}
    assert seen[peer] == 1
    assert other not in seen
    assert peer != other


def test_a_peer_does_not_change() -> None:
    """A handler that keeps its peer keeps what it was told; it cannot give itself a role."""
    peer = Peer(ALICE)
    for field in ("id", "name", "roles"):
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(peer, field, "admin")
    with pytest.raises((AttributeError, TypeError)):
        peer.anything = 1  # type: ignore[attr-defined]
    assert (peer.id, peer.name, peer.roles) == (ALICE, "", ())


def test_a_peer_is_told_by_its_petname() -> None:
    """Or by the first characters of its id."""
    assert str(Peer(ALICE, "alice")) == "alice"
    assert str(Peer(ALICE)) == ALICE.short
    assert str(Peer(ALICE)) != str(Peer(BOB))


def test_routes_are_equal_by_value() -> None:
    """The engine finds by a route what it kept under another object of it."""
    assert {Route(3): "dialled", Route(routing_id=b"\x00ab"): "accepted"} == {
        Route(dialled=3): "dialled",
        Route(0, b"\x00ab"): "accepted",
    }
    assert Route(1) != Route(2)
    assert Route(routing_id=b"a") != Route(routing_id=b"b")
    with pytest.raises(dataclasses.FrozenInstanceError):
        Route(1).dialled = 2  # type: ignore[misc]


def test_routes_are_told_apart() -> None:
    """By the number we gave a connection, or by the return path in hex."""
    assert str(Route(3)) == "dialled #3"
    assert str(Route(routing_id=b"\x00\xff")) == "from 00ff"


def test_what_goes_in_and_out() -> None:
    """A part comes with its origin, a frame leaves with its route."""
    origin = Origin(Route(routing_id=b"r"), "127.0.0.1")
    transmit = Transmit(origin.route, b"frame")
    assert (transmit.route, transmit.frame) == (Route(routing_id=b"r"), b"frame")
    assert origin.address == "127.0.0.1"
