"""From arrays to bytes, and what is said instead of them; what a status says about health."""

from __future__ import annotations

import base64
import json
from typing import Any

import numpy as np
import pytest

from bert_serving.server.http import responses as answers
from bert_serving.server.http.errors import KINDS, HTTPError, error_from_server, error_from_status
from bert_serving.server.http.health import Report, judge, model_names
from bert_serving.server.http.responses import dump, embeddings_answer, encode_answer, fit_dimensions, tokenize_answer
from bert_serving.server.http.routes import OTHER, encodes, is_open, label_of, speaks_openai
from support.fake_backend import STATUS

VECTORS = np.array([[0.1, -2.5, 3e-7], [3, 4, 0]], np.float32)


def test_the_answer_of_1_10_and_that_of_its_documentation() -> None:
    answer = json.loads(b''.join(encode_answer({'a': [1]}, VECTORS, '', show_tokens=False)))
    assert list(answer) == ['id', 'result', 'results', 'status']
    assert answer['id'] == {'a': [1]}
    assert answer['status'] == 200
    np.testing.assert_array_equal(np.array(answer['result'], np.float32), VECTORS)
    assert answer['results'] == answer['result']


def test_tokens_are_shown_or_null() -> None:
    assert json.loads(b''.join(encode_answer(1, VECTORS, [['a']], show_tokens=True)))['tokens'] == [['a']]
    assert json.loads(b''.join(encode_answer(1, VECTORS, '', show_tokens=True)))['tokens'] is None


@pytest.mark.parametrize('dtype', [np.float16, np.float32])
def test_numbers_are_written_so_that_they_come_back(dtype: Any) -> None:
    array = np.random.default_rng(5).standard_normal((3, 4, 5)).astype(dtype)
    result = json.loads(b''.join(encode_answer(1, array, '', show_tokens=False)))['result']
    np.testing.assert_array_equal(np.array(result, dtype), array)


@pytest.mark.parametrize(
    ('value', 'text'),
    [
        ('half a pair \ud800', '"half a pair ?"'),
        ({'\ud800': ['\ud800', 1, None]}, '{"?":["?",1,null]}'),
        (1 << 70, '"%d"' % (1 << 70)),
        (float('nan'), 'null'),
        (['\ud800', np.array([1, 2])], '["?",[1,2]]'),
    ],
)
def test_whatever_an_id_is_it_comes_back(value: object, text: str) -> None:
    assert dump(value).decode() == text


def test_padding_is_cut_off_the_ids() -> None:
    answer = json.loads(
        tokenize_answer(np.array([[1, 2, 3], [1, 3, 0]], np.int32), [['a', 'b', 'c'], ['a', 'c']], [3, 2])
    )
    assert answer == {'tokens': [['a', 'b', 'c'], ['a', 'c']], 'ids': [[1, 2, 3], [1, 3]], 'status': 200}


def test_an_answer_of_openai() -> None:
    answer = json.loads(embeddings_answer(VECTORS, [4, 3], 'm', 'float'))
    assert answer['usage'] == {'prompt_tokens': 7, 'total_tokens': 7}
    assert [item['index'] for item in answer['data']] == [0, 1]
    assert [item['object'] for item in answer['data']] == ['embedding'] * 2
    np.testing.assert_array_equal(np.array([item['embedding'] for item in answer['data']], np.float32), VECTORS)
    assert (answer['object'], answer['model']) == ('list', 'm')


@pytest.mark.parametrize('dtype', [np.float16, np.float32])
def test_base64_is_little_endian_float32(dtype: Any) -> None:
    answer = json.loads(embeddings_answer(VECTORS.astype(dtype), [1, 1], 'm', 'base64'))
    for item, row in zip(answer['data'], VECTORS.astype(dtype)):
        np.testing.assert_array_equal(np.frombuffer(base64.b64decode(item['embedding']), '<f4'), row.astype('<f4'))


def test_dimensions_cut_and_scale() -> None:
    np.testing.assert_allclose(fit_dimensions(VECTORS, 2)[1], [0.6, 0.8], rtol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(fit_dimensions(VECTORS, 3), axis=1), 1, rtol=1e-6)
    assert not fit_dimensions(np.zeros((1, 4), np.float32), 2).any()


