"""The table of routes: a test for each row, named after it, of what goes in and what comes out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import pytest
from flask.testing import FlaskClient

from bert_serving.server.http.app import create_app
from bert_serving.server.http.config import HttpConfig
from bert_serving.server.http.routes import ROUTES
from support.fake_backend import STATUS, FakeBackend, classifier

TEXTS = ['hello world', 'good day']
RANKER = classifier('0')
CLASSIFIER = classifier('negative', 'positive')
TOKEN_LEVEL = {**STATUS, 'model': {**STATUS['model'], 'pooling': 'NONE'}}


def is_vectors(rows: Any, count: int = 2) -> bool:
    """Whether it is a list of so many lists of three floats."""
    return len(rows) == count and all(len(row) == 3 and {*map(type, row)} <= {int, float} for row in rows)


def is_openai(answer: Any) -> bool:
    data = answer['data']
    return (
        answer['object'] == 'list'
        and [(item['object'], item['index']) for item in data] == [('embedding', 0), ('embedding', 1)]
        and is_vectors([item['embedding'] for item in data])
        and answer['usage'] == {'prompt_tokens': 8, 'total_tokens': 8}
    )


def is_ranking(name: str) -> Callable[[Any], bool]:
    """Whether it orders two documents by the field `name`, the second first."""
    return lambda ranking: [row['index'] for row in ranking] == [1, 0] and ranking[0][name] > ranking[1][name]


def is_labels(rows: Any) -> bool:
    """Whether each row has both labels, the best first."""
    return all(
        {item['label'] for item in row} == {'negative', 'positive'} and row[0]['score'] >= row[1]['score']
        for row in rows
    )


@dataclass(frozen=True)
class Row:
    """A request to a route, and what is said of its response; a GET has no `body`.

    `status` is that of the server, an encoder without it.
    """

    route: str
    body: Any
    fits: Callable[[Any], bool]
    status: Mapping[str, Any] | None = None


QUERY = {'query': 'a', 'raw_scores': False}
DOCUMENTS = ['b', 'c0']
ROWS = [
    Row('POST /v1/embeddings', {'input': TEXTS}, is_openai),
    Row('POST /embed', {'inputs': 'hello'}, lambda rows: is_vectors(rows, 1)),
    Row('POST /embed', {'inputs': TEXTS, 'normalize': False}, is_vectors),
    Row('POST /embed', {'inputs': [[7, 8], [9]]}, is_vectors),
    Row('POST /', {'inputs': TEXTS}, is_vectors),
    Row('POST /', {'inputs': [['a', 'pair'], ['a text']]}, is_labels, CLASSIFIER),
    Row('POST /', {**QUERY, 'texts': DOCUMENTS}, is_ranking('score'), RANKER),
    Row('POST /embed_all', {'inputs': TEXTS}, lambda texts: all(is_vectors(rows, 4) for rows in texts), TOKEN_LEVEL),
    Row('POST /rerank', {**QUERY, 'texts': DOCUMENTS}, is_ranking('score'), RANKER),
    Row(
        'POST /rerank',
        {**QUERY, 'texts': DOCUMENTS, 'return_text': True},
        lambda ranking: [row['text'] for row in ranking] == ['c0', 'b'],
        RANKER,
    ),
    Row(
        'POST /rerank',
        {'query': 'a', 'documents': DOCUMENTS},
        lambda answer: is_ranking('relevance_score')(answer['results']),
        RANKER,
    ),
    Row(
        'POST /v1/rerank',
        {'query': 'a', 'documents': DOCUMENTS, 'top_n': 1},
        lambda answer: [row['index'] for row in answer['results']] == [1],
        RANKER,
    ),
    Row(
        'POST /v2/rerank',
        {'query': 'a', 'documents': DOCUMENTS, 'return_documents': True},
        lambda answer: [row['document'] for row in answer['results']] == [{'text': 'c0'}, {'text': 'b'}],
        RANKER,
    ),
    Row('POST /predict', {'inputs': 'a text'}, lambda row: is_labels([row]), CLASSIFIER),
    Row('POST /predict', {'inputs': ['a', 'pair']}, lambda row: is_labels([row]), CLASSIFIER),
    Row('POST /predict', {'inputs': [['a', 'pair'], ['a text']]}, is_labels, CLASSIFIER),
    Row(
        'POST /similarity',
        {'inputs': {'source_sentence': 'a', 'sentences': TEXTS}},
        lambda cosines: len(cosines) == 2 and all(-1 <= cosine <= 1.000001 for cosine in cosines),
    ),
    Row('POST /tokenize', {'texts': TEXTS}, lambda answer: len(answer['tokens']) == len(answer['ids']) == 2),
    Row(
        'POST /tokenize',
        {'inputs': 'hello world'},
        lambda rows: (
            [[(token['text'], token['start'], token['stop'], token['special']) for token in row] for row in rows]
            == [
                [
                    ('[CLS]', None, None, True),
                    ('hello', 0, 5, False),
                    ('world', 6, 11, False),
                    ('[SEP]', None, None, True),
                ]
            ]
        ),
    ),
    Row('POST /decode', {'ids': [[7, 8], [9]]}, lambda texts: [*map(type, texts)] == [str, str]),
    Row('GET /info', None, lambda info: (info['max_input_length'], info['version']) == (25, '2.0.0')),
    Row(
        'POST /encode',
        {'id': 7, 'texts': TEXTS},
        lambda answer: answer['id'] == 7 and answer['result'] == answer['results'] and is_vectors(answer['result']),
    ),
    Row('GET /status/server', None, lambda status: status['server_version'] == '1.10.0' and status['status'] == 200),
    Row('GET /status/client', None, lambda status: status['status'] == 200),
    Row('GET /status/history', None, lambda history: history['time'] == [] and history['status'] == 200),
]


@pytest.fixture
def http(backend: FakeBackend) -> FlaskClient:
    return create_app(backend, HttpConfig(token_ids=True)).test_client()


@pytest.mark.parametrize('row', ROWS, ids=lambda row: row.route)
def test_row_of_the_table(http: FlaskClient, backend: FakeBackend, row: Row) -> None:
    backend.status = row.status or STATUS
    method, path = row.route.split()
    answer = http.open(path, method=method, json=row.body)
    assert (answer.status_code, answer.mimetype) == (200, 'application/json'), answer.text
    assert row.fits(answer.json), answer.text


def test_every_route_that_encodes_is_a_row() -> None:
    asked = {row.route for row in ROWS}
    assert {'%s %s' % (route.method, route.path) for route in ROUTES if route.encodes} <= asked
