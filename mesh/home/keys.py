"""The identity's key file: the Ed25519 seed, optionally sealed with a passphrase.

A small TOML file. `id` is the public node id and must belong to the seed; `check` covers every
other field, so that damage is told apart from a wrong passphrase. A passphrase becomes a key by
Argon2id under a salt of its own; that key seals this one seed and nothing else, and a new
passphrase or copy takes a new salt. `created` says when the identity was made, and may be
missing. Nothing here prints, logs or raises a secret.
"""

import hashlib
import os
import time
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, NamedTuple

from handshake.errors import DecryptionFailed, InvalidKey
from handshake.identity import Identity, NodeId
from handshake.primitives import passphrase_key, secret_box_open, secret_box_seal
from handshake.secret import HoldsSecret
from mesh.errors import InvalidConfiguration
from mesh.home.files import Signature, read_private, signature_of, write_private

RandomBytes = Callable[[int], bytes]
Fields = Mapping[str, str | int]

VERSION: Final = 1
FILE_MAX_BYTES: Final = 64 * 1024
SEED_BYTES: Final = 32
SALT_BYTES: Final = 16
NONCE_BYTES: Final = 24

_CHECK_LABEL: Final = b"noisemesh key file\n"
_HEADING: Final = "# A noisemesh identity. Whoever reads this file can speak as this node.\n"
_PLAIN_FIELDS: Final = {"version": int, "id": str, "seed": str}
_SEALED_FIELDS: Final = {
    "version": int,
    "id": str,
    "operations": int,
    "memory_bytes": int,
    "salt": str,
    "sealed_seed": str,
}
_TIME_FORMAT: Final = "%Y-%m-%dT%H:%M:%SZ"


class PassphraseCost(NamedTuple):
    """What one guess of a passphrase costs: Argon2id passes, and memory in bytes."""

    operations: int
    memory_bytes: int


# About a second and 256 MiB a guess: a node pays once a start, a thief for every try.
PASSPHRASE_COST: Final = PassphraseCost(3, 256 << 20)
# A damaged or planted file must not take all the memory or an hour.
_LOWEST_COST: Final = PassphraseCost(1, 8 << 10)
_HIGHEST_COST: Final = PassphraseCost(16, 1 << 30)


class Description(NamedTuple):
    """What may be said of a key file. `created`: UTC as in RFC 3339, None when not known."""

    id: NodeId
    sealed: bool
    created: str | None


@dataclass(frozen=True, slots=True, repr=False, eq=False)
class OpenedKey(HoldsSecret):
    """An identity, and what `write` needs to know of the file it came from."""

    identity: Identity
    sealed: bool
    created: str | None
    signature: Signature | None


def create(
    path: Path,
    *,
    passphrase: str | None = None,
    random_bytes: RandomBytes = os.urandom,
    cost: PassphraseCost = PASSPHRASE_COST,
) -> Identity:
    """Make a new identity and keep it in `path`; an existing file is never replaced.

    Raises `InvalidConfiguration` when the file exists or cannot be written, or the passphrase is
    unusable.
    """
    identity = Identity.generate(random_bytes)
    created = datetime.fromtimestamp(time.time(), UTC).strftime(_TIME_FORMAT)
    key = OpenedKey(identity, sealed=False, created=created, signature=None)
    data = _file_of(key, passphrase, random_bytes, cost)
    write_private(path, data, replace=False)
    return identity


def open_key(path: Path, *, passphrase: str | None = None) -> OpenedKey:
    """The identity kept in `path`, to be written again; raises as `load` does."""
    signature = signature_of(path)
    fields = _read_fields(path)
    return OpenedKey(
        _identity_of(path, fields, passphrase),
        sealed="sealed_seed" in fields,
        created=_created(fields),
        signature=signature,
    )


def seal_again(
    path: Path,
    key: OpenedKey,
    passphrase: str | None,
    *,
    random_bytes: RandomBytes = os.urandom,
    cost: PassphraseCost = PASSPHRASE_COST,
) -> None:
    """Replace the file that `key` was opened from, whole or not at all, by one under `passphrase`.

    None leaves it unsealed. Raises `InvalidConfiguration`, the file untouched, when it is not the
    one that was opened any more, cannot be written, or the passphrase is unusable. The caller keeps
    other writers out.
    """
    data = _file_of(key, passphrase, random_bytes, cost)
    if signature_of(path) != key.signature:
        raise InvalidConfiguration(
            f"{path} was changed by somebody else meanwhile and is left as it is; try again"
        )
    write_private(path, data)


