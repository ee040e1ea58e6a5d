"""The counters of SHOW_STATUS: 1.10's keys, what they count, and that they stay small."""

from __future__ import annotations

import pytest

from bert_serving.server import stats
from bert_serving.server.stats import RequestStatistic

COUNTS = {
    'num_data_request', 'num_total_seq', 'num_sys_request', 'num_total_request', 'num_total_client',
    'num_active_client',
}  # fmt: skip


def test_before_the_first_request_only_the_counts_are_there_at_zero() -> None:
    assert RequestStatistic().to_dict(0) == dict.fromkeys(COUNTS, 0)


def test_every_group_of_1_10_is_there_after_two_requests() -> None:
    statistic = RequestStatistic()
    statistic.count_system_request(b'a')
    statistic.count_data_request(b'a', 2, now=1.0)
    statistic.count_data_request(b'b', 6, now=1.5)
    statistic.count_data_request(b'b', 6, now=1.75)
    assert statistic.to_dict(now=2.0) == {
        'num_data_request': 3, 'num_total_seq': 14, 'num_sys_request': 1, 'num_total_request': 4,
        'num_total_client': 2, 'num_active_client': 2,
        'avg_request_per_client': 2, 'min_request_per_client': 2, 'max_request_per_client': 2,
        'num_min_request_per_client': 2, 'num_max_request_per_client': 2,
        'avg_size_per_request': pytest.approx(14 / 3), 'min_size_per_request': 2, 'max_size_per_request': 6,
        'num_min_size_per_request': 1, 'num_max_size_per_request': 2,
        'avg_last_two_interval': 0.375, 'min_last_two_interval': 0.25, 'max_last_two_interval': 0.5,
        'num_min_last_two_interval': 1, 'num_max_last_two_interval': 1,
        'avg_request_per_second': 3.0, 'min_request_per_second': 2.0, 'max_request_per_second': 4.0,
        'num_min_request_per_second': 1, 'num_max_request_per_second': 1,
    }  # fmt: skip


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
