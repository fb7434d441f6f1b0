"""One of everything that can hold a secret, at work: what the tests of secrecy look at."""

import asyncio
from contextlib import asynccontextmanager

import exchanges
from handshake.authentication import FreshInitiator, FreshResponder, Initiator, Responder
from handshake.errors import Refused
from handshakes import pair, psks_of, run
from mesh import Node
from mesh.home.configuration import Configuration
from mesh.home.keys import open_key
from mesh.testing.network import World
from nodes import join

MESH_SECRET = b"the secret of the whole mesh!!!!"
PASSPHRASE = "correct horse battery staple 42"


def refusal():
    """A Refused that carries the keys of a finished exchange."""
    initiator, responder = sides()
    responder.read_message_1(initiator.message_1())
    initiator.read_message_2(responder.message_2(), exchanges.NOON)
    try:
        responder.read_message_3(initiator.message_3(), exchanges.NOON + 10 * exchanges.DAY)
    except Refused as refused:
        return refused
    raise AssertionError("it was accepted")


def sides():
    """Initiator and responder of the wire's exchange, at its beginning."""
    return [
        kind(
            who,
            mesh_id=exchanges.MESH,
            psk=exchanges.PSK,
            prologue=b"prologue",
            session_id=number,
            random_bytes=lambda length, number=number: bytes((number,)) * length,
        )
        for number, (kind, who) in enumerate(
            ((Initiator, exchanges.ALICE), (Responder, exchanges.BOB)), 1
        )
    ]


def handshakes():
    """Handshakes at their beginning, half way and finished, with what comes out of them."""
    name = "Noise_XXpsk0+psk3_25519_AESGCM_SHA512"
    initiator, responder = pair(name, lambda length: b"e" * length)
    half_way = pair(name, lambda length: b"f" * length)
    half_way[1].read_message(half_way[0].write_message())
    run((initiator, responder))
    ends = sides()
    exchanges.run(*ends)
    ours, theirs = (end.established for end in ends)
    fresh = FreshInitiator(ours, session_id=3, random_bytes=lambda length: b"g" * length)
    answer = FreshResponder(theirs, session_id=4, random_bytes=lambda length: b"h" * length)
    answer.read_message_1(fresh.message_1())
    return [
        initiator,
        responder,
        initiator.split(),
        half_way,
        ends,
        sides(),
        fresh,
        answer,
        refusal(),
    ]


def world():
    """Engines in memory: two that know each other, one whose handshake is under way, one denied."""
    here = World(7, latency=0.05)
    alice, bob, carol, dave = (here.node(name, mesh_secret=MESH_SECRET) for name in "abcd")
    here.trust_each_other()
    here.dial(alice, bob)
    here.dial(dave, bob)
    here.run(1.0)
    bob.policy.deny(dave.id)
    bob.engine.trust_changed(here.now_of(bob))
    here.dial(carol, bob)
    here.run(0.07)
    return here


@asynccontextmanager
async def running_nodes(home):
    """Two nodes of which one is answering a call of the other."""
    asked, answer = asyncio.Event(), asyncio.Event()
    listener = Node("listener", home=":memory:", mesh_secret=MESH_SECRET)
    dialler = Node("dialler", home=home, mesh_secret=MESH_SECRET)

    @listener.serve("wait")
    async def wait(body):
        asked.set()
        await answer.wait()

    async with listener, dialler:
        await join(dialler, listener)
        call = asyncio.create_task(dialler.call(listener.id, "wait", None))
        async with asyncio.timeout(30):
            await asked.wait()
        yield listener, dialler
        answer.set()
        await call


def configuration():
    """A configuration with both of its secrets."""
    return Configuration(mesh_secret=MESH_SECRET, passphrase=PASSPHRASE)


def opened_key(home):
    """The key file of a home, opened to be written again."""
    return open_key(home / "identity.toml")


def given_secrets():
    """The secrets that the zoo was given in the clear."""
    name = "Noise_XXpsk0+psk3_25519_AESGCM_SHA512"
    people = (exchanges.ALICE, exchanges.BOB)
    return {
        MESH_SECRET,
        PASSPHRASE,
        exchanges.PSK,
        *psks_of(name),
        *(bytes(who.static_private) for who in people),
        *(bytes(who.identity.export_seed()) for who in people),
        *(bytes((byte,)) * 32 for byte in b"efghir\1\2"),
    }
