"""The quotas of principals over HTTP: count their pending requests, and refuse more. Pure except for a clock;
thread-safe.

The quotas come from `security.principals`. Each proxy counts separately.
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
"""Seconds over which `rows_per_second` is averaged."""

RETRY_S = 1
"""Seconds until a retry if the queue of a principal is full."""


@dataclass(slots=True)
class _Allowance:
    """The rows that a principal can send now. The number is negative after a request larger than the burst."""

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
        """Count a request of `rows` rows and `size` bytes. Call `give_back` after it.

        Raises:
            HTTPError: QuotaExceeded if too much is pending; TooLarge if this request alone exceeds the quota.
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
        """Record the end of a request."""
        with self._lock:
            _subtract(self._rows, principal.name, rows)
            _subtract(self._bytes, principal.name, size)

    def _spend(self, name: str, rate: int, rows: int) -> None:
        """Spend the allowance of a principal. A request of any size can overdraw it if it is not negative before."""
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
        """Count a connection of a principal. Return False, without counting it, if the quota is reached."""
        most = principal.quota.connections
        with self._lock:
            if most is not None and self._connections[principal.name] >= most:
                return False
            self._connections[principal.name] += 1
            return True

    def remove_connection(self, name: str) -> None:
        """Record that a connection of a principal was closed."""
        with self._lock:
            _subtract(self._connections, name, 1)


class Holding:
    """The owner of a connection: the principal of its latest request. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._is_closed = False
        self._held: tuple[str, Quotas] | None = None

    def pass_to(self, principal: Principal, quotas: Quotas) -> None:
        """Count the connection for a principal, and no longer for its previous one.

        Raises:
            HTTPError: QuotaExceeded if the principal has reached its quota of connections.
        """
        with self._lock:
            if self._is_closed or (self._held is not None and self._held[0] == principal.name):
                return
            self._release()
            if not quotas.add_connection(principal):
                raise _connections_error(principal)
            self._held = principal.name, quotas

    def close(self) -> None:
        """Record that the connection was closed."""
        with self._lock:
            self._is_closed = True
            self._release()

    def _release(self) -> None:
        if self._held is not None:
            name, quotas = self._held
            quotas.remove_connection(name)
            self._held = None


def _connections_error(principal: Principal) -> HTTPError:
    """The error for a request over a connection that exceeds the quota."""
    return HTTPError(
        'QuotaExceeded',
        "principal '%s' has reached its quota connections = %s: reuse the open ones, or close some"
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
        message = "this request needs %d of %s, but the quota of principal '%s' is %d: send less at a time"
        raise HTTPError('TooLarge', message % (more, what, name, most))
    message = "principal '%s' has reached its quota %s = %d: %d pending, this request needs %d; retry later"
    raise HTTPError('QuotaExceeded', message % (name, what, most, held, more), retry_after_s=RETRY_S)
