"""`status`, `peers`, `ping`, `call`, `send`: what is asked of the node and how it is shown."""

import json
from collections.abc import Callable
from typing import Any

import pytest

Run = Callable[..., Any]

ID = "b" * 56
PEER = {
    "id": ID,
    "name": "bob",
    "roles": ["worker"],
    "presence": "connected",
    "endpoints": ["tcp://127.0.0.1:2"],
    "generation": 3,
    "suite": "AESGCM",
    "round_trip_seconds": 0.0004,
    "refusal": None,
    "silent_seconds": 0.4,
}
CUT = {**PEER, "name": "carol", "presence": "no connection", "silent_seconds": 75.9}
ABSENT = {
    **PEER,
    "name": "",
    "roles": [],
    "presence": "not seen",
    "endpoints": [],
    "generation": None,
    "suite": None,
    "round_trip_seconds": None,
    "refusal": "not trusted",
    "silent_seconds": None,
}
STRANGER = {
    "id": ID,
    "address": "127.0.0.1",
    "reason": "not trusted",
    "command": f"mesh trust allow {ID}",
}
KNOWN = {
    "peers": [PEER, CUT, ABSENT],
    "strangers": [STRANGER, {**STRANGER, "address": "dialled #1"}],
    "dialling": [
        {"endpoint": "tcp://a:1", "trouble": "nobody answered"},
        {"endpoint": "tcp://b:1", "trouble": "x at tcp://b:1 refuses this node"},
    ],
}
NOBODY: dict[str, Any] = {"peers": [], "strangers": [], "dialling": []}
STATUS = {
    "name": "alice",
    "id": "a" * 56,
    "home": "/home/alice",
    "mesh": "default",
    "endpoints": ["tcp://127.0.0.1:1"],
    "process": 42,
    "started": 1.0,
    "uptime_seconds": 90_061.0,
    "counters": {"received.frames": 7},
    **KNOWN,
}


class TestLook:
    @pytest.mark.parametrize(
        ("address", "whence"),
        [
            ("dialled #1", "where this node dialled tcp://b:1"),
            ("10.0.0.9", "from 10.0.0.9 and where this node dialled tcp://b:1"),
        ],
    )
    def test_a_stranger_that_was_dialled_is_listed_once(
        self, run: Run, answering: Callable[..., Any], address: str, whence: str
    ) -> None:
        """As a stranger, with the endpoint, however it came to be known."""
        trouble = (
            f"tcp://b:1 is {ID}, refused here: not trusted; to trust it: {STRANGER['command']}"
        )
        found = {**NOBODY, "dialling": [{"endpoint": "tcp://b:1", "trouble": trouble}]}
        answering({"peers": {**found, "strangers": [{**STRANGER, "address": address}]}})
        assert run("peers").stdout.splitlines() == [
            "peers      none",
            "strangers",
            f"  {ID}",
            f"    not trusted, {whence}; to trust it:",
            f"    mesh trust allow {ID}",
        ]

    @pytest.mark.parametrize("known_by", ["endpoint", "trouble"])
    def test_a_peer_that_refuses_is_asked_again(
        self, run: Run, answering: Callable[..., Any], known_by: str
    ) -> None:
        """Where this node dials it, the line says when, and what asks at once."""
        endpoints = ["tcp://b:1"] if known_by == "endpoint" else []
        trouble = f"{ID} at tcp://b:1 refuses this node" if known_by == "trouble" else "lost"
        dialling = [{"endpoint": "tcp://b:1", "trouble": trouble}]
        peers = [{**ABSENT, "endpoints": endpoints}]
        answering({"peers": {"peers": peers, "strangers": [], "dialling": dialling}})
        said = "refuses this node: not trusted (asked again every 15 s; `mesh ping` asks at once)"
        assert said in run("peers").stdout

    def test_peers(self, run: Run, answering: Callable[..., Any]) -> None:
        """Everything about a peer on a line, its id below; strangers with the exact command."""
        answering({"peers": KNOWN})
        assert run("peers").stdout.splitlines() == [
            "peers",
            "  bob  connected  roles worker  AESGCM, generation 3  0.40 ms  tcp://127.0.0.1:2",
            f"    {ID}",
            (
                "  carol  no connection, last heard 1 min 15 s ago  roles worker  "
                "AESGCM, generation 3  0.40 ms  tcp://127.0.0.1:2"
            ),
            f"    {ID}",
            "  (no name)  not seen, refuses this node: not trusted",
            f"    {ID}",
            "strangers",
            f"  {ID}",
            "    not trusted, from 127.0.0.1; to trust it:",
            f"    mesh trust allow {ID}",
            f"  {ID}",
            "    not trusted, where this node dialled; to trust it:",
            f"    mesh trust allow {ID}",
            "dialling in vain",
            "  tcp://a:1: nobody answered",
            "  x at tcp://b:1 refuses this node",
        ]
        assert json.loads(run("peers", "--json").stdout) == KNOWN

    def test_nobody(self, run: Run, answering: Callable[..., Any]) -> None:
        """Without peers it says so."""
        answering({"peers": NOBODY})
        assert run("peers").stdout == "peers      none\n"

    @pytest.mark.parametrize(
        ("seconds", "said"),
        [(0.4, "0 s"), (59.9, "59 s"), (60, "1 min"), (3_725, "1 h 2 min"), (90_061, "1 d 1 h")],
    )
    def test_status(
        self, run: Run, answering: Callable[..., Any], seconds: float, said: str
    ) -> None:
        """Who the node is and for how long, where it listens, whom it knows, what it counted."""
        answering({"status": {**STATUS, "uptime_seconds": seconds}})
        lines = run("status").stdout.splitlines()
        assert lines[:5] == [
            f"alice is up for {said}, process 42",
            f"id         {'a' * 56}",
            "home       /home/alice",
            "mesh       default",
            "endpoint   tcp://127.0.0.1:1",
        ]
        assert lines[-2:] == ["counters", "  received.frames  7"]
        assert f"    mesh trust allow {ID}" in lines
        found = json.loads(run("--json", "status").stdout)
        assert (found["process"], found["counters"]) == (42, {"received.frames": 7})


