"""The routes between texts and ids: `/tokenize`, in our format and in TEI's, and `/decode`."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Response, g, request

from . import tei_bodies
from .backend_call import BackendCall
from .catalog import Catalog
from .replies import reply_json
from .requests import read_object, read_tokenize
from .responses import tokenize_body


def make_blueprint(catalog: Catalog) -> Blueprint:
    """Make the routes, which call the servers of `catalog`."""
    routes = Blueprint('tokens', __name__)

    @routes.post('/tokenize')
    def tokenize() -> Response:
        data = read_object(request.get_data())
        if 'inputs' in data:
            g.family = 'tei'
            return _tokenize_as_tei(data)
        query = read_tokenize(data)
        backend = catalog.backend_of(catalog.requested(data))
        with BackendCall.for_request() as call:
            encoding = call.record(backend.tokenize(query.rows, call.deadline, call.is_gone))
        return reply_json(
            tokenize_body(encoding.array, encoding.tokens, encoding.counts or (), truncated=encoding.truncated)
        )

    @routes.post('/decode')
    def decode() -> Response:
        data = read_object(request.get_data())
        query = tei_bodies.read_decode(data)
        backend = catalog.backend_of(catalog.requested(data))
        with BackendCall.for_request() as call:
            texts = backend.decode(query.rows, call.deadline, call.is_gone, query.options)
        return reply_json(tei_bodies.decode_body(texts))

    def _tokenize_as_tei(data: dict[str, Any]) -> Response:
        query = tei_bodies.read_tokenize(data)
        backend = catalog.backend_of(catalog.requested(data))
        with BackendCall.for_request() as call:
            encoding = call.record(backend.tokenize(query.rows, call.deadline, call.is_gone, query.options))
        has_special = bool(query.options.special_tokens)
        counts = encoding.counts or ()
        return reply_json(tei_bodies.tokenize_body(encoding.array, encoding.tokens, counts, has_special))

    return routes
