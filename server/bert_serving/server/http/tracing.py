"""The span of an HTTP request with a `traceparent`, and the trace context that goes on to the server."""

from __future__ import annotations

import time

from flask import Flask, Response, g, request

from ..protocol.tracing import read_traceparent
from ..telemetry import Tracer
from .backend_call import received_at
from .routes import OTHER, label_of
from .server_backend import TRACEPARENT


def install(app: Flask, tracer: Tracer) -> None:
    """Make a span for each request with a valid `traceparent`, from reading the request to making the response."""

    @app.before_request
    def _begin() -> None:
        parent = read_traceparent(request.headers.get('traceparent', ''))
        if parent is None:
            return
        label = label_of(request.url_rule.rule if request.url_rule else None)
        attributes = {'http.request.method': request.method, 'url.path': request.path, 'http.route': label}
        name = request.method if label == OTHER else '%s %s' % (request.method, label)
        g.span = tracer.start(name, parent, received_at(), attributes)
        TRACEPARENT.set(g.span.traceparent)

    @app.after_request
    def _end(response: Response) -> Response:
        span = g.pop('span', None)
        if span is None:
            return response
        TRACEPARENT.set(None)
        attributes = {
            'http.response.status_code': response.status_code,
            'bert_serving.request_id': g.get('request_id') or '',
        }
        call = g.get('backend_call')
        if call is not None:
            attributes |= {'bert_serving.rows': call.rows, 'bert_serving.tokens': call.tokens}
        error = 'status %d' % response.status_code if response.status_code >= 500 else None
        span.end(time.monotonic(), attributes, error)
        return response
