"""The key file: what is kept comes back, damage is noticed, and nothing leaks."""

import os
import pickle
import re
import traceback
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from handshake import primitives
from handshake.errors import InvalidKey
from handshake.identity import Identity
from mesh.errors import InvalidConfiguration
from mesh.home import keys
from mesh.home.files import write_private
from mesh.home.keys import (
    PassphraseCost,
    create,
    describe,
    is_sealed,
    load,
    load_id,
    load_or_create,
    open_key,
    seal_again,
    write_copy,
)

CHEAP = PassphraseCost(1, 8192)
PASSPHRASE = "correct horse, Zoë"


def counting_bytes() -> Callable[[int], bytes]:
    """Bytes that never repeat, the same in every run."""
    drawn = 0

    def random_bytes(length: int) -> bytes:
        nonlocal drawn
        drawn += 1
        return bytes((drawn * 37 + index) % 256 for index in range(length))

    return random_bytes


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "identity.toml"


@pytest.fixture(params=[None, PASSPHRASE], ids=["plain", "sealed"])
def passphrase(request: pytest.FixtureRequest) -> str | None:
    return request.param


def make(path: Path, passphrase: str | None = None) -> Identity:
    return create(path, passphrase=passphrase, random_bytes=counting_bytes(), cost=CHEAP)


def change(path: Path, old: str, new: str, *, mend_check: bool = False) -> None:
    """Edit the file by a pattern; with `mend_check` as a careful forger would."""
    text, count = re.subn(old, new, path.read_text(), flags=re.MULTILINE)
    assert count == 1
    if mend_check:
        table = keys._parse(text.encode())
        table.pop("check")
        text = re.sub(r"check = .*", f'check = "{keys._check(table)}"', text)
    write_private(path, text.encode())


def look(path: Path) -> tuple[object, ...] | None:
    """Everything about the file that a refusal must leave as it is."""
    if not path.is_file():
        return None
    found = path.lstat()
    return found.st_ino, found.st_mode, found.st_uid, found.st_mtime_ns, path.read_bytes()


def refused(path: Path, passphrase: str | None = None) -> str:
    """What loading says; the refusal leaves the file as it is, and shows no secret."""
    before = look(path)
    with pytest.raises(InvalidConfiguration) as caught:
        load(path, passphrase=passphrase)
    assert look(path) == before
    shown = "".join(traceback.format_exception(caught.value)) + repr(caught.value)
    seed = counting_bytes()(32)
    for secret in (PASSPHRASE, seed.hex(), repr(seed)[2:-1]):
        assert secret not in shown
    assert str(path) in str(caught.value)
    return str(caught.value)


