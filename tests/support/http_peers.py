"""Clients of a frontend, over TLS where it speaks that."""

from __future__ import annotations

import http.client
import json
import socket
import threading
from collections.abc import Mapping

from bert_serving.server.http.frontend import Frontend
from support.certificates import authority

BODY = json.dumps({'id': 1, 'texts': ['hello world']})
PATIENCE_S = 60


def connect(frontend: Frontend) -> http.client.HTTPConnection:
    if frontend.scheme == 'https':
        context = authority().client_context()
        return http.client.HTTPSConnection('127.0.0.1', frontend.port, timeout=PATIENCE_S, context=context)
    return http.client.HTTPConnection('127.0.0.1', frontend.port, timeout=PATIENCE_S)


def dial(frontend: Frontend) -> socket.socket:
    """A connected socket, after its handshake."""
    connection = socket.create_connection(('127.0.0.1', frontend.port), timeout=PATIENCE_S)
    if frontend.scheme == 'http':
        return connection
    context = authority().client_context()
    return context.wrap_socket(connection, server_hostname='127.0.0.1', suppress_ragged_eofs=False)


def post(
    frontend: Frontend, path: str = '/encode', body: str | bytes = BODY, headers: Mapping[str, str] = {}
) -> http.client.HTTPResponse:
    connection = connect(frontend)
    connection.request('POST', path, body, headers)
    answer = connection.getresponse()
    answer.body = answer.read()  # type: ignore[attr-defined]
    connection.close()
    return answer


def get(frontend: Frontend, path: str, headers: Mapping[str, str] = {}) -> tuple[int, str]:
    connection = connect(frontend)
    connection.request('GET', path, headers=headers)
    answer = connection.getresponse()
    text = answer.read().decode()
    connection.close()
    return answer.status, text


class Callers:
    """Requests, each in its own thread; `statuses` are those of the responses so far."""

    def __init__(self, frontend: Frontend, number: int, headers: Mapping[str, str] = {}) -> None:
        self.statuses: list[int] = []
        self._headers = headers
        self._frontend = frontend
        self._threads = [threading.Thread(target=self._call) for _ in range(number)]
        for thread in self._threads:
            thread.start()

    def _call(self) -> None:
        self.statuses.append(post(self._frontend, headers=self._headers).status)

    def join(self) -> list[int]:
        for thread in self._threads:
            thread.join(PATIENCE_S)
        return sorted(self.statuses)


def series_of(frontend: Frontend) -> dict[str, str]:
    lines = get(frontend, '/metrics')[1].splitlines()
    return dict(line.rsplit(' ', 1) for line in lines if not line.startswith('#'))
