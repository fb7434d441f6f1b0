"""The table of evidence in docs/reference/noise.md, from what the tests themselves run.

`python tests/support/noise_page.py` writes it into the page.
"""

from pathlib import Path

import canaries
from handshake.patterns import PATTERNS
from noise_names import (
    COMMON,
    FEW_SUITES,
    HANDSHAKES,
    IN_CACOPHONY,
    SUITES,
    with_psks,
)
from noise_peers import PEERS

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "noise.md"
BEGIN, END = "<!-- evidence -->\n", "<!-- end of evidence -->"


def modifiers_of(base, names):
    """The modifiers under which a pattern stands among some names, in the order of the page."""
    found = [name.removeprefix(base) for name in (base, *with_psks(base)) if name in names]
    return ", ".join(modifier or "none" for modifier in found)


def suites_with(peer, base):
    """In which suites a peer meets a pattern and its modifiers."""
    if not peer.speaks(base):
        return "–"
    known = [name for name in (base, *with_psks(base)) if peer.speaks(name)]
    all_suites = [name.removeprefix(base) or "none" for name in known if name in COMMON]
    text = f"{len(known)} in {len(FEW_SUITES)} suites"
    return f"{text}; {', '.join(all_suites)} in all {len(SUITES)}" if all_suites else text


def quoted(names):
    """Names as code, with commas."""
    return ", ".join(f"`{name}`" for name in names)


def evidence():
    """The table, a row for each pattern of revision 34."""
    packages = " | ".join(f"live: {peer.package}" for peer in PEERS)
    lines = [
        f"| Pattern | vectors of cacophony, {len(SUITES)} suites each | {packages} |",
        "| --- | --- | " + " | ".join("---" for _ in PEERS) + " |",
    ]
    for base in PATTERNS:
        cells = [modifiers_of(base, IN_CACOPHONY), *(suites_with(peer, base) for peer in PEERS)]
        lines.append(f"| `{base}` | " + " | ".join(cells) + " |")
    spoken = ", ".join(f"{sum(map(peer.speaks, HANDSHAKES))} with {peer.package}" for peer in PEERS)
    lines += [
        "",
        f"Of {len(HANDSHAKES)} handshakes (each pattern plain, with each psk modifier, with two",
        f"and with all of them): {spoken}; in {quoted(FEW_SUITES)},",
        f"and the common ones in all of {quoted(SUITES)}.",
        "",
        "| Canary | what is wrong | expected |",
        "| --- | --- | --- |",
    ]
    for name, vector in canaries.all_canaries().items():
        lines.append(f"| `{name}` | {vector['about']} | {vector['expected']} |")
    return "\n".join(lines) + "\n"


def with_evidence(page):
    """The page with the table in its place."""
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{evidence()}\n{END}{after}"


def example():
    """The one example of the page."""
    _, _, rest = PAGE.read_text(encoding="utf-8").partition("```python\n")
    return rest.partition("```")[0]


def main():
    """Write the table into the page."""
    PAGE.write_text(with_evidence(PAGE.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
