"""Kinds of settings: each at its limits and one past them, from Python and from text."""

import base64
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handshake.identity import Identity
from mesh.home.settings import (
    Endpoints,
    Key,
    Passphrase,
    Seconds,
    Targets,
    Text,
    Whole,
    parse_target,
)

ID = str(Identity(bytes(range(32))).id)
KINDS = [
    Text(1, 64),
    Text(1, 255, in_bytes=True),
    Whole(-3, 10, "things"),
    Seconds(0.5, 10),
    Endpoints(),
    Targets(),
    Key(),
    Passphrase(),
]
ANYTHING = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(),
    st.binary(),
    st.lists(st.text() | st.integers() | st.none()),
    st.dictionaries(st.text(), st.integers(), max_size=2),
)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: type(kind).__name__)
class TestEveryKind:
    @given(value=ANYTHING, text=st.text())
    def test_anything_is_read_or_a_value_error(self, kind, value, text) -> None:
        """Whatever comes in, a valid value comes out, which reads as itself again, or an error."""
        for read, given_value in ((kind.read, value), (kind.read_text, text)):
            try:
                found = read(given_value)
            except ValueError:
                continue
            assert kind.read(found) == found

    @pytest.mark.parametrize("text", ["xyzzy\ud800", "xyzzy@tcp://a:1", "tcp://xyzzy", "xyzzy://"])
    def test_errors_do_not_repeat_the_value(self, kind, text: str) -> None:
        """Who asked decides whether a value may be shown; here it may be a secret."""
        for read, given_value in (
            (kind.read, text),
            (kind.read, [text, 1]),
            (kind.read_text, text),
        ):
            try:
                read(given_value)
            except ValueError as error:
                assert "xyzzy" not in str(error)  # noqa: PT017

    def test_words_for_people(self, kind) -> None:
        """Each kind says its type and what it allows, on one line."""
        for words in (kind.shape, kind.allowed):
            assert words
            assert "\n" not in words
            assert "|" not in words


class TestText:
    @pytest.mark.parametrize("text", ["a", "a" * 64, "Zoë's node", "東京", "with  two spaces"])
    def test_printable_text_is_taken(self, text: str) -> None:
        """Any printable text within the limits is itself."""
        assert Text(1, 64).read(text) == Text(1, 64).read_text(text) == text

    @pytest.mark.parametrize(
        "text", ["", "a" * 65, "a\n", " a", "a ", "a\tb", "a\x1b[31m", "\udc80"]
    )
    def test_other_text_is_refused(self, text: str) -> None:
        """Too short, too long, and everything that could fool a terminal or a reader."""
        with pytest.raises(ValueError):
            Text(1, 64).read(text)

    def test_bytes_are_counted_where_bytes_count(self) -> None:
        """A limit in bytes counts UTF-8, not characters."""
        kind = Text(1, 4, in_bytes=True)
        assert kind.read("éé") == "éé"
        with pytest.raises(ValueError, match="5 long"):
            kind.read("ééa")
        assert "bytes" in kind.allowed
        assert "characters" in Text(1, 4).allowed

    def test_only_text_is_text(self) -> None:
        """Nothing is turned into text silently."""
        with pytest.raises(ValueError, match="not text"):
            Text(1, 64).read(5)


class TestNumbers:
    def test_whole_numbers_at_their_limits(self) -> None:
        """Both ends are allowed, one past each is not."""
        kind = Whole(1, 10, "calls")
        assert [kind.read(1), kind.read_text("10"), kind.read_text(" 5 ")] == [1, 10, 5]
        for value in (0, 11):
            with pytest.raises(ValueError, match="out of range"):
                kind.read(value)
            with pytest.raises(ValueError, match="out of range"):
                kind.read_text(str(value))

    @pytest.mark.parametrize("value", [True, 1.0, "1", None])
    def test_a_whole_number_is_nothing_else(self, value: object) -> None:
        """True is not 1, and "1" in a program is a mistake."""
        with pytest.raises(ValueError, match="not a whole number"):
            Whole(0, 10, "calls").read(value)

    @pytest.mark.parametrize("text", ["", "1.0", "one", "0x1", "9" * 5000])
    def test_text_that_is_no_whole_number(self, text: str) -> None:
        """Only decimal digits are a number, and not endlessly many."""
        with pytest.raises(ValueError, match="not a whole number"):
            Whole(0, 10, "calls").read_text(text)

    def test_seconds_at_their_limits(self) -> None:
        """Whole numbers are durations too; both ends are allowed."""
        kind = Seconds(0.5, 86_400)
        assert [kind.read(0.5), kind.read(86_400), kind.read_text("1e2")] == [0.5, 86_400.0, 100.0]
        assert type(kind.read(3)) is float
        assert kind.allowed == "0.5 to 86400 seconds"

    @pytest.mark.parametrize("value", [0.4999, 86_400.1, math.nan, math.inf, -1, 10**400])
    def test_seconds_past_their_limits(self, value: float) -> None:
        """NaN and infinity are in no range."""
        with pytest.raises(ValueError, match="out of range"):
            Seconds(0.5, 86_400).read(value)

    @pytest.mark.parametrize("value", [True, "1", None])
    def test_seconds_are_numbers(self, value: object) -> None:
        """Nothing is turned into a number silently, except text that is meant to be one."""
        with pytest.raises(ValueError, match="not a number"):
            Seconds(0, 10).read(value)
        with pytest.raises(ValueError, match="not a number"):
            Seconds(0, 10).read_text("soon")


