"""A collector of traces in memory, which speaks OTLP over HTTP."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

from support.waiting import wait_until


class Collector:
    """Keeps every span that is sent to it, as OTLP's message, in `spans`."""

    def __init__(self) -> None:
        from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

        self.spans: list[Any] = []
        self.headers: list[Any] = []
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers['content-length']))
                request = ExportTraceServiceRequest.FromString(body)
                collector.headers.append(self.headers)
                for of_resource in request.resource_spans:
                    for scope in of_resource.scope_spans:
                        collector.spans += scope.spans
                self.send_response(200)
                self.send_header('content-length', '0')
                self.end_headers()

            def log_message(self, *_arguments: object) -> None:
                pass

        self._server = ThreadingHTTPServer(('127.0.0.1', 0), Handler)
        self.url = 'http://127.0.0.1:%d' % self._server.server_port
        self._thread = threading.Thread(target=self._server.serve_forever)

    def wait_for(self, number: int) -> list[Any]:
        """The spans, in the order of their starts, as soon as there are so many."""
        wait_until(lambda: len(self.spans) >= number)
        return sorted(self.spans, key=lambda span: span.start_time_unix_nano)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
