"""Restart policy: after which pause a child that has died is restarted, and when it is given up.

Pure: the supervisor says what happened and when, and is told how long to wait. A child that had been ready for a while
is restarted at once. One that dies again and again waits longer each time. One that does not become ready is given up
after some starts, because a fault that every start meets is not fixed by another start.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RestartPolicy:
    """The pauses between restarts, and the number of starts."""

    first_pause_s: float = 0.1
    """The pause after the second death in a row; it doubles with each further one."""
    longest_pause_s: float = 10.0
    recovered_after_s: float = 10.0
    """A child that has been ready for so long has recovered: its next death counts as the first."""
    max_failed_starts: int = 5
    """Starts in a row after none of which the child became ready."""
    min_trying_s: float = 60.0
    """For how long the starts go on at least if the child had been ready before: a missing resource may come back."""


DEFAULT_POLICY = RestartPolicy()

MAX_DOUBLINGS = 60
"""Doublings of the pause. It reaches the longest pause long before; without a bound the float would overflow."""


class Restarts:
    """The starts and deaths of one child and its predecessors in the same slot."""

    def __init__(self, policy: RestartPolicy = DEFAULT_POLICY) -> None:
        self._policy = policy
        self.count = 0
        """Starts after the first."""
        self.failed_starts = 0
        """Starts in a row after none of which the child became ready."""
        self._ready_since: float | None = None
        self._deaths = 0
        self._failing_since: float | None = None
        self._was_ready = False

    @property
    def was_ready(self) -> bool:
        """Whether the child, or one of its predecessors, has been ready."""
        return self._was_ready

    def became_ready(self, now: float) -> None:
        """Note that the child can do its work."""
        self._ready_since = now
        self._was_ready = True
        self.failed_starts = 0
        self._failing_since = None

    def died(self, now: float) -> float | None:
        """Note that the child has died; return the pause in seconds before the next start, or None to give up."""
        if self._ready_since is None:
            self.failed_starts += 1
            self._failing_since = self._failing_since or now
        elif now - self._ready_since >= self._policy.recovered_after_s:
            self._deaths = 0
        self._ready_since = None
        self._deaths += 1
        if self.failed_starts >= self._policy.max_failed_starts and self._has_failed_for_long(now):
            return None
        self.count += 1
        if self._deaths == 1:
            return 0.0
        pause_s = self._policy.first_pause_s * 2.0 ** min(self._deaths - 2, MAX_DOUBLINGS)
        return min(self._policy.longest_pause_s, pause_s)

    def _has_failed_for_long(self, now: float) -> bool:
        if self._failing_since is None or not self._was_ready:
            return True
        return now - self._failing_since >= self._policy.min_trying_s
