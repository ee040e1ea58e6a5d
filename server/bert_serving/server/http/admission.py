"""Request admission: API keys, CORS, limits on the body and request ids, for every route.

A key is never logged, nor repeated in a response.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import uuid
from collections.abc import Callable, Sequence

from flask import Flask, Response, g, request
from flask_cors import CORS

from ..protocol.unicode import keeps_ascii
from .config import HttpConfig
from .errors import HTTPError, make_refusal
from .requests import MAX_FIELDS
from .routes import encodes, is_open, label_of

REFUSAL = 'bert_serving.refusal'
"""In the WSGI environment: the `HTTPError` with which the dispatcher has refused the request; absent otherwise."""

_REQUEST_ID = re.compile(r'[\x21-\x7e]{1,128}')


def install(app: Flask, config: HttpConfig) -> None:
    """Check every request of `app` before its route, and complete the headers of every response."""
    CORS(
        app,
        origins=[_exactly(origin) for origin in config.origins],
        methods=['GET', 'POST', 'OPTIONS'],
        allow_headers='*',  # clients have headers of their own: OpenAI's sends x-stainless-...
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
    admits = make_key_check(config.api_keys)

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
        if not is_open(request.method, label_of(rule.rule)) and not admits(request.headers.get('authorization')):
            raise make_refusal('Unauthorized')
        if encodes(request.method, request.path):
            _check_coding()

    @app.after_request
    def _complete_headers(response: Response) -> Response:
        response.headers['x-request-id'] = g.get('request_id') or request_id_of(None)
        if response.status_code == 401:
            response.headers['www-authenticate'] = 'Bearer'
        return response


def _check_coding() -> None:
    """Refuse a body that is compressed, or in a character set that could pass for other text in UTF-8."""
    is_compressed = request.headers.get('content-encoding', 'identity') != 'identity'
    if is_compressed:
        raise HTTPError('UnsupportedMediaType', 'the body must not be compressed')
    charset = request.mimetype_params.get('charset', 'utf-8').lower()
    if not charset.startswith(('utf-8', 'utf-16', 'utf-32')) and not keeps_ascii(charset):
        raise HTTPError('UnsupportedMediaType', 'the body must be UTF-8, not what its charset says')


def _exactly(origin: str) -> str | re.Pattern[str]:
    """An origin for Flask-CORS, which would read an IPv6 address, with its brackets, as a regular expression."""
    return origin if origin == '*' else re.compile(re.escape(origin) + r'\Z', re.IGNORECASE)


def request_id_of(given: str | None) -> str:
    """The client's request id if it is safe in a header and in a log line, else a new one."""
    if given is not None and _REQUEST_ID.fullmatch(given):
        return given
    return uuid.uuid4().hex


def make_key_check(keys: Sequence[str]) -> Callable[[str | None], bool]:
    """A function that checks an `Authorization` header against `keys`; without keys, it admits every request.

    Its duration reveals nothing about a key: it compares digests, and always all of them.
    """
    digests = [_digest(key) for key in keys]

    def admits(header: str | None) -> bool:
        if not digests:
            return True
        scheme, _, key = (header or '').partition(' ')
        given = _digest(key.strip())
        matches = [hmac.compare_digest(given, digest) for digest in digests]
        return any(matches) and scheme.lower() == 'bearer'

    return admits


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode('utf-8', 'surrogateescape')).digest()
