"""What is sealed is watched, and can be read."""

import pytest

from handshake.primitives import Aead
from mesh.testing.clock import Violation
from mesh.testing.tape import Sealed, Tape, kind_name
from mesh.wire import frames, messages
from mesh.wire.cbor import dumps
from mesh.wire.frames import DATA_HEADER
from mesh.wire.messages import encode_head, encode_packed_run, encode_run

KEY = b"k" * 32


def header(kind=frames.DATA, counter=0):
    return DATA_HEADER.pack(1, kind, 0, 77, counter)


def body_of(batch, *runs, handled=(0,)):
    return encode_head(batch, 3, list(handled), 100, len(runs)) + b"".join(runs)


@pytest.fixture
def tape():
    return Tape()


def test_it_seals_as_any_other(tape):
    """Both ways of sealing give what `Aead` gives, and what it opens."""
    for suite in ("ChaChaPoly", "AESGCM"):
        watched, plain = tape.aead("ann", suite, KEY), Aead(suite, KEY)
        sealed = watched.seal(0, header(), b"hello")
        assert sealed == plain.seal(0, header(), b"hello")
        buffer = bytearray(len(b"hello") + 16)
        watched.seal_into(1, header(counter=1), b"hello", memoryview(buffer))
        assert plain.open(1, header(counter=1), buffer) == b"hello"
        assert watched.open(0, header(), sealed) == b"hello"


def test_a_nonce_is_used_once(tape):
    """By whichever object, in whichever way."""
    tape.aead("ann", "ChaChaPoly", KEY).seal(5, header(), b"")
    again = tape.aead("ann", "ChaChaPoly", KEY)
    with pytest.raises(Violation, match="a nonce is used once"):
        again.seal(5, header(), b"")
    with pytest.raises(Violation, match="a nonce is used once"):
        again.seal_into(5, header(), b"", memoryview(bytearray(16)))
    tape.aead("ann", "AESGCM", KEY).seal(5, header(), b"")


def test_a_key_seals_for_one_side(tape):
    """Two owners of one sending key would meet in a nonce sooner or later."""
    tape.aead("ann", "ChaChaPoly", KEY).seal(1, header(), b"")
    with pytest.raises(Violation, match="one side"):
        tape.aead("bob", "ChaChaPoly", KEY).seal(2, header(), b"")


@pytest.mark.parametrize(
    ("body", "batch", "kind", "text"),
    [
        (body_of(0), 0, 0, "numbers (ack 3 handled 0 credit 100)"),
        (
            body_of(0, encode_packed_run(messages.PING, "", [dumps(7)])),
            0,
            messages.PING,
            "ping 7 (ack 3 handled 0 credit 100)",
        ),
        (
            body_of(0, encode_packed_run(messages.FRESH_1, "", [dumps(b"12345")])),
            0,
            messages.FRESH_1,
            "fresh 1 of 5 bytes (ack 3 handled 0 credit 100)",
        ),
        (
            body_of(9, encode_run(messages.TELL, "log", [b"a", b"b"]), handled=(4, (6, 7), (9, 9))),
            9,
            0,
            "batch 9: tell log ×2 (ack 3 handled 4,6-7,9-9 credit 100)",
        ),
    ],
)
def test_a_frame_can_be_read(tape, body, batch, kind, text):
    """By its clear header, as long as it was sealed here."""
    sealed = tape.aead("ann", "ChaChaPoly", KEY).seal(0, header(), body)
    assert tape.read(header() + sealed) == Sealed(batch, kind, body)
    assert tape.describe(header() + sealed) == text


def test_what_cannot_be_read_is_named_all_the_same(tape):
    """Handshake messages by their type, all else by its length."""
    aead = tape.aead("ann", "ChaChaPoly", KEY)
    assert tape.read(b"x" * 40) is None
    assert tape.describe(b"x" * 40) == "40 unknown bytes"
    assert tape.describe(b"") == "0 unknown bytes"
    for kind, name in ((frames.MESSAGE_1, "message 1"), (frames.MESSAGE_3, "message 3")):
        assert tape.describe(bytes([1, kind, 0])) == name
    refusal = header(frames.REFUSAL) + aead.seal(0, header(frames.REFUSAL), b"why")
    assert tape.read(refusal) is None
    assert tape.describe(refusal) == "refusal"
    for number, junk in enumerate((b"\xff" * 40, bytes(12)), 1):
        odd = header(counter=number) + aead.seal(number, header(counter=number), junk)
        assert tape.describe(odd) == "something else"


def test_kinds_have_names():
    """Those of the wire; others are named by their number."""
    assert kind_name(messages.HELLO_ANSWER) == "hello answer"
    assert kind_name(messages.CANCEL) == "cancel"
    assert kind_name(messages.request_kind(0)) == "request"
    assert kind_name(messages.request_kind(4)) == "request at depth 4"
    assert kind_name(200) == "kind 200"