class TestPing:
    def test_as_often_as_asked(self, run: Run, answering: Callable[..., Any]) -> None:
        """One line a round trip; JSON has seconds."""
        node = answering({"ping": {"peer": "bob", "round_trip_seconds": 0.0015}})
        assert run("ping", "bob").stdout == "bob: 1.50 ms\n"
        result = run("ping", "bob", "-c", "3", "--timeout", "2.5", "--json")
        assert result.stdout == '{"peer": "bob", "round_trip_seconds": 0.0015}\n' * 3
        assert node.asked[0] == ("ping", {"peer": "bob", "timeout": 5.0})
        assert node.asked[1:] == [("ping", {"peer": "bob", "timeout": 2.5})] * 3


class TestCall:
    @pytest.mark.parametrize(
        ("words", "input", "body"),
        [
            ([], None, None),
            (['{"a": 1}'], None, {"a": 1}),
            (["hello"], None, "hello"),
            (["--", "-5"], None, -5),
            (["-"], "[1]\n", [1]),
            (["--bytes", "x"], None, b"x"),
            (["--bytes", "-"], b"\xff\n", b"\xff\n"),
        ],
    )
    def test_bodies(
        self, run: Run, answering: Callable[..., Any], words: list[str], input: Any, body: object
    ) -> None:
        """BODY reaches the node as what it stands for."""
        node = answering({"call": None})
        assert run("call", "bob", "do", *words, input=input).exit_code == 0
        arguments = {"peer": "bob", "subject": "do", "body": body, "timeout": None}
        assert node.asked == [("call", arguments)]

    @pytest.mark.parametrize(
        ("reply", "words", "out"),
        [
            ("two\nlines", [], b"two\nlines\n"),
            ({"a": [1]}, [], b'{"a": [1]}\n'),
            ("text", ["--json"], b'"text"\n'),
            (b"\x00\xff", [], b'{"$bytes": "AP8="}\n'),
            (b"\x00\xff", ["--bytes"], b"\x00\xff"),
            (b"\x00\xff", ["--bytes", "--json"], b'{"$bytes": "AP8="}\n'),
            (None, ["--bytes"], b"null\n"),
        ],
    )
    def test_replies(
        self, run: Run, answering: Callable[..., Any], reply: object, words: list[str], out: bytes
    ) -> None:
        """Text as it is, other values as JSON, and bytes as they are only with --bytes."""
        answering({"call": reply})
        assert run("call", "bob", "do", "--timeout", "3", *words).stdout_bytes == out


class TestSend:
    @pytest.mark.parametrize(
        ("words", "standing", "code", "said"),
        [
            ([], "delivered", 0, "delivered to bob\n"),
            ([], "handled", 0, "delivered to bob\n"),
            (["--handled"], "handled", 0, "bob is done with it\n"),
            ([], "queued", 7, "bob has not confirmed the message within 2 s; it is queued"),
            (["--handled"], "queued", 7, "the running node goes on trying"),
            (["--handled"], "delivered", 5, "its handler has not returned within 2 s"),
        ],
    )
    def test_says_how_far_it_came(
        self,
        run: Run,
        answering: Callable[..., Any],
        words: list[str],
        standing: str,
        code: int,
        said: str,
    ) -> None:
        """Delivered is success, and handled where that was asked for; less has its own code."""
        node = answering({"send": {"peer": "bob", "standing": standing}})
        result = run("send", "bob", "log", "hello", "--timeout", "2", *words)
        assert result.exit_code == code
        assert said in (result.stderr if code else result.stdout)
        assert node.asked[0][1] == {
            "peer": "bob",
            "subject": "log",
            "body": "hello",
            "timeout": 2.0,
            "handled": bool(words),
        }
