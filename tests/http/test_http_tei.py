"""The routes of text-embeddings-inference, Cohere and Jina, with a backend in memory."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from flask.testing import FlaskClient

from bert_serving.server.http.app import create_app
from bert_serving.server.http.config import HttpConfig
from bert_serving.server.http.errors import HTTPError
from bert_serving.server.http.requests import Rows
from bert_serving.server.http.routes import ROUTES
from bert_serving.server.protocol.options import EncodingOptions
from support.fake_backend import STATUS, FakeBackend, classifier

TEXTS = ['hello world', 'good day!']
RANKED = {'query': 'q', 'texts': ['a', 'b0 c0', 'd0']}
REQUESTS: dict[str, dict[str, Any]] = {
    '/embed': {'inputs': TEXTS},
    '/': {'inputs': TEXTS},
    '/embed_all': {'inputs': TEXTS},
    '/similarity': {'inputs': {'source_sentence': 'a', 'sentences': ['b']}},
    '/predict': {'inputs': 'a'},
    '/rerank': RANKED,
    '/v1/rerank': {'query': 'q', 'documents': ['a']},
    '/v2/rerank': {'query': 'q', 'documents': ['a']},
    '/v1/embeddings': {'input': TEXTS},
}
NEEDS = {
    '/embed_all': 'tokens',
    '/predict': 'classifier',
    '/rerank': 'reranker',
    '/v1/rerank': 'reranker',
    '/v2/rerank': 'reranker',
}
STATUSES = {
    'encoder': STATUS,
    'tokens': {**STATUS, 'model': {**STATUS['model'], 'pooling': 'NONE'}},
    'classifier': classifier('no', 'yes'),
    'reranker': classifier('score'),
}


def post(http: FlaskClient, path: str, **fields: Any) -> Any:
    answer = http.post(path, json=fields)
    assert answer.status_code == 200, answer.text
    return answer.json


def serving(backend: FakeBackend, kind: str) -> FlaskClient:
    backend.status = STATUSES[kind]
    return create_app(backend).test_client()


# Vectors -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize('path', ['/embed', '/'])
def test_embed_answers_a_list_of_vectors_of_length_1(http: FlaskClient, backend: FakeBackend, path: str) -> None:
    vectors = post(http, path, inputs=TEXTS)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, rtol=1e-6)
    assert post(http, path, inputs=TEXTS, normalize=False) == [[4, 20, 0], [4, 18, 1]]
    assert post(http, path, inputs='hello', normalize=False) == [[3, 15, 0]], 'of a single text, too'
    assert backend.options[-1] == EncodingOptions(normalize=False, pairs=False)


def test_embed_with_each_option(http: FlaskClient, backend: FakeBackend) -> None:
    assert post(http, '/embed', inputs='a', prompt_name='query', normalize=False) == [[4, 17, 0]]
    assert len(post(http, '/embed', inputs='a', dimensions=2)[0]) == 2
    assert post(http, '/embed', inputs='a', dtype='ubinary') == [[192]]
    http.post('/embed', json={'inputs': 'a', 'truncate': False})
    assert backend.options[-1].truncate == 'error'


@pytest.mark.parametrize('path', ['/embed', '/', '/embed_all'])
def test_token_ids_are_taken_only_where_the_server_is_told_so(backend: FakeBackend, path: str) -> None:
    http = serving(backend, NEEDS.get(path, 'encoder'))
    answer = http.post(path, json={'inputs': [[7, 8]]})
    assert answer.status_code == 422
    assert '-http_token_ids' in answer.text
    http = create_app(backend, HttpConfig(token_ids=True)).test_client()
    post(http, path, inputs=[7, 8])
    assert backend.asked == [Rows([[7, 8]], 'ids')]


def test_embed_all_answers_a_vector_for_each_token(backend: FakeBackend) -> None:
    http = serving(backend, 'tokens')
    first, second = post(http, '/embed_all', inputs=['a', 'b c'])
    assert (len(first), len(second)) == (3, 4)
    answer = http.post('/embed_all', json={'inputs': ['a', 'b c']}, headers={'accept': 'application/octet-stream'})
    assert (answer.headers['x-shape'], answer.headers['x-lengths']) == ('2,4,3', '3,4')


def test_similarity(http: FlaskClient, backend: FakeBackend) -> None:
    inputs = {'source_sentence': 'aa', 'sentences': ['aa', 'b c d e f g']}
    same, other = post(http, '/similarity', inputs=inputs)
    assert 0 < other < same <= 1
    assert backend.asked[-1].items == ['aa', 'aa', 'b c d e f g']


@pytest.mark.parametrize('path', ['/embed', '/', '/v1/embeddings'])
@pytest.mark.parametrize('dtype', ['float32', 'float16', 'int8', 'binary', 'ubinary'])
def test_bytes_for_those_who_prefer_them(http: FlaskClient, path: str, dtype: str) -> None:
    fields: dict[str, Any] = {'inputs': TEXTS, 'input': TEXTS, 'dtype': dtype, 'normalize': True}
    expected = post(http, path, **fields)
    if path == '/v1/embeddings':
        expected = [item['embedding'] for item in expected['data']]
    answer = http.post(path, json=fields, headers={'accept': 'application/octet-stream, */*;q=0.1'})
    assert answer.content_type == 'application/octet-stream'
    assert 'Accept' in answer.headers['vary']
    shape = tuple(map(int, answer.headers['x-shape'].split(',')))
    array = np.frombuffer(answer.data, np.dtype(answer.headers['x-dtype']).newbyteorder('<')).reshape(shape)
    np.testing.assert_allclose(array, expected, rtol=1e-3)


@pytest.mark.parametrize('accept', ['*/*', 'application/json', 'application/json, application/octet-stream', ''])
def test_json_for_everyone_else(http: FlaskClient, accept: str) -> None:
    answer = http.post('/embed', json={'inputs': TEXTS}, headers={'accept': accept})
    assert answer.content_type == 'application/json'


def test_the_marker_of_pairs_is_text(http: FlaskClient, backend: FakeBackend) -> None:
    for path in ('/embed', '/', '/v1/embeddings'):
        http.post(path, json={'inputs': 'a ||| b', 'input': 'a ||| b'})
        assert backend.options[-1].pairs is False
    http.post('/similarity', json={'inputs': {'source_sentence': 'a ||| b', 'sentences': ['c']}})
    assert backend.options[-1].pairs is False
    http.post('/encode', json={'id': 1, 'texts': ['a ||| b']})
    assert backend.options[-1] == EncodingOptions(), 'but a pair in the route of 1.10'


@pytest.mark.parametrize(
    ('input_type', 'expected'),
    [('search_query', 'query'), ('document', 'passage'), ('search_document', 'passage'), ('clustering', None)],
)
def test_an_input_type_chooses_the_prompt(
    http: FlaskClient, backend: FakeBackend, input_type: str, expected: str | None
) -> None:
    post(http, '/v1/embeddings', input='a', input_type=input_type)
    assert (backend.options[-1].prompt_name, backend.options[-1].prompt) == (expected, None)


def test_the_options_of_v1_embeddings(http: FlaskClient, backend: FakeBackend) -> None:
    fields: dict[str, Any] = {
        'prompt_name': 'query',
        'normalize': False,
        'truncate': 'left',
        'dtype': 'float16',
        'dimensions': 2,
    }
    answer = post(http, '/v1/embeddings', input='a', **fields)
    assert answer['data'][0]['embedding'] == [4, 17]
    assert backend.options[-1] == EncodingOptions(**fields, pairs=False)


# Tokens --------------------------------------------------------------------------------------------------------------


def test_tokenize_in_the_form_of_tei(http: FlaskClient, backend: FakeBackend) -> None:
    (tokens,) = post(http, '/tokenize', inputs='hello  world')
    assert [token['text'] for token in tokens] == ['[CLS]', 'hello', 'world', '[SEP]']
    assert [(token['start'], token['stop']) for token in tokens] == [(None, None), (0, 5), (7, 12), (None, None)]
    assert len(post(http, '/tokenize', inputs=TEXTS, add_special_tokens=False)[1]) == 2
    post(http, '/tokenize', inputs='a', prompt_name='query')
    assert backend.options[-1].prompt_name == 'query'
    assert 'tokens' in post(http, '/tokenize', texts=TEXTS), 'ours as before'


def test_errors_of_tokenize_have_the_format_of_the_request(http: FlaskClient) -> None:
    answer = http.post('/tokenize', json={'inputs': 5})
    assert (answer.status_code, answer.json['error_type']) == (422, 'Validation')
    answer = http.post('/tokenize', json={'texts': 5})
    assert (answer.status_code, answer.json['type']) == (400, 'TypeError')


def test_decode(http: FlaskClient, backend: FakeBackend) -> None:
    assert post(http, '/decode', ids=[7, 8]) == ['7 8']
    assert post(http, '/decode', ids=[[7], [8, 9]], skip_special_tokens=False) == ['7', '8 9']
    assert backend.options[-1] == EncodingOptions(decode=True, special_tokens=True)


# Scores --------------------------------------------------------------------------------------------------------------


def test_predict(backend: FakeBackend) -> None:
    http = serving(backend, 'classifier')
    single = post(http, '/predict', inputs='a1 b1 c0')
    assert single == [{'score': 0.5, 'label': 'yes'}, {'score': 0.25, 'label': 'no'}]
    assert backend.asked[-1] == Rows(['a1 b1 c0'])
    post(http, '/predict', inputs=['a1', 'b0'])
    assert backend.asked[-1] == Rows([['a1', 'b0']], 'pairs')
    assert post(http, '/', inputs='a1 b1 c0') == single, 'the task of the model'


def test_a_batch_of_texts_and_pairs_keeps_its_order(backend: FakeBackend) -> None:
    http = serving(backend, 'reranker')
    rows = post(http, '/predict', inputs=[['a0'], ['b', 'c'], ['d'], ['e0', 'f0']])
    assert [row[0]['score'] for row in rows] == pytest.approx([1 / 2, 0, 0, 2 / 3])
    assert backend.asked == [Rows(['a0', 'd']), Rows([['b', 'c'], ['e0', 'f0']], 'pairs')]


def test_scores_without_their_activation(backend: FakeBackend) -> None:
    http = serving(backend, 'reranker')
    post(http, '/predict', inputs='a', raw_scores=True)
    post(http, '/rerank', **RANKED, raw_scores=True)
    assert [options.raw for options in backend.options] == [True, True]


@pytest.mark.parametrize('path', ['/rerank', '/'])
def test_rerank_in_the_form_of_tei(backend: FakeBackend, path: str) -> None:
    http = serving(backend, 'reranker')
    answer = post(http, path, **RANKED, return_text=True)
    assert [(item['index'], item['text']) for item in answer] == [(1, 'b0 c0'), (2, 'd0'), (0, 'a')]
    assert set(post(http, path, **RANKED)[0]) == {'index', 'score'}
    assert [item['index'] for item in post(http, path, **RANKED, top_n=2)] == [1, 2]


@pytest.mark.parametrize('path', ['/rerank', '/v1/rerank', '/v2/rerank', '/'])
def test_rerank_in_the_form_of_cohere_and_jina(backend: FakeBackend, path: str) -> None:
    http = serving(backend, 'reranker')
    documents = RANKED['texts']
    answer = post(http, path, query='q', documents=documents, top_n=2, return_documents=True, model='tiny')
    assert [item['index'] for item in answer['results']] == [1, 2]
    assert answer['results'][0]['document'] == {'text': 'b0 c0'}
    assert answer['model'] == 'tiny'
    assert answer['usage']['total_tokens'] == 5 + 6 + 5
    assert answer['meta']['api_version']['version'] == ('2' if '2' in path else '1')
    assert 'document' not in post(http, path, query='q', documents=documents)['results'][0]


def test_documents_of_equal_scores_stay_in_their_order(backend: FakeBackend) -> None:
    http = serving(backend, 'reranker')
    texts = ['a %d' % (10 * number) if number % 3 else 'a b' for number in range(1, 60)]
    places = [item['index'] for item in post(http, '/rerank', query='q', texts=texts)]
    scored = [index for index, text in enumerate(texts) if text.endswith('0')]
    assert places == scored + [index for index in range(len(texts)) if index not in scored]


# The model -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize('path', REQUESTS)
@pytest.mark.parametrize('kind', STATUSES)
def test_a_task_that_the_model_cannot_do_is_400_with_what_would_be_needed(
    backend: FakeBackend, path: str, kind: str
) -> None:
    http = serving(backend, kind)
    needed = {NEEDS.get(path, 'encoder')} | ({'reranker'} if path == '/predict' else set())
    if path == '/' and kind != 'tokens':
        needed = {kind}
    answer = http.post(path, json=REQUESTS[path])
    if kind in needed:
        assert answer.status_code == 200, answer.text
        return
    assert answer.status_code == 400
    assert not backend.asked, 'before any work is done'
    for word in ('start', 'serve', 'needs'):
        if word in answer.text:
            break
    else:
        pytest.fail(answer.text)


def test_info(backend: FakeBackend) -> None:
    http = serving(backend, 'classifier')
    info = http.get('/info').json
    assert (info['model_id'], info['max_concurrent_requests']) == ('tiny', 32 + 128)
    assert info['model_type']['classifier']['id2label'] == {'0': 'no', '1': 'yes'}
    backend.status = None
    answer = http.get('/info')
    assert (answer.status_code, answer.json['error_type']) == (503, 'Unhealthy')


# Errors --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize('path', [path for path in REQUESTS if path != '/v1/embeddings'])
@pytest.mark.parametrize(
    ('name', 'status', 'in_tei'),
    [
        ('Busy', 429, (429, 'Overloaded')),
        ('TooLong', 400, (413, 'Validation')),
        ('TooLarge', 413, (413, 'Validation')),
        ('InternalError', 500, (424, 'Backend')),
        ('PoisonedRequest', 500, (424, 'Backend')),
        ('ShuttingDown', 503, (503, 'Unhealthy')),
        ('DeadlineExceeded', 504, (504, 'Backend')),
    ],
)
def test_errors_have_the_format_of_their_family(
    backend: FakeBackend, path: str, name: str, status: int, in_tei: tuple[int, str]
) -> None:
    http = serving(backend, NEEDS.get(path, 'encoder'))
    backend.error = HTTPError(name, 'why')
    answer = http.post(path, json=REQUESTS[path])
    if path.startswith('/v'):
        assert answer.status_code == status
        assert (answer.json['message'], answer.json['error']['message']) == ('why', 'why')
    else:
        assert (answer.status_code, answer.json) == (in_tei[0], {'error': 'why', 'error_type': in_tei[1]})


def test_errors_of_a_shared_route_have_the_format_of_the_request(backend: FakeBackend) -> None:
    http = serving(backend, 'reranker')
    for path in ('/rerank', '/'):
        answer = http.post(path, json={'query': 'q', 'documents': []})
        assert (answer.status_code, answer.json['error']['param']) == (400, 'documents')
        answer = http.post(path, json={'query': 'q', 'texts': []})
        assert (answer.status_code, answer.json['error_type']) == (400, 'Empty')
        answer = http.post(path, json={'query': 'q', 'documents': ['a'], 'model': 'gpt'})
        assert (answer.status_code, answer.json['error']['code']) == (404, 'model_not_found')


@pytest.mark.parametrize('path', ['/embed', '/', '/predict', '/rerank'])
@pytest.mark.parametrize(
    ('body', 'status'), [(b'', 400), (b'{', 400), (b'[]', 400), (b'{}', 422), (b'{"inputs": 5, "query": 5}', 422)]
)
def test_a_body_that_cannot_be_read(http: FlaskClient, path: str, body: bytes, status: int) -> None:
    answer = http.post(path, data=body)
    assert answer.status_code == status
    assert set(answer.json) == {'error', 'error_type'}


def test_a_bug_is_a_500_in_every_format(backend: FakeBackend, caplog: pytest.LogCaptureFixture) -> None:
    backend.error = LookupError('a secret of ours')
    for path in ('/embed', '/v1/embeddings'):
        answer = serving(backend, 'encoder').post(path, json=REQUESTS[path])
        assert answer.status_code == 500
        assert 'secret' not in answer.text


def test_every_route_is_counted_from_the_start(http: FlaskClient) -> None:
    page = http.get('/metrics').text
    for route in ROUTES:
        assert 'route="%s"' % route.label in page
    post(http, '/embed', inputs=TEXTS)
    assert 'bert_http_tokens_total{route="/embed"} 8.0' in http.get('/metrics').text


def test_answers_of_either_api_are_json_of_short_numbers(backend: FakeBackend) -> None:
    http = serving(backend, 'reranker')
    answer = http.post('/rerank', json={'query': 'q', 'texts': ['a0 b c d e f g h']})
    assert json.loads(answer.data)[0]['score'] == 0.1
    assert b'0.1}' in answer.data
