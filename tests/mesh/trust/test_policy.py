"""The trust list: what it says of an id, and which names it takes."""

import pytest

from handshake.identity import Identity, NodeId
from mesh.errors import AmbiguousName, InvalidConfiguration, UnknownPeer
from mesh.trust.policy import NAME_MAX_CHARS, Decision, Policy, TrustEntry

ALICE, BOB, CAROL = (Identity(bytes([number]) * 32).id for number in (1, 2, 3))


def test_nobody_is_trusted_by_default() -> None:
    """An empty list knows nobody, by id or by name."""
    policy = Policy()
    assert policy.decide(ALICE) is Decision.UNKNOWN
    assert policy.entries() == []
    assert policy.name_of(ALICE) == ""
    assert policy.roles_of(ALICE) == ()


def test_allow_deny_forget() -> None:
    """Each changes what the list says of that peer alone."""
    policy = Policy()
    policy.allow(ALICE, "alice", ["worker"])
    policy.allow(BOB)
    assert policy.decide(ALICE) is Decision.ALLOWED
    policy.deny(ALICE)
    assert policy.decide(ALICE) is Decision.DENIED
    policy.deny(CAROL)
    assert policy.decide(CAROL) is Decision.DENIED
    policy.allow(ALICE, "alice")
    assert policy.decide(ALICE) is Decision.ALLOWED
    policy.forget(ALICE)
    policy.forget(ALICE)
    assert policy.decide(ALICE) is Decision.UNKNOWN
    assert policy.decide(BOB) is Decision.ALLOWED


def test_an_id_from_the_handshake_is_found_by_its_bytes() -> None:
    """Another object of the same key is the same peer."""
    policy = Policy()
    policy.allow(ALICE, "alice")
    assert policy.decide(NodeId(bytes(ALICE))) is Decision.ALLOWED
    assert policy.decide(NodeId.parse(str(ALICE))) is Decision.ALLOWED


def test_denying_takes_the_roles_and_keeps_the_name() -> None:
    """A denied peer may do nothing, but is still listed under its name."""
    policy = Policy()
    policy.allow(ALICE, "alice", ["worker"])
    policy.deny(ALICE)
    assert policy.roles_of(ALICE) == ()
    assert policy.name_of(ALICE) == "alice"
    assert policy.find("alice") == ALICE


def test_entries_list_everybody_in_order() -> None:
    """The list is told as it was made, and a new list made of it says the same."""
    policy = Policy()
    policy.allow(BOB, "bob", ["b", "a", "b"])
    policy.deny(CAROL)
    policy.allow(ALICE)
    policy.allow(BOB, "robert", ["a", "b"])
    entries = policy.entries()
    assert entries == [
        TrustEntry(BOB, "robert", ("a", "b")),
        TrustEntry(CAROL, allowed=False),
        TrustEntry(ALICE),
    ]
    again = Policy(entries)
    assert again.entries() == entries
    assert again.find("robert") == BOB
    entries.clear()
    assert len(policy.entries()) == 3


def test_a_stored_list_gives_a_denied_peer_no_roles() -> None:
    """Whatever a file says, roles belong to allowed peers."""
    assert Policy([TrustEntry(BOB, "bob", ("admin",), allowed=False)]).roles_of(BOB) == ()


def test_another_list_takes_the_place_of_this_one() -> None:
    """As a whole: whom it does not name is unknown, and their petnames are free."""
    policy = Policy([TrustEntry(ALICE, "alice"), TrustEntry(BOB, "bob", ("worker",))])
    policy.replace([TrustEntry(CAROL, "alice"), TrustEntry(BOB, allowed=False)])
    assert policy.entries() == [TrustEntry(CAROL, "alice"), TrustEntry(BOB, allowed=False)]
    assert policy.decide(ALICE) is Decision.UNKNOWN
    assert policy.find("alice") == CAROL
    with pytest.raises(UnknownPeer):
        policy.find("bob")


def test_a_bad_list_replaces_nothing() -> None:
    """A file with a mistake in it leaves the list in use as it was."""
    policy = Policy([TrustEntry(ALICE, "alice")])
    with pytest.raises(AmbiguousName):
        policy.replace([TrustEntry(BOB, "x"), TrustEntry(CAROL, "x")])
    with pytest.raises(InvalidConfiguration):
        policy.replace([TrustEntry(BOB, "bob"), TrustEntry(CAROL, " ")])
    assert policy.entries() == [TrustEntry(ALICE, "alice")]
    assert policy.find("alice") == ALICE


def test_roles_are_replaced_not_added() -> None:
    """The last `allow` counts."""
    policy = Policy()
    policy.allow(BOB, roles=["worker", "admin"])
    assert policy.roles_of(BOB) == ("admin", "worker")
    policy.allow(BOB, roles=["worker"])
    assert policy.roles_of(BOB) == ("worker",)


