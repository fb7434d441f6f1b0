"""The least that a handshake can cost: its calls of the outside libraries, recorded and replayed.

One run is recorded where `handshake.primitives` calls PyNaCl, `cryptography` and the standard
library. The floor is the time of those very calls, with their very arguments, in a bare loop: no
states, no checks, no encoding.
"""

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any, NamedTuple

from handshake import primitives

# What a handshake needs, by the names that stand in the report.
_SODIUM = {
    "crypto_scalarmult": "X25519",
    "crypto_scalarmult_base": "X25519 of the base point",
    "crypto_sign": "Ed25519 sign",
    "crypto_sign_open": "Ed25519 verify",
}
_CIPHERS = ("ChaCha20Poly1305", "AESGCM")
_HASHES = (primitives.SHA256, primitives.SHA512, primitives.BLAKE2s, primitives.BLAKE2b)


class Call(NamedTuple):
    """One call of a library. `kind`: what stands in the report."""

    kind: str
    function: Callable[..., object]
    arguments: tuple[Any, ...]


class Recorder:
    """The calls of one run, in order."""

    def __init__(self) -> None:
        self.calls: list[Call] = []

    def wrap(self, kind: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """The same function, which notes each call."""

        def noted(*arguments: Any) -> Any:
            self.calls.append(Call(kind, function, arguments))
            return function(*arguments)

        return noted

    def hash(self, name: str) -> Callable[[bytes], Any]:
        """A constructor of hashes that notes the digest as one call."""
        new = getattr(hashlib, name)

        def noted(data: bytes) -> Any:
            self.calls.append(Call("hash", lambda data: new(data).digest(), (data,)))
            return new(data)

        return noted

    def hkdf(self, new: Callable[..., Any]) -> Callable[..., Any]:
        """A constructor of HKDFs that notes making one and deriving from it as one call."""

        def noted(*parameters: Any) -> Any:
            def derive(ikm: bytes) -> Any:
                self.calls.append(Call("HKDF", lambda ikm: new(*parameters).derive(ikm), (ikm,)))
                return new(*parameters).derive(ikm)

            return SimpleNamespace(derive=derive)

        return noted

    def cipher(self, new: Callable[[bytes], Any]) -> Callable[[bytes], Any]:
        """A constructor of AEADs that notes keys, seals and opens."""

        def noted(key: bytes) -> Any:
            self.calls.append(Call("AEAD key", new, (key,)))
            cipher = new(key)
            return SimpleNamespace(
                encrypt=self.wrap("AEAD seal", cipher.encrypt),
                decrypt=self.wrap("AEAD open", cipher.decrypt),
                encrypt_into=cipher.encrypt_into,
            )

        return noted

    def counts(self) -> dict[str, int]:
        """How often each kind was called."""
        return dict(Counter(call.kind for call in self.calls))

    def replay(self) -> None:
        """All calls once more, and nothing else."""
        for _, function, arguments in self.calls:
            function(*arguments)


@contextmanager
def recording() -> Iterator[Recorder]:
    """While this is open, what `handshake.primitives` calls is noted; in this thread alone."""
    recorder = Recorder()
    sodium, hkdf = primitives.sodium, primitives.HKDF
    ciphers = [getattr(primitives, name) for name in _CIPHERS]
    news = [function._new for function in _HASHES]
    watched = SimpleNamespace(**vars(sodium))
    for name, kind in _SODIUM.items():
        setattr(watched, name, recorder.wrap(kind, getattr(sodium, name)))
    try:
        primitives.sodium = watched  # type: ignore[assignment]
        primitives.HKDF = recorder.hkdf(hkdf)  # type: ignore[assignment, misc]
        for name, cipher in zip(_CIPHERS, ciphers, strict=True):
            setattr(primitives, name, recorder.cipher(cipher))
        for function in _HASHES:
            function._new = recorder.hash(function.name)
        yield recorder
    finally:
        primitives.sodium, primitives.HKDF = sodium, hkdf  # type: ignore[misc]
        for name, cipher in zip(_CIPHERS, ciphers, strict=True):
            setattr(primitives, name, cipher)
        for function, new in zip(_HASHES, news, strict=True):
            function._new = new
