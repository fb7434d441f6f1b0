"""One secure channel with one instance of a peer: seals frames out, opens frames in.

Outbound half: `seal`. Inbound half: `open`, in the order length, window, tag, window again, so
that nothing changes before the tag holds.
Touches no clock: `now` is elapsed seconds.
"""

from collections.abc import Callable
from typing import Final

from handshake.constants import TAG_BYTES
from handshake.established import Established
from handshake.identity import NodeId
from handshake.primitives import Aead
from mesh import constants
from mesh.session.deadlines import Lifetime, Repeat
from mesh.session.replay_window import ReplayWindow
from mesh.session.states import State, Trigger, after
from mesh.wire.frames import BULK, DATA, DATA_HEADER, DATA_HEADER_BYTES, DataHeader

_LARGEST_ARRAY: Final = 0xFFFF
# From here on sealing into the frame's own buffer is cheaper than joining header and sealed body:
# equal at 32 KiB, a fifth at 1 MiB.
_SEAL_IN_PLACE_BYTES: Final = 32 * 1024


class SessionEnded(Exception):
    """The session may not seal any more: the caller seals on another one."""


class Session:
    """Keys, counters and lifetime shared with one instance of a peer.

    `established`: what the handshake left. `suite`: the AEAD both sides computed.
    `peer_instance`: 16 bytes. `generation`: which of the pair's sessions is the newer; the
    initiator of an XX exchange learns it from the welcome. `chain_began`: elapsed seconds when
    the first session of this chain was established. `fresh`: it renewed its parent. `new_aead`:
    makes the AEAD of a suite and a key.
    """

    __slots__ = (
        "_established",
        "_handshake_hash",
        "_next_counter",
        "_open",
        "_remote_id",
        "_seal",
        "_window",
        "awaits_welcome",
        "chain_began",
        "confirming_ping",
        "epoch",
        "fresh",
        "generation",
        "initiator_id",
        "lifetime",
        "local_id",
        "peer_id",
        "peer_instance",
        "state",
        "suite",
    )

    def __init__(
        self,
        established: Established,
        *,
        own_id: NodeId,
        suite: str,
        peer_instance: bytes,
        generation: int,
        epoch: int,
        lifetime: Lifetime,
        chain_began: float,
        awaits_welcome: bool = False,
        fresh: bool = False,
        new_aead: Callable[[str, bytes], Aead] = Aead,
    ) -> None:
        send_key, receive_key = established.traffic_keys(suite)
        self._seal: Aead | None = new_aead(suite, send_key)
        self._open: Aead | None = new_aead(suite, receive_key)
        self._window = ReplayWindow()
        self._next_counter = 0
        self._established: Established | None = established
        self._handshake_hash = established.handshake_hash
        self._remote_id = established.remote_session_id
        self.local_id = established.local_session_id
        self.suite = suite
        self.peer_id = established.peer_id
        self.initiator_id = own_id if established.initiator else established.peer_id
        self.peer_instance = peer_instance
        self.generation = generation
        self.epoch = epoch
        self.lifetime = lifetime
        self.chain_began = chain_began
        self.awaits_welcome = awaits_welcome
        self.fresh = fresh
        self.state = State.UNCONFIRMED
        self.confirming_ping: Repeat | None = None

    def __repr__(self) -> str:
        return (
            f"<Session {self.local_id:016x} with {self.peer_id.short} "
            f"generation {self.generation} {self.state.value}>"
        )

    @property
    def established(self) -> Established:
        """What its exchange left, for a fresh one. Raises SessionEnded once that is forgotten."""
        if self._established is None:
            raise SessionEnded
        return self._established

    @property
    def was_welcomed(self) -> bool:
        """Whether the first frame we opened was the peer's welcome: we began this XX exchange."""
        return not (self.awaits_welcome or self.fresh) and self.initiator_id != self.peer_id

    def preference(self) -> tuple[int, bytes, bytes]:
        """Sort key: the session to send on is the one with the smallest.

        The highest generation; ties go to the lower initiator id, then the lower handshake hash,
        so that both sides choose alike without talking.
        """
        return -self.generation, bytes(self.initiator_id), self._handshake_hash

    def seal(self, body: bytes, bulk: bytes | memoryview | None = None) -> bytes | bytearray:
        """The frame that carries `body` (an encoded array), with a bulk body beside it or not.

        Raises SessionEnded when the frames or keys are used up.
        """
        aead = self._seal
        counter = self._next_counter
        following = counter + 1 if bulk is None else counter + 2
        if aead is None or following > constants.HARD_STOP_FRAMES:
            raise SessionEnded
        if bulk is None:
            self._next_counter = following
            header = DATA_HEADER.pack(constants.VERSION, DATA, 0, self._remote_id, counter)
            if len(body) < _SEAL_IN_PLACE_BYTES:
                return header + aead.seal(counter, header, body)
            frame = bytearray(DATA_HEADER_BYTES + len(body) + TAG_BYTES)
            frame[:DATA_HEADER_BYTES] = header
            aead.seal_into(counter, header, body, memoryview(frame)[DATA_HEADER_BYTES:])
            return frame
        array_bytes = len(body) + TAG_BYTES
        if array_bytes > _LARGEST_ARRAY:
            raise ValueError("the array beside a bulk body has to fit a 16-bit length")
        self._next_counter = following
        header = DATA_HEADER.pack(constants.VERSION, BULK, array_bytes, self._remote_id, counter)
        bulk_at = DATA_HEADER_BYTES + array_bytes
        frame = bytearray(bulk_at + len(bulk) + TAG_BYTES)
        frame[:DATA_HEADER_BYTES] = header
        frame[DATA_HEADER_BYTES:bulk_at] = aead.seal(counter, header, body)
        aead.seal_into(counter + 1, header, bulk, memoryview(frame)[bulk_at:])
        return frame

    def open(
        self, header: DataHeader, frame: bytes | memoryview
    ) -> tuple[bytes, bytes | None] | None:
        """The body of a frame addressed to this session, and its bulk body if it has one.

        None when the frame was seen before or cannot be: nothing has changed then. Raises
        DecryptionFailed when a tag is wrong.
        """
        aead = self._open
        counter = header.counter
        if aead is None or (self.awaits_welcome and counter != 0):
            return None
        window = self._window
        bulk_frame = header.type == BULK
        # Nobody seals under counters from the hard stop on; near 2^64 they would be no counters.
        if counter + bulk_frame >= constants.HARD_STOP_FRAMES or not window.check(counter):
            return None
        view = memoryview(frame)
        ad = bytes(view[:DATA_HEADER_BYTES])
        if not bulk_frame:
            body = aead.open(counter, ad, view[DATA_HEADER_BYTES:])
            window.accept(counter)
            return body, None
        if not window.check(counter + 1):
            return None
        bulk_at = DATA_HEADER_BYTES + header.array_bytes
        body = aead.open(counter, ad, view[DATA_HEADER_BYTES:bulk_at])
        bulk = aead.open(counter + 1, ad, view[bulk_at:])
        window.accept(counter)
        window.accept(counter + 1)
        return body, bulk

    def may_send(self, now: float) -> bool:
        """Whether data may be sealed: confirmed, and not within a round trip of its end."""
        return (
            self.state is State.CONFIRMED
            and now < self.lifetime.stop_sending_at
            and self._next_counter < constants.HARD_STOP_FRAMES - 1
        )

    def wants_renewal(self, now: float) -> bool:
        """Whether its time or frames ask for a fresh exchange."""
        used = max(self._next_counter, self._window.next)
        return now >= self.lifetime.renew_at or used >= constants.REKEY_AFTER_FRAMES

    def on_opened(self) -> None:
        """A frame was opened: the peer has the keys."""
        self.awaits_welcome = False
        self.state = after(self.state, Trigger.OPENED)

    def retire(self, now: float) -> None:
        """A newer session is sent on: this one only opens what is still under way."""
        self.state = after(self.state, Trigger.REPLACED)
        self._seal = None
        self.confirming_ping = None
        lifetime = self.lifetime
        ends_at = min(lifetime.ends_at, now + lifetime.retired_for)
        self.lifetime = Lifetime(ends_at, now, ends_at, lifetime.retired_for)

    def end(self, trigger: Trigger) -> None:
        """Forget the keys, and the secrets they were made of."""
        self.state = after(self.state, trigger)
        self._seal = self._open = self._established = None
        self.confirming_ping = None
