"""The process of one node: `python -m mesh.cli.demo ROLE NAME HOME REKEY_AFTER_SECONDS`.

Started by the conductor; orders come on standard input, answers and news leave on standard
output (see `member`), warnings on standard error.
"""

import asyncio
import json
import logging
import signal
import sys
from pathlib import Path
from typing import Any

from mesh.cli.demo.asker import Asker
from mesh.cli.demo.index import Index
from mesh.cli.demo.member import Member
from mesh.cli.demo.reader import Reader
from mesh.cli.demo.worker import Worker

ROLES: dict[str, type[Member]] = {
    "reader": Reader,
    "worker": Worker,
    "index": Index,
    "asker": Asker,
}
# The longest line is an answer: every word of eight megabytes of text, as JSON escapes them.
LINE_MAX_BYTES = 64 << 20


def tell(line: dict[str, Any]) -> None:
    """Say one line to whoever started us."""
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


async def live(role: str, name: str, home: Path, rekey_after_seconds: float) -> None:
    """One node, until its orders end."""
    member = ROLES[role](name, home, tell, rekey_after_seconds=rekey_after_seconds)
    orders = asyncio.StreamReader(limit=LINE_MAX_BYTES)
    transport, _ = await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(orders), sys.stdin
    )
    try:
        await member.live(orders)
    finally:
        transport.close()


def main(arguments: list[str]) -> int:
    """Run the node that these arguments name. The exit status."""
    role, name, home, rekey_after_seconds = arguments
    # Ctrl-C in a terminal reaches the conductor too, which ends everybody in order.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    logging.basicConfig(level=logging.WARNING, format="%(name)s: %(message)s")
    try:
        asyncio.run(live(role, name, Path(home), float(rekey_after_seconds)))
    except BrokenPipeError:
        return 1
    return 0
