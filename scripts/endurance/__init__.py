"""Two nodes with a relay between them that breaks what it can, and what must arrive all the same.

The tests use the relay too, so that what is measured and what is proved meet the same faults.
"""
