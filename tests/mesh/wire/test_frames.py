"""Clear headers: what is packed is read back, and nothing but MalformedFrame is raised."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handshake.errors import DecryptionFailed
from handshake.primitives import Aead
from mesh.constants import VERSION
from mesh.errors import MalformedFrame
from mesh.wire import frames
from mesh.wire.frames import HandshakeFrame

SESSION = st.integers(1, (1 << 64) - 1)
MESH_ID = bytes(range(32))
PSK_ID = b"invite-7"


@given(
    st.sampled_from(sorted(frames.HANDSHAKE_TYPES)),
    SESSION,
    SESSION,
    st.binary(min_size=8, max_size=8),
    st.binary(min_size=1, max_size=100),
)
def test_handshake_frames_are_read_as_packed(
    kind: int, receiver: int, sender: int, psk_id: bytes, noise: bytes
) -> None:
    """Every field comes back, from any kind of buffer."""
    first = kind == frames.MESSAGE_1
    receiver, psk_id = (0, psk_id) if first else (receiver, frames.MESH_PSK_ID)
    frame = frames.pack_handshake(kind, receiver, sender, noise, psk_id)
    expected = HandshakeFrame(kind, 0, receiver, sender, psk_id, noise)
    assert frames.parse_handshake(frame) == expected
    assert frames.parse_handshake(bytearray(frame)) == expected
    from_view = frames.parse_handshake(memoryview(frame))
    assert from_view == expected
    assert type(from_view.noise) is bytes


@pytest.mark.parametrize(
    ("kind", "psk_id", "flags"),
    [(1, frames.MESH_PSK_ID, 1), (2, frames.MESH_PSK_ID, 0x8000), (2, PSK_ID, 0), (3, PSK_ID, 0)],
)
def test_clear_fields_without_a_meaning_are_refused(kind: int, psk_id: bytes, flags: int) -> None:
    """So that they can be given one later which nobody of today takes for nothing."""
    frame = frames.pack_handshake(kind, int(kind > 1), 3, b"noise", psk_id, flags)
    with pytest.raises(MalformedFrame, match="mean nothing"):
        frames.parse_handshake(frame)


def test_layout_of_a_handshake_frame() -> None:
    """version type flags receiver_session sender_session psk_id noise, all big-endian."""
    frame = frames.pack_handshake(frames.MESSAGE_2, 2, 3, b"noise", PSK_ID, flags=4)
    expected = "01" + "02" + "0004" + "0000000000000002" + "0000000000000003"
    assert frame == bytes.fromhex(expected) + PSK_ID + b"noise"
    assert frames.HANDSHAKE_HEADER_BYTES == 28


def test_layout_of_a_data_header() -> None:
    """version type flags receiver_session counter: 20 bytes, all big-endian."""
    header = frames.DATA_HEADER.pack(VERSION, frames.DATA, 0, 5, 6)
    assert header.hex() == "01" + "04" + "0000" + "0000000000000005" + "0000000000000006"
    assert frames.DATA_HEADER_BYTES == len(header) == 20


def test_handshake_frames_at_the_limit_and_one_past_it() -> None:
    """4096 bytes are read, 4097 are not; a header without a message is none."""
    most = frames.HANDSHAKE_MAX_BYTES - frames.HANDSHAKE_HEADER_BYTES
    assert len(frames.parse_handshake(frames.pack_handshake(1, 0, 1, bytes(most))).noise) == most
    for length in (most + 1, 1 << 20, 0):
        with pytest.raises(MalformedFrame, match="length"):
            frames.parse_handshake(frames.pack_handshake(1, 0, 1, bytes(length)))


@pytest.mark.parametrize(
    ("kind", "receiver", "sender"),
    [
        (frames.MESSAGE_1, 1, 2),
        (frames.MESSAGE_1, 0, 0),
        (frames.MESSAGE_2, 0, 2),
        (frames.MESSAGE_2, 1, 0),
        (frames.MESSAGE_3, 0, 2),
        (frames.MESSAGE_3, 1, 0),
        (frames.DATA, 1, 2),
        (frames.BULK, 1, 2),
        (0, 0, 1),
        (255, 1, 2),
    ],
)
def test_fields_that_do_not_fit_the_message(kind: int, receiver: int, sender: int) -> None:
    """Only message 1 has no receiver, every message has a sender, and there are three."""
    with pytest.raises(MalformedFrame):
        frames.parse_handshake(frames.pack_handshake(kind, receiver, sender, b"noise"))


@pytest.mark.parametrize("version", [0, 2, 255])
def test_another_version_is_refused(version: int) -> None:
    """In either kind of frame."""
    handshake = bytearray(frames.pack_handshake(1, 0, 1, b"noise"))
    handshake[0] = version
    with pytest.raises(MalformedFrame, match="version"):
        frames.parse_handshake(handshake)
    with pytest.raises(MalformedFrame, match="version"):
        frames.parse_data_header(frames.DATA_HEADER.pack(version, 4, 0, 1, 2) + bytes(16))


@pytest.mark.parametrize(("kind", "counter"), [(frames.DATA, (1 << 64) - 1), (frames.REFUSAL, 0)])
@pytest.mark.parametrize("sealed_bytes", [16, 17, 70_000])
def test_a_data_header_is_read(sealed_bytes: int, kind: int, counter: int) -> None:
    """Session and counter come back where at least a tag follows."""
    frame = frames.DATA_HEADER.pack(VERSION, kind, 0, 7, counter) + bytes(sealed_bytes)
    expected = frames.DataHeader(kind, 7, counter, 0)
    assert frames.parse_data_header(frame) == expected
    assert frames.parse_data_header(memoryview(frame)) == expected


def test_a_refusal_has_no_counter() -> None:
    """It is sealed under counter 0: another number in its place would mean nothing."""
    with pytest.raises(MalformedFrame, match="counter"):
        frames.parse_data_header(
            frames.DATA_HEADER.pack(VERSION, frames.REFUSAL, 0, 7, 1) + bytes(16)
        )


@pytest.mark.parametrize(("array", "body"), [(16, 16), (100, 16), (16, 100), (65_535, 1000)])
def test_a_bulk_header_is_read(array: int, body: int) -> None:
    """Its flags are the length of the sealed array."""
    frame = frames.DATA_HEADER.pack(VERSION, frames.BULK, array, 7, 8) + bytes(array + body)
    assert frames.parse_data_header(frame) == frames.DataHeader(frames.BULK, 7, 8, array)


@pytest.mark.parametrize(
    ("kind", "flags", "sealed_bytes"),
    [
        (frames.DATA, 0, 15),
        (frames.DATA, 0, 0),
        (frames.DATA, 1, 100),
        (frames.BULK, 0, 100),
        (frames.BULK, 15, 100),
        (frames.BULK, 85, 100),
        (frames.BULK, 101, 100),
        (frames.BULK, 65_535, 65_535),
        (frames.MESSAGE_1, 0, 100),
        (frames.REFUSAL, 0, 15),
        (frames.REFUSAL, 1, 100),
        (7, 0, 100),
        (0, 0, 100),
    ],
)
def test_data_frames_that_cannot_be_opened(kind: int, flags: int, sealed_bytes: int) -> None:
    """Lengths are checked before any key is looked up."""
    frame = frames.DATA_HEADER.pack(VERSION, kind, flags, 1, 2) + bytes(sealed_bytes)
    with pytest.raises(MalformedFrame):
        frames.parse_data_header(frame)


@pytest.mark.parametrize("length", range(frames.DATA_HEADER_BYTES))
def test_a_cut_off_header_is_malformed(length: int) -> None:
    """However little there is."""
    frame = frames.DATA_HEADER.pack(VERSION, frames.DATA, 0, 1, 2)[:length]
    with pytest.raises(MalformedFrame):
        frames.parse_data_header(frame)
    with pytest.raises(MalformedFrame):
        frames.parse_handshake(frame)


@given(st.binary(max_size=100), st.sampled_from([b"", b"\x01", b"\x01\x01\0\0", b"\x01\x05\0\x20"]))
def test_any_bytes_give_a_frame_or_malformed_frame(tail: bytes, head: bytes) -> None:
    """The fuzz contract of both parsers."""
    data = head + tail
    for parse in (frames.parse_handshake, frames.parse_data_header):
        try:
            parse(data)
        except MalformedFrame:
            continue
        assert data[0] == VERSION


def test_a_refusal_is_opened_by_its_key_alone() -> None:
    """The reason comes back; a changed byte anywhere, or another key, opens nothing."""
    frame = frames.pack_refusal(Aead("ChaChaPoly", bytes(32)), 7, b"\x64busy")
    assert frames.parse_data_header(frame) == frames.DataHeader(frames.REFUSAL, 7, 0, 0)
    assert frames.open_refusal(Aead("ChaChaPoly", bytes(32)), memoryview(frame)) == b"\x64busy"
    with pytest.raises(DecryptionFailed):
        frames.open_refusal(Aead("ChaChaPoly", bytes([1]) * 32), frame)
    for place in range(len(frame)):
        changed = bytearray(frame)
        changed[place] ^= 1
        with pytest.raises(DecryptionFailed):
            frames.open_refusal(Aead("ChaChaPoly", bytes(32)), changed)


def test_layout_of_the_prologue() -> None:
    """label ‖ mesh id ‖ header of message 1 ‖ pattern."""
    header = frames.pack_handshake(frames.MESSAGE_1, 0, 9, b"", PSK_ID, flags=3)
    expected = b"noisemesh 1 prologue" + MESH_ID + header + b"Noise_XXpsk0_25519_ChaChaPoly_SHA256"
    assert frames.prologue(MESH_ID, 9, PSK_ID, flags=3) == expected


def test_every_clear_field_changes_the_prologue() -> None:
    """What both sides did not see alike can never be opened."""
    prologues = {
        frames.prologue(MESH_ID, 1),
        frames.prologue(bytes(32), 1),
        frames.prologue(MESH_ID, 2),
        frames.prologue(MESH_ID, 1, PSK_ID),
        frames.prologue(MESH_ID, 1, flags=1),
    }
    assert len(prologues) == 5
    assert len({len(each) for each in prologues}) == 1


@pytest.mark.parametrize("length", [0, 31, 33])
def test_a_mesh_id_of_another_length_is_our_mistake(length: int) -> None:
    """A fixed length keeps the parts of the prologue apart."""
    with pytest.raises(ValueError, match="mesh id"):
        frames.prologue(bytes(length), 1)
