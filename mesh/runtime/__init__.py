"""A node at work: the pump between sockets and engine, handlers, mailboxes, connections, verbs.

Joins `mesh.engine`, `mesh.io` and `mesh.home`, and may touch all of them. Only here, in the façade
over it and in the command does anything wait: asyncio lives here.
"""