def test_more_dimensions_than_there_are_and_vectors_of_tokens_are_refused() -> None:
    with pytest.raises(HTTPError, match='this model has 3') as caught:
        fit_dimensions(VECTORS, 4)
    assert caught.value.param == 'dimensions'
    with pytest.raises(HTTPError, match='NONE'):
        fit_dimensions(np.zeros((1, 2, 3), np.float32), None)


def test_faults_of_the_server_keep_their_kind() -> None:
    statuses = {'BadRequest': 400, 'TooLarge': 413, 'Busy': 429, 'ShuttingDown': 503, 'DeadlineExceeded': 504,
                'PoisonedRequest': 500, 'InternalError': 500, 'SomethingNew': 500}  # fmt: skip
    assert {name: error_from_server(name, 'm').status for name in statuses} == statuses


def test_faults_of_flask_have_a_kind() -> None:
    statuses = (400, 401, 404, 405, 413, 415, 429, 500, 503)
    assert [error_from_status(status, 'm').status for status in statuses] == list(statuses)
    assert [error_from_status(status, 'm').name for status in (404, 418, 507)] == [
        'NotFound',
        'BadRequest',
        'InternalError',
    ]


@pytest.mark.parametrize('name', KINDS)
def test_both_shapes_of_an_error(name: str) -> None:
    fault = HTTPError(name, 'why', 'input', 'ValueError')
    assert fault.to_legacy() == {'description': 'why', 'type': 'ValueError', 'status': fault.status}
    error = fault.to_openai()['error']
    assert set(error) == {'message', 'type', 'param', 'code'}
    assert (error['message'], error['param']) == ('why', 'input')


def health(is_draining: bool = False, is_fresh: bool = True, **status: Any) -> tuple[bool, bool, str]:
    now = judge(Report({**STATUS, **status}, is_fresh), is_draining)
    return now.is_live, now.is_ready, now.reason


def test_health_tells_the_truth() -> None:
    assert health() == (True, True, '')
    assert health(is_fresh=False) == (False, False, 'the server behind does not answer')
    assert health(server_state='draining') == (True, False, 'the server behind is draining')
    assert health(workers=[{'state': 'starting'}]) == (True, False, 'no worker is ready')
    assert health(workers=None) == (True, True, ''), 'a server of 1.10'
    assert health(is_draining=True) == (True, False, 'this proxy is shutting down')
    nothing = judge(Report(None, False))
    assert (nothing.is_live, nothing.workers, nothing.release) == (False, None, None)
    assert judge(Report(STATUS, True)).to_json(True) == {
        'status': 'ok', 'live': True, 'ready': True, 'reason': '', 'server': 'serving', 'workers_ready': 1, 'workers': 2,
        'server_release': '2.0.0'}  # fmt: skip


def test_the_names_of_the_model() -> None:
    assert model_names(STATUS, ()) == ('tiny',)
    assert model_names({'model_dir': '/models/tiny/'}, ()) == ('tiny',)
    assert model_names({'model_dir': '/packages/minilm/model'}, ()) == ('minilm',)
    assert model_names({}, ()) == ('bert',)
    assert model_names(None, ()) == ()
    assert model_names(STATUS, ('a', 'b')) == ('a', 'b')


def test_labels_of_routes() -> None:
    assert label_of('/encode') == '/encode'
    assert label_of('/v1/models/<path:model>') == '/v1/models/{id}'
    assert label_of('/docs/') == label_of('/docs/<path:path>') == '/docs/'
    assert label_of(None) == label_of('/what') == OTHER
    assert is_open('/health/live')
    assert not is_open('/encode')
    assert not is_open(OTHER)
    assert encodes('POST', '/encode')
    assert not encodes('GET', '/encode')
    assert speaks_openai('/v1')
    assert speaks_openai('/v1/models')
    assert not speaks_openai('/v1models')


def test_an_answer_that_is_too_large_to_be_written_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answers, 'MAX_NUMBERS', VECTORS.size - 1)
    with pytest.raises(HTTPError) as caught:
        encode_answer(1, VECTORS, '', show_tokens=False)
    assert caught.value.status == 413
