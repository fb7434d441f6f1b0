"""Which types of the project can hold a secret, found by reading every module, not by a list.

And what to look for: the ways in which bytes get into a text.
"""

import base64
import dataclasses
import enum
import gc
import importlib
import inspect
import pkgutil
import re
import types

import handshake
import mesh
from handshake.patterns import Protocol
from handshake.secret import HoldsSecret, Secret

# Names under which a secret is kept or handed over, as whole words of an identifier.
TELLING = re.compile(
    r"(^|_)(secrets?|private|passphrase|psks?|seed|split_keys|chaining_key|signing_key)(_|$)"
)
# The same words for other things, and why.
HARMLESS = {
    ("handshake.patterns.Pattern", "psk_count"): "a number",
    ("handshake.handshake_state._Progress", "psks_used"): "a number",
    ("mesh.wire.frames.HandshakeFrame", "psk_id"): "names a key in clear, on the wire",
}
_OWN_PATH = re.compile(r"\b(?:handshake|mesh)(?:\.\w+)*\.(?=\w)")


def modules():
    """Every module of both packages but the commands' own entry, which would run.

    And but the test kit: all keys of its worlds come from seeds that are printed on purpose.
    """
    for package in (handshake, mesh):
        yield package
        for found in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
            if not found.name.endswith("__main__") and not found.name.startswith("mesh.testing"):
                yield importlib.import_module(found.name)


def full_name(kind):
    """Module and name of a class."""
    return f"{kind.__module__}.{kind.__qualname__}"


def classes():
    """Every class of both packages, by its full name."""
    return {
        full_name(kind): kind
        for module in modules()
        for kind in vars(module).values()
        if inspect.isclass(kind)
        and kind.__module__ == module.__name__
        and not issubclass(kind, enum.Enum)
        and not getattr(kind, "_is_protocol", False)
    }


def members(kind):
    """What an instance keeps or is given, by name, with the text of its annotation."""
    found = {}
    for owner in kind.__mro__:
        if not owner.__module__.startswith(("handshake", "mesh")):
            continue
        slots = owner.__dict__.get("__slots__", ())
        found |= dict.fromkeys([slots] if isinstance(slots, str) else slots, "")
        found |= {name: str(said) for name, said in inspect.get_annotations(owner).items()}
    if dataclasses.is_dataclass(kind):
        found |= {field.name: str(field.type) for field in dataclasses.fields(kind)}
    if "__init__" in kind.__dict__:
        given = inspect.signature(kind.__init__).parameters.values()
        found |= {each.name: str(each.annotation) for each in given if each.name != "self"}
    return {name: _OWN_PATH.sub("", text) for name, text in found.items() if "ClassVar" not in text}


def telling_members(kind):
    """The members of a class whose names say that they are secret."""
    name = full_name(kind)
    return [
        member
        for member in members(kind)
        if TELLING.search(member) and (name, member) not in HARMLESS
    ]


def holders(everything):
    """The types among `everything` that can hold a secret: themselves, or in what they hold."""
    said = {name: members(kind) for name, kind in everything.items()}
    found = {
        name
        for name, kind in everything.items()
        if issubclass(kind, HoldsSecret) or telling_members(kind)
    }
    while True:
        names = "|".join({name.rsplit(".", 1)[1] for name in found})
        words = re.compile(rf"(?<![.\w])({names})\b")
        more = {
            name for name in everything if any(words.search(text) for text in said[name].values())
        }
        if more <= found:
            return {name: everything[name] for name in sorted(found)}
        found |= more


def reachable(*roots):
    """Every object that can be reached from some, but not through modules, classes and code."""
    closed = (types.ModuleType, type, types.CodeType, types.FrameType)
    seen, waiting = {}, list(roots)
    while waiting:
        one = waiting.pop()
        if id(one) in seen or isinstance(one, closed):
            continue
        seen[id(one)] = one
        if isinstance(one, types.FunctionType):
            waiting.extend(cell for cell in one.__closure__ or ())
        else:
            waiting.extend(gc.get_referents(one))
    return list(seen.values())


def forms_of(secrets):
    """Each way in which a dump would show one of these secrets, text or bytes."""
    found = set()
    for secret in secrets:
        raw = secret.encode() if isinstance(secret, str) else bytes(secret)
        if len(raw) < 16:
            continue
        found |= {
            repr(raw)[2:-1],
            raw.decode("latin-1"),
            raw.hex(),
            raw.hex().upper(),
            base64.b32encode(raw).decode().rstrip("="),
            base64.b64encode(raw).decode().rstrip("="),
            base64.urlsafe_b64encode(raw).decode().rstrip("="),
            str(list(raw))[1:-1],
        }
    return found


def secrets_in(objects):
    """The secrets among some objects that are marked as such.

    A chaining key begins as the name of the protocol, which everybody knows.
    """
    public = {one.first_hash for one in objects if isinstance(one, Protocol)}
    return {one for one in objects if isinstance(one, Secret)} - public
