"""Wishes for connections, on virtual time, with a transport and a pump that only take notes."""

import asyncio
import logging

import pytest

from dialing import BOB, CAROL, ENDPOINT, US, Stage
from handshake.constants import Reason
from mesh.engine import events
from mesh.errors import (
    InvalidConfiguration,
    NodeClosed,
    NotTrusted,
    PeerUnreachable,
    WrongPeer,
)
from mesh.io.notices import Connected, Lost, Retrying
from mesh.model import Route
from virtual_time import in_virtual_time, pass_time


@in_virtual_time
async def test_connect_waits_for_the_proof():
    """A connection that stands is not enough; the peer that proved itself is the answer."""
    stage = Stage()
    task = stage.connects(pin=BOB)
    await pass_time(0)
    stage.dialer.on_notice(Connected(stage.route))
    await pass_time(1)
    assert not task.done()
    assert stage.notes.asked == [("dial", 1), ("connect", 1, BOB, None)]
    stage.stands()
    assert await task == BOB
    assert stage.dialer.endpoints_of(BOB) == [ENDPOINT]
    assert stage.dialer.endpoints_of(CAROL) == []
    assert stage.dialer.wishes() == [(ENDPOINT, BOB, "")]


@in_virtual_time
async def test_a_connection_that_stands_is_used_again():
    """The same wish gives the same answer at once; another pin is another wish."""
    stage = Stage()
    await stage.connected()
    assert await stage.dialer.connect(ENDPOINT, None, 0.001) == BOB
    assert stage.dialled == 1
    stage.connects(pin=CAROL).cancel()
    other = stage.connects(pin=BOB)
    await pass_time(0)
    assert stage.dialled == 2
    other.cancel()


@in_virtual_time
async def test_connect_waits_for_a_new_proof_after_a_loss():
    """Who answered before is not taken for who answers now."""
    stage = Stage()
    await stage.connected()
    stage.is_lost()
    task = stage.connects()
    await pass_time(0.2)
    assert stage.dialled == 2
    assert not task.done()
    stage.stands(CAROL)
    assert await task == CAROL


@in_virtual_time
async def test_connect_gives_up_with_the_last_trouble():
    """After the timeout the error says what was wrong, and nothing is dialled any more."""
    stage = Stage()
    for tell, words in (
        (lambda: None, "nobody answered"),
        (lambda: stage.dialer.on_notice(Retrying(stage.route, "refused", 100)), "refused"),
        (lambda: stage.dialer.on_notice(Connected(stage.route)), "nobody proved who it is"),
        (stage.is_lost, "it broke"),
    ):
        task = stage.connects(timeout=0.02)
        await pass_time(0)
        tell()
        with pytest.raises(PeerUnreachable, match=f"within 0.02 s: .*{words}"):
            await task
        assert stage.dialer.wishes() == []
        assert stage.notes.asked[-1] == ("hang up", stage.dialled)
    before = stage.dialled
    await pass_time(100)
    assert stage.dialled == before
    assert stage.notes.runs >= 4


@in_virtual_time
async def test_one_that_gives_up_does_not_end_the_wait_of_another():
    """A wish is withdrawn when nobody waits for it any more."""
    stage = Stage()
    patient, hasty = stage.connects(timeout=10), stage.connects(timeout=0.5)
    with pytest.raises(PeerUnreachable):
        await hasty
    assert len(stage.dialer.wishes()) == 1
    cancelled = stage.connects()
    await pass_time(0)
    cancelled.cancel()
    await pass_time(0)
    stage.stands()
    assert await patient == BOB


@in_virtual_time
async def test_a_kept_connection_is_dialled_for_ever():
    """However often it is lost: soon again, then more and more slowly, never slower than 7.5 s."""
    stage = Stage()
    stage.dialer.keep(ENDPOINT, BOB)
    pauses = []
    for count in range(2, 15):
        stage.dialer.on_notice(Connected(stage.route))
        stage.is_lost()
        pauses.append(await stage.until_dialled(count))
    assert pauses[0] <= 0.1
    assert pauses[3] < pauses[5] < pauses[7]
    assert max(pauses) <= 7.6
    assert stage.notes.asked[:5] == [
        ("dial", 1),
        ("connect", 1, BOB, None),
        ("lost", 1),
        ("hang up", 1),
        ("dial", 2),
    ]


