"""Flood and gone: what is accepted, queued and kept is bounded, and nobody works for a client that has left."""

from __future__ import annotations

import json
import signal
import time
from pathlib import Path

import pytest

from bert_serving.client import ServerError as RequestFailed
from support.processes import SINK, children_of, connections_to, fake_server, memory_of, send
from support.raw_client import raw_client
from support.serving import connect
from support.waiting import wait_until

MB = 1 << 20


def test_flood_beyond_max_queue_rows_a_request_is_refused_at_once_and_what_was_accepted_answered(
    tmp_path: Path,
) -> None:
    gate = tmp_path / 'gate'
    with fake_server('-max_queue_rows', '100', FAKE_WORKER_GATE=str(gate)) as server:
        server.wait_until_ready()
        with connect(server) as patient, connect(server) as late:
            for _ in range(10):
                patient.encode(['the'] * 10, blocking=False)
            wait_until(lambda: late.server_status['statistic']['unfinished_rows'] == 100)
            started = time.monotonic()
            with pytest.raises(RequestFailed, match='Busy: server busy: 100 rows pending'):
                late.encode(['one more'])
            assert time.monotonic() - started < 5, 'while no run ends'
            gate.touch()
            assert [len(answer) for answer in patient.fetch_all()] == [10] * 10
            assert late.encode(['one more']).shape == (1, 3)
            wait_until(lambda: late.server_status['statistic']['num_published_request'] == 11)
            assert late.server_status['statistic']['num_busy_request'] == 1
        assert server.stop() == 0


def test_flood_a_hundred_thousand_rows_in_one_request_are_accepted_though_the_bound_is_a_thousand() -> None:
    with fake_server('-max_queue_rows', '1000') as server:
        server.wait_until_ready()
        with connect(server) as client:
            client.encode(['the same'] * 100_000, blocking=False)
            (answer,) = client.fetch_all()
            assert answer.shape == (100_000, 3)
            assert (answer == answer[0]).all()
        assert server.stop() == 0


def test_flood_a_request_of_more_than_max_request_rows_or_max_message_bytes_is_refused() -> None:
    with fake_server('-max_request_rows', '10', '-max_message_bytes', '1000') as server:
        server.wait_until_ready()
        with raw_client(server) as client:
            for texts in (['the'] * 11, ['the ' * 300]):
                client.ask(texts)
                assert client.receive_error() == 'TooLarge'
            client.ask(['the'])
            assert json.loads(client.receive()[1])['shape'] == [1, 3]
            assert client.status()['statistic']['num_refused_request'] == 2
        assert server.stop() == 0


def test_flood_memory_stays_flat_while_ten_thousand_requests_are_refused(tmp_path: Path) -> None:
    gate = tmp_path / 'gate'
    with fake_server('-max_queue_rows', '10', FAKE_WORKER_GATE=str(gate)) as server:
        server.wait_until_ready()
        text = 'the ' * 2500
        with raw_client(server) as client:
            client.ask(['the'] * 10, request_id=1)
            for number in range(2, 102):
                client.ask([text], number)
                assert client.receive_error() == 'Busy'
            processes = [server.process.pid, *children_of(server, SINK)]
            before = {pid: memory_of(pid) for pid in processes}
            for number in range(10_000):
                client.ask([text], number + 102)
                if number % 100 == 99:
                    assert [client.receive_error() for _ in range(100)] == ['Busy'] * 100
            grown = {pid: memory_of(pid) - before[pid] for pid in processes}
            assert max(grown.values()) < 30 * MB, 'of 100 MB that were sent: %s' % grown
            gate.touch()
            assert client.receive()[-1] == b'1'
        assert server.stop() == 0