class TestKept:
    def test_identity_comes_back(self, path: Path, passphrase: str | None) -> None:
        """What was created is loaded, by its owner alone readable, and its id without a word."""
        made = make(path, passphrase)
        loaded = load(path, passphrase=passphrase)
        assert loaded.export_seed() == made.export_seed()
        assert loaded.id == made.id == load_id(path)
        assert is_sealed(path) == (passphrase is not None)
        assert path.stat().st_mode & 0o777 == 0o600

    def test_only_a_plain_file_holds_the_seed(self, path: Path, passphrase: str | None) -> None:
        """A sealed file holds the seed in no spelling, and no file holds the passphrase."""
        seed = make(path, passphrase).export_seed()
        held = path.read_bytes()
        assert (seed.hex().encode() in held) == (passphrase is None)
        assert seed not in held
        assert PASSPHRASE.encode() not in held

    def test_file_can_be_read_by_people(self, path: Path) -> None:
        """It says what it is and whose it is; comments and blank lines of people do not harm."""
        made = make(path)
        assert path.read_text().startswith("# A noisemesh identity.")
        assert f'id = "{made.id}"' in path.read_text()
        change(path, "^version", "# backup of the laptop\n\nversion")
        assert load(path).id == made.id

    def test_same_passphrase_seals_differently(self, tmp_path: Path) -> None:
        """Salt and nonce are drawn for each file, so that two tell nothing about each other."""
        for name in ("one", "two"):
            create(tmp_path / name, passphrase=PASSPHRASE, cost=CHEAP)
        fields = [keys._read_fields(tmp_path / name) for name in ("one", "two")]
        for name in ("salt", "sealed_seed", "id"):
            assert fields[0][name] != fields[1][name]

    def test_accents_may_be_typed_either_way(self, path: Path) -> None:
        """A composed and a decomposed accent are one passphrase."""
        made = make(path, "Zo\u00eb")
        assert load(path, passphrase="Zoe\u0308").id == made.id

    @pytest.mark.slow
    def test_default_cost_is_paid(self, path: Path) -> None:
        """A guess costs at least 64 MiB and several passes, and the file says how much."""
        create(path, passphrase=PASSPHRASE)
        fields = keys._read_fields(path)
        assert fields["memory_bytes"] >= 64 << 20
        assert fields["operations"] >= 3
        assert load(path, passphrase=PASSPHRASE).id == load_id(path)

    def test_create_never_replaces(self, path: Path, passphrase: str | None) -> None:
        """An identity is not lost by making another one."""
        make(path, passphrase)
        before = path.read_bytes()
        with pytest.raises(InvalidConfiguration, match=f"{path} exists already"):
            create(path)
        assert path.read_bytes() == before

    def test_load_or_create_makes_one_and_keeps_it(
        self, path: Path, passphrase: str | None
    ) -> None:
        """The first call makes the identity, later ones find it."""
        first = load_or_create(path, passphrase=passphrase, cost=CHEAP)
        second = load_or_create(path, passphrase=passphrase, cost=CHEAP)
        assert first.id == second.id

    def test_load_or_create_without_a_path_keeps_nothing(self, tmp_path: Path) -> None:
        """A throw-away identity is another one each time."""
        assert load_or_create(None).id != load_or_create(None).id
        assert os.listdir(tmp_path) == []

    def test_load_or_create_does_not_replace_a_bad_file(self, path: Path) -> None:
        """A link to nothing or a damaged file is an error, never a reason for a new identity."""
        path.symlink_to(path.with_name("nothing"))
        with pytest.raises(InvalidConfiguration, match="not a regular file"):
            load_or_create(path)
        path.unlink()
        write_private(path, b"")
        with pytest.raises(InvalidConfiguration, match="damaged"):
            load_or_create(path)


class TestWrittenAgain:
    def test_time_of_birth_is_kept(self, path: Path, passphrase: str | None) -> None:
        """A new file says when its identity was made, in UTC; whatever is done to it later."""
        make(path, passphrase)
        created = describe(path).created
        assert created is not None
        assert abs(datetime.fromisoformat(created) - datetime.now(UTC)) < timedelta(hours=1)
        seal_again(path, open_key(path, passphrase=passphrase), "new", cost=CHEAP)
        write_copy(path.with_name("copy"), open_key(path, passphrase="new"), "other", cost=CHEAP)
        assert describe(path.with_name("copy")) == describe(path) == (load_id(path), True, created)

    def test_files_of_before_do_not_say_when(self, path: Path) -> None:
        """They are read as ever, and nothing is made up."""
        made = make(path)
        change(path, "^created.*\n", "", mend_check=True)
        assert load(path).id == made.id
        assert describe(path).created is None
        seal_again(path, open_key(path), PASSPHRASE, cost=CHEAP)
        assert describe(path).created is None

    @pytest.mark.parametrize("time", ['"yesterday"', '"2026-13-01T00:00:00Z"', '""', "5"])
    def test_a_time_that_is_none_is_damage(self, path: Path, time: str) -> None:
        """As with every field, nothing but what this program writes is read."""
        make(path)
        change(path, "^created = .*", f"created = {time}", mend_check=True)
        assert "is damaged" in refused(path)

    def test_sealed_again_and_opened(self, path: Path, passphrase: str | None) -> None:
        """Under a new passphrase, or under none; the old one opens nothing any more."""
        seed = make(path, passphrase).export_seed()
        key = open_key(path, passphrase=passphrase)
        assert key.sealed == (passphrase is not None)
        seal_again(path, key, "new", cost=CHEAP)
        assert load(path, passphrase="new").export_seed() == seed
        refused(path, passphrase)
        seal_again(path, open_key(path, passphrase="new"), None)
        assert load(path).export_seed() == seed
        assert path.stat().st_mode & 0o777 == 0o600

    def test_file_that_was_changed_meanwhile_is_left_alone(self, path: Path) -> None:
        """Whoever opened it before cannot undo what somebody else has done since."""
        make(path)
        late = open_key(path)
        seal_again(path, open_key(path), PASSPHRASE, cost=CHEAP)
        with pytest.raises(InvalidConfiguration, match="changed by somebody else meanwhile"):
            seal_again(path, late, None)
        assert is_sealed(path)

    def test_unusable_passphrase_changes_nothing(self, path: Path) -> None:
        """Neither the file nor a copy is written."""
        make(path)
        before = look(path)
        for write in (
            lambda: seal_again(path, open_key(path), "", cost=CHEAP),
            lambda: write_copy(path.with_name("copy"), open_key(path), "", cost=CHEAP),
        ):
            with pytest.raises(InvalidConfiguration, match="empty or holds half"):
                write()
        assert look(path) == before
        assert not path.with_name("copy").exists()

    def test_copy_never_replaces(self, path: Path) -> None:
        """Not even the file that it is a copy of."""
        make(path)
        with pytest.raises(InvalidConfiguration, match="exists already"):
            write_copy(path, open_key(path), PASSPHRASE, cost=CHEAP)
        assert not is_sealed(path)

    def test_opened_key_shows_nothing(self, path: Path) -> None:
        """It prints its type alone, and is not pickled."""
        make(path)
        key = open_key(path)
        assert repr(key) == "<OpenedKey>"
        with pytest.raises(TypeError):
            pickle.dumps(key)


