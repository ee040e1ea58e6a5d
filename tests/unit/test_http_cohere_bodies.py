"""The bodies of the routes that rerank as Cohere and Jina do."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from bert_serving.server.http.cohere_bodies import rank_body, read_rerank
from bert_serving.server.http.errors import HTTPError
from bert_serving.server.http.ranking import rank
from bert_serving.server.http.requests import Rows
from bert_serving.server.protocol.options import EncodingOptions

QUERY = {'query': 'q', 'documents': ['a', {'text': 'b', 'title': 'c'}]}


def test_the_defaults() -> None:
    query = read_rerank(QUERY)
    assert query.rows == Rows([['q', 'a'], ['q', 'b']], 'pairs')
    assert (query.options, query.top_n, query.model, query.shows_documents) == (EncodingOptions(), None, None, False)


def test_the_other_fields() -> None:
    fields = {'model': 'm', 'top_n': 1, 'return_documents': True, 'raw_scores': True, 'truncate': 'error', 'new': 1}
    query = read_rerank({**QUERY, **fields})
    assert (query.model, query.top_n, query.shows_documents) == ('m', 1, True)
    assert query.options == EncodingOptions(raw=True, truncate='error')
    assert read_rerank({**QUERY, **dict.fromkeys(fields)}) == read_rerank(QUERY)


@pytest.mark.parametrize(
    ('data', 'param'),
    [
        ({}, 'query'),
        ({'query': 'q'}, 'documents'),
        ({'query': 'q', 'documents': [{'title': 'a'}]}, 'documents'),
        ({'query': 'q', 'documents': [{'text': 5}]}, 'documents'),
        ({**QUERY, 'top_n': 0}, 'top_n'),
        ({**QUERY, 'return_documents': 'yes'}, 'return_documents'),
        ({**QUERY, 'model': 5}, 'model'),
    ],
)
def test_what_is_wrong_is_named(data: dict[str, Any], param: str) -> None:
    with pytest.raises(HTTPError) as caught:
        read_rerank(data)
    assert (caught.value.status, caught.value.param) == (400, param)


def test_the_response_has_the_fields_of_both_apis() -> None:
    ranking = rank(np.array([0.25, 0.5], np.float32), 1)
    answer = json.loads(rank_body(ranking, read_rerank(QUERY), 'm', 9, 'abc', '2'))
    assert answer == {
        'id': 'abc',
        'model': 'm',
        'results': [{'index': 1, 'relevance_score': 0.5}],
        'usage': {'total_tokens': 9},
        'meta': {'api_version': {'version': '2'}, 'billed_units': {'search_units': 1}},
    }
    answer = json.loads(rank_body(ranking, read_rerank({**QUERY, 'return_documents': True}), 'm', 9, 'abc', '1'))
    assert answer['results'] == [{'index': 1, 'relevance_score': 0.5, 'document': {'text': 'b'}}]
