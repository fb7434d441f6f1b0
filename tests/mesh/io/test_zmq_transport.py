"""Connections over real sockets: binding, dialling, frames, notices and the end of it all."""

import os
import selectors
import socket
import warnings

import pytest

from mesh.errors import InvalidConfiguration, MessageTooLarge, NodeClosed, PeerUnreachable
from mesh.io import zmq_transport
from mesh.io.notices import Connected, Lost, Retrying
from mesh.io.zmq_transport import (
    VIEW_RECEIVED_BYTES,
    ZERO_COPY_SEND_BYTES,
    Transport,
)
from mesh.model import Route

zmq = zmq_transport.zmq

CUT = "the connection broke, or the other side closed it"
LOOPBACK = "tcp://127.0.0.1:0"


def has_ipv6_loopback():
    """Whether this machine has the address ::1."""
    try:
        with socket.socket(socket.AF_INET6) as plain:
            plain.bind(("::1", 0))
    except OSError:
        return False
    return True


needs_ipv6 = pytest.mark.skipif(not has_ipv6_loopback(), reason="this machine has no address ::1")


@pytest.fixture
def pair(make_side):
    """A listener, a dialler, the dialler's route and the way back, once both work."""
    listening, dialling = make_side(), make_side()
    route = dialling.dial(listening.bind())
    dialling.send(route, b"first")
    assert dialling.until(lambda: dialling.notices == [Connected(route)])
    assert listening.until(lambda: listening.frames)
    [(origin, _)] = listening.frames
    listening.frames.clear()
    return listening, dialling, route, origin.route


def test_an_ipc_connection_carries_frames_both_ways(make_side, tmp_path):
    """Over a Unix socket the address is just "ipc", at both ends."""
    check_both_ways(make_side, f"ipc://{tmp_path}/a.sock", "ipc", "ipc")


@pytest.mark.parametrize("endpoint", [LOOPBACK, "tcp://localhost:0", "tcp://127.0.0.1:*"])
def test_a_tcp_connection_carries_frames_both_ways(make_side, endpoint):
    """Over tcp the address is that of the other end, and the port is a real one."""
    check_both_ways(make_side, endpoint, "127.0.0.1", "127.0.0.1")


@pytest.mark.parametrize("endpoint", ["tcp://*:0", "tcp://0.0.0.0:0"])
def test_a_wildcard_takes_connections(make_side, endpoint):
    """A wildcard is bound with a real port."""
    check_both_ways(make_side, endpoint, "127.0.0.1", "0.0.0.0")


@needs_ipv6
def test_an_ipv6_connection_carries_frames_both_ways(make_side):
    """IPv6 literals work for both ends."""
    check_both_ways(make_side, "tcp://[::1]:0", "::1", "::1")


def check_both_ways(make_side, endpoint, from_address, to_address):
    """One side listens, the other dials; each hears the other."""
    listening, dialling = make_side(), make_side()
    route = dialling.dial(listening.bind(endpoint))
    assert dialling.send(route, b"there")
    assert listening.until(lambda: listening.frames)
    [(origin, frame)] = listening.frames
    assert (frame, origin.address, origin.route.dialled) == (b"there", from_address, 0)
    assert listening.send(origin.route, b"back")
    assert dialling.until(lambda: dialling.frames)
    [(origin, frame)] = dialling.frames
    assert (frame, origin.address, origin.route) == (b"back", to_address, route)


def test_one_transport_listens_at_several_endpoints(make_side, tmp_path):
    """All endpoints lead to one port."""
    listening, dialling = make_side(), make_side()
    for number, endpoint in enumerate([LOOPBACK, LOOPBACK, f"ipc://{tmp_path}/b.sock"], 1):
        bound = listening.bind(endpoint)
        dialling.send(dialling.dial(bound), b"here")
        assert listening.until(lambda number=number: len(listening.frames) == number)
    assert len(listening.transport._ports) == 1


def test_an_address_in_use_is_refused(make_side):
    """The error names the endpoint and the reason; the first listener goes on."""
    listening = make_side()
    bound = listening.bind()
    with pytest.raises(InvalidConfiguration, match=rf"listen on {bound}: .*in use"):
        make_side().bind(bound)


