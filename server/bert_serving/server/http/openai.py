"""OpenAI's API for embedding models: `/v1/embeddings` and `/v1/models`."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Response, request

from .backend import Encoding
from .backend_call import BackendCall
from .catalog import Catalog
from .errors import HTTPError
from .model_card import ModelCard
from .openai_bodies import as_asked, embeddings_body, read_embeddings
from .replies import reply_array, reply_json
from .requests import check_form, read_object
from .responses import dump


def make_blueprint(catalog: Catalog, token_ids: bool) -> Blueprint:
    """Make the routes, which call the servers of `catalog`."""
    routes = Blueprint('openai', __name__)

    @routes.post('/v1/embeddings')
    def embeddings() -> Response:
        query = read_embeddings(read_object(request.get_data()))
        check_form(query.rows, token_ids, 'input')
        served = catalog.find(query.model)
        card = served.card
        model = card.check_name(query.model)
        card.check_pools()
        options = card.with_prompt_for(query.options, query.input_type)
        with BackendCall.for_request() as call:
            encoding = call.record(served.backend.encode(query.rows, call.deadline, call.is_gone, options=options))
        counts = token_counts(encoding)
        vectors = as_asked(encoding.array, options)
        response = reply_array(
            vectors, lambda: embeddings_body(vectors, counts, model, query.encoding_format, encoding.truncated)
        )
        if query.encoding_format == 'base64':
            response.headers['cache-control'] = 'no-transform'  # not worth compressing; `app` checks this header
        return response

    @routes.get('/v1/models')
    def models() -> Response:
        data = [describe_model(name, card) for card in catalog.cards() for name in card.names]
        return reply_json(dump({'object': 'list', 'data': data}))

    @routes.get('/v1/models/<path:model>')
    def one_model(model: str) -> Response:
        card = catalog.find(model).card
        return reply_json(dump(describe_model(card.check_name(model), card)))

    return routes


def token_counts(encoding: Encoding) -> list[int]:
    """The exact number of tokens that the model got for each row."""
    if encoding.counts is not None:
        return list(encoding.counts)
    if isinstance(encoding.tokens, str):
        message = 'the server has release 1.10, which does not count tokens: use /encode'
        raise HTTPError('NotImplemented', message)
    return [len(row) for row in encoding.tokens]


def describe_model(name: str, card: ModelCard) -> dict[str, Any]:
    """The model object of OpenAI's API."""
    return {'id': name, 'object': 'model', 'created': card.started_at, 'owned_by': 'bert-as-service'}
