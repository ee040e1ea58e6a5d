"""When a child that has died is started again, and when it is given up.

Pure: the supervisor says what happened and when, and is told how long to wait. A child that had been ready for a while is
started again at once; one that dies again and again waits longer each time; one that never becomes ready is given up
after some tries, since a fault that every start meets is not mended by starting.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Patience:
    """How long and how often."""

    first_s: float = 0.1
    """The pause after the second death in a row; it doubles with each further one."""
    longest_s: float = 10.0
    steady_s: float = 10.0
    """A child that has been ready for so long has recovered: its next death is a first one."""
    most_starts: int = 5
    """Starts in a row after none of which the child became ready."""
    least_s: float = 60.0
    """For how long at least they go on, if the child had ever been ready: what it lacks may come back."""


PATIENCE = Patience()

MOST_DOUBLINGS = 60
"""Of the pause: it is the longest long before, and a float has an end."""


class Restarts:
    """The deaths of one child and its predecessors in the same place."""

    def __init__(self, patience: Patience = PATIENCE) -> None:
        self.patience = patience
        self.count = 0
        """Starts after the first."""
        self.failed_starts = 0
        """Starts since it was ready last, after none of which it became so again."""
        self._ready_since: float | None = None
        self._deaths = 0
        self._failing_since: float | None = None
        self._was_ready = False

    def became_ready(self, now: float) -> None:
        """The child can do its work."""
        self._ready_since = now
        self._was_ready = True
        self.failed_starts = 0
        self._failing_since = None

    def died(self, now: float) -> float | None:
        """The seconds after which it is to be started again; None if it is not."""
        if self._ready_since is None:
            self.failed_starts += 1
            self._failing_since = self._failing_since or now
        elif now - self._ready_since >= self.patience.steady_s:
            self._deaths = 0
        self._ready_since = None
        self._deaths += 1
        if self.failed_starts >= self.patience.most_starts and self._has_failed_long(now):
            return None
        self.count += 1
        if self._deaths == 1:
            return 0.0
        return min(self.patience.longest_s, self.patience.first_s * 2.0 ** min(self._deaths - 2, MOST_DOUBLINGS))

    def _has_failed_long(self, now: float) -> bool:
        if self._failing_since is None or not self._was_ready:
            return True
        return now - self._failing_since >= self.patience.least_s