@pytest.mark.parametrize(
    ("endpoint", "reason"),
    [
        ("tcp://192.0.2.1:0", "no such address"),
        ("tcp://nosuchcard:0", "no such address"),
        ("ipc:///nosuchdirectory/a.sock", "directory does not exist"),
        ("ipc:///tmp/" + "a" * 120, "too long"),
        ("udp://127.0.0.1:1", "not an endpoint"),
    ],
)
def test_an_endpoint_that_cannot_be_bound_is_explained(make_side, endpoint, reason):
    """Each failure to listen is the caller's, and says what to change."""
    with pytest.raises(InvalidConfiguration, match=reason):
        make_side().bind(endpoint)


def test_an_ipc_file_is_private_and_a_living_one_is_respected(make_side, tmp_path):
    """The socket file has mode 0600, and a second listener does not steal it."""
    bound = make_side().bind(f"ipc://{tmp_path}/c.sock")
    assert (tmp_path / "c.sock").stat().st_mode & 0o777 == 0o600
    with pytest.raises(InvalidConfiguration, match="in use"):
        make_side().bind(bound)


@pytest.mark.parametrize(
    ("endpoint", "reason"),
    [
        ("tcp://*:4000", "no single host"),
        ("tcp://127.0.0.1:0", "no single host"),
        ("tcp://127.0.0.1", "not an endpoint"),
        ("ipc:///tmp/" + "a" * 120, "too long"),
    ],
)
def test_an_endpoint_that_cannot_be_dialled_is_explained(make_side, endpoint, reason):
    """Nothing is left open by a dial that failed."""
    side = make_side()
    with pytest.raises(InvalidConfiguration, match=reason):
        side.dial(endpoint)
    assert not side.transport._ports


def test_a_process_without_sockets_left_cannot_dial(make_side, monkeypatch, nobody):
    """That is no fault of the endpoint, and what was half made is closed again."""
    monkeypatch.setitem(zmq_transport.CONTEXT_OPTIONS, zmq.MAX_SOCKETS, 8)
    side = make_side()
    routes = []
    with pytest.raises(PeerUnreachable, match="no socket"):
        routes.extend(side.dial(nobody) for _ in range(10))
    assert len(side.transport._ports) in (2, 4)


def test_an_attempt_that_nobody_answers_is_told(make_side, nobody):
    """Retrying says why, and the route lives on."""
    side = make_side()
    route = side.dial(nobody)
    assert side.until(lambda: side.notices)
    assert isinstance(side.notices[0], Retrying)
    assert side.notices[0].route == route
    assert side.notices[0].reason == "nobody accepts connections there"
    assert side.send(route, b"waits")


def test_something_else_that_answers_is_told(make_side, listener, accept, endpoint_of):
    """A server of another protocol is named as such; it was never connected."""
    side = make_side()
    route = side.dial(endpoint_of(listener))
    accept().plain.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n" * 4)
    assert side.until(lambda: side.notices)
    assert side.notices == [Lost(route, "what answers there does not speak ZeroMQ")]
    assert not side.send(route, b"x")


def test_a_connection_that_ends_is_lost_once_and_for_good(make_side):
    """After Lost a route takes nothing and tells nothing, also when somebody listens again."""
    listening, dialling = make_side(), make_side()
    bound = listening.bind()
    route = dialling.dial(bound)
    assert dialling.until(lambda: dialling.notices == [Connected(route)])
    listening.close()
    assert dialling.until(lambda: dialling.notices == [Connected(route), Lost(route, CUT)])
    assert not dialling.send(route, b"gone")
    again = make_side()
    again.bind(bound)
    dialling.send(dialling.dial(bound), b"anew")
    assert again.until(lambda: again.bodies() == [b"anew"])
    assert dialling.told(Lost) == [Lost(route, CUT)]


def test_frames_before_the_end_come_before_lost(make_side, listener, accept, endpoint_of):
    """A drain that stopped at its budget holds the notice back until the last frame is out."""
    side = make_side()
    route = side.dial(endpoint_of(listener))
    stranger = accept().greet(role=b"ROUTER")
    assert side.until(lambda: side.notices == [Connected(route)])
    for number in range(5):
        stranger.say(b"%d" % number)
    stranger.plain.close()
    _, watch = side.ports
    assert wait_for_input(watch)
    drained = [watch.drain(2), watch.drain(2)]
    assert watch.notices() == []
    assert watch.has_input()
    drained.append(watch.drain(2))
    assert watch.notices() == [Lost(route, CUT)]
    assert [more for _, more in drained] == [True, True, False]
    assert [body for frames, _ in drained for _, body in frames] == [b"0", b"1", b"2", b"3", b"4"]


