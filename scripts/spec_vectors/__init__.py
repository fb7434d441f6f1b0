"""The vectors of docs/SPEC.md, made by the code that the vectors describe; the same every time."""

import json

from spec_vectors import data_frames, exchanges, identities, large, refused


def files() -> dict[str, str]:
    """Name and text of every file of vectors."""
    made = exchanges.all_exchanges()
    values = {
        "identities.json": identities.vectors(),
        "exchanges.json": {"exchanges": [exchange.vector for exchange in made]},
        "frames.json": {"conversations": data_frames.conversations(made)},
        "large.json": {"stories": large.vectors()},
        "refused.json": refused.vectors(made),
    }
    return {name: json.dumps(value, indent=1) + "\n" for name, value in values.items()}
