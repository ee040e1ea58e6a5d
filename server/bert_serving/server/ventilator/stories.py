"""The story of a request: its events with their times, for debugging.

Only a request with an unusual event gets a story: a lost worker or sink, a refusal, a disconnected client, a repeated
request. Others cost nothing.
"""

from __future__ import annotations

from ..protocol.ring import RequestRef
from ..protocol.wire import format_identity

MAX_EVENTS = 50
"""The maximum number of events in a story, because a request can have thousands of jobs. Beyond it, those in the middle
are left out."""

MAX_FINISHED = 200
"""The maximum number of stories to keep of the requests that finish with one event."""


class Story:
    """The events of one request, with the seconds since it was accepted."""

    __slots__ = ('_accepted_at', '_events', '_left_out')

    def __init__(self, ref: RequestRef, accepted_at: float) -> None:
        self._accepted_at = accepted_at
        self._left_out = 0
        self._events: list[str] = []
        self.add(
            accepted_at,
            'accepted id=%s client=%s rows=%d parts=%d'
            % (ref.request_id.decode(), format_identity(ref.identity), ref.total_rows, ref.parts),
        )

    def add(self, now: float, event: str) -> None:
        """Add an event."""
        self._events.append('%.3f s: %s' % (now - self._accepted_at, event))
        if len(self._events) > MAX_EVENTS:
            del self._events[MAX_EVENTS // 2]
            self._left_out += 1

    def tell(self) -> list[str]:
        """The events, one per line."""
        if not self._left_out:
            return self._events.copy()
        middle = MAX_EVENTS // 2
        return [*self._events[:middle], '(%d events left out)' % self._left_out, *self._events[middle:]]
