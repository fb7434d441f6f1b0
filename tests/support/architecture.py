"""The building's plan: rooms and their floors, pure rooms, doors. And the rules that read it.

Each rule takes a path relative to the root and the text of that file, and returns complaints, one
line each. A rule reads the syntax tree, so imports inside functions and under TYPE_CHECKING count
like any other.
"""

import ast
import sys
from collections.abc import Iterator
from functools import cache
from typing import NamedTuple


class Room(NamedTuple):
    """Modules that belong together. A room imports itself and rooms below `sees_below`."""

    name: str
    modules: tuple[str, ...]
    floor: int
    sees_below: int
    pure: bool
    because: str


PURE, WORLDLY = True, False

ROOMS = (
    Room("handshake", ("handshake",), 0, 0, PURE, "a library of its own: Noise knows no mesh"),
    Room(
        "words",
        ("mesh.constants", "mesh.counters", "mesh.errors", "mesh.limits", "mesh.model"),
        1,
        1,
        PURE,
        "what every room speaks of, so it may depend on none",
    ),
    Room("wire", ("mesh.wire",), 2, 2, PURE, "bytes <-> values, whatever they mean"),
    Room("session", ("mesh.session",), 3, 3, PURE, "one secure channel, whatever it carries"),
    Room("delivery", ("mesh.delivery",), 4, 4, PURE, "outlives sessions, knows no application"),
    Room("exchange", ("mesh.exchange",), 5, 5, PURE, "what applications say, over any delivery"),
    Room("trust", ("mesh.trust",), 6, 6, PURE, "decisions only: whoever asks acts on them"),
    Room("engine", ("mesh.engine",), 7, 7, PURE, "a whole node, so that a seed can replay it"),
    Room("io", ("mesh.io",), 8, 7, WORLDLY, "moves bytes and must not know what they mean"),
    Room("home", ("mesh.home",), 8, 7, WORLDLY, "what lies on disk, read and written for others"),
    Room("runtime", ("mesh.runtime",), 9, 9, WORLDLY, "joins engine, io and home: the one pump"),
    Room("node", ("mesh.node",), 10, 10, WORLDLY, "the façade over the runtime"),
    Room("blocking", ("mesh.blocking",), 11, 11, WORLDLY, "the façade without asyncio's words"),
    Room("front door", ("mesh",), 12, 12, WORLDLY, "the public names; rooms use each other's own"),
    Room("monitor", ("mesh.monitor",), 13, 13, WORLDLY, "watches nodes; no node depends on it"),
    Room("adapters", ("mesh.adapters",), 13, 13, WORLDLY, "foreign protocols over a node"),
    Room("cli", ("mesh.cli",), 14, 14, WORLDLY, "verbs for people, over everything"),
    Room("command", ("mesh.__main__",), 15, 15, WORLDLY, "`python -m mesh`"),
    Room("testing", ("mesh.testing",), 99, 8, WORLDLY, "engines in memory; nothing ships on it"),
)


class Door(NamedTuple):
    """The only files (or directories, with a slash) that may import a library."""

    library: str
    places: tuple[str, ...]
    because: str


DOORS = (
    Door("nacl", ("handshake/primitives.py",), "one place decides which library does what"),
    Door("cryptography", ("handshake/primitives.py",), "accepts forgeries where PyNaCl does not"),
    Door("cbor2", ("mesh/wire/cbor.py",), "its defaults are unsafe on a wire"),
    Door("zmq", ("mesh/io/zmq_transport.py",), "its options are a defence, set in one place"),
    Door("zeroconf", ("mesh/io/mdns.py",), "imported only when discovery is on"),
    Door("platformdirs", ("mesh/home/",), "where a home lies is one decision"),
    Door("sqlite3", ("mesh/home/",), "what lies on disk lies in one room"),
    Door("click", ("mesh/cli/",), "a library's user installs a command, but never meets it"),
    Door(
        "asyncio",
        (
            "mesh/runtime/",
            "mesh/node.py",
            "mesh/blocking.py",
            "mesh/cli/",
            "mesh/monitor/",
            "mesh/adapters/",
            "mesh/io/control_socket.py",
        ),
        "below the runtime nothing may wait",
    ),
)

# Pure rooms get time, randomness and bytes handed in, or no run of theirs can be repeated.
NOT_IN_PURE_ROOMS = {
    "asyncio": "waits",
    "concurrent": "waits",
    "datetime": "reads the clock",
    "http": "reaches the network",
    "logging": "keeps state of the process; pure rooms give events and counters",
    "multiprocessing": "starts processes",
    "os": "reaches files, clock and randomness",
    "pathlib": "reaches files",
    "queue": "waits",
    "random": "is randomness of its own",
    "secrets": "is randomness of its own",
    "select": "waits",
    "selectors": "waits",
    "shutil": "reaches files",
    "signal": "belongs to the process",
    "socket": "reaches the network",
    "ssl": "reaches the network",
    "subprocess": "starts processes",
    "tempfile": "reaches files",
    "threading": "waits",
    "time": "reads the clock",
    "urllib": "reaches the network",
    "uuid": "is randomness of its own",
    "zmq": "reaches the network",
}
BUILTINS_NOT_IN_PURE_ROOMS = {"input": "waits", "open": "reaches files"}

