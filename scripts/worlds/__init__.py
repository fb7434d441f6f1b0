"""Behind `scripts/simulate`: many simulated worlds, and faults that they must find.

May touch everything.
"""
