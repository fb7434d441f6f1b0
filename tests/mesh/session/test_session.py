"""One secure channel: each frame opens once, at one place, and failures change nothing."""

import pickle
from math import inf

import pytest

from handshake.errors import DecryptionFailed
from mesh import constants
from mesh.session.deadlines import Lifetime, Repeat
from mesh.session.session import SessionEnded
from mesh.session.states import State, Trigger
from mesh.wire.frames import BULK, DATA, DATA_HEADER, DATA_HEADER_BYTES, parse_data_header

SUITES = ("ChaChaPoly", "AESGCM")
LARGE = bytes(range(256)) * 300


def opened(session, frame):
    """What a session makes of a frame."""
    return session.open(parse_data_header(frame), frame)


def tampered(frame, at):
    """The frame with one bit of one byte turned."""
    frame = bytearray(frame)
    frame[at] ^= 1
    return bytes(frame)


@pytest.mark.parametrize("suite", SUITES)
@pytest.mark.parametrize("body", [b"", b"hello", LARGE])
def test_what_one_end_seals_the_other_opens_once(pair, suite, body):
    """Both ways, as bytes or as a view, and the second time not at all."""
    alice, bob = pair(suite)
    for sender, receiver in ((alice, bob), (bob, alice)):
        frame = sender.seal(body)
        assert bytes(frame[:DATA_HEADER_BYTES]) == DATA_HEADER.pack(
            constants.VERSION, DATA, 0, receiver.local_id, 0
        )
        assert opened(receiver, memoryview(frame)) == (body, None)
        assert opened(receiver, bytes(frame)) is None


@pytest.mark.parametrize("suite", SUITES)
@pytest.mark.parametrize("bulk", [b"", b"x", LARGE])
def test_a_bulk_body_travels_beside_the_array_under_the_next_counter(pair, suite, bulk):
    """Two counters are used up, and neither is accepted again."""
    alice, bob = pair(suite)
    alice.seal(b"not delivered")
    frame = alice.seal(b"array", bulk)
    header = parse_data_header(frame)
    assert (header.type, header.counter, header.array_bytes) == (BULK, 1, 5 + 16)
    assert opened(bob, frame) == (b"array", bulk)
    assert opened(bob, frame) is None
    following = alice.seal(b"following")
    assert parse_data_header(following).counter == 3
    assert opened(bob, following) == (b"following", None)


def test_frames_open_in_any_order(pair):
    """The window takes what was overtaken, plain and bulk, each once."""
    alice, bob = pair()
    frames = [alice.seal(b"%d" % n, b"bulk" if n % 3 else None) for n in range(12)]
    for n in (11, 0, 5, 4, 10, 1, 9, 2, 8, 3, 7, 6):
        assert opened(bob, frames[n]) == (b"%d" % n, b"bulk" if n % 3 else None)
    assert [opened(bob, frame) for frame in frames] == [None] * 12


@pytest.mark.parametrize("bulk", [None, b"beside"])
def test_a_forged_frame_changes_nothing(pair, bulk):
    """Whatever byte was turned, the genuine frame still opens, and then once."""
    alice, bob = pair()
    alice.seal(b"lost")
    frame = bytes(alice.seal(b"body", bulk))
    for at in range(len(frame)):
        if at in {0, 1, 2, 3}:
            continue
        with pytest.raises(DecryptionFailed):
            # A counter beyond the hard stop is not even tried.
            if opened(bob, tampered(frame, at)) is None:
                raise DecryptionFailed
        assert not bob.wants_renewal(0.0)
    assert opened(bob, frame) == (b"body", bulk)


def test_a_forged_second_half_leaves_the_first_half_unaccepted(pair):
    """A bulk frame is opened whole or not at all."""
    alice, bob = pair()
    frame = alice.seal(b"array", b"bulk body")
    with pytest.raises(DecryptionFailed):
        opened(bob, tampered(frame, -1))
    assert opened(bob, frame) == (b"array", b"bulk body")


def test_a_bulk_frame_needs_both_counters_unused(pair):
    """If either counter was seen, nothing is opened."""
    alice, bob = pair()
    bulk = alice.seal(b"array", b"bulk")
    other, _ = pair()
    other.seal(b"zero")
    assert opened(bob, other.seal(b"one")) == (b"one", None)
    assert opened(bob, bulk) is None