class TestPassphrase:
    def test_wrong_passphrase_is_told_apart_from_damage(self, path: Path) -> None:
        """The one mistake a person makes every day has its own words."""
        make(path, PASSPHRASE)
        said = refused(path, "wrong")
        assert said.startswith(f"wrong passphrase for {path}; give the one it was sealed with")
        assert "restore a backup" in said
        change(path, '^sealed_seed = "..', 'sealed_seed = "00')
        assert "is damaged: its check does not match" in refused(path, PASSPHRASE)

    def test_missing_passphrase_says_how_to_give_it(self, path: Path) -> None:
        """A sealed file without a passphrase names the keyword and the variable."""
        make(path, PASSPHRASE)
        assert "passphrase= or in MESH_PASSPHRASE" in refused(path)

    def test_passphrase_for_a_plain_file_is_refused(self, path: Path) -> None:
        """Whoever gives a passphrase believes the file to be sealed; silence would deceive."""
        make(path)
        said = refused(path, PASSPHRASE)
        assert "is not sealed with a passphrase, but one was given" in said
        assert "seal it with: mesh keys passphrase" in said

    @pytest.mark.parametrize("passphrase", ["", "horse\ud800"])
    def test_unusable_passphrase_makes_no_file(self, path: Path, passphrase: str) -> None:
        """Nothing is sealed with nothing, and no encoder's error carries a passphrase."""
        with pytest.raises(InvalidConfiguration, match="empty or holds half") as caught:
            make(path, passphrase)
        assert caught.value.__context__ is None
        assert not path.exists()

    def test_memory_that_is_not_there_is_told(
        self, path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """When Argon2id cannot run the text says what it asked for."""

        def fail(*arguments: object) -> bytes:
            raise InvalidKey("no")

        monkeypatch.setattr(keys, "passphrase_key", fail)
        with pytest.raises(InvalidConfiguration, match="1 passes over 8192 bytes"):
            make(path, PASSPHRASE)

    @pytest.mark.parametrize(
        ("field", "value"),
        [("operations", 0), ("operations", 17), ("memory_bytes", 1), ("memory_bytes", 1 << 40)],
    )
    def test_planted_cost_is_refused_before_it_is_paid(
        self, path: Path, monkeypatch: pytest.MonkeyPatch, field: str, value: int
    ) -> None:
        """A file cannot take all the memory or an hour, even with a matching check."""
        make(path, PASSPHRASE)
        change(path, f"^{field} = .*", f"{field} = {value}", mend_check=True)
        monkeypatch.setattr(keys, "passphrase_key", None)
        assert "cost of its passphrase is out of range" in refused(path, PASSPHRASE)


class TestDamage:
    def test_missing_file_says_how_to_make_one(self, path: Path) -> None:
        """No file is an error of its own, with the command."""
        assert "there is no key file" in refused(path)
        assert "mesh init" in refused(path)
        with pytest.raises(InvalidConfiguration, match="there is no key file"):
            load_id(path)

    def test_open_or_linked_file_is_refused(self, path: Path) -> None:
        """A key that others could read, or that lies elsewhere, is not used."""
        make(path)
        path.chmod(0o640)
        assert f"chmod 600 {path}" in refused(path)
        path.chmod(0o600)
        elsewhere = path.with_name("elsewhere")
        path.rename(elsewhere)
        path.symlink_to(elsewhere)
        assert "not a regular file" in refused(path)

    def test_file_of_another_user_is_refused(self, path: Path, someone_else: None) -> None:
        """A key that somebody else put there is not ours."""
        path.write_bytes(b"")
        path.chmod(0o600)
        assert "belongs to user" in refused(path)

    def test_every_truncation_is_noticed(self, path: Path, passphrase: str | None) -> None:
        """Cut anywhere before its last two characters, which are punctuation, it does not load."""
        make(path, passphrase)
        whole = path.read_bytes()
        for length in range(len(whole) - 1):
            path.write_bytes(whole[:length])
            assert "is damaged" in refused(path, passphrase)

    def test_every_changed_byte_is_noticed_or_harmless(
        self, path: Path, passphrase: str | None
    ) -> None:
        """One bit changed anywhere is damage, or in a comment; never another identity."""
        made = make(path, passphrase)
        whole = path.read_bytes()
        heading = whole.index(b"\n")
        for place in range(len(whole)):
            path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
            try:
                found = load(path, passphrase=passphrase)
            except InvalidConfiguration:
                continue
            assert found.id == made.id
            assert place < heading

    def test_newer_version_is_not_called_damaged(self, path: Path, passphrase: str | None) -> None:
        """A file that a later program wrote is told as such, whatever else it holds."""
        make(path, passphrase)
        change(path, "^version = 1", "version = 2\nquantum = true")
        said = refused(path, passphrase)
        assert "written by a newer noisemesh (key file version 2" in said
        assert "upgrade noisemesh" in said

    @pytest.mark.parametrize("version", ["0", "true", '"1"', "1.0"])
    def test_other_versions_are_damage(self, path: Path, version: str) -> None:
        """A version is a number from 1."""
        make(path)
        change(path, "^version = 1", f"version = {version}", mend_check=True)
        assert "is damaged" in refused(path)

    @pytest.mark.parametrize(
        ("old", "new", "why"),
        [
            ('^seed = "..', 'seed = "', "its seed is not 32 bytes"),
            ('^seed = "..', 'seed = "xx', "its seed is not 32 bytes"),
            ('^seed = "[0-9a-f]{64}"', f'seed = "{"00" * 32}"', "does not belong to its seed"),
            ('^id = "..', 'id = "zz', "does not belong to its seed"),
            ('^id = ".*"', "id = 5", "fields are missing, unknown or of the wrong type"),
            ("^seed = .*", "sealed_seed = 5", "fields are missing, unknown or of the wrong type"),
            ("^seed", "extra = 1\nseed", "fields are missing, unknown or of the wrong type"),
        ],
    )
    def test_contradictions_are_noticed_without_the_check(
        self, path: Path, old: str, new: str, why: str
    ) -> None:
        """Even with a check that matches, the fields must make sense together."""
        make(path)
        change(path, old, new, mend_check=True)
        assert why in refused(path)

    @pytest.mark.parametrize(
        ("old", "new", "why"),
        [
            ('^salt = "..', 'salt = "', "its salt is not 16 bytes"),
            ('^sealed_seed = ".*"', 'sealed_seed = ""', "its sealed_seed is not some bytes"),
            ('^sealed_seed = "..', 'sealed_seed = "', "wrong passphrase"),
        ],
    )
    def test_contradictions_of_a_sealed_file(
        self, path: Path, old: str, new: str, why: str
    ) -> None:
        """The same for what a passphrase protects."""
        make(path, PASSPHRASE)
        change(path, old, new, mend_check=True)
        assert why in refused(path, PASSPHRASE)

    def test_sealed_seed_of_another_length_is_damage(self, path: Path) -> None:
        """What opens must be a seed: 32 bytes."""
        make(path, PASSPHRASE)
        fields = keys._read_fields(path)
        key = primitives.passphrase_key(PASSPHRASE, bytes.fromhex(str(fields["salt"])), *CHEAP)
        sealed = primitives.secret_box_seal(key, bytes(31), bytes(24))
        change(path, "^sealed_seed = .*", f'sealed_seed = "{sealed.hex()}"', mend_check=True)
        assert "its seed has the wrong length" in refused(path, PASSPHRASE)

    def test_id_alone_is_checked_too(self, path: Path) -> None:
        """`load_id` gives an id that can be one, or an error."""
        make(path, PASSPHRASE)
        change(path, '^id = ".*"', 'id = "nonsense"', mend_check=True)
        with pytest.raises(InvalidConfiguration, match="its id is not a node id"):
            load_id(path)
