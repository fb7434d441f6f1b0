"""Exit codes and error lines."""

import click
import pytest

from mesh import errors
from mesh.cli.failures import Exit, Failure, code_of, describe, on_one_line
from mesh.errors import MeshError


class TestCodes:
    @pytest.mark.parametrize(
        ("error", "code"),
        [
            (errors.InvalidConfiguration("x"), 1),
            (errors.CallFailed("ValueError", "x"), 1),
            (errors.NoHandler("x"), 1),
            (MeshError("x"), 1),
            (errors.PeerUnreachable("x"), 3),
            (errors.UnknownPeer("x"), 3),
            (errors.NodeClosed("x"), 3),
            (errors.NotTrusted("x"), 4),
            (errors.WrongPeer("x"), 4),
            (errors.CallTimeout("x"), 5),
            (errors.WaitTimeout("x"), 5),
            (errors.Denied("x"), 6),
            (errors.DeliveryFailed("x"), 1),
            (errors.PeerRestarted("x"), 1),
        ],
    )
    def test_of_an_error(self, error: MeshError, code: int) -> None:
        """Each error has the documented code, the more special one before the general."""
        assert code_of(error) == code
        described = describe(error)
        assert described[0] == code
        assert described[1]["error"]["exit_code"] == code

    def test_their_numbers_are_a_promise(self) -> None:
        """Scripts rely on these numbers."""
        assert {name: int(code) for name, code in Exit.__members__.items()} == {
            "OK": 0,
            "ERROR": 1,
            "USAGE": 2,
            "UNREACHABLE": 3,
            "NOT_TRUSTED": 4,
            "TIMEOUT": 5,
            "DENIED": 6,
            "QUEUED": 7,
            "INTERRUPTED": 130,
        }


class TestLines:
    def test_say_where_the_fault_is(self) -> None:
        """What is not the fault of whoever typed the command says whose it is."""
        assert describe(errors.NoHandler("nobody"))[2] == "mesh: peer: nobody"
        assert describe(errors.PeerUnreachable("away"))[2] == "mesh: network: away"
        assert describe(errors.UnknownPeer("who"))[2] == "mesh: who"
        assert describe(MeshError("broken"))[2] == "mesh: node: broken"
        gone = errors.PeerRestarted("bob: gone")
        assert describe(gone)[2] == "mesh: peer: bob: gone; it may have been handled"
        assert describe(errors.NoHandler("nobody"))[1] == {
            "error": {"kind": "NoHandler", "fault": "peer", "text": "nobody", "exit_code": 1}
        }

    def test_of_a_verb(self) -> None:
        """What a verb found wrong has its own code and kind."""
        code, described, line = describe(Failure(Exit.QUEUED, "Queued", "not yet"))
        assert (code, line) == (Exit.QUEUED, "mesh: not yet")
        assert described["error"]["kind"] == "Queued"

    def test_of_usage(self) -> None:
        """A usage error is one line too, and names the help to read."""
        code, _, line = describe(click.UsageError("Nonsense."))
        assert (code, line) == (Exit.USAGE, "mesh: Nonsense; see: mesh --help")

    def test_of_what_nobody_expected(self) -> None:
        """A defect is one line with its type; --verbose is where to look next."""
        code, described, line = describe(KeyError("a\nb"))
        assert code == Exit.ERROR
        assert line == "mesh: unexpected: KeyError: 'a\\nb'; with --verbose it says where"
        assert described["error"]["fault"] == "ours"
        assert "unexpected: OSError;" in describe(OSError())[2]

    def test_cannot_command_a_terminal(self) -> None:
        """What a peer wrote stays on its line and moves no cursor."""
        assert on_one_line("é\n\x1b[2J\x9b\u202e") == "é\\n\\x1b[2J\\x9b\\u202e"
        assert "\x1b" not in describe(errors.CallFailed("E", "\x1b[31m"))[2]
