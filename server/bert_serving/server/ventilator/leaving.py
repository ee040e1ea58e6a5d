"""The requests of clients that have left. They are dropped a few at a time, so that others are served in between."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

from .records import RequestRecord
from .registry import RequestRegistry

DROPPED_AT_ONCE = 200
"""Requests that are dropped between two events. The sink has to keep up, or replies would wait behind the drops."""


class Leaving:
    """Which requests are to be dropped, and when the client of each left. Falsy without any."""

    def __init__(self, requests: RequestRegistry) -> None:
        self._requests = requests
        self._left: deque[tuple[int, float]] = deque()

    def __len__(self) -> int:
        return len(self._left)

    def note(self, identity: bytes, left_at: float) -> None:
        """Note that a client has left: what it sent before is dropped. If it is back, it has sent the others again."""
        requests = self._requests.of_identity(identity)
        self._left += ((request.number, left_at) for request in requests if request.last_seen_at <= left_at)

    def take_some(self) -> Iterator[tuple[RequestRecord, float]]:
        """Take out some of the requests that are still to be dropped, and when the client of each left."""
        for _ in range(min(DROPPED_AT_ONCE, len(self._left))):
            number, left_at = self._left.popleft()
            request = self._requests.get(number)
            if request is not None and request.last_seen_at <= left_at and request.refusal is None:
                yield request, left_at
