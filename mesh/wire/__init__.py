"""Bytes and values: strict CBOR, frames, runs of messages. No keys, no state, no clock.

May touch the errors, constants and limits that every room speaks of, and cbor2 in `cbor` alone.
"""
