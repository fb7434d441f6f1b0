"""Every encoding of a public key that nobody may use, computed from the theory of the curve.

Ed25519 is -x² + y² = 1 + d·x²·y² over the field of p = 2^255 - 19, its group of order 8·q. A
point is encoded as y in 255 bits and the lowest bit of x above them. Eight points have an order
that divides 8, and of four of them a decoder that reduces y or ignores the sign of x = 0 accepts
further spellings. X25519 takes 255 bits as a u-coordinate of that curve, or of its twist, whose
group has a factor of 4; it ignores the top bit and reduces u.
"""

from handshake.constants import LABEL_ID_CHECKSUM
from handshake.primitives import SHA256

P = 2**255 - 19
D = -121665 * pow(121666, -1, P) % P
SIGN = 1 << 255


def _root(square: int) -> int | None:
    """A square root in the field, if there is one (p leaves 5 when divided by 8)."""
    for root in (pow(square, (P + 3) // 8, P), pow(square, (P + 3) // 8, P) * _I % P):
        if (root * root - square) % P == 0:
            return root
    return None


_I = pow(2, (P - 1) // 4, P)


def x_of(y: int) -> int | None:
    """An x with which y is on the curve, if there is one."""
    return _root((y * y - 1) * pow(D * y * y + 1, -1, P) % P)


def _small_order_ys() -> list[int]:
    """y of the neutral point, of order 2, of order 4, and of order 8.

    Doubling gives y' = (x² + y²) / (1 - d·x²·y²). That is zero, of order 4, where x² = -y², which
    in the curve's equation is d·y⁴ + 2·y² - 1 = 0.
    """
    of_order_8 = [
        root
        for sign in (1, -1)
        if (root := _root((sign * (_root(1 + D) or 0) - 1) * pow(D, -1, P) % P)) is not None
    ]
    return [1, P - 1, 0, *of_order_8, *(P - y for y in of_order_8)]


def _encoded(number: int) -> bytes:
    return number.to_bytes(32, "little")


def _spellings(residues: list[int]) -> list[bytes]:
    """All 256-bit numbers whose lower 255 bits are one of these modulo p, whatever the top bit."""
    return [
        _encoded(number + sign)
        for residue in residues
        for number in (residue, residue + P)
        if number < 2**255
        for sign in (0, SIGN)
    ]


SMALL_ORDER_YS = _small_order_ys()
SMALL_ORDER_ED25519 = _spellings(SMALL_ORDER_YS)
"""The eight points, each once or twice, and every other spelling of theirs: 14."""

NOT_CANONICAL_ED25519 = [_encoded(y + sign) for y in range(P, 2**255) for sign in (0, SIGN)]
"""y from p to 2^255 - 1 with either sign: 38, of which four spell points of small order."""

NO_POINT_ED25519 = [_encoded(y) for y in range(2, 40) if x_of(y) is None]
"""A few y for which there is no point at all."""

UNUSABLE_ED25519 = list(
    dict.fromkeys([*SMALL_ORDER_ED25519, *NOT_CANONICAL_ED25519, *NO_POINT_ED25519])
)

LOW_ORDER_US = [
    0,
    P - 1,
    *((1 + y) * pow(1 - y, -1, P) % P for y in SMALL_ORDER_YS if y not in (1, P - 1)),
]
"""u = (1 + y) / (1 - y) of orders 4 and 8; 0, of order 2 on both; -1, of order 4 on the twist."""

LOW_ORDER_X25519 = _spellings(sorted(set(LOW_ORDER_US)))
"""Every spelling of these: 14."""


def id_text(key: bytes) -> str:
    """What would be the text of a node id, checksum and all, were the key one to use."""
    import base64

    checksum = SHA256.hash(LABEL_ID_CHECKSUM + key)[:3]
    return base64.b32encode(key + checksum).decode().lower()
