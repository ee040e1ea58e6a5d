"""The Prometheus page `/metrics`: the series of the proxy, and the series of the server from its status.

All series exist from the start with zeros, so that the first request shows as an increase. Names end in their unit.
Thread-safe. Each app has its own registry, so that a process can have several apps.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeAlias

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from .. import stats
from .access_metrics import AccessMetrics
from .health import Health, StatusSnapshot, judge
from .routes import COUNTED_OF_OTHERS, OTHER, ROUTES, encodes
from .status_history import HttpOutcomes

Labels: TypeAlias = tuple[str, ...]
"""The name and address of an upstream, or () without upstreams."""

ServerStatuses: TypeAlias = Sequence[tuple[Labels, StatusSnapshot]]

CONTENT_TYPE = 'text/plain; version=0.0.4; charset=utf-8'

_SECONDS = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60)
_ROWS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096)


class HttpMetrics:
    """The series of one app."""

    def __init__(
        self,
        server_statuses: Callable[[], ServerStatuses],
        working: Callable[[], int],
        waiting: Callable[[], int],
    ) -> None:
        """`working` and `waiting` return the number of requests that have a thread, and that wait for one."""
        self._waiting = waiting
        self._registry = CollectorRegistry()
        self._requests = Counter(
            'bert_http_requests',
            'HTTP requests, by route and status',
            ['route', 'method', 'status'],
            registry=self._registry,
        )
        self._seconds = Histogram(
            'bert_http_request_duration_seconds',
            'Time from reading a request to making its response',
            ['route'],
            buckets=_SECONDS,
            registry=self._registry,
        )
        self._rows = Histogram(
            'bert_http_request_rows',
            'Texts in an answered request',
            ['route'],
            buckets=_ROWS,
            registry=self._registry,
        )
        self._tokens = Counter(
            'bert_http_tokens',
            'Tokens of those texts, including special tokens',
            ['route'],
            registry=self._registry,
        )
        self.access = AccessMetrics(self._registry)
        self._begin_at_zero()
        _gauge('bert_http_requests_working', 'Requests that have a thread', working, self._registry)
        _gauge('bert_http_requests_waiting', 'Requests that wait for a thread', waiting, self._registry)
        self._registry.register(ServerMetrics(server_statuses))
        ProcessCollector(registry=self._registry)

    def _begin_at_zero(self) -> None:
        for route in ROUTES:
            for status in route.counted:
                self._requests.labels(route.label, route.method, status)
            self._requests.labels(route.label, 'OPTIONS', 200)
            self._seconds.labels(route.label)
            if route.encodes:
                self._rows.labels(route.label)
                self._tokens.labels(route.label)
        for status in COUNTED_OF_OTHERS:
            self._requests.labels(OTHER, OTHER, status)
        self._seconds.labels(OTHER)

    def count_request(self, label: str, method: str, status: int, seconds: float) -> None:
        """Count an answered request."""
        if label == OTHER or (method == 'OPTIONS' and status != 200):
            label = method = OTHER  # clients can invent methods, and a series for each would fill the memory
        elif method == 'HEAD':
            method = 'GET'  # Flask answers it with the route of GET
        self._requests.labels(label, method, status).inc()
        self._seconds.labels(label).observe(seconds)

    def count_rows(self, label: str, rows: int, tokens: int) -> None:
        """Count the texts and tokens of an answered request."""
        self._rows.labels(label).observe(rows)
        self._tokens.labels(label).inc(tokens)

    def outcomes(self) -> HttpOutcomes:
        """How requests to the routes that encode have ended so far."""
        invalid = turned_away = failed = 0
        for series in next(iter(self._requests.collect())).samples:
            labels = series.labels
            if not series.name.endswith('_total') or not encodes(labels['method'], labels['route']):
                continue
            number, status = int(series.value), int(labels['status'])
            turned_away += number * (status == 429)
            failed += number * (status >= 500)
            invalid += number * (400 <= status < 500 and status != 429)
        return HttpOutcomes(invalid, turned_away, failed, self._waiting())

    def page(self) -> bytes:
        """The page in the text format of Prometheus."""
        return generate_latest(self._registry)


def _gauge(name: str, about: str, value: Callable[[], int], registry: CollectorRegistry) -> None:
    Gauge(name, about, registry=registry).set_function(value)


_COUNTERS = {
    'num_data_request': ('requests', 'Encoding requests received over ZeroMQ, including those of this proxy'),
    'num_sys_request': ('status_requests', 'Requests for the configuration or the status'),
    'num_total_seq': ('rows_received', 'Texts received'),
    'num_rows_done': ('rows', 'Texts computed'),
    'num_tokens_done': ('tokens', 'Tokens computed, without padding'),
    'num_computed_tokens': ('computed_tokens', 'Tokens computed, padding included'),
    'num_computed_row': ('computed_rows', 'Rows computed, where equal rows of a batch count once'),
    'num_cached_row': ('cached_rows', 'Rows answered from the cache of a worker'),
    'num_run': ('runs', 'Batches computed'),
    'num_truncated_row': ('truncated_rows', 'Rows truncated because they had too many tokens'),
    'num_not_finite_row': ('not_finite_rows', 'Rows that became errors because the model computed NaN or infinity'),
    'num_published_request': ('published_requests', 'Requests whose reply was published'),
    'num_failed_request': ('failed_requests', 'Requests to which a worker or the sink replied with an error'),
    'num_refused_request': ('refused_requests', 'Malformed or too large requests'),
    'num_busy_request': ('busy_requests', 'Requests refused because the queue was full'),
    'num_expired_request': ('expired_requests', 'Requests whose deadline passed before they were computed'),
    'num_cancelled_request': ('cancelled_requests', 'Requests canceled by their client'),
    'num_gone_request': ('gone_requests', 'Requests whose client disconnected'),
    'num_poisoned_request': ('poisoned_requests', 'Requests that crashed workers'),
    'num_requeued_job': ('requeued_jobs', 'Jobs sent to another worker after the first had died'),
    'num_given_up_reply': ('given_up_replies', 'Replies discarded because nobody read them'),
    'num_slow_reader': ('slow_readers', 'Connections closed because their clients did not read their replies'),
    'num_worker_restart': ('worker_restarts', 'Restarts of workers'),
    'num_sink_restart': ('sink_restarts', 'Restarts of the sink'),
    'num_http_restart': ('http_restarts', 'Restarts of the HTTP proxy of the server'),
    'num_garbage_message': ('garbage_messages', 'Malformed messages without a return address'),
    'num_security_connected': ('security_connected', 'Connections of clients with a key, to both ports'),
    'num_security_granted': ('security_granted', 'Allowed requests of clients with a key'),
    'num_security_refused': (
        'security_refused',
        'Requests, subscriptions and connections refused because of a grant or key',
    ),
    'num_security_cancelled': ('security_cancelled', 'Requests canceled by clients with a key'),
    'num_security_terminated': ('security_terminated', 'Allowed requests to stop the server'),
    'num_security_quota': ('security_quota', 'Requests and connections refused because of a quota'),
    'num_security_wrong_key': ('security_wrong_key', 'Handshakes without a known key'),
}
_GAUGES = {
    'padding_share': ('padding_ratio', 'Fraction of the computed tokens that was padding'),
    'queue_rows': ('queue_rows', 'Texts that wait for a worker'),
    'queue_requests': ('queue_requests', 'Requests that wait for a worker'),
    'in_flight_rows': ('in_flight_rows', 'Texts sent to a worker and not yet computed'),
    'unfinished_requests': ('unfinished_requests', 'Requests accepted and not yet published'),
    'unfinished_rows': ('unfinished_rows', 'Texts of requests accepted and not yet published'),
    'num_active_client': ('active_clients', 'Clients that sent a request in the last 180 seconds'),
}
_HISTOGRAMS = {
    'queue_time': ('queue_seconds', 'Time from accepting a job to the start of its batch'),
    'compute_time': ('compute_seconds', 'Duration of a batch'),
    'total_time': ('request_seconds', 'Time from accepting a request to publishing its reply'),
}


class ServerMetrics(Collector):
    """The series from each server's `statistic`. While a server is away, `up` is 0 and the rest keeps its values."""

    def __init__(self, server_statuses: Callable[[], ServerStatuses]) -> None:
        self._server_statuses = server_statuses

    def describe(self) -> list[Metric]:
        """Return nothing, so that the registration does not ask the server."""
        return []

    def collect(self) -> Iterator[Metric]:
        servers = [(labels, snapshot, judge(snapshot)) for labels, snapshot in self._server_statuses()]

        def gauge(name: str, about: str, value: Callable[[Health], float]) -> Metric:
            return _gauges(name, about, [(labels, value(health)) for labels, _, health in servers])

        yield gauge('up', 'Whether the server responds', lambda health: health.is_live)
        yield gauge(
            'ready', 'Whether the server accepts requests and has a ready worker', lambda health: health.is_ready
        )
        yield gauge('workers', 'Workers that the server should have', lambda health: health.workers or 0)
        yield gauge('workers_ready', 'Workers that are ready', lambda health: health.workers_ready or 0)
        yield gauge(
            'workers_waiting', 'Workers that wait for resources on a cluster', lambda health: health.workers_waiting
        )
        yield from server_series(
            [(labels, (snapshot.status or {}).get('statistic', {})) for labels, snapshot, _ in servers]
        )


