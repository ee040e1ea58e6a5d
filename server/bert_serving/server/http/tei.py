"""The routes of text-embeddings-inference (TEI), except `/rerank` and `/tokenize`, which other APIs share."""

from __future__ import annotations

from typing import Any

import numpy as np
from flask import Blueprint, Response, request

from .backend_call import BackendCall
from .catalog import Catalog
from .openai_bodies import as_asked
from .replies import reply_array, reply_json
from .requests import check_form, read_object
from .rerank import rerank
from .responses import little_endian
from .tei_bodies import (
    embed_all_body,
    embed_body,
    info_body,
    predict_body,
    read_embed,
    read_embed_all,
    read_predict,
    read_similarity,
    similarity_body,
)


def make_blueprint(catalog: Catalog, token_ids: bool, max_requests: int) -> Blueprint:
    """Make the routes, which call the servers of `catalog`. `max_requests` is the number that can be served or wait."""
    routes = Blueprint('tei', __name__)

    @routes.post('/embed')
    def embed() -> Response:
        return _embed(read_object(request.get_data()))

    @routes.post('/')
    def root() -> Response:
        """Serve the task of the model, as TEI does."""
        data = read_object(request.get_data())
        if 'query' in data:
            return rerank(catalog, data)
        embeds = catalog.find(catalog.requested(data)).card.does('embed')
        return _embed(data) if embeds else _predict(data)

    @routes.post('/embed_all')
    def embed_all() -> Response:
        data = read_object(request.get_data())
        query = read_embed_all(data)
        check_form(query.rows, token_ids, 'inputs')
        served = catalog.find(catalog.requested(data))
        served.card.check_does_not_pool()
        with BackendCall.for_request() as call:
            encoding = call.record(
                served.backend.encode(query.rows, call.deadline, call.is_gone, options=query.options)
            )
        counts = list(encoding.counts or ())
        states = little_endian(encoding.array)
        return reply_array(states, lambda: embed_all_body(states, counts), counts)

    @routes.post('/similarity')
    def similarity() -> Response:
        data = read_object(request.get_data())
        query = read_similarity(data)
        served = catalog.find(catalog.requested(data))
        served.card.check_pools()
        with BackendCall.for_request() as call:
            encoding = call.record(
                served.backend.encode(query.rows, call.deadline, call.is_gone, options=query.options)
            )
        return reply_json(similarity_body(as_asked(encoding.array, query.options)))

    @routes.post('/predict')
    def predict() -> Response:
        return _predict(read_object(request.get_data()))

    @routes.get('/info')
    def info() -> Response:
        served = catalog.find(request.args.get('model'))
        return reply_json(info_body(served.card, served.backend.server_status().status or {}, max_requests))

    def _embed(data: dict[str, Any]) -> Response:
        query = read_embed(data)
        check_form(query.rows, token_ids, 'inputs')
        served = catalog.find(catalog.requested(data))
        served.card.check_pools()
        with BackendCall.for_request() as call:
            encoding = call.record(
                served.backend.encode(query.rows, call.deadline, call.is_gone, options=query.options)
            )
        vectors = as_asked(encoding.array, query.options)
        return reply_array(vectors, lambda: embed_body(vectors))

    def _predict(data: dict[str, Any]) -> Response:
        query = read_predict(data)
        served = catalog.find(catalog.requested(data), 'predict')
        card = served.card
        card.check_predicts()
        is_pair = np.array(query.is_pair)
        scores = np.empty((len(is_pair), len(card.labels)), np.float32)  # [B, L]
        with BackendCall.for_request() as call:
            for of_pairs in sorted(set(query.is_pair)):  # the server needs separate requests for them
                encoding = served.backend.predict(query.rows(of_pairs), call.deadline, call.is_gone, query.options)
                places = np.flatnonzero(is_pair == of_pairs)
                scores[places] = call.record(encoding, places.tolist()).array.reshape(-1, len(card.labels))
        return reply_json(predict_body(scores, card.labels, query.is_single))

    return routes
