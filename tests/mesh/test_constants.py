"""Relations between the constants of the wire: each is a promise that one makes another.

Limits that a node sets for itself are held against them here too.
"""

from mesh import constants, limits
from mesh.constants import UNFINISHED_BATCHES
from mesh.wire.cbor import array_head
from mesh.wire.frames import DATA_HEADER_BYTES
from mesh.wire.messages import MESSAGES_MAX, encode_head, encode_packed_run

UINT16_MAX = 0xFFFF
CBOR_HEAD_MAX_BYTES = 9


def test_a_session_is_renewed_long_before_it_ends():
    """Either side's renewal comes well before the hard stop, in time and in frames."""
    latest_renewal = constants.REKEY_AFTER_SECONDS * constants.INITIATOR_PATIENCE
    hard_stop = constants.REKEY_AFTER_SECONDS * constants.HARD_STOP_FACTOR
    assert constants.REKEY_AFTER_SECONDS < latest_renewal < hard_stop
    assert (latest_renewal, hard_stop) == (130.0, 180.0)
    assert hard_stop - latest_renewal > constants.HARD_STOP_GRACE_SECONDS
    assert constants.REKEY_AFTER_FRAMES * 8 <= constants.HARD_STOP_FRAMES < 2**32
    assert hard_stop < constants.SESSION_CHAIN_SECONDS
    assert hard_stop > constants.RETIRED_SECONDS


def test_an_interval_of_ten_round_trips_leaves_time_to_renew():
    """However slow the link, renewal, repeats and the last round trip fit before the hard stop."""
    interval_in_round_trips = constants.REKEY_MIN_ROUND_TRIPS
    renewal = interval_in_round_trips * constants.INITIATOR_PATIENCE
    last_sent = interval_in_round_trips * constants.HARD_STOP_FACTOR - 1
    assert last_sent - renewal > 2


def test_the_replay_window_covers_what_may_be_under_way():
    """A power of two, and room for all batches under way, bulk and sent again."""
    assert constants.REPLAY_WINDOW & (constants.REPLAY_WINDOW - 1) == 0
    assert constants.REPLAY_WINDOW >= 4 * 2 * constants.UNACKNOWLEDGED_BATCHES
    assert constants.REPLAY_WINDOW < constants.REKEY_AFTER_FRAMES


def test_handshakes_repeat_several_times_before_they_give_up():
    """Doubling pauses give at least three repeats, and a hello is given up well before."""
    first_three = constants.REPEAT_AFTER_SECONDS * (1 + 2 + 4)
    assert first_three < constants.HANDSHAKE_TIMEOUT_SECONDS
    assert constants.REPEAT_AFTER_SECONDS < constants.HELLO_TIMEOUT_SECONDS
    assert constants.HELLO_TIMEOUT_SECONDS < constants.HANDSHAKE_TIMEOUT_SECONDS
    assert constants.RETRY_AFTER_SECONDS <= constants.RETRY_MAX_SECONDS
    assert constants.HANDSHAKE_TIMEOUT_SECONDS <= constants.ANSWER_TIMEOUT_SECONDS


def test_acknowledgements_come_before_anything_is_sent_again():
    """Neither a batch nor a probe is repeated while its answer is merely held back."""
    assert constants.ACKNOWLEDGE_AFTER_SECONDS * 4 < constants.PROBE_AFTER_SECONDS
    assert constants.PROBE_AFTER_SECONDS < constants.PROBE_MAX_SECONDS
    assert constants.ACKNOWLEDGE_AFTER_SECONDS * 4 < constants.RESEND_AFTER_SECONDS
    assert constants.RESEND_AFTER_SECONDS < constants.RESEND_MAX_SECONDS
    assert constants.RESEND_MAX_SECONDS < constants.DELIVERY_KEPT_SECONDS


def test_a_peer_is_pinged_before_it_is_doubted_and_doubted_before_it_is_lost():
    """A ping and its answer fit between silence and each worse name for it."""
    assert constants.PING_AFTER_SECONDS < constants.UNRESPONSIVE_AFTER_SECONDS
    assert constants.UNRESPONSIVE_AFTER_SECONDS < constants.LOST_AFTER_SECONDS
    assert constants.LOST_AFTER_SECONDS < constants.DELIVERY_KEPT_SECONDS


