"""The counters of SHOW_STATUS: 1.10's keys, what they count, and that they stay small."""

from __future__ import annotations

import json
import math
from bisect import bisect_left

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bert_serving.server import stats
from bert_serving.server.stats import BUCKETS_S, Histogram, Outcomes, RequestStatistic, WorkerTally, summarize

COUNTS = {
    'num_data_request',
    'num_total_seq',
    'num_sys_request',
    'num_total_request',
    'num_total_client',
    'num_active_client',
}


def test_before_the_first_request_only_the_counts_are_there_at_zero() -> None:
    assert RequestStatistic().to_dict(0) == dict.fromkeys(COUNTS, 0)


def test_every_group_of_1_10_is_there_after_two_requests() -> None:
    statistic = RequestStatistic()
    statistic.count_system_request(b'a')
    statistic.count_data_request(b'a', 2, now=1.0)
    statistic.count_data_request(b'b', 6, now=1.5)
    statistic.count_data_request(b'b', 6, now=1.75)
    assert statistic.to_dict(now=2.0) == {
        'num_data_request': 3,
        'num_total_seq': 14,
        'num_sys_request': 1,
        'num_total_request': 4,
        'num_total_client': 2,
        'num_active_client': 2,
        'avg_request_per_client': 2,
        'min_request_per_client': 2,
        'max_request_per_client': 2,
        'num_min_request_per_client': 2,
        'num_max_request_per_client': 2,
        'avg_size_per_request': pytest.approx(14 / 3),
        'min_size_per_request': 2,
        'max_size_per_request': 6,
        'num_min_size_per_request': 1,
        'num_max_size_per_request': 2,
        'avg_last_two_interval': 0.375,
        'min_last_two_interval': 0.25,
        'max_last_two_interval': 0.5,
        'num_min_last_two_interval': 1,
        'num_max_last_two_interval': 1,
        'avg_request_per_second': 3.0,
        'min_request_per_second': 2.0,
        'max_request_per_second': 4.0,
        'num_min_request_per_second': 1,
        'num_max_request_per_second': 1,
    }


def test_two_requests_at_one_instant_have_no_rate() -> None:
    statistic = RequestStatistic()
    statistic.count_data_request(b'a', 1, now=1.0)
    statistic.count_data_request(b'a', 1, now=1.0)
    values = statistic.to_dict(now=1.0)
    assert values['avg_last_two_interval'] == 0
    assert 'avg_request_per_second' not in values


def test_a_client_is_active_for_three_minutes() -> None:
    statistic = RequestStatistic()
    statistic.count_data_request(b'a', 1, now=0.0)
    statistic.count_data_request(b'b', 1, now=100.0)
    assert statistic.to_dict(now=179.0)['num_active_client'] == 2
    assert statistic.to_dict(now=180.0)['num_active_client'] == 1


def test_memory_is_bounded_by_the_latest_clients_and_all_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stats, 'KEPT_CLIENTS', 3)
    statistic = RequestStatistic()
    for number in range(10):
        statistic.count_data_request(b'%d' % number, 1, now=float(number))
    values = statistic.to_dict(now=10.0)
    assert values['num_total_client'] == 10
    assert values['num_active_client'] == 3
    assert values['num_min_request_per_client'] == 3


def test_a_histogram_counts_durations_up_to_each_bound() -> None:
    times = Histogram()
    for seconds in (0.0005, 0.001, 0.0015, 4, 1e6):
        times.add(seconds)
    values = times.to_dict()
    assert (values['count'], values['sum_s']) == (5, pytest.approx(1_000_004.003))
    assert values['buckets'][:2] == [[0.001, 2], [0.002, 3]]
    assert values['buckets'][-2:] == [[700.0, 4], [None, 5]]
    assert [5.0, 4] in values['buckets']


def test_the_buckets_go_from_a_millisecond_to_ten_minutes_five_for_each_power_of_ten() -> None:
    assert BUCKETS_S[:6] == (0.001, 0.002, 0.003, 0.005, 0.007, 0.01)
    assert BUCKETS_S[-1] == 700
    assert list(BUCKETS_S) == sorted(set(BUCKETS_S))


def test_a_quantile_lies_where_it_should_within_its_bucket() -> None:
    times = Histogram()
    for _ in range(10):
        times.add(0.15)
    assert times.quantile(0.5) == pytest.approx(0.15)
    assert times.quantile(1) == pytest.approx(0.2)
    times.add(1e6)
    assert times.quantile(1) == 700, 'beyond the last bound nothing more is known'


def test_of_no_durations_all_is_zero() -> None:
    values = Histogram().to_dict()
    assert {values[key] for key in ('count', 'sum_s', 'p50_s', 'p90_s', 'p99_s')} == {0}


@given(st.lists(st.floats(0, 1000), min_size=1), st.floats(0.01, 1))
def test_a_quantile_is_in_the_bucket_of_the_duration_it_stands_for(seconds: list[float], share: float) -> None:
    times = Histogram()
    for each in seconds:
        times.add(each)
    exact = sorted(seconds)[math.ceil(share * len(seconds)) - 1]
    bounds = [0.0, *BUCKETS_S, BUCKETS_S[-1]]
    at = bisect_left(BUCKETS_S, exact)
    assert bounds[at] <= times.quantile(share) * (1 + 1e-9)
    assert times.quantile(share) <= bounds[at + 1] * (1 + 1e-9)


def test_tallies_of_workers_go_from_process_to_process_and_add_up() -> None:
    first, second = WorkerTally(), WorkerTally()
    first.count_batch(rows=2, tokens=6, computed_tokens=8, seconds=0.5)
    second.count_batch(rows=1, tokens=3, computed_tokens=4, seconds=1.5)
    second.count_batch(rows=1, tokens=3, computed_tokens=4, seconds=2.0)
    first.cached_rows, second.cached_rows = 1, 2
    first.not_finite_rows, second.not_finite_rows = 2, 5
    first.truncated_rows, second.truncated_rows = 4, 1
    copies = [WorkerTally.from_json(json.loads(json.dumps(tally.to_json()))) for tally in (first, second)]
    assert [copy.to_dict() for copy in copies] == [first.to_dict(), second.to_dict()]
    both = (copies[0] + copies[1]).to_dict()
    times = both.pop('compute_time')
    assert (times['count'], times['sum_s']) == (3, 4.0)
    assert both == {
        'num_run': 3,
        'num_computed_row': 4,
        'num_cached_row': 3,
        'num_tokens_done': 12,
        'num_computed_tokens': 16,
        'num_not_finite_row': 7,
        'num_truncated_row': 5,
        'padding_share': 0.25,
    }


def test_before_the_first_run_no_padding_was_computed() -> None:
    assert WorkerTally().to_dict()['padding_share'] == 0


def test_the_end_is_told_in_a_line_that_names_what_happened_and_nothing_else() -> None:
    assert summarize(Outcomes(), 0, 3.04) == 'rows=0 requests=0 uptime=3.0s'
    busy = Outcomes(
        rows_done=700, published=30, failed=1, refused=2, busy=3, expired=4, poisoned=5, cancelled=6, gone=7
    )
    assert summarize(busy, 2, 7385) == 'rows=700 requests=30 uptime=2h03m05s errors=15 dropped=13 restarts=2'
    assert summarize(Outcomes(rows_done=3, published=1), 0, 3.04, truncated_rows=2) == (
        'rows=3 requests=1 uptime=3.0s truncated_rows=2'
    )
