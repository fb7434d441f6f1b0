"""Sockets, clocks and the system: everything a node hears and says leaves through here.

Carries bytes and judges none of them: no keys, no trust, no engine. Only here is zmq imported.
"""
