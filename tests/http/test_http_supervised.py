"""`bert-serving-start -http_port`: the proxy as a child of the server, with workers that have no TensorFlow."""

from __future__ import annotations

import json
import os
import signal
import threading
from pathlib import Path

import psutil
import pytest

from bert_serving.client import BertClient
from bert_serving.server.security.principals import hash_of_http_key
from support.certificates import authority, localhost
from support.processes import fake_server
from support.proxies import curl
from support.serving import ServerProcess
from support.waiting import wait_until

pytestmark = pytest.mark.slow

QUERY = ('-d', '{"id": 1, "texts": ["hello world"]}')
PATIENCE_S = 60


def start(*words: str, **environment: str) -> ServerProcess:
    return fake_server('-http_host', '127.0.0.1', '-http_port', '0', *words, **environment)


def proxy_of(server: ServerProcess) -> psutil.Process | None:
    for child in psutil.Process(server.process.pid).children():
        if child.cmdline()[-1].endswith('http.proxy'):
            return child
    return None


def test_a_server_with_http_answers_both_ways_when_it_is_ready() -> None:
    with start(BERT_SERVING_HTTP_API_KEY='sk-of-a-test') as server:
        url = 'http://127.0.0.1:%d' % server.wait_until_ready().http_port
        key = ('-H', 'authorization: Bearer sk-of-a-test')
        assert curl(url + '/encode', *QUERY)[0] == 401
        assert curl(url + '/encode', *QUERY, *key)[0] == 200
        status = curl(url + '/status/server', *key)[1]
        assert (status['http_api_key'], status['http_host']) == ('***', '127.0.0.1')
        assert curl(url + '/health/ready')[0] == 200
        assert server.stop() == 0
        assert 'sk-of-a-test' not in server.log
        assert server.process.stdout is not None
        table = server.process.stdout.read()
        assert 'http_api_key = ***' in table
        assert 'sk-of-a-test' not in table


def test_a_proxy_that_is_killed_is_started_again_on_its_port() -> None:
    with start() as server:
        url = 'http://127.0.0.1:%d' % server.wait_until_ready().http_port
        first = proxy_of(server)
        assert first is not None
        os.kill(first.pid, signal.SIGKILL)
        first.wait(PATIENCE_S)
        wait_until(lambda: answers(url))
        assert 'bert_serving_http_restarts_total 1.0' in curl(url + '/metrics')[1]
        assert server.stop() == 0


def answers(url: str) -> bool:
    try:
        return curl(url + '/encode', *QUERY)[0] == 200
    except Exception:
        return False


def test_when_it_ends_what_has_come_over_http_is_answered(tmp_path: Path) -> None:
    gate = tmp_path / 'gate'
    with start(FAKE_WORKER_GATE=str(gate)) as server:
        url = 'http://127.0.0.1:%d' % server.wait_until_ready().http_port
        answered: list[int] = []
        callers = [threading.Thread(target=lambda: answered.append(curl(url + '/encode', *QUERY)[0])) for _ in range(5)]
        for caller in callers:
            caller.start()
        wait_until(lambda: curl(url + '/status/server')[1]['statistic']['num_data_request'] == 5)
        server.process.send_signal(signal.SIGTERM)
        server.wait_for_log('shutting down')
        gate.touch()
        assert server.wait() == 0
        for caller in callers:
            caller.join(PATIENCE_S)
        assert answered == [200] * 5


def test_with_tls_and_keys_the_proxy_alone_has_the_secret(tmp_path: Path) -> None:
    files = localhost()
    principals = tmp_path / 'principals.toml'
    principals.write_text('[alice]\nhttp_keys = ["sha256:%s"]\n' % hash_of_http_key('key-of-alice'))
    words = ('-http_tls_cert', files.cert, '-http_tls_key', files.key, '-principals', str(principals))
    with start(*words, BERT_SERVING_HTTP_API_KEY='my-own-secret') as server:
        url = 'https://127.0.0.1:%d' % server.wait_until_ready().http_port
        for key, status in (('key-of-alice', 200), ('my-own-secret', 200), ('another', 401)):
            asked = ('--cacert', str(authority().ca), '-H', 'authorization: Bearer ' + key)
            assert curl(url + '/encode', *asked, *QUERY)[0] == status
        proxy, parent = proxy_of(server), psutil.Process(server.process.pid)
        for child in parent.children():
            assert ('my-own-secret' in child.environ().values()) is (child == proxy), child.cmdline()
            assert 'my-own-secret' not in ' '.join(child.cmdline())
        assert 'key-of-alice' not in server.log
        assert 'my-own-secret' not in server.log
        assert server.stop() == 0


def test_readiness_goes_with_the_workers() -> None:
    with start(FAKE_WORKER_LOADS_SECONDS='3') as server:  # longer than a status is kept
        url = 'http://127.0.0.1:%d' % server.wait_until_ready().http_port
        worker = next(
            child
            for child in psutil.Process(server.process.pid).children()
            if child.cmdline()[-1] == 'support.fake_worker'
        )
        os.kill(worker.pid, signal.SIGKILL)
        wait_until(lambda: curl(url + '/health/ready')[0] == 503)
        assert curl(url + '/health')[1]['live'] is True
        wait_until(lambda: curl(url + '/health/ready')[0] == 200)
        assert server.stop() == 0


def test_a_server_that_dies_takes_its_proxy_with_it() -> None:
    with start() as server:
        server.wait_until_ready()
        proxy = proxy_of(server)
        assert proxy is not None
        server.stop(signal.SIGKILL)
        proxy.wait(PATIENCE_S)


def test_options_that_can_not_work_end_the_start_before_any_process(tmp_path: Path) -> None:
    for words, says in (
        (('-cors', 'example.org'), 'is not a valid origin'),
        (('-http_api_key_file', str(tmp_path / 'none')), 'cannot read'),
        (('-http_tls_cert', str(tmp_path / 'none'), '-http_tls_key', 'k'), '-http_tls_cert: cannot read'),
    ):
        with start(*words) as server:
            assert server.wait() == 2
            assert says in server.log
            assert 'export graph' not in server.log


def test_a_port_that_is_taken_ends_the_start() -> None:
    with start() as first:
        port = first.wait_until_ready().http_port
        with start('-http_port', str(port)) as second:
            assert second.wait() == 1
            assert 'cannot listen on' in second.log


def test_three_bars_are_text_to_openai_and_tei_and_divide_a_pair_on_1_10s_route_and_in_the_client() -> None:
    """The last number of a fake vector counts the tokens of the second text of a pair."""
    texts = ['hello ||| world', 'a ||| b ||| c', ' ||| b', 'a ||| ', 'a\n ||| b']
    with start() as server:
        url = 'http://127.0.0.1:%d' % server.wait_until_ready().http_port
        openai = curl(url + '/v1/embeddings', '-d', json.dumps({'input': texts}))[1]
        tei = curl(url + '/embed', '-d', json.dumps({'inputs': texts, 'normalize': False}))[1]
        legacy = curl(url + '/encode', '-d', json.dumps({'id': 1, 'texts': texts}))[1]
        with BertClient(port=server.port, port_out=server.port_out, timeout=60_000) as client:
            vectors = client.encode(texts).tolist()
    assert [each['embedding'] for each in openai['data']] == tei
    assert not any(vector[2] for vector in tei)
    assert legacy['result'] == vectors
    assert [vector[2] > 0 for vector in vectors] == [True, True, False, False, False]
