"""All sessions with one peer, and the rule that says which of them is sent on.

The highest confirmed generation; ties as `Session.preference` breaks them. A session that loses
only receives from then on; nothing is dropped early.
"""

from mesh.limits import UNCONFIRMED_PER_PEER
from mesh.session.session import Session
from mesh.session.states import State, Trigger


class SessionsOfPeer:
    """Sessions by local id. `current`: the one to send on, if there is one."""

    def __init__(self) -> None:
        self.by_id: dict[int, Session] = {}
        self.current: Session | None = None
        self._forgotten_generation = 0

    @property
    def known_generation(self) -> int:
        """The highest generation ever known of, unconfirmed ones included."""
        generations = [session.generation for session in self.by_id.values()]
        return max(*generations, self._forgotten_generation, 0)

    def add(self, session: Session) -> list[Session]:
        """A new, unconfirmed session. Those that had to end to make room for it."""
        unconfirmed = [s for s in self.by_id.values() if s.state is State.UNCONFIRMED]
        surplus = unconfirmed[: max(0, len(unconfirmed) + 1 - UNCONFIRMED_PER_PEER)]
        for old in surplus:
            self.end(old, Trigger.CLOSED)
        self.by_id[session.local_id] = session
        return surplus

    def newest_answered(self) -> Session | None:
        """One whose exchange the peer may have finished, though nothing came on it yet."""
        answered = [
            session
            for session in self.by_id.values()
            if session.state is State.UNCONFIRMED and not session.awaits_welcome
        ]
        return min(answered, key=Session.preference, default=None)

    def on_confirmed(self, now: float) -> None:
        """A session was confirmed: choose again which one is sent on."""
        confirmed = [s for s in self.by_id.values() if s.state is State.CONFIRMED]
        self.current = best = min(confirmed, key=Session.preference)
        for session in confirmed:
            if session is not best:
                session.retire(now)

    def end(self, session: Session, trigger: Trigger) -> None:
        """Forget one session and its keys; nothing happens if it was forgotten before."""
        if self.by_id.pop(session.local_id, None) is None:
            return
        self._forgotten_generation = max(self._forgotten_generation, session.generation)
        session.end(trigger)
        if session is self.current:
            self.current = None

    def expire(self, now: float) -> list[Session]:
        """End every session whose time is up. Which they were."""
        expired = [s for s in self.by_id.values() if now >= s.lifetime.ends_at]
        for session in expired:
            self.end(session, Trigger.EXPIRED)
        return expired

    def deadlines(self) -> list[float]:
        """Ends, repeated pings, and when sending stops; renewal is the association's affair."""
        sessions = self.by_id.values()
        times = [session.lifetime.ends_at for session in sessions]
        times += [s.confirming_ping.at for s in sessions if s.confirming_ping is not None]
        if self.current is not None:
            times.append(self.current.lifetime.stop_sending_at)
        return times
