"""The HTTP frontend with real connections: overload, bodies that are too large, clients that leave, and the end."""

from __future__ import annotations

import errno
import http.client
import json
import socket
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest

from bert_serving.server.errors import StartError
from bert_serving.server.http import connections as connections_module
from bert_serving.server.http import frontend as frontend_module
from bert_serving.server.http import waitress_adapter, waitress_connection
from bert_serving.server.http.dispatcher import Dispatcher, refusal_kind
from bert_serving.server.http.frontend import Frontend
from support.fake_backend import FakeBackend
from support.http_peers import BODY, PATIENCE_S, Callers, connect, dial, get, post, series_of
from support.processes import is_listening
from support.waiting import wait_until

StartFrontend = Callable[..., Frontend]


def test_a_request_is_refused_for_its_key_the_end_or_an_overload() -> None:
    assert refusal_kind(True, False, 14, 15) is None
    assert refusal_kind(True, False, 15, 15) == 'Busy'
    assert refusal_kind(True, True, 0, 15) == 'ShuttingDown'
    assert refusal_kind(False, True, 15, 15) == 'Unauthorized'


def test_a_small_request_does_not_wait_for_large_ones_that_would_take_all_threads(
    start_frontend: StartFrontend, backend: FakeBackend
) -> None:
    frontend = start_frontend(max_connect=2, max_waiting=5)
    backend.gate.clear()
    large = json.dumps({'id': 1, 'texts': ['w%d' % number for number in range(100)]})
    with ThreadPoolExecutor(4) as pool:
        answers = [pool.submit(post, frontend, '/encode', large) for _ in range(3)]
        assert backend.entered.acquire(timeout=PATIENCE_S)
        small = pool.submit(post, frontend)
        assert backend.entered.acquire(timeout=PATIENCE_S)
        assert sorted(len(rows.items) for rows in backend.asked) == [len(json.loads(BODY)['texts']), 100]
        assert 'bert_http_requests_waiting 2.0' in get(frontend, '/metrics')[1]
        backend.gate.set()
        assert small.result(PATIENCE_S).status == 200
        assert [answer.result(PATIENCE_S).status for answer in answers] == [200] * 3


def test_more_requests_are_served_at_a_time_if_they_are_small(
    start_frontend: StartFrontend, backend: FakeBackend
) -> None:
    """The server computes them together. Large ones have the places that they have without `max_small`."""
    frontend = start_frontend(max_connect=2, max_small=5, max_waiting=1)
    backend.gate.clear()
    large = json.dumps({'id': 1, 'texts': ['w%d' % number for number in range(100)]})
    with ThreadPoolExecutor(6) as pool:
        answers = [pool.submit(post, frontend, '/encode', large) for _ in range(2)]
        assert backend.entered.acquire(timeout=PATIENCE_S)
        answers += [pool.submit(post, frontend) for _ in range(4)]
        for _ in range(4):
            assert backend.entered.acquire(timeout=PATIENCE_S)
        assert sorted(len(rows.items) for rows in backend.asked) == [*4 * [len(json.loads(BODY)['texts'])], 100]
        series = get(frontend, '/metrics')[1]
        assert 'bert_http_requests_working 5.0' in series
        assert 'bert_http_requests_waiting 1.0' in series
        assert post(frontend).status == 429
        backend.gate.set()
        assert [answer.result(PATIENCE_S).status for answer in answers] == [200] * 6


@pytest.mark.parametrize('path', ['//encode', '/%2Fencode', '///v1/embeddings'])
def test_more_slashes_do_not_lead_around_the_bound(
    start_frontend: StartFrontend, backend: FakeBackend, path: str
) -> None:
    frontend = start_frontend(max_connect=1, max_waiting=0)
    backend.gate.clear()
    callers = Callers(frontend, 1)
    assert backend.entered.acquire(timeout=PATIENCE_S)
    for _ in range(3):
        assert post(frontend, path).status == 429
    assert get(frontend, '/health')[0] == 200
    backend.gate.set()
    assert callers.join() == [200]
    assert post(frontend, path, json.dumps({'id': 1, 'texts': ['a'], 'input': 'a'})).status == 200


