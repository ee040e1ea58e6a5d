"""The proxy as a process: its start, its log, that it finds a restarted server, and its end."""

from __future__ import annotations

import select
import signal
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from bert_serving.server.options.settings import Settings
from bert_serving.server.process.child_process import ChildProcess
from bert_serving.server.process.reports import ChildReport, Exited, Heartbeat, Ready
from support.processes import is_listening
from support.proxies import ProxyProcess, curl
from support.scripted_server import ScriptedServer
from support.waiting import wait_until

pytestmark = pytest.mark.slow

QUERY = ('-H', 'content-type: application/json', '-d', '{"id": 123,"texts": ["hello world"], "is_tokenized": false}')
PATIENCE_S = 60


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    server = ScriptedServer()
    yield server
    server.stop()


Start = Callable[..., ProxyProcess]


@pytest.fixture
def start(server: ScriptedServer) -> Iterator[Start]:
    """Start a proxy for the server, ready; ended at the end."""
    proxies: list[ProxyProcess] = []

    def make(*words: str, **environment: str) -> ProxyProcess:
        proxies.append(ProxyProcess(server.port, server.port_out, *words, **environment))
        return proxies[-1].wait_until_ready()

    yield make
    for proxy in proxies:
        with proxy:
            pass


def test_the_request_of_the_documentation_of_1_10(start: Start) -> None:
    proxy = start()
    status, answer = proxy.curl('/encode', '-X', 'POST', *QUERY)
    assert (status, answer['id'], answer['status']) == (200, 123, 200)
    assert len(answer['result']) == len(answer['results']) == 1
    assert proxy.curl('/status/server')[1]['server_version'] == '1.10.0'
    assert proxy.curl('/status/client')[1]['server_ip'] == '127.0.0.1'
    assert proxy.curl('/health')[0] == 200
    assert proxy.stop() == 0
    assert 'Traceback' not in proxy.log


def test_a_server_that_is_killed_and_started_again_is_found(start: Start, server: ScriptedServer) -> None:
    proxy = start()
    assert proxy.curl('/encode', *QUERY)[0] == 200
    server.stop()
    wait_until(lambda: proxy.curl('/health/live')[0] == 503)
    assert proxy.curl('/health/ready')[0] == 503
    assert 'bert_serving_up 0.0' in proxy.curl('/metrics')[1]
    server.start()
    assert proxy.curl('/encode', *QUERY)[0] == 200
    wait_until(lambda: proxy.curl('/health/ready')[0] == 200)
    assert proxy.stop() == 0


def test_a_proxy_may_be_there_before_its_server(start: Start, server: ScriptedServer) -> None:
    server.stop()
    proxy = start()
    assert proxy.curl('/health/live')[0] == 503
    assert proxy.curl('/v1/models')[0] == 503
    server.start()
    wait_until(lambda: proxy.curl('/health/ready')[0] == 200)
    assert proxy.curl('/encode', *QUERY)[0] == 200


def test_a_signal_ends_it_when_what_has_come_is_answered(start: Start, server: ScriptedServer) -> None:
    proxy = start()
    server.hold()
    with socket.create_connection(('127.0.0.1', proxy.http_port), timeout=PATIENCE_S) as connection:
        body = b'{"id": 1, "texts": ["a"]}'
        connection.sendall(b'POST /encode HTTP/1.1\r\nhost: a\r\ncontent-length: %d\r\n\r\n' % len(body) + body)
        (request,) = server.wait_for(1)
        proxy.process.send_signal(signal.SIGTERM)
        wait_until(lambda: not is_listening(proxy.http_port))
        server.publish(*server.answer(request))
        assert b'200 OK' in connection.recv(1000)
    assert proxy.wait() == 0


def test_a_second_signal_ends_it_at_once(start: Start, server: ScriptedServer) -> None:
    proxy = start()
    server.hold()
    with socket.create_connection(('127.0.0.1', proxy.http_port), timeout=PATIENCE_S) as connection:
        connection.sendall(b'POST /encode HTTP/1.1\r\nhost: a\r\ncontent-length: 25\r\n\r\n{"id": 1, "texts": ["a"]}')
        server.wait_for(1)
        proxy.process.send_signal(signal.SIGINT)
        wait_until(lambda: not is_listening(proxy.http_port))
        assert proxy.stop(signal.SIGINT, within_s=10) == 0


