"""The benchmark's peers that need nothing but what every developer has: small real runs."""

import asyncio
import ssl
import sys
import types

import pytest

from benchmarks import startup
from benchmarks.__main__ import main
from benchmarks.certificates import ADDRESS, Papers, make_certificates
from benchmarks.measure import Report, Result, measure
from benchmarks.peers.register import NOISEMESH, PEERS
from benchmarks.plot import plot
from benchmarks.process import PeerFailed
from benchmarks.workloads import KIB, MIB, WORKLOADS, Kind, Workload
from mesh import Node
from mesh.io import system

PEER = {peer.name: peer for peer in PEERS}
SMALL = [
    Workload("large", "", Kind.ONE_WAY, MIB, 1),
    Workload("post", "", Kind.POSTS, 64, 100),
    Workload("beside", "", Kind.BESIDE_BULK, 64, 3, bulk=64 * KIB),
    Workload("sessions", "", Kind.SESSIONS, 64, 2),
    Workload("fan-out", "", Kind.FAN_OUT, 64, 20, receivers=3),
    Workload("peers", "", Kind.MANY_PEERS, 64, 2),
    Workload("rekeying", "", Kind.REKEYING, 64, 100),
]


@pytest.fixture(scope="module")
def small() -> Report:
    """Every kind that is new to a peer, once, with next to nothing in it."""
    return measure([PEER[NOISEMESH], PEER["curve"], PEER["tls"]], SMALL, 1, seconds=20.0)


@pytest.mark.parametrize("workload", SMALL, ids=lambda workload: workload.name)
def test_a_small_run_has_every_figure(small, workload):
    """Each peer that can do a workload has each figure of it, and nobody fails."""
    assert small.failures == []
    result = small.result(workload.name)
    able = {name for name in small.peers if PEER[name].can(workload)}
    assert set(result.rounds) == able
    for name in able:
        assert all(result.spread(name, metric) for metric in workload.metrics)


async def test_certificates_are_believed_on_both_sides(tmp_path):
    """A server and a client with papers of one authority meet over TLS 1.3; a stranger does not."""
    ours = make_certificates(str(tmp_path))
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=ours.receiver.authority)
    server.verify_mode = ssl.CERT_REQUIRED
    server.load_cert_chain(ours.receiver.certificate, ours.receiver.key)

    async def greet(_, writer):
        writer.write(b"welcome\n")
        writer.close()

    async def meet(papers: Papers) -> bytes:
        context = ssl.create_default_context(cafile=ours.sender.authority)
        context.load_cert_chain(papers.certificate, papers.key)
        reader, writer = await asyncio.open_connection(ADDRESS, port, ssl=context)
        try:
            return await reader.readline()
        finally:
            writer.close()

    (tmp_path / "stranger").mkdir()
    stranger = make_certificates(str(tmp_path / "stranger"))
    async with await asyncio.start_server(greet, ADDRESS, 0, ssl=server) as listening:
        port = listening.sockets[0].getsockname()[1]
        assert await meet(ours.sender) == b"welcome\n"
        with pytest.raises(OSError):
            assert await meet(stranger.sender) != b"welcome\n"
            raise OSError


async def test_without_fast_aes_the_other_cipher_is_chosen(monkeypatch):
    """The variant that is named after ChaCha20-Poly1305 really uses it."""
    from benchmarks.peers.noisemesh import without_fast_aes

    monkeypatch.setattr(system, "has_fast_aes", system.has_fast_aes)
    without_fast_aes()
    async with Node("a", home=":memory:") as a, Node("b", home=":memory:") as b:
        a.trust.allow(b.id, name="b")
        b.trust.allow(a.id, name="a")
        await a.connect(b.endpoints[0], id="b")
        (peer,) = (await a.running.control.answer("peers", {}))["peers"]
        assert peer["suite"] == "ChaChaPoly"


def test_a_fresh_process_is_measured(tmp_path):
    """Importing is a part of getting ready, and an idle process holds some memory."""
    figures = startup.measure_start(PEER["tls"], make_certificates(str(tmp_path)).receiver)
    assert 0 < figures["import_ms"] < figures["ready_ms"]
    assert figures["idle_mib"] > 1 or sys.platform != "linux"


def test_a_process_that_does_not_start_is_named(monkeypatch, tmp_path):
    """With the last line of what it said."""
    broken = startup._Program("import no_such_library", "pass")
    monkeypatch.setitem(startup._PROGRAMS, "tls", broken)
    papers = make_certificates(str(tmp_path)).receiver
    with pytest.raises(PeerFailed, match="tls did not start: ModuleNotFoundError"):
        startup.measure_start(PEER["tls"], papers)


def test_whoever_is_started_afresh_has_a_program():
    """The register and the programs agree."""
    able = {peer.name for peer in PEERS if Kind.START in peer.kinds}
    assert able == set(startup._PROGRAMS)


class _Canvas:
    """Stands for matplotlib: remembers what was drawn."""

    def __init__(self) -> None:
        self.drawn: list[tuple[str, tuple, dict]] = []

    def __getattr__(self, name):
        def draw(*arguments, **options):
            self.drawn.append((name, arguments, options))
            return self

        return draw


def test_the_picture_has_a_row_for_each_ratio_and_a_mark_for_each_peer(monkeypatch, tmp_path):
    """Medians and ranges on a logarithmic axis; rows that compare nobody are left out."""
    canvas, library = _Canvas(), types.ModuleType("matplotlib")
    library.use = lambda _: None
    library.pyplot = types.ModuleType("matplotlib.pyplot")
    library.pyplot.subplots = lambda **_: (
        canvas,
        types.SimpleNamespace(
            **{
                name: getattr(canvas, name)
                for name in (
                    "errorbar",
                    "set_xscale",
                    "axvline",
                    "set_yticks",
                    "set_ylim",
                    "axhline",
                    "grid",
                    "set_axisbelow",
                    "set_xlabel",
                )
            },
            xaxis=canvas,
        ),
    )
    library.pyplot.close = lambda _: None
    monkeypatch.setitem(sys.modules, "matplotlib", library)
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", library.pyplot)
    key, result = "messages_per_second", Result(WORKLOADS[0])
    result.rounds = {NOISEMESH: [{key: 4.0}], "curve": [{key: 2.0}], "tls": [{key: 1.0}]}
    alone = Result(WORKLOADS[1], {NOISEMESH: [{key: 4.0}]})
    plot(Report([NOISEMESH, "curve", "tls"], 1, [result, alone]), tmp_path / "ratios.png")
    marks = [
        (options["label"], arguments[0])
        for name, arguments, options in canvas.drawn
        if name == "errorbar"
    ]
    assert marks == [("curve", [2.0]), ("tls", [4.0])]
    drawn = {name: arguments for name, arguments, _ in canvas.drawn}
    assert drawn["set_xscale"] == ("log",)
    assert list(drawn["set_yticks"][1]) == ["one way, 64 B, messages"]
    assert drawn["savefig"] == (tmp_path / "ratios.png",)


@pytest.mark.parametrize(
    ("option", "package"), [("--plot=a.png", "matplotlib"), ("--uvloop", "uvloop")]
)
def test_an_option_without_its_package_is_refused_at_once(option, package, capsys, monkeypatch):
    """Before anything is measured."""
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(SystemExit) as stopped:
        main([option, "--only", "64B"])
    assert stopped.value.code == 2
    assert f"{package} is not installed" in capsys.readouterr().err
