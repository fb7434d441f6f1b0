"""Constants of the wire: what both ends must agree on, or on the order of.

What one node alone may choose stands in `limits`. `tests/mesh/test_constants.py` asserts the
relations between them.
"""

from typing import Final

VERSION: Final = 1
# An instance is one run of a node, named by so many random bytes.
INSTANCE_BYTES: Final = 16

# Sessions: renewed by a fresh exchange while traffic flows, and never kept longer than the stop.
REKEY_AFTER_SECONDS: Final = 120.0
# The exchange's initiator waits a little longer, so that as a rule only one side begins.
INITIATOR_PATIENCE: Final = 13 / 12
HARD_STOP_FACTOR: Final = 1.5
# A renewal needs a few repeats on a bad link, however short the interval was chosen.
HARD_STOP_GRACE_SECONDS: Final = 10.0
REKEY_AFTER_FRAMES: Final = 1 << 20
HARD_STOP_FRAMES: Final = 1 << 23
REKEY_MIN_ROUND_TRIPS: Final = 10
RETIRED_SECONDS: Final = 15.0
RETIRED_INTERVALS: Final = 2
SESSION_CHAIN_SECONDS: Final = 24 * 3600.0
REPLAY_WINDOW: Final = 8192

# Handshakes.
HANDSHAKE_TIMEOUT_SECONDS: Final = 5.0
REPEAT_AFTER_SECONDS: Final = 0.25
RETRY_AFTER_SECONDS: Final = 0.5
RETRY_MAX_SECONDS: Final = 5.0
HELLO_TIMEOUT_SECONDS: Final = 0.3
ANSWER_TIMEOUT_SECONDS: Final = 10.0

# Delivery.
ACKNOWLEDGE_AFTER_SECONDS: Final = 0.020
TELL_AFTER_WINDOW_PART: Final = 8
TELL_AFTER_KEPT_PART: Final = 2
RESEND_AFTER_SECONDS: Final = 1.0
RESEND_AFTER_ROUND_TRIPS: Final = 4
RESEND_MAX_SECONDS: Final = 10.0
UNACKNOWLEDGED_BATCHES: Final = 256
# As many as a peer may have under way: what was dropped here would wait for its resend timer.
HELD_BATCHES: Final = UNACKNOWLEDGED_BATCHES
UNHANDLED_BATCHES: Final = 1024
# Requests inside requests: how deep, and for each depth the room that is always there.
DEPTH_MAX: Final = 4
NESTED_WINDOW_BYTES: Final = 64 * 1024
NESTED_BATCHES: Final = 32
# A larger request goes in chunks: it would take too much of that room.
NESTED_WHOLE_BYTES: Final = 8 * 1024
# Large messages under way at a time, of each class: tells and requests by depth, and replies.
LARGE_CLASSES: Final = DEPTH_MAX + 2
LARGE_PER_CLASS: Final = 4
# Those of a class that the receiver has granted room at a time, at its handlers included.
LARGE_UNHANDLED: Final = 64
# Batches a receiver may be at: uncredited ones, which are soon handled, come on top.
UNFINISHED_BATCHES: Final = (
    UNHANDLED_BATCHES
    + UNACKNOWLEDGED_BATCHES
    + NESTED_BATCHES * DEPTH_MAX
    + LARGE_UNHANDLED * LARGE_CLASSES
)
# What a message costs of the window beside its encoded bytes: the memory of its Python objects.
MESSAGE_OVERHEAD_BYTES: Final = 48
# Room for a frame of any peer's.
WINDOW_MIN_BYTES: Final = 64 * 1024
PROBE_AFTER_SECONDS: Final = 0.2
PROBE_MAX_SECONDS: Final = 2.0
DELIVERY_KEPT_SECONDS: Final = 600.0

# Liveness.
PING_AFTER_SECONDS: Final = 5.0
UNRESPONSIVE_AFTER_SECONDS: Final = 10.0
LOST_AFTER_SECONDS: Final = 30.0
SUPERSEDED_PAUSE_SECONDS: Final = 60.0

SUBJECT_MAX_BYTES: Final = 255
# No message is larger than this in one batch: it goes in chunks, for which the receiver has granted
# room. So a stranger's part that is larger than any frame ends its connection.
WHOLE_MAX_BYTES: Final = 1024 * 1024
# Beside it: a batch of small messages, the ranges in the head.
FRAME_MAX_BYTES: Final = WHOLE_MAX_BYTES + 256 * 1024
