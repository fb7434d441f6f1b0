"""noisemesh beside its peers: workloads, rounds, tables. Entered through `scripts/bench`.

Measures through public interfaces only, between processes on one machine's loopback.
"""
