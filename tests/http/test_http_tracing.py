"""The span of a request over HTTP, and what the server is told of it."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest
from flask.testing import FlaskClient

from bert_serving.server.http.app import create_app
from bert_serving.server.http.errors import HTTPError
from bert_serving.server.http.requests import Rows
from bert_serving.server.http.server_backend import TRACEPARENT, ServerBackend, current_trace
from bert_serving.server.protocol.options import EncodingOptions
from bert_serving.server.protocol.tracing import TraceContext, read_traceparent
from support.fake_backend import FakeBackend
from support.scripted_server import ScriptedServer

PARENT = '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01'
OURS = '00-4bf92f3577b34da6a3ce929d0e0e4736-1111111111111111-01'


class FakeSpan:
    """A span that keeps what it is told."""

    def __init__(self, traceparent: str | None) -> None:
        self.traceparent = traceparent
        self.ended: list[tuple[float, dict[str, Any], str | None]] = []

    def end(self, ended_at: float, attributes: dict[str, Any], error: str | None = None) -> None:
        self.ended.append((ended_at, attributes, error))


class FakeTracer:
    """A tracer whose spans are all `OURS`, or not sampled if their parent is not."""

    def __init__(self) -> None:
        self.started: list[tuple[str, TraceContext, float, dict[str, Any]]] = []
        self.spans: list[FakeSpan] = []

    def start(self, name: str, parent: TraceContext, began_at: float, attributes: dict[str, Any]) -> FakeSpan:
        self.started.append((name, parent, began_at, attributes))
        self.spans.append(FakeSpan(OURS if parent.is_sampled else None))
        return self.spans[-1]


class TracedBackend(FakeBackend):
    """Keeps what a server would be told."""

    def __init__(self) -> None:
        super().__init__()
        self.traces: list[dict[str, str]] = []

    def _wait(self, *args: Any) -> None:
        self.traces.append(current_trace())
        super()._wait(*args)


@pytest.fixture
def tracer() -> FakeTracer:
    return FakeTracer()


@pytest.fixture
def backend() -> TracedBackend:
    return TracedBackend()


@pytest.fixture
def http(backend: TracedBackend, tracer: FakeTracer) -> FlaskClient:
    return create_app(backend, tracer=tracer).test_client()  # type: ignore[arg-type]


def test_a_request_with_a_parent_has_a_span_and_the_server_is_told_of_it(
    http: FlaskClient, backend: TracedBackend, tracer: FakeTracer
) -> None:
    began = time.monotonic()
    headers = {'traceparent': PARENT, 'x-request-id': 'abc'}
    answer = http.post('/encode', json={'id': 1, 'texts': ['hello world', 'a']}, headers=headers)
    assert answer.status_code == 200
    ((name, parent, began_at, attributes),) = tracer.started
    assert (name, parent) == ('POST /encode', read_traceparent(PARENT))
    assert attributes == {'http.request.method': 'POST', 'url.path': '/encode', 'http.route': '/encode'}
    assert backend.traces == [{'traceparent': OURS}]
    ((ended_at, end, error),) = tracer.spans[0].ended
    assert began <= began_at <= ended_at <= time.monotonic()
    assert end == {
        'http.response.status_code': 200,
        'bert_serving.request_id': 'abc',
        'bert_serving.rows': 2,
        'bert_serving.tokens': 4 + 3,
    }
    assert error is None
    assert current_trace() == {}, 'the next request of this thread is another'


@pytest.mark.parametrize('parent', [None, '', 'nonsense', PARENT + '-more', PARENT.upper()])
def test_a_request_without_a_valid_parent_has_no_span(
    http: FlaskClient, backend: TracedBackend, tracer: FakeTracer, parent: str | None
) -> None:
    headers = {} if parent is None else {'traceparent': parent}
    assert http.post('/embed', json={'inputs': 'a'}, headers=headers).status_code == 200
    assert (tracer.started, backend.traces) == ([], [{}])


def test_the_server_is_told_nothing_of_a_request_that_is_not_sampled(
    http: FlaskClient, backend: TracedBackend, tracer: FakeTracer
) -> None:
    http.post('/embed', json={'inputs': 'a'}, headers={'traceparent': PARENT[:-2] + '00'})
    assert backend.traces == [{}]
    assert len(tracer.spans[0].ended) == 1


def test_the_span_of_a_failed_request_says_so(http: FlaskClient, backend: TracedBackend, tracer: FakeTracer) -> None:
    backend.error = HTTPError('Unavailable', 'away')
    http.post('/embed', json={'inputs': 'a'}, headers={'traceparent': PARENT})
    http.post('/embed', json={}, headers={'traceparent': PARENT})
    http.get('/nowhere', headers={'traceparent': PARENT})
    ended = [span.ended[0] for span in tracer.spans]
    assert [(end['http.response.status_code'], error) for _, end, error in ended] == [
        (503, 'status 503'),
        (422, None),
        (404, None),
    ]
    assert tracer.started[-1][0] == 'GET'


@pytest.mark.parametrize('is_traced', [True, False])
def test_the_parent_goes_to_the_server_as_an_option(is_traced: bool) -> None:
    server = ScriptedServer(extensions=['options', 'token_ids', 'cancel', 'traceparent', 'pairs', 'raw', 'truncate'])
    backend = ServerBackend('127.0.0.1', server.port, server.port_out)
    reset = TRACEPARENT.set(OURS if is_traced else None)
    try:
        until = time.monotonic() + 20
        server.script = lambda request: [server.result(request, np.array([[0.5]], np.float32), token_counts=[3])]
        backend.encode(Rows(['a']), until, lambda: False)
        backend.predict(Rows(['a']), until, lambda: False, EncodingOptions())
        assert [request.options.get('traceparent') for request in server.requests] == [OURS if is_traced else None] * 2
    finally:
        TRACEPARENT.reset(reset)
        backend.close()
        server.stop()
