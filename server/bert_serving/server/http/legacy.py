"""The routes of 1.10: `/encode`, `/status/server`, `/status/client`; and `/tokenize`, which is ours and looks like them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flask import Blueprint, Response, request
from flask_json import json_response

from .backend import Backend
from .backend_call import BackendCall
from .errors import HTTPError
from .requests import EncodeQuery, check_fields, read_encode, read_encode_form, read_object, read_tokenize
from .responses import encode_answer, tokenize_answer

_FORMS = ('application/x-www-form-urlencoded', 'multipart/form-data')


def make_blueprint(backend: Backend) -> Blueprint:
    """The routes, answered by `backend`."""
    routes = Blueprint('legacy', __name__)

    @routes.post('/encode')
    def encode() -> Response:
        query = read_query()
        with BackendCall.of_request() as call:
            encoding = backend.encode(query.rows, call.deadline, call.is_gone, query.show_tokens)
        call.note(encoding)
        body = encode_answer(query.id, encoding.array, encoding.tokens, query.show_tokens)
        return Response(body, mimetype='application/json')

    @routes.post('/tokenize')
    def tokenize() -> Response:
        query = read_tokenize(read_body())
        with BackendCall.of_request() as call:
            encoding = backend.tokenize(query.rows, call.deadline, call.is_gone)
        call.note(encoding)
        body = tokenize_answer(encoding.array, encoding.tokens, encoding.counts or ())
        return Response(body, mimetype='application/json')

    @routes.get('/status/server')
    def status_of_server() -> Response:
        report = backend.report(max_age_s=0)
        if not report.is_fresh or report.status is None:
            raise HTTPError('Unavailable', 'the server behind does not answer')
        return _with_status(report.status)

    @routes.get('/status/client')
    def status_of_client() -> Response:
        return _with_status(backend.client_status())

    return routes


def _with_status(value: Mapping[str, Any]) -> Response:
    """The object with `"status": 200` in it, which Flask-JSON adds and 1.10 had."""
    response: Response = json_response(data_=dict(value))
    return response


def read_query() -> EncodeQuery:
    """The query of `/encode`, from a form if it is one.

    What begins like a JSON object is none, though curl and urllib say so of whatever they are not told otherwise of.
    """
    is_form = request.mimetype in _FORMS and not request.get_data().lstrip().startswith(b'{')
    if not is_form:
        return read_encode(read_body())
    if request.mimetype == _FORMS[0]:
        check_fields(request.get_data())  # Flask bounds the parts of the other kind only
    return read_encode_form(request.form.to_dict(flat=False))


def read_body() -> dict[str, Any]:
    """The JSON object of the request, whatever its content type says: 1.10's users send it with and without one."""
    return read_object(request.get_data())
