"""The benchmark: a tiny run of everything, and the honesty of what it prints."""

import json
import subprocess
from dataclasses import replace

import pytest

from benchmarks.__main__ import choose, main, status_of
from benchmarks.drills import hot_spots
from benchmarks.hot_spots import Watch
from benchmarks.machine import describe, load
from benchmarks.measure import Failure, Report, Result, measure
from benchmarks.peers import Loop, Peer
from benchmarks.peers.register import NOISEMESH, PEERS
from benchmarks.table import as_json, as_text
from benchmarks.tally import Tally, WrongBodies
from benchmarks.workloads import WORKLOADS, Kind, Workload
from mesh.wire.cbor import dumps

TINY = Workload("tiny", "one way, 64 B", Kind.ONE_WAY, 64, 4)
MESSAGES = TINY.metrics[0]
LATENCY = next(workload for workload in WORKLOADS if workload.kind is Kind.ROUND_TRIP).metrics[0]
# Whose packages every developer has; the others may be absent, and are named then.
ALWAYS_HERE = ("noisemesh", "noisemesh-chacha", "curve", "curve-asyncio", "tls", "plain")
# Some have a count that is not scaled, and take seconds.
SHORT = [workload for workload in WORKLOADS if workload.name not in ("100MiB", "rekeying", "peers")]


def broken(sender="Sender", receiver="Receiver", module="broken_peers"):
    """A peer that goes wrong in the way its classes say."""
    return Peer(f"{sender} {receiver}", module, sender, receiver, "for tests")


def rounds(metric, **values):
    """A result with these values of one metric, a list for each peer."""
    result = Result(TINY)
    for peer, figures in values.items():
        result.rounds[peer] = [{metric.key: figure} for figure in figures]
    return result


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_a_tiny_run_measures_every_workload_with_every_peer(capsys):
    """The whole command, with next to no messages, gives each figure of each peer that is here."""
    only = [argument for workload in SHORT for argument in ("--only", workload.name)]
    assert main(["--json", "--rounds", "2", "--scale", "0.001", *only]) == 0
    report = json.loads(capsys.readouterr().out)
    absent = {failure["peer"] for failure in report["failures"]}
    assert all(failure["absent"] for failure in report["failures"])
    assert absent.isdisjoint(ALWAYS_HERE)
    assert report["peers"] == [peer.name for peer in PEERS]
    assert {"cpu", "cores", "python", "load_before", "load_after"} <= set(report["machine"])
    assert {"noisemesh", "pyzmq", "libzmq", "cryptography", "OpenSSL"} <= set(report["versions"])
    assert [workload["name"] for workload in report["workloads"]] == [w.name for w in SHORT]
    for workload, told in zip(SHORT, report["workloads"], strict=True):
        names = {peer.name for peer in PEERS if peer.can(workload)} - absent
        for metric in told["metrics"].values():
            assert set(metric["peers"]) == names
            for figures in metric["peers"].values():
                assert 0 <= figures["low"] <= figures["median"] <= figures["high"]
                assert len(figures["rounds"]) == 2


@pytest.mark.slow
def test_a_run_of_one_workload_prints_a_table(capsys):
    """`--only` names workloads and peers; the table shows ratios ahead of figures."""
    arguments = ["--only", "64B", "--only", "noisemesh", "--only", "curve", "--rounds", "1"]
    assert main([*arguments, "--scale", "0.001"]) == 0
    text = capsys.readouterr().out
    assert text.index("how many times better") < text.index("Figures")
    assert "one way, 64 B" in text
    assert "round trip" not in text


@pytest.mark.slow
def test_hot_spots_are_found_on_both_sides():
    """The profile names functions of noisemesh in its sender and in its receiver."""
    peers, workloads = choose(["noisemesh", "64B"])
    sides = hot_spots(peers[0], workloads[0].scaled(0.01), Watch.FUNCTIONS)
    for everything, *spots in sides:
        assert everything.calls >= sum(spot.calls for spot in spots)
        assert any("mesh/" in spot.where for spot in spots)
        assert sum(spot.share for spot in spots) <= 1.001


