"""Limits on connections: their number, the time to receive a request, and the bytes that clients leave unread.

Owns no sockets: `waitress_adapter` describes its connections, and closes the ones that this module chooses.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import IntEnum
from typing import TypeVar

HEADERS_S = 15.0
"""Seconds to receive all headers, after the connection was made or the request began."""

BODY_S = 30.0
BODY_BYTES_PER_S = 1 << 15
"""Seconds to receive a request. The body can take longer if it arrives at this average rate."""

UNWRITTEN_BYTES = 256 << 20
"""The maximum bytes of unwritten responses over all connections. A larger response is allowed if it is the only one."""

SMALL_BYTES = 1 << 14
"""The maximum bytes of a response that fits into the system's buffer for each connection. Such a response is always
accepted, so probes get answers even if other clients do not read."""

UNREAD_S = 5.0
UNREAD_BYTES_PER_S = 1 << 16
"""Seconds, and the rate of reading: a connection that has read more slowly for so long counts as not reading."""

ADDRESS_SHARE = 2
"""An address can hold one in this many connections."""

EVICTED_SHARE = 32
"""To make room, the proxy closes one in this many connections at a time, which spreads the cost of the search."""

MEASURED_AGAIN_S = 0.05
"""The maximum age in seconds of the sum of unwritten bytes."""

Connection = TypeVar('Connection')


class Phase(IntEnum):
    """The state of a connection: the event that the server waits for. To make room, it closes lower phases first."""

    HEADERS = 0
    """The headers of a request, or the first request of all."""
    IDLE = 1
    """The next request."""
    BODY = 2
    """The rest of a request."""
    BUSY = 3
    """None: a request is waiting or being served, or its response is being written."""


@dataclass(frozen=True, slots=True)
class ConnectionState:
    """A snapshot of a connection."""

    phase: Phase
    seconds: float
    """Seconds since the request, or the connection, began."""
    received: int = 0
    """Bytes of the body received so far."""

    @property
    def is_overdue(self) -> bool:
        """Whether the request is late. Idle connections have a separate limit."""
        if self.phase is Phase.HEADERS:
            return self.seconds > HEADERS_S
        return self.phase is Phase.BODY and self.seconds > BODY_S + self.received / BODY_BYTES_PER_S


def choose_evicted(connections: Iterable[tuple[Connection, ConnectionState]]) -> list[Connection]:
    """Choose the connections to close to make room: lower phases first, and among them the oldest.

    The result is empty if all of them are busy.
    """
    waiting = [
        (state.phase, -state.seconds, connection) for connection, state in connections if state.phase < Phase.BUSY
    ]
    waiting.sort(key=lambda entry: entry[:2])
    lowest = [connection for phase, _, connection in waiting if phase is waiting[0][0]]
    return lowest[: 1 + len(waiting) // EVICTED_SHARE]


def is_unread(seconds: float, written: int) -> bool:
    """Whether a client that has read `written` bytes of its response in `seconds` counts as not reading."""
    return seconds > UNREAD_S and written < seconds * UNREAD_BYTES_PER_S


def choose_unread(unread: Iterable[tuple[Connection, int]], total: int, most: int) -> list[Connection]:
    """Choose connections to close, the largest first, until `total` unwritten bytes are at most half of `most`.

    `unread` has the connections that do not read, with the unwritten bytes of each.
    """
    chosen = []
    for connection, size in sorted(unread, key=lambda entry: -entry[1]):
        if total <= most // 2:
            break
        chosen.append(connection)
        total -= size
    return chosen


class WriteBudget:
    """A budget for the bytes of unwritten responses. Thread-safe."""

    def __init__(
        self, measure: Callable[[], int], most: int = UNWRITTEN_BYTES, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """`measure` returns the unwritten bytes of all connections. It is called occasionally."""
        self.most = most
        self._measure = measure
        self._clock = clock
        self._lock = threading.Lock()
        self._reserved = 0
        self._measured = 0
        self._measured_at = float('-inf')

    @property
    def is_full(self) -> bool:
        """Whether there are too many unwritten bytes for another response."""
        with self._lock:
            return self._total() >= self.most

    def reserve(self, size: int) -> bool:
        """Reserve room for a response of `size` bytes until `release`. Return False if there is none."""
        with self._lock:
            if size <= SMALL_BYTES:
                self._reserved += size
                return True
            total = self._total()
            if total and total + size > self.most:
                return False
            self._reserved += size
            return True

    def release(self, size: int) -> None:
        """Release the room of a response that was handed to its connection, where `measure` counts it."""
        with self._lock:
            self._reserved -= size
            if size > SMALL_BYTES:  # otherwise each small request would ask every connection
                self._measured_at = float('-inf')

    def _total(self) -> int:
        now = self._clock()
        if now - self._measured_at > MEASURED_AGAIN_S:
            self._measured, self._measured_at = self._measure(), now
        return self._measured + self._reserved