class TestEndpoints:
    @pytest.mark.parametrize(
        "endpoint",
        [
            "tcp://127.0.0.1:0",
            "tcp://*:65535",
            "tcp://[::1]:80",
            "tcp://[fe80::1%eth0]:80",
            "tcp://my-host.example:1",
            "tcp://eth0:5",
            "ipc:///run/my mesh/node@home.sock",
            "ipc://*",
            "ipc://" + "p" * 103,
        ],
    )
    def test_one_endpoint_or_a_list(self, endpoint: str) -> None:
        """One text is a list of one, in a program and in a variable."""
        assert Endpoints().read(endpoint) == (endpoint,)
        assert Endpoints().read([endpoint]) == Endpoints().read((endpoint,)) == (endpoint,)
        assert Endpoints().read_text(endpoint) == (endpoint,)

    def test_a_variable_is_separated_by_commas(self) -> None:
        """Spaces around commas do not count; an empty variable is an empty list."""
        assert Endpoints().read_text("tcp://a:1 , ipc://b c") == ("tcp://a:1", "ipc://b c")
        assert Endpoints().read_text(" ") == Endpoints().read([]) == ()

    @pytest.mark.parametrize(
        "endpoint",
        [
            "",
            "127.0.0.1:80",
            "udp://127.0.0.1:80",
            "inproc://name",
            "tcp://127.0.0.1",
            "tcp://127.0.0.1:",
            "tcp://127.0.0.1:65536",
            "tcp://127.0.0.1:-1",
            "tcp://127.0.0.1:１",
            "tcp://:80",
            "tcp://::1:80",
            "tcp://a b:80",
            "tcp://a:80/path",
            "ipc://",
            "ipc://" + "p" * 104,
            "ipc://a,b",
            "ipc://a\nb",
        ],
    )
    def test_what_is_no_endpoint(self, endpoint: str) -> None:
        """Each is refused where it is written, not when a socket is opened."""
        with pytest.raises(ValueError):
            Endpoints().read(endpoint)

    @pytest.mark.parametrize("value", [None, 5, {"tcp://a:1": 1}, ["tcp://a:1", 5]])
    def test_only_texts_are_endpoints(self, value: object) -> None:
        """A list of anything else is refused."""
        with pytest.raises(ValueError, match="text"):
            Endpoints().read(value)

    def test_the_same_twice_is_a_mistake(self) -> None:
        """Nobody means to listen twice on one endpoint."""
        with pytest.raises(ValueError, match="twice"):
            Endpoints().read(["tcp://a:1", "tcp://a:1"])


class TestTargets:
    def test_with_and_without_an_id(self) -> None:
        """What is dialled may say who must answer; an @ in a path is a path's."""
        plain, pinned, path = "tcp://a:1", f"{ID}@tcp://a:2", f"{ID}@ipc:///x@y"
        assert Targets().read([plain, pinned, path]) == (plain, pinned, path)
        assert Targets().read_text(f"{plain}, {pinned}") == (plain, pinned)
        assert parse_target(plain) == ("tcp://a:1", None)
        assert parse_target("ipc:///x@y") == ("ipc:///x@y", None)
        for text, endpoint in ((pinned, "tcp://a:2"), (path, "ipc:///x@y")):
            target = parse_target(text)
            assert target.endpoint == endpoint
            assert str(target.id) == ID

    @pytest.mark.parametrize(
        "text", ["tcp://a:0", "tcp://*:1", "ipc://*", "bob@tcp://a:1", "@tcp://a:1", f"{ID}@"]
    )
    def test_what_cannot_be_dialled(self, text: str) -> None:
        """Port 0 and wildcards are for listening; a petname is no id."""
        with pytest.raises(ValueError):
            parse_target(text)


class TestSecrets:
    KEY = bytes(range(100, 132))

    def test_all_spellings_of_a_key_are_one(self) -> None:
        """Bytes, hexadecimal and base32, in either case, are the same 32 bytes."""
        base32 = base64.b32encode(self.KEY).decode().rstrip("=")
        assert Key().read(self.KEY) == self.KEY
        for text in (self.KEY.hex(), self.KEY.hex().upper(), base32, base32.lower()):
            assert Key().read(text) == Key().read_text(text) == self.KEY
        assert Key().read(None) is None

    @pytest.mark.parametrize("value", [b"", bytes(31), bytes(33), bytearray(32), 5])
    def test_other_bytes_are_no_key(self, value: object) -> None:
        """31 and 33 bytes are refused, whatever they hold."""
        with pytest.raises(ValueError, match="not 32 bytes"):
            Key().read(value)

    @pytest.mark.parametrize(
        "text", ["", "0" * 63, "0" * 65, "g" * 64, "a" * 51, "a" * 53, "1" * 52, "a" * 51 + "b"]
    )
    def test_other_text_is_no_key(self, text: str) -> None:
        """Wrong lengths, wrong letters, and base32 with bits that stand for nothing."""
        with pytest.raises(ValueError, match="neither"):
            Key().read(text)

    def test_passphrases_are_any_text_but_none_at_all(self) -> None:
        """An empty passphrase protects nothing and half a character cannot be encoded."""
        assert Passphrase().read(" open, sésame ").reveal() == " open, sésame "
        assert Passphrase().read(None) is None
        for value in ("", "\ud800", 5, b"bytes"):
            with pytest.raises(ValueError):
                Passphrase().read(value)

    def test_secret_kinds_say_so(self) -> None:
        """Errors and `repr` hide exactly what is marked secret."""
        assert {type(kind) for kind in KINDS if kind.secret} == {Key, Passphrase}
