"""Each outside library has one door."""

import pytest

from architecture import DOORS, enters_by_the_door


def test_no_library_has_a_second_door(sources, complaints):
    """No file of the project imports a library anywhere but in that library's place."""
    assert complaints(enters_by_the_door, sources) == ""


def test_a_library_stands_in_the_table_once():
    """Two rows for one library would hide each other."""
    libraries = [door.library for door in DOORS]
    assert len(libraries) == len(set(libraries))


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("handshake/identity.py", "from nacl.bindings import crypto_sign"),
        ("mesh/home/keys.py", "from cryptography.hazmat.primitives import hashes"),
        ("mesh/wire/messages.py", "import cbor2"),
        ("mesh/io/system.py", "import zmq"),
        ("mesh/runtime/pump.py", "import zmq.asyncio"),
        ("mesh/runtime/pump.py", "def f():\n    from zmq import Context"),
        ("mesh/runtime/pump.py", "importlib.import_module('cbor2')"),
        ("mesh/cli_helper.py", "import click"),
        ("mesh/io/system.py", "import platformdirs"),
        ("mesh/io/system.py", "import asyncio"),
        ("mesh/testing/world.py", "if TYPE_CHECKING:\n    import asyncio"),
    ],
)
def test_a_second_door_is_found(path, text):
    """The rule bites on each library outside its place, however it is imported."""
    assert "only in" in enters_by_the_door(path, text)[0]


def test_a_library_without_a_door_is_found():
    """A new dependency must be given a place before it can be used."""
    assert "no door" in enters_by_the_door("mesh/node.py", "import uvloop")[0]


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("handshake/primitives.py", "import nacl\nimport cryptography"),
        ("mesh/cli/main.py", "import click\nimport asyncio"),
        ("mesh/io/control_socket.py", "import asyncio"),
        ("mesh/wire/messages.py", "from . import cbor\nimport struct\nfrom mesh.wire import cbor"),
    ],
)
def test_a_door_is_open_in_its_place(path, text):
    """The rule lets a library in by its door, and the standard library anywhere."""
    assert enters_by_the_door(path, text) == []
