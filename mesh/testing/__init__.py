"""Engines on a fake wire, in virtual time, from a seed: for tests without sockets or waiting.

May touch the engine and what is below it.
"""
