"""Rules about connections: how many there are, how slowly their requests come, and how much they leave unread.

No sockets: `waitress_adapter` describes its connections, and closes those that are chosen here.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import IntEnum
from typing import TypeVar

HEADERS_S = 15.0
"""Seconds that a new connection, or one that has begun a request, can take to send all headers of it."""

BODY_S = 30.0
BODY_BYTES_PER_S = 1 << 15
"""A request can take so many seconds, and further ones as long as its body comes at this rate on average."""

UNWRITTEN_BYTES = 256 << 20
"""Bytes of responses, over all connections, that are made and not yet written. One larger response can be alone."""

SMALL_BYTES = 1 << 14
"""A response of so many bytes fits into the buffer that the system has for each connection, so it is always written:
probes are answered even if others do not read."""

UNREAD_S = 5.0
UNREAD_BYTES_PER_S = 1 << 16
"""A connection counts as not reading if, after so many seconds, it has read its response more slowly than this."""

ADDRESS_SHARE = 2
"""An address can hold one in so many of all connections."""

EVICTED_SHARE = 32
"""If room is needed, one in so many connections goes at a time, so that looking for them costs each newcomer little."""

MEASURED_AGAIN_S = 0.05
"""How old the sum of unwritten bytes can be."""

Connection = TypeVar('Connection')


class Phase(IntEnum):
    """The event that the server awaits on a connection. To make room, it closes those of a lower phase first."""

    HEADERS = 0
    """The headers of a request, or the first request of all."""
    IDLE = 1
    """The next request."""
    BODY = 2
    """The rest of a request."""
    BUSY = 3
    """Nothing: a request waits or is served, or its response is being written."""


@dataclass(frozen=True, slots=True)
class ConnectionState:
    """A connection at one moment."""

    phase: Phase
    seconds: float
    """Since the request, or the connection, began."""
    received: int = 0
    """Bytes of the body so far."""

    @property
    def is_overdue(self) -> bool:
        """Whether the request should have come by now. Idle connections have a separate limit."""
        if self.phase is Phase.HEADERS:
            return self.seconds > HEADERS_S
        return self.phase is Phase.BODY and self.seconds > BODY_S + self.received / BODY_BYTES_PER_S


def choose_evicted(connections: Iterable[tuple[Connection, ConnectionState]]) -> list[Connection]:
    """Choose the connections to close so that others find room: those from which least is lost, the oldest first.

    The result is empty if all of them are busy.
    """
    waiting = [
        (state.phase, -state.seconds, connection) for connection, state in connections if state.phase < Phase.BUSY
    ]
    waiting.sort(key=lambda entry: entry[:2])
    lowest = [connection for phase, _, connection in waiting if phase is waiting[0][0]]
    return lowest[: 1 + len(waiting) // EVICTED_SHARE]


def is_unread(seconds: float, written: int) -> bool:
    """Whether a client that has taken `written` bytes of its response in `seconds` counts as not reading."""
    return seconds > UNREAD_S and written < seconds * UNREAD_BYTES_PER_S


def choose_unread(unread: Iterable[tuple[Connection, int]], total: int, most: int) -> list[Connection]:
    """Choose connections that do not read, the largest first, until `total` unwritten bytes are at most half of `most`.

    `unread` has the unwritten bytes of each.
    """
    chosen = []
    for connection, size in sorted(unread, key=lambda entry: -entry[1]):
        if total <= most // 2:
            break
        chosen.append(connection)
        total -= size
    return chosen


class WriteBudget:
    """The bytes of responses that are made and not yet written, with a bound. Thread-safe."""

    def __init__(
        self, measure: Callable[[], int], most: int = UNWRITTEN_BYTES, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """`measure` returns the bytes that wait in the connections; it is called now and then."""
        self.most = most
        self._measure = measure
        self._clock = clock
        self._lock = threading.Lock()
        self._reserved = 0
        self._measured = 0
        self._measured_at = float('-inf')

    @property
    def is_full(self) -> bool:
        """Whether so much is unwritten that no further response should be made."""
        with self._lock:
            return self._total() >= self.most

    def reserve(self, size: int) -> bool:
        """Whether a response of `size` bytes can be written; if so it counts until `release`."""
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
        """Note that a response of `size` bytes has been handed to its connection, which `measure` counts."""
        with self._lock:
            self._reserved -= size
            self._measured_at = float('-inf')

    def _total(self) -> int:
        now = self._clock()
        if now - self._measured_at > MEASURED_AGAIN_S:
            self._measured, self._measured_at = self._measure(), now
        return self._measured + self._reserved