async def pauses_of(seed, losses):
    """How long a dialer waits after each loss of a connection that never stood for long."""
    stage = Stage(seed)
    stage.dialer.keep(ENDPOINT, BOB)
    pauses = []
    for count in range(2, losses + 2):
        stage.dialer.on_notice(Connected(stage.route))
        stage.is_lost()
        pauses.append(await stage.until_dialled(count))
    return pauses


@in_virtual_time
async def test_pauses_double_up_to_a_limit_each_with_its_own_jitter():
    """Around 50, 100, 200 ms, ... and 5 s at last; half as long to half as long again."""
    for place, pauses in enumerate(zip(*[await pauses_of(n, 10) for n in range(20)], strict=True)):
        nominal = min(0.05 * 2**place, 5.0)
        assert 0.5 * nominal <= min(pauses) < 0.8 * nominal + 0.01
        assert 1.2 * nominal < max(pauses) <= 1.5 * nominal + 0.02


@pytest.mark.parametrize("ends", ["is lost", "says goodbye"])
@in_virtual_time
async def test_a_hub_that_ends_is_not_dialled_by_everybody_in_one_moment(ends):
    """Fifty nodes that hear of it together come back one after the other, each at its own pace."""
    stages = [Stage(seed) for seed in range(50)]
    loop, moments = asyncio.get_running_loop(), []
    for stage in stages:
        await stage.connected()
    began = loop.time()
    for stage in stages:
        if ends == "is lost":
            stage.is_lost()
        else:
            stage.dialer.on_peer_closed(events.PeerClosed(BOB, Reason.CLOSED))
    while len(moments) < len(stages):
        await pass_time(0.001)
        came = sum(stage.dialled == 2 for stage in stages) - len(moments)
        moments += [loop.time() - began] * came
    together = max(moments.count(moment) for moment in moments)
    assert together <= len(stages) / 5
    assert moments[-1] - moments[0] > (0.04 if ends == "is lost" else 0.4)
    paces = [stage.notes.paces[-1] for stage in stages]
    assert 0.5 <= min(paces) < 0.6
    assert 1.4 < max(paces) <= 1.5


@in_virtual_time
async def test_a_connection_that_stood_is_dialled_again_at_once():
    """One that lasted for more than a second starts the pauses anew."""
    stage = Stage()
    await stage.connected()
    for count in range(2, 8):
        await pass_time(1.1)
        stage.is_lost()
        assert await stage.until_dialled(count) <= 0.1
        stage.stands()
    assert stage.notes.asked[-1] == ("connect", 7, None, BOB)


@in_virtual_time
async def test_a_connection_that_led_to_the_peer_is_dialled_again_at_once():
    """However soon each of them is cut."""
    stage = Stage()
    await stage.connected()
    for count in range(2, 12):
        stage.is_lost()
        assert await stage.until_dialled(count) <= 0.1
        stage.stands()


@in_virtual_time
async def test_a_peer_that_proved_itself_lately_is_not_kept_waiting():
    """Connections that are cut before the proof are dialled within 0.6 s; after a while slower."""
    stage = Stage()
    await stage.connected()
    began = asyncio.get_running_loop().time()
    pauses = []
    for count in range(2, 90):
        stage.dialer.on_notice(Connected(stage.route))
        stage.is_lost()
        pause = await stage.until_dialled(count)
        pauses.append((asyncio.get_running_loop().time() - began, pause))
    soon = [pause for at, pause in pauses if at < 30]
    late = [pause for at, pause in pauses if at > 40]
    assert len(soon) > 50
    assert 0.3 < max(soon) <= 0.61
    assert max(late) > 4


@in_virtual_time
async def test_a_loss_before_the_connection_stood_counts_as_one_that_never_stood():
    """What answers but is no node is not dialled at once again and again."""
    stage = Stage()
    stage.dialer.keep(ENDPOINT, None)
    for count in range(2, 10):
        await pass_time(2)
        stage.is_lost("it does not speak ZeroMQ")
        pause = await stage.until_dialled(count)
    assert pause > 1
    assert stage.dialer.wishes() == [(ENDPOINT, None, "it does not speak ZeroMQ")]


