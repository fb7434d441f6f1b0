"""The configuration of a node: one table, read by keyword, environment variable and file.

The class below is the table: each field has its default, its kind with the values allowed, and a
sentence of help. A keyword wins over a variable, a variable over the file, the file over the
default. Unknown keys are refused, and no error or `repr` shows a secret.
"""

import dataclasses
import difflib
import json
import textwrap
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from handshake.secret import Secret, SecretText
from mesh.constants import WINDOW_MIN_BYTES
from mesh.errors import InvalidConfiguration
from mesh.home.files import read_private
from mesh.home.home import HOME_VARIABLE
from mesh.home.settings import Endpoints, Key, Kind, Passphrase, Seconds, Targets, Text, Whole

T = TypeVar("T")

FILE_NAME = "config.toml"
PREFIX = "MESH_"
FILE_MAX_BYTES = 1 << 20
# A wish this close to a field's name is a slip of the pen; anything else may be somebody else's.
_ALIKE = 0.8
_SHOWN_CHARACTERS = 80
_LINE_CHARACTERS = 100
_TEMPLATE_HEAD = (
    "What this node is called and does. Every key is here with its default; take the # away to set "
    "one. Each may be given as a variable too, which wins over this file: listen as MESH_LISTEN. "
    'Between machines, one has listen = ["tcp://0.0.0.0:7447"], the other '
    'connect = ["ID@tcp://192.168.1.20:7447"], and each trusts the other: mesh trust allow ID.'
)

KIB = 1024
MIB = 1024 * KIB
GIB = 1024 * MIB
DAY_SECONDS = 86_400


class Setting(NamedTuple):
    """One row of the table. `help`: a sentence for people."""

    name: str
    kind: Kind[Any]
    default: Any
    help: str

    @property
    def variable(self) -> str:
        """The environment variable that sets it."""
        return PREFIX + self.name.upper()


class _Given(NamedTuple):
    """A value as somebody gave it, and where: for errors."""

    value: object
    source: str
    is_text: bool = False


def _setting(kind: Kind[T], default: T, text: str) -> T:
    return field(default=default, repr=not kind.secret, metadata={"kind": kind, "help": text})


@dataclass(frozen=True, slots=True, kw_only=True)
class Configuration:
    """Everything that can be set about a node; every object of this class is valid.

    Raises `InvalidConfiguration` for a value outside its range. Endpoints may be given as one
    text or a list, a mesh secret as bytes or text, a passphrase as text; the fields hold tuples,
    and secrets in types that do not print.
    """

    name: str = _setting(
        Text(1, 64), "node", "What this node calls itself; peers choose their own name for it."
    )
    listen: tuple[str, ...] = _setting(
        Endpoints(), ("tcp://127.0.0.1:0",), "Where to accept connections; empty: nowhere."
    )
    connect: tuple[str, ...] = _setting(
        Targets(), (), "Peers to dial at start and again whenever the connection is lost."
    )
    mesh: str = _setting(
        Text(1, 255, in_bytes=True), "default", "The mesh; nodes of different meshes never meet."
    )
    mesh_secret: Secret | None = _setting(
        Key(), None, "Random bytes that all nodes of the mesh share; strangers meet silence."
    )
    passphrase: SecretText | None = _setting(
        Passphrase(), None, "Opens the identity's key file, or seals a new one."
    )
    rekey_after_seconds: float = _setting(
        Seconds(0.5, DAY_SECONDS), 120.0, "Age at which a session gets new keys."
    )
    window_bytes: int = _setting(
        Whole(WINDOW_MIN_BYTES, GIB, "bytes"),
        4 * MIB,
        "Messages a peer may send ahead of our handlers.",
    )
    max_message_bytes: int = _setting(
        Whole(1 * KIB, GIB, "bytes"),
        64 * MIB,
        "Largest encoded message, either way, and room for a peer's large ones together.",
    )
    call_timeout_seconds: float = _setting(
        Seconds(0.001, DAY_SECONDS), 30.0, "How long a call waits for its reply unless it says."
    )
    connect_timeout_seconds: float = _setting(
        Seconds(0.001, DAY_SECONDS), 10.0, "How long `connect` waits for an authenticated peer."
    )
    close_timeout_seconds: float = _setting(
        Seconds(0, DAY_SECONDS), 5.0, "How long closing waits for what is still on its way."
    )
    max_concurrent_calls: int = _setting(
        Whole(1, 65_536, "calls"), 256, "Calls of one peer that are answered at the same time."
    )
    handler_threads: int = _setting(
        Whole(1, 1024, "threads"), 8, "Threads for handlers that are plain functions."
    )
    max_peers: int = _setting(
        Whole(1, 65_536, "peers"), 1024, "Peers with a session at the same time."
    )

    def __post_init__(self) -> None:
        for setting in SETTINGS:
            given = _Given(getattr(self, setting.name), f"the keyword {setting.name}=")
            object.__setattr__(self, setting.name, _read(setting, given))

    @classmethod
    def load(
        cls, home_path: Path | None, environ: Mapping[str, str], /, **keywords: object
    ) -> "Configuration":
        """The configuration from keywords, `environ` and `config.toml` in the home, in that order.

        `home_path`: the home folder, or None when nothing lies on disk. A keyword of None counts
        as not given. Of the environment only MESH_<FIELD> is read; a variable that looks like a
        misspelt one is refused, others belong to somebody else. Raises `InvalidConfiguration`
        naming the field, where its value came from, the value and what is allowed.
        """
        given = {
            **_from_file(home_path / FILE_NAME if home_path is not None else None),
            **_from_environment(environ),
            **_from_keywords(keywords),
        }
        values: dict[str, Any] = {
            setting.name: _read(setting, given[setting.name])
            if setting.name in given
            else setting.default
            for setting in SETTINGS
        }
        return cls(**values)


