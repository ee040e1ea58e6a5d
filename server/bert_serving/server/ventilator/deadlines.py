"""The deadlines of requests: a heap that keeps the deadlines of finished requests for a while."""

from __future__ import annotations

from heapq import heapify, heappop, heappush

from .invariants import check


class Deadlines:
    """The deadlines of requests. Falsy if no request has one."""

    def __init__(self) -> None:
        self._expires_at: dict[int, float] = {}
        self._heap: list[tuple[float, int]] = []

    def __len__(self) -> int:
        return len(self._expires_at)

    def push(self, number: int, expires_at: float) -> None:
        """Add the deadline of a request that had none, in seconds of the same clock as in `expired`."""
        self._expires_at[number] = expires_at
        heappush(self._heap, (expires_at, number))

    def discard(self, number: int) -> None:
        """Forget the deadline of a request, if it has one."""
        if self._expires_at.pop(number, None) is not None:
            self._prune()

    def expired(self, now: float) -> list[int]:
        """Remove and return the requests with deadlines up to `now`, in order."""
        numbers = []
        while self._heap and self._heap[0][0] <= now:
            _, number = heappop(self._heap)
            if self._expires_at.pop(number, None) is not None:
                numbers.append(number)
        self._prune()
        return numbers

    def _prune(self) -> None:
        """Limit the heap to twice the current deadlines, so that its cost does not grow with past requests."""
        if len(self._heap) > 2 * len(self._expires_at):
            self._heap = [(expires_at, number) for number, expires_at in self._expires_at.items()]
            heapify(self._heap)

    def check(self) -> None:
        """Raise InvariantError if a deadline is not in the heap, or the heap is too large or out of order."""
        heap = set(self._heap)
        for number, expires_at in self._expires_at.items():
            check((expires_at, number) in heap, 'a deadline is never looked at', number)
        check(len(self._heap) <= 2 * len(self._expires_at), 'the heap holds too many finished requests')
        check(all(self._heap[(i - 1) // 2] <= self._heap[i] for i in range(1, len(self._heap))), 'the heap is no heap')