@in_virtual_time
async def test_news_of_other_connections_are_ignored():
    """A connection that was hung up may still have news under way."""
    stage = Stage()
    unknown = Route(dialled=77)
    stage.dialer.on_notice(Lost(unknown, "late"))
    stage.dialer.on_authenticated(events.RouteAuthenticated(unknown, BOB))
    stage.dialer.on_failed(events.ConnectFailed(unknown, BOB, Reason.CLOCK, by_peer=False))
    assert stage.notes.asked == []


@pytest.mark.parametrize(
    ("reason", "by_peer", "error", "words"),
    [
        (Reason.WRONG_PEER, False, WrongPeer, [str(BOB), str(CAROL)]),
        (Reason.NOT_TRUSTED, False, NotTrusted, [f"trust {BOB}", "not trusted"]),
        (Reason.REVOKED, False, NotTrusted, [f"trust {BOB}", "revoked"]),
        (Reason.NOT_TRUSTED, True, NotTrusted, [f"mesh trust allow {US}", "not trusted"]),
        (Reason.REVOKED, True, NotTrusted, [f"mesh trust allow {US}", "revoked"]),
        (Reason.VERSION, True, PeerUnreachable, [str(BOB), "version"]),
        (Reason.CLOCK, False, PeerUnreachable, [str(BOB), "clock"]),
    ],
)
@in_virtual_time
async def test_a_refusal_is_explained(reason, by_peer, error, words):
    """Who refused whom, why, and the command that would change it where one would."""
    stage = Stage()
    task = stage.connects(pin=CAROL)
    await pass_time(0)
    stage.fails(reason, by_peer=by_peer)
    with pytest.raises(error) as caught:
        await task
    for word in [ENDPOINT, *words]:
        assert word in str(caught.value)
    helps = reason in (Reason.NOT_TRUSTED, Reason.REVOKED)
    assert ("trust allow" in str(caught.value) or f"trust {BOB}" in str(caught.value)) is helps
    assert stage.dialer.wishes() == []


@in_virtual_time
async def test_a_refusal_is_warned_of_once(caplog):
    """However often it is tried again; another reason, or one after a success, is news."""
    caplog.set_level(logging.DEBUG, "noisemesh")
    stage = Stage()
    stage.dialer.keep(ENDPOINT, BOB)

    async def warnings(reason, times=3):
        caplog.clear()
        for _ in range(times):
            stage.fails(reason, by_peer=True)
            stage.dialer.trust_changed()
            await pass_time(1)
        told = [record.levelno for record in caplog.records if "refuses" in record.message]
        assert len(told) == times
        return told.count(logging.WARNING)

    assert await warnings(Reason.NOT_TRUSTED) == 1
    assert f"mesh trust allow {US}" in caplog.records[0].message
    assert await warnings(Reason.NOT_TRUSTED) == 0
    assert await warnings(Reason.REVOKED) == 1
    stage.stands()
    assert await warnings(Reason.REVOKED) == 1


@in_virtual_time
async def test_a_program_that_asks_again_is_warned_once(caplog):
    """Each `connect` raises; the log says it the first time."""
    stage = Stage()
    for _ in range(3):
        task = stage.connects(BOB)
        await pass_time(0)
        stage.fails(Reason.NOT_TRUSTED, by_peer=True)
        with pytest.raises(NotTrusted):
            await task
    assert sum("refuses" in record.message for record in caplog.records) == 1


@in_virtual_time
async def test_a_refused_wish_that_is_kept_is_tried_again_later():
    """After 15 s, or as soon as our own list changes, or somebody asks for it."""
    stage = Stage()
    stage.dialer.keep(ENDPOINT, None)
    stage.fails(Reason.NOT_TRUSTED)
    assert 14.9 < await stage.until_dialled(2) < 15.1
    stage.fails(Reason.NOT_TRUSTED)
    stage.dialer.trust_changed()
    assert await stage.until_dialled(3) <= 0.02
    stage.fails(Reason.NOT_TRUSTED)
    task = stage.connects()
    assert await stage.until_dialled(4) <= 0.02
    stage.dialer.trust_changed()
    await pass_time(1)
    assert stage.dialled == 4
    stage.stands()
    assert await task == BOB
    stage.fails(Reason.REVOKED, by_peer=True)
    assert 14.9 < await stage.until_dialled(5) < 15.1


