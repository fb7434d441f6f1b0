"""A failed read changes nothing: for each message, each region of it and each way to spoil it."""

from typing import NamedTuple

import pytest

from handshake.errors import DecryptionFailed, MalformedMessage
from handshake.patterns import parse_protocol_name
from handshakes import pair, turns

PAYLOAD = b"payload of a message"
HANDSHAKES = ["XX", "XXpsk0", "IK", "KKpsk0", "XXpsk3", "NNpsk0+psk2", "X1X1"]
SUITES = ["ChaChaPoly_SHA256", "AESGCM_BLAKE2b"]


class Region(NamedTuple):
    """Some bytes of a message. `sealed`: whether a tag covers them."""

    what: str
    start: int
    end: int
    sealed: bool


def regions_of(name, number):
    """The regions of message `number` (from 0), as section 5.3 lays them out."""
    pattern = parse_protocol_name(name).pattern
    messages = pattern.messages[: number + 1]
    has_key, found, at = False, [], 0
    for each, tokens in enumerate(messages):
        for token in tokens:
            if token == "e":
                parts = [("e", 32)]
            elif token == "s":
                parts = [("s", 32), ("tag of s", 16)] if has_key else [("s", 32)]
            else:
                parts = []
            if each == number:
                for what, length in parts:
                    found.append((what, at, at + length))
                    at += length
            has_key |= token not in {"e", "s"} or (token == "e" and pattern.psk_count > 0)
    found.append(("payload", at, at + len(PAYLOAD)))
    if has_key:
        found.append(("tag of payload", at + len(PAYLOAD), at + len(PAYLOAD) + 16))
    # Every tag covers all that was said before it: a sealed message has no byte that is free.
    return [Region(what, start, end, has_key) for what, start, end in found]


def spoiled(message, region):
    """The message with each byte of the region changed, cut in it, and with bytes put into it."""
    for at in range(region.start, region.end):
        for bit in (0x01, 0x80):
            yield message[:at] + bytes((message[at] ^ bit,)) + message[at + 1 :]
        yield message[:at]
        yield message[:at] + message[at + 1 :]
    for extra in (b"\0", b"\xff" * 16):
        yield message[: region.end] + extra + message[region.end :]
    yield message[: region.start] + message[region.end :]
    zeroed = bytes(region.end - region.start)
    yield message[: region.start] + zeroed + message[region.end :]


@pytest.mark.parametrize("suite", SUITES)
@pytest.mark.parametrize("handshake", HANDSHAKES)
def test_whatever_is_spoiled_the_genuine_message_is_read_next(handshake, suite, random_bytes):
    """Keys, tags and payload of every message, spoiled: no read succeeds; the hashes are equal."""
    name = f"Noise_{handshake}_25519_{suite}"
    initiator, responder = pair(name, random_bytes)
    tried = 0
    for number, (writer, reader) in enumerate(turns((initiator, responder))):
        message = writer.write_message(PAYLOAD)
        regions = regions_of(name, number)
        assert [regions[0].start, regions[-1].end] == [0, len(message)]
        for region in regions if regions[0].sealed else ():
            for bad in spoiled(message, region):
                if bad == message:
                    continue
                with pytest.raises((DecryptionFailed, MalformedMessage)):
                    reader.read_message(bad)
                tried += 1
        for bad in (b"", message[:31], bytes(65_536), message + bytes(65_536)):
            with pytest.raises((DecryptionFailed, MalformedMessage)):
                reader.read_message(bad)
        assert reader.read_message(message) == PAYLOAD
    assert initiator.handshake_hash == responder.handshake_hash
    assert tried > 500
    there, back = initiator.split()
    their_there, their_back = responder.split()
    assert their_there.decrypt_with_ad(b"", there.encrypt_with_ad(b"", b"to")) == b"to"
    assert back.decrypt_with_ad(b"", their_back.encrypt_with_ad(b"", b"back")) == b"back"


@pytest.mark.parametrize("suite", SUITES)
def test_a_clear_first_message_that_was_changed_leads_nowhere(suite, random_bytes):
    """XX: a changed copy is accepted, but its handshake ends with the answer to it.

    The genuine message is read beside it, and that handshake finishes.
    """
    name = f"Noise_XX_25519_{suite}"
    initiator, responder = pair(name, random_bytes)
    message = initiator.write_message(PAYLOAD)
    for region in regions_of(name, 0):
        for at in range(region.start, region.end):
            changed = message[:at] + bytes((message[at] ^ 0x01,)) + message[at + 1 :]
            payload, half_open = responder.after_reading(changed)
            assert (payload == PAYLOAD) is (region.what != "payload")
            with pytest.raises(DecryptionFailed):
                initiator.read_message(half_open.write_message(PAYLOAD))
            assert not half_open.finished
    for cut in (message[:31], b""):
        with pytest.raises(MalformedMessage):
            responder.read_message(cut)
    assert responder.read_message(message) == PAYLOAD
    initiator.read_message(responder.write_message(PAYLOAD))
    responder.read_message(initiator.write_message(PAYLOAD))
    assert initiator.handshake_hash == responder.handshake_hash


@pytest.mark.parametrize("handshake", ["XX", "XXpsk0", "IK", "KKpsk0"])
def test_regions_are_those_of_the_messages(handshake, random_bytes):
    """What the tests above call a key, a tag and a payload lies where the pattern puts it."""
    name = f"Noise_{handshake}_25519_ChaChaPoly_SHA256"
    expected = {
        "XX": [
            "e payload",
            "e s tag-of-s payload tag-of-payload",
            "s tag-of-s payload tag-of-payload",
        ],
        "XXpsk0": [
            "e payload tag-of-payload",
            "e s tag-of-s payload tag-of-payload",
            "s tag-of-s payload tag-of-payload",
        ],
        "IK": ["e s tag-of-s payload tag-of-payload", "e payload tag-of-payload"],
        "KKpsk0": ["e payload tag-of-payload", "e payload tag-of-payload"],
    }[handshake]
    for number, (writer, reader) in enumerate(turns(pair(name, random_bytes))):
        message = writer.write_message(PAYLOAD)
        regions = regions_of(name, number)
        assert " ".join(each.what.replace(" ", "-") for each in regions) == expected[number]
        assert regions[-1].end == len(message)
        clear = [each for each in regions if each.what == "payload" and not each.sealed]
        assert all(message[each.start : each.end] == PAYLOAD for each in clear)
        reader.read_message(message)
