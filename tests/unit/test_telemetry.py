"""OpenTelemetry: when it is on, and the spans that it gets."""

from __future__ import annotations

import logging
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import pytest

from bert_serving.server import telemetry
from bert_serving.server.protocol.tracing import Span, TraceContext
from bert_serving.server.telemetry import Tracer, is_on, is_wanted, open_tracer

PARENT = TraceContext(0x4BF92F3577B34DA6A3CE929D0E0E4736, 0x00F067AA0BA902B7, True)
COLLECTOR = {'OTEL_EXPORTER_OTLP_ENDPOINT': 'http://127.0.0.1:1'}


@pytest.mark.parametrize(
    ('variables', 'wanted'),
    [
        ({}, False),
        ({'OTEL_SERVICE_NAME': 'search', 'OTEL_RESOURCE_ATTRIBUTES': 'a=b'}, False),
        ({'OTEL_EXPORTER_OTLP_METRICS_ENDPOINT': 'http://a:4318/v1/metrics'}, False),
        (COLLECTOR, True),
        ({'OTEL_EXPORTER_OTLP_TRACES_ENDPOINT': 'http://a:4318/v1/traces'}, True),
        ({'OTEL_EXPORTER_OTLP_ENDPOINT': ''}, False),
        ({'OTEL_TRACES_EXPORTER': 'otlp'}, True),
        ({**COLLECTOR, 'OTEL_TRACES_EXPORTER': 'none'}, False),
        ({**COLLECTOR, 'OTEL_TRACES_EXPORTER': 'zipkin'}, False),
        ({**COLLECTOR, 'OTEL_SDK_DISABLED': 'True'}, False),
        ({**COLLECTOR, 'OTEL_SDK_DISABLED': 'false'}, True),
    ],
)
def test_traces_are_made_only_if_the_standard_variables_ask_for_them(variables: dict[str, str], wanted: bool) -> None:
    assert is_wanted(variables) is wanted


