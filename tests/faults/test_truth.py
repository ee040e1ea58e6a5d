"""Truth: the counters of the status start at zero and count what has happened."""

from __future__ import annotations

import signal
from typing import Any

import pytest

from bert_serving.client import ServerError as RequestFailed
from support.processes import SINK, WORKER, children_of, fake_server, send
from support.raw_client import raw_client
from support.serving import connect
from support.waiting import wait_until

COUNTERS = """
    num_rows_done num_tokens_done num_computed_tokens num_cached_row num_run num_published_request num_failed_request
    num_refused_request num_busy_request num_expired_request num_cancelled_request num_gone_request
    num_poisoned_request num_requeued_job num_given_up_reply num_worker_restart num_sink_restart num_garbage_message
    queue_rows queue_requests in_flight_rows unfinished_requests padding_share
""".split()
DURATIONS = ('queue_time', 'compute_time', 'total_time')


def counters_of(statistic: dict[str, Any]) -> dict[str, float]:
    return {name: statistic[name] for name in COUNTERS if statistic[name]}


def test_truth_everything_is_counted_from_zero() -> None:
    with fake_server('-num_worker', '2') as server:
        server.wait_until_ready()
        with connect(server) as client:
            status = client.server_status
            assert counters_of(status['statistic']) == {}
            assert [status['statistic'][name]['count'] for name in DURATIONS] == [0, 0, 0]
            assert status['server_state'] == 'serving'
            assert [(w['worker'], w['state'], w['restarts']) for w in status['workers']] == [
                (0, 'ready', 0),
                (1, 'ready', 0),
            ]
            assert sorted(worker['pid'] for worker in status['workers']) == sorted(children_of(server, WORKER))
        assert server.stop() == 0


def test_truth_what_happens_is_counted() -> None:
    with fake_server() as server:
        server.wait_until_ready()
        with (
            connect(server) as client,
            raw_client(server) as raw,
        ):
            client.encode(['the', 'of of', 'and and and'])
            client.encode(['the of and'])
            raw.send(raw.identity, b'no JSON', b'1', b'1')  # found out by the worker
            raw.receive_error()
            raw.send(raw.identity, b'["the"]', b'2', b'none')  # found out by the ventilator
            raw.receive_error()
            raw.send(b'not four frames')
            wait_until(lambda: client.server_status['statistic']['num_run'] == 2)
            statistic = client.server_status['statistic']
            tokens = {'num_tokens_done': 3 + 4 + 5 + 5}
            padding = {'num_computed_tokens': 15 + 5, 'padding_share': pytest.approx(1 - 17 / 20)}
            assert counters_of(statistic) == {
                'num_rows_done': 4,
                'num_run': 2,
                'num_published_request': 2,
                'num_failed_request': 1,
                'num_refused_request': 1,
                'num_garbage_message': 1,
                **tokens,
                **padding,
            }
            assert [statistic[name]['count'] for name in DURATIONS] == [3, 2, 2]
            for name in DURATIONS:
                assert statistic[name]['buckets'][-1] == [None, statistic[name]['count']]
                assert 0 <= statistic[name]['p50_s'] <= statistic[name]['p99_s']
        assert server.stop() == 0


def test_truth_restarts_and_what_the_dead_had_computed_stay_counted() -> None:
    with fake_server() as server:
        server.wait_until_ready()
        with connect(server) as client:
            client.encode(['the'])
            wait_until(lambda: client.server_status['statistic']['num_run'] == 1)
            for victim in (WORKER, SINK):
                (pid,) = children_of(server, victim)
                send(pid, signal.SIGKILL)
            wait_until(lambda: client.server_status['workers'][0]['restarts'] == 1)
            client.encode(['of'])
            wait_until(lambda: client.server_status['statistic']['num_run'] == 2)  # it is told once a second
            with pytest.raises(RequestFailed):
                client.encode(['they kill'])
            statistic = client.server_status['statistic']
            assert statistic['num_run'] == 2
            assert (statistic['num_worker_restart'], statistic['num_sink_restart']) == (4, 1)
            assert (statistic['num_rows_done'], statistic['num_poisoned_request']) == (2, 1)
        assert server.stop() == 0
