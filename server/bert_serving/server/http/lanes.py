"""Small requests go past large ones: some threads never serve a large one. Pure.

A large request holds its thread until all of its texts are encoded, which can take many seconds. If all threads had
such requests, a query of one text would wait for them, though the server itself would answer it at once.
"""

from __future__ import annotations

from collections import deque
from typing import Generic, TypeVar

SMALL_BODY_BYTES = 1 << 14
SMALL_STRINGS = 64
"""A request whose body has no more bytes and strings than that is small."""

FREE_SHARE = 4
"""One in so many threads, and at least one of several, serves small requests only."""

Task = TypeVar('Task')


class LargeLane(Generic[Task]):
    """The large requests: some are served, the others wait here in their order. The caller has a lock."""

    def __init__(self, threads: int) -> None:
        """`threads` serve requests of any size together."""
        self.most = max(1, threads - max(1, threads // FREE_SHARE))
        self._served = 0
        self._waiting: deque[Task] = deque()

    @property
    def waiting(self) -> int:
        """Requests that no thread should take yet."""
        return len(self._waiting)

    def enter(self, task: Task) -> Task | None:
        """Take a request; return it if it can be served now."""
        if self._served >= self.most:
            self._waiting.append(task)
            return None
        self._served += 1
        return task

    def leave(self) -> Task | None:
        """Note that one has been served; return the one that can be served now, if any waits."""
        if self._waiting:
            return self._waiting.popleft()
        self._served -= 1
        return None

    def clear(self) -> list[Task]:
        """Forget those that wait, and return them."""
        waiting, self._waiting = list(self._waiting), deque()
        return waiting
