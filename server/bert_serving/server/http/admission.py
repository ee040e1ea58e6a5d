"""Request admission for every route: API keys, CORS, limits on the body, and request ids."""

from __future__ import annotations

import re
import uuid

from flask import Flask, Response, g, request
from flask_cors import CORS

from ..protocol.unicode import keeps_ascii
from ..security.principals import Principal
from .authentication import Authenticator
from .config import HttpConfig
from .errors import HTTPError
from .requests import MAX_FIELDS
from .routes import encodes, grants_of, is_open, label_of

REFUSAL = 'bert_serving.refusal'
"""The key in the WSGI environment of the `HTTPError` with which the dispatcher has refused the request, if it has."""

PRINCIPAL = 'bert_serving.principal'
"""The key in the WSGI environment of the principal of a request that the dispatcher has admitted."""

HOLDING = 'bert_serving.holding'
"""The key in the WSGI environment of the connection's `Holding`."""

_REQUEST_ID = re.compile(r'[\x21-\x7e]{1,128}')


def install(app: Flask, config: HttpConfig, authenticator: Authenticator) -> None:
    """Check every request of `app` before its route, and complete the headers of every response."""
    CORS(
        app,
        origins=[_exactly(origin) for origin in config.origins],
        methods=['GET', 'POST', 'OPTIONS'],
        allow_headers='*',  # clients send their own headers: OpenAI's sends x-stainless-...
        expose_headers=[
            'x-request-id',
            'retry-after',
            'x-inference-time',
            'x-should-retry',
            'x-dtype',
            'x-shape',
            'x-lengths',
            'x-truncated-rows',
        ],
        max_age=600,
        send_wildcard='*' in config.origins,
    )
    app.config['MAX_CONTENT_LENGTH'] = config.max_body
    app.config['MAX_FORM_MEMORY_SIZE'] = config.max_body
    app.config['MAX_FORM_PARTS'] = MAX_FIELDS

    @app.before_request
    def _check_request() -> None:
        g.request_id = request_id_of(request.headers.get('x-request-id'))
        refusal: HTTPError | None = request.environ.get(REFUSAL)
        if refusal is not None:
            raise refusal
        if request.method == 'OPTIONS':
            return  # the preflight request of a browser, which has no key
        rule = request.url_rule
        if rule is None:
            return  # 404: which routes exist is no secret
        if not is_open(request.method, label_of(rule.rule)):
            g.principal = request.environ.get(PRINCIPAL) or _admit(label_of(rule.rule))
        if encodes(request.method, request.path):
            _check_coding()

    def _admit(label: str) -> Principal:
        return authenticator.admit(
            request.headers.get('authorization'),
            request.remote_addr or '',
            grants_of(request.method, label),
            request.environ.get(HOLDING),
        )

    @app.after_request
    def _complete_headers(response: Response) -> Response:
        response.headers['x-request-id'] = g.get('request_id') or request_id_of(None)
        if response.status_code == 401:
            response.headers['www-authenticate'] = 'Bearer'
        return response


def _check_coding() -> None:
    """Refuse a body that is compressed, or whose character set could pass for other text in UTF-8."""
    is_compressed = request.headers.get('content-encoding', 'identity') != 'identity'
    if is_compressed:
        raise HTTPError('UnsupportedMediaType', 'the body is compressed: send it uncompressed')
    charset = request.mimetype_params.get('charset', 'utf-8').lower()
    if not charset.startswith(('utf-8', 'utf-16', 'utf-32')) and not keeps_ascii(charset):
        raise HTTPError('UnsupportedMediaType', 'the body must be UTF-8, not what its charset says')


def _exactly(origin: str) -> str | re.Pattern[str]:
    """Escape an origin for Flask-CORS, which would take the brackets of an IPv6 address for a regular expression."""
    return origin if origin == '*' else re.compile(re.escape(origin) + r'\Z', re.IGNORECASE)


def request_id_of(given: str | None) -> str:
    """Return the client's request id if it is safe in a header and in a log line, otherwise a new one."""
    if given is not None and _REQUEST_ID.fullmatch(given):
        return given
    return uuid.uuid4().hex
