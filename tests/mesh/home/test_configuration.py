"""The configuration: one table, three ways in, and errors that say where to look."""

import dataclasses
import os
import re
import tomllib
import typing
from pathlib import Path

import pytest

from handshake.identity import Identity
from handshake.secret import Secret, SecretText
from mesh.errors import InvalidConfiguration
from mesh.home.configuration import SETTINGS, Configuration, reference_table, template
from mesh.home.files import write_private

ID = str(Identity(bytes(range(32))).id)
SECRET = bytes(range(32))
PAGE = Path(__file__).parents[3] / "docs" / "reference" / "configuration.md"

# For every field a value other than its default: as keyword, as TOML, as variable, as it is read.
WAYS: dict[str, tuple[object, str, str, object]] = {
    "name": ("alice", '"alice"', "alice", "alice"),
    "listen": (
        ["tcp://*:1", "ipc://x"],
        '["tcp://*:1", "ipc://x"]',
        "tcp://*:1,ipc://x",
        ("tcp://*:1", "ipc://x"),
    ),
    "connect": (f"{ID}@tcp://a:1", f'["{ID}@tcp://a:1"]', f"{ID}@tcp://a:1", (f"{ID}@tcp://a:1",)),
    "mesh": ("team", '"team"', "team", "team"),
    "mesh_secret": (SECRET, f'"{SECRET.hex()}"', SECRET.hex(), Secret(SECRET)),
    "passphrase": ("open sesame", '"open sesame"', "open sesame", SecretText("open sesame")),
    "rekey_after_seconds": (1, "1", "1.0", 1.0),
    "window_bytes": (8 << 20, "8388608", "8388608", 8 << 20),
    "max_message_bytes": (65536, "65536", "65536", 65536),
    "call_timeout_seconds": (0.5, "0.5", "0.5", 0.5),
    "connect_timeout_seconds": (7, "7", "7", 7.0),
    "close_timeout_seconds": (0, "0", "0", 0.0),
    "max_concurrent_calls": (1, "1", "1", 1),
    "handler_threads": (2, "2", "2", 2),
    "max_peers": (3, "3", "3", 3),
}
FIELDS = [setting.name for setting in SETTINGS]


def write_file(home: Path, text: str) -> Path:
    write_private(home / "config.toml", text.encode())
    return home


def refused(home: Path | None, environ: dict[str, str], **keywords: object) -> str:
    with pytest.raises(InvalidConfiguration) as caught:
        Configuration.load(home, environ, **keywords)
    return str(caught.value)


