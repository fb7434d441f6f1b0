"""The trust list on disk: what is kept comes back, and every mistake in it is named."""

import errno
import os
import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handshake.identity import Identity, NodeId
from mesh.errors import InvalidConfiguration
from mesh.home.files import write_private
from mesh.home.trust_store import TrustStore, _quoted
from mesh.trust.policy import Decision, Policy, TrustEntry


def node(number: int) -> NodeId:
    return Identity(bytes([number]) * 32).id


ALICE = TrustEntry(node(1), "alice", ("admin", "worker"), True)
BOB = TrustEntry(node(2), 'Bob "the \\" Böse', (), True)
EVE = TrustEntry(node(3), "", (), False)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "trust.toml"


def refused(path: Path, text: str | bytes) -> str:
    """What loading this text says; the refusal leaves the file as it is."""
    data = text.encode() if isinstance(text, str) else text
    write_private(path, data)
    with pytest.raises(InvalidConfiguration) as caught:
        TrustStore(path).load()
    assert path.read_bytes() == data
    assert str(path) in str(caught.value)
    return str(caught.value).replace(str(path), "FILE")


def peer(number: int, more: str = "allowed = true") -> str:
    return f'[[peer]]\nid = "{node(number)}"\n{more}\n'


class TestKept:
    def test_entries_come_back_in_order(self, path: Path) -> None:
        """Id, name, roles and verdict of each entry survive, quotes and accents included."""
        entries = [BOB, ALICE, EVE]
        TrustStore(path).save(entries)
        assert TrustStore(path).load() == entries
        assert path.stat().st_mode & 0o777 == 0o600

    def test_missing_file_is_an_empty_list(self, path: Path) -> None:
        """Nobody is trusted by default, and looking makes no file."""
        store = TrustStore(path)
        assert store.load() == []
        assert not store.changed()
        assert not path.exists()

    def test_a_policy_comes_back(self, path: Path) -> None:
        """A policy made from the file lists and decides as the one that was saved."""
        policy = Policy([BOB])
        policy.allow(ALICE.id, ALICE.name, ALICE.roles)
        policy.deny(EVE.id)
        policy.deny(BOB.id)
        TrustStore(path).save(policy.entries())
        read = Policy(TrustStore(path).load())
        assert read.entries() == policy.entries()
        assert read.decide(BOB.id) is read.decide(EVE.id) is Decision.DENIED
        assert read.find("alice") == ALICE.id

    def test_hand_written_roles_are_what_a_policy_makes_of_them(self, path: Path) -> None:
        """Roles are sorted and named once, and whoever is denied has none."""
        roles = 'roles = ["b", "a", "b"]'
        text = peer(1, f"allowed = true\n{roles}") + peer(2, f"allowed = false\n{roles}")
        write_private(path, text.encode())
        assert [entry.roles for entry in TrustStore(path).load()] == [("a", "b"), ()]

    def test_file_can_be_read_and_written_by_people(self, path: Path) -> None:
        """The heading says how an edit takes effect; only id and verdict must be written."""
        TrustStore(path).save([ALICE])
        text = path.read_text()
        assert text.startswith("# Who may talk to this node.")
        assert "mesh trust reload" in text
        assert f'[[peer]]\nid = "{ALICE.id}"\nname = "alice"\n' in text
        write_private(path, (peer(3, "allowed = false # no!") + peer(4)).encode())
        assert TrustStore(path).load() == [EVE, TrustEntry(node(4), "", (), True)]

    def test_in_memory_nothing_is_written(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Without a path the list lives as long as the object."""
        monkeypatch.chdir(tmp_path)
        store = TrustStore(None)
        assert store.load() == []
        store.save(iter([ALICE, EVE]))
        assert store.load() == [ALICE, EVE]
        assert not store.changed()
        assert os.listdir(tmp_path) == []

    @given(text=st.text(st.characters(exclude_categories=["Cs"])))
    def test_any_text_is_quoted_so_that_it_comes_back(self, text: str) -> None:
        """Quotes, backslashes, line ends and control characters: TOML reads what was written.

        What does not print is escaped, so that a list on a screen cannot lie.
        """
        quoted = _quoted(text)
        assert tomllib.loads(f"x = {quoted}")["x"] == text
        assert quoted.isprintable()

    def test_half_a_character_cannot_be_kept(self) -> None:
        """A lone surrogate has no UTF-8."""
        with pytest.raises(InvalidConfiguration, match="lone surrogate"):
            _quoted("\ud800")


class TestEdits:
    def test_edit_is_noticed_until_it_is_loaded(self, path: Path) -> None:
        """`changed` tells of a new, another, or missing file, and not of our own writing."""
        store = TrustStore(path)
        store.load()
        store.save([ALICE])
        assert not store.changed()
        TrustStore(path).load()
        write_private(path, (peer(4)).encode())
        assert store.changed()
        assert [entry.id for entry in store.load()] == [node(4)]
        assert not store.changed()
        path.unlink()
        assert store.changed()

    def test_edit_is_never_overwritten_unseen(self, path: Path) -> None:
        """A denial written by hand is not lost because a program saves its older list."""
        store = TrustStore(path)
        store.save([ALICE])
        edited = (peer(1, "allowed = false")).encode()
        write_private(path, edited)
        with pytest.raises(InvalidConfiguration, match="edited since it was read"):
            store.save([ALICE, BOB])
        with pytest.raises(InvalidConfiguration, match="edited since it was read"):
            TrustStore(path).save([ALICE])
        assert path.read_bytes() == edited
        store.load()
        store.save([BOB])
        assert TrustStore(path).load() == [BOB]

    def test_bad_edit_does_not_count_as_seen(self, path: Path) -> None:
        """After a failed load the file is still changed, and still not overwritten."""
        store = TrustStore(path)
        store.save([ALICE])
        write_private(path, b"nonsense")
        with pytest.raises(InvalidConfiguration):
            store.load()
        assert store.changed()
        with pytest.raises(InvalidConfiguration):
            store.save([ALICE])

    def test_failed_write_leaves_the_old_list(
        self, path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A full disk costs the change, not the list; the next try succeeds."""

        def fail(descriptor: int) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

        store = TrustStore(path)
        store.save([ALICE])
        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", fail)
            with pytest.raises(InvalidConfiguration, match="No space left"):
                store.save([BOB])
        assert TrustStore(path).load() == [ALICE]
        store.save([BOB])
        assert TrustStore(path).load() == [BOB]

    def test_list_that_could_not_be_read_again_is_not_written(self, path: Path) -> None:
        """Entries that contradict each other are refused while the old list still stands."""
        store = TrustStore(path)
        store.save([ALICE])
        with pytest.raises(InvalidConfiguration, match=r"peer 2: .*entry already"):
            store.save([BOB, BOB])
        assert TrustStore(path).load() == [ALICE]


class TestMistakes:
    def test_broken_text_names_the_line(self, path: Path) -> None:
        """What is not TOML or not UTF-8 is named with its line."""
        assert "FILE is not TOML: " in refused(path, "version = 1\npeer = \n")
        assert "line 2" in refused(path, "version = 1\npeer = \n")
        assert refused(path, b"# fine\n\n# \xff\n") == "FILE, line 3: it is not UTF-8"

    def test_entry_is_named_by_line_and_number(self, path: Path) -> None:
        """The mistake is found without counting."""
        said = refused(path, "# mine\n\n" + peer(1) + "\n" + peer(2, ""))
        assert said == "FILE, line 7, peer 2: allowed is missing or neither true nor false"

    def test_entry_is_named_by_number_where_lines_are_not_known(self, path: Path) -> None:
        """Another way to write the list is as good, and no wrong line is told."""
        said = refused(path, peer(1, 'roles = ["""\n[[peer]]\n"""]'))
        assert said == "FILE, peer 1: allowed is missing or neither true nor false"
        said = refused(path, "peer = [{allowed = true}]\n")
        assert said == "FILE, peer 1: its id is missing or not text"

    @pytest.mark.parametrize(
        ("more", "why"),
        [
            ('allowed = "yes"', "allowed is missing or neither true nor false"),
            ("allowed = 1", "allowed is missing or neither true nor false"),
            ("allowed = true\nname = 5", "its name is not text"),
            ('allowed = true\nroles = "admin"', "its roles are not a list of texts"),
            ("allowed = true\nroles = [1]", "its roles are not a list of texts"),
            ("alowed = true", "there is no key 'alowed'; did you mean allowed?"),
            (
                'allowed = true\nroles = [" a"]',
                "a role is printable text without spaces at its ends",
            ),
            ("allowed = true\ncolour = 1", "there is no key 'colour'"),
        ],
    )
    def test_bad_fields_are_named(self, path: Path, more: str, why: str) -> None:
        """A slip never weakens the list: nothing is guessed, nothing skipped."""
        assert refused(path, peer(1, more)) == f"FILE, line 1, peer 1: {why}"

    def test_bad_ids_are_named(self, path: Path) -> None:
        """An id with a wrong letter is not another peer's."""
        said = refused(path, peer(1).replace(str(node(1)), str(node(1))[:-1] + "?"))
        assert said.startswith("FILE, line 1, peer 1: its id cannot be used: ")
        assert "its id is missing" in refused(path, "[[peer]]\nid = 5\nallowed = true\n")

    def test_one_id_twice_is_refused(self, path: Path) -> None:
        """Allowed here and denied there: nobody may have to guess which one counts."""
        said = refused(path, peer(1) + peer(1, "allowed = false"))
        assert said == "FILE, line 4, peer 2: its id has an entry already"

    def test_one_name_twice_is_refused(self, path: Path) -> None:
        """A petname stands for one peer."""
        named = 'allowed = true\nname = "bob"'
        assert "line 5, peer 2: " in refused(path, peer(1, named) + peer(2, named))

    def test_name_that_is_an_id_is_refused(self, path: Path) -> None:
        """No petname can be taken for somebody's id."""
        said = refused(path, peer(1, f'allowed = true\nname = "{node(2)}"'))
        assert said.startswith("FILE, line 1, peer 1: ")

    @pytest.mark.parametrize(
        ("text", "why"),
        [
            ("version = 2\nfuture = 1\n", "newer noisemesh (version 2, this one reads 1)"),
            ("version = 0\n", "version is the number 1"),
            ('version = "1"\n', "version is the number 1"),
            ("peers = 1\n", "there is no key 'peers'; did you mean peer?"),
            ("[peer]\n", "[[peer]], two brackets"),
            ("peer = [1]\n", "peer 1: it is not a table"),
        ],
    )
    def test_wrong_shapes_are_named(self, path: Path, text: str, why: str) -> None:
        """The file as a whole is checked before any entry of it counts."""
        assert why in refused(path, text)

    def test_open_file_is_refused(self, path: Path) -> None:
        """A list that others could write is nobody's decision."""
        TrustStore(path).save([ALICE])
        path.chmod(0o606)
        with pytest.raises(InvalidConfiguration, match=f"chmod 600 {path}"):
            TrustStore(path).load()