def test_without_the_extra_there_are_no_traces_but_a_word_in_the_log(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(telemetry, '_PACKAGES', ('opentelemetry_that_is_not_here.sdk',))
    assert not is_on(COLLECTOR)
    assert open_tracer({}) is None
    assert caplog.messages == []
    assert open_tracer(COLLECTOR) is None
    assert "pip install 'bert-serving-server[otel]'" in caplog.text


@pytest.mark.slow
def test_opentelemetry_is_imported_by_no_process_unless_it_is_wanted() -> None:
    program = (
        'import sys\n'
        'import bert_serving.server.http.proxy, bert_serving.server.parent.server, bert_serving.server.sink.sink\n'
        'import bert_serving.server.worker.worker\n'
        'from bert_serving.server.telemetry import is_on, open_tracer\n'
        'assert open_tracer({"OTEL_SERVICE_NAME": "a"}) is None and not is_on({})\n'
        'print([name for name in sys.modules if name.startswith("opentelemetry")])\n'
    )
    done = subprocess.run([sys.executable, '-c', program], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == '[]'


# With OpenTelemetry --------------------------------------------------------------------------------------------------


class Memory:
    """Keeps the spans that end, in order."""

    def __init__(self) -> None:
        self.spans: list[Any] = []

    def on_start(self, span: Any, parent_context: Any = None) -> None:
        pass

    def _on_ending(self, span: Any) -> None:
        pass

    def on_end(self, span: Any) -> None:
        self.spans.append(span)

    def shutdown(self) -> None:
        pass

    def force_flush(self, timeout_millis: int = 30000) -> bool:
        return True

    @property
    def by_name(self) -> dict[str, Any]:
        return {span.name: span for span in self.spans}


@pytest.fixture
def memory() -> Memory:
    pytest.importorskip('opentelemetry.sdk')
    return Memory()


@pytest.fixture
def tracer(memory: Memory) -> Iterator[Tracer]:
    tracer: Tracer = Tracer(memory, {})  # type: ignore[arg-type, unused-ignore]
    yield tracer
    tracer.close()


def test_spans_have_their_parents_times_attributes_and_errors(memory: Memory, tracer: Tracer) -> None:
    now = time.monotonic()
    steps = [Span('step', now - 3, now - 2)]
    tracer.emit(
        PARENT.to_traceparent(),
        [Span('whole', now - 4, now - 1, {'rows': 3}, steps), Span('end', now - 1, now, error='NotFinite')],
    )
    step, whole, end = memory.spans
    assert {span.context.trace_id for span in memory.spans} == {PARENT.trace_id}
    assert [span.parent.span_id for span in (whole, end)] == [PARENT.span_id] * 2
    assert step.parent.span_id == whole.context.span_id
    assert dict(whole.attributes) == {'rows': 3}
    assert whole.status.is_ok
    assert (end.status.is_ok, end.status.description) == (False, 'NotFinite')
    assert (whole.end_time - whole.start_time) / 1e9 == pytest.approx(3)
    assert step.start_time - whole.start_time == pytest.approx(1e9, rel=1e-3)
    assert abs(end.end_time - time.time_ns()) < 5e9


def test_a_span_of_a_server_is_the_parent_of_those_inside(memory: Memory, tracer: Tracer) -> None:
    span = tracer.start('POST /encode', PARENT, time.monotonic(), {'a': 'b'})
    assert span.traceparent is not None
    tracer.emit(span.traceparent, [Span('sink', 1, 2)])
    span.end(time.monotonic(), {'status': 200})
    inside, server = memory.spans
    assert server.parent.span_id == PARENT.span_id
    assert inside.parent.span_id == server.context.span_id
    assert dict(server.attributes) == {'a': 'b', 'status': 200}
    assert server.kind.name == 'SERVER'


def test_what_the_caller_does_not_sample_is_not_traced(memory: Memory, tracer: Tracer) -> None:
    span = tracer.start('POST /encode', TraceContext(PARENT.trace_id, PARENT.span_id, False), 1.0, {})
    assert span.traceparent is None
    span.end(2.0, {})
    tracer.emit('nonsense', [Span('sink', 1, 2)])
    assert memory.spans == []


@pytest.mark.parametrize(
    ('variables', 'name'),
    [
        ({}, 'bert-as-service'),
        ({'OTEL_SERVICE_NAME': 'search'}, 'search'),
        ({'OTEL_RESOURCE_ATTRIBUTES': 'service.name=search'}, 'search'),
    ],
)
def test_the_service_has_a_name(
    memory: Memory, monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], name: str
) -> None:
    for variable in ('OTEL_SERVICE_NAME', 'OTEL_RESOURCE_ATTRIBUTES'):
        monkeypatch.delenv(variable, raising=False)
    for variable, value in variables.items():
        monkeypatch.setenv(variable, value)
    tracer = Tracer(memory, variables)  # type: ignore[arg-type, unused-ignore]
    tracer.emit(PARENT.to_traceparent(), [Span('sink', 1, 2)])
    assert memory.spans[0].resource.attributes['service.name'] == name
    assert memory.spans[0].resource.attributes['service.version']
    tracer.close()


@pytest.mark.slow
def test_a_collector_that_is_away_does_not_hold_up_the_end(memory: Memory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv('OTEL_EXPORTER_OTLP_ENDPOINT', 'http://127.0.0.1:1')
    logger = logging.getLogger('opentelemetry')
    before = (logger.handlers, logger.propagate, logger.level)
    try:
        tracer = open_tracer(COLLECTOR)
        assert tracer is not None
        tracer.emit(PARENT.to_traceparent(), [Span('sink', 1, 2)])
        began = time.monotonic()
        tracer.close()
        assert time.monotonic() - began < telemetry.CLOSE_S + 1
    finally:
        logger.handlers, logger.propagate = before[:2]
        logger.setLevel(before[2])
