"""What peers that block share: a thread that streams bulk while calls are timed."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from benchmarks.peers import END


@contextmanager
def streaming(put: Callable[[bytes], object], body: bytes) -> Iterator[None]:
    """`put(body)` again and again from a thread of its own; then what says that it was the end."""
    over = threading.Event()

    def stream() -> None:
        while not over.is_set():
            put(body)
        put(END)

    thread = threading.Thread(target=stream)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
