"""The bodies of responses: numbers survive JSON and base64, ids come back, and vectors are cut and scaled."""

from __future__ import annotations

import base64
import json
from typing import Any

import numpy as np
import pytest

from bert_serving.server.http import responses
from bert_serving.server.http.errors import HTTPError
from bert_serving.server.http.openai_bodies import as_asked, embeddings_body
from bert_serving.server.http.responses import (
    dump,
    dump_rows,
    encode_body,
    fit_dimensions,
    list_rows,
    little_endian,
    octets,
    tokenize_body,
    truncated_field,
)
from bert_serving.server.protocol.options import EncodingOptions

VECTORS = np.array([[0.1, -2.5, 3e-7], [3, 4, 0]], np.float32)


def test_the_answer_of_1_10_and_that_of_its_documentation() -> None:
    answer = json.loads(b''.join(encode_body({'a': [1]}, VECTORS, '', show_tokens=False)))
    assert list(answer) == ['id', 'result', 'results', 'status']
    assert answer['id'] == {'a': [1]}
    assert answer['status'] == 200
    np.testing.assert_array_equal(np.array(answer['result'], np.float32), VECTORS)
    assert answer['results'] == answer['result']


def test_the_rows_that_were_cut_are_listed_as_far_as_a_client_can_read_a_header() -> None:
    assert list_rows([3, 7]) == '3,7'
    assert list_rows(range(responses.MAX_LISTED)).endswith(',%d' % (responses.MAX_LISTED - 1))
    assert list_rows(range(responses.MAX_LISTED + 1)).endswith(',%d,...' % (responses.MAX_LISTED - 1))
    assert truncated_field([3, 7]) == {'truncated': [3, 7]}
    assert truncated_field([]) == {}


def test_tokens_are_shown_or_null() -> None:
    assert json.loads(b''.join(encode_body(1, VECTORS, [['a']], show_tokens=True)))['tokens'] == [['a']]
    assert json.loads(b''.join(encode_body(1, VECTORS, '', show_tokens=True)))['tokens'] is None


@pytest.mark.parametrize('dtype', [np.float16, np.float32])
def test_numbers_are_written_so_that_they_come_back(dtype: Any) -> None:
    array = np.random.default_rng(5).standard_normal((3, 4, 5)).astype(dtype)
    result = json.loads(b''.join(encode_body(1, array, '', show_tokens=False)))['result']
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
        tokenize_body(np.array([[1, 2, 3], [1, 3, 0]], np.int32), [['a', 'b', 'c'], ['a', 'c']], [3, 2])
    )
    assert answer == {'tokens': [['a', 'b', 'c'], ['a', 'c']], 'ids': [[1, 2, 3], [1, 3]], 'status': 200}


def test_an_answer_of_openai() -> None:
    answer = json.loads(b''.join(embeddings_body(VECTORS, [4, 3], 'm', 'float')))
    assert answer['usage'] == {'prompt_tokens': 7, 'total_tokens': 7}
    assert [item['index'] for item in answer['data']] == [0, 1]
    assert [item['object'] for item in answer['data']] == ['embedding'] * 2
    np.testing.assert_array_equal(np.array([item['embedding'] for item in answer['data']], np.float32), VECTORS)
    assert (answer['object'], answer['model']) == ('list', 'm')


@pytest.mark.parametrize('dtype', [np.float16, np.float32])
def test_base64_is_little_endian_float32(dtype: Any) -> None:
    vectors = as_asked(VECTORS.astype(dtype), EncodingOptions())
    answer = json.loads(b''.join(embeddings_body(vectors, [1, 1], 'm', 'base64')))
    for item, row in zip(answer['data'], VECTORS.astype(dtype)):
        np.testing.assert_array_equal(np.frombuffer(base64.b64decode(item['embedding']), '<f4'), row.astype('<f4'))


def test_dimensions_cut_and_scale() -> None:
    np.testing.assert_allclose(fit_dimensions(VECTORS, 2)[1], [0.6, 0.8], rtol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(fit_dimensions(VECTORS, 3), axis=1), 1, rtol=1e-6)
    assert not fit_dimensions(np.zeros((1, 4), np.float32), 2).any()


def test_dimensions_of_a_server_of_1_10_can_stay_unscaled() -> None:
    np.testing.assert_array_equal(fit_dimensions(VECTORS, 2, normalize=False), VECTORS[:, :2])
    np.testing.assert_allclose(np.linalg.norm(fit_dimensions(VECTORS, None), axis=1), 1, rtol=1e-6)


def test_the_bytes_of_an_array_and_how_to_read_them() -> None:
    body, headers = octets(little_endian(VECTORS))
    assert headers == {'x-dtype': 'float32', 'x-shape': '2,3'}
    np.testing.assert_array_equal(np.frombuffer(body, '<f4').reshape(2, 3), VECTORS)
    states = np.arange(12, dtype=np.int8).reshape(2, 2, 3)
    body, headers = octets(little_endian(states, keeps_type=True), [2, 1])
    assert headers == {'x-dtype': 'int8', 'x-shape': '2,2,3', 'x-lengths': '2,1'}
    assert body == bytes(range(12))


def test_more_dimensions_than_there_are_and_vectors_of_tokens_are_refused() -> None:
    with pytest.raises(HTTPError, match='this model has 3') as caught:
        fit_dimensions(VECTORS, 4)
    assert caught.value.param == 'dimensions'
    with pytest.raises(HTTPError, match='NONE'):
        fit_dimensions(np.zeros((1, 2, 3), np.float32), 2)


@pytest.mark.parametrize('numbers', [1, 3, 4, 100])
def test_many_numbers_are_written_in_pieces_and_read_as_one(monkeypatch: pytest.MonkeyPatch, numbers: int) -> None:
    monkeypatch.setattr(responses, 'NUMBERS_AT_ONCE', numbers)
    array = np.arange(21, dtype=np.float32).reshape(7, 3)
    assert json.loads(b''.join(dump_rows(array, array.size))) == array.tolist()
    assert json.loads(b''.join(embeddings_body(array, [1] * 7, 'm', 'float')))['data'][6]['embedding'] == [18, 19, 20]
    assert dump_rows([], 0) == [b'[]']


def test_no_piece_takes_long() -> None:
    """So that health checks are answered meanwhile."""
    array = np.random.default_rng(5).standard_normal((4000, 1024)).astype(np.float32)
    assert max(map(len, dump_rows(array, array.size))) < 3_000_000


def test_an_answer_that_is_too_large_to_be_written_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(responses, 'MAX_NUMBERS', VECTORS.size - 1)
    with pytest.raises(HTTPError) as caught:
        encode_body(1, VECTORS, '', show_tokens=False)
    assert caught.value.status == 413