def test_batches_under_way_are_bounded_in_the_right_order():
    """What is held is part of what is unacknowledged, which is part of what is unhandled."""
    assert constants.HELD_BATCHES == constants.UNACKNOWLEDGED_BATCHES
    assert constants.UNACKNOWLEDGED_BATCHES < constants.UNHANDLED_BATCHES
    assert limits.RESEND_BURST_BATCHES <= constants.HELD_BATCHES
    assert constants.UNACKNOWLEDGED_BATCHES // constants.TELL_AFTER_WINDOW_PART > 1


def test_the_budget_of_a_message_covers_what_it_costs():
    """Its bytes aside, a message takes no more of a frame's budget than its overhead and a head."""
    assert limits.MESSAGE_BUDGET_BYTES >= constants.MESSAGE_OVERHEAD_BYTES + CBOR_HEAD_MAX_BYTES


def test_a_bulk_frame_can_name_the_length_of_its_array():
    """The longest honest array beside a bulk body fits the header's 16-bit length."""
    placeholder = array_head(3) + bytes([0x1B] * CBOR_HEAD_MAX_BYTES * 2) + b"\xf6"
    subject = "x" * constants.SUBJECT_MAX_BYTES
    run = encode_packed_run(2, subject, [placeholder])
    # Handled ranges are kept apart by unfinished batches, so there are no more of them.
    head = encode_head(1, 0, [0, *[(2, 2)] * UNFINISHED_BATCHES], 0, 1)
    assert len(head) + len(run) + 16 <= UINT16_MAX


def test_a_frame_holds_one_bulk_body_or_many_messages():
    """Bulk begins below a full frame, so no raw body has to exceed the frame's budget."""
    assert limits.BULK_BYTES < limits.FRAME_BUDGET_BYTES
    assert constants.SUBJECT_MAX_BYTES * 4 < limits.BULK_BYTES


def test_a_frame_of_small_messages_fits_every_peer():
    """What is sent with a full head and a full budget is within what every peer takes."""
    head = encode_head(1, 0, [0, *[(2, 2)] * UNFINISHED_BATCHES], 0, 1)
    frame = DATA_HEADER_BYTES + len(head) + limits.FRAME_BUDGET_BYTES + 16
    assert frame <= constants.FRAME_MAX_BYTES


def test_the_largest_whole_message_fits_a_frame():
    """Header, head, run and tags beside it are within what every peer takes."""
    head = encode_head(1, 0, [0, *[(2, 2)] * UNFINISHED_BATCHES], 0, 1)
    beside = DATA_HEADER_BYTES + len(head) + 4 * constants.SUBJECT_MAX_BYTES + 2 * 16
    assert beside + constants.WHOLE_MAX_BYTES <= constants.FRAME_MAX_BYTES


def test_a_message_that_goes_whole_leaves_room_for_others():
    """In the smallest window several fit, chunks can travel apart, and each depth has room."""
    assert constants.WINDOW_MIN_BYTES // limits.WINDOW_PARTS >= limits.BULK_BYTES
    assert limits.CHUNK_BYTES <= constants.WHOLE_MAX_BYTES
    assert constants.NESTED_WHOLE_BYTES * 4 < constants.NESTED_WINDOW_BYTES
    assert constants.NESTED_WINDOW_BYTES <= constants.WINDOW_MIN_BYTES


def test_a_full_frame_holds_no_more_messages_than_a_peer_takes():
    """The budget runs out before their number does."""
    assert limits.FRAME_BUDGET_BYTES // limits.MESSAGE_BUDGET_BYTES <= MESSAGES_MAX


def test_strangers_get_less_than_everybody():
    """An address gets a part of all half-open exchanges, our own machine a larger one."""
    assert limits.HALF_OPEN_PER_ADDRESS < limits.HALF_OPEN_LOCAL < limits.HALF_OPEN_TOTAL


def test_a_static_key_is_delegated_for_longer_than_it_is_used():
    """A delegation outlives its key's day and the sessions that were made with it."""
    lived = limits.STATIC_KEY_SECONDS + constants.SESSION_CHAIN_SECONDS
    assert lived <= limits.DELEGATION_SECONDS
