"""Secrets never show: not in any print, dump, copy or traceback, of any type that can hold one."""

import base64
import copy
import pickle
import pprint
import sys
import traceback
from dataclasses import dataclass
from pathlib import Path

import pytest

import exchanges
import handshake
import mesh
import secret_holders
import secret_zoo
from handshake.cipher_state import CipherState
from handshake.errors import HandshakeError
from handshake.handshake_state import HandshakeState, KeyPair
from handshake.identity import Identity
from handshake.primitives import (
    Aead,
    passphrase_key,
    secret_box_open,
    secret_box_seal,
    x25519,
    x25519_public,
)
from handshake.secret import HoldsSecret, Secret, SecretText
from handshakes import STATICS, one_side, pair, psks_of, turns
from mesh.errors import InvalidConfiguration
from mesh.home.configuration import Configuration

OURS = tuple(Path(package.__file__).parent for package in (handshake, mesh))
NAME = "Noise_XXpsk0+psk3_25519_AESGCM_SHA512"


def shows(text, forms):
    """Which forms of a secret a text holds."""
    return [form for form in forms if form in text]


def dumps_of(one):
    """The texts that people print an object as, and dumps of what it keeps."""
    kept = {
        name: getattr(one, name) for name in secret_holders.members(type(one)) if hasattr(one, name)
    }
    kept |= getattr(one, "__dict__", {})
    yield from (repr(one), str(one), format(one), f"{one!r}", f"{[one]}", ascii(one))
    yield from (repr(kept), pprint.pformat(kept, width=9999), pprint.pformat(one, width=9999))
    if isinstance(one, BaseException):
        yield from (str(one.args), "".join(traceback.format_exception(one)))


def copies_of(one):
    """What pickling and copying give, where they give anything."""
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        try:
            yield pickle.dumps(one, protocol).decode("latin-1")
        except Exception as error:
            yield str(error)
    try:
        yield repr(copy.copy(one))
    except Exception as error:
        yield str(error)


@pytest.fixture
async def zoo(tmp_path):
    """Every object of the zoo that is of a type of ours, and all secrets in them."""
    async with secret_zoo.running_nodes(tmp_path / "home") as nodes:
        roots = [secret_zoo.handshakes(), secret_zoo.world(), secret_zoo.configuration(), *nodes]
        roots += [
            secret_zoo.opened_key(tmp_path / "home"),
            exchanges.ALICE,
            KeyPair.of(STATICS[0]),
            SecretText("hidden text of the zoo"),
        ]
        found = secret_holders.reachable(roots)
        secrets = secret_zoo.given_secrets() | secret_holders.secrets_in(found)
        yield found, secret_holders.forms_of(secrets)


async def test_no_type_that_holds_a_secret_shows_it(zoo):
    """Each such type of both packages has an example, and no dump of any example tells."""
    found, forms = zoo
    kinds = secret_holders.holders(secret_holders.classes())
    assert len(kinds) > 35
    examples = [one for one in found if isinstance(one, tuple(kinds.values()))]
    missing = [
        name for name, kind in kinds.items() if not any(isinstance(one, kind) for one in examples)
    ]
    assert missing == [], "give each an example in tests/support/secret_zoo.py"
    assert len(forms) > 400
    told = [
        (secret_holders.full_name(type(one)), text[:200])
        for one in examples
        for text in (*dumps_of(one), *copies_of(one))
        if shows(text, forms)
    ]
    assert told == []


def test_what_is_half_made_prints():
    """A traceback prints the object whose construction failed: no repr stumbles over it."""
    for name, kind in secret_holders.classes().items():
        if issubclass(kind, HoldsSecret) and not issubclass(kind, bytes | str):
            assert repr(kind.__new__(kind)) == f"<{name.rsplit('.', 1)[1]}>"


async def test_what_is_named_a_secret_is_one(zoo):
    """A member called private, psk, seed and the like holds a type that does not print."""
    found, _ = zoo
    kinds = secret_holders.holders(secret_holders.classes())
    plain = set()
    for one in found:
        if type(one) not in kinds.values():
            continue
        for member in secret_holders.telling_members(type(one)):
            value = getattr(one, member, None)
            for each in value if type(value) is tuple else (value,):
                if each is not None and not isinstance(each, HoldsSecret):
                    plain.add((secret_holders.full_name(type(one)), member))
    assert plain == set()


