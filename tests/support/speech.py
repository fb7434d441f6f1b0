"""What talking nodes say to each other: every word names its speaker, its hearer and its place."""

from nodes import digest_of

# Messages go to these in turn, so that each has an order of its own to keep.
SUBJECTS = ("log", "news")
# Every so many-th is large enough to travel beside its batch.
_LARGE_EVERY = 97
_SMALL_BYTES, _LARGE_BYTES = 64, 20_000


def word(speaker: str, hearer: str, number: int) -> tuple[str, bytes]:
    """The subject and body of a message."""
    size = _SMALL_BYTES if number % _LARGE_EVERY else _LARGE_BYTES
    body = f"{speaker} to {hearer} {number:08d}".encode().ljust(size, b".")
    return SUBJECTS[number % len(SUBJECTS)], body


def tallies(speaker: str, hearer: str, count: int) -> dict[str, list[object]]:
    """For each subject what `tally` says when so many messages came once and in order."""
    words = [word(speaker, hearer, number) for number in range(count)]
    said = {subject: [body for to, body in words if to == subject] for subject in SUBJECTS}
    return {subject: [len(bodies), digest_of(bodies)] for subject, bodies in said.items()}
