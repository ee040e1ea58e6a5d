"""OpenAI's API, as far as a model of embeddings has one: `/v1/embeddings`, `/v1/models`."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from flask import Blueprint, Response

from .backend import Backend, Encoding
from .backend_call import BackendCall
from .errors import HTTPError
from .health import model_names
from .legacy import read_body
from .requests import read_embeddings
from .responses import dump, embeddings_answer

KNOWN_AGE_S = 5.0
"""How old a status may be that tells which model is served; with requests all the time, it is a second old."""


def make_blueprint(backend: Backend, names: tuple[str, ...]) -> Blueprint:
    """The routes, answered by `backend`; `names` are those of the model, () for that of its folder."""
    routes = Blueprint('openai', __name__)

    def served(asked: str | None = None) -> tuple[Mapping[str, Any], tuple[str, ...]]:
        """The status and the names of the model; asked for again if there is none yet, or none that is called so."""
        status = backend.report(KNOWN_AGE_S).status
        if status is None or (asked is not None and asked not in model_names(status, names)):
            status = backend.report().status
        if status is None:
            raise HTTPError('Unavailable', 'the server behind has not answered yet: try again later')
        return status, model_names(status, names)

    @routes.post('/v1/embeddings')
    def embeddings() -> Response:
        query = read_embeddings(read_body())
        known = names or served(query.model)[1]
        model = check_model(query.model, known)
        with BackendCall.of_request() as call:
            encoding = backend.encode(query.rows, call.deadline, call.is_gone)
        call.note(encoding)
        counts = counts_of(encoding)
        body = embeddings_answer(encoding.array, counts, model, query.encoding_format, query.dimensions)
        response = Response(body, mimetype='application/json')
        if query.encoding_format == 'base64':
            response.headers['cache-control'] = 'no-transform'  # its bits are as good as random: see `app`
        return response

    @routes.get('/v1/models')
    def models() -> Response:
        status, known = served()
        return answer({'object': 'list', 'data': [describe(name, status) for name in known]})

    @routes.get('/v1/models/<path:model>')
    def one_model(model: str) -> Response:
        status, known = served(model)
        return answer(describe(check_model(model, known), status))

    return routes


def check_model(asked: str | None, known: tuple[str, ...]) -> str:
    """The name under which to answer; the first, if none was asked for."""
    if asked is None:
        return known[0]
    if asked not in known:
        raise HTTPError(
            'ModelNotFound', 'the model %r is not served here: there is %s' % (asked[:100], ', '.join(known)), 'model'
        )
    return asked


def counts_of(encoding: Encoding) -> list[int]:
    """Tokens of each row as the model saw them; they are never guessed."""
    if encoding.counts is not None:
        return list(encoding.counts)
    if isinstance(encoding.tokens, str):
        raise HTTPError('NotImplemented', 'the server behind does not count tokens: it is of release 1.10; use /encode')
    return [len(row) for row in encoding.tokens]


def describe(name: str, status: Mapping[str, Any]) -> dict[str, Any]:
    """A model as OpenAI's API shows one."""
    return {'id': name, 'object': 'model', 'created': started_at(status), 'owned_by': 'bert-as-service'}


def started_at(status: Mapping[str, Any]) -> int:
    """When the server was started, in seconds since 1970; 0 if its status does not tell."""
    try:
        return int(datetime.fromisoformat(str(status.get('server_start_time'))).timestamp())
    except ValueError:
        return 0


def answer(value: dict[str, Any]) -> Response:
    return Response(dump(value), mimetype='application/json')
