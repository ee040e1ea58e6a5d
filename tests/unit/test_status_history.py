"""The last hour of the counters: what a sample keeps, for how long, and the table that is made of all."""

from __future__ import annotations

import json
from typing import Any

from bert_serving.server import stats
from bert_serving.server.http.status_history import DURATIONS, EVERY_S, KEPT_S, STATISTIC, HttpOutcomes, StatusHistory

NOW = 1_800_000_000.0
BUCKETS = [[0.1, 2], [1.0, 5], [None, 6]]
NO_HTTP = HttpOutcomes()


def status_of(requests: int, **more: Any) -> dict[str, Any]:
    statistic = {'num_data_request': requests, 'queue_rows': 3, 'total_time': {'buckets': BUCKETS}}
    return {'server_start_time': '2026-01-01 00:00:00', 'statistic': {**statistic, **more}}


def history_of(*requests: int, http: HttpOutcomes = NO_HTTP) -> StatusHistory:
    """Samples with so many requests, the last of them taken at `NOW`."""
    history = StatusHistory()
    for place, number in enumerate(requests):
        history.add(NOW - EVERY_S * (len(requests) - 1 - place), status_of(number), http)
    return history


def test_the_table_has_a_column_for_each_number_the_oldest_sample_first() -> None:
    table = history_of(5, 8, http=HttpOutcomes(1, 2, 3, 4)).to_json(NOW + 1)
    assert (table['now'], table['every_s']) == (NOW + 1, EVERY_S)
    assert table['time'] == [NOW - EVERY_S, NOW]
    assert table['server_start_time'] == ['2026-01-01 00:00:00'] * 2
    assert table['statistic']['num_data_request'] == [5, 8]
    assert table['statistic']['queue_rows'] == [3, 3]
    assert table['http'] == {'invalid': [1, 1], 'turned_away': [2, 2], 'failed': [3, 3], 'waiting': [4, 4]}
    assert table['durations']['total_time'] == {'bounds_s': [0.1, 1.0, None], 'counts': [(2, 5, 6), (2, 5, 6)]}
    assert {*table['statistic']} == {*STATISTIC}
    assert {*table['durations']} == {*DURATIONS}


def test_a_server_that_does_not_tell_a_number_is_not_said_to_have_none() -> None:
    history = StatusHistory()
    history.add(
        NOW, {'server_version': '1.10.0', 'statistic': {'num_data_request': 1, 'total_time': {}}}, HttpOutcomes()
    )
    history.add(NOW + 1, {}, NO_HTTP)
    table = history.to_json(NOW + 1)
    assert table['server_start_time'] == [None, None]
    assert table['statistic']['num_data_request'] == [1, None]
    assert table['statistic']['num_rows_done'] == [None, None]
    assert table['durations']['total_time'] == {'bounds_s': [], 'counts': [None, None]}


def test_a_history_without_samples_is_a_table_without_rows() -> None:
    table = StatusHistory().to_json(NOW)
    assert table['time'] == table['server_start_time'] == table['statistic']['num_rows_done'] == []
    assert table['durations']['queue_time'] == {'bounds_s': [], 'counts': []}


def test_samples_are_kept_for_an_hour_and_are_gone_then_even_if_no_other_comes() -> None:
    history = StatusHistory()
    for place in range(1000):
        history.add(NOW + EVERY_S * place, status_of(place), NO_HTTP)
    last = NOW + EVERY_S * 999
    times = history.to_json(last)['time']
    assert len(times) == KEPT_S / EVERY_S + 1
    assert times[0] == last - KEPT_S
    assert history.to_json(last + KEPT_S / 2)['time'][0] == last - KEPT_S / 2
    assert history.to_json(last + 2 * KEPT_S)['time'] == []


def test_samples_that_are_later_than_the_clock_are_forgotten() -> None:
    history = history_of(1, 2, 3)
    history.add(NOW - EVERY_S, status_of(9), NO_HTTP)
    table = history.to_json(NOW - EVERY_S)
    assert table['statistic']['num_data_request'] == [1, 9]


def test_durations_that_were_counted_in_other_buckets_are_not_mixed() -> None:
    history = history_of(1)
    history.add(NOW + EVERY_S, status_of(2, total_time={'buckets': [[0.5, 1], [None, 1]]}), NO_HTTP)
    assert history.to_json(NOW + EVERY_S)['durations']['total_time'] == {
        'bounds_s': [0.5, None],
        'counts': [None, (1, 1)],
    }


def test_an_hour_of_a_busy_server_is_a_small_answer() -> None:
    times = stats.Histogram(range(10**9, 10**9 + len(stats.BUCKETS_S) + 1)).to_dict()
    busy = status_of(10**9, **dict.fromkeys(STATISTIC, 10**9), **dict.fromkeys(DURATIONS, times))
    history = StatusHistory()
    for place in range(int(KEPT_S / EVERY_S) + 1):
        history.add(NOW + EVERY_S * place, busy, HttpOutcomes(10**9, 10**9, 10**9, 100))
    assert len(json.dumps(history.to_json(NOW + KEPT_S))) < 800_000, 'before it is compressed'