SETTINGS: tuple[Setting, ...] = tuple(
    Setting(found.name, found.metadata["kind"], found.default, found.metadata["help"])
    for found in dataclasses.fields(Configuration)
)
_NAMES = frozenset(setting.name for setting in SETTINGS)


def reference_table() -> str:
    """The table of all fields in Markdown, as docs/reference/configuration.md holds it."""
    heading = [
        "| Keyword and key | Variable | Type | Default | Allowed | Meaning |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    rows = [
        f"| `{setting.name}` | `{setting.variable}` | {setting.kind.shape} "
        f"| {_shown_default(setting.default)} | {setting.kind.allowed} | {setting.help} |"
        for setting in SETTINGS
    ]
    return "\n".join(heading + rows) + "\n"


def template(name: str) -> str:
    """A new `config.toml`: this name, and every other field as a comment with its default."""
    parts = ["\n".join(_commented(_TEMPLATE_HEAD))]
    for setting in SETTINGS:
        allowed = setting.kind.allowed.replace("`", "")
        lines = _commented(f"{setting.help} {setting.kind.shape.capitalize()}: {allowed}.")
        if setting.name == "name":
            lines.append(f"name = {_as_toml(name)}")
        else:
            lines.append(f"# {setting.name} = {_as_toml(setting.default)}")
        parts.append("\n".join(lines))
    return "\n\n".join(parts) + "\n"


def _commented(text: str) -> list[str]:
    return textwrap.wrap(
        text,
        _LINE_CHARACTERS,
        initial_indent="# ",
        subsequent_indent="# ",
        break_long_words=False,
        break_on_hyphens=False,
    )


def _as_toml(value: object) -> str:
    """Of the values that defaults and names have: JSON spells them as TOML does."""
    return '"..."' if value is None else json.dumps(value, ensure_ascii=False)


def _read(setting: Setting, given: _Given) -> Any:
    try:
        if given.is_text:
            return setting.kind.read_text(str(given.value))
        return setting.kind.read(given.value)
    except ValueError as error:
        fault = str(error)
    shown = "a secret that is not shown" if setting.kind.secret else _shown(given.value)
    # Outside the handler: what the decoders raised holds the value, secret or not.
    raise InvalidConfiguration(
        f"{setting.name} from {given.source}: {shown} cannot be used, {fault}; "
        f"allowed: {setting.kind.allowed.replace('`', '')}"
    )


def _from_keywords(keywords: Mapping[str, object]) -> dict[str, _Given]:
    for name in keywords:
        if name not in _NAMES:
            raise _unknown(name, "the keywords", str)
    return {
        name: _Given(value, f"the keyword {name}=")
        for name, value in keywords.items()
        if value is not None
    }


def _from_environment(environ: Mapping[str, str]) -> dict[str, _Given]:
    given = {}
    for setting in SETTINGS:
        text = environ.get(setting.variable)
        if text is not None:
            given[setting.name] = _Given(text, f"the variable {setting.variable}", is_text=True)
    for variable in _misspelt(environ):
        raise _unknown(variable.removeprefix(PREFIX).lower(), "the environment", _variable_of)
    return given


def _misspelt(environ: Iterable[str]) -> Iterator[str]:
    """Variables that can only be slips; MESH_ alone proves nothing, others use it too."""
    for variable in environ:
        name = variable.removeprefix(PREFIX).lower()
        if not variable.startswith(PREFIX) or name in _NAMES or variable == HOME_VARIABLE:
            continue
        if difflib.get_close_matches(name, _NAMES, n=1, cutoff=_ALIKE):
            yield variable


def _from_file(path: Path | None) -> dict[str, _Given]:
    found = read_private(path, limit_bytes=FILE_MAX_BYTES) if path is not None else None
    if found is None:
        return {}
    try:
        table = tomllib.loads(found.data.decode())
    except ValueError as error:
        fault = "it is not UTF-8" if isinstance(error, UnicodeDecodeError) else str(error)
        table = None
    # Outside the handler, so that no exception that holds the whole text hangs on ours.
    if table is None:
        raise InvalidConfiguration(f"{path} is not TOML: {fault}")
    for name in table:
        if name not in _NAMES:
            raise _unknown(name, str(path), str)
    return {name: _Given(value, f"{path}, key {name}") for name, value in table.items()}


def _unknown(name: str, where: str, spelling: Callable[[str], str]) -> InvalidConfiguration:
    alike = difflib.get_close_matches(name, _NAMES, n=1)
    hint = f"; did you mean {spelling(alike[0])}?" if alike else ""
    return InvalidConfiguration(f"{where}: there is no setting {_shown(spelling(name))}{hint}")


def _variable_of(name: str) -> str:
    return PREFIX + name.upper()


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= _SHOWN_CHARACTERS else text[: _SHOWN_CHARACTERS - 1] + "…"


def _shown_default(default: object) -> str:
    if default is None or default == ():
        return "none"
    if isinstance(default, tuple):
        return ", ".join(f"`{item}`" for item in default)
    return f"`{default:g}`" if isinstance(default, float) else f"`{default}`"
