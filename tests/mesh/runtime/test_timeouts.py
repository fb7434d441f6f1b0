"""Timeouts: each key expires when its own time is up, or never, on one timer."""

from mesh.runtime import timeouts
from mesh.runtime.timeouts import Timeouts
from nodes import until
from virtual_time import in_virtual_time, pass_time


class Log(list[int]):
    """Keys as they expired."""

    def __init__(self) -> None:
        super().__init__()
        self.waiting: set[int] = set()
        self.timeouts = Timeouts(self.waiting, self.expire)

    def add(self, key: int, seconds: float) -> None:
        """Somebody waits for it."""
        self.waiting.add(key)
        self.timeouts.add(key, seconds)

    def expire(self, key: int) -> None:
        """As its owner does."""
        self.waiting.remove(key)
        self.append(key)


@in_virtual_time
async def test_a_key_expires_when_its_time_is_up():
    """Not before, and once."""
    log = Log()
    log.add(1, 5.0)
    await pass_time(4.9)
    assert log == []
    await pass_time(0.2)
    assert log == [1]
    await pass_time(10)
    assert log == [1]


@in_virtual_time
async def test_an_earlier_key_moves_the_timer():
    """Keys expire in the order of their time, whatever the order they came in."""
    log = Log()
    for key, seconds in ((1, 9.0), (2, 3.0), (3, 6.0)):
        log.add(key, seconds)
    await pass_time(3.5)
    assert log == [2]
    await pass_time(6)
    assert log == [2, 3, 1]


@in_virtual_time
async def test_a_discarded_key_never_expires():
    """What ended in time is not told of; the others are."""
    log = Log()
    for key in range(4):
        log.add(key, 1.0 + key)
    log.waiting.discard(0)
    log.waiting.discard(2)
    log.waiting.discard(77)
    await pass_time(10)
    assert log == [1, 3]


@in_virtual_time
async def test_a_key_added_while_another_expires():
    """Whoever is told of the end of one call may begin the next."""
    added = []

    def begin_another(key: int) -> None:
        waiting.remove(key)
        added.append(key)
        if key < 3:
            waiting.add(key + 1)
            timeouts_.add(key + 1, 1.0)

    waiting = {1}
    timeouts_ = Timeouts(waiting, begin_another)
    timeouts_.add(1, 1.0)
    await pass_time(10)
    assert added == [1, 2, 3]


@in_virtual_time
async def test_stopping_forgets_them_all():
    """No timer is left in the loop; and it may begin anew."""
    log = Log()
    log.timeouts.stop()
    log.add(1, 1.0)
    log.timeouts.stop()
    log.add(2, 2.0)
    await pass_time(5)
    assert log == [2]


async def test_calls_that_end_in_time_leave_nothing_behind():
    """A million calls with thirty seconds each do not pile up for thirty seconds."""
    log = Log()
    for key in range(10 * timeouts._SPARE_ENTRIES):
        log.add(key, 30.0)
        log.waiting.discard(key)
    log.add(-1, 0.0)
    assert len(log.timeouts._heap) <= timeouts._SPARE_ENTRIES + 3
    await until(lambda: log)
    assert log == [-1]
    log.timeouts.stop()
