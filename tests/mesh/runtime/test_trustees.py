"""`node.trust`: one list in memory and on disk, changed under the home's lock."""

import os

import pytest

from handshake.errors import InvalidKey
from handshake.identity import Identity, NodeId
from mesh.errors import AmbiguousName, HomeInUse, InvalidConfiguration
from mesh.home.home import Home
from mesh.runtime.trustees import Trust, node_id
from mesh.trust.policy import Decision, Policy


@pytest.fixture
def ids():
    """Three identities' ids."""
    return [Identity(bytes([number]) * 32).id for number in range(1, 4)]


@pytest.fixture
def home(tmp_path):
    """A home on disk that nobody holds."""
    return Home.locate(tmp_path / "home")


@pytest.fixture
def policy():
    """The list that the engine asks."""
    return Policy()


@pytest.fixture(params=["running", "not running", "in memory"])
def trust(request, home, policy):
    """The trust of a node in each of its states."""
    if request.param == "running":
        home.acquire()
    yield Trust(policy, Home.locate(":memory:") if request.param == "in memory" else home)
    home.release()


def test_nobody_is_trusted_at_first(trust, policy, ids):
    """An empty list, and everybody is unknown."""
    assert trust.list() == []
    assert policy.decide(ids[0]) is Decision.UNKNOWN


def test_allow_deny_and_forget_count_at_once(trust, policy, ids):
    """Each change is in the list that decides as soon as the call returns."""
    bob = ids[0]
    trust.allow(bob, name="bob", roles=["worker"])
    assert policy.decide(bob) is Decision.ALLOWED
    assert (policy.find("bob"), policy.roles_of(bob)) == (bob, ("worker",))
    trust.deny(str(bob))
    assert policy.decide(bob) is Decision.DENIED
    trust.forget(bob)
    assert policy.decide(bob) is Decision.UNKNOWN


def test_whoever_watches_is_told_of_each_change_until_it_stops(trust, ids):
    """Once a change, after it counts; and never again once nobody watches."""
    seen = []
    trust.watch(lambda: seen.append([entry.name for entry in trust.list()]))
    trust.allow(ids[0], name="bob")
    trust.deny(ids[1])
    trust.load()
    assert seen == [["bob"], ["bob", ""], ["bob", ""]]
    trust.watch(None)
    trust.forget(ids[0])
    trust.load()
    assert len(seen) == 3


def test_a_refused_change_changes_nothing(trust, ids):
    """A name that another peer has, or an id that is none: list and watcher see nothing of it."""
    trust.allow(ids[0], name="bob")
    seen = []
    trust.watch(lambda: seen.append(1))
    with pytest.raises(AmbiguousName):
        trust.allow(ids[1], name="bob")
    with pytest.raises(InvalidConfiguration):
        trust.allow("not an id")
    assert [entry.id for entry in trust.list()] == [ids[0]]
    assert seen == []


def test_a_node_that_does_not_run_adds_to_its_list(home, ids):
    """A change before the first start keeps what earlier lives decided."""
    Trust(Policy(), home).allow(ids[0], name="bob")
    Trust(Policy(), home).allow(ids[1], name="carol")
    assert [entry.name for entry in Trust(Policy(), home).list()] == ["bob", "carol"]
    assert not home.held


def test_a_list_that_another_process_uses_is_left_alone(home, tmp_path, ids):
    """While somebody runs that node, a change from outside is refused; reading is not."""
    with Home.locate(tmp_path / "home"):
        outside = Trust(Policy(), home)
        with pytest.raises(HomeInUse):
            outside.allow(ids[0])
        assert outside.list() == []


def test_an_edit_on_disk_counts_after_load(home, policy, ids):
    """What somebody wrote into the file is taken over as a whole, and never overwritten unseen."""
    with home:
        trust = Trust(policy, home)
        trust.allow(ids[0], name="bob")
        text = home.trust_file.read_text().replace("bob", "robert")
        home.trust_file.write_text(text + "# edited\n")
        with pytest.raises(InvalidConfiguration, match="mesh trust reload"):
            trust.deny(ids[0])
        assert policy.decide(ids[0]) is Decision.ALLOWED
        trust.load()
        assert policy.name_of(ids[0]) == "robert"


def test_a_list_that_cannot_be_read_changes_nothing(home, policy, ids):
    """A mistake in the file is named, and what was loaded before still counts."""
    with home:
        trust = Trust(policy, home)
        trust.allow(ids[0], name="bob")
        home.trust_file.write_text("peer = 7")
        with pytest.raises(InvalidConfiguration):
            trust.load()
        assert policy.find("bob") == ids[0]


def test_a_node_id_is_an_id_or_its_text(ids):
    """Both give the id; anything else is refused, and a long text is not repeated whole."""
    assert node_id(ids[0]) is ids[0]
    assert node_id(str(ids[0])) == ids[0]
    with pytest.raises(InvalidConfiguration) as caught:
        node_id("x" * 1000)
    assert len(str(caught.value)) < 300
    with pytest.raises(InvalidKey):
        NodeId(os.urandom(31))