def test_it_warns_when_it_is_open_to_all(start: Start, server: ScriptedServer) -> None:
    proxy = start('-http_host', '0.0.0.0')
    assert 'port %d accepts requests from anyone' % proxy.http_port in proxy.log
    assert 'from anyone' not in start().log
    assert 'from anyone' not in start('-http_host', '0.0.0.0', BERT_SERVING_HTTP_API_KEY='key').log


def test_keys_and_texts_are_in_no_log_and_on_no_command_line(start: Start, tmp_path: Path) -> None:
    path = tmp_path / 'keys'
    path.write_text('key-of-the-file\n')
    proxy = start('-verbose', '-http_api_key_file', str(path), BERT_SERVING_HTTP_API_KEY='key-of-the-environment')
    for key, status in (('key-of-the-file', 200), ('key-of-the-environment', 200), ('key-of-nobody', 401)):
        assert proxy.curl('/encode', *QUERY, '-H', 'authorization: Bearer ' + key)[0] == status
    assert proxy.curl('/encode', *QUERY)[0] == 401
    assert not any('key-of' in word for word in psutil.Process(proxy.process.pid).cmdline())
    assert proxy.stop() == 0
    assert 'route=/encode' in proxy.log
    assert 'key-of' not in proxy.log
    assert 'hello world' not in proxy.log


@pytest.mark.parametrize(
    ('words', 'code', 'says'),
    [
        (('-http_port', 'TAKEN'), 1, 'cannot listen on'),
        (('-http_api_key_file', '/no/such/file'), 2, 'cannot read'),
        (('-cors', 'example.org'), 2, 'is not a valid origin'),
        (('-ip', 'a b'), 2, 'must be ASCII without spaces'),
        (('-port', '0'), 2, 'expected the ports of a running server'),
    ],
)
def test_what_can_not_work_is_one_line_and_an_exit_code(
    server: ScriptedServer, words: tuple[str, str], code: int, says: str
) -> None:
    with socket.socket() as taken:
        taken.bind(('127.0.0.1', 0))
        taken.listen()
        option, value = words
        value = str(taken.getsockname()[1]) if value == 'TAKEN' else value
        with ProxyProcess(server.port, server.port_out, option, value) as proxy:
            assert proxy.wait() == code
    assert says in proxy.log
    assert 'Traceback' not in proxy.log


def test_as_a_child_it_reports_its_port_and_ends_when_it_is_terminated(server: ScriptedServer) -> None:
    settings = Settings(http_port=0, http_host='127.0.0.1')
    child = ChildProcess(
        'bert_serving.server.http.proxy',
        'PROXY',
        {
            'context': 'PROXY',
            'verbose': False,
            'temp_dirs': [],
            'settings': settings.to_dict(),
            'ip': '127.0.0.1',
            'port': server.port,
            'port_out': server.port_out,
            'http_port': 0,
        },
    )
    child.start()
    try:
        ready = next_report(child, Ready)
        assert isinstance(ready, Ready)
        port = ready.payload['http_port']
        assert curl('http://127.0.0.1:%d/encode' % port, *QUERY)[0] == 200
        heartbeat = next_report(child, Heartbeat)
        assert isinstance(heartbeat, Heartbeat)
        assert 0 <= heartbeat.payload['busy_s'] < PATIENCE_S
        child.terminate()
        ended = next_report(child, Exited)
        assert isinstance(ended, Exited)
        assert (ended.code, ended.expected) == (0, True)
    finally:
        child.kill_and_reap(10)


def next_report(child: ChildProcess, kind: type[ChildReport]) -> ChildReport:
    while True:
        assert select.select([child], [], [], PATIENCE_S)[0]
        for report in child.read_reports():
            if isinstance(report, kind):
                return report
