"""Send the golden and published cases over HTTP: through the routes of 1.10, OpenAI and Text Embeddings Inference."""

from __future__ import annotations

import base64
import json
from typing import Any

import numpy as np
import pytest

from bert_serving.client import BertClient
from bert_serving.server import BertServer
from support.proxies import curl
from support.replay import compare

WORDS = ('-http_host', '127.0.0.1', '-http_port', '0')
"""The options of a server for HTTP."""

RTOL, ATOL = 1e-4, 2e-5


def post(server: BertServer, path: str, **fields: Any) -> Any:
    """Return the JSON of a reply, whose status must be 200."""
    status, answer = curl('http://127.0.0.1:%d%s' % (server.http_port or 0, path), '-d', json.dumps(fields))
    assert status == 200, answer
    return answer


# Golden cases, which the real 1.10 answered --------------------------------------------------------------------------


def ask_encode(server: BertServer, case: dict[str, Any], answers: Any) -> None:
    """Send a golden case to 1.10's own route."""
    for number, request in enumerate(case['requests']):
        chosen = {key: request[key] for key in ('texts', 'is_tokenized', 'show_tokens') if key in request}
        answer = post(server, '/encode', id=1, **chosen)
        compare(np.array(answer['result'], np.float32), answers['embedding_%d' % number], 'result')
        assert answer['results'] == answer['result']
        if request.get('show_tokens'):
            assert answer['tokens'] == request['tokens']


def ask_openai(server: BertServer, case: dict[str, Any], answers: Any) -> None:
    """Send a golden case to OpenAI's route, without tokens, and without pairs, which are text in OpenAI's API."""
    asked = 0
    for number, request in enumerate(case['requests']):
        if request.get('is_tokenized'):
            continue
        asked += 1
        rows = [row for row, text in enumerate(request['texts']) if ' ||| ' not in text]
        texts, expected = [request['texts'][row] for row in rows], answers['embedding_%d' % number][rows]
        answer = post(server, '/v1/embeddings', input=texts)
        compare(np.array([item['embedding'] for item in answer['data']], np.float32), expected, 'embeddings')
        answer = post(server, '/v1/embeddings', input=texts, encoding_format='base64')
        vectors = [np.frombuffer(base64.b64decode(item['embedding']), '<f4') for item in answer['data']]
        compare(np.array(vectors), expected, 'embeddings')
        if request['tokens']:
            assert answer['usage']['total_tokens'] == sum(len(request['tokens'][row]) for row in rows)
    assert asked


# Published cases, which the authors' library answered ----------------------------------------------------------------


def ask_published(server: BertServer, case: dict[str, Any], answers: Any) -> None:
    """Send the parts of a published case that HTTP has: scores and rankings, or vectors with prompts."""
    kinds = {request['kind'] for request in case['requests']}
    if kinds == {'encode'}:
        _ask_vectors_with_prompts(server, case, answers)
        return
    assert kinds <= {'predict', 'rank'}
    for number, request in enumerate(case['requests']):
        if request['kind'] == 'predict':
            _ask_scores(server, request, list(case['id2label'].values()), answers['s%d' % number])
        else:
            _ask_ranking(server, request)


def close_to(wanted: Any) -> Any:
    return pytest.approx(wanted, rel=RTOL, abs=ATOL)


def _ask_scores(server: BertServer, request: dict[str, Any], labels: list[str], answers: Any) -> None:
    raw = bool(request['kwargs'].get('raw'))
    wanted = answers.reshape(len(request['pairs']), -1)
    given = post(server, '/predict', inputs=request['pairs'], raw_scores=raw)
    for row, scores in zip(given, wanted, strict=True):
        assert [item['score'] for item in row] == sorted((item['score'] for item in row), reverse=True)
        by_label = {item['label']: item['score'] for item in row}
        assert [by_label[label] for label in labels] == close_to(scores.tolist())
    single = post(server, '/predict', inputs=request['pairs'][0], raw_scores=raw)
    assert single[0]['score'] == close_to(max(wanted[0].tolist()))


def _ask_ranking(server: BertServer, request: dict[str, Any]) -> None:
    """Compare the rankings of every route, and of our client, with the one of the library."""
    query, documents = request['query'], request['documents']
    places = [item['corpus_id'] for item in request['ranking']]
    scores = close_to([item['score'] for item in request['ranking']])
    answer = post(server, '/rerank', query=query, texts=documents)
    assert [item['index'] for item in answer] == places
    assert [item['score'] for item in answer] == scores
    for path in ('/rerank', '/v1/rerank', '/v2/rerank'):
        answer = post(server, path, query=query, documents=documents)
        assert [item['index'] for item in answer['results']] == places
        assert [item['relevance_score'] for item in answer['results']] == scores
    with BertClient(port=server.port, port_out=server.port_out, timeout=60_000) as client:
        ranking = client.rerank(query, documents)
    assert [index for index, _ in ranking] == places
    assert [score for _, score in ranking] == scores


def _ask_vectors_with_prompts(server: BertServer, case: dict[str, Any], answers: Any) -> None:
    prompts = 0
    for number, request in enumerate(case['requests']):
        chosen = [row for row, text in enumerate(request['texts']) if text.strip()]
        texts = [request['texts'][row] for row in chosen]
        wanted = answers['e%d' % number][chosen]
        options = request.get('kwargs') or {}
        if set(options) - {'prompt_name'}:
            continue
        prompts += bool(options)
        given = post(server, '/embed', inputs=texts, **options)
        np.testing.assert_allclose(given, wanted, RTOL, ATOL)
        answer = post(server, '/v1/embeddings', input=texts, **options)
        np.testing.assert_allclose([item['embedding'] for item in answer['data']], wanted, RTOL, ATOL)
    assert prompts
