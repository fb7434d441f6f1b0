"""The networks that other tests here are made of: apart from each other, and soon gone."""

import asyncio
import os
import signal
import sys
from pathlib import Path

import pytest

from namespaces import Network, why_unusable
from nodes import until

pytestmark = pytest.mark.slow

PROGRAM = """
import sys
from namespaces import Network
with Network.of("alice", "bob") as network:
    print(network["alice"].pid, network["bob"].pid, flush=True)
    sys.stdin.read()
"""


@pytest.fixture(autouse=True)
def usable():
    """Skip where there can be no such network."""
    if why := why_unusable():
        pytest.skip(why)


def interfaces():
    """The network interfaces of this machine itself."""
    return Path("/proc/net/dev").read_text().count(":")


def test_networks_do_not_meet():
    """Two at once have the same addresses, and rules of their own; this machine sees neither."""
    before = interfaces()
    with Network.of("alice", "bob") as one, Network.of("alice", "bob") as other:
        one.drop_one_way("alice", "bob")
        assert one["alice"].address == other["alice"].address
        assert one["alice"].address in one["bob"].run("nft", "list", "ruleset")
        assert other["bob"].run("nft", "list", "ruleset") == ""
        assert interfaces() == before


async def test_a_killed_run_leaves_no_network():
    """When the process that made a network is killed, its namespaces end with it."""
    support = str(Path(__file__).parent.parent / "support")
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        PROGRAM,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": support},
    )
    holders = [int(pid) for pid in (await process.stdout.readline()).split()]
    assert len(holders) == 2
    process.send_signal(signal.SIGKILL)
    await process.wait()
    await until(lambda: not any(_lives(pid) for pid in holders))


def _lives(pid):
    """Whether the process is there and no zombie, which has no network any more."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False