def test_find_by_petname() -> None:
    """A petname finds its peer; any other text is an UnknownPeer, never a KeyError."""
    policy = Policy()
    policy.allow(BOB, "bob")
    assert policy.find("bob") == BOB
    for name in ("carol", "", "Bob", str(BOB)):
        with pytest.raises(UnknownPeer):
            policy.find(name)


def test_resolve_takes_ids_and_names() -> None:
    """An id, as such or as text, need not be on the list; a name must be."""
    policy = Policy()
    policy.allow(BOB, "bob")
    assert policy.resolve("bob") == BOB
    assert policy.resolve(CAROL) is CAROL
    assert policy.resolve(str(CAROL)) == CAROL
    with pytest.raises(UnknownPeer):
        policy.resolve("carol")


def test_a_renamed_or_forgotten_peer_frees_its_name() -> None:
    """The old name finds nobody and may be given to another."""
    policy = Policy()
    policy.allow(BOB, "bob")
    policy.allow(BOB, "robert")
    with pytest.raises(UnknownPeer):
        policy.find("bob")
    policy.allow(CAROL, "bob")
    policy.forget(CAROL)
    policy.allow(ALICE, "bob")
    assert policy.find("bob") == ALICE
    policy.allow(ALICE)
    with pytest.raises(UnknownPeer):
        policy.find("bob")


def test_forgetting_a_nameless_peer_keeps_all_names() -> None:
    """Names belong to their bearers only."""
    policy = Policy()
    policy.allow(BOB, "bob")
    policy.allow(CAROL)
    policy.forget(CAROL)
    assert policy.find("bob") == BOB


@pytest.mark.parametrize("allowed", [True, False])
def test_one_name_stands_for_one_peer(allowed: bool) -> None:
    """A second bearer is refused with AmbiguousName, and nothing changes."""
    policy = Policy()
    policy.allow(BOB, "bob")
    if not allowed:
        policy.deny(BOB)
    policy.allow(CAROL, "carol")
    before = policy.entries()
    with pytest.raises(AmbiguousName, match=str(BOB)):
        policy.allow(CAROL, "bob")
    assert policy.entries() == before
    assert policy.find("carol") == CAROL
    assert policy.find("bob") == BOB
    with pytest.raises(AmbiguousName):
        Policy([TrustEntry(BOB, "x"), TrustEntry(CAROL, "x")])


@pytest.mark.parametrize("name", ["b", "Bob's laptop", "böb", "鮑勃", "x" * NAME_MAX_CHARS])
def test_names_that_are_taken(name: str) -> None:
    """Printable text up to the limit, in any script."""
    policy = Policy()
    policy.allow(BOB, name, [name])
    assert policy.find(name) == BOB
    assert policy.roles_of(BOB) == (name,)


@pytest.mark.parametrize(
    "name",
    [
        "x" * (NAME_MAX_CHARS + 1),
        " bob",
        "bob ",
        " ",
        "\u00a0bob",
        "bo\nb",
        "bo\x1b[31mb",
        "bob\u202e",
        "b\u200bob",
        "\ud800",
    ],
)
def test_names_and_roles_that_are_refused(name: str) -> None:
    """What cannot be told apart or printed is refused, and nothing changes."""
    policy = Policy()
    with pytest.raises(InvalidConfiguration):
        policy.allow(BOB, name)
    with pytest.raises(InvalidConfiguration):
        policy.allow(BOB, "bob", ["worker", name])
    with pytest.raises(InvalidConfiguration):
        Policy([TrustEntry(BOB, "bob", (name,))])
    assert policy.entries() == []


def test_an_empty_role_is_refused() -> None:
    """No name is an honest answer, no role is a mistake."""
    with pytest.raises(InvalidConfiguration):
        Policy().allow(BOB, roles=[""])


def test_roles_given_as_one_text_are_refused() -> None:
    """`roles="admin"` would otherwise give five roles of one letter."""
    with pytest.raises(InvalidConfiguration):
        Policy().allow(BOB, roles="admin")


@pytest.mark.parametrize("spelling", [str.lower, str.upper])
def test_a_name_that_is_an_id_is_refused(spelling: type[str]) -> None:
    """A petname can never pretend to be an id, in either case."""
    with pytest.raises(InvalidConfiguration):
        Policy().allow(BOB, spelling(str(CAROL)))


@pytest.mark.parametrize("text", [f"{CAROL}"[:-2] + "aa", "A" * 56])
def test_what_was_meant_for_an_id_is_no_name(text: str) -> None:
    """A mistyped id is told as such where somebody is looked for, and is no petname either."""
    policy = Policy()
    with pytest.raises(UnknownPeer, match="nor is it a node id: the checksum"):
        policy.find(text)
    with pytest.raises(InvalidConfiguration, match="form of an id"):
        policy.allow(BOB, text)
    policy.allow(BOB, text[:-1] + "9")
    assert policy.find(text[:-1] + "9") == BOB
