"""The bodies of OpenAI's route: each field is checked, and the options of a request are what its fields say."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from bert_serving.server.http.errors import HTTPError
from bert_serving.server.http.openai_bodies import INPUT_TYPES, as_asked, embeddings_body, read_embeddings
from bert_serving.server.http.requests import Rows
from bert_serving.server.protocol.options import EncodingOptions


@pytest.mark.parametrize(
    ('value', 'rows'),
    [
        ('one text', Rows(['one text'], 'texts')),
        (['one', 'two'], Rows(['one', 'two'], 'texts')),
        ([1, 2], Rows([[1, 2]], 'ids')),
        ([[1, 2], [3]], Rows([[1, 2], [3]], 'ids')),
    ],
)
def test_each_kind_of_input(value: object, rows: Rows) -> None:
    query = read_embeddings({'input': value})
    assert (query.rows, query.model, query.encoding_format) == (rows, None, 'float')
    assert query.options == EncodingOptions(pairs=False), 'nothing that 1.10 would not do'


def test_the_other_fields() -> None:
    query = read_embeddings(
        {'input': 'a', 'model': 'm', 'encoding_format': 'base64', 'dimensions': 3, 'user': 'u', 'new': 1}
    )
    assert (query.model, query.encoding_format, query.options.dimensions) == ('m', 'base64', 3)


@pytest.mark.parametrize(
    ('data', 'param', 'words'),
    [
        ({}, 'input', '"input" is missing'),
        ({'input': None}, 'input', '"input" is missing'),
        ({'input': {}}, 'input', 'must be a list'),
        ({'input': []}, 'input', 'must not be empty'),
        ({'input': ''}, 'input', 'element 0 of "input" must not be blank'),
        ({'input': ['a', 1]}, 'input', 'element 1 of "input" must be a string, but is 1'),
        ({'input': [1, 'a']}, 'input', 'token 1 of element 0 of "input" must be an id of the vocabulary'),
        ({'input': [[1], 'a']}, 'input', 'element 1 of "input" must be a list'),
        ({'input': [[1], []]}, 'input', 'element 1 of "input" must not be empty'),
        ({'input': [[-1]]}, 'input', 'but is -1'),
        ({'input': [True]}, 'input', 'element 0 of "input" must be a string, but is a boolean'),
        ({'input': [[1, True]]}, 'input', 'but is a boolean'),
        ({'input': 'a', 'model': 1}, 'model', '"model" must be a string'),
        ({'input': 'a', 'encoding_format': 'int8'}, 'encoding_format', '"float" or "base64"'),
        ({'input': 'a', 'encoding_format': []}, 'encoding_format', '"float" or "base64"'),
        ({'input': 'a', 'dimensions': 0}, 'dimensions', 'at least 1'),
        ({'input': 'a', 'dimensions': 1.5}, 'dimensions', 'but is a number'),
        ({'input': 'a', 'dimensions': True}, 'dimensions', 'but is a boolean'),
    ],
)
def test_what_is_wrong_with_an_embeddings_request_is_named(data: dict[str, Any], param: str, words: str) -> None:
    with pytest.raises(HTTPError) as caught:
        read_embeddings(data)
    assert (caught.value.status, caught.value.param) == (400, param)
    assert words in caught.value.message


def test_inputs_have_a_limit() -> None:
    assert len(read_embeddings({'input': ['a'] * 2048}).rows.items) == 2048
    with pytest.raises(HTTPError) as caught:
        read_embeddings({'input': ['a'] * 2049})
    assert caught.value.status == 413


def options_of(**fields: Any) -> EncodingOptions:
    return read_embeddings({'input': 'a', **fields}).options


def test_the_options_of_a_request() -> None:
    assert options_of(prompt='q: ', truncate='left', dtype='int8') == EncodingOptions(
        prompt='q: ', truncate='left', dtype='int8', pairs=False
    )
    assert options_of(prompt_name='query', normalize=False) == EncodingOptions(
        prompt_name='query', normalize=False, pairs=False
    )
    assert options_of(truncate=None, dtype=None, prompt=None, normalize=None) == EncodingOptions(pairs=False)


def test_vectors_that_are_cut_have_length_1_unless_the_request_says_otherwise() -> None:
    assert options_of(dimensions=2).normalize is True
    assert options_of(dimensions=2, normalize=False).normalize is False
    assert options_of().normalize is None


@pytest.mark.parametrize('input_type', INPUT_TYPES)
def test_an_input_type_is_known(input_type: str) -> None:
    assert read_embeddings({'input': 'a', 'input_type': input_type}).input_type == input_type


@pytest.mark.parametrize(
    ('fields', 'param', 'words'),
    [
        ({'input_type': 'image'}, 'input_type', '"search_query", "query", "search_document"'),
        ({'prompt': 'a', 'prompt_name': 'b'}, 'prompt_name', '"prompt" and "prompt_name" are mutually exclusive'),
        ({'prompt': 'a', 'input_type': 'query'}, 'input_type', '"prompt" and "input_type" are mutually exclusive'),
        ({'dtype': 'float64'}, 'dtype', '"binary" or "ubinary"'),
        ({'truncate': 'middle'}, 'truncate', '"right", "left" or "error"'),
        ({'normalize': 1}, 'normalize', 'must be true or false, but is 1'),
        ({'prompt': ['a']}, 'prompt', 'must be a string, but is a list'),
    ],
)
def test_what_is_wrong_with_an_option_is_named(fields: dict[str, Any], param: str, words: str) -> None:
    with pytest.raises(HTTPError) as caught:
        options_of(**fields)
    assert (caught.value.status, caught.value.param) == (400, param)
    assert words in caught.value.message


@pytest.mark.parametrize('dtype', ['float16', 'int8', 'ubinary'])
def test_base64_has_the_type_that_was_asked_for(dtype: Any) -> None:
    array = np.array([[1, 2, 3]]).astype('uint8' if dtype == 'ubinary' else dtype)
    vectors = as_asked(array, EncodingOptions(dtype=dtype))
    assert vectors.dtype == array.dtype
    assert b'"AQID"' in b''.join(embeddings_body(vectors, [1], 'm', 'base64')) or dtype == 'float16'


def test_vectors_of_tokens_are_refused() -> None:
    with pytest.raises(HTTPError, match='NONE'):
        as_asked(np.zeros((1, 2, 3), np.float32), EncodingOptions())