def test_the_halves_of_a_bulk_frame_are_no_frames(pair):
    """The sealed body under the next counter cannot be passed off as a frame of its own."""
    alice, bob = pair()
    frame = alice.seal(b"array", b"bulk body")
    array_bytes = parse_data_header(frame).array_bytes
    sealed = bytes(frame[DATA_HEADER_BYTES + array_bytes :])
    header = DATA_HEADER.pack(constants.VERSION, DATA, 0, bob.local_id, 1)
    with pytest.raises(DecryptionFailed):
        opened(bob, header + sealed)
    shifted = DATA_HEADER.pack(constants.VERSION, BULK, array_bytes - 1, bob.local_id, 0)
    with pytest.raises(DecryptionFailed):
        opened(bob, shifted + bytes(frame[DATA_HEADER_BYTES:]))


@pytest.mark.parametrize(
    ("kind", "counter"),
    [
        (DATA, constants.HARD_STOP_FRAMES),
        (DATA, 2**64 - 1),
        (BULK, constants.HARD_STOP_FRAMES - 1),
        (BULK, 2**64 - 1),
    ],
)
def test_a_counter_that_nobody_may_use_is_dropped(pair, kind, counter):
    """Even under the right key: none from the hard stop on, and none whose next is no counter."""
    alice, bob = pair()
    array_bytes = 17 if kind == BULK else 0
    header = DATA_HEADER.pack(constants.VERSION, kind, array_bytes, bob.local_id, counter)
    sealed = alice._seal.seal(counter, header, b"a")
    if kind == BULK and counter + 1 < 2**64:
        sealed += alice._seal.seal(counter + 1, header, b"bulk")
    assert opened(bob, header + sealed + bytes(16 if counter == 2**64 - 1 else 0)) is None
    assert not bob.wants_renewal(0.0)
    assert opened(bob, alice.seal(b"genuine")) == (b"genuine", None)


def test_the_frames_of_a_session_are_counted_to_the_last(pair):
    """The last counter is used, none after it; a bulk frame needs room for two."""
    alice, bob = pair()
    alice._next_counter = constants.HARD_STOP_FRAMES - 1
    with pytest.raises(SessionEnded):
        alice.seal(b"array", b"bulk")
    frame = alice.seal(b"last")
    assert opened(bob, frame) == (b"last", None)
    with pytest.raises(SessionEnded):
        alice.seal(b"one past it")
    alice._next_counter = constants.HARD_STOP_FRAMES - 2
    frame = alice.seal(b"array", b"bulk")
    assert parse_data_header(frame).counter == constants.HARD_STOP_FRAMES - 2
    with pytest.raises(SessionEnded):
        alice.seal(b"one past it")


def test_an_array_too_long_for_its_length_uses_up_no_counter(pair):
    """Beside a bulk body 65,519 bytes fit, one more is our own mistake."""
    alice, bob = pair()
    with pytest.raises(ValueError, match="16-bit"):
        alice.seal(bytes(65_520), b"bulk")
    frame = alice.seal(bytes(65_519), b"bulk")
    assert parse_data_header(frame).counter == 0
    assert opened(bob, frame) == (bytes(65_519), b"bulk")


def test_until_the_welcome_nothing_else_is_opened(pair):
    """Frames other than counter 0 are dropped unmarked, and open after it."""
    alice, bob = pair(awaits_welcome=True)
    welcome, data = bob.seal(b"welcome"), bob.seal(b"data")
    assert opened(alice, data) is None
    assert opened(alice, welcome) == (b"welcome", None)
    alice.on_opened()
    assert opened(alice, data) == (b"data", None)


def test_only_who_began_an_xx_exchange_was_welcomed(pair):
    """Not before the welcome, not its responder, and nobody in a fresh exchange."""
    alice, bob = pair(awaits_welcome=True)
    assert not alice.was_welcomed
    alice.on_opened()
    bob.on_opened()
    assert (alice.was_welcomed, bob.was_welcomed) == (True, False)
    assert not any(end.was_welcomed for end in pair(fresh=True))


