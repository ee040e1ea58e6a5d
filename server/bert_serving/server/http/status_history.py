"""The counters of the last hour, for a page or a program that connects later. Pure.

A sample holds the numbers of the status that the charts need, as they were. A reader subtracts two samples to get the
growth. All samples form one table, with a column for each number, so that an hour of samples stays small.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

EVERY_S = 10.0
"""Seconds from one sample to the next."""

KEPT_S = 3600.0
"""Seconds to keep a sample."""

STATISTIC = (
    'num_data_request',
    'num_published_request',
    'num_total_seq',
    'num_rows_done',
    'num_cached_row',
    'num_tokens_done',
    'num_computed_tokens',
    'num_failed_request',
    'num_refused_request',
    'num_busy_request',
    'num_expired_request',
    'num_poisoned_request',
    'num_cancelled_request',
    'num_gone_request',
    'num_garbage_message',
    'num_worker_restart',
    'num_sink_restart',
    'num_http_restart',
    'queue_rows',
    'in_flight_rows',
    'num_active_client',
)
"""The numbers to keep, by their keys in the `statistic` of the status."""

DURATIONS = ('queue_time', 'compute_time', 'total_time')
"""The histograms to keep, by their keys in the `statistic` of the status."""

_Bounds = tuple[float | None, ...]


@dataclass(frozen=True, slots=True)
class HttpOutcomes:
    """The outcomes of requests to encoding routes since the start of the proxy, and the number that wait for a thread.

    `turned_away` counts the status 429, `invalid` the other 4xx, and `failed` 5xx.
    """

    invalid: int = 0
    turned_away: int = 0
    failed: int = 0
    waiting: int = 0


@dataclass(frozen=True, slots=True)
class _Sample:
    """The values of a status at `time_s`, in seconds since 1970. None stands for a missing value."""

    time_s: float
    started_at: str | None
    numbers: tuple[float | None, ...]
    http: HttpOutcomes
    bounds: tuple[_Bounds | None, ...]
    counts: tuple[tuple[int, ...] | None, ...]


class StatusHistory:
    """The samples of the last hour. One thread adds them, and any thread reads them."""

    def __init__(self) -> None:
        self._samples: list[_Sample] = []  # replaced, and never changed, because other threads may be reading it

    def add(self, time_s: float, status: Mapping[str, Any], http: HttpOutcomes) -> None:
        """Keep a sample of `status`, taken at `time_s`, and remove samples that are too old by then.

        Samples later than `time_s` are removed, too, because the clock was set back.
        """
        statistic = status.get('statistic', {})
        histograms = [_read_histogram(statistic.get(name)) for name in DURATIONS]
        bounds = tuple(bounds for bounds, _ in histograms)
        kept = [sample for sample in self._samples if time_s - KEPT_S <= sample.time_s < time_s]
        sample = _Sample(
            time_s=time_s,
            started_at=status.get('server_start_time'),
            numbers=tuple(statistic.get(name) for name in STATISTIC),
            http=http,
            bounds=kept[-1].bounds if kept and kept[-1].bounds == bounds else bounds,  # one object for all of them
            counts=tuple(counts for _, counts in histograms),
        )
        self._samples = [*kept, sample]

    def to_json(self, now_s: float) -> dict[str, Any]:
        """Return the table at `now_s`, with a list of the samples' values under each key, the oldest first.

        `durations` has the upper `bounds_s` of the buckets of each histogram, and the cumulative `counts` of each
        sample. These are None for a sample with other buckets.
        """
        samples = [sample for sample in self._samples if sample.time_s >= now_s - KEPT_S]
        return {
            'now': now_s,
            'every_s': EVERY_S,
            'time': [sample.time_s for sample in samples],
            'server_start_time': [sample.started_at for sample in samples],
            'statistic': {name: [sample.numbers[place] for sample in samples] for place, name in enumerate(STATISTIC)},
            'http': {
                name: [getattr(sample.http, name) for sample in samples] for name in HttpOutcomes.__dataclass_fields__
            },
            'durations': {name: _durations_of(samples, place) for place, name in enumerate(DURATIONS)},
        }


def _durations_of(samples: list[_Sample], place: int) -> dict[str, Any]:
    """Return the histogram at that place in each sample."""
    bounds = samples[-1].bounds[place] if samples else None
    return {
        'bounds_s': [] if bounds is None else list(bounds),
        'counts': [sample.counts[place] if sample.bounds[place] == bounds else None for sample in samples],
    }


def _read_histogram(summary: Mapping[str, Any] | None) -> tuple[_Bounds | None, tuple[int, ...] | None]:
    """Return the bounds and the cumulative counts of a histogram of the status, or None for a missing one."""
    if not summary or 'buckets' not in summary:
        return None, None
    buckets = summary['buckets']
    return tuple(bound for bound, _ in buckets), tuple(count for _, count in buckets)
