"""Numbered batches, acknowledgements and credit, whatever session or connection carries them.

May touch `mesh.wire` and what is below it; knows no keys, no routes and no clock (`now` comes in).
"""
