"""Somebody between two nodes, or at the door, who has no keys."""

import random
import socket
from contextlib import closing

from endurance.faults import Record, is_data
from endurance.relay import TO_LISTENER, Relay, part
from mesh.constants import FRAME_MAX_BYTES
from nodes import PATIENCE_SECONDS, Journal, Ticker, join, numbered, undisturbed, until

GREETING = b"\xff" + bytes(8) + b"\x7f\x03\x00" + b"NULL".ljust(20, b"\0") + bytes(32)


async def test_a_tampered_frame_is_counted_and_sent_again(alice, bob, carol, journal):
    """One flipped bit: the frame is dropped, and the message arrives all the same, once."""
    flipped = []

    def flip(towards, body):
        if armed and not flipped and towards is TO_LISTENER and is_data(body):
            flipped.append(body)
            return [body[:-1] + bytes([body[-1] ^ 1])]
        return [body]

    armed = False
    async with undisturbed(carol, bob), Relay(bob.endpoints[0], flip) as relay:
        await join(alice, bob, relay.endpoint)
        armed = True
        await (await alice.send("bob", "log", b"genuine")).handled()
        assert journal.bodies == [b"genuine"]
        assert bob.counters()["dropped.forged"] == 1
        assert alice.counters()["sessions.established"] == 1
        await alice.close()


async def test_every_region_of_a_frame_is_protected(alice, bob, carol, journal):
    """Whichever byte is changed, nothing but the genuine messages comes through, in order."""
    changes = random.Random(5)
    changed = []

    def spoil(towards, body):
        if armed and is_data(body) and changes.random() < 0.1:
            place = changes.randrange(len(body))
            changed.append(place)
            return [body[:place] + bytes([body[place] ^ 0x40]) + body[place + 1 :]]
        return [body]

    armed = False
    async with undisturbed(carol, bob), Relay(bob.endpoints[0], spoil) as relay:
        await join(alice, bob, relay.endpoint)
        armed = True
        ticker = Ticker(0.002)
        for number in range(200):
            await alice.send("bob", "log", number)
            await ticker.next()
            armed = number < 150
        ticker.stop()
        await journal.until(200)
        assert len(changed) >= 5
        assert journal.bodies == list(range(200))
        assert alice.counters()["sessions.established"] == 1
        await alice.close()


async def test_replayed_frames_are_counted_and_change_nothing(alice, bob, carol, journal):
    """Every frame comes three times, handshakes too: the handler sees each message once."""
    async with (
        undisturbed(carol, bob),
        Relay(bob.endpoints[0], lambda _towards, body: [body] * 3) as relay,
    ):
        await join(alice, bob, relay.endpoint)
        bodies = numbered(500)
        for body in bodies:
            receipt = await alice.send("bob", "log", body)
        await receipt.handled()
        assert await alice.call("bob", "echo", "once") == "once"
        assert journal.bodies == bodies
        assert bob.counters()["dropped.replayed"] > 0
        assert alice.counters()["sessions.established"] == 1
        await alice.close()


async def test_a_recorded_conversation_opens_no_door(alice, bob, carol, journal):
    """All that was said, said again on a connection of its own, is counted and does nothing."""
    record = Record()
    async with undisturbed(carol, bob), Relay(bob.endpoints[0], record) as relay:
        await join(alice, bob, relay.endpoint)
        await (await alice.send("bob", "log", b"once")).handled()
        said = [body for towards, body in record.frames if towards is TO_LISTENER]
        sealed = sum(map(is_data, said))
        with closing(greeted(bob.endpoints[0])) as stranger:
            for body in said:
                stranger.sendall(part(body))
            await until(lambda: bob.counters().get("dropped.replayed", 0) >= sealed)
            await alice.close()
            for body in said:
                stranger.sendall(part(body))
            await until(lambda: bob.counters().get("dropped.unknown_session", 0) >= sealed)
    assert journal.bodies == [b"once"]
    assert [peer.id for peer in bob.peers] == [carol.id]
    assert bob.counters()["sessions.established"] == 2


def connection(endpoint):
    """A plain TCP connection to a node."""
    host, _, port = endpoint.removeprefix("tcp://").rpartition(":")
    return socket.create_connection((host, int(port)))


