"""Threads for handlers that are plain functions: some for each depth of calls.

A handler in a thread may wait for a call of its own, whose handler may be a plain function again;
one set of threads for all depths could be full of those that wait for the others.
"""

from concurrent.futures import ThreadPoolExecutor

from mesh import constants


class Threads:
    """At most `count` threads for each depth, each started when it is needed."""

    def __init__(self, count: int) -> None:
        self._executors = [
            ThreadPoolExecutor(count, f"noisemesh-handler-{depth}")
            for depth in range(constants.DEPTH_MAX + 1)
        ]

    def of(self, depth: int) -> ThreadPoolExecutor:
        """Those for handlers of this depth."""
        return self._executors[depth]

    def stop(self) -> None:
        """Begin nothing new; nobody waits for those that are at work."""
        for executor in self._executors:
            executor.shutdown(wait=False, cancel_futures=True)