# Noise names random_bytes=os.urandom as the default of its ephemeral keys.
MAY_DRAW_RANDOM_BYTES = "handshake/handshake_state.py"


class Import(NamedTuple):
    """A module that a line imports, as far as the text tells: `from a import b` gives `a.b`."""

    line: int
    name: str


@cache
def nodes_of(text: str) -> tuple[ast.AST, ...]:
    """Every node of a file's syntax tree, its root first; parsed once, however many rules read it.

    Raises SyntaxError.
    """
    return tuple(ast.walk(ast.parse(text)))


def imports_of(path: str, text: str) -> Iterator[Import]:
    """Every import of a file, wherever it stands, and `import_module` of a literal name."""
    package = module_of(path).split(".")
    if not path.endswith("/__init__.py"):
        package = package[:-1]
    for node in nodes_of(text):
        if isinstance(node, ast.Import):
            yield from (Import(node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            yield from (Import(node.lineno, f"{base}.{alias.name}") for alias in node.names)
        elif isinstance(node, ast.Call) and called_name(node) in ("import_module", "__import__"):
            literals = (
                argument for argument in node.args[:1] if isinstance(argument, ast.Constant)
            )
            yield from (Import(node.lineno, str(literal.value)) for literal in literals)


def called_name(call: ast.Call) -> str:
    """The last word of what a call calls: `sleep` of `time.sleep(1)`."""
    function = call.func
    if isinstance(function, ast.Attribute):
        return function.attr
    return function.id if isinstance(function, ast.Name) else ""


def module_of(path: str) -> str:
    """The dotted name of a file: `mesh/wire/cbor.py` is `mesh.wire.cbor`."""
    return path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def room_of(module: str) -> Room | None:
    """The room a module of ours lies in; None for one that has no room yet."""
    for room in ROOMS:
        for prefix in room.modules:
            if module == prefix or (prefix != "mesh" and module.startswith(f"{prefix}.")):
                return room
    return None


def imports_only_downward(path: str, text: str) -> list[str]:
    """A room imports itself and lower floors, and every module lies in a room."""
    room = room_of(module_of(path))
    if room is None:
        return [f"{path}:1: has no floor: give it a row in the table of rooms"]
    complaints = []
    for line, name in imports_of(path, text):
        if name.partition(".")[0] not in ("mesh", "handshake"):
            continue
        # `from mesh import Node` names no room: it goes through the front door.
        target = room_of(name) or room_of("mesh")
        if target and target is not room and target.floor >= room.sees_below:
            complaints.append(f"{path}:{line}: {room.name} imports {name}: {room.because}")
    return complaints


def stays_pure(path: str, text: str) -> list[str]:
    """A pure room touches no socket, clock, file or randomness of its own."""
    room = room_of(module_of(path))
    if room is None or not room.pure:
        return []
    complaints = []
    for line, name in imports_of(path, text):
        reason = NOT_IN_PURE_ROOMS.get(name.partition(".")[0])
        if reason and not (path == MAY_DRAW_RANDOM_BYTES and _is_only_urandom(name, text)):
            complaints.append(f"{path}:{line}: {room.name} is pure, and {name} {reason}")
    for node in nodes_of(text):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            reason = BUILTINS_NOT_IN_PURE_ROOMS.get(node.func.id)
            if reason:
                complaint = f"{room.name} is pure, and {node.func.id}() {reason}"
                complaints.append(f"{path}:{node.lineno}: {complaint}")
    return complaints


def _is_only_urandom(name: str, text: str) -> bool:
    if name == "os.urandom":
        return True
    used = {
        node.attr
        for node in nodes_of(text)
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and node.value.id == "os"
    }
    return name == "os" and used == {"urandom"}


def enters_by_the_door(path: str, text: str) -> list[str]:
    """An outside library is imported in its own place only, and each one has a place."""
    doors = {door.library: door for door in DOORS}
    complaints = []
    for line, name in imports_of(path, text):
        library = name.partition(".")[0]
        door = doors.get(library)
        if door and not any(_lies_in(path, place) for place in door.places):
            places = ", ".join(door.places)
            complaints.append(f"{path}:{line}: {library} only in {places}: {door.because}")
        elif not door and library not in sys.stdlib_module_names | {"mesh", "handshake"}:
            complaints.append(f"{path}:{line}: {library} has no door: give it a row in the table")
    return complaints


def _lies_in(path: str, place: str) -> bool:
    return path.startswith(place) if place.endswith("/") else path == place
