"""The relay passes on what it gets and keeps a record of it."""

import asyncio
import contextlib
import socket

import pytest

from mesh.cli.demo.relay import Recording, Relay, record_plain_run
from mesh.cli.demo.scan import scan, windows


@pytest.fixture
async def echo():
    """The address of a server that answers in capitals."""

    async def answer(reader, writer):
        with contextlib.closing(writer), contextlib.suppress(ConnectionError):
            while data := await reader.read(1000):
                writer.write(data.upper())

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()


async def speak(port, text):
    """Send through the relay; as many bytes of answer."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(text)
    answer = await reader.readexactly(len(text))
    writer.close()
    return answer


async def test_both_directions_are_passed_on_and_recorded(echo, patiently):
    """What goes forward and what comes back is recorded separately, over all connections."""
    async with Relay(echo) as relay:
        assert await patiently(speak(relay.port, b"hello ")) == b"HELLO "
        assert await patiently(speak(relay.port, b"again")) == b"AGAIN"
    assert relay.forward.data == b"hello again"
    assert relay.backward.data == b"HELLO AGAIN"
    assert (relay.connections, relay.forward.total) == (2, 11)


async def test_an_ill_relay_changes_bytes(echo, patiently):
    """A relay may be made that passes on something else than it got."""

    class Liar(Relay):
        def passing(self, data, *, forward):
            return super().passing(data, forward=forward).replace(b"l", b"r")

    async with Liar(echo) as relay:
        assert await patiently(speak(relay.port, b"hello")) == b"HERRO"
    assert relay.forward.data == b"hello"


async def test_the_end_of_one_side_is_the_end_of_the_other(echo, patiently):
    """When the target is not there, whoever connected is told by the end of the connection."""
    async with Relay(("127.0.0.1", 1)) as relay:
        reader, writer = await asyncio.open_connection("127.0.0.1", relay.port)
        assert await patiently(reader.read()) == b""
        writer.close()


async def test_leaving_cuts_what_still_stands(echo, patiently):
    """When the relay goes, its connections go with it."""
    async with Relay(echo) as relay:
        reader, writer = await asyncio.open_connection("127.0.0.1", relay.port)
        writer.write(b"x")
        assert await patiently(reader.readexactly(1)) == b"X"
    assert await patiently(reader.read()) == b""
    writer.close()


@pytest.mark.parametrize("turns", range(8))
async def test_leaving_cuts_what_is_only_just_coming(echo, patiently, turns):
    """However far a connection has got when the relay goes, it goes as well."""
    loop = asyncio.get_running_loop()
    with socket.socket() as client:
        async with Relay(echo) as relay:
            client.connect(("127.0.0.1", relay.port))
            client.setblocking(False)
            for _ in range(turns):
                await asyncio.sleep(0)
        with contextlib.suppress(ConnectionError):
            assert await patiently(loop.sock_recv(client, 1)) == b""


async def test_a_relay_that_was_never_entered_leaves_in_peace():
    """Leaving without having entered does nothing."""
    await Relay(("127.0.0.1", 1)).__aexit__(None, None, None)


def test_a_recording_is_bounded():
    """Beyond the limit bytes are counted and not kept."""
    recording = Recording(most=5)
    for data in (b"abc", b"def", b"ghi"):
        recording.add(data)
    assert (bytes(recording.data), recording.total) == (b"abcde", 9)


async def test_the_plain_run_is_found_by_the_scan(patiently):
    """Text sent through a relay in the clear is recorded whole: the scan finds all of it."""
    texts = [b"The marker of this run is abcdefgh\n" * 3000, b"and another text of some length"]
    recording = await patiently(record_plain_run(texts))
    assert recording.data == b"".join(texts)
    found = scan(recording.data, b"abcdefgh", windows(texts))
    assert found.markers == 3000
    assert found.pieces >= 3000