@pytest.mark.slow
def test_hot_lines_are_found(capsys):
    """The command prints functions and lines of both sides."""
    assert main(["profile", "--only", "calls", "--scale", "0.1"]) == 0
    text = capsys.readouterr().out
    for side in ("sender", "receiver"):
        for watch in ("functions", "lines"):
            assert f"noisemesh's {side}, {watch}" in text


def test_ratios_are_of_medians():
    """One slow round moves the range of a ratio, not the ratio."""
    result = rounds(MESSAGES, noisemesh=[90.0, 10.0, 100.0], curve=[30.0, 40.0, 50.0])
    ratio = result.ratio("curve", MESSAGES)
    assert ratio is not None
    assert (ratio.value, ratio.low, ratio.high) == (90.0 / 40.0, 10.0 / 40.0, 3.0)


def test_a_ratio_above_one_always_favours_noisemesh():
    """Where lower is better, the ratio is turned round."""
    ratio = rounds(LATENCY, noisemesh=[200.0], curve=[100.0]).ratio("curve", LATENCY)
    assert ratio is not None
    assert ratio.value == 0.5


def test_a_peer_without_figures_has_no_ratio():
    """What was not measured is not compared."""
    assert rounds(MESSAGES, noisemesh=[1.0]).ratio("curve", MESSAGES) is None


# Why each of these peers fails; `workload` is empty for one that cannot even start.
FAILING = {
    "missing": (broken(module="no_such_library"), "", "ModuleNotFoundError: No module named"),
    "homeless": (broken(receiver="HomelessReceiver"), "", "no server of that kind is installed"),
    "raising": (
        broken(sender="RaisingSender"),
        "tiny",
        "sender: ConnectionError: the cable is out",
    ),
    "dying": (broken(sender="DyingSender"), "tiny", "sender has ended with code 7"),
    "silent": (broken(receiver="SilentReceiver"), "tiny", "receive was not done within 1 s"),
}


@pytest.fixture(scope="module")
def mixed_report():
    """What came of measuring peers that fail, each in its own way, and a sound one after them."""
    sound = broken()._replace(name="sound")
    peers = [peer for peer, _, _ in FAILING.values()]
    return measure([*peers, sound], [TINY], 2, seconds=1.0)


@pytest.mark.slow
@pytest.mark.parametrize("way", FAILING)
def test_a_peer_that_fails_is_named(mixed_report, way):
    """A failure has the peer's name, the workload and the reason."""
    peer, workload, why = FAILING[way]
    ((failed_in, error),) = [
        (failure.workload, failure.error)
        for failure in mixed_report.failures
        if failure.peer == peer.name
    ]
    assert failed_in == workload
    assert why in error
    here = describe(load())
    assert f"  {peer.name}" in as_text(mixed_report, here).partition("Not measured:")[2]
    assert peer.name in {f["peer"] for f in as_json(mixed_report, here)["failures"]}


@pytest.mark.slow
def test_what_is_not_here_is_told_from_what_fails(mixed_report):
    """A package or a server that is missing is no failure of the run, unless it was asked for."""
    absent = {failure.peer for failure in mixed_report.failures if failure.absent}
    assert absent == {FAILING[way][0].name for way in ("missing", "homeless")}


def test_a_peer_that_is_absent_fails_the_run_only_when_named():
    """The exit status tells what broke, and what was asked for by name and is not here."""
    report = Report([NOISEMESH], 1, failures=[Failure("nats", "", "not installed", absent=True)])
    assert status_of(report, []) == 0
    assert status_of(report, ["nats"]) == 1
    report.failures.append(Failure("curve", "64B", "out of paper"))
    assert status_of(report, []) == 1


@pytest.mark.slow
def test_a_peer_that_fails_costs_nobody_else(mixed_report):
    """Whatever befell those before it, the sound peer has the figures of every round."""
    assert len(mixed_report.failures) == len(FAILING)
    assert len(mixed_report.results[0].rounds["sound"]) == 2


def test_a_failed_peer_starts_afresh_for_the_next_workload():
    """A peer that failed in one workload is tried again in the next."""
    report = measure([broken(sender="RaisingSender")], [TINY, replace(TINY, name="again")], 1)
    assert [failure.workload for failure in report.failures] == ["tiny", "again"]