@pytest.mark.parametrize("path", ["private", "held"])
def test_a_new_type_is_noticed(path):
    """A class with a telling member, or one that holds a holder, is found without any list."""

    class Careless:
        __annotations__ = {path: "bytes" if path == "private" else "Identity | None"}

    everything = secret_holders.classes() | {"mesh.new.Careless": Careless}
    Careless.__module__, Careless.__qualname__ = "mesh.new", "Careless"
    assert "mesh.new.Careless" in secret_holders.holders(everything)


def test_a_type_that_tells_is_noticed():
    """The forms that are looked for are those in which a careless type would show its key."""

    @dataclass
    class Careless:
        private: bytes

    key = bytes(range(200, 232))
    forms = secret_holders.forms_of([Secret(key)])
    assert all(shows(text, forms) for text in dumps_of(Careless(key)))
    assert any(shows(text, forms) for text in copies_of([key]))
    for text in (key.hex(), base64.b64encode(key).decode(), base64.b32encode(key).decode()):
        assert shows(f"key={text}", forms)


def is_watched(frame):
    """Whether a frame is of a file of ours or of PyNaCl's, which is handed our keys."""
    path = Path(frame.f_code.co_filename)
    return any(map(path.is_relative_to, OURS)) or "nacl" in path.parts


class Watch:
    """Looks at the local variables of every line of our files, and of PyNaCl's, as it runs.

    A traceback shows the local variables of the line that failed. The first line of a function is
    left out: there the caller's own bytes are only about to be hidden.
    """

    def __init__(self, forms):
        self.forms = forms
        self.told = set()
        self.lines = 0

    def __call__(self, frame, event, _):
        if not is_watched(frame):
            return None
        frame.f_trace_lines = True
        first = True

        def line(frame, event, _):
            nonlocal first
            if event == "line" and not first:
                self.look(frame)
            first = first and event != "line"
            return line

        return line

    def look(self, frame):
        self.lines += 1
        for name, value in frame.f_locals.items():
            if shows(repr(value), self.forms):
                self.told.add(f"{frame.f_code.co_qualname}: {name}")

    def __enter__(self):
        self._before = sys.gettrace()
        sys.settrace(self)
        return self

    def __exit__(self, *_):
        sys.settrace(self._before)


def test_no_line_of_a_handshake_has_a_secret_in_plain_sight():
    """Whatever line fails, the traceback with its local variables shows no key."""
    secrets = secret_zoo.given_secrets()
    for _ in range(2):
        made = secret_holders.secrets_in(secret_holders.reachable(secret_zoo.handshakes()))
        forms = secret_holders.forms_of(secrets | made)
    with Watch(forms) as watch:
        everything = secret_zoo.handshakes()
        ours = everything[4][0].established
        ours.traffic_keys("ChaChaPoly")
        cipher = everything[2][0]
        cipher.rekey()
        cipher.encrypt_with_ad(b"", b"x")
    assert watch.told == set()
    assert watch.lines > 2000


