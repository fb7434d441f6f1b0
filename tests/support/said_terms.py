"""Terms of the handshake with something else in a place, by the table of docs/SPEC.md, 6.6.1."""

PLACES = {
    "window": (16, 8),
    "message": (24, 8),
    "generation": (32, 8),
    "epoch": (40, 8),
    "next": (48, 8),
    "oldest": (56, 1),
    "newest": (57, 1),
    "suites": (58, 1),
}


def changed(said: bytes, **numbers: int) -> bytes:
    """The same terms with other numbers under some names."""
    terms = bytearray(said)
    for name, number in numbers.items():
        place, length = PLACES[name]
        terms[place : place + length] = number.to_bytes(length, "big")
    return bytes(terms)
