"""The routes of 1.10: `/encode`, `/status/server` and `/status/client`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from flask import Blueprint, Response, request
from flask_json import json_response

from ..addresses import is_loopback
from ..protocol.status_view import view_of_stranger
from .backend_call import BackendCall
from .catalog import Catalog
from .errors import HTTPError
from .replies import reply_json
from .requests import (
    EncodeQuery,
    check_fields,
    check_form,
    check_values,
    read_encode,
    read_encode_form,
    read_object,
    read_utf8,
)
from .responses import encode_body

_FORMS = ('application/x-www-form-urlencoded', 'multipart/form-data')


FORWARDED = ('forwarded', 'x-forwarded-for', 'via')
"""Headers that show that the request came through another proxy."""


def make_blueprint(catalog: Catalog, token_ids: bool, has_keys: Callable[[], bool]) -> Blueprint:
    """Make the routes, which call the servers of `catalog`. If there are keys, every request here has a valid one."""
    routes = Blueprint('legacy', __name__)

    @routes.post('/encode')
    def encode() -> Response:
        query = _read_encode_query()
        check_form(query.rows, token_ids, 'texts')
        with BackendCall.for_request() as call:
            encoding = catalog.backend_of().encode(query.rows, call.deadline, call.is_gone, query.show_tokens)
        call.record(encoding)
        return reply_json(encode_body(query.id, encoding.array, encoding.tokens, query.show_tokens))

    @routes.get('/status/server')
    def server_status() -> Response:
        snapshot = catalog.first.server_status(max_age_s=0)
        if not snapshot.is_fresh or snapshot.status is None:
            raise HTTPError('Unavailable', 'the server does not respond: retry later')
        upstreams = catalog.describe_upstreams()
        status = {**snapshot.status, 'upstreams': upstreams} if upstreams else snapshot.status
        return _with_status(status if has_keys() or _is_local() else view_of_stranger(status))

    @routes.get('/status/client')
    def client_status() -> Response:
        status = catalog.first.client_status()
        if not has_keys() and not _is_local() and 'identity' in status:
            status = {**status, 'identity': '***'}  # anyone who knows it can read the server's replies to this proxy
        return _with_status(status)

    return routes


def _is_local() -> bool:
    """Whether the client is on this machine and did not come through a proxy."""
    return is_loopback(request.remote_addr or '') and not any(name in request.headers for name in FORWARDED)


def _with_status(value: Mapping[str, Any]) -> Response:
    """Add `"status": 200` to an object, as Flask-JSON did in 1.10."""
    response: Response = json_response(data_=dict(value))
    return response


def _read_encode_query() -> EncodeQuery:
    """Parse the query of `/encode`, from a form or from JSON.

    A body that begins like a JSON object counts as JSON, even if it is declared as a form, as curl and urllib do by
    default.
    """
    body = request.get_data()
    if request.mimetype not in _FORMS or read_utf8(body).lstrip().startswith(b'{'):
        return read_encode(read_object(body))
    if request.mimetype == _FORMS[0]:
        check_fields(body)  # Flask limits the fields of multipart forms only
    fields = request.form.to_dict(flat=False)
    check_values(fields, body)
    return read_encode_form(fields)
