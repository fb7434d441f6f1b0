"""Who speaks, proved, and the keys that follow: Noise (revision 34) on Curve25519. No I/O.

A library of its own, which knows nothing of `mesh`: `handshake.handshake_state.HandshakeState` runs
any Noise pattern by its protocol name; `handshake.authentication` (`Initiator`, `Responder`) is the
mutually authenticated exchange of two identities, `handshake.identity`, built on it.
"""