def test_requests_without_a_key_take_no_place_from_those_with_one(
    start_frontend: StartFrontend, backend: FakeBackend
) -> None:
    frontend = start_frontend(max_connect=1, max_waiting=1, api_keys=('key',))
    right = {'authorization': 'Bearer key'}
    backend.gate.clear()
    callers = Callers(frontend, 1, right)
    assert backend.entered.acquire(timeout=PATIENCE_S)
    for _ in range(5):
        answer = post(frontend)
        assert (answer.status, answer.getheader('www-authenticate')) == (401, 'Bearer'), 'before it is its turn'
        assert post(frontend, headers={'authorization': 'Bearer wrong'}).status == 401
    more = Callers(frontend, 1, right)
    wait_until(lambda: 'bert_http_requests_waiting 1.0' in get(frontend, '/metrics', right)[1])
    backend.gate.set()
    assert callers.join() + more.join() == [200, 200]


@pytest.mark.slow
def test_a_caller_that_does_not_read_keeps_no_thread(
    start_frontend: StartFrontend, backend: FakeBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(waitress_adapter, 'IDLE_CONNECTION_S', 2)
    frontend = start_frontend(max_connect=1, max_body=1 << 26)
    body = json.dumps({'id': 'x' * 30_000_000, 'texts': ['a']}).encode()
    request = b'POST /encode HTTP/1.1\r\nhost: a\r\ncontent-length: %d\r\n\r\n%s'
    backend.gate.clear()
    with dial(frontend) as connection:
        connection.sendall(request % (len(body), body))
        connection.sendall(request % (len(BODY), BODY.encode()))
        connections = frontend._server.connections
        wait_until(lambda: any(len(connection.requests) == 2 for connection in list(connections)))
        backend.gate.set()
        assert post(frontend).status == 200
        wait_until(lambda: 'bert_http_requests_working 0.0' in get(frontend, '/metrics')[1])
        wait_until(lambda: not connections)  # it has been closed, though its answers were not read


@pytest.mark.slow
def test_a_place_is_free_again_when_the_answer_is_there(start_frontend: StartFrontend) -> None:
    frontend = start_frontend(max_connect=2, max_waiting=0)
    statuses = []

    def ask_again_and_again() -> None:
        connection = connect(frontend)
        for _ in range(200):
            connection.request('POST', '/encode', BODY)
            answer = connection.getresponse()
            answer.read()
            statuses.append(answer.status)
        connection.close()

    threads = [threading.Thread(target=ask_again_and_again) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE_S)
    assert statuses == [200] * 400


@pytest.mark.slow
def test_the_main_loop_tells_how_long_it_has_been_stuck(
    start_frontend: StartFrontend, monkeypatch: pytest.MonkeyPatch
) -> None:
    frontend = start_frontend()

    def goes_round(since: float) -> bool:
        return frontend._round_at > since

    for _ in range(2):
        wait_until(partial(goes_round, frontend._round_at))  # though nothing happens
    assert frontend.round_age_s() < frontend_module.POLL_S + 0.4
    is_stuck, goes_on = threading.Event(), threading.Event()
    monkeypatch.setattr(frontend._server, 'poll', lambda _timeout_s: is_stuck.set() or goes_on.wait(PATIENCE_S))
    assert is_stuck.wait(PATIENCE_S)
    wait_until(lambda: frontend.round_age_s() >= 1)
    monkeypatch.undo()
    goes_on.set()
    assert get(frontend, '/health')[0] == 200


def test_a_connection_is_kept_for_many_requests(start_either: StartFrontend) -> None:
    connection = connect(start_either())
    for number in range(20):
        connection.request('POST', '/encode', json.dumps({'id': number, 'texts': ['a b']}))
        answer = connection.getresponse()
        assert json.loads(answer.read()) == {
            'id': number,
            'result': [[4, 12, 0]],
            'results': [[4, 12, 0]],
            'status': 200,
        }
        assert answer.getheader('server') is None
    connection.close()


def test_what_comes_beyond_the_bound_is_refused_at_once(start_frontend: StartFrontend, backend: FakeBackend) -> None:
    frontend = start_frontend(max_connect=2, max_waiting=3)
    backend.gate.clear()
    callers = Callers(frontend, 5)
    for _ in range(2):
        assert backend.entered.acquire(timeout=PATIENCE_S)
    wait_until(lambda: 'bert_http_requests_waiting 3.0' in get(frontend, '/metrics')[1])
    assert 'bert_http_requests_working 2.0' in get(frontend, '/metrics')[1]
    began = time.monotonic()
    for _ in range(10):
        answer = post(frontend)
        assert (answer.status, answer.getheader('retry-after')) == (429, '1')
        assert json.loads(answer.body)['type'] == 'Busy'  # type: ignore[attr-defined]
    assert json.loads(post(frontend, '/v1/embeddings').body)['error']['code'] == 'rate_limit_exceeded'  # type: ignore[attr-defined]
    assert time.monotonic() - began < 10, 'though nobody is answered'
    assert get(frontend, '/health')[0] == 200, 'though all threads that encode are busy'
    backend.gate.set()
    assert callers.join() == [200] * 5
    assert post(frontend).status == 200


def test_a_refusal_leaves_the_connection_open(start_frontend: StartFrontend, backend: FakeBackend) -> None:
    frontend = start_frontend(max_connect=1, max_waiting=0)
    backend.gate.clear()
    callers = Callers(frontend, 1)
    assert backend.entered.acquire(timeout=PATIENCE_S)
    connection = connect(frontend)
    for _ in range(3):
        connection.request('POST', '/encode', BODY)
        answer = connection.getresponse()
        answer.read()
        assert (answer.status, answer.will_close) == (429, False)
    backend.gate.set()
    callers.join()
    connection.request('POST', '/encode', BODY)
    assert connection.getresponse().status == 200
    connection.close()


def test_a_request_that_waited_too_long_is_not_asked_any_more(
    start_frontend: StartFrontend, backend: FakeBackend
) -> None:
    frontend = start_frontend(max_connect=1, max_waiting=5, timeout_s=0.3)
    backend.gate.clear()
    callers = Callers(frontend, 3)
    assert callers.join() == [504] * 3
    assert len(backend.asked) < 3


@pytest.mark.parametrize('path', ['/encode', '/v1/embeddings'])
def test_a_body_that_is_too_large_is_refused_before_it_is_read(start_frontend: StartFrontend, path: str) -> None:
    frontend = start_frontend(max_body=5000)
    with dial(frontend) as connection:
        connection.sendall(b'POST %s HTTP/1.1\r\nhost: a\r\ncontent-length: 99999999\r\n\r\n{' % path.encode())
        answer = http.client.HTTPResponse(connection)
        answer.begin()
        body = json.loads(answer.read())
    assert answer.status == 413
    assert ('error' in body) == path.startswith('/v1')
    assert 'route="%s",status="413"' % path in get(frontend, '/metrics')[1]


@pytest.mark.parametrize(('length', 'status'), [(b'99999999', 413), (b'much', 400)])
def test_a_caller_that_asks_first_is_not_told_to_send_what_is_refused(
    start_frontend: StartFrontend, length: bytes, status: int
) -> None:
    frontend = start_frontend(max_body=5000)
    with dial(frontend) as connection:
        head = b'POST /encode HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\ncontent-length: %s\r\n\r\n'
        connection.sendall(head % length)
        assert connection.recv(12) == b'HTTP/1.1 %d' % status


def test_a_body_of_unknown_length_is_bounded_too(start_frontend: StartFrontend) -> None:
    frontend = start_frontend(max_body=5000)
    with dial(frontend) as connection:
        connection.sendall(b'POST /encode HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n')
        connection.sendall(b'1770\r\n' + b'x' * 0x1770 + b'\r\n')
        answer = http.client.HTTPResponse(connection)
        answer.begin()
        assert answer.status == 413
    assert post(frontend).status == 200


def test_a_body_may_come_in_chunks_and_after_it_was_asked_for(start_either: StartFrontend) -> None:
    frontend = start_either()
    with dial(frontend) as connection:
        connection.sendall(
            b'POST /encode HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\ntransfer-encoding: chunked\r\n\r\n'
        )
        assert connection.recv(100).startswith(b'HTTP/1.1 100')
        for part in (BODY[:10], BODY[10:], ''):
            connection.sendall(b'%x\r\n%s\r\n' % (len(part), part.encode()))
        answer = http.client.HTTPResponse(connection)
        answer.begin()
        assert (answer.status, json.loads(answer.read())['id']) == (200, 1)


def test_a_large_answer_gets_through(start_either: StartFrontend) -> None:
    texts = ['text %d' % number for number in range(16_384)]
    answer = post(start_either(), '/encode', json.dumps({'id': 1, 'texts': texts}))
    assert len(json.loads(answer.body)['result']) == 16_384  # type: ignore[attr-defined]


@pytest.mark.parametrize('path', ['/encode', '/v1/embeddings'])
def test_a_caller_that_sends_all_before_it_reads_sees_why_it_was_refused(
    start_either: StartFrontend, path: str
) -> None:
    """As most clients do. Closing a connection with unread bytes resets it, and the response is lost."""
    frontend = start_either(max_body=5000)
    body = b'x' * 30_000_000  # more than fits between the two sockets
    answer = post(frontend, path, body)
    assert (answer.status, answer.getheader('connection')) == (413, 'close')
    assert ('error' in json.loads(answer.body)) == path.startswith('/v1')  # type: ignore[attr-defined]
    assert answer.getheader('x-request-id')
    wait_until(lambda: not frontend._server.connections)


@pytest.mark.slow
@pytest.mark.parametrize('setting', ['LINGER_S', 'LINGER_SILENT_S'])
def test_a_caller_that_was_refused_and_goes_on_or_goes_silent_is_cut_off(
    start_either: StartFrontend, monkeypatch: pytest.MonkeyPatch, setting: str
) -> None:
    monkeypatch.setattr(waitress_connection, setting, 0.5)
    frontend = start_either(max_body=5000)
    is_over = threading.Event()
    with dial(frontend) as connection:
        connection.sendall(b'POST /encode HTTP/1.1\r\nhost: a\r\ncontent-length: 99999999\r\n\r\n{')

        def go_on() -> None:
            while setting == 'LINGER_S' and not is_over.wait(0.1):
                try:
                    connection.sendall(b'x')
                except OSError:
                    return

        sender = threading.Thread(target=go_on)
        sender.start()
        while connection.recv(4096):
            pass  # the answer, and its end: from now on it lingers
        wait_until(lambda: not frontend._server.lingering and not frontend._server.connections)
        is_over.set()
        sender.join()
    assert post(frontend).status == 200


@pytest.mark.parametrize(
    ('request_line', 'status'),
    [
        (b'nonsense', 400),
        (b'GET / HTTP/1.1\r\nbad header', 400),
        (b'\x16\x03\x01\x02\x00', 400),
        (b'\r\n\r\nGET /health HTTP/1.1\r\nhost: a\r\ncontent-length: -1', 400),
        (b'OPTIONS /encode HTTP/1.1\r\nhost: a\r\ncontent-length: much', 400),
        (b'POST /encode HTTP/1.1\r\nhost: a\r\ntransfer-encoding: gzip', 501),
        (b'POST /v1/embeddings HTTP/1.1\r\nhost: a\r\ntransfer-encoding: gzip', 501),
        (b'POST /encode HTTP/1.1\r\nhost: a\r\ncontent-length: 4\r\ntransfer-encoding: chunked', 400),
        (b'POST /encode HTTP/1.0\r\ntransfer-encoding: chunked', 400),
        (b'GET /health HTTP/9.9\r\nhost: a', 400),
        (b'GET /health', 400),
        (b'GET /health HTTP/1.1', 400),
        (b'GET /health HTTP/1.1\r\nhost: a\r\nhost: b', 400),
        (b'GET /health HTTP/1.1\r\nhost: a\r\nlong: ' + b'x' * 300_000, 431),
    ],
)
def test_what_is_no_http_is_told_so_counted_and_does_no_harm(
    start_either: StartFrontend, request_line: bytes, status: int
) -> None:
    frontend = start_either()
    before = series_of(frontend)
    with dial(frontend) as connection:
        connection.sendall(request_line + b'\r\n\r\n')
        answer = http.client.HTTPResponse(connection)
        answer.begin()
        body = json.loads(answer.read())
        assert (answer.status, answer.getheader('connection')) == (status, 'close')
        assert answer.getheader('x-request-id')
        assert 'malformed HTTP request' in str(body), 'in the format of its route'
        assert connection.recv(1) == b'', 'and then it is closed'
    after = series_of(frontend)
    assert set(after) == set(before), 'every series is there from the start'
    changed = {name for name in after if after[name] != before[name] and name.startswith('bert_http_requests_total')}
    assert {name for name in changed if 'status="%d"' % status in name}, changed
    assert post(frontend).status == 200


@pytest.mark.slow
@pytest.mark.parametrize('setting', ['HEADERS_S', 'BODY_S'])
def test_a_request_that_drips_in_is_cut_off(
    start_either: StartFrontend, monkeypatch: pytest.MonkeyPatch, setting: str
) -> None:
    monkeypatch.setattr(connections_module, setting, 0.1)
    frontend = start_either()
    with dial(frontend) as connection:
        connection.sendall(b'POST /encode HTTP/1.1\r\nhost: a\r\ncontent-length: 9\r\n')
        if setting == 'BODY_S':
            connection.sendall(b'\r\n{')
        assert connection.recv(1) == b''
    assert post(frontend).status == 200


def test_slow_connections_make_room_for_others_and_a_request_that_is_served_stays(
    start_either: StartFrontend, backend: FakeBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(frontend_module, 'max_connections', lambda _files, clients: 8)
    frontend = start_either(max_connect=1)
    backend.gate.clear()
    callers = Callers(frontend, 1)
    wait_until(lambda: 'bert_http_requests_working 1.0' in get(frontend, '/metrics')[1])
    slow = []
    for _ in range(20):
        connection = dial(frontend)
        connection.sendall(b'POST /encode HTTP/1.1\r\nx: ')
        slow.append(connection)
    assert get(frontend, '/metrics')[0] == 200
    assert len(frontend._server.connections) <= 4, 'half of all, as they come from one address'
    backend.gate.set()
    assert callers.join() == [200]
    for connection in slow:
        connection.close()


def test_connections_that_come_at_once_are_accepted_in_few_rounds() -> None:
    """A round costs time for each open connection."""
    frontend = Frontend(lambda _environ, _start: [], Dispatcher(1, 1), '127.0.0.1', 0, 1000)
    clients = [socket.create_connection(('127.0.0.1', frontend.port), timeout=PATIENCE_S) for _ in range(100)]
    for _ in range(2):
        frontend._server.poll(0)
    assert len(frontend._server.connections) == 100
    frontend.close()
    for client in clients:
        client.close()


def test_without_a_file_for_a_connection_the_loop_rests_and_goes_on_later(
    start_frontend: StartFrontend, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(waitress_adapter, 'ACCEPT_PAUSE_S', 0.01)
    frontend = start_frontend()
    server = frontend._server._server
    accept, failures = server.accept, []

    def fail_at_first() -> object:
        if len(failures) < 3:
            failures.append(OSError(errno.EMFILE, 'Too many open files'))
            raise failures[-1]
        return accept()

    monkeypatch.setattr(server, 'accept', fail_at_first)
    frontend._server.wake()
    assert post(frontend).status == 200
    assert len(failures) == 3


@pytest.mark.slow
def test_responses_that_nobody_reads_have_a_bound_and_then_make_room(
    start_either: StartFrontend, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections_module, 'UNREAD_S', 0.2)
    monkeypatch.setattr(waitress_adapter, 'SWEEP_S', 60.0)
    frontend = start_either(max_body=1 << 26)
    frontend._server.write_budget.most = 1 << 20
    body = json.dumps({'id': 'x' * 20_000_000, 'texts': ['a']}).encode()
    request = b'POST /encode HTTP/1.1\r\nhost: a\r\ncontent-length: %d\r\n\r\n%s' % (len(body), body)
    with dial(frontend) as connection:
        connection.sendall(request)
        wait_until(lambda: frontend._server.write_budget.is_full)
        refused = post(frontend)
        assert (refused.status, refused.getheader('retry-after')) == (503, '5')
        assert json.loads(refused.body)['type'] == 'ResponsesUnread'  # type: ignore[attr-defined]
        assert get(frontend, '/health/live')[0] == 200, 'a probe is always answered'
        assert get(frontend, '/openapi.json')[0] == 503
        wait_until(lambda: frontend._dispatcher.is_idle)  # the buffers of the system are full
        monkeypatch.setattr(waitress_adapter, 'SWEEP_S', 0.0)
        wait_until(lambda: post(frontend).status == 200)


def test_a_caller_that_hangs_up_is_noticed(start_either: StartFrontend, backend: FakeBackend) -> None:
    frontend = start_either()
    backend.gate.clear()
    connection = connect(frontend)
    connection.request('POST', '/encode', BODY)
    assert backend.entered.acquire(timeout=PATIENCE_S)
    connection.close()
    wait_until(lambda: backend.left == ['gone'])
    backend.gate.set()
    assert post(frontend).status == 200


def test_draining_answers_what_has_come_and_lets_the_port_go(start_either: StartFrontend, backend: FakeBackend) -> None:
    frontend = start_either(max_connect=2)
    backend.gate.clear()
    callers = Callers(frontend, 3)
    wait_until(lambda: 'bert_http_requests_waiting 1.0' in get(frontend, '/metrics')[1])
    kept = [connect(frontend), connect(frontend)]
    for connection in kept:
        connection.request('GET', '/health/ready')
        assert connection.getresponse().read()
    frontend.drain()
    wait_until(lambda: not is_listening(frontend.port))
    for connection, method, path in zip(kept, ('GET', 'POST'), ('/health/ready', '/encode')):
        connection.request(method, path, BODY)
        answer = connection.getresponse()
        answer.read()
        assert (answer.status, answer.will_close) == (503, True)
    backend.gate.set()
    assert callers.join() == [200] * 3


def test_a_port_that_is_taken_and_a_wrong_address_are_said(start_frontend: StartFrontend) -> None:
    frontend = start_frontend()
    for host, port, message in (
        ('127.0.0.1', frontend.port, '-http_port: cannot listen on'),
        ('203.0.113.1', 0, '-http_port: cannot listen on'),
        ('no.such.host.invalid', 0, '-http_host: cannot listen on'),
    ):
        with pytest.raises(StartError, match=message):
            Frontend(lambda _environ, _start: [], Dispatcher(1, 1), host, port, 1000)