def test_the_first_opened_frame_confirms(pair):
    """Before it no data may be sent, though frames can be sealed; after it they may."""
    alice, bob = pair()
    assert alice.state is State.UNCONFIRMED
    assert not alice.may_send(0.0)
    assert opened(bob, alice.seal(b"ping")) == (b"ping", None)
    bob.on_opened()
    assert bob.state is State.CONFIRMED
    assert bob.may_send(0.0)


def test_sending_stops_before_the_end(pair):
    """At the time to stop, and when only a bulk frame's second counter is left, nothing is sent."""
    alice, _ = pair(lifetime=Lifetime(10.0, 19.0, 20.0, 5.0))
    alice.on_opened()
    assert alice.may_send(18.999)
    assert not alice.may_send(19.0)
    alice._next_counter = constants.HARD_STOP_FRAMES - 2
    assert alice.may_send(0.0)
    alice.seal(b"")
    assert not alice.may_send(0.0)


def test_renewal_is_wanted_at_its_time_or_after_its_frames(pair):
    """Whichever comes first: the deadline, frames sealed, or counters seen from the peer."""
    alice, bob = pair(lifetime=Lifetime(10.0, 19.0, 20.0, 5.0))
    assert not alice.wants_renewal(9.999)
    assert alice.wants_renewal(10.0)
    alice._next_counter = constants.REKEY_AFTER_FRAMES - 1
    assert not alice.wants_renewal(0.0)
    frame = alice.seal(b"")
    assert alice.wants_renewal(0.0)
    assert not bob.wants_renewal(0.0)
    opened(bob, frame)
    assert bob.wants_renewal(0.0)


def test_a_retired_session_opens_but_never_seals(pair):
    """It lives on for its grace, at most to its own end, and repeats nothing."""
    alice, bob = pair(lifetime=Lifetime(10.0, 19.0, 20.0, 5.0))
    late = bob.seal(b"under way")
    alice.on_opened()
    alice.confirming_ping = Repeat(0.0)
    alice.retire(12.0)
    assert alice.state is State.RETIRED
    assert alice.confirming_ping is None
    assert (alice.lifetime.ends_at, alice.lifetime.stop_sending_at) == (17.0, 12.0)
    assert not alice.may_send(0.0)
    with pytest.raises(SessionEnded):
        alice.seal(b"data")
    assert opened(alice, late) == (b"under way", None)
    alice.on_opened()
    assert alice.state is State.RETIRED
    bob.on_opened()
    bob.retire(18.0)
    assert bob.lifetime.ends_at == 20.0


@pytest.mark.parametrize("trigger", [Trigger.EXPIRED, Trigger.CLOSED])
def test_an_ended_session_has_forgotten_its_keys(pair, trigger):
    """It neither opens nor seals nor can be renewed, but still has its name and its rank."""
    alice, bob = pair()
    frame = bob.seal(b"too late")
    alice.confirming_ping = Repeat(0.0)
    rank = alice.preference()
    alice.end(trigger)
    assert opened(alice, frame) is None
    with pytest.raises(SessionEnded):
        alice.seal(b"data")
    with pytest.raises(SessionEnded):
        _ = alice.established
    secrets = [getattr(alice, name) for name in ("_seal", "_open", "_established")]
    assert secrets == [None] * 3
    assert (alice.local_id, alice.preference(), alice.confirming_ping) == (11, rank, None)
    with pytest.raises(RuntimeError):
        alice.end(trigger)


def test_both_ends_prefer_the_same_session(pair):
    """The higher generation first; between equals both ends compute one order."""
    sessions = [pair(generation=generation) for generation in (1, 3, 2)]
    for end in (0, 1):
        ranked = sorted((both[end] for both in sessions), key=lambda s: s.preference())
        assert [session.generation for session in ranked] == [3, 2, 1]
    alice, bob = sessions[0]
    assert alice.preference() == bob.preference()
    assert alice.initiator_id == bob.initiator_id == bob.peer_id


def test_a_session_shows_no_secret(pair):
    """Its repr names the peer and the state, and it cannot be pickled away."""
    alice, _ = pair()
    assert repr(alice) == (
        f"<Session 000000000000000b with {alice.peer_id.short} generation 1 unconfirmed>"
    )
    assert not hasattr(alice, "__dict__")
    with pytest.raises(TypeError):
        pickle.dumps(alice)
    assert alice.established.local_session_id == 11
    assert alice.lifetime.ends_at < inf
