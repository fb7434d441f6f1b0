"""What holds a secret, and the bytes of one: made so that no print shows them.

Keys reach logs by accident: through a repr, a dump of fields, a traceback that shows local
variables, a pickle. Here a secret is a type of its own, so that every such way ends at the name of
that type. Nothing else is touched.
"""

from typing import NoReturn, Self


class HoldsSecret:
    """Base of everything that holds a secret: it prints its type alone and is never pickled."""

    __slots__ = ()

    def __repr__(self) -> str:
        return f"<{type(self).__name__}>"

    def __str__(self) -> str:
        return repr(self)

    def __format__(self, spec: str) -> str:
        return format(repr(self), spec)

    def __reduce__(self) -> NoReturn:
        raise TypeError(f"{type(self).__name__} holds a secret: it is not pickled or copied")


class Secret(HoldsSecret, bytes):
    """The bytes of a key: bytes in every use, and nothing to see in every print.

    What is made of them (a slice, a sum, `bytes(...)`, `.hex()`) is plain again: on purpose.
    """

    __slots__ = ()

    @classmethod
    def of(cls, value: object) -> Self:
        """The secret of what a caller handed over; never raises.

        What is no `bytes` becomes an empty secret, which every check of length refuses: so even
        a slip of the caller's shows in no traceback.
        """
        return value if isinstance(value, cls) else cls(value if isinstance(value, bytes) else b"")


class SecretText(HoldsSecret):
    """A passphrase. It is no `str`: one `str(...)` on the way would make its print the secret."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = Secret(text.encode("utf-8", "surrogatepass"))

    def reveal(self) -> str:
        """The text itself."""
        return self._text.decode("utf-8", "surrogatepass")

    def __eq__(self, other: object) -> bool:
        return self._text == other._text if isinstance(other, SecretText) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._text)