class TestThreeWays:
    def test_the_examples_name_every_field(self) -> None:
        """A field added to the table is tested through all three ways, or this fails."""
        assert list(WAYS) == FIELDS

    @pytest.mark.parametrize("name", FIELDS)
    def test_every_field_works_through_all_three_ways(self, tmp_path: Path, name: str) -> None:
        """Keyword, file and variable give the same value, and it is not the default."""
        keyword, toml, variable, expected = WAYS[name]
        home = write_file(tmp_path, f"{name} = {toml}\n")
        loaded = [
            Configuration.load(None, {}, **{name: keyword}),
            Configuration.load(home, {}),
            Configuration.load(None, {f"MESH_{name.upper()}": variable}),
        ]
        for configuration in loaded:
            found = getattr(configuration, name)
            assert found == expected
            assert type(found) is type(expected)
            assert found != getattr(Configuration(), name)
            assert configuration == dataclasses.replace(Configuration(), **{name: keyword})

    def test_keyword_beats_variable_beats_file_beats_default(self, tmp_path: Path) -> None:
        """Each field is decided by itself, by the way nearest to the program."""
        home = write_file(tmp_path, 'name = "file"\nmesh = "file"\nmax_peers = 7\n')
        environ = {"MESH_NAME": "variable", "MESH_MESH": "variable"}
        found = Configuration.load(home, environ, name="keyword")
        assert (found.name, found.mesh, found.max_peers) == ("keyword", "variable", 7)
        assert found.handler_threads == Configuration().handler_threads

    def test_a_keyword_of_none_is_not_given(self) -> None:
        """A program may hand on what it was not given itself."""
        assert Configuration.load(None, {"MESH_NAME": "variable"}, name=None).name == "variable"

    def test_nothing_given_is_the_default(self, tmp_path: Path) -> None:
        """A home without a file, and no home, give the defaults; nothing is written."""
        assert Configuration.load(tmp_path, {}) == Configuration.load(None, {}) == Configuration()
        assert os.listdir(tmp_path) == []

    def test_only_the_environment_handed_in_counts(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """The process's own variables are not looked at behind the caller's back."""
        monkeypatch.setenv("MESH_NAME", "own")
        assert Configuration.load(None, {}).name == "node"

    def test_defaults_are_valid_and_of_their_types(self) -> None:
        """Each default is one the table allows, in the very form it would be read to."""
        hints = typing.get_type_hints(Configuration)
        for setting in SETTINGS:
            assert setting.kind.read(setting.default) == setting.default
            assert getattr(Configuration(), setting.name) == setting.default
            origin = typing.get_origin(hints[setting.name])
            assert isinstance(setting.default, origin if origin is tuple else hints[setting.name])


class TestRefusals:
    def test_a_bad_value_says_field_source_value_and_what_is_allowed(self, tmp_path: Path) -> None:
        """Whichever way it came, one line is enough to find and mend it."""
        home = write_file(tmp_path, "rekey_after_seconds = 0.25\n")
        variable = {"MESH_REKEY_AFTER_SECONDS": "soon"}
        texts = {
            refused(home, {}): (f"{home}/config.toml, key rekey_after_seconds", "0.25"),
            refused(None, variable): ("the variable MESH_REKEY_AFTER_SECONDS", "'soon'"),
            refused(None, {}, rekey_after_seconds="1"): (
                "the keyword rekey_after_seconds=",
                "'1'",
            ),
        }
        for text, (source, value) in texts.items():
            assert text.startswith(f"rekey_after_seconds from {source}: {value} cannot be used")
            assert text.endswith("allowed: 0.5 to 86400 seconds")

    def test_a_long_value_is_cut(self) -> None:
        """An error stays readable whatever was given."""
        assert len(refused(None, {}, name="x" * 10_000)) < 300

    @pytest.mark.parametrize("name", ["mesh_secret", "passphrase"])
    def test_secrets_are_never_shown(self, tmp_path: Path, name: str) -> None:
        """No error, cause of an error or `repr` holds a secret, not even a bad one."""
        bad = "correct-horse\ud800"
        home = write_file(tmp_path, f"{name} = 123454321\n")
        shown = [
            refused(home, {}),
            refused(None, {f"MESH_{name.upper()}": bad}),
            refused(None, {}, **{name: bad}),
        ]
        for text in shown:
            assert text.startswith(f"{name} from ")
            assert "horse" not in text
            assert "123454321" not in text
        with pytest.raises(InvalidConfiguration) as caught:
            Configuration.load(None, {}, **{name: bad})
        assert caught.value.__cause__ is None
        assert caught.value.__context__ is None
        good = Configuration.load(None, {}, mesh_secret=SECRET, passphrase="open sesame")
        assert "sesame" not in repr(good)
        assert repr(SECRET)[2:-1] not in repr(good)

    def test_unknown_names_are_refused_with_a_suggestion(self, tmp_path: Path) -> None:
        """A slip of the pen is told, and what was probably meant."""
        home = write_file(tmp_path, "windowbytes = 1\n")
        assert refused(home, {}) == (
            f"{home}/config.toml: there is no setting 'windowbytes'; did you mean window_bytes?"
        )
        assert refused(None, {}, mesh_secert=b"") == (
            "the keywords: there is no setting 'mesh_secert'; did you mean mesh_secret?"
        )
        assert refused(None, {}, colour=1) == "the keywords: there is no setting 'colour'"
        assert refused(None, {"MESH_LISTENS": "tcp://*:1"}) == (
            "the environment: there is no setting 'MESH_LISTENS'; did you mean MESH_LISTEN?"
        )

    def test_other_programs_variables_are_left_alone(self) -> None:
        """MESH_HOME is ours but no field; what resembles no field is somebody else's."""
        environ = {
            "MESH_HOME": "/x",
            "MESH_SERVICE_HOST": "10.0.0.1",
            "MESH_PORT": "tcp://10.0.0.1:80",
            "MESH_": "",
            "LISTENS": "",
            "mesh_name": "lower",
        }
        assert Configuration.load(None, environ) == Configuration()

    def test_a_broken_file_is_named(self, tmp_path: Path) -> None:
        """Not TOML, with its line; not UTF-8; open to others; and no exception holds its text."""
        write_file(tmp_path, 'passphrase = "hidden"\nname = \n')
        assert "config.toml is not TOML: " in refused(tmp_path, {})
        assert "line 2" in refused(tmp_path, {})
        with pytest.raises(InvalidConfiguration) as caught:
            Configuration.load(tmp_path, {})
        assert caught.value.__context__ is None
        write_private(tmp_path / "config.toml", b"\xff")
        assert refused(tmp_path, {}).endswith("it is not UTF-8")
        (tmp_path / "config.toml").chmod(0o644)
        assert "chmod 600" in refused(tmp_path, {})

    def test_a_message_may_be_larger_than_the_window(self, tmp_path: Path) -> None:
        """It goes in chunks: each number has its own limits, and none that comes of the other."""
        for message, window in ((1 << 30, 65536), (1024, 65536), (1024, 1 << 30)):
            made = Configuration(max_message_bytes=message, window_bytes=window)
            assert (made.max_message_bytes, made.window_bytes) == (message, window)
        home = write_file(tmp_path, "window_bytes = 65536\n")
        assert Configuration.load(home, {}).max_message_bytes > 65536

    def test_no_invalid_object_exists(self) -> None:
        """Made directly or by `replace`, a configuration is checked, and never changes."""
        with pytest.raises(InvalidConfiguration, match="max_peers from the keyword max_peers="):
            Configuration(max_peers=0)
        with pytest.raises(InvalidConfiguration, match="window_bytes from the keyword"):
            dataclasses.replace(Configuration(), window_bytes=65535)
        with pytest.raises(dataclasses.FrozenInstanceError):
            Configuration().name = "other"


class TestTemplate:
    def test_names_every_field_with_its_default(self, tmp_path: Path) -> None:
        """Each key stands there as a comment that may be taken away, and changes nothing then."""
        text = template('zoë "z"')
        assert tomllib.loads(text) == {"name": 'zoë "z"'}
        write_file(tmp_path, text)
        assert Configuration.load(tmp_path, {}) == Configuration(name='zoë "z"')
        lines = text.splitlines()
        keys = [line.removeprefix("# ") for line in lines if re.match(r"# [a-z_]+ = ", line)]
        names = [setting.name for setting in SETTINGS if setting.name != "name"]
        assert [key.split(" = ")[0] for key in keys] == names
        uncommented = "\n".join(key for key in keys if not key.endswith('"..."'))
        write_file(tmp_path, uncommented)
        assert Configuration.load(tmp_path, {}) == Configuration()
        assert [key for key in keys if key.endswith('"..."')] == [
            'mesh_secret = "..."',
            'passphrase = "..."',
        ]

    def test_explains_itself(self) -> None:
        """What each field means and allows, what wins over the file, and no page to look up."""
        text = template("alice")
        one_line = " ".join(line.removeprefix("# ") for line in text.splitlines())
        for setting in SETTINGS:
            assert setting.help in one_line
            assert setting.kind.allowed.replace("`", "") in one_line
        assert "MESH_LISTEN" in text
        assert "docs/" not in text
        assert max(map(len, text.splitlines())) <= 100


class TestReference:
    def test_the_committed_page_holds_this_table(self) -> None:
        """The page's one table is `reference_table()`: change both in one commit."""
        lines = PAGE.read_text(encoding="utf-8").splitlines(keepends=True)
        assert "".join(line for line in lines if line.startswith("|")) == reference_table()

    def test_every_field_has_a_row(self) -> None:
        """Six cells each; the variable and the default stand beside the name."""
        rows = reference_table().splitlines()[2:]
        assert len(rows) == len(SETTINGS)
        for row, setting in zip(rows, SETTINGS, strict=True):
            cells = [cell.strip() for cell in row.strip("|").split("|")]
            assert len(cells) == 6
            assert cells[:2] == [f"`{setting.name}`", f"`MESH_{setting.name.upper()}`"]
            assert all(cells)
            assert setting.help.endswith(".")