def test_flood_a_reader_that_does_not_read_loses_its_own_answers_counted_and_logged_and_slows_nobody() -> None:
    with fake_server(FAKE_SINK_LIMITS='{"unread_s": 1.0}') as server:
        server.wait_until_ready()
        with raw_client(server, b'idle', RCVHWM=1, RCVBUF=4096) as idle, connect(server) as client:
            client.encode(['the'])
            for number in range(3000):
                idle.send(b'idle', b'SHOW_STATUS', b'%d' % number, b'0')
            given_up = 0
            slowest = 0.0
            deadline = time.monotonic() + 60
            while not given_up and time.monotonic() < deadline:
                started = time.monotonic()
                assert client.encode(['the']).shape == (1, 3)
                slowest = max(slowest, time.monotonic() - started)
                given_up = client.server_status['statistic']['num_given_up_reply']
            assert given_up
            assert slowest < 5
            server.wait_for_log('subscriber idle has not read for')
        assert server.stop() == 0


def test_gone_the_work_of_a_client_that_left_is_dropped_before_it_is_computed_and_counted(tmp_path: Path) -> None:
    gate = tmp_path / 'gate'
    with fake_server('-max_batch_size', '4', FAKE_WORKER_GATE=str(gate), FAKE_SINK_LIMITS='{"gone_s": 0.2}') as server:
        server.wait_until_ready()
        with connect(server) as staying:
            with connect(server) as leaving:
                for number in range(20):
                    leaving.encode(['%s%d' % ('the ' * number, row) for row in range(4)], blocking=False)
                wait_until(lambda: staying.server_status['statistic']['unfinished_requests'] == 20)
            wait_until(lambda: staying.server_status['statistic']['num_gone_request'] == 20)
            # The worker has dropped its own jobs.
            wait_until(lambda: staying.server_status['statistic']['in_flight_rows'] <= 4)
            staying.encode(['for me'], blocking=False)
            gate.touch()
            assert [answer.shape for answer in staying.fetch_all()] == [(1, 3)]
            wait_until(lambda: staying.server_status['statistic']['num_run'])
            statistic = staying.server_status['statistic']
            assert statistic['num_computed_row'] <= 4 + 1, 'the run that was on, and what was asked afterwards'
            assert statistic['unfinished_requests'] == statistic['queue_rows'] == 0
            wait_until(lambda: staying.server_status['statistic']['in_flight_rows'] == 0)
        assert server.stop() == 0


def test_gone_a_client_that_left_while_there_was_no_sink_is_missed_by_the_next(tmp_path: Path) -> None:
    gate = tmp_path / 'gate'
    with fake_server(FAKE_WORKER_GATE=str(gate), FAKE_SINK_LIMITS='{"gone_s": 2}') as server:
        server.wait_until_ready()
        with connect(server) as staying:
            with connect(server) as leaving:
                leaving.encode(['for nobody'], blocking=False)
                wait_until(lambda: staying.server_status['statistic']['unfinished_requests'] == 1)
                (sink,) = children_of(server, SINK)
                send(sink, signal.SIGKILL)
            staying.encode(['for me'], blocking=False)
            wait_until(lambda: staying.server_status['statistic']['num_gone_request'] == 1)
            gate.touch()
            assert [answer.shape for answer in staying.fetch_all()] == [(1, 3)]
        assert server.stop() == 0


def test_gone_a_client_that_comes_back_in_time_has_lost_nothing(tmp_path: Path) -> None:
    gate = tmp_path / 'gate'
    with fake_server(FAKE_WORKER_GATE=str(gate), FAKE_SINK_LIMITS='{"gone_s": 30}') as server:
        server.wait_until_ready()
        with raw_client(server) as client, connect(server) as other:
            client.status()
            client.ask(['the'], request_id=8)
            wait_until(lambda: other.server_status['statistic']['unfinished_requests'] == 1)
            client.leave()
            wait_until(lambda: connections_to(server.port_out) == 1)  # else the reply can meet the old connection
            gate.touch()
            wait_until(lambda: other.server_status['statistic']['num_run'])
            client.subscribe()
            assert client.receive()[-1] == b'8'
            assert other.server_status['statistic']['num_gone_request'] == 0
        assert server.stop() == 0
