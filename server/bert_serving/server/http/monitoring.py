"""What those ask who run the server: health, metrics, and the documentation of the routes with a page to try them."""

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
    """The routes; `has_keys`: whether the document is to ask for a key."""
    routes = Blueprint('operation', __name__)
    document = dump(make_document(has_keys))

    def health_now() -> Health:
        return judge(backend.report(), is_draining())

    @routes.get('/health')
    @routes.get('/health/ready', endpoint='ready')
    def health() -> Response:
        now = health_now()
        return answer(now, now.is_ready)

    @routes.get('/health/live')
    def live() -> Response:
        now = health_now()
        return answer(now, now.is_live)

    @routes.get('/metrics')
    def show_metrics() -> Response:
        return Response(metrics.page(), content_type=CONTENT_TYPE)

    @routes.get('/openapi.json')
    def openapi() -> Response:
        return Response(document, mimetype='application/json')

    return routes


def make_docs_blueprint() -> Blueprint:
    """Swagger UI under `/docs`, its files served from here."""
    docs: Blueprint = get_swaggerui_blueprint(
        '/docs',
        '/openapi.json',
        config={
            'app_name': 'bert-as-service',
            'validatorUrl': None,  # or the page would send the document's address to somebody else
            'oauth2RedirectUrl': '/docs/oauth2-redirect.html',
        },
    )
    return docs


def answer(health: Health, is_good: bool) -> Response:
    response = Response(dump(health.to_json(is_good)), status=200 if is_good else 503, mimetype='application/json')
    response.headers['cache-control'] = 'no-store'
    return response
