"""The four independent counters behind the `statistic` of SHOW_STATUS:

- `RequestStatistic`: the requests of clients, with the keys of 1.10, counted by the ventilator.
- `Histogram`: durations of waiting and computing, for the status and for Prometheus.
- `WorkerTally`: the work of a worker, sent to the parent with each heartbeat.
- `Outcomes`: how requests ended. `summarize` formats it as the last line of the log.

Pure: requests, durations and the time go in, dictionaries come out. Memory is bounded: the counters keep only the
latest clients and intervals, summarize sizes, and put durations into a histogram.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import OrderedDict, deque
from collections.abc import Iterable
from dataclasses import dataclass, field, fields
from typing import Any

from .console.formatting import format_duration

ACTIVE_S = 180.0
"""Seconds for which a client counts as active after its last data request."""

KEPT_CLIENTS = 10_000
KEPT_INTERVALS = 200
"""The maximum number of recent clients, and of recent intervals between data requests."""

Number = int | float


@dataclass(slots=True)
class Summary:
    """Count, sum, minimum and maximum of the values so far, and how often the minimum and maximum occurred."""

    count: int = 0
    total: Number = 0
    least: Number = 0
    num_least: int = 0
    greatest: Number = 0
    num_greatest: int = 0

    @classmethod
    def of(cls, values: Iterable[Number]) -> Summary:
        summary = cls()
        for value in values:
            summary.add(value)
        return summary

    def add(self, value: Number) -> None:
        """Add a value."""
        if not self.count or value < self.least:
            self.least, self.num_least = value, 0
        if not self.count or value > self.greatest:
            self.greatest, self.num_greatest = value, 0
        self.num_least += value == self.least
        self.num_greatest += value == self.greatest
        self.count += 1
        self.total += value

    def to_dict(self, name: str) -> dict[str, Number]:
        """The keys of 1.10 for a group with this name, or {} if there are no values."""
        if not self.count:
            return {}
        return {
            'avg_' + name: self.total / self.count,
            'min_' + name: self.least,
            'max_' + name: self.greatest,
            'num_min_' + name: self.num_least,
            'num_max_' + name: self.num_greatest,
        }


class RequestStatistic:
    """Counts the requests of clients. For the ventilator's thread only."""

    def __init__(self) -> None:
        self._requests_of: OrderedDict[bytes, int] = OrderedDict()
        self._last_data_request: OrderedDict[bytes, float] = OrderedDict()
        self._num_client = 0
        self._sizes = Summary()
        self._intervals: deque[float] = deque(maxlen=KEPT_INTERVALS)
        self._last: float | None = None
        self._num_sys = 0

    def count_system_request(self, identity: bytes) -> None:
        """Count a request for the configuration or the status."""
        self._count_client(identity)
        self._num_sys += 1

    def count_data_request(self, identity: bytes, rows: int, now: float) -> None:
        """Count a request of `rows` texts at time `now`, in seconds of a monotonic clock."""
        self._count_client(identity)
        self._sizes.add(rows)
        self._last_data_request[identity] = now
        self._last_data_request.move_to_end(identity)
        if len(self._last_data_request) > KEPT_CLIENTS:
            self._last_data_request.popitem(last=False)
        if self._last is not None:
            self._intervals.append(now - self._last)
        self._last = now

    def _count_client(self, identity: bytes) -> None:
        if identity not in self._requests_of:
            self._num_client += 1
        self._requests_of[identity] = self._requests_of.get(identity, 0) + 1
        self._requests_of.move_to_end(identity)
        if len(self._requests_of) > KEPT_CLIENTS:
            self._requests_of.popitem(last=False)

    def to_dict(self, now: float) -> dict[str, Number]:
        """The keys of 1.10, without the groups that have no values."""
        return {
            'num_data_request': self._sizes.count,
            'num_total_seq': self._sizes.total,
            'num_sys_request': self._num_sys,
            'num_total_request': self._sizes.count + self._num_sys,
            'num_total_client': self._num_client,
            'num_active_client': sum(now - last < ACTIVE_S for last in self._last_data_request.values()),
            **Summary.of(self._requests_of.values()).to_dict('request_per_client'),
            **self._sizes.to_dict('size_per_request'),
            **Summary.of(self._intervals).to_dict('last_two_interval'),
            **Summary.of(1 / seconds for seconds in self._intervals if seconds > 0).to_dict('request_per_second'),
        }


BUCKETS_S = tuple(
    float('%g' % (factor * scale)) for scale in (0.001, 0.01, 0.1, 1.0, 10.0, 100.0) for factor in (1, 2, 3, 5, 7)
)
"""The upper bounds of the buckets in seconds: five for each power of ten, from a millisecond to 700 s."""


