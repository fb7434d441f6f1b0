"""One secure channel with one instance of a peer: keys, counters, replay window, lifetime.

May touch `handshake` and `mesh.wire`; knows no messages, no routes and no clock (`now` comes in).
"""
