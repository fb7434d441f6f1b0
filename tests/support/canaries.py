"""Vectors of our own making: one fault each, and the kind of failure expected.

`python tests/support/canaries.py` writes them to tests/handshake/canaries. Each file is the view of
the one who reads the faulty message: what it was given, what happened before, the message that must
fail, and the genuine one that must be read after it. All bytes are hexadecimal.
"""

import hashlib
import json
from pathlib import Path

from handshake.handshake_state import HandshakeState, KeyPair
from handshake.primitives import x25519_public
from handshakes import PROLOGUE, keys_of, psks_of

FOLDER = Path(__file__).parent.parent / "handshake" / "canaries"

DECRYPTION_FAILED, MALFORMED, INVALID_KEY = "decryption failed", "malformed", "invalid key"
ZERO = bytes(32)
# A point of order eight on the curve, as a little-endian u-coordinate (RFC 7748, section 5).
ORDER_8 = bytes.fromhex("e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800")

XX = "Noise_XX_25519_ChaChaPoly_SHA256"
XX_PSK = "Noise_XXpsk0_25519_ChaChaPoly_SHA256"
XX_AES = "Noise_XX_25519_AESGCM_SHA512"
IX = "Noise_IX_25519_AESGCM_BLAKE2s"
IK = "Noise_IK_25519_ChaChaPoly_BLAKE2b"
KK = "Noise_KKpsk0_25519_ChaChaPoly_SHA256"
NN = "Noise_NNpsk0_25519_AESGCM_SHA256"
NK = "Noise_NK_25519_ChaChaPoly_SHA256"


def ephemeral(role, run):
    """An ephemeral private key that is the same in every run of the script."""
    return hashlib.sha256(b"canary ephemeral %d %d" % (role, run)).digest()


def given_to(name, role, run=0, **changes):
    """What one side of a protocol is given; keywords replace it."""
    s, rs = keys_of(name, role)
    given = {"prologue": PROLOGUE, "s": s, "e": ephemeral(role, run), "rs": rs}
    return {**given, "psks": psks_of(name), **changes}


def side(name, role, run=0, **changes):
    """That side."""
    return HandshakeState(name, initiator=role == 0, **given_to(name, role, run, **changes))


def messages(name, count, *, run=0, **changes):
    """The first messages; keywords replace what the writer of the last one is given."""
    honest = [side(name, 0, run), side(name, 1, run)]
    if changes:
        writer = (count - 1) % 2
        honest[writer] = side(name, writer, run, **changes)
    written = []
    for number in range(count):
        message = honest[number % 2].write_message(b"payload %d" % (number + 1))
        written.append(message)
        if number + 1 < count:
            honest[1 - number % 2].read_message(message)
    return written


def flipped(message, at):
    """The message with one bit of one byte changed."""
    changed = bytearray(message)
    changed[at] ^= 0x40
    return bytes(changed)


def canary(about, name, number, expected, change=None, **liar):
    """Message `number` (from 1) is changed by `change`, or written by one who was given `liar`."""
    genuine = messages(name, number)
    faulty = messages(name, number, **liar)[-1] if liar else genuine[-1]
    if change is not None:
        faulty = change(faulty)
    reader = number % 2
    given = given_to(name, reader)
    return {
        "about": about,
        "protocol_name": name,
        "reader": ("initiator", "responder")[reader],
        **{key: given[key].hex() for key in ("prologue", "s", "e", "rs") if given[key]},
        "psks": [psk.hex() for psk in given["psks"]],
        "before": [message.hex() for message in genuine[:-1]],
        "message": faulty.hex(),
        "expected": expected,
        "genuine": genuine[-1].hex(),
        "payload": (b"payload %d" % number).hex(),
    }


def refused_at_once(about, name, role, **changes):
    """A side that must not come to be."""
    given = given_to(name, role, **changes)
    return {
        "about": about,
        "protocol_name": name,
        "reader": ("initiator", "responder")[role],
        **{key: given[key].hex() for key in ("prologue", "s", "e", "rs") if given[key]},
        "psks": [psk.hex() for psk in given["psks"]],
        "expected": INVALID_KEY,
    }


def all_canaries():
    """Every canary by the name of its file."""
    stranger = b"m" * 32
    low_static = KeyPair(b"i" * 32, ORDER_8)
    return {
        "wrong_payload_tag": canary(
            "a bit of the payload's tag in message 2 is another",
            XX, 2, DECRYPTION_FAILED, lambda m: flipped(m, -1),
        ),
        "wrong_static_tag": canary(
            "the tag of the static key in message 2 is another",
            XX_AES, 2, DECRYPTION_FAILED, lambda m: flipped(m, 32 + 32),
        ),
        "wrong_ephemeral": canary(
            "a bit of the ephemeral key in message 2 is another",
            XX_PSK, 2, DECRYPTION_FAILED, lambda m: flipped(m, 3),
        ),
        "truncated_in_key": canary(
            "message 2 ends within the static key", XX, 2, MALFORMED, lambda m: m[:70],
        ),
        "truncated_in_payload": canary(
            "message 3 lacks its last byte", XX_PSK, 3, DECRYPTION_FAILED, lambda m: m[:-1],
        ),
        "truncated_in_tag": canary(
            "message 1 ends within the payload's tag", NN, 1, MALFORMED, lambda m: m[:40],
        ),
        "empty": canary("message 1 has no bytes", XX_PSK, 1, MALFORMED, lambda _: b""),
        "extended": canary(
            "message 3 has a byte more", XX_AES, 3, DECRYPTION_FAILED, lambda m: m + b"\0",
        ),
        "low_order_ephemeral": canary(
            "the ephemeral key of message 1 is zero", XX, 1, MALFORMED, lambda m: ZERO + m[32:],
        ),
        "low_order_clear_static": canary(
            "the clear static key of message 1 has order eight",
            IX, 1, MALFORMED, lambda m: m[:32] + ORDER_8 + m[64:],
        ),
        "low_order_sealed_static": canary(
            "the sealed static key of message 3 has order eight",
            XX, 3, MALFORMED, s=low_static,
        ),
        "low_order_known_static": refused_at_once(
            "the responder's key, known beforehand, has order eight", NK, 0, rs=ORDER_8,
        ),
        "wrong_psk": canary(
            "message 1 was written under another psk", NN, 1, DECRYPTION_FAILED, psks=(stranger,),
        ),
        "changed_prologue": canary(
            "message 1 was written with another prologue",
            XX_PSK, 1, DECRYPTION_FAILED, prologue=b"prologuf",
        ),
        "wrong_static": canary(
            "message 1 was written with another static key than the one known",
            KK, 1, DECRYPTION_FAILED, s=stranger,
        ),
        "for_another_responder": canary(
            "message 1 was written for another responder",
            IK, 1, DECRYPTION_FAILED, rs=x25519_public(stranger),
        ),
        "of_another_handshake": canary(
            "message 2 belongs to another handshake of the same two",
            KK, 2, DECRYPTION_FAILED, run=1,
        ),
        "reflected": canary(
            "message 1 comes back as message 2",
            XX_PSK, 2, MALFORMED, lambda _: messages(XX_PSK, 1)[0],
        ),
    }  # fmt: skip


def text_of(vector):
    """A canary as its file holds it."""
    return json.dumps(vector, indent=2) + "\n"


def main():
    """Write all files."""
    FOLDER.mkdir(exist_ok=True)
    for name, vector in all_canaries().items():
        (FOLDER / f"{name}.json").write_text(text_of(vector), encoding="utf-8")


if __name__ == "__main__":
    main()
