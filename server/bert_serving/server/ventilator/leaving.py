"""Drop the requests of clients that have left, a few at a time, so that the ventilator serves others in between."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

from .records import RequestRecord
from .registry import RequestRegistry

DROPPED_AT_ONCE = 200
"""Requests to drop between two events. The sink has to keep up, or replies would wait behind the drops."""


class Leaving:
    """The requests to drop, with the time when the client of each left. Falsy if there are none."""

    def __init__(self, requests: RequestRegistry) -> None:
        self._requests = requests
        self._left: deque[tuple[int, float]] = deque()

    def __len__(self) -> int:
        return len(self._left)

    def note(self, identity: bytes, left_at: float) -> None:
        """Record that a client has left, to drop its earlier requests. If it is back, it has sent the others again."""
        requests = self._requests.of_identity(identity)
        self._left += ((request.number, left_at) for request in requests if request.last_seen_at <= left_at)

    def take_some(self) -> Iterator[tuple[RequestRecord, float]]:
        """Take some of the remaining requests to drop, with the time when the client of each left."""
        for _ in range(min(DROPPED_AT_ONCE, len(self._left))):
            number, left_at = self._left.popleft()
            request = self._requests.get(number)
            if request is not None and request.last_seen_at <= left_at and request.refusal is None:
                yield request, left_at
