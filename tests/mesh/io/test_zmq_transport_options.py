"""Each option of the sockets earns its place: what happens with it, and what without.

Values of seconds are shortened; the behaviour is the same.
"""

import ctypes
import socket
import threading

import pytest

from mesh.errors import PeerUnreachable
from mesh.io import system, zmq_transport
from mesh.io.notices import Connected, Lost, Retrying
from mesh.io.zmq_transport import CONTEXT_OPTIONS, DEALER_OPTIONS, ROUTER_OPTIONS, Transport
from mesh.model import Route

zmq = zmq_transport.zmq

A_MOMENT = 0.6
with_and_without = pytest.mark.parametrize("kept", [True, False], ids=["with", "without"])


@pytest.fixture
def option(monkeypatch, kept):
    """Give an option a (shorter) value, or take it away in the half that goes without."""

    def choose(table, name, *value):
        if not kept:
            monkeypatch.delitem(table, name)
        elif value:
            monkeypatch.setitem(table, name, *value)

    return choose


@pytest.fixture
def short(monkeypatch):
    """Give an option a shorter value in both halves."""
    return monkeypatch.setitem


def test_no_option_is_forgotten_or_unlimited():
    """Both kinds of socket have the limits, none of which is 0 or endless but by intention."""
    limits = {zmq.SNDHWM, zmq.RCVHWM, zmq.HANDSHAKE_IVL, zmq.HEARTBEAT_IVL, zmq.HEARTBEAT_TIMEOUT}
    limits.add(zmq.TCP_MAXRT)
    for table in (ROUTER_OPTIONS, DEALER_OPTIONS):
        assert all(table[name] > 0 for name in limits)
        assert table[zmq.LINGER] == 0
        assert zmq.ROUTING_ID not in table
        assert table[zmq.HEARTBEAT_TIMEOUT] > table[zmq.HEARTBEAT_IVL]


@with_and_without
def test_mandatory_refuses_instead_of_dropping(option, make_side, kept):
    """Without it a frame to an unknown route is taken and lost."""
    option(ROUTER_OPTIONS, zmq.ROUTER_MANDATORY)
    side = make_side()
    side.bind()
    [port] = side.ports
    frames = [(Route(routing_id=b"nobody"), b"x")] * 3
    assert [side.send(*frame) for frame in frames] == [not kept] * 3
    assert port.drain(1) == ([], False)


@pytest.mark.parametrize("handover", [0, 1])
def test_no_handover_leaves_a_living_connection_its_routing_id(
    short, make_side, make_stranger, handover
):
    """With handover a second connection under the same id takes over the way back."""
    assert ROUTER_OPTIONS[zmq.ROUTER_HANDOVER] == 0
    short(ROUTER_OPTIONS, zmq.ROUTER_HANDOVER, handover)
    side = make_side()
    bound = side.bind()
    first = make_stranger(bound).greet(b"taken")
    first.say(b"first")
    assert side.until(lambda: side.bodies() == [b"first"])
    second = make_stranger(bound).greet(b"taken")
    second.say(b"second")
    heard = side.until(lambda: len(side.frames) == 2, seconds=15 if handover else A_MOMENT)
    assert heard == bool(handover)
    assert side.send(side.frames[0][0].route, b"for the first")
    assert (second if handover else first).hears(b"for the first")


def test_routing_ids_are_those_of_zeromq(make_side):
    """A dialler names no routing id of its own, so nobody can be in its place."""
    listening, dialling = make_side(), make_side()
    bound = listening.bind()
    for _ in range(2):
        dialling.send(dialling.dial(bound), b"x")
    assert listening.until(lambda: len(listening.frames) == 2)
    ids = {origin.route.routing_id for origin, _ in listening.frames}
    assert len(ids) == 2
    assert all(len(routing_id) == 5 and routing_id[0] == 0 for routing_id in ids)


@with_and_without
def test_return_paths_cannot_be_guessed(monkeypatch, make_side, kept):
    """Unseeded, each process gives out the same routing ids, and libzmq aborts on a claimed one."""
    c = ctypes.CDLL(None)
    if not kept:
        monkeypatch.setattr(system, "seed_c_random", lambda: None)
    seen = set()
    for _ in range(2):
        listening, dialling = make_side(), make_side()
        c.srand(1)
        bound = listening.bind()
        dialling.send(dialling.dial(bound), b"x")
        assert listening.until(lambda listening=listening: listening.frames)
        seen.add(listening.frames[0][0].route)
    assert (len(seen) == 2) == kept