@pytest.mark.parametrize(
    ("reason", "pause", "trouble"),
    [
        (Reason.CLOSED, 1.0, "the peer has closed"),
        (Reason.REVOKED, 16.0, "the peer has closed: revoked"),
    ],
)
@in_virtual_time
async def test_a_peer_that_says_goodbye_is_dialled_again(reason, pause, trouble):
    """Our own goodbye gets a second to leave; after a refusal it is not asked at once."""
    stage = Stage()
    await stage.connected()
    stage.dialer.on_peer_closed(events.PeerClosed(CAROL, reason))
    assert stage.dialer.wishes() == [(ENDPOINT, BOB, "")]
    stage.dialer.on_peer_closed(events.PeerClosed(BOB, reason))
    await pass_time(0.9)
    assert ("hang up", 1) not in stage.notes.asked
    assert pause - 0.9 - 0.1 < await stage.until_dialled(2) < pause - 0.9 + 0.6
    assert ("hang up", 1) in stage.notes.asked
    assert stage.dialer.wishes()[0][2] == trouble


@in_virtual_time
async def test_a_peer_that_was_dropped_here_has_not_closed():
    """What is wrong with the connection says whose decision it was."""
    stage = Stage()
    await stage.connected()
    stage.dialer.on_peer_closed(events.PeerClosed(BOB, Reason.REVOKED, by_us=True))
    assert stage.dialer.wishes()[0][2] == "closed here: revoked"


@pytest.mark.parametrize("ask", ["connect", "trust"])
@in_virtual_time
async def test_a_connection_that_said_goodbye_is_replaced_when_somebody_asks(ask):
    """`connect` or a change of trust does not wait for the pause, nor use the old connection."""
    stage = Stage()
    await stage.connected()
    stage.dialer.on_peer_closed(events.PeerClosed(BOB, Reason.REVOKED))
    task = stage.connects() if ask == "connect" else None
    if task is None:
        stage.dialer.trust_changed()
    assert await stage.until_dialled(2) <= 0.02
    assert stage.notes.asked[-3:] == [("lost", 1), ("hang up", 1), ("dial", 2)]
    stage.stands()
    assert task is None or await task == BOB


@in_virtual_time
async def test_another_instance_is_left_the_field_for_a_minute():
    """What led to the peer is hung up, waits, and says why; nobody else is kept from us."""
    stage = Stage()
    await stage.connected()
    stage.dialer.on_superseded(events.Superseded(BOB))
    assert stage.notes.asked[-1] == ("hang up", 1)
    with pytest.raises(PeerUnreachable, match="another node with this identity"):
        await stage.connects(timeout=5)
    assert stage.dialled == 1
    stage.dialer.keep("tcp://127.0.0.1:4001", None)
    assert stage.dialled == 2
    assert 54 < await stage.until_dialled(3) < 56


@in_virtual_time
async def test_a_bad_endpoint_is_refused_at_once():
    """The text is checked before anything is wished for."""
    stage = Stage()
    with pytest.raises(InvalidConfiguration):
        await stage.dialer.connect("carrier pigeon", None, 10)
    with pytest.raises(InvalidConfiguration):
        stage.dialer.keep("tcp://*:1", None)
    assert stage.dialer.wishes() == []


@in_virtual_time
async def test_a_transport_without_room_is_asked_again():
    """When no socket is left, the wish goes on, and says so meanwhile."""
    stage = Stage()
    await stage.connected()
    stage.notes.failing = PeerUnreachable("no descriptor is left")
    stage.is_lost()
    await pass_time(7)
    assert stage.dialer.wishes() == [(ENDPOINT, BOB, "no descriptor is left")]
    stage.notes.failing = None
    assert await stage.until_dialled(2) <= 5.1


@in_virtual_time
async def test_the_end_tells_everybody_who_waits():
    """Those who wait are told at once; a lost connection is still dialled until the close."""
    stage = Stage()
    await stage.connected()
    waiting = stage.connects(endpoint="tcp://127.0.0.1:4001")
    await pass_time(0)
    stage.dialer.end()
    with pytest.raises(NodeClosed):
        await waiting
    with pytest.raises(NodeClosed):
        await stage.connects()
    stage.dialer.on_notice(Lost(Route(dialled=1), "cut"))
    await pass_time(1)
    assert stage.dialled == 3
    stage.dialer.close()
    assert stage.dialer.wishes() == []
    before = list(stage.notes.asked)
    assert before[-1] == ("hang up", 3)
    await pass_time(100)
    assert stage.notes.asked == before
