"""Each check finds the fault it is there for."""

import dataclasses
from collections import Counter

import pytest

from mesh.cli.demo.alone import Alone
from mesh.cli.demo.checks import CHECKS, NOT_REACHED, Answer, Evidence, Proof, Wire, judge
from mesh.cli.demo.scan import Findings, scan

NAMES = ("reader", "worker-1", "worker-2", "worker-3", "index", "asker", "stranger")


@pytest.fixture
def good():
    """Evidence of a performance in which everything held."""
    alone = Alone({0: Counter(a=2), 1: Counter(b=1)}, Counter(a=2, b=1), {0: "x", 1: "y"})
    tally = {"pieces": 4, "bytes": 8, "files": 4, "unfinished": 0}
    closed = {"files": 2, "words": 3, "distinct": 2, "same": True, "tallies": {"worker-1": tally}}
    return Evidence(
        pids={name: number for number, name in enumerate(NAMES)},
        ids={name: name for name in NAMES},
        proofs=[Proof("reader", "index", ("r", "i"), ("i", "r"))],
        links={"reader": 4, "index": 5},
        stranger={"refused": "NotTrusted", "text": "..."},
        work={
            "rounds": [closed, closed],
            "renewed": {"reader-worker-1": 2, "worker-1-index": 1},
            "digests": {"0": "x", "1": "y"},
            "bytes": {"worker-1": 8},
            "pieces": {"worker-1": 4},
        },
        alone=alone,
        table={"a": 2, "b": 1},
        answers=[Answer("how often a", 2, 2)],
        counters={
            "reader": {"sessions.established": 4, "sessions.renewed": 3},
            "index": {"sessions.established": 5, "sessions.renewed": 3},
        },
        wire=Wire(1, 10, 8, Findings(10, 0, 0), Findings(8, 1, 1)),
        statuses=dict.fromkeys(NAMES, 0),
        trouble="",
    )


def failed(evidence):
    """The names of the checks that did not hold."""
    return [check.name for check in judge(evidence) if not check.held]


def test_good_evidence_holds(good):
    """Nothing is wrong with a good performance, and every check says what it rests on."""
    assert failed(good) == []
    assert all(check.detail for check in judge(good))


def test_nothing_is_taken_for_granted():
    """Without evidence no check holds."""
    checks = judge(Evidence())
    assert len(checks) == len(CHECKS)
    assert not any(check.held for check in checks)
    assert sum(check.detail == NOT_REACHED for check in checks) >= 12


@pytest.mark.parametrize(
    ("check", "change"),
    [
        ("separate processes", {"pids": dict.fromkeys(NAMES, 7)}),
        ("separate processes", {"ids": dict.fromkeys(NAMES, "same")}),
        ("mutual proof", {"proofs": [Proof("reader", "index", ("r", "i"), ("i", "mallory"))]}),
        ("stranger refused", {"stranger": {"refused": "", "text": "let in"}}),
        ("stranger refused", {"stranger": {"refused": "WrongPeer", "text": "somebody else"}}),
        ("counts", {"table": {"a": 2, "b": 2}}),
        ("counts", {"table": {"a": 2}}),
        ("counts", {"table": {"a": 2, "b": 1, "c": 1}}),
        ("queries", {"answers": [Answer("how often a", 1, 2)]}),
        ("no handshake again", {"links": {"reader": 3}}),
        ("nothing suspicious", {"counters": {"reader": {"dropped.forged": 1}}}),
        ("nothing suspicious", {"counters": {"index": {"handlers.raised": 1}}}),
        ("all ended", {"statuses": {**dict.fromkeys(NAMES, 0), "index": -9}}),
        ("all ended", {"statuses": {"index": 0}}),
        ("all ended", {"left_behind": "/tmp/x"}),
        ("no trouble", {"trouble": "worker-2 died"}),
    ],
)
def test_a_fault_is_found(good, check, change):
    """Each fault fails the check it belongs to."""
    assert check in failed(dataclasses.replace(good, **change))


@pytest.mark.parametrize(
    ("check", "change"),
    [
        ("same input", {"digests": {"0": "x", "1": "changed"}}),
        ("exactly once", {"pieces": {"worker-1": 5}}),
        ("exactly once", {"bytes": {"worker-1": 7}}),
        ("rekeyed at work", {"renewed": {"reader-worker-1": 2, "worker-1-index": 0}}),
    ],
)
def test_a_fault_at_work_is_found(good, check, change):
    """Work that went wrong fails its check alone."""
    good.work |= change
    assert failed(good) == [check]


@pytest.mark.parametrize("change", [{"same": False}, {"files": 1}])
def test_a_round_that_came_out_differently_is_found(good, change):
    """Every round must have the same result over all files."""
    good.work["rounds"] = [good.work["rounds"][0], good.work["rounds"][1] | change]
    assert failed(good) == ["rounds alike"]


LEAK = scan(b"\x8f\x03..." + b"m4rk3r" + b"...", b"m4rk3r", frozenset())


@pytest.mark.parametrize(
    ("check", "change"),
    [
        ("no plaintext", {"findings": LEAK}),
        ("no plaintext", {"findings": Findings(10, 0, 3)}),
        ("no plaintext", {"findings": Findings(0, 0, 0)}),
        ("relay recorded", {"captured_bytes": 7}),
        ("relay recorded", {"captured_bytes": 0, "plaintext_bytes": 0}),
        ("relay recorded", {"connections": 2}),
        ("scan works", {"control": Findings(8, 0, 1)}),
        ("scan works", {"control": Findings(8, 1, 0)}),
    ],
)
def test_a_fault_on_the_wire_is_found(good, check, change):
    """A leak, a relay passed by or cut, a scan that finds nothing: each fails its check."""
    good.wire = good.wire._replace(**change)
    assert failed(good) == [check]