def wait_for_input(port):
    """Wait until a port has something to say."""
    with selectors.DefaultSelector() as selector:
        selector.register(port.fd, selectors.EVENT_READ)
        while not port.has_input():
            if not selector.select(15):
                return False
    return True


def test_hanging_up_ends_a_connection_and_may_be_repeated(pair):
    """Both descriptors are handed back before they end, and their ports fall silent."""
    _, dialling, route, _ = pair
    descriptors = set(dialling.transport._ports)
    assert len(descriptors) == 2
    for _ in range(2):
        dialling.transport.hang_up(route)
        assert set(dialling.closed) == descriptors
        assert not dialling.transport._ports
        assert not dialling.send(route, b"gone")
    for port in dialling.ports:
        assert not port.has_input()
        assert port.drain(10) == ([], False)
        assert port.notices() == []


def test_what_a_dialler_leaves_is_refused(pair):
    """A way back leads nowhere once its connection is gone."""
    listening, dialling, route, back = pair
    dialling.transport.hang_up(route)
    assert listening.until(lambda: not listening.send(back, b"gone"))


def test_an_unknown_route_is_refused(make_side):
    """A route that never was takes nothing, with and without a listener."""
    side = make_side()
    unknown = [Route(), Route(dialled=7), Route(routing_id=b"nobody")]
    assert not any(side.send(route, b"x") for route in unknown)
    side.bind()
    assert not any(side.send(route, b"x") for route in unknown)


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_frames_of_every_size_arrive_as_they_were(pair, kind):
    """Copied or lent, as bytes or as a view, both ways: content and order are the same."""
    listening, dialling, route, back = pair
    sizes = [0, 1]
    for edge in (VIEW_RECEIVED_BYTES, ZERO_COPY_SEND_BYTES):
        sizes += [edge - 1, edge, edge + 1]
    frames = [(b"%06d" % size * size)[:size] for size in sizes]
    assert all(dialling.send(route, kind(frame)) for frame in frames)
    assert all(listening.send(back, kind(frame)) for frame in frames)
    for side in (listening, dialling):
        assert side.until(lambda side=side: len(side.frames) == len(frames))
        assert side.bodies() == frames
        types = [bytes if size < VIEW_RECEIVED_BYTES else memoryview for size in sizes]
        assert [type(frame) for _, frame in side.frames] == types


def test_a_frame_over_the_limit_is_never_sent(make_side):
    """The peer would cut the connection; so the sender is told, and the limit itself passes."""
    listening, dialling = make_side(max_frame_bytes=1000), make_side(max_frame_bytes=1000)
    route = dialling.dial(listening.bind())
    with pytest.raises(MessageTooLarge, match="1001 bytes, over 1000"):
        dialling.send(route, bytes(1001))
    assert dialling.send(route, bytes(1000))
    assert listening.until(lambda: listening.bodies() == [bytes(1000)])


@pytest.mark.parametrize("checked_frames", [0, 2, 100])
def test_a_drain_stops_at_its_budget_and_says_so(make_side, monkeypatch, checked_frames):
    """What is left is taken by the next drain, in order, whether a drain looks or just tries."""
    monkeypatch.setattr(zmq_transport, "_CHECKED_FRAMES", checked_frames)
    listening, dialling = make_side(), make_side()
    route = dialling.dial(listening.bind())
    wanted = [b"%d" % number for number in range(50)]
    assert all(dialling.send(route, frame) for frame in wanted)
    [port] = listening.ports
    received = []
    while len(received) < 50:
        assert wait_for_input(port)
        frames, more = port.drain(7)
        assert more == (len(frames) == 7)
        received += frames
    assert [frame for _, frame in received] == wanted
    assert port.drain(7) == ([], False)