class Histogram:
    """The distribution of any number of durations, in bounded memory."""

    def __init__(self, counts: Iterable[int] = (), total_s: float = 0.0) -> None:
        """Take the number of durations in each bucket and their sum. By default the histogram is empty."""
        self._counts = list(counts) or [0] * (len(BUCKETS_S) + 1)
        self._total_s = total_s

    def add(self, seconds: float) -> None:
        """Add a duration."""
        self._counts[bisect_left(BUCKETS_S, seconds)] += 1
        self._total_s += seconds

    def to_list(self) -> list[float]:
        """The sum, then the count of each bucket. `from_list` reads it in another process."""
        return [self._total_s, *self._counts]

    @classmethod
    def from_list(cls, values: Iterable[float]) -> Histogram:
        """Make a histogram from `to_list`."""
        total_s, *counts = values
        return cls(map(int, counts), total_s)

    def __add__(self, other: Histogram) -> Histogram:
        counts = (mine + theirs for mine, theirs in zip(self._counts, other._counts, strict=True))
        return Histogram(counts, self._total_s + other._total_s)

    def quantile(self, share: float) -> float:
        """The quantile `share` of the durations in seconds, interpolated linearly, or 0 if there are none."""
        wanted = share * sum(self._counts)
        below, lower = 0, 0.0
        for count, upper in zip(self._counts, BUCKETS_S, strict=False):
            if count and below + count >= wanted:
                return lower + (upper - lower) * (wanted - below) / count
            below, lower = below + count, upper
        return lower if wanted else 0.0

    def to_dict(self) -> dict[str, Any]:
        """Count, sum, three quantiles, and the cumulative buckets of Prometheus. The last bucket has no bound."""
        buckets, cumulative = [], 0
        for bound, count in zip((*BUCKETS_S, None), self._counts, strict=True):
            cumulative += count
            buckets.append([bound, cumulative])
        quantiles = {'p%d_s' % percent: self.quantile(percent / 100) for percent in (50, 90, 99)}
        return {'count': cumulative, 'sum_s': self._total_s, **quantiles, 'buckets': buckets}


@dataclass
class WorkerTally:
    """Counts the work of one worker, or of all together."""

    batches: int = 0
    rows: int = 0
    tokens: int = 0
    """Positions that held a token."""
    computed_tokens: int = 0
    """Computed positions, padding included."""
    not_finite_rows: int = 0
    """Rows that became errors because the model computed a NaN or an infinity."""
    compute_time: Histogram = field(default_factory=Histogram)
    cached_rows: int = 0
    """Rows answered from the cache. `rows` does not include them."""
    truncated_rows: int = 0
    """Rows truncated because they had too many tokens."""

    def count_batch(self, rows: int, tokens: int, computed_tokens: int, seconds: float) -> None:
        """Count a computed batch."""
        self.batches += 1
        self.rows += rows
        self.tokens += tokens
        self.computed_tokens += computed_tokens
        self.compute_time.add(seconds)

    def __add__(self, other: WorkerTally) -> WorkerTally:
        return WorkerTally(
            batches=self.batches + other.batches,
            rows=self.rows + other.rows,
            tokens=self.tokens + other.tokens,
            computed_tokens=self.computed_tokens + other.computed_tokens,
            not_finite_rows=self.not_finite_rows + other.not_finite_rows,
            compute_time=self.compute_time + other.compute_time,
            cached_rows=self.cached_rows + other.cached_rows,
            truncated_rows=self.truncated_rows + other.truncated_rows,
        )

    def to_json(self) -> list[Any]:
        """The tally as JSON values, for the heartbeat of a worker."""
        counts = [self.batches, self.rows, self.tokens, self.computed_tokens, self.not_finite_rows]
        return [*counts, self.compute_time.to_list(), self.cached_rows, self.truncated_rows]

    @classmethod
    def from_json(cls, values: list[Any]) -> WorkerTally:
        """Make a tally from `to_json`."""
        batches, rows, tokens, computed_tokens, not_finite_rows, compute_time, cached_rows, truncated_rows = values
        times = Histogram.from_list(compute_time)
        return cls(batches, rows, tokens, computed_tokens, not_finite_rows, times, cached_rows, truncated_rows)

    def to_dict(self) -> dict[str, Any]:
        """The keys of the status."""
        padding = 1 - self.tokens / self.computed_tokens if self.computed_tokens else 0.0
        return {
            'num_run': self.batches,
            'num_computed_row': self.rows,
            'num_cached_row': self.cached_rows,
            'num_tokens_done': self.tokens,
            'num_computed_tokens': self.computed_tokens,
            'num_not_finite_row': self.not_finite_rows,
            'num_truncated_row': self.truncated_rows,
            'padding_share': padding,
            'compute_time': self.compute_time.to_dict(),
        }


@dataclass(slots=True)
class Outcomes:
    """How requests have ended so far."""

    rows_done: int = 0
    """Rows answered with vectors."""
    published: int = 0
    """Requests answered with vectors."""
    failed: int = 0
    """Requests that a worker or the sink answered with an error, or whose reply nobody read."""
    refused: int = 0
    """Requests that were malformed, or larger than the server accepts."""
    busy: int = 0
    expired: int = 0
    cancelled: int = 0
    gone: int = 0
    """Requests dropped because their client had disconnected."""
    poisoned: int = 0
    requeued: int = 0
    """Jobs handed out again after a worker or the sink died."""

    @property
    def errors(self) -> int:
        """Requests answered with any error, and requests whose reply nobody read."""
        return self.failed + self.refused + self.busy + self.expired + self.poisoned

    @property
    def dropped(self) -> int:
        """Requests dropped because their client had canceled them or had disconnected."""
        return self.cancelled + self.gone

    def to_dict(self) -> dict[str, int]:
        """The keys of the status."""
        names = {'rows_done': 'num_rows_done', 'requeued': 'num_requeued_job'}
        return {names.get(f.name, 'num_%s_request' % f.name): getattr(self, f.name) for f in fields(self)}


def summarize(outcomes: Outcomes, restarts: int, seconds: float, truncated_rows: int = 0) -> str:
    """Format the counts for the last line of the log. Except for the first two, it leaves out zeros."""
    facts = {
        'rows': outcomes.rows_done,
        'requests': outcomes.published,
        'uptime': format_duration(seconds),
        'errors': outcomes.errors,
        'dropped': outcomes.dropped,
        'restarts': restarts,
        'truncated_rows': truncated_rows,
    }
    always = ('rows', 'requests', 'uptime')
    return ' '.join('%s=%s' % (name, value) for name, value in facts.items() if value or name in always)