@with_and_without
def test_a_domain_refuses_zmtp_1_at_our_listener(option, make_side, make_stranger, kept):
    """Without it what a stranger sends in ZMTP 1.0 reaches the application."""
    option(ROUTER_OPTIONS, zmq.ZAP_DOMAIN)
    side = make_side()
    stranger = make_stranger(side.bind())
    stranger.plain.sendall(b"\x04\x00old" + b"\x03\x00hi")
    if kept:
        assert stranger.is_cut()
    else:
        assert side.until(lambda: side.bodies() == [b"hi"])
        assert side.frames[0][0].address == "unknown"
    assert bool(side.frames) != kept


@with_and_without
def test_a_domain_refuses_zmtp_1_where_we_dial(
    option, make_side, listener, accept, endpoint_of, kept
):
    """Without it what any other server says reaches the application."""
    option(DEALER_OPTIONS, zmq.ZAP_DOMAIN)
    side = make_side()
    side.dial(endpoint_of(listener))
    accept().plain.sendall(b"\x04\x00old" + b"\x03\x00hi")
    assert side.until(lambda: side.told(Lost) or side.frames)
    assert bool(side.told(Lost)) == kept


def test_a_domain_lets_honest_peers_in(make_side):
    """No handler of the domain exists, and none is waited for."""
    assert ROUTER_OPTIONS[zmq.ZAP_DOMAIN] == DEALER_OPTIONS[zmq.ZAP_DOMAIN] != b""
    listening, dialling = make_side(), make_side()
    route = dialling.dial(listening.bind())
    assert dialling.until(lambda: dialling.notices == [Connected(route)])


@with_and_without
def test_a_silent_connection_is_cut(option, make_side, make_stranger, kept):
    """Without HANDSHAKE_IVL it stays for libzmq's 30 seconds."""
    option(ROUTER_OPTIONS, zmq.HANDSHAKE_IVL, 100)
    side = make_side()
    stranger = make_stranger(side.bind())
    assert stranger.is_cut(15 if kept else A_MOMENT) == kept


@with_and_without
def test_a_silent_server_is_given_up(option, make_side, listener, endpoint_of, kept):
    """Without HANDSHAKE_IVL nobody is told for 30 seconds."""
    option(DEALER_OPTIONS, zmq.HANDSHAKE_IVL, 100)
    side = make_side()
    side.dial(endpoint_of(listener))
    assert side.until(lambda: side.notices, 15 if kept else A_MOMENT) == kept
    assert all("does not finish" in notice.reason for notice in side.told(Retrying))


@with_and_without
def test_an_attempt_to_connect_ends(option, make_side, kept):
    """Without CONNECT_TIMEOUT a host that swallows everything holds a dialler for two minutes."""
    option(DEALER_OPTIONS, zmq.CONNECT_TIMEOUT, 100)
    with socket.socket() as full, socket.socket() as filler, socket.socket() as second:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        for plain in (filler, second):
            plain.setblocking(False)
            plain.connect_ex(full.getsockname())
        side = make_side()
        side.dial(f"tcp://127.0.0.1:{full.getsockname()[1]}")
        assert side.until(lambda: side.told(Retrying), 15 if kept else A_MOMENT) == kept


@with_and_without
def test_heartbeats_end_a_dead_connection(option, short, make_side, make_stranger, kept):
    """Without HEARTBEAT_IVL a peer that vanished stays for ever."""
    option(ROUTER_OPTIONS, zmq.HEARTBEAT_IVL, 50)
    short(ROUTER_OPTIONS, zmq.HEARTBEAT_TIMEOUT, 200)
    side = make_side()
    stranger = make_stranger(side.bind()).greet()
    assert stranger.is_cut(15 if kept else A_MOMENT) == kept
    assert (b"PING" in stranger.heard) == kept


