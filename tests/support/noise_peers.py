"""Two Noise libraries that others wrote, each behind the same few methods.

Both are live peers: their code makes and reads the messages, with ephemeral keys of their own.
"""

import re
from typing import NamedTuple

from dissononce.dh.private import PrivateKey
from dissononce.dh.x25519.x25519 import PublicKey
from dissononce.extras.meta.protocol.factory import NoiseProtocolFactory
from dissononce.processing.impl.cipherstate import CipherState
from dissononce.processing.impl.handshakestate import HandshakeState
from dissononce.processing.impl.symmetricstate import SymmetricState
from noise.connection import Keypair, NoiseConnection

from handshakes import PROLOGUE, keys_of, psks_of


class Noiseprotocol:
    """The package noiseprotocol. `role` is 0 for the initiator."""

    def __init__(self, name, role):
        s, rs = keys_of(name, role)
        self._connection = connection = NoiseConnection.from_name(name.encode())
        if role == 0:
            connection.set_as_initiator()
        else:
            connection.set_as_responder()
        connection.set_prologue(PROLOGUE)
        if psks := psks_of(name):
            connection.set_psks(psks=list(psks))
        if s:
            connection.set_keypair_from_private_bytes(Keypair.STATIC, s)
        if rs:
            connection.set_keypair_from_public_bytes(Keypair.REMOTE_STATIC, rs)
        connection.start_handshake()

    def write(self, payload):
        return bytes(self._connection.write_message(payload))

    def read(self, message):
        return bytes(self._connection.read_message(message))

    @property
    def handshake_hash(self):
        return self._connection.get_handshake_hash()

    def seal(self, plaintext):
        return self._connection.encrypt(plaintext)

    def open(self, sealed):
        return self._connection.decrypt(sealed)

    def rekey(self, *, sending):
        if sending:
            self._connection.rekey_outbound_cipher()
        else:
            self._connection.rekey_inbound_cipher()


class Dissononce:
    """The package dissononce. `role` is 0 for the initiator."""

    def __init__(self, name, role):
        s, rs = keys_of(name, role)
        protocol = NoiseProtocolFactory().get_noise_protocol(name)
        symmetric = SymmetricState(CipherState(protocol.cipher), protocol.hash)
        self._state = HandshakeState(symmetric, protocol.dh)
        self._role = role
        self._ciphers = None
        self._state.initialize(
            protocol.pattern,
            role == 0,
            PROLOGUE,
            s=protocol.dh.generate_keypair(PrivateKey(s)) if s else None,
            rs=PublicKey(rs) if rs else None,
            psks=psks_of(name),
        )

    def write(self, payload):
        message = bytearray()
        self._ciphers = self._state.write_message(payload, message)
        return bytes(message)

    def read(self, message):
        payload = bytearray()
        self._ciphers = self._state.read_message(message, payload)
        return bytes(payload)

    @property
    def handshake_hash(self):
        return self._state.symmetricstate.get_handshake_hash()

    def seal(self, plaintext):
        return self._ciphers[self._role].encrypt_with_ad(b"", plaintext)

    def open(self, sealed):
        return self._ciphers[1 - self._role].decrypt_with_ad(b"", sealed)

    def rekey(self, *, sending):
        self._ciphers[self._role if sending else 1 - self._role].rekey()


class LivePeer(NamedTuple):
    """One library. `cannot`: handshake names that it does not know, as a regular expression.

    `rekeys`: whether REKEY of it and of the specification are the same.
    """

    package: str
    connect: type
    cannot: str
    rekeys: bool

    def speaks(self, handshake):
        """Whether it knows a pattern with its modifiers."""
        return re.fullmatch(self.cannot, handshake) is None


PEERS = (
    # It reads a pattern's name up to the first character that is no capital letter, so the
    # deferred patterns of section 18.1 (NK1, X1X1) are unknown to it. All others agree with us,
    # with every psk modifier.
    LivePeer("noiseprotocol", Noiseprotocol, r"[A-Z]+1.*", rekeys=True),
    # It refuses a second psk in one message (psk0 with psk1) and has no psk4, which only the
    # patterns of four messages take. Its rekey also sets the counter back to zero, which section
    # 11.3 of the specification does not, so messages after it would not open.
    LivePeer("dissononce", Dissononce, r".*psk0\+psk1.*|.*psk4", rekeys=False),
)
