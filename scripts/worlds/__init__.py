"""Behind `scripts/simulate`: many worlds of `mesh.testing.simulation`, and faults that they must find.

May touch everything.
"""
