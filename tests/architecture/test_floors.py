"""Imports go down only, and pure rooms stay pure."""

import pytest

from architecture import ROOMS, imports_only_downward, stays_pure


def test_every_import_goes_down(sources, complaints):
    """No file of the project imports a room above it or beside it."""
    assert complaints(imports_only_downward, sources) == ""


def test_pure_rooms_are_pure(sources, complaints):
    """No pure room can reach a socket, a clock, a file or randomness."""
    assert complaints(stays_pure, sources) == ""


def test_no_module_is_in_two_rooms():
    """The table of rooms gives each module one place."""
    modules = [module for room in ROOMS for module in room.modules]
    assert len(modules) == len(set(modules))


def test_no_room_sees_above_its_floor():
    """The table lets only the testing kit's floor and its sight differ upward."""
    assert all(room.sees_below <= room.floor for room in ROOMS)


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("handshake/identity.py", "import mesh.errors"),
        ("handshake/identity.py", "from mesh import errors"),
        ("mesh/errors.py", "from mesh.wire.cbor import dumps"),
        ("mesh/wire/cbor.py", "import mesh.session.session"),
        ("mesh/wire/cbor.py", "from mesh.engine import engine"),
        ("mesh/wire/cbor.py", "from ..session import session"),
        ("mesh/wire/__init__.py", "from ..session import session"),
        ("mesh/wire/cbor.py", "def late():\n    import mesh.delivery.outgoing"),
        ("mesh/session/session.py", "if TYPE_CHECKING:\n    from mesh.engine.engine import Engine"),
        ("mesh/session/session.py", "importlib.import_module('mesh.engine')"),
        ("mesh/session/session.py", "from mesh import Node"),
        ("mesh/session/session.py", "import mesh"),
        ("mesh/io/system.py", "from mesh.home.keys import load"),
        ("mesh/home/keys.py", "from mesh.io import system"),
        ("mesh/io/system.py", "from mesh.engine.engine import Engine"),
        ("mesh/home/keys.py", "from mesh.engine.engine import Engine"),
        ("mesh/runtime/pump.py", "from mesh.node import Node"),
        ("mesh/runtime/pump.py", "from mesh.testing import World"),
        ("mesh/node.py", "from mesh.cli import main"),
        ("mesh/monitor/metrics.py", "from mesh.adapters import http"),
        ("mesh/testing/world.py", "from mesh.io import zmq_transport"),
        ("mesh/testing/world.py", "from mesh.runtime import pump"),
    ],
)
def test_an_upward_import_is_found(path, text):
    """The rule bites on each way of writing an import that goes up or sideways."""
    assert imports_only_downward(path, text)


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("mesh/session/session.py", "from mesh.wire import frames"),
        ("mesh/session/session.py", "from handshake.identity import NodeId"),
        ("mesh/session/session.py", "from . import states\nfrom .states import State"),
        ("mesh/wire/__init__.py", "from . import cbor"),
        ("mesh/engine/engine.py", "from mesh.engine import routes"),
        ("mesh/io/zmq_transport.py", "from mesh.wire import frames\nimport zmq"),
        ("mesh/runtime/pump.py", "from mesh.io import system\nfrom mesh.engine import engine"),
        ("mesh/testing/world.py", "from mesh.engine.engine import Engine"),
        ("mesh/cli/main.py", "from mesh import Node"),
        ("mesh/__main__.py", "from mesh.cli import main"),
        ("mesh/__init__.py", "from mesh.node import Node"),
    ],
)
def test_a_downward_import_is_allowed(path, text):
    """The rule lets a room use itself and what lies below."""
    assert imports_only_downward(path, text) == []


def test_a_module_without_a_room_is_found():
    """A new module must be given a floor before it can be used."""
    assert "no floor" in imports_only_downward("mesh/attic.py", "")[0]


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("mesh/engine/engine.py", "import time"),
        ("mesh/engine/engine.py", "from time import monotonic"),
        ("mesh/session/session.py", "import asyncio.events"),
        ("mesh/delivery/outgoing.py", "def f():\n    import secrets"),
        ("mesh/trust/policy.py", "if TYPE_CHECKING:\n    from pathlib import Path"),
        ("mesh/wire/cbor.py", "x = __import__('socket')"),
        ("mesh/model.py", "import logging"),
        ("mesh/counters.py", "text = open('/etc/hostname').read()"),
        ("handshake/identity.py", "from os import urandom"),
        ("handshake/handshake_state.py", "import os\nos.getpid()\nos.urandom(1)"),
        ("handshake/handshake_state.py", "from os import getpid"),
        ("handshake/handshake_state.py", "import time"),
    ],
)
def test_an_impure_room_is_found(path, text):
    """The rule bites on each way out of a pure room."""
    assert stays_pure(path, text)


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("handshake/handshake_state.py", "import os\ndef f(random_bytes=os.urandom): ..."),
        ("handshake/handshake_state.py", "from os import urandom"),
        ("mesh/engine/engine.py", "import struct\nfrom heapq import heappush"),
        ("mesh/home/keys.py", "import os\nopen('key')"),
        ("mesh/engine/engine.py", "self.open(frame)"),
    ],
)
def test_what_a_room_may_use_is_allowed(path, text):
    """Noise may draw its ephemeral keys; worldly rooms and own methods are free."""
    assert stays_pure(path, text) == []