def greeted(endpoint):
    """One that has finished ZeroMQ's own greeting; libzmq's thread answers it without our loop."""
    plain = connection(endpoint)
    plain.settimeout(PATIENCE_SECONDS)
    ready = b"\x05READY\x0bSocket-Type\x00\x00\x00\x06DEALER\x08Identity\x00\x00\x00\x00"
    plain.sendall(GREETING)
    plain.recv(len(GREETING), socket.MSG_WAITALL)
    plain.sendall(b"\x04" + bytes([len(ready)]) + ready)
    heard = b""
    while b"READY" not in heard:
        more = plain.recv(1024)
        assert more, "hung up on in the middle of the greeting"
        heard += more
    return plain


async def test_garbage_on_the_port_is_ignored(bob, carol):
    """Bytes that are not ZeroMQ, half a greeting, and a version that knows no limits."""
    garbage = random.Random(7)
    openings = [
        garbage.randbytes(4096),
        b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
        GREETING[:20],
        GREETING[:10] + b"\x01" + GREETING[11:],
        b"\x01\x00",
        b"\xff" * 2000,
    ]
    async with undisturbed(carol, bob):
        plains = [connection(bob.endpoints[0]) for _ in openings]
        for plain, opening in zip(plains, openings, strict=True):
            plain.sendall(opening)
        assert await carol.call("bob", "echo", "still here") == "still here"
        for plain in plains:
            plain.close()
    assert "dropped.forged" not in bob.counters()


async def test_random_frames_are_counted(bob, carol):
    """Whoever speaks ZeroMQ and says nonsense is counted, frame by frame."""
    nonsense = random.Random(9)
    kinds = range(8)
    said = [
        bytes([version, kind]) + nonsense.randbytes(size)
        for version in (0, 1, 2)
        for kind in kinds
        for size in (0, 1, 17, 18, 19, 30, 47, 48, 100, 1000)
    ]
    async with undisturbed(carol, bob):
        with closing(greeted(bob.endpoints[0])) as stranger:
            for body in [b"", b"\x01", *said]:
                stranger.sendall(part(body))
            await until(lambda: counted(bob.counters()) >= len(said) + 2)
    assert [peer.id for peer in bob.peers] == [carol.id]


def counted(counters):
    """How many frames were thrown away, for whatever reason."""
    refused = {"handshakes.forged", "handshakes.other_mesh", "handshakes.unknown_psk"}
    return sum(
        number
        for name, number in counters.items()
        if name.startswith("dropped.") or name in refused
    )


async def test_a_message_of_several_parts_is_thrown_away(bob, carol):
    """Nobody honest sends several parts; they are skipped, and counted."""
    async with undisturbed(carol, bob):
        with closing(greeted(bob.endpoints[0])) as stranger:
            stranger.sendall(part(b"one", more=True) + part(b"two", more=True) + part(b"three"))
            await until(lambda: bob.counters().get("dropped.parts") == 1)


async def test_a_huge_frame_costs_the_stranger_its_connection(start_node, carol):
    """A part over the limit is never taken; its sender is cut off."""
    bob = await start_node("bob")
    async with undisturbed(carol, bob):
        with closing(greeted(bob.endpoints[0])) as stranger:
            stranger.setblocking(False)
            cut = []

            def push():
                try:
                    stranger.send(part(bytes(FRAME_MAX_BYTES + 1)))
                    while stranger.recv(65536):
                        pass
                    cut.append("closed")
                except BlockingIOError:
                    return
                except ConnectionError:
                    cut.append("reset")

            await until(lambda: push() or cut)


async def test_a_tampered_bulk_body_is_sent_again(alice, bob):
    """A bit flipped in a body that travels beside its array changes nothing either."""
    journal, body = Journal(bob), bytes(1 << 20)
    flipped = []

    def flip(towards, frame):
        if armed and not flipped and towards is TO_LISTENER and len(frame) > len(body):
            flipped.append(frame)
            return [frame[:-50] + bytes([frame[-50] ^ 1]) + frame[-49:]]
        return [frame]

    armed = False
    async with Relay(bob.endpoints[0], flip) as relay:
        await join(alice, bob, relay.endpoint)
        armed = True
        await (await alice.send("bob", "log", body)).handled()
        assert flipped
        assert journal.bodies == [body]
        assert bob.counters()["dropped.forged"] == 1
        await alice.close()
