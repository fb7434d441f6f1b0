"""The protocol names that the tests run, and what is known about each: the evidence."""

from itertools import product

from handshake.patterns import PATTERNS

CIPHERS = ("ChaChaPoly", "AESGCM")
HASHES = ("SHA256", "SHA512", "BLAKE2s", "BLAKE2b")
SUITES = tuple("_".join(suite) for suite in product(CIPHERS, HASHES))


def with_psks(base):
    """A pattern with each psk modifier alone, with two of them, and with all that it takes."""
    last = len(PATTERNS[base].messages)
    single = [f"psk{number}" for number in range(last + 1)]
    chosen = [*single, f"psk0+psk{last}", "+".join(single)]
    return [base + modifiers for modifiers in dict.fromkeys(chosen)]


HANDSHAKES = tuple(name for base in PATTERNS for name in (base, *with_psks(base)))

# Those that programs use: run with every suite. The others have the cipher and hash of two.
COMMON = (
    *("N", "K", "X", "NN", "NK", "NX", "XN", "XK", "XX", "KN", "KK", "KX", "IN", "IK", "IX"),
    *("XXpsk0", "KKpsk0", "NNpsk0", "NNpsk0+psk2", "XXpsk3", "IKpsk2", "Npsk0", "XKpsk3"),
)
FEW_SUITES = ("ChaChaPoly_SHA256", "AESGCM_BLAKE2b")


def protocol_name(handshake, suite):
    """`XXpsk0` and `ChaChaPoly_SHA256` as the name of a protocol."""
    return f"Noise_{handshake}_25519_{suite}"


# What cacophony holds of 25519, each in all eight suites; the test of its vectors compares.
IN_CACOPHONY = frozenset(
    (
        *PATTERNS,
        *("Npsk0", "Kpsk0", "Xpsk1"),
        *("NNpsk0", "NNpsk2", "NKpsk0", "NKpsk2", "NXpsk2"),
        *("KNpsk0", "KNpsk2", "KKpsk0", "KKpsk2", "KXpsk2"),
        *("XNpsk3", "XKpsk3", "XXpsk3"),
        *("INpsk1", "INpsk2", "IKpsk1", "IKpsk2", "IXpsk2"),
    )
)