def write_copy(
    path: Path,
    key: OpenedKey,
    passphrase: str,
    *,
    random_bytes: RandomBytes = os.urandom,
    cost: PassphraseCost = PASSPHRASE_COST,
) -> None:
    """Write a copy of `key`, sealed with `passphrase`, to `path`; nothing is ever replaced.

    Raises `InvalidConfiguration` when something lies there, the file cannot be written, or the
    passphrase is unusable.
    """
    write_private(path, _file_of(key, passphrase, random_bytes, cost), replace=False)


def load(path: Path, *, passphrase: str | None = None) -> Identity:
    """The identity kept in `path`.

    Raises `InvalidConfiguration`, the file untouched, when it is missing, not private, not a
    regular file, damaged, written by a newer version, sealed with another passphrase or sealed
    and none is given. A passphrase for a file that is not sealed is refused as well: whoever
    gave it believes the file to be protected.
    """
    return _identity_of(path, _read_fields(path), passphrase)


def load_or_create(
    path: Path | None,
    *,
    passphrase: str | None = None,
    random_bytes: RandomBytes = os.urandom,
    cost: PassphraseCost = PASSPHRASE_COST,
) -> Identity:
    """The identity in `path`, made at the first call; without a path a throw-away one.

    Raises what `create` and `load` raise. The caller holds the home's lock.
    """
    if path is None:
        return Identity.generate(random_bytes)
    if os.path.lexists(path):
        return load(path, passphrase=passphrase)
    return create(path, passphrase=passphrase, random_bytes=random_bytes, cost=cost)


def load_id(path: Path) -> NodeId:
    """The public id kept in `path`, for which no passphrase is needed; raises as `load` does."""
    return describe(path).id


def is_sealed(path: Path) -> bool:
    """Whether the identity kept in `path` needs a passphrase; raises as `load_id` does."""
    return "sealed_seed" in _read_fields(path)


def describe(path: Path) -> Description:
    """What may be said of the file without a passphrase; raises as `load_id` does."""
    fields = _read_fields(path)
    try:
        node_id = NodeId.parse(str(fields["id"]))
    except InvalidKey:
        raise _damaged(path, "its id is not a node id") from None
    return Description(node_id, "sealed_seed" in fields, _created(fields))


def _file_of(
    key: OpenedKey, passphrase: str | None, random_bytes: RandomBytes, cost: PassphraseCost
) -> bytes:
    fields: dict[str, str | int] = {"version": VERSION, "id": str(key.identity.id)}
    if key.created is not None:
        fields["created"] = key.created
    if passphrase is None:
        return _render(fields | {"seed": key.identity.export_seed().hex()})
    salt = random_bytes(SALT_BYTES)
    sealing = _derive_key(passphrase, salt, cost)
    sealed = secret_box_seal(sealing, key.identity.export_seed(), random_bytes(NONCE_BYTES))
    fields |= {
        "operations": cost.operations,
        "memory_bytes": cost.memory_bytes,
        "salt": salt.hex(),
        "sealed_seed": sealed.hex(),
    }
    return _render(fields)


def _identity_of(path: Path, fields: Fields, passphrase: str | None) -> Identity:
    if "seed" in fields:
        if passphrase is not None:
            raise InvalidConfiguration(
                f"{path} is not sealed with a passphrase, but one was given; give none, or seal "
                "it with: mesh keys passphrase"
            )
        seed = _bytes_of(path, fields, "seed", SEED_BYTES)
    else:
        seed = _open_seed(path, fields, passphrase)
    identity = Identity(seed)
    if str(identity.id) != fields["id"]:
        raise _damaged(path, "its id does not belong to its seed")
    return identity


