"""A text that was cut is told: in a header of every route that encodes, and in a field where its API has room."""

from __future__ import annotations

import json
from typing import Any

import pytest
from flask.testing import FlaskClient

from bert_serving.server.http.responses import MAX_LISTED
from bert_serving.server.http.routes import ROUTES
from support.fake_backend import STATUS, FakeBackend, classifier

LONG = 'word ' * 60
SCORES = classifier('fits')
TOKEN_LEVEL = {**STATUS, 'model': {**STATUS['model'], 'pooling': 'NONE'}}

REQUESTS: dict[str, tuple[Any, Any, list[int]]] = {
    '/encode': (STATUS, {'id': 1, 'texts': ['a', LONG, 'b', LONG]}, [1, 3]),
    '/tokenize': (STATUS, {'texts': [LONG, 'a']}, [0]),
    '/v1/embeddings': (STATUS, {'input': ['a', LONG]}, [1]),
    '/embed': (STATUS, {'inputs': [LONG, 'a', LONG]}, [0, 2]),
    '/': (STATUS, {'inputs': LONG}, [0]),
    '/embed_all': (TOKEN_LEVEL, {'inputs': ['a', LONG]}, [1]),
    '/similarity': (STATUS, {'inputs': {'source_sentence': 'a', 'sentences': ['b', LONG]}}, [2]),
    '/predict': (SCORES, {'inputs': [[LONG], ['a', 'b'], ['c'], ['d', LONG], [LONG]]}, [0, 3, 4]),
    '/rerank': (SCORES, {'query': 'a', 'texts': ['b', LONG]}, [1]),
    '/v1/rerank': (SCORES, {'query': 'a', 'documents': [LONG, 'b']}, [0]),
    '/v2/rerank': (SCORES, {'query': 'a', 'documents': ['b', LONG]}, [1]),
}
"""Of each route: the status of its server, a request, and the elements that are cut."""

WITH_FIELD = {'/tokenize', '/v1/embeddings', '/v1/rerank', '/v2/rerank'}
"""The routes whose APIs have room for a field."""


def shortened(value: Any) -> Any:
    """The request without a text that is too long."""
    return json.loads(json.dumps(value).replace(LONG, 'short'))


def test_every_route_that_returns_what_was_computed_of_a_text_is_here() -> None:
    assert {route.path for route in ROUTES if route.encodes} - {'/decode'} == set(REQUESTS)


@pytest.mark.parametrize('path', REQUESTS)
def test_the_rows_that_were_cut_are_in_a_header_and_in_a_field_where_there_is_room(
    http: FlaskClient, backend: FakeBackend, path: str
) -> None:
    backend.status, request, truncated = REQUESTS[path]
    answer = http.post(path, json=request)
    assert answer.status_code == 200
    assert answer.headers['x-truncated-rows'] == ','.join(map(str, truncated))
    assert ('truncated' in answer.json) == (path in WITH_FIELD)
    if path in WITH_FIELD:
        assert answer.json['truncated'] == truncated


@pytest.mark.parametrize('path', REQUESTS)
def test_a_response_to_texts_that_fit_says_nothing_of_it(http: FlaskClient, backend: FakeBackend, path: str) -> None:
    backend.status, request, _ = REQUESTS[path]
    answer = http.post(path, json=shortened(request))
    assert answer.status_code == 200
    assert 'x-truncated-rows' not in answer.headers
    assert 'truncated' not in answer.json


def test_the_body_of_1_10_is_the_same_whether_a_text_was_cut_or_not(http: FlaskClient, backend: FakeBackend) -> None:
    backend.status = {**STATUS, 'model': {**STATUS['model'], 'max_seq_len': 1000}}
    whole = http.post('/encode', json={'id': 1, 'texts': [LONG]})
    backend.status = STATUS
    cut = http.post('/encode', json={'id': 1, 'texts': [LONG]})
    assert ('x-truncated-rows' in whole.headers, 'x-truncated-rows' in cut.headers) == (False, True)
    assert cut.data == whole.data


def test_the_bytes_of_an_array_come_with_the_header_too(http: FlaskClient) -> None:
    answer = http.post('/embed', json={'inputs': LONG}, headers={'accept': 'application/octet-stream'})
    assert (answer.mimetype, answer.headers['x-truncated-rows']) == ('application/octet-stream', '0')


def test_a_header_lists_no_more_rows_than_a_client_can_read(http: FlaskClient) -> None:
    texts = [LONG] * (MAX_LISTED + 1)
    answer = http.post('/v1/embeddings', json={'input': texts})
    *listed, more = answer.headers['x-truncated-rows'].split(',')
    assert (listed, more) == ([str(row) for row in range(MAX_LISTED)], '...')
    assert answer.json is not None
    assert answer.json['truncated'] == list(range(MAX_LISTED + 1)), 'the field has all'
    answer = http.post('/v1/embeddings', json={'input': texts[1:]})
    assert answer.headers['x-truncated-rows'].endswith(',%d' % (MAX_LISTED - 1))


def test_a_page_of_another_origin_can_read_the_header(http: FlaskClient) -> None:
    answer = http.post('/encode', json={'id': 1, 'texts': [LONG]}, headers={'origin': 'https://a.example'})
    assert 'x-truncated-rows' in answer.headers['access-control-expose-headers'].split(', ')
