"""How much each principal has in hand over HTTP, and whether its quota allows more. Pure, but for a clock; thread-safe.

The quotas are those of `security.principals`, counted for this proxy alone.
"""

from __future__ import annotations

import math
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from ..security.principals import Principal
from .errors import HTTPError

BURST_S = 5.0
"""`rows_per_second` is an average over so many seconds."""

RETRY_S = 1
"""When to come again if the queue of a principal is full."""


@dataclass(slots=True)
class _Allowance:
    """The rows that a principal may send now; below zero after a request that is larger than `BURST_S` allow."""

    rows: float
    at: float


class Quotas:
    """The rows, bytes and connections of all principals."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._rows: Counter[str] = Counter()
        self._bytes: Counter[str] = Counter()
        self._connections: Counter[str] = Counter()
        self._allowances: dict[str, _Allowance] = {}

    def take(self, principal: Principal, rows: int, size: int) -> None:
        """Count a request of so many rows and bytes; it must be given back.

        Raises:
            HTTPError: QuotaExceeded, it has too much in hand; TooLarge, this request is more than it can ever have.
        """
        quota, name = principal.quota, principal.name
        with self._lock:
            _check_room(name, 'rows_queued', quota.rows_queued, self._rows[name], rows)
            _check_room(name, 'bytes_queued', quota.bytes_queued, self._bytes[name], size)
            if quota.rows_per_second is not None:
                self._spend(name, quota.rows_per_second, rows)
            self._rows[name] += rows
            self._bytes[name] += size

    def give_back(self, principal: Principal, rows: int, size: int) -> None:
        """Note that a request has been answered."""
        with self._lock:
            _subtract(self._rows, principal.name, rows)
            _subtract(self._bytes, principal.name, size)

    def _spend(self, name: str, rate: int, rows: int) -> None:
        """Spend the allowance of a principal: any request may, as long as nothing is owed for those before it."""
        now, most = self._clock(), rate * BURST_S
        allowance = self._allowances.setdefault(name, _Allowance(most, now))
        allowance.rows = min(most, allowance.rows + (now - allowance.at) * rate)
        allowance.at = now
        lacking = min(rows, most) - allowance.rows
        if lacking > 0:
            wait_s = math.ceil(lacking / rate)
            message = "principal '%s' has reached its quota rows_per_second = %d: retry in %d s" % (name, rate, wait_s)
            raise HTTPError('QuotaExceeded', message, retry_after_s=wait_s)
        allowance.rows -= rows

    def add_connection(self, principal: Principal) -> bool:
        """Count a connection of a principal; False, and no count, if it has as many as its quota allows."""
        most = principal.quota.connections
        with self._lock:
            if most is not None and self._connections[principal.name] >= most:
                return False
            self._connections[principal.name] += 1
            return True

    def remove_connection(self, name: str) -> None:
        """Note that a connection of a principal has been closed."""
        with self._lock:
            _subtract(self._connections, name, 1)


class Holding:
    """Whose a connection is: the principal of its latest request. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._is_closed = False
        self._held: tuple[str, Quotas] | None = None

    def pass_to(self, principal: Principal, quotas: Quotas) -> None:
        """Count the connection for a principal, and no longer for another.

        Raises:
            HTTPError: QuotaExceeded, it has as many connections as it may have.
        """
        with self._lock:
            if self._is_closed or (self._held is not None and self._held[0] == principal.name):
                return
            self._release()
            if not quotas.add_connection(principal):
                raise _connections_error(principal)
            self._held = principal.name, quotas

    def close(self) -> None:
        """Note that the connection has been closed."""
        with self._lock:
            self._is_closed = True
            self._release()

    def _release(self) -> None:
        if self._held is not None:
            name, quotas = self._held
            quotas.remove_connection(name)
            self._held = None


def _connections_error(principal: Principal) -> HTTPError:
    """The error of a request over a connection that is one too many."""
    return HTTPError(
        'QuotaExceeded',
        "principal '%s' has reached its quota connections = %s: use the open ones, or close some"
        % (principal.name, principal.quota.connections),
    )


def _subtract(counts: Counter[str], name: str, number: int) -> None:
    counts[name] -= number
    if not counts[name]:
        del counts[name]


def _check_room(name: str, what: str, most: int | None, held: int, more: int) -> None:
    if most is None or held + more <= most:
        return
    if more > most:
        message = "this request needs %d of %s, and principal '%s' can have %d: send less at a time"
        raise HTTPError('TooLarge', message % (more, what, name, most))
    message = "principal '%s' has reached its quota %s = %d: %d are in hand, and this request needs %d; retry later"
    raise HTTPError('QuotaExceeded', message % (name, what, most, held, more), retry_after_s=RETRY_S)
