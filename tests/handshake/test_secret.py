"""Secret and SecretText: what they hold in every use, and nothing to see in every print."""

import base64
import copy
import hmac
import pickle
import pprint

import pytest

from handshake.secret import HoldsSecret, Secret, SecretText

KEY = bytes(range(32))
WORDS = "correct horse battery staple"


@pytest.mark.parametrize("secret", [Secret(KEY), SecretText(WORDS)])
def test_a_secret_prints_its_type(secret):
    """Every print, of it or of what it lies in, gives the name of the type."""
    shown = f"<{type(secret).__name__}>"
    assert [repr(secret), str(secret), f"{secret}", f"{secret!r}", "%s" % secret] == [shown] * 5  # noqa: UP031
    assert pprint.pformat([secret]) == f"[{shown}]"
    assert f"{secret:>12}".strip() == shown


@pytest.mark.parametrize("secret", [Secret(KEY), SecretText(WORDS)])
@pytest.mark.parametrize("leak", [pickle.dumps, copy.copy, copy.deepcopy])
def test_a_secret_is_neither_pickled_nor_copied(secret, leak):
    """Also as a part of something else."""
    with pytest.raises(TypeError, match="holds a secret"):
        leak(secret)
    if leak is not copy.copy:
        with pytest.raises(TypeError):
            leak([secret])


def test_a_secret_is_its_bytes():
    """It compares, hashes, slices and feeds functions as they do; what comes out is plain."""
    secret = Secret(KEY)
    assert secret == KEY
    assert hash(secret) == hash(KEY)
    assert secret[:4] == KEY[:4]
    assert type(secret[:4]) is type(secret + b"") is type(bytes(secret)) is bytes
    assert secret.hex() == KEY.hex()
    assert base64.b64encode(secret) == base64.b64encode(KEY)
    assert hmac.digest(secret, b"x", "sha256") == hmac.digest(KEY, b"x", "sha256")
    assert Secret(secret) == bytes(secret) == KEY


def test_a_secret_text_is_revealed_by_name_alone():
    """It is no text, so nothing takes its print for the passphrase; equal ones are equal."""
    secret = SecretText(WORDS)
    assert secret.reveal() == WORDS
    assert secret == SecretText(WORDS)
    assert hash(secret) == hash(SecretText(WORDS))
    assert secret != SecretText("other")
    assert secret != WORDS
    assert not isinstance(secret, str)


def test_what_a_caller_hands_over_is_hidden_at_once():
    """`of` never raises: bytes are taken, a secret stays itself, a slip has no length."""
    secret = Secret(KEY)
    assert Secret.of(secret) is secret
    assert Secret.of(KEY) == KEY
    assert type(Secret.of(KEY)) is Secret
    for slip in (bytearray(KEY), memoryview(KEY), KEY.hex(), None, 32):
        assert Secret.of(slip) == b""


def test_a_holder_prints_its_type():
    """What derives from the base shows nothing of what it keeps unless it says so itself."""

    class Box(HoldsSecret):
        __slots__ = ("inside",)

    class Labelled(Box):
        __slots__ = ()

        def __repr__(self):
            return "<Labelled 7>"

    box = Box()
    box.inside = KEY
    assert repr(box) == str(box) == f"{box}" == "<Box>"
    assert str(Labelled()) == "<Labelled 7>"
    with pytest.raises(TypeError):
        pickle.dumps(box)
