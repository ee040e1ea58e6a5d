"""The routes that rank documents by a query, in TEI's format and in Cohere's and Jina's format."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Response, g, request

from . import cohere_bodies, tei_bodies
from .backend_call import BackendCall
from .catalog import Catalog
from .ranking import rank
from .replies import reply_json
from .requests import read_object


def make_blueprint(catalog: Catalog) -> Blueprint:
    """Make the routes, which call the servers of `catalog`."""
    routes = Blueprint('rerank', __name__)

    @routes.post('/rerank')
    def either() -> Response:
        return rerank(catalog, read_object(request.get_data()))

    @routes.post('/v1/rerank')
    def version_1() -> Response:
        return _rerank_as_cohere(catalog, read_object(request.get_data()), '1')

    @routes.post('/v2/rerank')
    def version_2() -> Response:
        return _rerank_as_cohere(catalog, read_object(request.get_data()), '2')

    return routes


def rerank(catalog: Catalog, data: dict[str, Any]) -> Response:
    """Respond in the format of the request: Cohere's and Jina's if it has `documents`, otherwise TEI's."""
    if 'documents' in data:
        g.family = 'cohere'
        return _rerank_as_cohere(catalog, data, '1')
    query = tei_bodies.read_rerank(data)
    served = catalog.find(catalog.requested(data), 'rerank')
    served.card.check_reranks()
    with BackendCall.for_request() as call:
        encoding = call.record(served.backend.predict(query.rows, call.deadline, call.is_gone, query.options))
    return reply_json(tei_bodies.rank_body(rank(encoding.array, query.top_n), query))


def _rerank_as_cohere(catalog: Catalog, data: dict[str, Any], version: str) -> Response:
    query = cohere_bodies.read_rerank(data)
    served = catalog.find(query.model, 'rerank')
    model = served.card.check_name(query.model)
    served.card.check_reranks()
    with BackendCall.for_request() as call:
        encoding = call.record(served.backend.predict(query.rows, call.deadline, call.is_gone, query.options))
    ranking = rank(encoding.array, query.top_n)
    return reply_json(
        cohere_bodies.rank_body(ranking, query, model, call.tokens, g.request_id, version, encoding.truncated)
    )
