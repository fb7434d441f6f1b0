"""Handshakes a second on one core: ours, another library's, and the floor below ours.

Both sides run in this process, one after the other, on one thread; a figure is whole handshakes,
from two sets of keys to both sides finished, in a second of processor time.
"""

import itertools
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.metadata import version
from statistics import median
from time import process_time, time

from benchmarks.floor import recording
from handshake.authentication import Credentials, Initiator, Responder, mesh_id, mesh_psk
from handshake.handshake_state import HandshakeState, KeyPair
from handshake.identity import Identity
from handshake.primitives import x25519_public
from mesh.engine import terms
from mesh.engine.settings import Settings

XX = "Noise_XX_25519_ChaChaPoly_SHA256"
XX_PSK = "Noise_XXpsk0_25519_ChaChaPoly_SHA256"
EXCHANGE, OURS_XX, OURS_XX_PSK = "identity exchange", "XX", "XXpsk0"
THEIRS_XX = "noiseprotocol XX"
FLOOR = "floor of "

_DAY_SECONDS = 86_400
_MESH = mesh_id("bench")
_PSK = mesh_psk(_MESH, b"s" * 32)
_PROLOGUE = b"prologue of the benchmark"
_SETTINGS = Settings(b"i" * 16)
# Many pairs take turns, so that no cache can answer for a peer it has seen just before.
_PAIRS = 64
_HANDSHAKES_A_LAP = 10

Handshake = Callable[[], object]


class WrongHandshake(Exception):
    """The two sides ended with different secrets: there is nothing to measure."""


@dataclass
class HandshakeReport:
    """Handshakes a second of each contender, a figure a round, and the calls below ours."""

    rounds: int
    rates: dict[str, list[float]] = field(default_factory=dict)
    calls: dict[str, dict[str, int]] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)

    def rate(self, name: str) -> float:
        """The median of the rounds."""
        return median(self.rates[name])

    def shares(self, name: str) -> list[float]:
        """What part of its floor's speed a contender of ours reaches, a figure a round."""
        pairs = zip(self.rates[name], self.rates[FLOOR + name], strict=True)
        return [ours / floor for ours, floor in pairs]

    def share(self, name: str) -> float:
        """The median of the shares."""
        return median(self.shares(name))


def ours(protocol_name: str) -> Handshake:
    """Our HandshakeState in both roles."""
    statics = itertools.cycle(
        [(KeyPair.of(os.urandom(32)), KeyPair.of(os.urandom(32))) for _ in range(_PAIRS)]
    )
    psks = (_PSK,) if "psk" in protocol_name else ()

    def handshake() -> None:
        initiator, responder = (
            HandshakeState(protocol_name, initiator=first, prologue=_PROLOGUE, s=static, psks=psks)
            for first, static in zip((True, False), next(statics), strict=True)
        )
        responder.read_message(initiator.write_message())
        initiator.read_message(responder.write_message())
        responder.read_message(initiator.write_message())
        initiator.split()
        responder.split()
        if initiator.handshake_hash != responder.handshake_hash:
            raise WrongHandshake(protocol_name)

    return handshake


def _credentials() -> Credentials:
    now = int(time())
    identity, static = Identity.generate(os.urandom), os.urandom(32)
    public = x25519_public(static)
    return Credentials(
        identity, static, identity.delegate(public, now, now + 2 * _DAY_SECONDS, _MESH)
    )


def exchange() -> Handshake:
    """Our whole exchange: XXpsk0 with identities, delegations, proofs and terms, and its checks."""
    pairs = itertools.cycle([(_credentials(), _credentials()) for _ in range(_PAIRS)])
    wall = time()

    def handshake() -> None:
        initiator, responder = (
            side(
                credentials,
                mesh_id=_MESH,
                psk=_PSK,
                prologue=_PROLOGUE,
                session_id=1,
                random_bytes=os.urandom,
            )
            for side, credentials in zip((Initiator, Responder), next(pairs), strict=True)
        )
        responder.read_message_1(initiator.message_1())
        claim = initiator.read_message_2(responder.message_2(terms.ours(_SETTINGS)), wall)
        terms.read(claim.peer_id, claim.terms, at_the_end=False)
        claim = responder.read_message_3(initiator.message_3(terms.ours(_SETTINGS)), wall)
        terms.read(claim.peer_id, claim.terms, at_the_end=True)
        if initiator.established.handshake_hash != responder.established.handshake_hash:
            raise WrongHandshake(EXCHANGE)

    return handshake


def theirs() -> Handshake:
    """The package noiseprotocol in both roles, through its public interface."""
    from noise.connection import Keypair, NoiseConnection

    statics = itertools.cycle([(os.urandom(32), os.urandom(32)) for _ in range(_PAIRS)])

    def handshake() -> None:
        initiator, responder = (NoiseConnection.from_name(XX.encode()) for _ in "ir")
        initiator.set_as_initiator()
        responder.set_as_responder()
        for side, static in zip((initiator, responder), next(statics), strict=True):
            side.set_prologue(_PROLOGUE)
            side.set_keypair_from_private_bytes(Keypair.STATIC, static)
            side.start_handshake()
        responder.read_message(bytes(initiator.write_message()))
        initiator.read_message(bytes(responder.write_message()))
        responder.read_message(bytes(initiator.write_message()))
        if initiator.get_handshake_hash() != responder.get_handshake_hash():
            raise WrongHandshake(THEIRS_XX)

    return handshake


def measure_handshakes(
    rounds: int, *, laps: int, say: Callable[[str], None] = lambda _: None
) -> HandshakeReport:
    """Measure all contenders. `laps`: how many turns each has in a round.

    A turn is a few handshakes, so that whatever else the machine does falls on all alike. Raises
    ImportError where noiseprotocol is not installed.
    """
    names = ("noisemesh", "cryptography", "PyNaCl", "noiseprotocol")
    report = HandshakeReport(rounds, versions={name: version(name) for name in names})
    contenders: dict[str, Handshake] = {}
    mine = ((EXCHANGE, exchange()), (OURS_XX, ours(XX)), (OURS_XX_PSK, ours(XX_PSK)))
    for name, handshake in mine:
        handshake()
        with recording() as recorder:
            handshake()
        report.calls[name] = recorder.counts()
        contenders[name] = handshake
        contenders[FLOOR + name] = recorder.replay
    contenders[THEIRS_XX] = theirs()
    for number in range(1, rounds + 1):
        say(f"handshakes: round {number} of {rounds}")
        for name, rate in _round(contenders, laps).items():
            report.rates.setdefault(name, []).append(rate)
    return report


def _round(contenders: dict[str, Handshake], laps: int) -> dict[str, float]:
    seconds = dict.fromkeys(contenders, 0.0)
    for _ in range(laps):
        for name, handshake in contenders.items():
            began = process_time()
            for _ in range(_HANDSHAKES_A_LAP):
                handshake()
            seconds[name] += process_time() - began
    return {name: laps * _HANDSHAKES_A_LAP / spent for name, spent in seconds.items()}