def test_failures_stand_in_the_table():
    """A table with gaps says why they are there."""
    report = Report([NOISEMESH, "curve"], 1, [rounds(MESSAGES, noisemesh=[5.0])])
    report.results[0].rounds[NOISEMESH][0] |= {"sender_cpu_us": 1.0, "receiver_cpu_us": 1.0}
    report.failures.append(Failure("curve", "tiny", "out of paper"))
    assert "curve in tiny: out of paper" in as_text(report, describe(load()))


def test_a_name_nobody_has_is_refused(capsys):
    """A slip in `--only` is an error of usage, never an empty table."""
    with pytest.raises(SystemExit) as stopped:
        main(["--only", "64MiB"])
    assert stopped.value.code == 2
    assert "64MiB" in capsys.readouterr().err


def test_a_quick_run_leaves_out_what_is_heavy():
    """Unless it is asked for by its name."""
    heavy = {workload.name for workload in WORKLOADS if workload.heavy}
    _, quick = choose([], quick=True)
    assert heavy
    assert heavy.isdisjoint(workload.name for workload in quick)
    assert [workload.name for workload in choose([*heavy], quick=True)[1]] == [
        workload.name for workload in WORKLOADS if workload.heavy
    ]


@pytest.mark.parametrize("workload", [w for w in WORKLOADS if w.size], ids=lambda w: w.name)
def test_bodies_have_the_size_they_claim(workload):
    """Sizes are of bytes, or of a dict's encoding."""
    body = workload.body
    assert isinstance(body, dict) is workload.as_dict
    assert len(dumps(body) if isinstance(body, dict) else body) == workload.size


@pytest.mark.parametrize(
    "bodies",
    [
        [bytes(64)] * 4,
        [TINY.body] * 3,
        [TINY.body] * 5,
        [TINY.body, b"short", TINY.body, TINY.body],
    ],
    ids=["others", "too few", "too many", "another length"],
)
def test_wrong_bodies_are_not_counted_as_right(bodies):
    """A peer that loses, repeats or changes messages has no figure."""
    tally = Tally(TINY)
    for body in bodies:
        tally.add(body)
    with pytest.raises(WrongBodies):
        tally.received()


def test_a_single_body_is_counted():
    """The first one may be the last."""
    came = []
    tally = Tally(replace(TINY, count=1), lambda: came.append(True))
    tally.add(TINY.body)
    assert came == [True]
    assert tally.received().messages == 1


def test_every_copy_of_a_body_is_counted():
    """What is sent to many is expected as often."""
    tally = Tally(replace(TINY, kind=Kind.FAN_OUT, receivers=2))
    for _ in range(8):
        tally.add(TINY.body)
    assert tally.received().messages == 8


def test_a_peer_does_not_do_what_it_cannot():
    """Kinds and sizes that are beyond a peer are known before it is tried."""
    small = broken()._replace(kinds=frozenset({Kind.ONE_WAY}), most_bytes=64)
    assert small.can(TINY)
    assert not small.can(replace(TINY, size=65))
    assert not small.can(replace(TINY, kind=Kind.CALLS))
    report = measure([small], [replace(TINY, kind=Kind.CALLS)], 1)
    assert (report.unable, report.failures) == ({small.name: ["tiny"]}, [])


def test_a_slow_peer_does_fewer_rounds():
    """Nobody waits long for it, and the table says how often it was measured."""
    slow, quick = broken()._replace(name="slow"), broken()._replace(name="quick")
    report = measure([slow], [TINY], 3, patience=0.0)
    assert report.results[0].rounds == {}
    report = Report([slow.name, quick.name], 3, [Result(TINY)])
    report.results[0].rounds = {"slow": [{}], "quick": [{}] * 3}
    assert "one way, 64 B: slow 1 instead of 3" in as_text(report, describe(load()))


def test_variants_run_in_the_loop_they_are_named_for():
    """Everything that is called after uvloop runs on it, and nothing else."""
    assert {peer.name for peer in PEERS if peer.loop is Loop.UVLOOP} == {
        peer.name for peer in PEERS if peer.name.endswith("uvloop")
    }


def test_the_command_explains_itself(root):
    """`scripts/bench --help` needs no environment and names workloads and peers."""
    done = subprocess.run(
        [root / "scripts" / "bench", "--help"],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    for name in [*(peer.name for peer in PEERS), *(workload.name for workload in WORKLOADS)]:
        assert name in done.stdout
