"""Write every file of vectors into a directory."""

import sys
from pathlib import Path

from spec_vectors import files


def main(directory: Path) -> None:
    """Write them all, and say so."""
    directory.mkdir(parents=True, exist_ok=True)
    for name, text in files().items():
        (directory / name).write_text(text, encoding="ascii")
        print(f"{directory / name}: {len(text)} bytes")


main(Path(sys.argv[1]))
