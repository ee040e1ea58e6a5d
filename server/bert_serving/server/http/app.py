"""The Flask application. It owns no process, port or thread.

The proxy runs it behind `frontend`. Tests run it with an in-memory backend.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from typing import Any

from flask import Flask, Response, g, request
from flask_compress import Compress
from flask_json import FlaskJSON
from werkzeug.exceptions import HTTPException

from ..security.audit import Audit
from ..telemetry import Tracer
from . import admission, auditing, legacy, monitoring, openai, pages, rerank, tei, tokens, tracing
from .authentication import Authenticator
from .backend import Backend
from .backend_call import TIMEOUT_S, received_at
from .catalog import Catalog, Entry
from .config import HttpConfig
from .dispatcher import RESERVE
from .errors import Family, HTTPError, error_from_status, make_refusal
from .history_recorder import HistoryRecorder
from .metered_backend import MeteredBackend
from .metrics import HttpMetrics, ServerStatuses
from .replicas import ReplicatedBackend
from .responses import dump, list_rows
from .routes import family_of, label_of
from .status_history import StatusHistory

logger = logging.getLogger(__name__)


def _never() -> bool:
    return False


def _none() -> int:
    return 0


class _App(Flask):
    def ensure_sync(self, func: Callable[..., Any]) -> Callable[..., Any]:
        """Return `func`: no route or hook is a coroutine, and Flask would look at each of them in every request."""
        return func


def create_app(
    backend: Backend | Sequence[ReplicatedBackend],
    config: HttpConfig | None = None,
    is_draining: Callable[[], bool] = _never,
    working: Callable[[], int] = _none,
    waiting: Callable[[], int] = _none,
    tracer: Tracer | None = None,
    authenticator: Authenticator | None = None,
    audit: Audit | None = None,
    recorder: HistoryRecorder | None = None,
) -> Flask:
    """Create the application. Its routes call `backend`: one server, or a mapping from model names to servers.

    `is_draining`, for `/health/ready`, says whether the process is about to end. `working` and `waiting`, for
    `/metrics`, return the numbers of requests that have a thread and that wait for one. `tracer` receives the spans of
    requests with a `traceparent`. `authenticator` has the keys, by default those of `config`. `audit` gets a line for
    each request of a principal and for each refusal. `recorder` has the samples of `/status/history`; without it there
    are none.
    """
    config = config or HttpConfig()
    app = _App(__name__, static_folder=None)
    app.config[TIMEOUT_S] = config.timeout_s
    authenticator = authenticator or config.make_authenticator()
    catalog = _catalog_of(backend, config.model_names, authenticator)
    metrics = HttpMetrics(lambda: _statuses_of(catalog), working, waiting)
    metrics.access.begin_at_zero(authenticator.names)
    if recorder is not None:
        recorder.outcomes = metrics.outcomes
    history = StatusHistory() if recorder is None else recorder.history
    _record(app, metrics)  # first, to see each response in its final form
    if tracer is not None:
        tracing.install(app, tracer)
    _bound_unwritten(app)
    if audit is not None:
        auditing.install(app, audit)
    admission.install(app, config, authenticator)
    _handle_errors(app, metrics)
    FlaskJSON(app)
    _compress(app)
    app.register_blueprint(legacy.make_blueprint(catalog, config.token_ids, lambda: authenticator.needs_key))
    app.register_blueprint(tokens.make_blueprint(catalog))
    app.register_blueprint(openai.make_blueprint(catalog, config.token_ids))
    app.register_blueprint(tei.make_blueprint(catalog, config.token_ids, config.max_outstanding))
    app.register_blueprint(rerank.make_blueprint(catalog))
    app.register_blueprint(monitoring.make_blueprint(catalog, metrics, history, is_draining, authenticator.needs_key))
    app.register_blueprint(monitoring.make_docs_blueprint())
    app.register_blueprint(pages.make_pages_blueprint())
    return app


def _catalog_of(
    backend: Backend | Sequence[ReplicatedBackend], names: tuple[str, ...], authenticator: Authenticator
) -> Catalog:
    def meter(backend: Backend) -> Backend:
        return MeteredBackend(backend, authenticator.quotas, lambda: (g.principal, request.content_length or 0))

    if isinstance(backend, Sequence):
        return Catalog([Entry(each, (each.upstreams[0].name,)) for each in backend], meter)
    return Catalog([Entry(backend, names)], meter)


def _statuses_of(catalog: Catalog) -> ServerStatuses:
    if not catalog.upstreams:
        return [((), catalog.first.server_status())]
    return [
        ((name, upstream.address), snapshot)
        for name, backend in catalog.upstreams
        for upstream, snapshot in zip(backend.upstreams, backend.replica_statuses(), strict=True)
    ]


def _handle_errors(app: Flask, metrics: HttpMetrics) -> None:
    @app.errorhandler(HTTPError)
    def _on_http_error(error: HTTPError) -> Response:
        family: Family = g.get('family') or family_of(request.path)
        status, body = error.to_response(family)
        metrics.access.count_refusal(error.name)
        g.error = error
        response = Response(dump(body), status=status, mimetype='application/json')
        if error.retry_after_s is not None:
            response.headers['retry-after'] = str(error.retry_after_s)
        if error.kind.is_final:
            response.headers['x-should-retry'] = 'false'  # OpenAI's clients heed it
        return response

    @app.errorhandler(HTTPException)
    def _on_flask_error(error: HTTPException) -> Response:
        """Handle the errors that Flask raises: unknown route, wrong method, body too large."""
        if error.code is None or error.code < 400:
            return Response(status=error.code or 500, headers=dict(error.get_headers()))
        response = _on_http_error(error_from_status(error.code, error.description or error.name))
        response.status_code = error.code
        if error.code == 405:
            response.headers['allow'] = dict(error.get_headers()).get('Allow', '')
        return response

    @app.errorhandler(Exception)
    def _on_exception(error: Exception) -> Response:
        logger.exception('request_id=%s route=%s failed', g.get('request_id'), label_of_request())
        return _on_http_error(
            HTTPError('ProxyError', 'internal error in the HTTP proxy (%s); see its log' % type(error).__name__)
        )


def _bound_unwritten(app: Flask) -> None:
    @app.after_request
    def _reserve_response(response: Response) -> Response:
        """Replace the response, already compressed, by an error if there is no room for it."""
        reserve = request.environ.get(RESERVE)
        if reserve is None or reserve(response.calculate_content_length() or 0):
            return response
        error = make_refusal('ResponsesUnread')
        response.headers.remove('content-encoding')
        family: Family = g.get('family') or family_of(request.path)
        response.status_code, body = error.to_response(family)
        response.mimetype = 'application/json'
        response.set_data(dump(body))
        response.headers['retry-after'] = str(error.retry_after_s)
        return response


def _compress(app: Flask) -> None:
    """Compress large responses at the fastest levels, because the default levels can take longer than the model."""
    app.config.update(
        COMPRESS_REGISTER=False, COMPRESS_LEVEL=1, COMPRESS_BR_LEVEL=1, COMPRESS_ZSTD_LEVEL=1, COMPRESS_MIN_SIZE=1400
    )
    compress = Compress(app)

    @app.after_request
    def _compress_response(response: Response) -> Response:
        return response if response.cache_control.no_transform else compress.after_request(response)


def _record(app: Flask, metrics: HttpMetrics) -> None:
    @app.before_request
    def _note_arrival() -> None:
        received_at()

    @app.after_request
    def _count(response: Response) -> Response:
        label, seconds = label_of_request(), time.monotonic() - received_at()
        metrics.count_request(label, request.method, response.status_code, seconds)
        call = g.get('backend_call')
        if 'principal' in g:
            metrics.access.count_request(g.principal.name, response.status_code, call.rows if call else 0)
        if call is not None:
            response.headers['x-inference-time'] = '%.1f' % (1000 * call.seconds)
            if call.truncated:
                response.headers['x-truncated-rows'] = list_rows(call.truncated)
            if call.rows:
                metrics.count_rows(label, call.rows, call.tokens)
        is_probe = label.startswith('/health')  # which can well get 503
        is_failure = (response.status_code >= 500 and not is_probe) or response.status_code == 424
        level = logging.WARNING if is_failure else logging.DEBUG
        logger.log(
            level,
            'request_id=%s method=%s route=%s status=%d rows=%d seconds=%.3f',
            g.get('request_id'),
            request.method,
            label,
            response.status_code,
            call.rows if call else 0,
            seconds,
        )
        return response


def label_of_request() -> str:
    """The label of the current request in logs and metrics."""
    return label_of(request.url_rule.rule if request.url_rule else None)
