"""The part of OpenAI's API that an embedding model has: `/v1/embeddings` and `/v1/models`."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from flask import Blueprint, Response, request

from .backend import Backend, Encoding
from .backend_call import BackendCall
from .errors import HTTPError
from .requests import check_form, read_embeddings, read_object
from .responses import dump, embeddings_body

KNOWN_AGE_S = 5.0
"""Age in seconds of a status that may still tell the name of the model; under steady load it is one second old."""


def make_blueprint(backend: Backend, given_names: tuple[str, ...], token_ids: bool) -> Blueprint:
    """The routes, which call `backend`; `given_names` are the names of the model, () for its own."""
    routes = Blueprint('openai', __name__)

    def served(model: str | None = None) -> tuple[Mapping[str, Any], tuple[str, ...]]:
        """The status and the names of the model; asks the server again if the status is missing or lacks `model`."""
        status = backend.server_status(KNOWN_AGE_S).status
        if status is None or (model is not None and model not in model_names(status, given_names)):
            status = backend.server_status().status
        if status is None:
            raise HTTPError('Unavailable', 'the server has not responded yet: retry later')
        return status, model_names(status, given_names)

    @routes.post('/v1/embeddings')
    def embeddings() -> Response:
        query = read_embeddings(read_object(request.get_data()))
        check_form(query.rows, token_ids, 'input')
        known = given_names or served(query.model)[1]
        model = check_model(query.model, known)
        with BackendCall.for_request() as call:
            encoding = backend.encode(query.rows, call.deadline, call.is_gone)
        call.record(encoding)
        counts = token_counts(encoding)
        body = embeddings_body(encoding.array, counts, model, query.encoding_format, query.dimensions)
        response = Response(body, mimetype='application/json')
        if query.encoding_format == 'base64':
            response.headers['cache-control'] = 'no-transform'  # not worth compressing: `app` heeds this
        return response

    @routes.get('/v1/models')
    def models() -> Response:
        status, known = served()
        return _respond({'object': 'list', 'data': [describe_model(name, status) for name in known]})

    @routes.get('/v1/models/<path:model>')
    def one_model(model: str) -> Response:
        status, known = served(model)
        return _respond(describe_model(check_model(model, known), status))

    return routes


def model_names(status: Mapping[str, Any] | None, given: tuple[str, ...]) -> tuple[str, ...]:
    """The names of the model: those that were `given`, else its own name; () if it is not known yet.

    A server of an earlier release tells only the folder. If that is called `model`, as in Python packages, the name is
    that of its parent.
    """
    if given or status is None:
        return given
    model = status.get('model')
    if isinstance(model, Mapping) and model.get('name'):
        return (str(model['name']),)
    folders = [folder for folder in str(status.get('model_dir') or '').split('/') if folder not in ('', 'model')]
    return (folders[-1] if folders else 'bert',)


def check_model(requested: str | None, known: tuple[str, ...]) -> str:
    """The name of the model in the response: the requested one, else the first of `known`."""
    if requested is None:
        return known[0]
    if requested not in known:
        message = 'the model %r is not served here: there is %s' % (requested[:100], ', '.join(known))
        raise HTTPError('ModelNotFound', message, 'model')
    return requested


def token_counts(encoding: Encoding) -> list[int]:
    """The number of tokens of each row, as the model saw them; never an estimate."""
    if encoding.counts is not None:
        return list(encoding.counts)
    if isinstance(encoding.tokens, str):
        message = 'the server is of release 1.10, which does not count tokens: use /encode'
        raise HTTPError('NotImplemented', message)
    return [len(row) for row in encoding.tokens]


def describe_model(name: str, status: Mapping[str, Any]) -> dict[str, Any]:
    """The model object of OpenAI's API."""
    return {'id': name, 'object': 'model', 'created': started_at(status), 'owned_by': 'bert-as-service'}


def started_at(status: Mapping[str, Any]) -> int:
    """The time of the server's start, in seconds since 1970; 0 if its status does not contain it."""
    try:
        return int(datetime.fromisoformat(str(status.get('server_start_time'))).timestamp())
    except ValueError:
        return 0


def _respond(value: dict[str, Any]) -> Response:
    return Response(dump(value), mimetype='application/json')
