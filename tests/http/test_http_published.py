"""Published folders over HTTP answer as their authors' library: scores and rankings of cross-encoders, and prompts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bert_serving.client import BertClient
from support.proxies import curl
from support.serving import DATA, ServerProcess

pytestmark = pytest.mark.slow

PUBLISHED = DATA / 'published'
CROSS_ENCODERS = sorted(PUBLISHED.glob('cases/ce-*.json'))
WITH_PROMPTS = ['bert-cls-default-prompt', 'modernbert-mean-prompts']
RTOL, ATOL = 1e-4, 2e-5

assert len(CROSS_ENCODERS) == 7


def start(name: str) -> ServerProcess:
    folder = str(PUBLISHED / 'models' / name)
    return ServerProcess('-model_dir', folder, '-http_port', '0', '-http_host', '127.0.0.1')


def post(server: ServerProcess, path: str, **fields: Any) -> Any:
    status, answer = curl('http://127.0.0.1:%d%s' % (server.http_port, path), '-d', json.dumps(fields))
    assert status == 200, answer
    return answer


def close_to(wanted: Any) -> Any:
    return pytest.approx(wanted, rel=RTOL, abs=ATOL)


@pytest.mark.parametrize('path', CROSS_ENCODERS, ids=lambda path: path.stem)
def test_scores_and_rankings_of_a_cross_encoder(path: Path) -> None:
    case = json.loads(path.read_text('utf-8'))
    answers = np.load(path.with_suffix('.npz'))
    labels = list(case['id2label'].values())
    with start(case['model']) as server:
        server.wait_until_ready()
        for number, request in enumerate(case['requests']):
            if request['kind'] == 'predict':
                raw = bool(request['kwargs'].get('raw'))
                wanted = answers['s%d' % number].reshape(len(request['pairs']), -1)
                given = post(server, '/predict', inputs=request['pairs'], raw_scores=raw)
                for row, scores in zip(given, wanted, strict=True):
                    assert [item['score'] for item in row] == sorted((item['score'] for item in row), reverse=True)
                    by_label = {item['label']: item['score'] for item in row}
                    assert [by_label[label] for label in labels] == close_to(scores.tolist())
                single = post(server, '/predict', inputs=request['pairs'][0], raw_scores=raw)
                assert single[0]['score'] == close_to(max(wanted[0].tolist()))
            else:
                check_ranking(server, request)
        assert server.stop() == 0


def check_ranking(server: ServerProcess, request: dict[str, Any]) -> None:
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


@pytest.mark.parametrize('name', WITH_PROMPTS)
def test_vectors_with_prompts(name: str) -> None:
    path = PUBLISHED / 'cases' / (name + '.json')
    case = json.loads(path.read_text('utf-8'))
    answers = np.load(path.with_suffix('.npz'))
    prompts = 0
    with start(name) as server:
        server.wait_until_ready()
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
        assert server.stop() == 0
    assert prompts
