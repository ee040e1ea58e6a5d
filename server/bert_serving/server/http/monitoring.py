"""Operational endpoints: health, metrics, the last hour, and the documentation with a page to try the routes."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from flask import Blueprint, Response
from flask_swagger_ui import get_swaggerui_blueprint

from .catalog import Catalog
from .health import Health, judge, judge_upstreams
from .metrics import CONTENT_TYPE, HttpMetrics
from .openapi import make_document
from .responses import dump
from .status_history import StatusHistory


def make_blueprint(
    catalog: Catalog, metrics: HttpMetrics, history: StatusHistory, is_draining: Callable[[], bool], has_keys: bool
) -> Blueprint:
    """Make the routes. With `has_keys`, the document says that a key is required."""
    routes = Blueprint('monitoring', __name__)
    document = dump(make_document(has_keys))

    def current_health() -> tuple[Health, dict[str, Any]]:
        """The health, and additional fields of the body."""
        if not catalog.upstreams:
            return judge(catalog.first.server_status(), is_draining()), {}
        snapshots = {name: backend.replica_statuses() for name, backend in catalog.upstreams}
        health, of_replicas = judge_upstreams(snapshots, is_draining())
        return health, {'upstreams': _list_replicas(catalog, of_replicas)}

    @routes.get('/health')
    @routes.get('/healthz', endpoint='healthz')
    @routes.get('/health/ready', endpoint='ready')
    def health() -> Response:
        current, more = current_health()
        return _respond(current, current.is_ready, more)

    @routes.get('/health/live')
    def live() -> Response:
        current, more = current_health()
        return _respond(current, current.is_live, more)

    @routes.get('/metrics')
    def show_metrics() -> Response:
        return Response(metrics.page(), content_type=CONTENT_TYPE)

    @routes.get('/status/history')
    def show_history() -> Response:
        response = Response(dump({**history.to_json(time.time()), 'status': 200}), mimetype='application/json')
        response.headers['cache-control'] = 'no-store'
        return response

    @routes.get('/openapi.json')
    def openapi() -> Response:
        return Response(document, mimetype='application/json')

    return routes


def make_docs_blueprint() -> Blueprint:
    """Make the routes of Swagger UI under `/docs`, with local files."""
    docs: Blueprint = get_swaggerui_blueprint(
        '/docs',
        '/openapi.json',
        config={
            'app_name': 'bert-as-service',
            'validatorUrl': None,  # by default, the page would send the document's address to a public validator
            'oauth2RedirectUrl': '/docs/oauth2-redirect.html',
        },
    )
    return docs


def _list_replicas(catalog: Catalog, health: Mapping[str, Sequence[Health]]) -> list[dict[str, Any]]:
    return [
        {'name': name, 'address': upstream.address, 'ready': state.is_ready, 'reason': state.reason}
        for name, backend in catalog.upstreams
        for upstream, state in zip(backend.upstreams, health[name], strict=True)
    ]


def _respond(health: Health, is_good: bool, more: Mapping[str, Any]) -> Response:
    response = Response(
        dump({**health.to_json(is_good), **more}), status=200 if is_good else 503, mimetype='application/json'
    )
    response.headers['cache-control'] = 'no-store'
    return response