@with_and_without
def test_heartbeats_lose_a_dead_server(
    option, short, make_side, listener, accept, endpoint_of, kept
):
    """Without them a dialler is never told."""
    option(DEALER_OPTIONS, zmq.HEARTBEAT_IVL, 50)
    short(DEALER_OPTIONS, zmq.HEARTBEAT_TIMEOUT, 200)
    side = make_side()
    side.dial(endpoint_of(listener))
    accept().greet(role=b"ROUTER")
    assert side.until(lambda: side.told(Lost), 15 if kept else A_MOMENT) == kept


@with_and_without
def test_a_peer_has_several_heartbeats_time(option, short, make_side, make_stranger, kept):
    """Without HEARTBEAT_TIMEOUT one late answer ends a connection."""
    short(ROUTER_OPTIONS, zmq.HEARTBEAT_IVL, 50)
    option(ROUTER_OPTIONS, zmq.HEARTBEAT_TIMEOUT, 1000)
    side = make_side()
    stranger = make_stranger(side.bind()).greet()
    assert stranger.is_cut()
    assert (stranger.heard.count(b"PING") >= 4) == kept


@with_and_without
def test_attempts_begin_soon(option, short, make_side, nobody, kept):
    """RECONNECT_IVL is the first pause between attempts; libzmq adds up to as much at random."""
    short(DEALER_OPTIONS, zmq.RECONNECT_IVL_MAX, 0)
    option(DEALER_OPTIONS, zmq.RECONNECT_IVL, 10)
    side = make_side()
    side.dial(nobody)
    assert side.until(lambda: side.notices)
    assert (side.notices[0].after_ms < 100) == kept


@with_and_without
def test_attempts_become_rarer(option, short, make_side, nobody, kept):
    """Without RECONNECT_IVL_MAX a dead endpoint is tried at full pace for ever."""
    short(DEALER_OPTIONS, zmq.RECONNECT_IVL, 4)
    option(DEALER_OPTIONS, zmq.RECONNECT_IVL_MAX, 64)
    side = make_side()
    side.dial(nobody)
    assert side.until(lambda: len(side.notices) == 8)
    pauses = [notice.after_ms for notice in side.notices]
    assert (max(pauses) >= 32) == kept
    assert max(pauses) <= 128


@pytest.mark.parametrize("pace", [0.5, 1.0, 1.5])
def test_every_connection_has_its_own_pace(short, make_side, nobody, pace):
    """With RECONNECT_IVL_MAX libzmq adds nothing at random: the pauses are what they are told."""
    short(DEALER_OPTIONS, zmq.RECONNECT_IVL, 20)
    short(DEALER_OPTIONS, zmq.RECONNECT_IVL_MAX, 80)
    side = make_side()
    side.dial(nobody, pace)
    assert side.until(lambda: len(side.notices) == 4)
    pauses = [notice.after_ms for notice in side.notices]
    assert pauses == [pace * pause for pause in (20, 40, 80, 80)]


@pytest.mark.parametrize("immediate", [0, 1])
def test_frames_wait_for_the_connection(short, make_side, nobody, immediate):
    """With IMMEDIATE=1 a frame is refused until the connection stands."""
    assert DEALER_OPTIONS[zmq.IMMEDIATE] == 0
    short(DEALER_OPTIONS, zmq.IMMEDIATE, immediate)
    side = make_side()
    route = side.dial(nobody)
    assert side.send(route, b"early") != bool(immediate)
    listening = make_side()
    listening.bind(nobody)
    heard = listening.until(lambda: listening.frames, seconds=A_MOMENT if immediate else 15)
    assert heard != bool(immediate)


@with_and_without
def test_a_full_queue_refuses(option, make_side, nobody, kept):
    """SNDHWM bounds what waits; libzmq's own bound is 1,000."""
    option(DEALER_OPTIONS, zmq.SNDHWM)
    most = 500 if kept else 1000
    assert DEALER_OPTIONS.get(zmq.SNDHWM, 1000) == most
    side = make_side()
    route = side.dial(nobody)
    assert [side.send(route, b"x") for _ in range(most + 1)] == [True] * most + [False]