def test_input_that_a_send_may_have_silenced_is_named_once(pair):
    """After sending, a port with input is named; a port without is not, nor one not sent on."""
    listening, dialling, route, back = pair
    assert listening.transport.overlooked() == []
    dialling.send(route, b"question")
    assert wait_for_input(listening.ports[0])
    assert listening.transport.overlooked() == []
    listening.send(back, b"unrelated")
    assert listening.transport.overlooked() == listening.ports
    assert listening.transport.overlooked() == []
    assert listening.ports[0].drain(9)[0][0][1] == b"question"
    listening.send(back, b"unrelated")
    assert listening.transport.overlooked() == []


def test_the_origin_of_a_connection_is_made_once(pair):
    """All frames of one connection share one origin."""
    listening, dialling, route, _ = pair
    for _ in range(3):
        dialling.send(route, b"x")
    assert listening.until(lambda: len(listening.frames) == 3)
    assert len({id(origin) for origin, _ in listening.frames}) == 1


def test_strangers_do_not_grow_the_table_of_origins(make_side, monkeypatch):
    """The oldest is forgotten, and made again when its connection speaks again."""
    monkeypatch.setattr(zmq_transport, "ORIGINS_KEPT", 2)
    listening, dialling = make_side(), make_side()
    bound = listening.bind()
    routes = [dialling.dial(bound) for _ in range(3)]
    for number, route in enumerate([*routes, routes[0], routes[0]], 1):
        dialling.send(route, b"x")
        assert listening.until(lambda number=number: len(listening.frames) == number)
    first, _, _, again, once_more = [origin for origin, _ in listening.frames]
    assert first == again
    assert first is not again
    assert again is once_more


def test_a_message_of_several_parts_is_dropped_whole(make_side, make_stranger):
    """It is counted, its parts cost budget, and what follows it arrives."""
    side = make_side(budget_frames=3)
    stranger = make_stranger(side.bind()).greet()
    for number in range(20):
        stranger.say(b"part", more=number < 19)
    stranger.say(b"whole")
    assert side.until(lambda: side.frames)
    assert side.bodies() == [b"whole"]
    assert side.dropped == 1


def test_a_dialled_peer_cannot_send_several_parts_either(make_side, listener, accept, endpoint_of):
    """The rule holds for connections of our own."""
    side = make_side()
    side.dial(endpoint_of(listener))
    stranger = accept().greet(role=b"ROUTER")
    for part, more in [(b"a", True), (b"b", False), (b"whole", False)]:
        stranger.say(part, more)
    assert side.until(lambda: side.bodies() == [b"whole"])
    assert side.dropped == 1


def test_a_limit_that_is_none_is_refused():
    """ZeroMQ would read it as no limit at all."""
    for limit in (0, -1):
        with pytest.raises(InvalidConfiguration, match="positive"):
            Transport(max_frame_bytes=limit)


def test_closing_ends_everything_and_may_be_repeated(pair):
    """Afterwards nothing is watched, sent, dialled or bound."""
    for side in pair[:2]:
        side.transport.close()
        side.transport.close()
        assert sorted(side.closed) == sorted(port.fd for port in side.ports)
        assert not side.send(pair[2], b"x")
        assert not side.send(pair[3], b"x")
        with pytest.raises(NodeClosed):
            side.dial("tcp://127.0.0.1:4000")
        with pytest.raises(NodeClosed):
            side.bind()


def test_a_transport_nobody_watches_can_be_read_by_hand(nobody):
    """Without callbacks, `sockets` names what to watch."""
    transport = Transport(max_frame_bytes=1000)
    try:
        transport.bind(LOOPBACK)
        route = transport.dial(nobody)
        assert {port.fd: port for port in transport._ports.values()} == dict(transport._ports)
        assert len(transport._ports) == 3
        transport.hang_up(route)
    finally:
        transport.close()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_forked_child_cannot_use_the_transport(pair):
    """ZeroMQ would accept its frames and lose them; the parent's connection is not disturbed."""
    listening, dialling, route, back = pair
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child == 0:
        refused = not dialling.send(route, b"lost") and not listening.send(back, b"lost")
        refused = refused and not any(port.has_input() for port in dialling.ports)
        try:
            dialling.dial("tcp://127.0.0.1:4000")
        except NodeClosed:
            dialling.transport.close()
            os._exit(0 if refused else 2)
        os._exit(3)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert dialling.send(route, b"parent")
    assert listening.until(lambda: listening.bodies() == [b"parent"])
