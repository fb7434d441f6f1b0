"""Handshakes of another implementation, byte for byte, and canaries of our own."""

import json
from collections import Counter

import pytest

import canaries
from handshake.errors import DecryptionFailed, InvalidKey, MalformedMessage
from handshake.handshake_state import HandshakeState
from handshake.patterns import parse_protocol_name
from handshakes import turns
from noise_names import IN_CACOPHONY, SUITES

CANARIES = sorted(canaries.FOLDER.glob("*.json"))


def unhex(vector, key):
    """A field of a vector, None when it is not there."""
    return bytes.fromhex(vector[key]) if key in vector else None


def side_of(vector, role):
    """One side as a vector describes it."""
    return HandshakeState(
        vector["protocol_name"],
        initiator=role == "init",
        prologue=unhex(vector, f"{role}_prologue"),
        s=unhex(vector, f"{role}_static"),
        e=unhex(vector, f"{role}_ephemeral"),
        rs=unhex(vector, f"{role}_remote_static"),
        psks=[bytes.fromhex(psk) for psk in vector.get(f"{role}_psks", [])],
    )


def check_vector(vector):
    """Every message of a vector, of the handshake and of the transport, both ways."""
    initiator, responder = side_of(vector, "init"), side_of(vector, "resp")
    pattern = parse_protocol_name(vector["protocol_name"]).pattern
    messages = [
        (bytes.fromhex(message["payload"]), bytes.fromhex(message["ciphertext"]))
        for message in vector["messages"]
    ]
    rest = iter(messages)
    for writer, reader in turns((initiator, responder)):
        payload, expected = next(rest)
        assert writer.write_message(payload) == expected
        assert reader.read_message(expected) == payload
    h = bytes.fromhex(vector["handshake_hash"])
    assert initiator.handshake_hash == responder.handshake_hash == h
    ours, theirs = initiator.split(), responder.split()
    transport = 0
    for number, (payload, expected) in enumerate(rest, len(pattern.messages)):
        direction = 0 if pattern.one_way else number % 2
        sender, receiver = (ours, theirs) if direction == 0 else (theirs, ours)
        assert sender[direction].encrypt_with_ad(b"", payload) == expected
        assert receiver[direction].decrypt_with_ad(b"", expected) == payload
        transport += 1
    return transport


def test_all_vectors_of_cacophony(vectors):
    """472 handshakes on 25519: 59 patterns in 8 suites, their hashes, 1,688 transport messages."""
    text = (vectors / "cacophony" / "cacophony.txt").read_text()
    ran, transport = Counter(), 0
    for vector in json.loads(text)["vectors"]:
        name = vector["protocol_name"]
        if "_25519_" not in name:
            continue
        try:
            transport += check_vector(vector)
        except Exception as error:
            error.add_note(name)
            raise
        _, pattern, _, suite = name.split("_", 3)
        ran[pattern, suite] += 1
    assert sum(ran.values()) == 472
    assert {suite for _, suite in ran} == set(SUITES)
    assert {pattern for pattern, _ in ran} == IN_CACOPHONY
    assert set(ran.values()) == {1}
    assert transport == 1688


FAILURES = {
    canaries.DECRYPTION_FAILED: DecryptionFailed,
    canaries.MALFORMED: MalformedMessage,
    canaries.INVALID_KEY: InvalidKey,
}


def reader_of(vector):
    """The side that meets the fault."""
    return HandshakeState(
        vector["protocol_name"],
        initiator=vector["reader"] == "initiator",
        prologue=unhex(vector, "prologue"),
        s=unhex(vector, "s"),
        e=unhex(vector, "e"),
        rs=unhex(vector, "rs"),
        psks=[bytes.fromhex(psk) for psk in vector["psks"]],
    )


@pytest.mark.parametrize("path", CANARIES, ids=lambda path: path.stem)
def test_a_canary_fails_as_it_says(path):
    """The faulty message fails by its kind of failure, and the genuine one is read after it."""
    vector = json.loads(path.read_text(encoding="utf-8"))
    failure = FAILURES[vector["expected"]]
    if failure is InvalidKey:
        with pytest.raises(failure):
            reader_of(vector)
        return
    reader = reader_of(vector)
    our_turn = vector["reader"] == "initiator"
    for number, message in enumerate(vector["before"], 1):
        if our_turn:
            assert reader.write_message(b"payload %d" % number).hex() == message
        else:
            assert reader.read_message(bytes.fromhex(message)) == b"payload %d" % number
        our_turn = not our_turn
    with pytest.raises(failure) as caught:
        reader.read_message(bytes.fromhex(vector["message"]))
    assert type(caught.value) is failure
    assert reader.read_message(bytes.fromhex(vector["genuine"])).hex() == vector["payload"]


def test_the_canaries_are_what_the_script_writes():
    """No file is edited by hand, missing or left over."""
    made = {name: canaries.text_of(vector) for name, vector in canaries.all_canaries().items()}
    assert {path.stem: path.read_text(encoding="utf-8") for path in CANARIES} == made
    assert {vector["expected"] for vector in canaries.all_canaries().values()} == set(FAILURES)