def _open_seed(path: Path, fields: Fields, passphrase: str | None) -> bytes:
    if passphrase is None:
        raise InvalidConfiguration(
            f"{path} is sealed with a passphrase and none was given; give it as passphrase= or "
            "in MESH_PASSPHRASE"
        )
    cost = PassphraseCost(int(fields["operations"]), int(fields["memory_bytes"]))
    for chosen, lowest, highest in zip(cost, _LOWEST_COST, _HIGHEST_COST, strict=True):
        if not lowest <= chosen <= highest:
            raise _damaged(path, "the cost of its passphrase is out of range")
    salt = _bytes_of(path, fields, "salt", SALT_BYTES)
    sealed = _bytes_of(path, fields, "sealed_seed")
    key = _derive_key(passphrase, salt, cost)
    try:
        seed = secret_box_open(key, sealed)
    except DecryptionFailed:
        raise InvalidConfiguration(
            f"wrong passphrase for {path}; give the one it was sealed with, as passphrase= or in "
            "MESH_PASSPHRASE, or restore a backup whose passphrase you know"
        ) from None
    if len(seed) != SEED_BYTES:
        raise _damaged(path, "its seed has the wrong length")
    return seed


def _derive_key(passphrase: str, salt: bytes, cost: PassphraseCost) -> bytes:
    # Checked first: the error of an encoder would hold the passphrase.
    if not passphrase or any("\ud800" <= character <= "\udfff" for character in passphrase):
        raise InvalidConfiguration("the passphrase is empty or holds half characters")
    try:
        return passphrase_key(passphrase, salt, *cost)
    except InvalidKey:
        raise InvalidConfiguration(
            f"Argon2id failed with {cost.operations} passes over {cost.memory_bytes} bytes; is "
            "there as much memory free?"
        ) from None


def _render(fields: Fields) -> bytes:
    lines = [
        f"{name} = {value}\n" if isinstance(value, int) else f'{name} = "{value}"\n'
        for name, value in fields.items()
    ]
    return "".join([_HEADING, *lines, f'check = "{_check(fields)}"\n']).encode()


def _check(fields: Fields) -> str:
    """SHA-256 over a label and all fields in order of their names; repr keeps types apart."""
    digest = hashlib.sha256(_CHECK_LABEL)
    for name in sorted(fields):
        digest.update(f"{name}={fields[name]!r}\n".encode())
    return digest.hexdigest()


def _read_fields(path: Path) -> Fields:
    """All fields but the check, which held, with the names and types this version writes."""
    found = read_private(path, limit_bytes=FILE_MAX_BYTES)
    if found is None:
        raise InvalidConfiguration(f"there is no key file {path}; make one with: mesh init")
    table = _parse(found.data)
    if table is None:
        raise _damaged(path, "it cannot be read as TOML")
    version = table.get("version")
    if type(version) is int and version > VERSION:
        raise InvalidConfiguration(
            f"{path} was written by a newer noisemesh (key file version {version}, this one "
            f"reads {VERSION}); it is left as it is, upgrade noisemesh to use it"
        )
    check = table.pop("check", None)
    shape = dict(_PLAIN_FIELDS if "seed" in table else _SEALED_FIELDS)
    if "created" in table:
        shape["created"] = str
    if {name: type(value) for name, value in table.items()} != shape:
        raise _damaged(path, "fields are missing, unknown or of the wrong type")
    fields = {name: value for name, value in table.items() if isinstance(value, str | int)}
    if version != VERSION or check != _check(fields):
        raise _damaged(path, "its check does not match")
    if "created" in fields and not _is_time(str(fields["created"])):
        raise _damaged(path, "the time it was created is none")
    return fields


def _created(fields: Fields) -> str | None:
    created = fields.get("created")
    return None if created is None else str(created)


def _is_time(text: str) -> bool:
    try:
        return datetime.strptime(text, _TIME_FORMAT).strftime(_TIME_FORMAT) == text
    except ValueError:
        return False


def _parse(data: bytes) -> dict[str, object] | None:
    """None instead of an error: the parser's exceptions hold the text, and so the seed."""
    try:
        return tomllib.loads(data.decode())
    except ValueError:
        return None


def _bytes_of(path: Path, fields: Fields, name: str, length: int | None = None) -> bytes:
    try:
        data = bytes.fromhex(str(fields[name]))
    except ValueError:
        data = b""
    if not data or (length is not None and len(data) != length):
        raise _damaged(path, f"its {name} is not {length or 'some'} bytes in hexadecimal")
    return data


def _damaged(path: Path, why: str) -> InvalidConfiguration:
    return InvalidConfiguration(
        f"{path} is damaged: {why}; it is left as it is, restore it from a backup"
    )
