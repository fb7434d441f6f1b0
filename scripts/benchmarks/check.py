"""Whether a message costs more than it did: `scripts/bench --check`, and a test of every run.

What it may cost is in `costs.json` beside this module. Who makes it cheaper writes the new numbers
there (`--check --write`), and the next one who makes it dearer is told.
"""

import json
from collections.abc import Mapping
from pathlib import Path

from benchmarks.cost import Cost

STORED = Path(__file__).with_name("costs.json")
# What timers, and the sizes of batches that they close, make of a median; how much is alive at a
# time depends on which side was faster.
_TOLERANCE = Cost(1.1, 1.1, 1.6, 1.6)
_SPARE = Cost(0.1, 0.1, 0.5, 512.0)


def stored() -> dict[str, Cost]:
    """What a message may cost, by piece of work."""
    return {
        name: Cost(**cost) for name, cost in json.loads(STORED.read_text(encoding="utf-8")).items()
    }


def write(costs: Mapping[str, Cost]) -> None:
    """From now on they may cost this."""
    rounded = {
        name: {key: round(value, 3) for key, value in cost._asdict().items()}
        for name, cost in costs.items()
    }
    STORED.write_text(json.dumps(rounded, indent=2) + "\n", encoding="utf-8")


def most(cost: Cost) -> Cost:
    """What may be measured where `cost` is stored."""
    return Cost(
        *(v * times + more for v, times, more in zip(cost, _TOLERANCE, _SPARE, strict=True))
    )


def grown(costs: Mapping[str, Cost], allowed: Mapping[str, Cost]) -> list[str]:
    """What costs more than is allowed: a line each, and one for what is measured in one alone."""
    lines = [
        f"{name}: only {'stored' if name in allowed else 'measured'}"
        for name in sorted(costs.keys() ^ allowed.keys())
    ]
    for name in costs.keys() & allowed.keys():
        for field, value, limit, before in zip(
            Cost._fields, costs[name], most(allowed[name]), allowed[name], strict=True
        ):
            if value > limit:
                what = field.replace("_", " ")
                lines.append(f"{name}: {value:.2f} {what} a message, {before:.2f} before")
    return sorted(lines)


def table(costs: Mapping[str, Cost], allowed: Mapping[str, Cost]) -> str:
    """Measured beside stored."""
    heads = ("calls", "C calls", "blocks alive", "bytes alive")
    rows = ["counted for a message, both sides together (stored in parentheses)"]
    rows.append(f"{'':<22}" + "".join(f"{head:>28}" for head in heads))
    for name, cost in costs.items():
        before = allowed.get(name)
        cells = []
        for index, value in enumerate(cost):
            old = "" if before is None else f" ({before[index]:,.2f})"
            cells.append(f"{f'{value:,.2f}{old}':>28}")
        rows.append(f"{name:<22}{''.join(cells)}")
    return "\n".join(rows) + "\n"
