"""The table of patterns keeps Noise's own rules, and names are read strictly."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handshake.constants import FRESH_PROTOCOL, WIRE_PROTOCOL
from handshake.errors import InvalidProtocolName
from handshake.patterns import PATTERNS, parse_protocol_name

TAIL = "_25519_ChaChaPoly_SHA256"
DH = ("ee", "es", "se", "ss")


def pattern(name):
    """The pattern of a name without its algorithms."""
    return parse_protocol_name(f"Noise_{name}{TAIL}").pattern


def test_the_table_holds_all_patterns_of_revision_34():
    """3 one-way, 12 interactive and 23 deferred ones."""
    deferred = [name for name in PATTERNS if "1" in name]
    assert [len(PATTERNS), len(deferred)] == [38, 23]
    assert [name for name, entry in PATTERNS.items() if entry.one_way] == ["N", "K", "X"]


@pytest.mark.parametrize("name", PATTERNS)
def test_a_pattern_keeps_the_validity_rules(name):
    """Section 7.3: keys are known before they are used, no token comes twice, ee comes first."""
    entry = PATTERNS[name]
    known = [set(entry.initiator_knows), set(entry.responder_knows)]
    done = []
    for number, tokens in enumerate(entry.messages):
        for token in tokens:
            if token in DH:
                assert token[0] in known[0], f"{token} before the initiator's key"
                assert token[1] in known[1], f"{token} before the responder's key"
                assert token not in done
                done.append(token)
            else:
                assert token not in known[number % 2], f"{token} twice"
                known[number % 2].add(token)
        # A static key's DH makes the sender's payload depend on its own ephemeral first.
        if number % 2 and "se" in done:
            assert "ee" in done
        if not number % 2 and number and "es" in done:
            assert "ee" in done
    assert entry.one_way or "ee" in done


@pytest.mark.parametrize("name", PATTERNS)
def test_a_name_says_what_its_pattern_does(name):
    """Its letters say how each static key gets across (section 7.5)."""
    entry = PATTERNS[name]
    letters = name.replace("1", "")
    initiator, responder = letters if len(letters) == 2 else (letters, "K")
    ours = [number for number, tokens in enumerate(entry.messages) if "s" in tokens]
    assert ("s" in entry.initiator_knows) == (initiator == "K")
    assert ("s" in entry.responder_knows) == (responder == "K")
    assert any(number % 2 == 0 for number in ours) == (initiator in "XI")
    assert any(number % 2 for number in ours) == (responder == "X")


@pytest.mark.parametrize(
    ("name", "messages"),
    [
        ("XXpsk0", [["psk", "e"], ["e", "ee", "s", "es"], ["s", "se"]]),
        ("XXpsk3", [["e"], ["e", "ee", "s", "es"], ["s", "se", "psk"]]),
        ("NNpsk0+psk2", [["psk", "e"], ["e", "ee", "psk"]]),
        ("KKpsk0", [["psk", "e", "es", "ss"], ["e", "ee", "se"]]),
        ("Xpsk1", [["e", "es", "s", "ss", "psk"]]),
    ],
)
def test_psk_modifiers_put_their_token_in_place(name, messages):
    """Section 9.4: psk0 first of all, pskN last of message N."""
    entry = pattern(name)
    assert entry.messages == tuple(tuple(tokens) for tokens in messages)
    assert entry.psk_count == sum(tokens.count("psk") for tokens in messages)


def test_fallback_turns_the_pattern_around():
    """XXfallback of section 10.4: the second speaker begins, the first message is known."""
    entry = pattern("XXfallback")
    assert entry.initiator_knows == ()
    assert entry.responder_knows == ("e",)
    assert entry.messages == (("e", "ee", "s", "se"), ("s", "es"))
    assert pattern("XXfallback+psk0").messages[0] == ("psk", "e", "ee", "s", "se")


def test_the_wires_own_protocols_are_spoken():
    """Both names are read, with their suite and hash."""
    for name in (WIRE_PROTOCOL, FRESH_PROTOCOL):
        protocol = parse_protocol_name(name)
        assert (protocol.name, protocol.suite) == (name, "ChaChaPoly")
        assert protocol.hash.name == "sha256"
        assert protocol.pattern.psk_count == 1


@pytest.mark.parametrize(
    "name",
    [
        "",
        "XX",
        "Noise_XX",
        "noise_XX_25519_AESGCM_SHA256",
        "Noise_YY_25519_AESGCM_SHA256",
        "Noise_XX_448_AESGCM_SHA256",
        "Noise_XX_25519_AES_SHA256",
        "Noise_XX_25519_AESGCM_SHA1",
        "Noise_XX_25519_AESGCM_SHA256 ",
        "Noise_XX_25519_AESGCM_SHA256\n",
        "Noise_XXpsk4_25519_AESGCM_SHA256",
        "Noise_XXpsk_25519_AESGCM_SHA256",
        "Noise_XXpsk00_25519_AESGCM_SHA256",
        "Noise_XXpsk03_25519_AESGCM_SHA256",
        "Noise_XXpsk3+psk0_25519_AESGCM_SHA256",
        "Noise_XXpsk0+psk0_25519_AESGCM_SHA256",
        "Noise_XXpsk0+_25519_AESGCM_SHA256",
        "Noise_XX+psk0_25519_AESGCM_SHA256",
        "Noise_XXhfs_25519_AESGCM_SHA256",
        "Noise_XXpsk0+fallback_25519_AESGCM_SHA256",
        "Noise_IKfallback_25519_AESGCM_SHA256",
        "Noise_Nfallback_25519_AESGCM_SHA256",
    ],
)
def test_other_names_are_refused(name):
    """A name is read exactly: unknown parts, order, doubles and leading zeros are errors."""
    with pytest.raises(InvalidProtocolName):
        parse_protocol_name(name)


@given(st.text() | st.from_regex(r"Noise_[A-Z1]{1,4}[a-z0-3+]{0,12}_25519_AESGCM_SHA256"))
def test_any_text_is_a_protocol_or_the_documented_error(name):
    """Nothing but InvalidProtocolName comes out of a name."""
    try:
        assert parse_protocol_name(name).name == name
    except InvalidProtocolName:
        pass
