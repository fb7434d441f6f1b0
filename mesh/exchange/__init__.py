"""Calls: which reply belongs to which request. Knows numbers and bodies, not how they travel.

May touch `mesh.wire` and what every room speaks of; no clock, no socket.
"""
