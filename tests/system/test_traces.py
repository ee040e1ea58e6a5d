"""A caller's trace goes on through the whole ring, if OpenTelemetry is on, and otherwise costs nothing."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Iterator
from typing import Any

import psutil
import pytest

from support.collector import Collector
from support.processes import children_of, fake_server
from support.raw_client import raw_client
from support.serving import ServerProcess

pytestmark = pytest.mark.slow

TRACE_ID, SPAN_ID = '4bf92f3577b34da6a3ce929d0e0e4736', '00f067aa0ba902b7'
PARENT = '00-%s-%s-01' % (TRACE_ID, SPAN_ID)

HTTP = ('-http_port', '0', '-http_host', '127.0.0.1')


@pytest.fixture(scope='module')
def collector() -> Iterator[Collector]:
    pytest.importorskip('opentelemetry.sdk')
    with Collector() as collector:
        yield collector


@pytest.fixture(scope='module')
def server(collector: Collector) -> Iterator[ServerProcess]:
    variables = {
        'OTEL_EXPORTER_OTLP_ENDPOINT': collector.url,
        'OTEL_EXPORTER_OTLP_HEADERS': 'api-key=secret',
        'OTEL_BSP_SCHEDULE_DELAY': '100',
    }
    with fake_server(*HTTP, '-max_batch_size', '4', **variables) as server:
        yield server.wait_until_ready()
        assert server.stop() == 0


@pytest.fixture(autouse=True)
def _forget(request: pytest.FixtureRequest) -> None:
    if 'collector' in request.fixturenames:
        request.getfixturevalue('collector').spans.clear()


def post(server: ServerProcess, path: str, body: object, **headers: str) -> Any:
    url = 'http://127.0.0.1:%d%s' % (server.http_port, path)
    with urllib.request.urlopen(urllib.request.Request(url, json.dumps(body).encode(), headers), timeout=60) as answer:
        return json.load(answer)


def attributes_of(span: Any) -> dict[str, Any]:
    return {
        each.key.removeprefix('bert_serving.'): getattr(each.value, each.value.WhichOneof('value'))
        for each in span.attributes
    }


def test_the_trace_of_a_request_has_each_step_under_its_parent_and_in_order(
    server: ServerProcess, collector: Collector
) -> None:
    texts = ['hello world', 'a', 'b', 'c', 'good day', 'd']  # two jobs
    post(server, '/encode', {'id': 1, 'texts': texts}, traceparent=PARENT)
    spans = collector.wait_for(1 + 2 * 5 + 1)
    tree = drawing(spans)
    assert {span.trace_id.hex() for span in spans} == {TRACE_ID}, tree
    of_name: dict[str, list[Any]] = {}
    for span in spans:
        of_name.setdefault(span.name, []).append(span)
    of_each_job = ('ventilator queue', 'worker', 'tokenize', 'wait', 'compute')
    numbers = {name: len(some) for name, some in of_name.items()}
    assert numbers == {'POST /encode': 1, **dict.fromkeys(of_each_job, 2), 'sink': 1}, tree
    (http,), (sink,) = of_name['POST /encode'], of_name['sink']
    assert http.parent_span_id.hex() == SPAN_ID
    assert all(span.parent_span_id == http.span_id for name in ('ventilator queue', 'worker') for span in of_name[name])
    assert sink.parent_span_id == http.span_id
    for part, worker in enumerate(sorted(of_name['worker'], key=lambda span: attributes_of(span)['part'])):
        queue = next(span for span in of_name['ventilator queue'] if attributes_of(span)['part'] == part)
        steps = [span for span in spans if span.parent_span_id == worker.span_id]
        assert [span.name for span in steps] == ['tokenize', 'wait', 'compute']
        moments = [http.start_time_unix_nano, queue.start_time_unix_nano]
        for span in steps:
            moments += [span.start_time_unix_nano, span.end_time_unix_nano]
        moments += [worker.end_time_unix_nano, sink.end_time_unix_nano]
        assert moments == sorted(moments), tree
        assert worker.start_time_unix_nano == queue.end_time_unix_nano
    parts = [attributes_of(span) for span in of_name['worker']]
    assert sorted(about['rows'] for about in parts) == [2, 4]
    assert {about['worker'] for about in parts} == {0}
    assert attributes_of(sink) == {'rows': 6, 'parts': 2}
    about = attributes_of(http)
    assert about['rows'] == 6
    assert about['tokens'] == sum(each['tokens'] for each in parts)
    assert (about['http.route'], about['http.response.status_code']) == ('/encode', 200)
    assert {headers['api-key'] for headers in collector.headers} == {'secret'}


def test_a_client_over_zeromq_can_send_a_parent_too_and_its_error_is_in_the_trace(
    server: ServerProcess, collector: Collector
) -> None:
    with raw_client(server) as client:
        client.send(client.identity, b'["a"]', b'1', b'1', json.dumps({'traceparent': PARENT}).encode())
        client.receive()
        spans = collector.wait_for(6)
        assert {span.name for span in spans if span.parent_span_id.hex() == SPAN_ID} == {
            'ventilator queue',
            'worker',
            'sink',
        }
        collector.spans.clear()
        client.send(client.identity, b'[1]', b'2', b'1', json.dumps({'traceparent': PARENT}).encode())
        client.receive()
        (sink,) = [span for span in collector.wait_for(3) if span.name == 'sink']
        assert (sink.status.code, sink.status.message) == (2, 'BadRequest')


def test_a_request_without_a_valid_sampled_parent_is_not_traced(server: ServerProcess, collector: Collector) -> None:
    for parent in (None, 'nonsense', PARENT[:-2] + '00', PARENT + '-more'):
        headers = {} if parent is None else {'traceparent': parent}
        post(server, '/encode', {'id': 1, 'texts': ['a']}, **headers)
    post(server, '/encode', {'id': 1, 'texts': ['a']}, traceparent=PARENT)
    assert len(collector.wait_for(7)) == 7, 'the last request has them, and no earlier one'


def test_the_key_of_the_collector_is_told_only_to_those_who_send_to_it(server: ServerProcess) -> None:
    for word, is_told in (('sink', True), ('http', True), ('worker', False)):
        (pid,) = children_of(server, word)
        assert ('OTEL_EXPORTER_OTLP_HEADERS' in psutil.Process(pid).environ()) is is_told


def drawing(spans: list[Any]) -> str:
    """The tree of spans, with the milliseconds from the first start to each start and end."""
    began = spans[0].start_time_unix_nano
    lines = []

    def draw(span: Any, depth: int) -> None:
        times = ((span.start_time_unix_nano - began) / 1e6, (span.end_time_unix_nano - began) / 1e6)
        lines.append('%8.2f %8.2f  %s%s %s' % (*times, '  ' * depth, span.name, attributes_of(span)))
        for other in spans:
            if other.parent_span_id == span.span_id:
                draw(other, depth + 1)

    draw(spans[0], 0)
    return '\n'.join(lines)
