"""What a log has said already: whoever tries a thousand times is worth one line."""

import logging
from typing import Final

# Whoever has more to say about more than these at once repeats itself.
_SUBJECTS: Final = 64


class Told:
    """What was said last of each of the last 64 subjects."""

    def __init__(self) -> None:
        self._last: dict[object, str] = {}

    def level(self, subject: object, text: str, level: int) -> int:
        """The level to log this at: as given when it is news of this subject, else DEBUG."""
        said = self._last.pop(subject, None)
        self._last[subject] = text
        if len(self._last) > _SUBJECTS:
            del self._last[next(iter(self._last))]
        return logging.DEBUG if said == text else level

    def forget(self, subject: object) -> None:
        """Things have changed: the same would be news again."""
        self._last.pop(subject, None)
