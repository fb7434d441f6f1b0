"""The trust list as verbs: what the command changes, on a running node and on a home alone."""

from pathlib import Path

import pytest

from handshake.identity import Identity, NodeId
from mesh.errors import AmbiguousName, InvalidConfiguration, InvalidMessage, UnknownPeer
from mesh.home.home import Home
from mesh.runtime.trust_verbs import TrustVerbs
from mesh.runtime.trustees import Trust
from mesh.trust.policy import Policy

ALICE, BOB, CAROL = (Identity(bytes([number]) * 32).id for number in (1, 2, 3))


@pytest.fixture
def trust(tmp_path: Path) -> TrustVerbs:
    """The verbs of Alice's home."""
    policy = Policy()
    return TrustVerbs(policy, Trust(policy, Home(tmp_path / "home")), ALICE)


def entry(id: NodeId, name: str = "", roles: list[str] | None = None, allowed: bool = True) -> dict:
    """A line of the list as the verbs describe it."""
    return {"id": str(id), "name": name, "roles": roles or [], "allowed": allowed}


class TestAllow:
    def test_puts_a_peer_on_the_list(self, trust: TrustVerbs) -> None:
        """The answer is the new line; the list holds it."""
        arguments = {"id": str(BOB), "name": "bob", "roles": ["worker", "admin"]}
        line = entry(BOB, "bob", ["admin", "worker"])
        assert trust.verbs["trust-allow"](arguments) == line
        assert trust.verbs["trust-list"]({}) == [line]

    def test_keeps_what_is_not_given(self, trust: TrustVerbs) -> None:
        """Allowed again without a name or roles, a peer keeps them."""
        trust.verbs["trust-allow"]({"id": str(BOB), "name": "bob", "roles": ["worker"]})
        assert trust.verbs["trust-allow"]({"id": str(BOB)}) == entry(BOB, "bob", ["worker"])
        renamed = {"id": str(BOB), "name": "rob", "roles": []}
        assert trust.verbs["trust-allow"](renamed) == entry(BOB, "rob")

    def test_ourselves_is_a_slip(self, trust: TrustVerbs) -> None:
        """Whoever allows the node's own id has copied the wrong one, and is told so."""
        with pytest.raises(InvalidConfiguration, match="this node's own id"):
            trust.verbs["trust-allow"]({"id": str(ALICE)})

    @pytest.mark.parametrize(
        ("arguments", "error"),
        [
            ({}, InvalidMessage),
            ({"id": 3}, InvalidMessage),
            ({"id": "bob"}, InvalidConfiguration),
            ({"id": str(CAROL), "name": 3}, InvalidMessage),
            ({"id": str(CAROL), "name": " x"}, InvalidConfiguration),
            ({"id": str(CAROL), "name": "bob"}, AmbiguousName),
            ({"id": str(CAROL), "roles": "worker"}, InvalidMessage),
            ({"id": str(CAROL), "roles": [1]}, InvalidMessage),
        ],
    )
    def test_what_cannot_be_allowed(
        self, trust: TrustVerbs, arguments: dict, error: type[Exception]
    ) -> None:
        """A wrong id, name or role is refused and changes nothing."""
        trust.verbs["trust-allow"]({"id": str(BOB), "name": "bob"})
        with pytest.raises(error):
            trust.verbs["trust-allow"](arguments)
        assert trust.verbs["trust-list"]({}) == [entry(BOB, "bob")]


class TestOthers:
    def test_a_name_must_be_on_the_list(self, trust: TrustVerbs) -> None:
        """Nobody can be denied or forgotten by a name that nobody bears."""
        for verb in ("trust-deny", "trust-forget"):
            with pytest.raises(UnknownPeer):
                trust.verbs[verb]({"peer": "carol"})

    def test_deny_by_name_and_by_id(self, trust: TrustVerbs) -> None:
        """A denied peer stays on the list under its name, without its roles."""
        trust.verbs["trust-allow"]({"id": str(BOB), "name": "bob", "roles": ["worker"]})
        assert trust.verbs["trust-deny"]({"peer": "bob"}) == entry(BOB, "bob", allowed=False)
        assert trust.verbs["trust-deny"]({"peer": str(CAROL)}) == entry(CAROL, allowed=False)

    def test_forget_says_whether_it_knew(self, trust: TrustVerbs) -> None:
        """A peer that was on the list is struck off; one that was not is said not to have been."""
        trust.verbs["trust-allow"]({"id": str(BOB), "name": "bob"})
        assert trust.verbs["trust-forget"]({"peer": "bob"}) == {"id": str(BOB), "forgotten": True}
        assert trust.verbs["trust-forget"]({"peer": str(BOB)})["forgotten"] is False
        assert trust.verbs["trust-list"]({}) == []

    def test_reload_sees_an_edit(self, trust: TrustVerbs, tmp_path: Path) -> None:
        """What somebody wrote into the file counts afterwards."""
        trust.verbs["trust-allow"]({"id": str(BOB), "name": "bob"})
        file = tmp_path / "home" / "trust.toml"
        file.write_text(file.read_text().replace('"bob"', '"robert"'))
        assert trust.verbs["trust-reload"]({}) == [entry(BOB, "robert")]
        assert trust.verbs["trust-deny"]({"peer": "robert"})["id"] == str(BOB)
