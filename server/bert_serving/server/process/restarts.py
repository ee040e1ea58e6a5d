"""Restart policy: how long to wait before restarting a dead child, and when to give up.

Pure: the supervisor passes events with their times and gets the pause. A child that had been ready for a while restarts
immediately. A child that dies repeatedly waits longer each time. After several starts without becoming ready, the
policy gives up, because another start would meet the same fault.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RestartPolicy:
    """The pauses between restarts, and the number of starts."""

    first_pause_s: float = 0.1
    """Seconds to wait after the second death in a row. The pause doubles with each further death."""
    longest_pause_s: float = 10.0
    recovered_after_s: float = 10.0
    """Seconds of being ready after which a child has recovered, so that its next death counts as the first."""
    max_failed_starts: int = 5
    """Maximum starts in a row without the child becoming ready."""
    min_trying_s: float = 60.0
    """Minimum seconds of trying if the child had been ready before, because a missing resource might come back."""


DEFAULT_POLICY = RestartPolicy()

MAX_DOUBLINGS = 60
"""The maximum doublings of the pause, so that the float cannot overflow. The pause reaches its maximum long before."""


class Restarts:
    """The starts and deaths of one child and its predecessors in the same slot."""

    def __init__(self, policy: RestartPolicy = DEFAULT_POLICY) -> None:
        self._policy = policy
        self.count = 0
        """Starts after the first."""
        self.failed_starts = 0
        """Starts in a row without the child becoming ready."""
        self._ready_since: float | None = None
        self._deaths = 0
        self._failing_since: float | None = None
        self._was_ready = False

    @property
    def was_ready(self) -> bool:
        """Whether the child, or one of its predecessors, has been ready."""
        return self._was_ready

    def became_ready(self, now: float) -> None:
        """Record that the child is ready."""
        self._ready_since = now
        self._was_ready = True
        self.failed_starts = 0
        self._failing_since = None

    def died(self, now: float) -> float | None:
        """Record a death. Return the pause in seconds before the next start, or None to give up."""
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
