"""What the tests of the runtime share."""

import gc
import logging

import pytest


@pytest.fixture
def quiet_loop(caplog):
    """Nothing was left for the loop to complain about: no error that nobody looked at."""
    yield
    gc.collect(1)  # what a test has made is young, and a whole collection takes longer than most
    complaints = [
        record.getMessage()
        for phase in ("setup", "call", "teardown")
        for record in caplog.get_records(phase)
        if record.name == "asyncio" and record.levelno >= logging.ERROR
    ]
    assert complaints == []
