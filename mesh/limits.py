"""Limits one node sets for itself, each with its reason. The wire does not depend on them."""

from typing import Final

# A frame collects messages up to this budget: beyond it the cost per message no longer falls,
# while the wait for the first of them grows.
FRAME_BUDGET_BYTES: Final = 256 * 1024
# What a message takes of that budget beside its body: its share of heads, and of the window
# (constants.MESSAGE_OVERHEAD_BYTES and a CBOR head of at most 9 bytes).
MESSAGE_BUDGET_BYTES: Final = 64
# From this size a bytes body travels beside the CBOR array: encoding would copy it.
BULK_BYTES: Final = 16 * 1024
# So much of them is sealed together: what a frame costs beside its bytes is shared.
BULK_FRAME_BYTES: Final = 512 * 1024
# While a call waits for its reply, so much of direct messages is under way beside it, or two
# batches: the next call stands behind them.
BESIDE_CALLS_BYTES: Final = 1024 * 1024
# A message over a quarter of the peer's window goes in chunks, and so large they are: the others
# have room beside it.
WINDOW_PARTS: Final = 4
# Chunks of large messages: sealing one costs little beside its bytes, and so many under way keep a
# link busy, while what is said between them waits for no more than these.
CHUNK_BYTES: Final = 256 * 1024
CHUNKS_UNDER_WAY: Final = 4

# A stranger costs memory before it has proved anything.
HALF_OPEN_PER_ADDRESS: Final = 16
HALF_OPEN_LOCAL: Final = 512
HALF_OPEN_TOTAL: Final = 1024
# Sessions a peer opened but never used.
UNCONFIRMED_PER_PEER: Final = 4
# Return paths kept for a peer that connects again and again.
ROUTES_PER_PEER: Final = 8
# The oldest batches sent again when nothing was heard: enough to find out what is missing.
RESEND_BURST_BATCHES: Final = 16
# A peer that restarts has a new window, while our handlers are still at the messages of its last
# instances: those of so many are kept.
RETIRED_DELIVERIES_PER_PEER: Final = 2
# Requests of one peer and depth that are answered at a time, where they are inside others: enough
# for those always to go on.
NESTED_CALLS: Final = 64
# Calls waiting for a reply from one peer: a reply needs no credit, its room is reserved here.
CALLS_PER_PEER: Final = 65_536
# Strangers remembered for `mesh peers`, with the command that would trust them.
STRANGERS_REMEMBERED: Final = 64
# Peers that were trusted once, of whose deliveries an epoch is remembered: one of them may hold on
# to a delivery that is over here, and be trusted again.
FORGOTTEN_REMEMBERED: Final = 1024

STATIC_KEY_SECONDS: Final = 24 * 3600.0
DELEGATION_SECONDS: Final = 48 * 3600.0
