"""OpenTelemetry spans, for the processes that make them: the sink and the HTTP proxy.

Only the standard `OTEL_*` variables configure it, and it imports OpenTelemetry only if they ask for traces. The tracer
is not the global one, so a program around a `BertServer` can have others.
"""

from __future__ import annotations

import importlib.util
import logging
import threading
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from .console.logs import ROOT
from .protocol.tracing import Span, TraceContext, read_traceparent
from .release import RELEASE

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.sdk.trace import SpanProcessor
    from opentelemetry.trace import Span as OpenTelemetrySpan

logger = logging.getLogger(__name__)

_ENDPOINTS = ('OTEL_EXPORTER_OTLP_ENDPOINT', 'OTEL_EXPORTER_OTLP_TRACES_ENDPOINT')
_PACKAGES = ('opentelemetry.sdk', 'opentelemetry.exporter.otlp.proto.http')

CLOSE_S = 1.0
"""Seconds that the last spans of a process can take to reach the collector."""


def is_wanted(environ: Mapping[str, str]) -> bool:
    """Whether the variables ask for traces: they name a collector or an exporter, and do not disable it."""
    if environ.get('OTEL_SDK_DISABLED', '').strip().lower() == 'true':
        return False
    exporter = environ.get('OTEL_TRACES_EXPORTER', '').strip().lower()
    return exporter == 'otlp' if exporter else any(environ.get(name) for name in _ENDPOINTS)


def is_on(environ: Mapping[str, str]) -> bool:
    """Whether the variables ask for traces and OpenTelemetry is installed."""
    return is_wanted(environ) and _is_installed()


def _is_installed() -> bool:
    try:
        return all(importlib.util.find_spec(name) is not None for name in _PACKAGES)
    except ModuleNotFoundError:
        return False


def open_tracer(environ: Mapping[str, str]) -> Tracer | None:
    """A tracer that sends spans by OTLP over HTTP, or None if traces are off or OpenTelemetry is not installed."""
    if not is_wanted(environ):
        return None
    if not _is_installed():
        logger.warning(
            'the OTEL_* variables ask for traces, but OpenTelemetry is not installed: pip install '
            "'bert-serving-server[otel]'"
        )
        return None
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    ours, theirs = logging.getLogger(ROOT), logging.getLogger('opentelemetry')
    theirs.handlers, theirs.propagate = ours.handlers, False
    theirs.setLevel(logging.WARNING)
    return Tracer(BatchSpanProcessor(OTLPSpanExporter()), environ)


class Tracer:
    """Makes spans below the spans of callers. Times are values of `time.monotonic`. Thread-safe."""

    def __init__(self, processor: SpanProcessor, environ: Mapping[str, str]) -> None:
        """`processor` receives the spans that have ended."""
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider

        attributes = {'service.version': RELEASE}
        if not (environ.get('OTEL_SERVICE_NAME') or 'service.name=' in environ.get('OTEL_RESOURCE_ATTRIBUTES', '')):
            attributes['service.name'] = 'bert-as-service'
        self._provider = TracerProvider(resource=Resource.create(attributes), shutdown_on_exit=False)
        self._provider.add_span_processor(processor)
        self._tracer = self._provider.get_tracer('bert_serving.server', RELEASE)

    def start(self, name: str, parent: TraceContext, began_at: float, attributes: Mapping[str, Any]) -> OpenSpan:
        """Begin a server span. Its `end` method ends it."""
        from opentelemetry.trace import SpanKind

        clock = _UnixClock()
        span = self._tracer.start_span(
            name, _context_of(parent), SpanKind.SERVER, start_time=clock.ns(began_at), attributes=dict(attributes)
        )
        return OpenSpan(span, clock)

    def emit(self, traceparent: str, spans: Sequence[Span]) -> None:
        """Make finished spans and their children, except those with an invalid parent."""
        parent = read_traceparent(traceparent)
        if parent is not None:
            context, clock = _context_of(parent), _UnixClock()
            for span in spans:
                self._emit(span, context, clock)

    def _emit(self, span: Span, context: Context, clock: _UnixClock) -> None:
        from opentelemetry.trace import set_span_in_context

        made = self._tracer.start_span(
            span.name, context, start_time=clock.ns(span.began_at), attributes=dict(span.attributes)
        )
        inside = set_span_in_context(made, context)
        for child in span.children:
            self._emit(child, inside, clock)
        _end(made, clock.ns(span.ended_at), span.error)

    def close(self) -> None:
        """Send the last spans, for at most `CLOSE_S` seconds."""
        closing = threading.Thread(target=self._provider.shutdown, name='close-tracer', daemon=True)
        closing.start()
        closing.join(CLOSE_S)


class OpenSpan:
    """A span that has begun."""

    def __init__(self, span: OpenTelemetrySpan, clock: _UnixClock) -> None:
        """Take a span of OpenTelemetry, and the clock by which it began."""
        self._span, self._clock = span, clock

    @property
    def traceparent(self) -> str | None:
        """The parent for spans inside this one, or None if this span is not sampled."""
        context = self._span.get_span_context()
        if not self._span.is_recording():
            return None
        return TraceContext(context.trace_id, context.span_id, is_sampled=True).to_traceparent()

    def end(self, ended_at: float, attributes: Mapping[str, Any], error: str | None = None) -> None:
        """End the span. `error` is the reason why the work failed."""
        self._span.set_attributes(attributes)
        _end(self._span, self._clock.ns(ended_at), error)


def _end(span: OpenTelemetrySpan, end_ns: int, error: str | None) -> None:
    from opentelemetry.trace import Status, StatusCode

    if error is not None:
        span.set_status(Status(StatusCode.ERROR, error))
    span.end(end_ns)


def _context_of(parent: TraceContext) -> Context:
    from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags, set_span_in_context

    flags = TraceFlags(TraceFlags.SAMPLED if parent.is_sampled else TraceFlags.DEFAULT)
    remote = SpanContext(parent.trace_id, parent.span_id, is_remote=True, trace_flags=flags)
    return set_span_in_context(NonRecordingSpan(remote))


class _UnixClock:
    """Converts times of `time.monotonic` to nanoseconds of Unix time, and keeps their order."""

    def __init__(self) -> None:
        self._offset_ns = time.time_ns() - time.monotonic_ns()

    def ns(self, monotonic: float) -> int:
        return int(monotonic * 1e9) + self._offset_ns
