"""The metrics of principals at the HTTP port, and of refused requests. Thread-safe."""

from __future__ import annotations

import threading
from collections.abc import Iterable

from prometheus_client import CollectorRegistry, Counter

MAX_PRINCIPALS = 200
"""The maximum number of principals with their own label. All others share `OTHER`."""

OTHER = 'other'

REFUSALS = ('Unauthorized', 'WrongKeys', 'Forbidden', 'QuotaExceeded')
"""The kinds of errors with their own series."""

_OUTCOMES = ('2xx', '4xx', '5xx')


class AccessMetrics:
    """Counts requests and rows by principal, and refusals by kind."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._lock = threading.Lock()
        self._names: set[str] = set()
        self._requests = Counter(
            'bert_http_principal_requests',
            'HTTP requests by principal and first digit of the status',
            ['principal', 'status'],
            registry=registry,
        )
        self._rows = Counter(
            'bert_http_principal_rows',
            'Texts in answered HTTP requests by principal',
            ['principal'],
            registry=registry,
        )
        self._refusals = Counter(
            'bert_http_refusals',
            'HTTP requests without a valid key, without a grant, beyond a quota, or after too many wrong keys',
            ['reason'],
            registry=registry,
        )
        for name in REFUSALS:
            self._refusals.labels(name)

    def begin_at_zero(self, names: Iterable[str]) -> None:
        """Create the series of these principals, with zeros."""
        for name in names:
            label = self._label_of(name)
            self._rows.labels(label)
            for status in _OUTCOMES:
                self._requests.labels(label, status)

    def count_request(self, name: str, status: int, rows: int) -> None:
        """Count a request of a principal that was answered with `rows` rows."""
        label = self._label_of(name)
        self._requests.labels(label, '%dxx' % (status // 100)).inc()
        self._rows.labels(label).inc(rows)

    def count_refusal(self, name: str) -> None:
        """Count an error, if it is one of `REFUSALS`."""
        if name in REFUSALS:
            self._refusals.labels(name).inc()

    def _label_of(self, name: str) -> str:
        with self._lock:
            if name not in self._names and len(self._names) >= MAX_PRINCIPALS:
                return OTHER
            self._names.add(name)
            return name
