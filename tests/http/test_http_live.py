"""The proxy in front of a whole server with fake workers: extensions, cancellation, overload, crashes and restarts."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import threading
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from prometheus_client.parser import text_string_to_metric_families

from bert_serving.server.http.metrics import _COUNTERS, _GAUGES, _HISTOGRAMS
from support.processes import fake_server, is_listening
from support.proxies import ProxyProcess
from support.serving import ServerProcess
from support.waiting import wait_until

pytestmark = pytest.mark.slow

PATIENCE_S = 60

Pair = tuple[ServerProcess, ProxyProcess]


@contextlib.contextmanager
def pair(*server_words: str, proxy_words: tuple[str, ...] = (), **environment: str) -> Iterator[Pair]:
    """A server and a proxy in front of it, both ready."""
    with fake_server(*server_words, **environment) as server:
        server.wait_until_ready()
        with ProxyProcess(server.port, server.port_out, *proxy_words) as proxy:
            proxy.wait_until_ready()
            yield server, proxy


def post(proxy: ProxyProcess, path: str, query: object) -> tuple[int, dict[str, Any]]:
    return proxy.curl(path, '-d', json.dumps(query), '-H', 'content-type: application/json')


def statistic(proxy: ProxyProcess) -> dict[str, float]:
    answer: dict[str, float] = proxy.curl('/status/server')[1]['statistic']
    return answer


def test_what_the_extensions_of_the_protocol_are_for() -> None:
    with pair('-show_tokens_to_client', proxy_words=('-http_token_ids',)) as (_server, proxy):
        status, answer = post(proxy, '/v1/embeddings', {'input': ['hello', 'hello there world']})
        assert status == 200
        counted = answer['usage']
        status, tokens = post(proxy, '/tokenize', {'texts': ['hello', 'hello there world']})
        assert status == 200
        assert counted == {
            'prompt_tokens': sum(map(len, tokens['tokens'])),
            'total_tokens': sum(map(len, tokens['tokens'])),
        }
        ids = [row[1:-1] for row in tokens['ids']]
        _, by_id = post(proxy, '/v1/embeddings', {'input': ids})
        assert by_id['data'] == answer['data'], 'ids are the texts that they were made of'
        _, encoded = post(proxy, '/encode', {'id': 1, 'texts': ['hello'], 'show_tokens': True})
        assert encoded['tokens'] == tokens['tokens'][:1]
        status, error = post(proxy, '/v1/embeddings', {'input': [[1, 2_000_000]]})
        assert (status, error['error']['type']) == (400, 'invalid_request_error')
        status, error = post(proxy, '/encode', {'id': 1, 'texts': ['half a pair: \ud800']})
        assert status == 200, 'the server strips it'


def test_every_series_of_the_server_is_known_here_and_the_other_way_round() -> None:
    with pair() as (_server, proxy):
        wait_until(lambda: proxy.curl('/status/history')[1]['time'])
        kept = proxy.curl('/status/history')[1]
        told = [name for table in (kept['statistic'], kept['durations']) for name in table]
        assert set(told) <= set(statistic(proxy)), 'the history keeps what there is'
        assert all(None not in column for column in kept['statistic'].values())
        numbers = statistic(proxy)
        of_1_10 = {'num_total_request', 'num_total_client'}
        unknown = {key for key in numbers if key not in {**_COUNTERS, **_GAUGES, **_HISTOGRAMS}} - of_1_10
        assert not {key for key in unknown if not key.startswith(('avg_', 'min_', 'max_', 'num_min_', 'num_max_'))}
        assert set({**_COUNTERS, **_GAUGES, **_HISTOGRAMS}) <= set(numbers)
        families = {family.name: family for family in text_string_to_metric_families(proxy.curl('/metrics')[1])}
        assert families['bert_serving_queue_seconds'].type == 'histogram'
        assert len(families['bert_serving_queue_seconds'].samples) > 5
        assert families['bert_serving_rows'].samples[0].value == 0
        post(proxy, '/encode', {'id': 1, 'texts': ['a', 'b']})
        wait_until(lambda: 'bert_serving_rows_total 2.0' in proxy.curl('/metrics')[1])


def test_the_work_of_a_caller_that_has_gone_and_of_a_late_request_is_dropped(tmp_path: Path) -> None:
    gate = tmp_path / 'gate'
    with pair(proxy_words=('-http_timeout', '2'), FAKE_WORKER_GATE=str(gate)) as (_server, proxy):
        with socket.create_connection(('127.0.0.1', proxy.http_port), timeout=PATIENCE_S) as connection:
            body = json.dumps({'id': 1, 'texts': ['a text']}).encode()
            connection.sendall(b'POST /encode HTTP/1.1\r\nhost: a\r\ncontent-length: %d\r\n\r\n' % len(body) + body)
            wait_until(lambda: statistic(proxy)['num_data_request'] == 1)
        wait_until(lambda: statistic(proxy)['num_cancelled_request'] == 1)
        began = time.monotonic()
        assert post(proxy, '/encode', {'id': 2, 'texts': ['another']})[0] == 504
        assert time.monotonic() - began < 5
        gate.touch()
        assert post(proxy, '/encode', {'id': 3, 'texts': ['the next']})[0] == 200


def test_a_server_whose_queue_is_full_is_too_much(tmp_path: Path) -> None:
    gate = tmp_path / 'gate'
    with pair('-max_queue_rows', '2', FAKE_WORKER_GATE=str(gate)) as (_server, proxy):
        held = [threading.Thread(target=post, args=(proxy, '/encode', {'id': 1, 'texts': [text]})) for text in 'ab']
        for thread in held:
            thread.start()
        wait_until(lambda: statistic(proxy)['num_data_request'] == 2)
        status, error = post(proxy, '/v1/embeddings', {'input': 'c'})
        assert (status, error['error']['code']) == (429, 'rate_limit_exceeded')
        gate.touch()
        for thread in held:
            thread.join(PATIENCE_S)
        assert post(proxy, '/encode', {'id': 1, 'texts': ['d']})[0] == 200


def test_a_ventilator_that_does_not_answer_is_not_alive() -> None:
    with pair() as (server, proxy):
        server.process.send_signal(signal.SIGSTOP)
        try:
            wait_until(lambda: proxy.curl('/health/live')[0] == 503)
            assert proxy.curl('/metrics')[0] == 200
        finally:
            server.process.send_signal(signal.SIGCONT)
        wait_until(lambda: proxy.curl('/health/ready')[0] == 200)


class Load:
    """Requests one after the other in several threads, until it is left; `failures` are the errors."""

    def __init__(self, proxy: ProxyProcess, threads: int) -> None:
        self.failures: list[object] = []
        self.answered = 0
        self._url = proxy.url('/encode')
        self._is_over = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(number,)) for number in range(threads)]
        for thread in self._threads:
            thread.start()

    def _run(self, name: int) -> None:
        number = 0
        while not self._is_over.is_set() and not self.failures:
            number += 1
            body = json.dumps({'id': number, 'texts': ['text %d of %d' % (number, name)]}).encode()
            try:
                with urllib.request.urlopen(urllib.request.Request(self._url, body), timeout=PATIENCE_S) as answer:
                    assert json.load(answer)['id'] == number
                self.answered += 1
            except Exception as error:
                self.failures.append(error)

    def __enter__(self) -> Load:
        return self

    def __exit__(self, *_exc: object) -> None:
        self._is_over.set()
        for thread in self._threads:
            thread.join(PATIENCE_S)


def test_a_worker_that_is_killed_under_load_fails_no_request() -> None:
    with pair('-num_worker', '2', FAKE_WORKER_SECONDS='0.01') as (server, proxy):
        with Load(proxy, threads=8) as load:
            wait_until(lambda: load.answered > 20)
            workers = [
                child
                for child in psutil.Process(server.process.pid).children()
                if child.cmdline()[-1] == 'support.fake_worker'
            ]
            os.kill(workers[0].pid, signal.SIGKILL)
            so_far = load.answered
            wait_until(lambda: load.failures or load.answered > so_far + 50)
        assert not load.failures
        wait_until(lambda: 'bert_serving_worker_restarts_total 1.0' in proxy.curl('/metrics')[1])


def test_a_server_that_is_killed_and_started_again_is_served_without_a_new_proxy() -> None:
    with pair() as (server, proxy):
        assert post(proxy, '/encode', {'id': 1, 'texts': ['a']})[0] == 200
        server.process.kill()
        server.process.wait()
        wait_until(lambda: proxy.curl('/health/live')[0] == 503)
        ports = ('-port', str(server.port), '-port_out', str(server.port_out))
        wait_until(lambda: not any(is_listening(int(port)) for port in ports[1::2]))
        with fake_server(*ports) as again:
            again.wait_until_ready()
            wait_until(lambda: post(proxy, '/encode', {'id': 1, 'texts': ['a']})[0] == 200)
            wait_until(lambda: proxy.curl('/health/ready')[0] == 200)
            assert post(proxy, '/v1/embeddings', {'input': 'a'})[0] == 200
