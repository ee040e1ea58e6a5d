"""The bodies of TEI's routes: its fields and defaults are read, and the responses have its shapes."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bert_serving.server.http import responses
from bert_serving.server.http.errors import HTTPError
from bert_serving.server.http.model_card import ModelCard
from bert_serving.server.http.ranking import rank
from bert_serving.server.http.requests import Rows
from bert_serving.server.http.tei_bodies import (
    decode_body,
    embed_all_body,
    embed_body,
    info_body,
    predict_body,
    rank_body,
    read_decode,
    read_embed,
    read_embed_all,
    read_predict,
    read_rerank,
    read_similarity,
    read_tokenize,
    similarity_body,
    tokenize_body,
)
from bert_serving.server.protocol.options import EncodingOptions
from support.fake_backend import STATUS, classifier

Reader = Callable[[dict[str, Any]], Any]


# Requests ------------------------------------------------------------------------------------------------------------


def test_the_defaults_of_embed_are_those_of_tei() -> None:
    query = read_embed({'inputs': 'a'})
    assert query.rows == Rows(['a'])
    assert query.options == EncodingOptions(normalize=True, pairs=False)


def test_null_is_the_default() -> None:
    names = ('normalize', 'truncate', 'truncation_direction', 'prompt_name', 'dimensions', 'dtype', 'prompt')
    assert read_embed({'inputs': 'a', **dict.fromkeys(names)}) == read_embed({'inputs': 'a'})


def test_the_options_of_embed() -> None:
    fields = {'normalize': False, 'prompt_name': 'query', 'dimensions': 2, 'dtype': 'ubinary', 'new': 1}
    assert read_embed({'inputs': ['a', 'b'], **fields}).options == EncodingOptions(
        normalize=False, prompt_name='query', dimensions=2, dtype='ubinary', pairs=False
    )
    assert read_embed({'inputs': 'a', 'prompt': 'q: '}).options.prompt == 'q: '


@pytest.mark.parametrize(
    ('fields', 'truncate'),
    [
        ({}, 'right'),
        ({'truncate': True}, 'right'),
        ({'truncate': False}, 'error'),
        ({'truncation_direction': 'Left'}, 'left'),
        ({'truncation_direction': 'left', 'truncate': True}, 'left'),
        ({'truncation_direction': 'Right'}, 'right'),
        ({'truncation_direction': 'Left', 'truncate': False}, 'error'),
    ],
)
@pytest.mark.parametrize('read', [read_embed, read_embed_all, read_predict])
def test_truncation(read: Reader, fields: dict[str, Any], truncate: str) -> None:
    assert read({'inputs': 'a', **fields}).options.truncate == truncate


@pytest.mark.parametrize(
    ('value', 'rows'),
    [
        ('a', Rows(['a'])),
        (['a', 'b'], Rows(['a', 'b'])),
        ([7, 8], Rows([[7, 8]], 'ids')),
        ([[7], [8, 9]], Rows([[7], [8, 9]], 'ids')),
    ],
)
@pytest.mark.parametrize('read', [read_embed, read_embed_all])
def test_each_kind_of_inputs(read: Reader, value: object, rows: Rows) -> None:
    assert read({'inputs': value}).rows == rows


def test_similarity_encodes_the_source_first() -> None:
    inputs = {'source_sentence': 'a', 'sentences': ['b', 'c']}
    query = read_similarity({'inputs': inputs})
    assert query.rows == Rows(['a', 'b', 'c'])
    assert query.options == EncodingOptions(normalize=True, pairs=False)
    query = read_similarity({'inputs': inputs, 'parameters': {'prompt_name': 'query', 'truncate': False}})
    assert (query.options.prompt_name, query.options.truncate) == ('query', 'error')
    assert read_similarity({'inputs': inputs, 'parameters': None}) == read_similarity({'inputs': inputs})


@pytest.mark.parametrize(
    ('value', 'inputs', 'is_single'),
    [
        ('a', ['a'], True),
        (['a'], ['a'], True),
        (['a', 'b'], [['a', 'b']], True),
        (['a', ''], [['a', '']], True),
        ([['a']], ['a'], False),
        ([['a'], ['b', 'c']], ['a', ['b', 'c']], False),
    ],
)
def test_predict_takes_a_text_a_pair_or_a_batch_of_either(value: object, inputs: list[Any], is_single: bool) -> None:
    query = read_predict({'inputs': value})
    assert (query.inputs, query.is_single) == (inputs, is_single)
    assert query.options == EncodingOptions()


def test_texts_and_pairs_of_a_batch_are_told_apart() -> None:
    query = read_predict({'inputs': [['a'], ['b', 'c'], ['d']], 'raw_scores': True})
    assert query.is_pair == [False, True, False]
    assert query.rows(False) == Rows(['a', 'd'])
    assert query.rows(True) == Rows([['b', 'c']], 'pairs')
    assert query.options.raw is True


def test_rerank() -> None:
    query = read_rerank({'query': 'q', 'texts': ['a', ''], 'raw_scores': True, 'return_text': True})
    assert query.rows == Rows([['q', 'a'], ['q', '']], 'pairs')
    assert (query.options, query.shows_documents, query.top_n) == (EncodingOptions(raw=True), True, None)
    assert read_rerank({'query': 'q', 'texts': ['a']}).options == EncodingOptions()


@pytest.mark.parametrize(
    ('read', 'data', 'status', 'words'),
    [
        (read_embed, {}, 422, '"inputs" is missing'),
        (read_embed, {'inputs': 5}, 422, 'must be a list'),
        (read_embed, {'inputs': []}, 400, 'must not be empty'),
        (read_embed, {'inputs': ''}, 400, 'must not be blank'),
        (read_embed, {'inputs': ['a', [1]]}, 422, 'element 1 of "inputs" must be a string'),
        (read_embed, {'inputs': ['a'] * 16_385}, 413, 'the limit is'),
        (read_embed, {'inputs': 'a', 'normalize': 'yes'}, 422, '"normalize" must be true or false'),
        (read_embed, {'inputs': 'a', 'truncate': 'left'}, 422, '"truncate" must be true or false'),
        (read_embed, {'inputs': 'a', 'truncation_direction': 'up'}, 422, '"Right", "Left"'),
        (read_embed, {'inputs': 'a', 'prompt': 'a', 'prompt_name': 'b'}, 422, 'are mutually exclusive'),
        (read_embed_all, {}, 422, '"inputs" is missing'),
        (read_similarity, {}, 422, '"inputs" is missing'),
        (read_similarity, {'inputs': 'a'}, 422, '"inputs" must be an object, but is a string'),
        (read_similarity, {'inputs': {}, 'parameters': 5}, 422, '"parameters" must be an object'),
        (read_similarity, {'inputs': {'sentences': ['a']}}, 422, '"inputs.source_sentence" must be a string'),
        (read_similarity, {'inputs': {'source_sentence': 'a'}}, 422, '"inputs.sentences" must be a list'),
        (read_similarity, {'inputs': {'source_sentence': 'a', 'sentences': []}}, 400, 'must not be empty'),
        (read_predict, {}, 422, '"inputs" is missing'),
        (read_predict, {'inputs': ['']}, 400, 'must not be blank'),
        (read_predict, {'inputs': ['a', 'b', 'c']}, 422, '"inputs" must have one text or two, but has 3'),
        (read_predict, {'inputs': [['a'], 'b']}, 422, 'element 1 of "inputs" must be a list'),
        (read_predict, {'inputs': [['a', 5]]}, 422, 'text 1 of element 0 of "inputs" must be a string, but is 5'),
        (read_tokenize, {'inputs': [[1]]}, 422, 'element 0 of "inputs" must be a string, but is a list'),
        (read_tokenize, {'inputs': 'a', 'add_special_tokens': 1}, 422, 'must be true or false'),
        (read_decode, {}, 422, '"ids" is missing'),
        (read_decode, {'ids': 'a'}, 422, '"ids" must be a list'),
        (read_decode, {'ids': [[1, 'a']]}, 422, 'token 1 of element 0 of "ids" must be an id'),
        (read_rerank, {}, 422, '"query" is missing'),
        (read_rerank, {'query': 'a'}, 422, '"texts" is missing'),
        (read_rerank, {'query': ' ', 'texts': ['a']}, 400, '"query" must not be blank'),
        (read_rerank, {'query': 'a', 'texts': []}, 400, 'must not be empty'),
        (read_rerank, {'query': 'a', 'texts': [5]}, 422, 'element 0 of "texts" must be a string, but is 5'),
        (read_rerank, {'query': 'a', 'texts': ['a'] * 2049}, 413, 'the limit is'),
        (read_rerank, {'query': 'a' * 9000, 'texts': ['a'] * 2000}, 413, 'too long for 2000 documents'),
    ],
)
def test_what_is_wrong_is_named(read: Reader, data: dict[str, Any], status: int, words: str) -> None:
    with pytest.raises(HTTPError) as caught:
        read(data)
    assert caught.value.to_response('tei')[0] == status
    assert words in caught.value.message


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.floats(allow_nan=False) | st.text('ab ', max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text('ab ', max_size=3), inner, max_size=2),
    max_leaves=6,
)
FIELDS = ('inputs', 'query', 'texts', 'truncate', 'truncation_direction', 'normalize', 'dimensions', 'raw_scores')


@given(data=st.dictionaries(st.sampled_from(FIELDS), JSON))
@pytest.mark.parametrize('read', [read_embed, read_embed_all, read_similarity, read_predict, read_rerank])
def test_any_request_is_read_or_refused(read: Reader, data: dict[str, Any]) -> None:
    try:
        read(data)
    except HTTPError as error:
        assert error.to_response('tei')[0] in (400, 413, 422)


def test_tokenize_and_decode() -> None:
    assert read_tokenize({'inputs': 'a'}).rows == Rows(['a'])
    assert read_tokenize({'inputs': ['a']}).options == EncodingOptions(offsets=True, special_tokens=True)
    query = read_tokenize({'inputs': 'a', 'add_special_tokens': False, 'prompt_name': 'query'})
    assert query.options == EncodingOptions(offsets=True, prompt_name='query')
    assert read_decode({'ids': [7, 8]}).rows == Rows([[7, 8]], 'ids')
    assert read_decode({'ids': [[7], [8]]}).options == EncodingOptions(decode=True)
    assert read_decode({'ids': [7], 'skip_special_tokens': False}).options.special_tokens is True


# Responses -----------------------------------------------------------------------------------------------------------


def test_embed_answers_a_list_of_lists() -> None:
    assert json.loads(b''.join(embed_body(np.array([[1, 2], [3, 4]], np.float32)))) == [[1, 2], [3, 4]]
    assert json.loads(b''.join(embed_body(np.array([[1, 2]], np.int8)))) == [[1, 2]]


def test_embed_all_answers_no_padding() -> None:
    states = np.arange(12, dtype=np.float32).reshape(2, 3, 2)
    assert json.loads(b''.join(embed_all_body(states, [3, 1]))) == [[[0, 1], [2, 3], [4, 5]], [[6, 7]]]


@pytest.mark.parametrize('write', [embed_body, lambda array: embed_all_body(array[np.newaxis], [2])])
def test_a_response_that_is_too_large_is_refused(
    monkeypatch: pytest.MonkeyPatch, write: Callable[[Any], bytes]
) -> None:
    monkeypatch.setattr(responses, 'MAX_NUMBERS', 3)
    with pytest.raises(HTTPError) as caught:
        write(np.zeros((2, 2), np.float32))
    assert caught.value.status == 413


def test_similarity_answers_cosines() -> None:
    vectors = np.array([[1, 0], [0.6, 0.8], [-1, 0]], np.float32)
    np.testing.assert_allclose(json.loads(similarity_body(vectors)), [0.6, -1], rtol=1e-6)


def test_predict_answers_labels_best_first() -> None:
    scores = np.array([[0.1, 0.7, 0.2], [0.4, 0.4, 0.2]], np.float32)
    first, second = json.loads(predict_body(scores, ('a', 'b', 'c'), is_single=False))
    assert [item['label'] for item in first] == ['b', 'c', 'a']
    assert first[0] == {'label': 'b', 'score': 0.7}
    assert [item['label'] for item in second] == ['a', 'b', 'c'], 'equal ones in the order of the labels'
    assert json.loads(predict_body(scores[:1], ('a', 'b', 'c'), is_single=True)) == first


def test_rerank_answers_places_and_scores() -> None:
    query = read_rerank({'query': 'q', 'texts': ['a', 'b']})
    ranking = rank(np.array([[0.25], [0.5]], np.float32))
    assert json.loads(rank_body(ranking, query)) == [{'index': 1, 'score': 0.5}, {'index': 0, 'score': 0.25}]
    query = read_rerank({'query': 'q', 'texts': ['a', 'b'], 'return_text': True})
    assert json.loads(rank_body(ranking, query))[0] == {'index': 1, 'text': 'b', 'score': 0.5}


@given(st.lists(st.sampled_from([0.0, 0.5, 1.0, -2.0]), min_size=1), st.none() | st.integers(1, 5))
def test_a_ranking_is_stable_and_falls(values: list[float], top_n: int | None) -> None:
    ranking = rank(np.array(values, np.float32), top_n)
    expected = sorted(enumerate(values), key=lambda item: -item[1])[:top_n]
    assert [(index, float(score)) for index, score in ranking] == expected


def test_info_of_each_kind_of_model() -> None:
    info = json.loads(info_body(ModelCard.from_status(STATUS), {**STATUS, 'fp16': True, 'max_batch_size': 8}, 138))
    assert (info['model_id'], info['model_dtype'], info['max_input_length']) == ('tiny', 'float16', 25)
    assert info['model_type'] == {'embedding': {'pooling': 'REDUCE_MEAN'}}
    assert (info['max_concurrent_requests'], info['max_batch_requests'], info['version']) == (138, 8, '2.0.0')
    info = json.loads(info_body(ModelCard.from_status(classifier('score')), {}, 1))
    assert info['model_type'] == {'reranker': {'id2label': {'0': 'score'}, 'label2id': {'score': 0}}}
    info = json.loads(info_body(ModelCard.from_status(classifier('no', 'yes')), {}, 1))
    assert info['model_type']['classifier']['label2id'] == {'no': 0, 'yes': 1}


def test_tokens_have_their_places() -> None:
    places = np.array([[[101, -1, -1], [7, 0, 2], [102, -1, -1]], [[101, -1, -1], [102, -1, -1], [0, 0, 0]]], np.int32)
    tokens = [['[CLS]', 'ab', '[SEP]'], ['[CLS]', '[SEP]']]
    first, second = json.loads(tokenize_body(places, tokens, [3, 2], has_special=True))
    assert first[0] == {'id': 101, 'text': '[CLS]', 'special': True, 'start': None, 'stop': None}
    assert first[1] == {'id': 7, 'text': 'ab', 'special': False, 'start': 0, 'stop': 2}
    assert (len(first), len(second)) == (3, 2)
    assert json.loads(tokenize_body(places, tokens, [3, 2], has_special=False)) == [[first[1]], []]
    assert json.loads(decode_body(['a b', ''])) == ['a b', '']
