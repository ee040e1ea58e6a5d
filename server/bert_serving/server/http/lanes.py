"""Let small requests overtake large ones: some threads serve only small requests. Pure.

A large request holds its thread until all of its texts are encoded, which can take many seconds. If all threads had
large requests, a request with one text would wait, although the server could answer it immediately.
"""

from __future__ import annotations

from collections import deque
from typing import Generic, TypeVar

SMALL_BODY_BYTES = 1 << 14
SMALL_STRINGS = 64
"""The maximum bytes and strings in the body of a small request."""

FREE_SHARE = 4
"""One in this many threads serves only small requests. If there are several threads, at least one does."""

Task = TypeVar('Task')


class LargeLane(Generic[Task]):
    """The queue of large requests, of which only some are served at a time. The caller holds a lock."""

    def __init__(self, threads: int) -> None:
        """`threads` is the number of threads for requests of any size."""
        self.most = max(1, threads - max(1, threads // FREE_SHARE))
        self._served = 0
        self._waiting: deque[Task] = deque()

    @property
    def waiting(self) -> int:
        """The number of requests that no thread should take yet."""
        return len(self._waiting)

    def enter(self, task: Task) -> Task | None:
        """Add a request. Return it if it can be served now."""
        if self._served >= self.most:
            self._waiting.append(task)
            return None
        self._served += 1
        return task

    def leave(self) -> Task | None:
        """Record that a request was served. Return the next one that can be served now, if any."""
        if self._waiting:
            return self._waiting.popleft()
        self._served -= 1
        return None

    def clear(self) -> list[Task]:
        """Remove and return all waiting requests."""
        waiting, self._waiting = list(self._waiting), deque()
        return waiting
