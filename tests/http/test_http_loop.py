"""The main thread of the proxy rests unless a connection needs it."""

from __future__ import annotations

import http.client
import socket
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import pytest

from bert_serving.server.http.waitress_adapter import PendingRequest, Server

PATIENCE_S = 20
REQUESTS = 20
MOST_ROUNDS = 3 * REQUESTS + 10
"""Usually there is one for each request. There are more if the next request arrives before the thread has finished."""


class Loop:
    """A server with a thread for each request, and the number of rounds of its loop."""

    def __init__(self, application: Callable[..., Iterable[bytes]]) -> None:
        listener = socket.create_server(('127.0.0.1', 0))
        self.port = listener.getsockname()[1]
        self.rounds = 0
        self._server = Server(application, listener, self._submit, max_body=1000, max_connections=10)
        self._is_over = False
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _submit(self, request: PendingRequest) -> None:
        threading.Thread(target=request.serve, args=({},)).start()

    def _run(self) -> None:
        while not self._is_over:
            self._server.poll(1.0)
            self.rounds += 1
        self._server.close()

    def close(self) -> None:
        self._is_over = True
        self._server.wake()
        self._thread.join(PATIENCE_S)


class Application:
    """Answers at once, and under `/slow` when `may_end` is set."""

    def __init__(self) -> None:
        self.has_begun, self.may_end = threading.Event(), threading.Event()

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterator[bytes]:
        start_response('200 OK', [('content-length', '2')])
        yield b'a'
        if environ['PATH_INFO'] == '/slow':
            self.has_begun.set()
            assert self.may_end.wait(PATIENCE_S)
        yield b'b'


@pytest.fixture
def application() -> Application:
    return Application()


@pytest.fixture
def loop(application: Application) -> Iterator[Loop]:
    loop = Loop(application)
    yield loop
    application.may_end.set()
    loop.close()


def connect(loop: Loop) -> http.client.HTTPConnection:
    return http.client.HTTPConnection('127.0.0.1', loop.port, timeout=PATIENCE_S)


def ask(connection: http.client.HTTPConnection, path: str = '/') -> bytes:
    connection.request('GET', path)
    return connection.getresponse().read()


def test_small_requests_wake_the_loop_a_few_times(loop: Loop) -> None:
    connection = connect(loop)
    for _ in range(REQUESTS):
        assert ask(connection) == b'ab'
    assert loop.rounds <= MOST_ROUNDS
    connection.close()


def test_the_loop_does_not_spin_while_a_thread_makes_a_response(loop: Loop, application: Application) -> None:
    slow, other = connect(loop), connect(loop)
    slow.request('GET', '/slow')
    assert application.has_begun.wait(PATIENCE_S)
    for _ in range(REQUESTS):
        assert ask(other) == b'ab'
    assert loop.rounds <= MOST_ROUNDS
    application.may_end.set()
    assert slow.getresponse().read() == b'ab'
    slow.close()
    other.close()
