"""Crash and hang: a child that dies, or is stopped, or stuck, is replaced, and what it had is answered all the same."""

from __future__ import annotations

import json
import re
import signal
import threading
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from bert_serving.client import BertClient
from bert_serving.client import ServerError as RequestFailed
from bert_serving.server.worker.worker import Stopwatch
from support.processes import PROXY, SINK, WORKER, children_of, fake_server, is_running, send
from support.serving import connect
from support.waiting import wait_until

TEXTS = ['the %s' % ' '.join(['of'] * length) for length in range(1, 20)]
SOON = ('-worker_timeout', '3')


def wait_until_in_flight(client: BertClient, requests: int) -> None:
    """Until so many requests are accepted, and a worker has some."""

    def are_there() -> bool:
        statistic = client.server_status['statistic']
        return statistic['unfinished_requests'] >= requests and statistic['in_flight_rows'] > 0

    wait_until(are_there)


def assert_answered(client: BertClient, requests: int) -> None:
    answers = client.fetch_all()
    assert len(answers) == requests
    expected = client.encode(TEXTS)
    for answer in answers:
        np.testing.assert_array_equal(answer, expected)


@pytest.mark.parametrize('victim', [WORKER, SINK])
@pytest.mark.parametrize('number', [signal.SIGKILL, signal.SIGSTOP])
def test_crash_and_hang_what_a_worker_or_the_sink_had_is_answered(
    victim: str, number: signal.Signals, tmp_path: Path
) -> None:
    gate = tmp_path / 'gate'
    with fake_server('-max_batch_size', '8', *SOON, FAKE_WORKER_GATE=str(gate)) as server:
        server.wait_until_ready()
        with connect(server) as client:
            for _ in range(5):
                client.encode(TEXTS, blocking=False)
            wait_until_in_flight(client, 5)
            (pid,) = children_of(server, victim)
            send(pid, number)
            wait_until(lambda: not is_running(pid))
            gate.touch()
            assert_answered(client, 5)
            status = client.server_status
        kind = 'num_worker_restart' if victim == WORKER else 'num_sink_restart'
        assert status['statistic'][kind] == 1
        assert status['statistic']['num_requeued_job'] > 0
        if number == signal.SIGSTOP:
            server.wait_for_log('sent no heartbeat')
        else:
            assert 'sent no heartbeat' not in server.log
        assert server.stop() == 0


def test_crash_clients_that_wait_do_not_notice_that_every_child_is_killed_in_turn() -> None:
    with fake_server('-num_worker', '2', FAKE_WORKER_SECONDS='0.02') as server:
        server.wait_until_ready()
        begun, over = threading.Barrier(5), threading.Event()

        def ask_until_over() -> None:
            with connect(server) as client:
                expected = client.encode(TEXTS)
                begun.wait(30)
                while not over.is_set():
                    np.testing.assert_array_equal(client.encode(TEXTS), expected)

        def is_replaced(pid: int) -> bool:
            return not is_running(pid) and len(children_of(server)) == 3

        with ThreadPoolExecutor(4) as pool:
            clients = [pool.submit(ask_until_over) for _ in range(4)]
            begun.wait(30)
            for pid in children_of(server):
                send(pid, signal.SIGKILL)
                wait_until(partial(is_replaced, pid))
            with connect(server) as client:
                wait_until(lambda: all(worker['state'] == 'ready' for worker in client.server_status['workers']))
            over.set()
            for done in clients:
                done.result(60)
        assert server.stop() == 0


@pytest.mark.parametrize('number', [signal.SIGKILL, signal.SIGSTOP])
def test_crash_and_hang_the_proxy_comes_back_on_its_port(number: signal.Signals) -> None:
    with fake_server('-http_port', '0', '-http_host', '127.0.0.1', *SOON) as server:
        server.wait_until_ready()
        url = 'http://127.0.0.1:%s/encode' % server.wait_for_log(r'serving HTTP at http://[^ ]*:(\d+)')[1]

        def post() -> object:
            body = json.dumps({'id': 7, 'texts': ['the']}).encode()
            request = urllib.request.Request(url, body, {'Content-Type': 'application/json'})
            with urllib.request.urlopen(request, timeout=30) as answer:
                return json.load(answer)

        before = post()
        (proxy,) = children_of(server, PROXY)
        send(proxy, number)
        wait_until(lambda: not is_running(proxy))
        wait_until(lambda: len(re.findall('serving HTTP at', server.log)) == 2)
        assert post() == before
        assert server.stop() == 0


def test_hang_a_request_on_which_every_run_hangs_is_answered_with_an_error_and_the_next_one_with_vectors() -> None:
    with fake_server('-worker_timeout', '3') as server:
        server.wait_until_ready()
        with connect(server) as client:
            with pytest.raises(RequestFailed, match='PoisonedRequest'):
                client.encode(['it is stuck'])
            assert client.encode(['it is not']).shape == (1, 3)
        server.wait_for_log('was busy with one piece of work for')
        assert server.stop() == 0


def test_hang_time_counts_from_the_start_of_a_run() -> None:
    watch = Stopwatch()
    assert watch.seconds() == 0
    with watch:
        assert watch.seconds() >= 0
    assert watch.seconds() == 0, 'what waits for work is not stuck'


def test_hang_a_long_queue_is_no_hang() -> None:
    with fake_server('-max_batch_size', '1', '-worker_timeout', '3', FAKE_WORKER_SECONDS='0.2') as server:
        server.wait_until_ready()
        with connect(server) as client:
            assert client.encode(TEXTS).shape == (len(TEXTS), 3)
            assert client.server_status['statistic']['num_worker_restart'] == 0
        assert server.stop() == 0