def server_series(statistics: Sequence[tuple[Labels, Mapping[str, Any]]]) -> Iterator[Metric]:
    """Make the series from the `statistic` of each server, with zero for a missing key."""
    names = _names_of(statistics)
    for key, (name, about) in _COUNTERS.items():
        counter = CounterMetricFamily('bert_serving_' + name, about, labels=names)
        for labels, statistic in statistics:
            counter.add_metric(labels, statistic.get(key, 0))
        yield counter
    for key, (name, about) in _GAUGES.items():
        yield _gauges(name, about, [(labels, statistic.get(key, 0)) for labels, statistic in statistics])
    for key, (name, about) in _HISTOGRAMS.items():
        histogram = HistogramMetricFamily('bert_serving_' + name, about, labels=names)
        for labels, statistic in statistics:
            summary = statistic.get(key) or {}
            histogram.add_metric(labels, _buckets(summary), sum_value=summary.get('sum_s', 0))
        yield histogram


def _names_of(series: Sequence[tuple[Labels, Any]]) -> tuple[str, ...]:
    return ('upstream', 'replica') if series and series[0][0] else ()


def _gauges(name: str, about: str, values: Sequence[tuple[Labels, float]]) -> Metric:
    family = GaugeMetricFamily('bert_serving_' + name, about, labels=_names_of(values))
    for labels, value in values:
        family.add_metric(labels, value)
    return family


def _buckets(summary: Mapping[str, Any]) -> list[tuple[str, float]]:
    counted = summary.get('buckets') or stats.Histogram().to_dict()['buckets']
    return [('+Inf' if bound is None else repr(float(bound)), count) for bound, count in counted]