def faults():
    """Calls that fail while a secret is at hand: a title, and the call."""
    psks = psks_of(NAME)
    sealed = secret_box_seal(STATICS[0], STATICS[1], b"n" * 24)
    short = STATICS[0] + b"!"
    low = bytes(32)

    def careless(_):
        raise RuntimeError("the payload could not be made")

    def tampered():
        for writer, reader in turns(pair(NAME, lambda length: b"e" * length)):
            message = writer.write_message(b"payload")
            try:
                reader.read_message(message[:-1] + b"?")
            except HandshakeError:
                if writer.finished:
                    raise
            reader.read_message(message)

    def relay(**changes):
        side = one_side(NAME, 0, lambda length: b"e" * length, **changes)
        return side.write_message(careless)

    def exhausted():
        cipher = CipherState("AESGCM", STATICS[0])
        cipher.set_nonce(2**64 - 1)
        cipher.encrypt_with_ad(b"", b"")

    return {
        "a tampered message": tampered,
        "a payload that raises": relay,
        "a psk too short": lambda: one_side(NAME, 0, None, psks=(psks[0], psks[1][:-1])),
        "a psk too many": lambda: one_side(NAME, 0, None, psks=(*psks, STATICS[1])),
        "a psk that is no tuple": lambda: one_side(NAME, 0, None, psks=psks[0]),
        "a static key too long": lambda: one_side(NAME, 0, None, s=short),
        "a static key as text": lambda: one_side(NAME, 0, None, s=STATICS[0].decode()),
        "a static key as a bytearray": lambda: one_side(NAME, 0, None, s=bytearray(STATICS[0])),
        "an ephemeral key too long": lambda: one_side(NAME, 0, None, e=short),
        "an unknown protocol": lambda: HandshakeState("Noise_?", initiator=True, s=STATICS[0]),
        "randomness too long": lambda: one_side(NAME, 0, lambda _: short).write_message(),
        "half a key pair": lambda: KeyPair(STATICS[0], b"short"),
        "a key pair too long": lambda: KeyPair.of(short),
        "a low-order key": lambda: x25519(STATICS[0], low),
        "an X25519 key too long": lambda: x25519_public(short),
        "a seed too long": lambda: Identity(short),
        "a generated seed too long": lambda: Identity.generate(lambda _: short),
        "an AEAD key too long": lambda: Aead("AESGCM", short),
        "an AEAD of no suite": lambda: Aead("AES", STATICS[0]),
        "a cipher's key too long": lambda: CipherState("AESGCM", short),
        "a counter at its end": exhausted,
        "a box that does not open": lambda: secret_box_open(STATICS[1], sealed),
        "a box with a short nonce": lambda: secret_box_seal(STATICS[0], STATICS[1], b"n"),
        "Argon2id's limits": lambda: passphrase_key(secret_zoo.PASSPHRASE, bytes(16), 0, 8192),
        "a short salt": lambda: passphrase_key(secret_zoo.PASSPHRASE, bytes(1), 1, 8192),
        "half a character": lambda: passphrase_key(
            secret_zoo.PASSPHRASE + "\ud800", bytes(16), 1, 8192
        ),
        "a delegation for another key": lambda: exchanges.Credentials(
            exchanges.BOB.identity, STATICS[0], exchanges.BOB.delegation
        ),
        "a mesh secret too long": lambda: exchanges.mesh_psk(exchanges.MESH, short),
        "a mesh id too short": lambda: exchanges.mesh_psk(b"short", STATICS[0]),
    }


def frames_of_the_project(error):
    """The traceback from our first frame on: what is before are the caller's own variables."""
    trace = error.__traceback__
    while trace is not None and not is_watched(trace.tb_frame):
        trace = trace.tb_next
    return trace


def told_by(error):
    """All that a traceback with local variables says, of an error and those behind it."""
    texts, chain = [], [error]
    while chain:
        one = chain.pop()
        trace = frames_of_the_project(one)
        texts.extend(
            traceback.TracebackException(type(one), one, trace, capture_locals=True).format(
                chain=False
            )
        )
        chain.extend(each for each in (one.__cause__, one.__context__) if each is not None)
    return "".join(texts)


@pytest.mark.parametrize("title", faults())
def test_no_traceback_with_local_variables_shows_a_secret(title):
    """A call that fails with a key at hand says nothing of it, nor does what failed behind it."""
    secrets = secret_zoo.given_secrets() | {STATICS[0] + b"!", secret_zoo.PASSPHRASE + "?"}
    forms = secret_holders.forms_of(secrets) | {secret_zoo.PASSPHRASE}
    with pytest.raises((HandshakeError, RuntimeError)) as caught:
        faults()[title]()
    text = told_by(caught.value)
    assert "File" in text
    assert shows(text, forms) == []


@pytest.mark.parametrize(
    "wrong", [{"mesh_secret": secret_zoo.MESH_SECRET + b"!"}, {"passphrase": ""}]
)
def test_no_error_of_a_configuration_shows_a_secret(wrong):
    """A configuration that is refused names the field and keeps its values to itself."""
    given = {"mesh_secret": secret_zoo.MESH_SECRET, "passphrase": secret_zoo.PASSPHRASE, **wrong}
    with pytest.raises(InvalidConfiguration) as caught:
        Configuration(**given)
    assert shows(str(caught.value), secret_holders.forms_of(given.values())) == []