@with_and_without
def test_a_full_way_back_refuses(option, make_side, make_stranger, kept):
    """A peer that does not read gets no more than the kernel and SNDHWM hold."""
    option(ROUTER_OPTIONS, zmq.SNDHWM, 3)
    side = make_side()
    stranger = make_stranger(side.bind()).greet()
    stranger.say(b"x")
    assert side.until(lambda: side.frames)
    back = side.frames[0][0].route
    frame = bytes(1 << 20)
    assert all(side.send(back, frame) for _ in range(40)) != kept


@pytest.mark.parametrize("table", [ROUTER_OPTIONS, DEALER_OPTIONS], ids=["listener", "dialler"])
@with_and_without
def test_a_receiver_that_is_behind_holds_the_sender(
    option, make_side, make_stranger, listener, accept, endpoint_of, table, kept
):
    """RCVHWM bounds what waits to be drained: then TCP stops the sender."""
    option(table, zmq.RCVHWM, 3)
    side = make_side()
    if table is ROUTER_OPTIONS:
        stranger = make_stranger(side.bind()).greet()
    else:
        side.dial(endpoint_of(listener))
        stranger = accept().greet(role=b"ROUTER")
    assert stranger.can_say(bytes(1 << 20), times=64, seconds=A_MOMENT if kept else 15) != kept


@pytest.mark.parametrize("limit", [1000, 1001])
def test_a_part_over_the_limit_cuts_that_connection_only(make_side, make_stranger, limit):
    """MAXMSGSIZE is always set, to the limit the caller gave; at the limit a part passes."""
    side = make_side(max_frame_bytes=limit)
    bound = side.bind()
    honest, greedy = make_stranger(bound).greet(), make_stranger(bound).greet()
    greedy.say(bytes(1001))
    if limit == 1000:
        assert greedy.is_cut()
    honest.say(b"hi")
    assert side.until(lambda: b"hi" in side.bodies())
    if limit == 1001:
        assert side.until(lambda: bytes(1001) in side.bodies())


def test_a_server_over_the_limit_is_lost(make_side, listener, accept, endpoint_of):
    """The limit holds for what we dialled, too."""
    side = make_side(max_frame_bytes=1000)
    side.dial(endpoint_of(listener))
    accept().greet(role=b"ROUTER").say(bytes(1001))
    assert side.until(lambda: side.told(Lost))
    assert not side.frames


@with_and_without
def test_what_a_hung_up_route_still_held_is_forgotten(option, make_side, nobody, kept):
    """Without LINGER 0 it goes on dialling, and delivers what was given up long ago."""
    option(DEALER_OPTIONS, zmq.LINGER)
    side, listening = make_side(), make_side()
    route = side.dial(nobody)
    side.send(route, b"given up")
    side.transport.hang_up(route)
    if kept:
        # A thread of libzmq's ends the socket, perhaps after the next attempt; this waits for it.
        side.transport.close()
        side = make_side()
    listening.bind(nobody)
    if kept:
        side.send(side.dial(nobody), b"anew")
    assert listening.until(lambda: listening.frames)
    assert listening.bodies() == [b"anew" if kept else b"given up"]


@with_and_without
def test_closing_does_not_wait_for_a_peer_that_does_not_read(
    option, make_side, make_stranger, kept
):
    """Without LINGER 0 a node cannot end before its slowest peer."""
    option(ROUTER_OPTIONS, zmq.LINGER)
    side = make_side()
    stranger = make_stranger(side.bind()).greet()
    stranger.say(b"x")
    assert side.until(lambda: side.frames)
    frame = bytes(1 << 20)
    for _ in range(40):
        side.send(side.frames[0][0].route, frame)
    closing = threading.Thread(target=side.transport.close)
    closing.start()
    closing.join(15 if kept else A_MOMENT)
    assert closing.is_alive() != kept
    stranger.plain.close()
    closing.join(15)
    assert not closing.is_alive()


@with_and_without
def test_a_large_mesh_fits(option, tmp_path, kept):
    """Without MAX_SOCKETS the 342nd connection fails."""
    option(CONTEXT_OPTIONS, zmq.MAX_SOCKETS)
    if system.raise_file_limit() < 2048:
        pytest.skip("this system allows too few open files")
    transport = Transport(max_frame_bytes=1000)
    try:
        fits = True
        for number in range(360):
            transport.dial(f"ipc://{tmp_path}/{number}")
    except PeerUnreachable:
        fits = False
    finally:
        transport.close()
    assert fits == kept
