"""`mesh trust`: on a home alone, under its lock, or through the node that runs there."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from handshake.identity import Identity
from mesh.cli import trust_verbs
from mesh.home.home import Home
from mesh.home.trust_store import TrustStore

Run = Callable[..., Any]

BOB = Identity(b"b" * 32).id
CAROL = Identity(b"c" * 32).id


@pytest.fixture
def made(run: Run, home: Path) -> Path:
    """The home of a node that does not run."""
    run("init")
    return home


class TestOnAHome:
    def test_allow_deny_forget_list(self, run: Run, made: Path) -> None:
        """The list on disk changes, and the next node starts with it."""
        words = ("trust", "allow", str(BOB).upper(), "--name", "bob", "--role", "b", "--role", "a")
        assert run(*words).stdout == f"trusted as bob, roles a, b: {BOB}\n"
        assert run("trust", "allow", str(CAROL)).stdout == f"trusted: {CAROL}\n"
        assert run("trust", "list").stdout.splitlines() == [
            f"allowed  {BOB}  bob  a  b",
            f"allowed  {CAROL}  (no name)",
        ]
        assert run("trust", "deny", "bob").stdout == f"denied: bob, {BOB}\n"
        assert run("trust", "deny", str(CAROL)).stdout == f"denied: {CAROL}\n"
        assert run("trust", "list").stdout.startswith("denied   ")
        assert run("trust", "forget", "bob").stdout == f"forgotten: {BOB}\n"
        assert run("trust", "forget", str(BOB)).stdout == f"was not on the list: {BOB}\n"
        (entry,) = TrustStore(made / "trust.toml").load()
        assert (entry.id, entry.allowed) == (CAROL, False)

    def test_as_json(self, run: Run, made: Path) -> None:
        """Each verb prints one document."""
        line = {"id": str(BOB), "name": "bob", "roles": [], "allowed": True}
        added = run("trust", "allow", str(BOB), "--name", "bob", "--json")
        assert json.loads(added.stdout) == line
        assert json.loads(run("trust", "list", "--json").stdout) == [line]
        assert json.loads(run("trust", "--json", "reload").stdout) == [line]

    def test_an_empty_list(self, run: Run, made: Path) -> None:
        """It says how to begin, and reading makes no file."""
        result = run("trust", "list")
        assert result.stdout == (
            f"nobody is trusted yet; to trust a node: "
            f"mesh --home {made} trust allow ID --name NAME\n"
        )
        assert run("trust", "reload").stdout.startswith("the list was read again\n")
        assert not (made / "trust.toml").exists()

    @pytest.mark.parametrize(
        "words",
        [("allow", str(BOB)), ("deny", str(BOB)), ("forget", str(BOB)), ("list",), ("reload",)],
        ids=lambda words: words[0],
    )
    def test_no_node_lives_there(self, run: Run, home: Path, words: tuple[str, ...]) -> None:
        """A mistyped home is refused with what would make one, and nothing is made."""
        result = run("trust", *words)
        assert result.exit_code == 1
        assert result.stderr == (
            f"mesh: there is no node in {home}; make one with: mesh --home {home} init\n"
        )
        assert not home.exists()

    def test_an_open_folder(self, run: Run, made: Path) -> None:
        """A home that others can look into is refused, and left as it is."""
        made.chmod(0o755)
        result = run("trust", "allow", str(BOB))
        assert result.exit_code == 1
        assert f"chmod 700 {made}" in result.stderr
        assert not (made / "trust.toml").exists()

    def test_ourselves(self, run: Run) -> None:
        """The node's own id is refused with the reason."""
        run("init")
        own = run("id").stdout.strip()
        result = run("trust", "allow", own)
        assert result.exit_code == 1
        assert "this node's own id" in result.stderr

    def test_what_is_no_id(self, run: Run, home: Path) -> None:
        """A mistyped id is a usage error that says what is wrong with it, and changes nothing."""
        result = run("trust", "allow", f"{BOB}"[:-1] + ("a" if str(BOB)[-1] != "a" else "b"))
        assert result.exit_code == 2
        assert "checksum" in result.stderr
        assert "`mesh id` prints one" in result.stderr
        assert not home.exists()

    def test_without_a_verb(self, run: Run) -> None:
        """`mesh trust` alone shows what there is."""
        result = run("trust")
        assert result.exit_code == 0
        for verb in ("allow", "deny", "forget", "list", "reload"):
            assert f"\n  {verb} " in result.stdout

    def test_nobody_of_that_name(self, run: Run, made: Path) -> None:
        """A name that is not on the list is unreachable."""
        result = run("trust", "deny", "bob")
        assert result.exit_code == 3
        assert "no peer is called 'bob'" in result.stderr

    def test_waits_for_whoever_has_the_home(
        self, run: Run, made: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A home in use by a process that answers nobody is tried again, then given up."""
        pauses: list[float] = []
        holder = Home(made)
        holder.acquire()

        def pause(seconds: float) -> None:
            pauses.append(seconds)
            if len(pauses) == 2:
                holder.release()

        monkeypatch.setattr(trust_verbs.time, "sleep", pause)
        assert run("trust", "allow", str(BOB)).exit_code == 0
        assert len(pauses) == 2
        with holder:
            monkeypatch.setattr(trust_verbs, "_PATIENCE_SECONDS", 0.0)
            result = run("trust", "allow", str(CAROL))
        assert result.exit_code == 1
        assert "is in use by" in result.stderr


class TestThroughANode:
    def test_is_asked_first(self, run: Run, home: Path, answering: Callable[..., Any]) -> None:
        """Where a node runs, it changes its list itself, so that the change counts at once."""
        line = {"id": str(BOB), "name": "bob", "roles": [], "allowed": True}
        node = answering(
            {
                "trust-allow": line,
                "trust-deny": {**line, "allowed": False},
                "trust-forget": {"id": str(BOB), "forgotten": True},
                "trust-list": [line],
                "trust-reload": [line],
            }
        )
        assert run("trust", "allow", str(BOB), "--name", "bob").exit_code == 0
        for words in (["deny", "bob"], ["forget", "bob"], ["list"], ["reload"]):
            assert run("trust", *words).exit_code == 0
        assert node.asked == [
            ("trust-allow", {"id": str(BOB), "name": "bob", "roles": None}),
            ("trust-deny", {"peer": "bob"}),
            ("trust-forget", {"peer": "bob"}),
            ("trust-list", {}),
            ("trust-reload", {}),
        ]
        assert not (home / "trust.toml").exists()
