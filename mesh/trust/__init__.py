"""Whom we believe: decisions only. Knows ids, names and roles, no files and no wire.

May touch `handshake` and what every room speaks of; whoever asks acts on the answer.
"""
