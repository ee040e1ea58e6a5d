"""Operational endpoints: health, metrics, and the documentation of the routes with a page to try them."""

from __future__ import annotations

from collections.abc import Callable

from flask import Blueprint, Response
from flask_swagger_ui import get_swaggerui_blueprint

from .backend import Backend
from .health import Health, judge
from .metrics import CONTENT_TYPE, HttpMetrics
from .openapi import make_document
from .responses import dump


def make_blueprint(
    backend: Backend, metrics: HttpMetrics, is_draining: Callable[[], bool], has_keys: bool
) -> Blueprint:
    """The routes; with `has_keys` the document says that a key is required."""
    routes = Blueprint('monitoring', __name__)
    document = dump(make_document(has_keys))

    def current_health() -> Health:
        return judge(backend.server_status(), is_draining())

    @routes.get('/health')
    @routes.get('/health/ready', endpoint='ready')
    def health() -> Response:
        current = current_health()
        return _respond(current, current.is_ready)

    @routes.get('/health/live')
    def live() -> Response:
        current = current_health()
        return _respond(current, current.is_live)

    @routes.get('/metrics')
    def show_metrics() -> Response:
        return Response(metrics.page(), content_type=CONTENT_TYPE)

    @routes.get('/openapi.json')
    def openapi() -> Response:
        return Response(document, mimetype='application/json')

    return routes


def make_docs_blueprint() -> Blueprint:
    """Swagger UI under `/docs`; its files are served from here."""
    docs: Blueprint = get_swaggerui_blueprint(
        '/docs',
        '/openapi.json',
        config={
            'app_name': 'bert-as-service',
            'validatorUrl': None,  # by default the page sends the address of the document to a public validator
            'oauth2RedirectUrl': '/docs/oauth2-redirect.html',
        },
    )
    return docs


def _respond(health: Health, is_good: bool) -> Response:
    response = Response(dump(health.to_json(is_good)), status=200 if is_good else 503, mimetype='application/json')
    response.headers['cache-control'] = 'no-store'
    return response
