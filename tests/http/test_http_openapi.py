"""The document describes the routes, and no request made from it, valid or not, ends in an internal error."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from flask.testing import FlaskClient
from hypothesis import HealthCheck, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from bert_serving.server.http.app import create_app
from bert_serving.server.http.config import HttpConfig
from bert_serving.server.http.openapi import make_document
from bert_serving.server.http.routes import ROUTES
from support.fake_backend import STATUS, FakeBackend, classifier
from support.processes import fake_server

pytestmark = pytest.mark.slow


def test_the_document_has_the_routes_of_the_app_and_no_others(backend: FakeBackend) -> None:
    found = {
        (method, re.sub(r'<path:model>', '{id}', rule.rule))
        for rule in create_app(backend).url_map.iter_rules()
        for method in (rule.methods or set()) - {'HEAD', 'OPTIONS'}
        if not rule.rule.startswith('/docs/<')
    }
    document = make_document(has_keys=False)
    written = {(method.upper(), path) for path, item in document['paths'].items() for method in item}
    assert found == written == {(r.method, r.path) for r in ROUTES}


def test_the_document_is_served(backend: FakeBackend, http: FlaskClient) -> None:
    assert http.get('/openapi.json').json == make_document(has_keys=False)
    guarded = create_app(backend, HttpConfig(api_keys=('key',))).test_client()
    document = guarded.get('/openapi.json').json
    assert document is not None
    assert document['paths']['/encode']['post']['security'] == [{'key': []}]
    assert 'security' not in document['paths']['/health']['get']


STATUSES: dict[str, Any] = {
    'encoder': STATUS,
    'tokens': {**STATUS, 'model': {**STATUS['model'], 'pooling': 'NONE'}},
    'classifier': classifier('no', 'yes'),
    'reranker': classifier('score'),
}


def test_the_examples_of_the_document_are_answered(backend: FakeBackend) -> None:
    """Each example of a request in the document is answered as it says, by a server of some kind of model."""
    http = create_app(backend).test_client()
    document = make_document(has_keys=False)
    for path, item in document['paths'].items():
        if 'post' in item:
            schema = item['post']['requestBody']['content']['application/json']['schema']
            for reference in schema.get('anyOf', [schema]):
                example = document['components']['schemas'][reference['$ref'].rpartition('/')[2]]['example']
                statuses = []
                for backend.status in STATUSES.values():
                    statuses.append(http.post(path, json=example).status_code)
                assert 200 in statuses, (path, example)


_schema = schemathesis.openapi.from_wsgi('/openapi.json', create_app(FakeBackend()))
_CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]


@_schema.parametrize()
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
def test_requests_made_from_the_document_end_as_it_says(case: schemathesis.Case) -> None:
    case.call_and_validate(checks=_CHECKS, headers={'accept-encoding': 'identity'})


def test_requests_to_servers_of_other_models_end_as_it_says() -> None:
    """Each request goes to a server of each kind, because it takes longer to make one than to answer it."""
    backend = FakeBackend()
    schema = schemathesis.openapi.from_wsgi('/openapi.json', create_app(backend))
    for operation in schema.get_all_operations():
        if operation.ok().method.upper() != 'POST':
            continue

        @given(case=operation.ok().as_strategy())
        @settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
        def check(case: schemathesis.Case) -> None:
            for kind in ('tokens', 'classifier', 'reranker'):
                backend.status = STATUSES[kind]
                case.call_and_validate(checks=_CHECKS, headers={'accept-encoding': 'identity'})

        check()


@pytest.fixture(scope='module')
def live_document() -> Iterator[schemathesis.BaseSchema]:
    """The document of a whole server with fake workers."""
    with fake_server('-http_host', '127.0.0.1', '-http_port', '0') as server:
        port = server.wait_until_ready().http_port
        yield schemathesis.openapi.from_url('http://127.0.0.1:%d/openapi.json' % port)
        assert 'Traceback' not in server.log


def test_a_whole_server_answers_them_likewise(live_document: schemathesis.BaseSchema) -> None:
    for operation in live_document.get_all_operations():

        @given(case=operation.ok().as_strategy())
        @settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))
        def check(case: schemathesis.Case) -> None:
            case.call_and_validate(checks=_CHECKS)

        check()


@pytest.mark.parametrize('path', [route.path for route in ROUTES if route.encodes])
@pytest.mark.parametrize(
    'body', [b'', b'[]', b'{}', b'null', b'{"input": {}}', b'\x00', b'{"texts": [null], "id": 1}', b'9' * 400]
)
def test_no_body_causes_an_internal_error(http: FlaskClient, path: str, body: bytes) -> None:
    for content_type in (
        'application/json',
        'application/x-www-form-urlencoded',
        'multipart/form-data',
        'text/plain',
        '',
    ):
        assert http.post(path, data=body, content_type=content_type).status_code in (400, 413, 422)
