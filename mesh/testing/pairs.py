"""Two nodes of a simulated world of which one dials the other, and what they have in common."""

from mesh.engine.association import Association
from mesh.testing.process import Process


class Pair:
    """Two nodes of which one dials the other."""

    def __init__(self, one: Process, other: Process) -> None:
        self.both = one, other

    def __str__(self) -> str:
        return f"{self.both[0]} and {self.both[1]}"

    @property
    def associations(self) -> list[Association]:
        """What each has with the other, as far as there is anything."""
        one, other = self.both
        found = one.engine.association(other.id), other.engine.association(one.id)
        return [association for association in found if association is not None]

    def is_joined(self) -> bool:
        """Whether both send on one session of one delivery, by ways that they believe in."""
        current = [a.sessions.current for a in self.associations]
        deliveries = [a.delivery for a in self.associations]
        if len(current) < 2 or None in current or None in deliveries:
            return False
        return (
            len({session.preference() for session in current if session}) == 1
            and len({delivery.epoch for delivery in deliveries if delivery}) == 1
            and all(association.routes.best is not None for association in self.associations)
            and self._each_others()
        )

    def _each_others(self) -> bool:
        instances = {process.settings.instance for process in self.both}
        return {a.delivery.peer_instance for a in self.associations if a.delivery} == instances

    def describe(self) -> str:
        """What each side believes."""
        parts = []
        for association in self.associations:
            session = association.sessions.current
            parts.append(
                f"{session} epoch {association.delivery and association.delivery.epoch}"
                f" by {association.routes.best}"
            )
        return f"{self}: " + "; ".join(parts)
