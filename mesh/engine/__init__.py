"""A whole node without I/O: frames, wishes and the time go in; frames and events come out.

May touch every room below it, and no clock, socket, file or randomness of its own.
"""
